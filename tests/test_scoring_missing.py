"""Missing is not zero, and behind is not missing: each rule on one small account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scoring import Scorecard
from tests.scoring_world import TODAY, World, card, plain, run

FIRST, SECOND = {0: 0, 10: 100}, {0: 100, 10: 0}
EVENTS = {"use": ["login"], "desk": ["ticket.*"], "crm": ["seats"]}


def two(**measures: Any) -> Scorecard:
    """Two measures or more, each in a dimension of its own and of equal weight unless it has no points."""
    weighted = [name for name, words in measures.items() if "points" in words]
    return card(measures=measures, dimensions={name: {"weight": 1, "measures": {name: 1}} for name in weighted})


LOGINS = {"events": "login", "take": "count", "window": "7d", "points": FIRST}
TICKETS = {"events": "ticket.created", "take": "count", "window": "7d", "points": SECOND}


def world(**behind: int) -> World:
    """Three linked sources, each behind by so many days."""
    reads = {s: (TODAY - timedelta(days=100), TODAY - timedelta(days=behind.get(s, 0))) for s in EVENTS}
    return World(EVENTS, links={(source, "acme"): "acme" for source in EVENTS}, reads=reads)


def test_a_linked_source_without_events_is_zero_and_an_unlinked_one_is_missing() -> None:
    facts = world()
    del facts.links["desk", "acme"]
    found = run(two(logins=LOGINS, tickets=TICKETS), facts)
    assert found.part("logins").points == 0
    assert (found.part("tickets").state, found.part("tickets").weight) == ("missing", 0)
    assert (found.score().coverage, found.score().low, found.score().high) == (0.5, 0, 50)


def test_a_window_ends_on_the_score_day_and_counts_it() -> None:
    facts = world()
    for ago in (-1, 0, 6, 7):
        facts.add("login", ago=ago, source="use")
    assert run(two(logins=LOGINS, tickets=TICKETS), facts).part("logins").value == 2


@pytest.mark.parametrize(("read", "state"), [(7, "live"), (6, "missing")])
def test_a_window_that_begins_before_reading_did_is_missing(read: int, state: str) -> None:
    facts = world()
    facts.reads["use"] = (TODAY - timedelta(days=read - 1), TODAY)
    facts.add("login", source="use")
    assert run(two(logins=LOGINS, tickets=TICKETS), facts).part("logins").state == state


@pytest.mark.parametrize(
    ("behind", "state"), [(0, "live"), (1, "live"), (2, "held"), (7, "held"), (8, "stale"), (200, "missing")]
)
def test_a_source_that_fell_behind_is_held_and_then_stale(behind: int, state: str) -> None:
    found = run(two(logins=LOGINS, tickets=TICKETS), world(use=behind))
    assert found.part("logins").state == state
    assert found.score().held is (state == "held")


def test_a_source_behind_speaks_of_its_own_day() -> None:
    facts = world(use=5)
    facts.add("login", ago=11, source="use")
    facts.add("login", ago=4, source="use")
    part = run(two(logins=LOGINS, tickets=TICKETS), facts).part("logins")
    assert (part.value, part.state) == (1, "held")


def test_a_stale_part_keeps_its_value_and_still_saves_the_tier() -> None:
    facts = world(use=20)
    for _ in range(10):
        facts.add("login", ago=20, source="use")
        facts.add("ticket.created", ago=0, source="desk")
    found = run(two(logins=LOGINS, tickets=TICKETS), facts)
    part = found.part("logins")
    assert (part.value, part.points, part.contribution, part.weight, part.state) == (10, None, None, 0, "stale")
    assert (found.score().score, found.score().coverage, found.score().tier) == (0, 0.5, "yellow")


def test_below_the_floor_an_account_is_unscored() -> None:
    facts = world(use=20)
    three = two(logins=LOGINS, tickets=TICKETS, more=LOGINS | {"take": "active_days"})
    total = run(three, facts).score()
    assert (total.score, total.tier) == (None, "unscored")


def test_the_floor_is_met_by_equality_even_at_odd_shares() -> None:
    facts = world()
    del facts.links["use", "acme"]
    weights = {"logins": 0.4, "tickets": 0.6}
    odd = card(
        coverage_floor=0.6,
        measures={"logins": LOGINS, "tickets": TICKETS},
        dimensions={"all": {"weight": 1, "measures": weights}},
    )
    assert run(odd, facts).score().tier == "green"


@pytest.mark.parametrize(
    ("yields", "state"), [(["ticket.created", "ticket.solved"], "live"), (["ticket.created"], "missing")]
)
def test_what_no_source_could_have_closed_is_not_known_to_be_open(yields: list[str], state: str) -> None:
    facts = world()
    facts.sources = EVENTS | {"desk": yields}
    facts.add("ticket.created", source="desk")
    opened = {"take": "open", "opens": "ticket.created", "closes": "ticket.solved", "absent": 100, "points": SECOND}
    assert run(two(logins=LOGINS, opened=opened), facts).part("opened").state == state


RATIO = LOGINS | {"over": "seats"}
SEATS = {"events": "seats", "take": "last"}
BELOW = [None, 0.0]


@pytest.mark.parametrize("seats", BELOW)
@pytest.mark.parametrize(("absent", "points"), [({}, 0.0), ({"absent": 30}, 30.0)])
def test_zero_over_nothing_is_absent(seats: float | None, absent: dict[str, float], points: float) -> None:
    facts = world()
    if seats is not None:
        facts.add("seats", source="crm", value=seats)
    found = run(two(share=RATIO | absent, tickets=TICKETS, seats=SEATS), facts)
    assert (found.part("share").points, found.part("share").state) == (points, "live")


@pytest.mark.parametrize("seats", BELOW)
def test_something_over_nothing_is_missing(seats: float | None) -> None:
    facts = world()
    facts.add("login", source="use")
    if seats is not None:
        facts.add("seats", source="crm", value=seats)
    found = run(two(share=RATIO | {"absent": 30}, tickets=TICKETS, seats=SEATS), facts)
    assert found.part("share").state == "missing"


CHANGE = {"of": "logins", "against": "previous", "points": {-1: 0, 0: 70, 1: 100}}


@pytest.mark.parametrize(
    ("now", "before", "value", "points"),
    [(1, 2, -0.5, 35.0), (0, 2, -1.0, 0.0), (2, 0, None, None), (0, 0, None, 55.0), (3, 3, 0.0, 70.0)],
)
def test_a_change_is_now_against_before(now: int, before: int, value: float | None, points: float | None) -> None:
    facts = world()
    for ago, times in ((0, now), (7, before)):
        for _ in range(times):
            facts.add("login", ago=ago, source="use")
    found = run(two(logins=LOGINS, tickets=TICKETS, change=CHANGE | {"absent": 55}), facts).part("change")
    assert (found.value, found.points) == (value, points)


def test_a_label_alone_is_no_number() -> None:
    facts = plain("login", "level")
    facts.add("level", ago=5, value=4)
    facts.add("level", ago=1, label="unknown")
    found = run(two(level={"events": "level", "take": "last", "points": FIRST}, logins=LOGINS), facts)
    assert found.part("level").state == "missing"


@pytest.mark.parametrize(("ago", "state"), [(30, "live"), (31, "missing")])
def test_an_answer_has_an_age(ago: int, state: str) -> None:
    facts = plain("login", "level")
    facts.add("level", ago=ago, value=4)
    level = {"events": "level", "take": "last", "max_age": "30d", "points": FIRST}
    assert run(two(level=level, logins=LOGINS), facts).part("level").state == state


def test_keys_of_one_account_are_added_up_and_people_counted_once() -> None:
    facts = plain("login")
    facts.links["facts", "other"] = "acme"
    for key in ("acme", "other"):
        for who in ("ann", f"of {key}"):
            facts.add("login", key=key, actor=who)
    measures = {
        "logins": LOGINS,
        "users": LOGINS | {"take": "distinct_users"},
        "days": LOGINS | {"take": "active_days"},
        "user_days": LOGINS | {"take": "user_days"},
    }
    found = run(two(**measures), facts)
    assert [found.part(name).value for name in measures] == [4, 3, 1, 3]


def test_an_account_has_no_score_before_it_existed() -> None:
    facts = world()
    facts.accounts = {"acme": TODAY - timedelta(days=1)}
    facts.days = (TODAY, TODAY - timedelta(days=1), TODAY - timedelta(days=2))
    found = run(two(logins=LOGINS, tickets=TICKETS), facts)
    assert {day for _, day in found.scores} == {TODAY, TODAY - timedelta(days=1)}


@pytest.mark.parametrize(("count", "points"), [(6, 100.0), (3, 70.0), (6, 40.0), (7, 0.0), (3, 100.0)])
@pytest.mark.parametrize("weight", [1, 0.1, 7])
def test_equal_measures_give_exactly_their_points(count: int, points: float, weight: float) -> None:
    level = {"events": "login", "take": "count", "window": "7d", "absent": points, "points": FIRST}
    names = [f"m{number}" for number in range(count)]
    for groups in ([names], [[name] for name in names]):
        equal = card(
            measures=dict.fromkeys(names, level),
            dimensions={
                f"d{place}": {"weight": weight, "measures": dict.fromkeys(group, weight)}
                for place, group in enumerate(groups)
            },
        )
        total = run(equal, plain("login")).score()
        assert total.score == points
        assert total.tier == {100.0: "green", 70.0: "green", 40.0: "yellow", 0.0: "red"}[points]
        assert (total.low, total.high, total.coverage) == (points, points, 1)


def test_words_that_are_keywords_elsewhere_are_good_names() -> None:
    names = ["order", "group", "select", "value", "day", "account", "name", "user", "latest", "users"]
    takes = [
        "count",
        "sum",
        "mean",
        "median",
        "active_days",
        "distinct_users",
        "distinct_names",
        "user_days",
        "last",
        "first",
    ]
    measures = {
        name: {"events": "login", "take": take, "points": FIRST}
        | ({"window": "7d"} if take not in ("last", "first") else {})
        for name, take in zip(names, takes, strict=True)
    }
    facts = World({"1st": ["login"], "users": ["login"], "table": ["login"]}, links={("1st", "acme"): "acme"})
    facts.reads["1st"] = (TODAY - timedelta(days=30), TODAY)
    facts.add("login", source="1st", actor="ann", value=10)
    assert run(two(**measures), facts).score().coverage == 1


def test_a_quote_in_a_word_stays_a_word() -> None:
    facts = plain("login")
    facts.add("login", label="it's")
    quoted = LOGINS | {"where": "label = 'it''s'"}
    named = {"events": "login", "take": "last", "map": {"it's": 80, "x') or true --": 1}}
    spoken = card(
        measures={"quoted": quoted, "named": named},
        dimensions={"all": {"weight": 1, "measures": {"quoted": 1, "named": 1}}},
    )
    found = run(spoken, facts)
    assert (found.part("quoted").value, found.part("named").points) == (1, 80)


def test_an_underscore_in_a_pattern_is_an_underscore() -> None:
    facts = plain("*")
    for name in ("a_b.x", "aXb.x"):
        facts.add(name)
    found = run(two(some=LOGINS | {"events": "a_b.*"}, logins=LOGINS), facts)
    assert found.part("some").value == 1

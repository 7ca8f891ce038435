"""The linter: every warning fires where it should and keeps quiet where it should."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from scoring import Scorecard, Segment
from scoring.lint import lint
from scoring.ranges import ANY, Range, between, certain, extremes, implies, narrowed, of_measure
from scoring.reach import segments
from scoring.remarks import weights
from tests.oracle import Oracle
from tests.scoring_cases import SOURCES, cards, worlds
from tests.scoring_world import World
from tests.test_scoring_signals import ROWS

RISING, FALLING = {0: 0, 10: 100}, {0: 100, 10: 0}
MEASURES: dict[str, Any] = {
    "users": {"events": "login", "take": "distinct_users", "window": "28d", "over": "seats", "points": RISING},
    "features": {"events": "feature.*", "take": "distinct_names", "window": "28d", "points": RISING},
    "tickets": {"events": "ticket.created", "take": "count", "window": "28d", "points": FALLING},
    "nps": {"events": "nps.response", "take": "last", "points": RISING},
    "seats": {"events": "seats", "take": "last"},
}
WEIGHTS = {"users": 30, "features": 30, "tickets": 30, "nps": 10}


def made(*, weigh: Mapping[str, float] | None = None, measures: dict[str, Any] | None = None, **more: Any) -> Scorecard:
    """A scorecard of which there is nothing to say, with what a test wants otherwise."""
    given = {
        "name": "test",
        "dimensions": {"all": {"weight": 1, "measures": weigh or WEIGHTS}},
        "measures": MEASURES | (measures or {}),
    }
    return Scorecard.model_validate(given | more)


def said(card: Scorecard, **more: Any) -> list[tuple[str, str]]:
    return [(".".join(map(str, remark.place)), remark.message) for remark in lint(card, **more)]


def test_of_a_good_scorecard_there_is_nothing_to_say() -> None:
    assert said(made()) == []


def of(name: str, **words: Any) -> dict[str, Any]:
    """A measure with some words otherwise; None takes a word out."""
    return {name: {word: value for word, value in (MEASURES[name] | words).items() if value is not None}}


def ruled(rule: str, section: str = "caps", **more: Any) -> Scorecard:
    rules: dict[str, Any] = {section: {"low": {"when": rule, "reason": "r", **more}}}
    return made(**rules)


EIGHT = {f"m{number}": of("tickets")["tickets"] for number in range(8)}
SHARE = {"events": "flow.done", "take": "count", "window": "28d", "over": "users", "points": RISING}
PLAN = {"events": "account.plan", "take": "last", "map": {"free": 0, "pro": 100}}


def changed(name: str, **words: Any) -> Scorecard:
    return made(measures=of(name, **words))


def weighed(**weights: float) -> Scorecard:
    return made(weigh=weights)


def two(low: str, worse: str, section: str = "caps", **more: Any) -> Scorecard:
    """A rule, and a cap that may leave it nothing to do."""
    named = {"low": {"when": low, "reason": "r", **more}}
    cap = {"worse": {"when": worse, "reason": "r", "tier": "red"}}
    return made(caps=named | cap) if section == "caps" else made(watch=named, caps=cap)


def plan(**points: float) -> Scorecard:
    return made(measures={"nps": PLAN | {"map": points}})


LOGINS_ONLY = "logins carry weight, and nothing says what people do"
EQUAL = {"points": {0: 100, 10: 100}}
RAISED, LOWERED, HUMP = {-1: 0, 0: 20, 9: 100}, {0: 90, 9: 0}, {0: 0, 5: 100, 10: 50}
SOME = {"users": of("users", events="csat.x")["users"], "tickets": of("tickets", events="ces.x")["tickets"]}
HIGH, LOW = of("tickets", points={0: 80, 9: 0}), of("tickets", points={0: 100, 9: 20})
EXTRA = {"extra": {"events": "a", "take": "last", "over": "seats"}}

# place, words of the message, a scorecard that has it, and one close by that has not
WARNINGS: list[tuple[str, str, Scorecard, Scorecard]] = [
    ("dimensions", "only 2 measures", weighed(users=1, features=1), weighed(users=1, features=1, tickets=1)),
    ("dimensions", "9 measures", made(weigh=dict.fromkeys([*EIGHT, "users"], 1), measures=EIGHT),
     made(weigh=dict.fromkeys(EIGHT, 1), measures=EIGHT)),
    ("dimensions.all.measures.users", LOGINS_ONLY, weighed(users=1, tickets=1, nps=1),
     weighed(users=1, features=1, tickets=1)),
    ("dimensions.all.measures.users", LOGINS_ONLY, changed("features", events="email.opened"),
     changed("features", events="report.run")),
    ("measures.users", "plain total of login", changed("users", take="count", over=None),
     changed("users", take="count")),
    ("measures.features", "plain total of feature.*", changed("features", take="user_days"),
     changed("features", take="active_days")),
    ("measures.features", "plain total of email.opened", changed("features", events="email.opened", take="sum"),
     changed("features", events="ticket.escalated", take="sum")),
    ("dimensions.all.measures.tickets", "is 75% of the score", weighed(users=1, features=1, tickets=6),
     weighed(users=0.1, features=0.2, tickets=0.3)),
    ("dimensions.all.measures.users", "51% of the score", made(weigh=WEIGHTS | {"users": 73}),
     made(weigh=WEIGHTS | {"users": 70})),
    ("dimensions.all.measures.nps", "0.9% of the score", made(weigh=WEIGHTS | {"nps": 0.8}),
     made(weigh=WEIGHTS | {"nps": 0.92})),
    ("dimensions", "surveys alone", made(weigh={"nps": 1, "users": 1, "tickets": 1}, measures=SOME),
     made(weigh={"nps": 1, "features": 1, "tickets": 1}, measures=SOME)),
    ("coverage_floor", "surveys are 10% of the weight", made(coverage_floor=0.91), made(coverage_floor=0.9)),
    ("measures.nps.points", "cannot move the score", changed("nps", **EQUAL), changed("nps", absent=0, **EQUAL)),
    ("measures.nps.map", "cannot move the score", plan(a=5, b=5), plan(a=5, b=6)),
    ("measures.features.points", "never falls below 20 points", changed("features", points=RAISED),
     changed("features", points=RAISED, take="sum", over=3)),
    ("measures.tickets.points", "never rises above 90 points", changed("tickets", points=LOWERED),
     changed("tickets", points=LOWERED, absent=100)),
    ("measures.nps.points", "turns", changed("nps", points=HUMP), changed("nps", points=HUMP | {10: 100})),
    ("tiers.green", "comes to 94.0, so nobody can be green", made(measures=HIGH, tiers={"green": 95, "yellow": 40}),
     made(measures=HIGH, tiers={"green": 94, "yellow": 40})),
    ("tiers.yellow", "comes to 6.0, so nobody can be red", made(measures=LOW, tiers={"green": 70, "yellow": 6}),
     made(measures=LOW, tiers={"green": 70, "yellow": 7})),
    ("caps.low.when", "can never hold: tickets is never below 0", ruled("tickets < 0"), ruled("tickets <= 0")),
    ("caps.low.when", "can never hold: users is never below 0", ruled("users < -0.1 or tickets < 0"),
     ruled("users < 0.1 or tickets < 0")),
    ("watch.low.when", "can never hold: features", ruled("features = -1", "watch"), ruled("features = 1", "watch")),
    ("watch.low.when", "contradicts itself", ruled("nps > 5 and nps < 3", "watch"),
     ruled("nps > 5 or nps < 3", "watch")),
    ("caps.low.when", "always holds: tickets is never below 0", ruled("tickets >= 0"), ruled("tickets > 0")),
    ("caps.low", "wherever it holds, caps.worse", two("nps < 3", "nps < 5"), two("nps < 5", "nps < 3")),
    ("caps.low", "wherever it holds, caps.worse", two("nps < 3", "nps < 5"), two("nps < 3", "nps < 5", lasts="9d")),
    ("caps.low", "wherever it holds, caps.worse", two("nps < 3", "nps < 5"), two("nps < 3", "nps < 5", tier="red")),
    ("watch.low", "wherever it holds, caps.worse", two("nps < 3", "nps < 5", "watch"),
     two("nps < 5", "nps < 3", "watch")),
    ("measures.nps.where", "contradicts itself", changed("nps", where="value > 5 and value < 3"),
     changed("nps", where="value > 3 and value < 5")),
    ("measures.nps.where", "contradicts itself", changed("nps", where="label = 'a' and label in ('b', 'c')"),
     changed("nps", where="label = 'b' and label in ('b', 'c')")),
    ("measures.plan", "used by nothing", made(measures={"plan": PLAN}),
     made(measures={"plan": PLAN}, watch={"free": {"when": "plan = 'free'", "reason": "r"}})),
    ("measures.seats", "used by nothing", made(measures=of("users", over=None) | EXTRA),
     made(measures=of("users", over=None) | of("nps", over="seats"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "message", "odd", "good"), WARNINGS, ids=[f"{place}: {message}" for place, message, *_ in WARNINGS]
)
def test_a_warning_has_a_place_and_comes_only_where_it_should(
    place: str, message: str, odd: Scorecard, good: Scorecard
) -> None:
    assert [found for found in said(odd) if found[0] == place and message in found[1]], said(odd)
    assert place not in [found[0] for found in said(good)]
    assert all(remark.remedy and "\n" not in remark.message for remark in lint(odd))


def test_a_measure_that_serves_another_that_nothing_uses_is_told_of_too() -> None:
    extra = {"first": {"of": "second", "against": "previous"}, "second": SHARE}
    assert said(made(measures=extra)) == [(f"measures.{name}", "is used by nothing") for name in extra]


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        (["seats >= 500", "seats < 50"], []),
        (["seats >= 500", "seats >= 900"], [(1, "whoever meets this is scored by test already")]),
        (["seats >= 900", "seats >= 500"], []),
        (["seats >= 500", "seats < 50 and seats > 90"], [(1, "contradicts itself")]),
        (["plan in ('free', 'trial')", "plan = 'trial' and seats < 50"], [(1, "whoever meets this")]),
        # where seats are not known the first does not hold
        (["plan = 'trial' and (seats < 50 or seats >= 50)", "plan = 'trial'"], []),
    ],
)
def test_a_rule_by_which_nobody_comes_to_a_scorecard_is_told_of(
    rules: list[str], warned: list[tuple[int, str]]
) -> None:
    remarks = list(segments([*(Segment(made(), rule) for rule in rules), Segment(made())]))
    assert [remark.place for remark in remarks] == [("scorecard", place, "when") for place, _ in warned]
    assert all(words in remark.message for remark, (_, words) in zip(remarks, warned, strict=True))


YIELDS = {"product": ["login", "feature.*"], "desk": ["ticket.created", "nps.response"], "crm": ["seats"]}


def test_what_every_source_yields_is_no_matter_until_it_is_known() -> None:
    assert said(made(), yields=None) == said(made(), yields=YIELDS) == []
    ((place, message),) = said(made(), yields=YIELDS | {"product": ["logins", "feature.*"]})
    assert (place, "no source yields login" in message) == ("measures.users.events", True)


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ({"take": "open", "opens": "ticket.created", "closes": "done"}, "measures.tickets.closes"),
        ({"take": "days_between", "from": "ticket.begun", "to": "ticket.created"}, "measures.tickets.from"),
    ],
)
def test_each_kind_of_event_a_measure_needs_has_to_be_yielded(words: dict[str, Any], place: str) -> None:
    card = made(measures={"tickets": words | {"points": FALLING}})
    assert [found[0] for found in said(card, yields=YIELDS)] == [place]


@pytest.mark.parametrize(
    ("words", "enough", "place"),
    [
        ({"window": "28d"}, 28, "window"),
        ({"of": "opened", "against": "previous"}, 28, "against"),
        ({"of": "opened", "against": {"shift": "365d"}}, 379, "against"),
        ({"of": "opened", "against": {"longer": "90d"}}, 90, "against"),
    ],
)
def test_a_window_longer_than_was_read_is_told_of(words: dict[str, Any], enough: int, place: str) -> None:
    opened = {"events": "ticket.created", "take": "count", "window": "14d"}
    tickets = {"points": FALLING} | (words if "of" in words else of("tickets", **words)["tickets"])
    card = made(measures={"tickets": tickets, "nps": {"points": RISING, "events": "nps.response", "take": "last"}}
                | ({"opened": opened} if "of" in words else {}))  # fmt: skip
    assert said(card, yields=YIELDS, days={"desk": enough, "product": 28}) == []
    ((where, message),) = said(card, yields=YIELDS, days={"desk": enough - 1, "product": 28})
    assert where == f"measures.tickets.{place}"
    assert f"looks back {enough} days, and desk was read from {enough - 1} days ago on" in message


def test_a_where_that_nothing_met_is_told_of() -> None:
    assert said(made(), unmatched=["tickets"]) == [
        ("measures.tickets.where", "no event of the last 90 days meets this")
    ]


# presets and styles

MEANT = {
    "mid_market": {
        ("dimensions", "10 measures carry weight, so none of them matters much"),
        ("dimensions.product_usage.measures.weekly_active",
         "logins carry weight, and nothing says what people do once they are in"),
    }
}  # fmt: skip


@pytest.mark.parametrize("name", config.presets())
def test_a_preset_warns_of_nothing_but_what_its_comments_explain(name: str) -> None:
    document = config.preset(name)
    assert document is not None
    assert set(said(Scorecard.model_validate(document.values))) == MEANT.get(name, set())


def test_equal_and_unequal_weights_are_both_told_as_shares() -> None:
    def shares(name: str) -> list[int]:
        document = config.preset(name)
        assert document is not None
        card = Scorecard.model_validate(document.values)
        weighed = weights(card).values()
        return [round(100 * sum(w.share for w in weighed if w.dimension == group)) for group in card.dimensions]

    assert (shares("mid_market"), shares("usage_sentiment")) == ([25, 25, 25, 25], [40, 20, 20, 20])


def test_no_measure_of_the_page_of_signals_is_a_vanity() -> None:
    measures = {name: yaml.safe_load(yaml.safe_dump(row.words)) for name, row in ROWS.items()}
    weighed = {name: 1.0 for name, words in measures.items() if {"points", "map"} & set(words)}
    card = Scorecard.model_validate(
        {"name": "all", "dimensions": {"all": {"weight": 1, "measures": weighed}}, "measures": measures}
    )
    assert not [found for found in said(card) if "plain total" in found[1]]


# what rules can hold of

RULES = st.recursive(
    st.one_of(
        st.builds(
            "{} {} {}".format,
            st.just("value"),
            st.sampled_from([">", ">=", "<", "<=", "=", "<>"]),
            st.sampled_from([-1, 0, 1, 2]),
        ),
        st.builds("{} {} value".format, st.sampled_from([0, 1, 2]), st.sampled_from([">", "<=", "="])),
        st.builds("label {} '{}'".format, st.sampled_from(["=", "<>"]), st.sampled_from("ab")),
        st.sampled_from(["label in ('a', 'b')", "value in (0, 2)", "not value in (1, 2)", "value + 1 > 2"]),
    ),
    lambda rule: st.one_of(
        st.builds("({} and {})".format, rule, rule),
        st.builds("({} or {})".format, rule, rule),
        st.builds("(not {})".format, rule),
    ),
    max_leaves=6,
)
FACTS = list(product([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5], "abc"))


def met(rule: str) -> list[tuple[float, str]]:
    """The facts for which a rule holds, as Python reads it."""
    python = rule.replace("<>", "!=").replace(" = ", " == ")
    return [(value, label) for value, label in FACTS if eval(python, {"value": value, "label": label})]


@given(RULES)
def test_what_is_called_impossible_never_holds(rule: str) -> None:
    found = narrowed(rule, {})
    for value, label in met(rule):
        assert found is not None, rule
        low, high, _ = found.get("value", ANY)
        words = found.get("label", ANY).words
        assert low <= (value, 0) <= high
        assert words is None or label in words


@given(RULES)
def test_what_is_called_certain_always_holds(rule: str) -> None:
    if certain(rule, {}):
        assert met(rule) == FACTS


def test_a_rule_as_long_as_a_rule_may_be_is_looked_at() -> None:
    assert ("caps.low.when", "always holds: tickets is never below 0") in said(ruled("tickets >= 0".ljust(500)))


@given(RULES, RULES)
def test_what_is_called_implied_holds_wherever_the_other_does(one: str, other: str) -> None:
    if implies(one, other, {}):
        assert set(met(one)) <= set(met(other))


@pytest.mark.parametrize(
    "rule",
    [
        "value > 5 and value < 3",
        "value > 3 and value <= 3",
        "value = 1 and value <> 1",
        "5 < value and -1 >= value",
        "not (value > 1 or value <= 1)",
        "not value in (1) and value = 1",
        "label = 'a' and label = 'b'",
        "label in ('a') and label <> 'a'",
    ],
)
def test_what_is_plainly_impossible_is_found(rule: str) -> None:
    assert narrowed(rule, {}) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (of("tickets")["tickets"], between(0)),
        (of("tickets", take="sum")["tickets"], ANY),
        (of("tickets", take="active_days")["tickets"], between(0, 28)),
        (of("tickets", take="active_days", over=7)["tickets"], between(0, 4)),
        (of("tickets", take="sum", over="nps")["tickets"], ANY),
        (of("tickets", over="features")["tickets"], between(0)),
        ({"of": "features", "against": "previous"}, between(-1)),
        ({"of": "nps", "against": {"shift": "9d"}}, ANY),
        ({"events": "qbr", "take": "last", "where": "value >= 3"}, between(3)),
        ({"events": "qbr", "take": "days_since", "max_age": "30d"}, between(0, 30)),
        ({"events": "renewal_date", "take": "days_until"}, ANY),
    ],
)
def test_what_a_measure_can_be(words: dict[str, Any], expected: Range) -> None:
    assert of_measure(made(measures={"extra": words}), "extra") == expected


def sized(card: Scorecard, name: str) -> bool:
    """Whether everything a measure is divided by is a size."""
    measure = card.measures[name]
    below = [str(other) for other in (measure.of, measure.over) if isinstance(other, str)]
    sizes = not isinstance(measure.over, str) or of_measure(card, measure.over).low >= (0, 0)
    return sizes and all(sized(card, other) for other in below)


@settings(max_examples=25)
@given(cards(), worlds())
def test_random_measures_are_within_what_they_are_said_to_be(card: Scorecard, world: World) -> None:
    said(card, yields=SOURCES, days=dict.fromkeys(SOURCES, 9), unmatched=["m0"])
    oracle = Oracle(card, world)
    for account, day in product(world.accounts, world.days):
        for name, part in oracle.result(account, day).parts.items():
            among = of_measure(card, name)
            least, most = extremes(card.measures[name], among)
            if sized(card, name):
                value = None if part.value is None else float(part.value)  # as the engine holds it, and as bounds are
                assert value is None or among.low[0] <= value <= among.high[0]
                assert part.points is None or least <= part.points <= most

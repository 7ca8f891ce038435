"""The shipped scorecards, from raw events to the total."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

import config
from scoring import Part, Scorecard, compile, reason
from scoring.remarks import weights
from scoring.settle import Day, Fired, settle, told
from tests.scoring_world import LONG_AGO, TODAY, Scored, World, asked, connect, fill, run, score

PRESETS = config.presets()
SOURCES = {
    "product": ["login", "feature.*", "flow.started", "flow.done", "session", "usage.level", "integration.*"],
    "desk": ["ticket.*", "csat.response", "nps.response"],
    "crm": ["seats", "arr", "renewal_date", "account.plan", "milestones_planned", "plan.limit"],
    "team": [
        *("milestone.*", "certified", "csm.email", "email.replied", "qbr", "meeting.executive", "checkin"),
        "champion.left",
        "csm.pulse",
    ],
    "billing": ["invoice.*"],
}


def preset(name: str) -> Scorecard:
    document = config.preset(name)
    assert document is not None
    return Scorecard.model_validate(document.values)


def world(*sources: str) -> World:
    chosen = sources or tuple(SOURCES)
    return World(
        SOURCES,
        links={(source, "acme"): "acme" for source in chosen},
        reads=dict.fromkeys(chosen, (LONG_AGO, TODAY)),
    )


def worked_example() -> World:
    """Seven of ten seats active each week, stable; five minor tickets solved within hours; no executive in sight."""
    facts = world()
    facts.add("seats", ago=300, source="crm", value=10)
    for week in range(8):
        for user in range(7):
            facts.add("login", ago=7 * week + user, source="product", actor=f"user{user}", value=3)
    for ticket in range(5):
        facts.add("ticket.created", ago=10 * ticket + 1, source="desk", id=f"{ticket}/created")
        facts.add(
            "ticket.severity", ago=10 * ticket + 1, source="desk", value=1, label="low", id=f"{ticket}/severity/1"
        )
        facts.add("ticket.solved", ago=10 * ticket, source="desk", value=4.5, id=f"{ticket}/solved/1")
    for number in range(4):
        facts.add(f"milestone.step{number}", ago=200 - number, source="team")
    facts.add("milestones_planned", ago=300, source="crm", value=4)
    for champion in ("ann", "bob"):
        facts.add("certified", ago=150, source="team", actor=champion)
    for mail in range(4):
        facts.add("csm.email", ago=14 * mail + 2, source="team")
        facts.add("email.replied", ago=14 * mail + 1, source="team")
    facts.add("qbr", ago=40, source="team", value=1)
    return facts


def by_dimension(parts: list[Part]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for part in parts:
        sums[part.dimension] = sums.get(part.dimension, 0.0) + (part.contribution or 0.0)
    return sums


def test_the_mid_market_example_gives_18_22_23_16_and_79_green() -> None:
    found = run(preset("mid_market"), worked_example())
    parts = found.parts["acme", TODAY]
    assert {name: round(points, 4) for name, points in by_dimension(parts).items()} == {
        "product_usage": 18,
        "support_experience": 22,
        "onboarding_adoption": 23,
        "engagement_relationship": 16,
    }
    assert (found.score().score, found.score().tier, found.score().coverage) == (79.0, "green", 1.0)
    assert sum(part.contribution or 0 for part in parts) == 79.0


def test_the_mid_market_example_points_at_the_executive() -> None:
    card = preset("mid_market")
    said = reason(card, run(card, worked_example()).parts["acme", TODAY], None)
    assert said.text.startswith("Executive engagement: none on record")
    assert said.causes[0] == "executive-"
    assert said.next_action == "Invite a business stakeholder to a roadmap preview or a renewal planning session."


def test_usage_and_sentiment_weighs_40_20_20_20() -> None:
    facts = world()
    facts.add("ticket.sentiment", ago=3, source="desk", value=0.25)
    facts.add("meeting.executive", ago=3, source="team")
    parts = run(preset("usage_sentiment"), facts).parts["acme", TODAY]
    shares = {part.measure: round(100 * part.weight, 3) for part in parts}
    assert shares == {"daily_active": 40, "sentiment": 20, "breadth": 20, "exec_silence": 20}


# a fall in daily use, to the letter

STARTS = {100: (8, 0.5), 88: (2, 0.5), 76: (0, 0.25)}  # the score before: features used, and how tickets sound
FORMER, SEATS = 1000, 100  # user-days in the two weeks before


def _use(connection: duckdb.DuckDBPyConnection, key: str, user_days: int, *, ago: int, days: int) -> None:
    """Different users on `days` days, the last of them `ago` days back, come to so many pairs of user and day."""
    connection.execute(
        """
        insert into events
        select 'product', $key || '/' || $ago || '/' || i, $key, 'u' || (i // $days), 'login', d, d, 1, null
        from (select i, $today::date - ($ago + i % $days)::integer as d from range($user_days) r(i))
        """,
        {"key": key, "user_days": user_days, "ago": ago, "days": days, "today": TODAY},
    )


def _customers(names: Sequence[str], **more: Any) -> World:
    facts = World(SOURCES, accounts=dict.fromkeys(names), reads=dict.fromkeys(SOURCES, (LONG_AGO, TODAY)), **more)
    facts.links = {(source, name): name for source in SOURCES for name in names}
    return facts


def _otherwise_at(facts: World, key: str, start: int) -> None:
    """Everything but use, so that the score is `start` while there is much of that."""
    features, sentiment = STARTS[start]
    for number in range(features):
        facts.add(f"feature.f{number}", ago=1, source="product", key=key, id=f"{key}/f{number}")
    facts.add("ticket.sentiment", ago=0, source="desk", key=key, value=sentiment, id=f"{key}/sentiment")
    facts.add("meeting.executive", ago=3, source="team", key=key, id=f"{key}/met")
    facts.add("seats", ago=300, source="crm", key=key, value=SEATS, id=f"{key}/seats")


def _tier(card: Scorecard, found: Scored, account: str, days: Sequence[date]) -> list[str]:
    """The tier told on each of these days, folded from the first of them."""
    state, tiers = None, []
    for day in days:
        on, rules = found.score(account, day), found.rules[account, day]
        fired = {
            name: Fired(*(rules.get(f"{name}__{column}") for column in ("holds", "now", "before")))
            for name in card.caps
        }
        today = Day(day, on.tier, on.tier_score, fired)
        state = settle(card, state, today)
        tiers.append(told(card, state))
    return tiers


AFTER = (FORMER, 701, 700, 699, 0)  # user-days in the last two weeks: no drop, 29.9 %, 30 %, 30.1 %, all of it


@pytest.fixture(scope="module")
def fallen() -> Scored:
    names = {f"{start}/{after}": (start, after) for start in STARTS for after in AFTER}
    facts = _customers(list(names))
    with connect() as connection:
        for name, (start, _) in names.items():
            _otherwise_at(facts, name, start)
        fill(connection, facts)
        for name, (_, after) in names.items():
            _use(connection, name, FORMER, ago=14, days=14)
            _use(connection, name, after, ago=0, days=14)
        return score(compile(preset("usage_sentiment"), SOURCES, asked(facts)), connection)


@pytest.mark.parametrize("start", STARTS)
def test_a_good_account_starts_where_the_example_says(fallen: Scored, start: int) -> None:
    assert fallen.score(f"{start}/{FORMER}").score == start
    assert _tier(preset("usage_sentiment"), fallen, f"{start}/{FORMER}", [TODAY]) == ["green"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(("after", "tier"), [(701, "green"), (700, "yellow"), (699, "yellow")])
def test_a_fall_of_30_percent_in_two_weeks_is_at_most_yellow(fallen: Scored, start: int, after: int, tier: str) -> None:
    assert fallen.score(f"{start}/{after}").score == pytest.approx(start, abs=0.05)
    assert _tier(preset("usage_sentiment"), fallen, f"{start}/{after}", [TODAY]) == [tier]


@pytest.mark.parametrize(("start", "tier"), [(100, "yellow"), (88, "yellow"), (76, "red")])
def test_a_fall_to_no_use_fires_the_cap_and_leaves_a_worse_tier_as_it_is(fallen: Scored, start: int, tier: str) -> None:
    rules = fallen.rules[f"{start}/0", TODAY]
    assert (rules["use_fell__holds"], rules["use_fell__now"]) == (True, 0)
    assert _tier(preset("usage_sentiment"), fallen, f"{start}/0", [TODAY]) == [tier]


def test_a_step_is_noticed_after_14_days_and_told_for_30_from_then_on() -> None:
    """Ten users a day, then seven, from 45 days back on: the 14th day of the step is 31 days back."""
    card, began = preset("usage_sentiment"), 45
    facts = _customers(["acme"])
    facts.days = tuple(TODAY - timedelta(days=began - n) for n in range(13, began + 1))
    facts.add("seats", ago=300, source="crm", value=10)
    for ago in (1, 29, 59):
        for number in range(8):
            facts.add(f"feature.f{number}", ago=ago, source="product", id=f"f{number}/{ago}")
        facts.add("ticket.sentiment", ago=ago, source="desk", value=0.5)
        facts.add("meeting.executive", ago=ago, source="team")
    with connect() as connection:
        fill(connection, facts)
        _use(connection, "acme", 40 * 10, ago=began, days=40)
        _use(connection, "acme", began * 7, ago=0, days=began)
        found = score(compile(card, SOURCES), connection)
    thirteenth, fourteenth, *later = facts.days
    assert {found.score(day=day).tier for day in facts.days} == {"green"}
    assert _tier(card, found, "acme", [thirteenth]) == ["green"]
    assert _tier(card, found, "acme", [fourteenth, *later]) == ["yellow"] * 30 + ["green"] * 2
    assert _tier(card, found, "acme", later) == ["green"] * 31


# the default


def test_in_the_default_scorecard_use_carries_most_weight() -> None:
    weights = {name: group.weight for name, group in preset("saas").dimensions.items()}
    assert max(weights, key=lambda name: weights[name]) == "product_usage"
    assert weights["product_usage"] > sum(weights.values()) / 2


@pytest.mark.parametrize("lacking", ["csat.response", "seats"])
def test_the_default_scorecard_scores_without_surveys_or_attributes(lacking: str) -> None:
    facts = busy()
    facts.facts = [fact for fact in facts.facts if fact.name != lacking]
    total = run(preset("saas"), facts).score()
    assert total.score is not None
    assert 0.5 <= total.coverage < 1


def test_no_cap_and_no_flag_comes_of_a_source_that_is_not_there() -> None:
    """Where nothing tells of features, meetings or tickets, nothing is held against anybody."""
    card, facts = preset("saas"), busy()
    facts.sources = {"product": ["login"], "crm": ["seats"], "desk": ["ticket.created", "ticket.severity"]}
    found = run(card, facts)
    assert not any(found.rules["acme", TODAY].values())
    assert (found.score().tier, _tier(card, found, "acme", [TODAY])) == ("green", ["green"])


# every preset

Change = Callable[[World], None]


def adding(name: str, **given: Any) -> Change:
    return lambda facts: facts.add(name, **{"source": next(s for s in SOURCES if _yields(s, name)), **given})


def _yields(source: str, name: str) -> bool:
    return any(name == known or name.startswith(known.rstrip("*")) for known in SOURCES[source])


def without(*names: str, since: int = 0, before: int = 10_000) -> Change:
    """Take out the facts of these names, from `since` days ago back to `before` days ago."""

    def change(facts: World) -> None:
        facts.facts = [
            fact
            for fact in facts.facts
            if not (fact.name.startswith(names) and since <= (TODAY - fact.day).days < before)
        ]

    return change


def both(*changes: Change) -> Change:
    def change(facts: World) -> None:
        for one in changes:
            one(facts)

    return change


OPEN = adding("ticket.created", ago=5, id="open/created")
ANGRY = both(OPEN, adding("ticket.sentiment", ago=4, value=-0.6, id="open/sentiment/1"))
FEWER_FEATURES = without("feature.", since=0, before=28)
FIRES: list[tuple[str, str, Change]] = [
    ("saas", "signs_in_only", FEWER_FEATURES),
    ("saas", "executive_missed", adding("meeting.executive", ago=1, value=0)),
    ("saas", "executive_missed", without("meeting.", before=91)),
    ("saas", "adoption_fell", both(FEWER_FEATURES, adding("feature.one", ago=3))),
    ("saas", "complaint_open", ANGRY),
    ("saas", "complaint_open", both(OPEN, adding("csat.response", ago=2, value=20))),
    ("smb", "gone_quiet", without("login", before=31)),
    ("smb", "signs_in_only", FEWER_FEATURES),
    ("smb", "unpaid", both(*(adding("invoice.sent", ago=n, id=f"new{n}/sent") for n in range(3)))),
    ("enterprise", "champion_gone", adding("champion.left", ago=80)),
    ("enterprise", "signs_in_only", FEWER_FEATURES),
    ("enterprise", "sponsor_silent", without("meeting.", before=91)),
    ("enterprise", "review_missed", adding("qbr", ago=1, value=0)),
    ("enterprise", "adoption_fell", both(FEWER_FEATURES, adding("feature.one", ago=3))),
    ("enterprise", "seats_returned", adding("seats", value=9)),
    ("relationship", "out_of_touch", without("meeting.", "email.replied", before=61)),
    ("relationship", "sponsor_silent", without("meeting.", before=91)),
    ("relationship", "checkin_missed", adding("checkin", ago=1, value=0)),
    ("relationship", "complaint_open", ANGRY),
    ("product_led", "signs_in_only", FEWER_FEATURES),
    ("product_led", "use_fell", both(without("login", before=28), *(adding("login", actor=f"user{n}") for n in "123"))),
    ("product_led", "adoption_fell", both(FEWER_FEATURES, adding("feature.one", ago=3))),
    ("usage_sentiment", "use_fell", without("login", before=5)),
    ("expansion", "escalated", adding("ticket.escalated", ago=80)),
]


NEVER_CAME, WELL = "never came", "flourishing"


def test_every_rule_of_every_preset_has_a_case() -> None:
    assert {(name, rule) for name, rule, _ in FIRES} == {
        (name, rule) for name in PRESETS for rule in preset(name).rules
    }


@pytest.fixture(scope="module")
def cases() -> dict[str, Scored]:
    """By preset: one account that flourishes, one that never came, and one for each case of a rule, by its place."""
    with connect() as connection:
        return {name: run(preset(name), _cases(name), connection) for name in PRESETS}


def _cases(name: str) -> World:
    told: dict[str, World] = {WELL: flourishing(), NEVER_CAME: world()}
    told[NEVER_CAME].add("seats", ago=300, source="crm", value=10)
    for place, (of, _, change) in enumerate(FIRES):
        if of == name:
            told[str(place)] = flourishing()
            change(told[str(place)])
    together = _customers(list(told))
    for account, facts in told.items():
        together.facts += [f._replace(account_key=account, id=f"{account} {f.id}") for f in facts.facts]
    return together


@pytest.mark.parametrize("name", PRESETS)
def test_a_flourishing_account_is_green_and_nothing_fires(cases: dict[str, Scored], name: str) -> None:
    found = cases[name]
    assert (found.score(WELL).tier, found.score(WELL).coverage) == ("green", 1.0)
    assert not any(found.rules.get((WELL, TODAY), {}).get(f"{rule}__holds") for rule in preset(name).rules)


@pytest.mark.parametrize("place", range(len(FIRES)), ids=[f"{name}-{rule}" for name, rule, _ in FIRES])
def test_a_rule_fires_on_what_it_is_about(cases: dict[str, Scored], place: int) -> None:
    name, rule, _ = FIRES[place]
    assert cases[name].rules[str(place), TODAY][f"{rule}__holds"] is True


@pytest.mark.parametrize("name", PRESETS)
def test_bought_and_never_came_is_red_or_too_little_is_known(cases: dict[str, Scored], name: str) -> None:
    assert cases[name].score(NEVER_CAME).tier == ("unscored" if name == "relationship" else "red")


def test_signing_in_and_using_no_key_feature_is_not_green_by_the_default(cases: dict[str, Scored]) -> None:
    place = next(str(n) for n, (name, rule, _) in enumerate(FIRES) if (name, rule) == ("saas", "signs_in_only"))
    assert cases["saas"].score(place).tier == "green"
    assert _tier(preset("saas"), cases["saas"], place, [TODAY]) == ["yellow"]
    assert _tier(preset("saas"), cases["saas"], WELL, [TODAY]) == ["green"]


def test_bought_and_never_signed_in_is_no_use_rather_than_no_data(cases: dict[str, Scored]) -> None:
    part = cases["saas"].part("weekly_active", NEVER_CAME)
    assert (part.value, part.points, part.state) == (0.0, 0.0, "live")


def test_where_relations_count_satisfaction_and_engagement_outweigh_the_platform() -> None:
    card = preset("relationship")
    shares = {name: group.weight for name, group in card.dimensions.items()}
    assert shares["satisfaction"] + shares["engagement"] > 2 * shares["platform_use"]
    assert min(shares["satisfaction"], shares["engagement"]) > shares["platform_use"]


def test_where_the_product_sells_use_is_central_and_growth_is_in_it() -> None:
    card = preset("product_led")
    shares = {name: group.weight for name, group in card.dimensions.items()}
    assert shares["product_usage"] >= sum(shares.values()) / 2
    assert {"completion", "momentum", "several_users", "to_limit"} <= set(weights(card))


def flourishing() -> World:
    """A customer of whom everything is well, by every preset."""
    facts = busy()
    facts.add("seats", ago=1, source="crm", value=11)
    facts.add("plan.limit", ago=300, source="crm", value=100)
    facts.add("usage.level", ago=1, source="product", value=80)
    facts.add("milestones_planned", ago=300, source="crm", value=2)
    for number in range(3):
        facts.add(f"integration.i{number}", ago=100, source="product")
        facts.add("certified", ago=100, source="team", actor=f"user{number}")
        facts.add(f"milestone.m{number}", ago=100, source="team")
    for ago in (3, 40, 100):
        facts.add("meeting.executive", ago=ago, source="team")
        facts.add("checkin", ago=ago, source="team", value=1)
        facts.add("qbr", ago=ago, source="team", value=1)
        facts.add("nps.response", ago=ago, source="desk", value=9)
        facts.add("csm.pulse", ago=ago, source="team", value=9)
        facts.add("csm.email", ago=ago, source="team")
        facts.add("email.replied", ago=ago, source="team")
        facts.add("invoice.sent", ago=ago + 3, source="billing", id=f"i{ago}/sent")
        facts.add("invoice.paid", ago=ago, source="billing", id=f"i{ago}/paid", value=0)
    facts.add("ticket.solved", ago=8, source="desk", id="solved/1", value=4)
    facts.add("ticket.severity", ago=9, source="desk", value=1)
    return facts


def busy() -> World:
    facts = world()
    facts.add("seats", ago=300, source="crm", value=10)
    for day in range(56):
        for user in range(8):
            facts.add("login", ago=day, source="product", actor=f"user{user}")
        facts.add(f"feature.f{day % 8}", ago=day, source="product", actor="user1", value=24)
        facts.add("flow.started", ago=day, source="product")
        facts.add("flow.done", ago=day, source="product")
    facts.add("ticket.created", ago=9, source="desk", id="solved/created")
    facts.add("ticket.sentiment", ago=9, source="desk", value=0.5)
    facts.add("csat.response", ago=9, source="desk", value=100, label="good")
    return facts


@pytest.mark.parametrize("name", PRESETS)
def test_every_weighted_measure_speaks_to_a_person(name: str) -> None:
    card = preset(name)
    assert card.name == name
    for group in card.dimensions.values():
        for measure in group.measures:
            words = card.measures[measure]
            assert words.label
            assert words.action
            assert words.action.endswith(".")
            assert words.action.count(".") == 1


@pytest.mark.parametrize("name", PRESETS)
def test_every_line_of_the_sql_is_short_and_names_its_measures(name: str) -> None:
    text = compile(preset(name), SOURCES).sql()
    assert max(len(line) for line in text.splitlines()) <= 160
    assert all(f"{measure}__" in text for measure in preset(name).measures)


@pytest.fixture(scope="module")
def scored() -> Iterator[Scored]:
    with connect() as connection:
        yield run(preset("saas"), busy(), connection)


def test_the_script_is_what_was_run(scored: Scored) -> None:
    facts = busy()
    with connect() as connection:
        fill(connection, facts)
        for statement in compile(preset("saas"), SOURCES, asked(facts)).sql().split(";\n"):
            if statement.strip():
                answer = connection.execute(statement)
            if "\n-- one row per account, day and measure\n" in f"\n{statement}":
                rows = [Part(*row[2:]) for row in answer.fetchall()]
    assert rows == scored.parts["acme", TODAY]


def test_many_days_at_once_are_the_days_one_by_one(scored: Scored) -> None:
    facts = busy()
    facts.days = tuple(TODAY - timedelta(days=ago) for ago in (0, 1, 17))
    together = run(preset("saas"), facts)
    assert together.parts["acme", TODAY] == scored.parts["acme", TODAY]
    for day in facts.days:
        alone = busy()
        alone.days = (day,)
        assert run(preset("saas"), alone).score(day=day) == together.score(day=day)

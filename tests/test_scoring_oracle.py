"""Random scorecards over random facts: the compiled SQL agrees with the oracle, and what must always hold does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from scoring import Part, Range, Scorecard, View, causes, compile, kinds, worth
from tests.oracle import Oracle
from tests.scoring_world import TODAY, Score, Scored, World, card, connect, fill, run, score

STEP = Fraction(1, 2**20)
SOURCES = {"one": ["use", "mod.*", "level"], "two": ["mod.a", "say"], "1three": ["say", "open", "close", "plan"]}
CURVES = [{0: 0, 1: 100}, {0: 100, 3: 40, 9: 0}, {-0.5: 0, 0: 70, 0.2: 100}, {0.1: 33.3, 0.7: 70, 2: 70}]
ACCOUNTS = ["acme", "beta", "coda", "dune"]
SINCE = [None, TODAY - timedelta(days=1), None, TODAY]
KEYS = ["k1", "k2", "k3", "k4", "k5"]
TIERS = ["red", "yellow", "green"]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as connection:
        yield connection


def days(*choices: int) -> st.SearchStrategy[str]:
    return st.sampled_from([f"{choice}d" for choice in choices])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


@st.composite
def base(draw: st.DrawFn) -> dict[str, Any]:
    """A measure taken from events."""
    take = draw(st.sampled_from(TAKES))
    made: dict[str, Any] = {"take": take}
    if take == "open":
        made |= {"opens": "open", "closes": "close", "as": draw(maybe(st.just("oldest_days")))}
    elif take == "days_between":
        made |= {"from": "use", "to": draw(st.sampled_from(["say", "mod.*"]))}
    else:
        made["events"] = draw(st.sampled_from(["use", "mod.*", "mod.a", "say", "level", ["say", "mod.b"], ["*"]]))
        made["where"] = draw(maybe(st.sampled_from(["value >= 1", "value < 2", "label = 'high'"])))
    if take in LEVELS:
        made |= {"max_age": draw(maybe(days(3, 20))), "window": draw(maybe(days(5, 9)))}
    elif take not in ("open", "days_between"):
        made["window"] = draw(days(1, 4, 7, 13))
    if take in ("count", "sum", "mean"):
        made["half_life"] = draw(maybe(days(2, 5)))
    return made


TAKES = [
    "count", "sum", "mean", "median", "min", "max", "last", "first", "distinct_users", "user_days", "active_days",
    "distinct_names", "names_on", "open", "days_since", "days_until", "days_between",
]  # fmt: skip
LEVELS = ["last", "first", "days_since", "days_until", "names_on"]


@st.composite
def cards(draw: st.DrawFn) -> dict[str, Any]:
    measures = {f"m{number}": draw(base()) for number in range(draw(st.integers(2, 4)))}
    plain = sorted(measures)
    for name in draw(st.sets(st.sampled_from(plain[1:]))):
        measures[name]["over"] = draw(st.one_of(st.just("m0"), st.sampled_from([2, 0.3, 14])))
    for number in range(draw(st.integers(0, 2))):
        measures[f"c{number}"] = {
            "of": draw(st.sampled_from(plain)),
            "against": {"shift": draw(st.sampled_from(["3d", "6d"]))},
        }
        base_measure = measures[measures[f"c{number}"]["of"]]
        if base_measure.get("window"):
            measures[f"c{number}"]["against"] = draw(st.sampled_from(["previous", {"shift": "5d"}]))
        if base_measure["take"] in ("count", "sum", "active_days") and not {"over", "half_life"} & set(
            filled(base_measure)
        ):
            measures[f"c{number}"]["against"] = draw(st.sampled_from(["previous", {"longer": "20d"}]))
    if draw(st.booleans()):
        measures["plan"] = {"events": "plan", "take": "last", "map": {"free": 20, "pro": 70}}
    dimensions: dict[str, Any] = {}
    for name, measure in measures.items():
        measure["absent"] = draw(maybe(st.sampled_from([0, 50, 100])))
        if "map" not in measure:
            measure["points"] = draw(st.sampled_from(CURVES))
        group = dimensions.setdefault(
            draw(st.sampled_from(["alpha", "beta"])), {"weight": draw(st.sampled_from([1, 2.5, 40])), "measures": {}}
        )
        group["measures"][name] = draw(st.sampled_from([1, 3, 0.7]))
    names = [name for name in measures if name != "plan"]
    limits = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    rules = {f"r_{name}": (name, draw(st.sampled_from([-0.3, 0, 1, 2.5]))) for name in limits}
    return {
        "caps": {rule: {"when": f"{name} <= {limit}", "reason": "low"} for rule, (name, limit) in rules.items()},
        "hold": draw(days(1, 3, 7)),
        "coverage_floor": draw(st.sampled_from([0, 0.4, 0.5, 0.9])),
        "dimensions": dimensions,
        "measures": {name: filled(measure) for name, measure in measures.items()},
    }


def filled(measure: dict[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in measure.items() if value is not None}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    reads = {
        source: (
            TODAY - timedelta(days=draw(st.sampled_from([5, 15, 60]))),
            TODAY - timedelta(days=draw(st.integers(-1, 9))),
        )
        for source in draw(st.sets(st.sampled_from(sorted(SOURCES)), min_size=1))
    }
    links = {
        (source, key): draw(st.sampled_from(ACCOUNTS))
        for source in SOURCES
        for key in draw(st.sets(st.sampled_from(KEYS), max_size=5))
    }
    world = World(SOURCES, links=links, reads=reads, accounts=dict(zip(ACCOUNTS, SINCE, strict=True)))
    world.days = draw(st.sampled_from([(TODAY,), (TODAY, TODAY - timedelta(days=3))]))
    for _ in range(draw(st.integers(0, 60))):
        add(draw, world)
    return world


def add(draw: st.DrawFn, world: World) -> None:
    name = draw(st.sampled_from(["use", "use", "mod.a", "mod.b", "say", "level", "open", "close", "plan"]))
    labels = ["free", "pro", "odd"] if name == "plan" else [None, None, "high"]
    place = len(world.facts)
    world.add(
        name,
        ago=draw(st.integers(0, 25)),
        hour=draw(st.sampled_from([8, 9])),
        source=draw(st.sampled_from(sorted(SOURCES))),
        key=draw(st.sampled_from(KEYS)),
        id=f"{draw(st.sampled_from(['s', 't']))}/{name}/{place}" if name in ("open", "close") else f"{place}/{name}",
        actor=draw(st.sampled_from([None, "ann", "bob", "cy"])),
        value=draw(st.sampled_from([None, -1.0, 0.0, 1.0, 2.5, 3.125])) if name != "plan" else None,
        label=draw(st.sampled_from(labels)),
    )


def close(one: float | None, two: Fraction | None, within: Fraction) -> bool:
    if one is None or two is None:
        return one is None and two is None
    return abs(Fraction(one) - two) <= within


@settings(max_examples=45, phases=[Phase.generate])
@given(given_card=cards(), world=worlds())
def test_sql_says_what_the_oracle_says(
    connection: duckdb.DuckDBPyConnection, given_card: dict[str, Any], world: World
) -> None:
    scorecard = try_card(given_card)
    if scorecard is None:
        return
    found = run(scorecard, world, connection)
    assert set(found.scores) == {
        (account, day)
        for account, since in world.accounts.items()
        for day in world.days
        if since is None or since <= day
    }
    for (account, day), total in found.scores.items():
        adds_up(total, found.parts[account, day])
        expected = Oracle(scorecard, world).result(account, day)
        for part in found.parts[account, day]:
            judged = expected.parts[part.measure]
            place = f"{account} {day} {part.measure} {scorecard.measures[part.measure]}"
            assert part.state == judged.state, place
            scale = 1 + abs(judged.value or 0)
            assert close(part.value, judged.value, STEP * scale), place
            points = judged.points if judged.state in ("live", "held") else None
            assert close(part.points, points, 2 * STEP), place
        for rule, cap in scorecard.caps.items():
            name, limit = cap.when.split(" <= ")
            value = Oracle(scorecard, world).compared(name, account, day)
            held = None if value is None else value <= Fraction(float(limit))
            assert found.rules[account, day][f"{rule}__holds"] == held, (cap.when, value)
        scored = expected.score is not None and expected.coverage >= Fraction(scorecard.coverage_floor) - STEP
        assert close(total.score, expected.score if scored else None, 4 * STEP)
        assert close(total.coverage, expected.coverage, 2 * STEP)
        assert close(total.low, expected.low, 4 * STEP)
        if scored and expected.best is not None:
            assert total.tier in {tier(expected.best + off, scorecard) for off in (-4 * STEP, Fraction(0), 4 * STEP)}
        else:
            assert total.tier == "unscored"
    moves_add_up(scorecard, found)


def moves_add_up(scorecard: Scorecard, found: Scored) -> None:
    """Points and weights by themselves come to the score, and its causes to the change between two days."""
    views = {key: {part.measure: part for part in parts} for key, parts in found.parts.items()}
    scored = [(key, total.score) for key, total in sorted(found.scores.items()) if total.score is not None]
    for key, total in scored:
        assert close(worth(scorecard, views[key]), Fraction(total), 2 * STEP)
    for (one, was), (other, now) in pairwise(scored):  # of another account, too: it is all one to the sum
        moved = causes(now - was, [View(scorecard, views[one], views[other], kinds(scorecard, SOURCES, ()))])
        assert sum(cause.change for cause in moved) == now - was


def try_card(given_card: dict[str, Any]) -> Scorecard | None:
    weighted = sum(len(group["measures"]) for group in given_card["dimensions"].values())
    return card(**given_card) if weighted >= 2 else None


def tier(best: Fraction, scorecard: Scorecard) -> str:
    return "green" if best >= scorecard.tiers.green else "yellow" if best >= scorecard.tiers.yellow else "red"


def adds_up(total: Score, parts: list[Part]) -> None:
    """Contributions sum to the score with ==, in either order, and nothing leaves its bounds."""
    assert 0 <= total.low <= (total.low if total.score is None else total.score) <= total.high <= 100
    assert 0 <= total.coverage <= 1
    for part in parts:
        counted = part.state in ("live", "held")
        assert (part.points is not None) == counted
        assert (part.weight > 0) == counted
        assert part.points is None or 0 <= part.points <= 100
        assert (part.contribution is not None) == (counted and total.score is not None)
    if total.score is not None:
        assert sum(part.contribution for part in parts if part.contribution is not None) == total.score
        assert sum(part.contribution for part in reversed(parts) if part.contribution is not None) == total.score


@settings(max_examples=15, phases=[Phase.generate])
@given(given_card=cards(), world=worlds())
def test_a_day_known_beforehand_is_scored_as_one_of_many(
    connection: duckdb.DuckDBPyConnection, given_card: dict[str, Any], world: World
) -> None:
    scorecard = try_card(given_card)
    if scorecard is None:
        return
    fill(connection, world)
    many = score(compile(scorecard, world.sources), connection)
    for day in world.days:
        alone = run(scorecard, replace(world, days=(day,)), connection)
        assert alone.scores == {key: total for key, total in many.scores.items() if key[1] == day}
        assert alone.parts == {key: parts for key, parts in many.parts.items() if key[1] == day}


@settings(max_examples=14, phases=[Phase.generate])
@given(given_card=cards(), world=worlds(), often=st.sampled_from([0, 10_000]))
def test_a_range_of_days_read_at_once_is_scored_as_each_of_its_days(
    connection: duckdb.DuckDBPyConnection, given_card: dict[str, Any], world: World, often: int
) -> None:
    """By the form that joins facts to days, which the oracle above is for, and by the one that reads each fact once."""
    scorecard = try_card(given_card)
    if scorecard is None:
        return
    world.days = tuple(TODAY - timedelta(days=ago) for ago in range(12))
    fill(connection, world)
    through = {source: through for source, (_, through) in world.reads.items()}
    joined = score(compile(scorecard, world.sources), connection)
    asked = Range(world.days[-1], TODAY, through, dict.fromkeys(through, often))
    assert score(compile(scorecard, world.sources, asked), connection) == joined


@settings(max_examples=10, phases=[Phase.generate])
@given(given_card=cards(), world=worlds(), stopped=st.sets(st.sampled_from(sorted(SOURCES))), ago=st.integers(0, 12))
def test_a_source_that_stops_never_worsens_a_tier(
    connection: duckdb.DuckDBPyConnection, given_card: dict[str, Any], world: World, stopped: set[str], ago: int
) -> None:
    """With every other fact standing still: against the same stop held for ever, and against the day all stopped."""
    scorecard = try_card(given_card)
    if scorecard is None:
        return
    moment = TODAY - timedelta(days=ago)
    halted = stop(world, stopped, moment)
    for_ever = scorecard.model_copy(update={"hold": 3660})
    no_worse(run(scorecard, halted, connection).scores, score(compile(for_ever, world.sources), connection).scores)

    still = stop(world, set(SOURCES), moment)
    still.accounts = dict.fromkeys(still.accounts)
    still.days = (moment,)
    before = run(scorecard, still, connection).scores
    still.days = (TODAY,)
    after = run(scorecard, still, connection).scores
    no_worse(after, {(account, TODAY): total for (account, _), total in before.items()})


def stop(world: World, stopped: set[str], moment: date) -> World:
    reads = {
        source: (since, min(through, moment) if source in stopped else through)
        for source, (since, through) in world.reads.items()
    }
    return replace(world, reads=reads)


def no_worse(after: dict[Any, Any], before: dict[Any, Any]) -> None:
    for place, was in before.items():
        now = after[place]
        if was.tier != "unscored" and now.tier != "unscored":
            assert TIERS.index(now.tier) >= TIERS.index(was.tier), (place, was, now)

"""Random scorecards over random facts: the compiled SQL agrees with the oracle, and what must always hold does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import duckdb
import psycopg
import pytest
from hypothesis import strategies as st

from scoring import Part, Range, Scorecard, View, causes, compile, kinds, worth
from tests.oracle import Oracle
from tests.scoring_cases import SOURCES, parts, tried
from tests.scoring_world import TODAY, Score, Scored, World, asked, connect, fill, run, score
from tests.test_scoring_postgres import alike, filled, prepared

STEP = Fraction(1, 2**20)
TIERS = ["red", "yellow", "green"]
STOPPED, AGO = st.sets(st.sampled_from(sorted(SOURCES))), st.integers(0, 12)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as connection:
        yield connection


def close(one: float | None, two: Fraction | None, within: Fraction) -> bool:
    if one is None or two is None:
        return one is None and two is None
    return abs(Fraction(one) - two) <= within


@pytest.mark.parametrize("part", parts())
def test_sql_says_what_the_oracle_says(connection: duckdb.DuckDBPyConnection, part: int) -> None:
    tried(partial(says_what_the_oracle_says, connection), 30, part)


def says_what_the_oracle_says(connection: duckdb.DuckDBPyConnection, scorecard: Scorecard, world: World) -> None:
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
            scale = 1 + abs(judged.value or Fraction())
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


@pytest.mark.parametrize("part", parts(0.2))
def test_a_day_known_beforehand_is_scored_as_one_of_many(connection: duckdb.DuckDBPyConnection, part: int) -> None:
    tried(partial(alone_as_among_many, connection), 10, part)


def alone_as_among_many(connection: duckdb.DuckDBPyConnection, scorecard: Scorecard, world: World) -> None:
    fill(connection, world)
    many = score(compile(scorecard, world.sources), connection)
    for day in world.days:
        alone = run(scorecard, replace(world, days=(day,)), connection)
        assert alone.scores == {key: total for key, total in many.scores.items() if key[1] == day}
        assert alone.parts == {key: parts for key, parts in many.parts.items() if key[1] == day}


@pytest.mark.parametrize("part", parts(0.2))
def test_a_range_of_days_read_at_once_is_scored_as_each_of_its_days(
    connection: duckdb.DuckDBPyConnection, part: int
) -> None:
    """By the form that joins facts to days, which the oracle above is for, and by those that read each fact once."""
    tried(partial(at_once_as_each_day, connection), 10, part, often=st.sampled_from([0, 10_000]))


def at_once_as_each_day(connection: duckdb.DuckDBPyConnection, scorecard: Scorecard, world: World, often: int) -> None:
    world.days = tuple(TODAY - timedelta(days=ago) for ago in range(12))
    fill(connection, world)
    through = {source: through for source, (_, through) in world.reads.items()}
    joined = score(compile(scorecard, world.sources), connection)
    span = Range(world.days[-1], TODAY, through, dict.fromkeys(through, often))
    assert score(compile(scorecard, world.sources, span), connection) == joined


@pytest.mark.parametrize("part", parts(0.2))
def test_a_source_that_stops_never_worsens_a_tier(connection: duckdb.DuckDBPyConnection, part: int) -> None:
    """With every other fact standing still: against the same stop held for ever, and against the day all stopped."""
    tried(partial(stopping_never_worsens, connection), 6, part, stopped=STOPPED, ago=AGO)


def stopping_never_worsens(
    connection: duckdb.DuckDBPyConnection, scorecard: Scorecard, world: World, stopped: set[str], ago: int
) -> None:
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


@pytest.mark.parametrize("part", parts(0.2))
def test_threads_and_the_order_of_facts_change_no_bit(connection: duckdb.DuckDBPyConnection, part: int) -> None:
    with connect(threads=4) as other:
        tried(partial(shuffled_as_in_order, connection, other), 4, part, chance=st.randoms(use_true_random=False))


def shuffled_as_in_order(
    connection: duckdb.DuckDBPyConnection,
    other: duckdb.DuckDBPyConnection,
    scorecard: Scorecard,
    world: World,
    chance: Random,
) -> None:
    found = run(scorecard, world, connection)
    chance.shuffle(world.facts)
    world.links = dict(chance.sample(sorted(world.links.items()), len(world.links)))
    assert run(scorecard, world, other) == found


@pytest.mark.parametrize("part", parts(0.04))
def test_postgresql_gives_random_scorecards_the_same_bits(
    connection: duckdb.DuckDBPyConnection, postgres_database: str, part: int
) -> None:
    with prepared(postgres_database) as post:
        tried(partial(there_as_here, connection, post), 2, part)


def there_as_here(
    connection: duckdb.DuckDBPyConnection, post: psycopg.Connection[Any], scorecard: Scorecard, world: World
) -> None:
    fill(connection, world)
    filled(post, connection)
    through = {source: through for source, (_, through) in world.reads.items()}
    for known in (asked(world), Range(world.days[-1], TODAY, through)):
        alike(compile(scorecard, world.sources, known), connection, post)

"""Steady tiers of many accounts at once: the same as each account folded by itself, day by day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from scoring import Scorecard
from scoring.settle import Day, Fired, Steady, read, settle, told
from sync.fold import NOBODY, fold
from tests.scoring_world import card

FIRST = date(2026, 3, 1)
CARD = card(
    dimensions={"use": {"weight": 1, "measures": {"use": 1, "fell": 1}}},
    measures={
        "use": {"events": "login", "take": "user_days", "window": "14d", "points": {0: 0, 10: 100}},
        "fell": {"of": "use", "against": "previous", "points": {-1: 0, 0: 100}},
    },
    caps={
        "fell": {"when": "fell <= -0.3", "tier": "yellow", "reason": "use fell", "lasts": "3d"},
        "idle": {"when": "use = 0", "tier": "red", "reason": "nobody came"},
    },
    watch={"quiet": {"when": "use < 5", "reason": "hardly anybody came"}},
)
BARE = CARD.model_copy(update={"caps": {}, "watch": {}})
CHANGED = Scorecard.model_validate(CARD.model_dump(by_alias=True, exclude_defaults=True) | {"tiers": {"green": 80}})
ACCOUNTS = ["acme", "beta", "coda"]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        opened.execute(
            "create table rows(account varchar, as_of date, tier varchar, tier_score double, fell__holds boolean,"
            " fell__now double, fell__before double, idle__holds boolean, quiet__holds boolean)"
        )
        opened.execute("create view raw as select account, as_of, tier, tier_score from rows")
        opened.execute("create view rules as select * exclude (tier, tier_score) from rows")
        opened.execute("create table earlier(account varchar, fold varchar)")
        yield opened


HOLDS = st.sampled_from([False, False, False, None, True])
DAYS = st.tuples(
    st.one_of(st.none(), st.floats(0, 100), st.sampled_from([90.0, 90.0, 70.0, 68.0, 30.0])),
    st.tuples(HOLDS, st.sampled_from([None, 7.0, 9.0]), st.just(10.0), HOLDS, HOLDS),
)


# some days are like the one before
LIVED = st.lists(st.tuples(DAYS, st.sampled_from([1, 1, 4])), min_size=1, max_size=4).map(
    lambda runs: [day for day, times in runs for _ in range(times)]
)


def raw(scorecard: Scorecard, score: float | None) -> str:
    if score is None:
        return "unscored"
    return "green" if score >= scorecard.tiers.green else "yellow" if score >= scorecard.tiers.yellow else "red"


def fill(connection: duckdb.DuckDBPyConnection, scorecard: Scorecard, days: dict[str, list[Any]], start: int) -> None:
    rows = [
        (account, FIRST + timedelta(start + number), raw(scorecard, score), score, *fired)
        for account, lived in days.items()
        for number, (score, fired) in enumerate(lived)
    ]
    connection.execute("delete from rows")
    if rows:
        marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(rows))
        connection.execute(f"insert into rows values {marks}", [value for row in rows for value in row])


def found(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, date], tuple[str, str | None, str]]:
    rows = connection.execute("select account, as_of, tier, fold, flags from tiers").fetchall()
    return {(account, day): (tier, text, flags) for account, day, tier, text, flags in rows}


def expected(
    scorecard: Scorecard,
    days: dict[str, list[Any]],
    states: dict[str, Steady | None],
    start: int,
    *,
    final: bool = True,
) -> dict[tuple[str, date], tuple[str, str | None, str]]:
    """Each account by itself; `states` go in as they were before and come out as they are after."""
    answers = {}
    for account, lived in days.items():
        for number, (score, (fell, now, before, idle, quiet)) in enumerate(lived):
            rules = {"fell": Fired(fell, now, before), "idle": Fired(idle)} if scorecard.caps else {}
            day = Day(FIRST + timedelta(start + number), raw(scorecard, score), score, rules)
            state = states[account] = settle(scorecard, states.get(account), day, final=final)
            tier = "unscored" if score is None else told(scorecard, state)
            flags = [f"cap:{cap.name}:{cap.began}" for cap in state.caps] if state else []
            flags += ["watch:quiet"] if tier == "green" and quiet and scorecard.watch else []
            answers[account, day.day] = (tier, state and state.text(), " ".join(flags))
    return answers


@settings(max_examples=25, phases=[Phase.generate])
@given(
    st.fixed_dictionaries(dict.fromkeys(ACCOUNTS, LIVED)),
    st.sampled_from([CARD, BARE]),
    st.sampled_from([1, 3]),
)
def test_many_days_at_once_a_few_at_a_time_and_each_by_itself_are_the_same(
    connection: duckdb.DuckDBPyConnection, days: dict[str, list[Any]], scorecard: Scorecard, step: int
) -> None:
    fill(connection, scorecard, days, 0)
    fold(connection, scorecard)
    whole = found(connection)
    assert whole == expected(scorecard, days, {}, 0)
    connection.execute("delete from earlier")
    for start in range(0, max(map(len, days.values())), step):
        some = {account: lived[start : start + step] for account, lived in days.items()}
        fill(connection, scorecard, some, start)
        fold(connection, scorecard, before="select * from earlier")
        told_now = found(connection)
        assert told_now == {place: answer for place, answer in whole.items() if place in told_now}
        for account, lived in some.items():
            if lived:
                last = whole[account, FIRST + timedelta(start + len(lived) - 1)][1]
                connection.execute("delete from earlier where account = ?", [account])
                connection.execute("insert into earlier values (?, ?)", [account, last])


@settings(max_examples=40, phases=[Phase.generate])
@given(
    st.fixed_dictionaries({account: st.lists(DAYS, min_size=1, max_size=5) for account in ACCOUNTS}),
    st.fixed_dictionaries({account: DAYS.map(lambda day: [day]) for account in ACCOUNTS}),
    st.booleans(),
    st.sampled_from([CARD, CHANGED, BARE]),
)
def test_what_comes_after_a_state_is_the_same_by_whichever_scorecard(
    connection: duckdb.DuckDBPyConnection,
    days: dict[str, list[Any]],
    last: dict[str, list[Any]],
    final: bool,
    scorecard: Scorecard,
) -> None:
    states: dict[str, Steady | None] = {}
    expected(CARD, days, states, 0)
    connection.execute("delete from earlier")
    for account, state in states.items():
        if state:
            assert read(state.text()) == state
            connection.execute("insert into earlier values (?, ?)", [account, state.text()])
    fill(connection, scorecard, last, 9)
    fold(connection, scorecard, before="select * from earlier", final=final)
    wanted = expected(scorecard, last, states, 9, final=final)
    answered = found(connection)
    for place, (tier, text, flags) in wanted.items():
        assert answered[place][::2] == (tier, flags)
        # a state of another version, without caps, is worth nothing to what comes after: it need not be handed on
        assert answered[place][1] in (text, None if text and scorecard.version not in text else text)


def test_of_nobody_nothing_is_told(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, CARD, {}, 0)
    fold(connection, CARD, before=NOBODY)
    assert found(connection) == {}

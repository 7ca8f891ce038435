"""The score history: whole days replaced, read back as they were, in a bounded number of files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from scoring import Part
from sync import delta, history
from sync.errors import LeaseLost
from sync.history import History

FIRST = date(2025, 12, 30)


@pytest.fixture
def kept(tmp_path: Path) -> History:
    return History(tmp_path / "history")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("set TimeZone='UTC'")
        yield opened


def _scored(
    connection: duckdb.DuckDBPyConnection,
    days: list[date],
    *,
    score: float,
    accounts: int = 3,
    version: str = "v1",
    fold: str = "",
    flags: str = "",
) -> None:
    """The relations that scoring leaves, for these days."""
    listed = ", ".join(f"date '{day}'" for day in days)
    connection.execute(f"""
create or replace temp table scores as
select 'account-' || n as account, day as as_of, {score} + n as score, 'green' as tier, 1.0 as coverage,
       {score} + n as low, {score} + n as high, false as held, 'it''s ours' as scorecard, '{version}' as version,
       'green' as raw_tier, {score} + n as tier_score, nullif('{fold}', '') as fold, '{flags}' as flags
from range({accounts}) t(n), (select unnest([{listed}]) as day);
create or replace temp table parts as
select account, as_of, 'usage' as dimension, measure, case when measure = 'logins' then score end as value,
       score as points, 0.5 as weight, score / 2 as contribution, 'live' as state
from scores, (select unnest(['seats', 'logins']) as measure)""")


def test_a_history_that_was_never_written_is_empty(kept: History) -> None:
    assert kept.days() == set()
    assert kept.scores_on(FIRST) == {}
    assert kept.parts_on(FIRST) == {}


def test_a_day_is_read_back_with_every_part(kept: History, connection: duckdb.DuckDBPyConnection) -> None:
    _scored(connection, [FIRST], score=50)
    kept.record(connection, [FIRST], final=True)
    assert kept.scores_on(FIRST)["account-2"] == (52.0, "green", "v1")
    assert kept.parts_on(FIRST, ["account-1"]) == {
        "account-1": (
            Part("usage", "logins", 51.0, 51.0, 0.5, 25.5, "live"),
            Part("usage", "seats", None, 51.0, 0.5, 25.5, "live"),
        )
    }
    assert list(kept.parts_on(FIRST)) == ["account-0", "account-1", "account-2"]


def test_only_the_days_asked_for_are_kept(kept: History, connection: duckdb.DuckDBPyConnection) -> None:
    days = [FIRST + timedelta(n) for n in range(4)]
    _scored(connection, days, score=50)
    kept.record(connection, days[:3:2], final=True)
    kept.record(connection, [], final=True)
    assert kept.days() == {days[0], days[2]}


def test_a_day_written_again_replaces_itself_and_no_other(kept: History, connection: duckdb.DuckDBPyConnection) -> None:
    days = [FIRST + timedelta(n) for n in range(4)]  # they lie in two months
    _scored(connection, days, score=50)
    kept.record(connection, days, final=False)
    _scored(connection, days[1:3], score=70, accounts=2, version="v2")
    kept.record(connection, days[1:3], final=True)
    assert {day: kept.scores_on(day).get("account-1") for day in days} == {
        days[0]: (51.0, "green", "v1"),
        days[1]: (71.0, "green", "v2"),
        days[2]: (71.0, "green", "v2"),
        days[3]: (51.0, "green", "v1"),
    }
    assert "account-2" not in kept.scores_on(days[1])
    assert "account-2" not in kept.parts_on(days[1])
    assert kept.days() == set(days)
    assert kept.days(final_only=True) == set(days[1:3])


def test_a_flag_began_with_the_first_of_its_days_in_a_row(kept: History, connection: duckdb.DuckDBPyConnection) -> None:
    days = [FIRST + timedelta(n) for n in range(6)]
    for day, flags in zip(
        days, ["watch:a", "watch:b", "watch:a", "cap:c:2025-12-30 watch:a", "watch:ab", ""], strict=True
    ):
        _scored(connection, [day], score=50, flags=flags)
        kept.record(connection, [day], final=True)
    assert kept.raised_since("account-1", "watch:a", days[3]) == days[2]
    assert kept.raised_since("account-1", "watch:a", days[0]) == days[0]
    assert kept.raised_since("account-1", "watch:a", days[5]) is None
    assert kept.raised_since("account-9", "watch:a", days[3]) is None


def test_scores_wait_for_their_parts(
    kept: History, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _scored(connection, [FIRST], score=50)
    real = History._replace

    def killed_between(of: History, connection: object, path: Path, *rest: object) -> None:
        if path.name == "scores":
            raise KeyboardInterrupt
        real(of, connection, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(History, "_replace", killed_between)
    with pytest.raises(KeyboardInterrupt):
        kept.record(connection, [FIRST], final=True)
    assert kept.days() == set()
    monkeypatch.undo()
    kept.record(connection, [FIRST], final=True)
    assert len(kept.parts_on(FIRST)["account-0"]) == 2


def test_a_day_that_was_held_in_hand_does_not_replace_the_one_kept(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lost = False

    @contextmanager
    def guard() -> Iterator[None]:
        if lost:
            raise LeaseLost
        yield

    guarded = History(tmp_path / "history", guard=guard)
    _scored(connection, [FIRST], score=50)
    guarded.record(connection, [FIRST], final=True)
    lost = True
    _scored(connection, [FIRST], score=10)
    for late in (lambda: guarded.record(connection, [FIRST], final=True), lambda: guarded.erase(["account-0"])):
        with pytest.raises(LeaseLost):
            late()
    assert guarded.scores_on(FIRST)["account-0"][0] == 50


def test_many_single_days_stay_in_few_files(
    kept: History, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MONTH_FILES", 3)
    days = [date(2026, 1, 1) + timedelta(n) for n in range(14)]
    for n, day in enumerate(days):
        _scored(connection, [day], score=n)
        kept.record(connection, [day], final=True)
    files = delta.data_files(delta.open_table(kept.path / "parts"))
    assert len(files) <= 3 + 1
    assert sum(file.rows for file in files) == 14 * 3 * 2
    assert kept.days() == set(days)
    assert kept.scores_on(days[7])["account-0"] == (7.0, "green", "v1")


def test_any_delta_reader_can_read_the_table(kept: History, connection: duckdb.DuckDBPyConnection) -> None:
    _scored(connection, [FIRST], score=50)
    kept.record(connection, [FIRST], final=True)
    table = delta.open_table(kept.path / "scores")
    assert table is not None
    assert [field.name for field in table.schema().fields][-4:] == ["fold", "flags", "final", "month"]
    assert table.count() == 3


def test_the_states_after_a_day_are_those_that_it_was_kept_with_once_it_was_final(
    kept: History, connection: duckdb.DuckDBPyConnection
) -> None:
    for n, (fold, final) in enumerate([("green v1", True), ("red v1", True), ("yellow v1", False)]):
        _scored(connection, [FIRST + timedelta(n)], score=50, fold=fold)
        kept.record(connection, [FIRST + timedelta(n)], final=final)

    def after(n: int) -> set[str]:
        return {fold for _, fold in connection.execute(kept.states_after(FIRST + timedelta(n))).fetchall()}

    assert [after(n) for n in (-1, 0, 1, 2, 40)] == [set(), {"green v1"}, {"red v1"}, set(), set()]
    assert kept.last_before(FIRST + timedelta(9)) == FIRST + timedelta(1)


def test_a_history_that_began_with_fewer_columns_is_read_and_goes_on(
    kept: History, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _scored(connection, [FIRST], score=50)
    with monkeypatch.context() as before:
        fewer = {name: kind for name, kind in history._SCORES.items() if name not in ("raw_tier", "fold", "flags")}
        before.setattr(history, "_SCORES", fewer)
        kept.record(connection, [FIRST], final=True)
    assert kept.scores_on(FIRST)["account-0"] == (50.0, "green", "v1")
    assert connection.execute(kept.states_after(FIRST)).fetchall() == []
    next_day = FIRST + timedelta(1)
    _scored(connection, [next_day], score=60, fold="green v1")
    kept.record(connection, [next_day], final=True)
    assert kept.scores_on(FIRST)["account-0"] == (50.0, "green", "v1")
    assert connection.execute(kept.states_after(next_day)).fetchall()[0][1] == "green v1"

"""The event log: what is true is in `events` once, whatever pages, settlings, kills and clocks did before."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from arro3.core import Array, DataType, Table
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Event, Page
from connectors.clock import SteppedClock
from sync import delta, settling
from sync.errors import StateError
from sync.log import Appended, Log

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 6, 1, tzinfo=UTC)
MAY = datetime(2026, 5, 4, 9, tzinfo=UTC)


def _log(folder: Path, clock: SteppedClock | None = None) -> Log:
    return Log(folder / "log", timezone=BERLIN, clock=clock or SteppedClock(START))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return _log(tmp_path)


def _fact(
    id: str,
    value: float | None = 1.0,
    *,
    at: datetime = MAY,
    key: str = "acme",
    label: str | None = None,
    source: str = "zendesk",
    name: str = "ticket.created",
) -> Event:
    return Event(source, id, key, None, name, at, value, label)


def _events(log: Log) -> list[tuple[Any, ...]]:
    with log.connect(spill=log.path.parent / "spill") as connection:
        return connection.execute("select * from events order by all").fetchall()


def _values(log: Log) -> dict[str, float | None]:
    return {row[1]: row[7] for row in _events(log)}


def _version(log: Log) -> int:
    return DeltaTable(str(log.path)).version()


# -- a page ----------------------------------------------------------------------------------------------------


def test_a_log_that_was_never_written_is_empty_and_stays_unwritten(log: Log) -> None:
    assert _events(log) == []
    assert log.names("zendesk") == frozenset()
    assert log.settle() == settling.Settled()
    assert log.unsettled() == (0, 0)
    assert not log.path.exists()


def test_a_fact_is_dated_in_the_configured_timezone(log: Log) -> None:
    late = datetime(2026, 5, 31, 23, 30, tzinfo=UTC)  # the first of June in Berlin
    done = log.append("zendesk", Page([_fact("1/created", at=late, label="urgent")]))
    day = date(2026, 6, 1)
    assert done == Appended(1, 0, 0, frozenset({"ticket.created"}), day, day)
    assert _events(log) == [
        ("zendesk", "1/created", "acme", None, "ticket.created", day, late.replace(tzinfo=None), 1.0, "urgent")
    ]


def test_a_page_repeated_commits_nothing(log: Log) -> None:
    page = Page([_fact("1/created"), _fact("2/created", None, label="x")])
    log.append("zendesk", page)
    before = _version(log)
    again = log.append("zendesk", page)
    assert (again.written, again.retracted, again.unchanged) == (0, 0, 2)
    assert again.names == {"ticket.created"}
    log.settle()
    settled = _version(log)
    assert log.append("zendesk", page).unchanged == 2
    assert (_version(log) - settled, before) == (0, 1)


def test_an_empty_page_makes_no_log(log: Log) -> None:
    assert log.append("zendesk", Page(cursor={"after": "x"})) == Appended()
    assert not log.path.exists()


def test_only_what_changed_is_written(log: Log) -> None:
    log.append("zendesk", Page([_fact("1/created"), _fact("2/created"), _fact("3/created")]))
    changed = [_fact("1/created"), _fact("2/created", 2), _fact("3/created", key="other"), _fact("4/created")]
    done = log.append("zendesk", Page(changed))
    assert (done.written, done.unchanged) == (3, 1)
    assert log.unsettled() == (6, 2)
    assert [(row[1], row[2], row[7]) for row in _events(log)] == [
        ("1/created", "acme", 1.0),
        ("2/created", "acme", 2.0),
        ("3/created", "other", 1.0),
        ("4/created", "acme", 1.0),
    ]


def test_of_one_id_in_a_page_the_last_counts(log: Log) -> None:
    assert log.append("zendesk", Page([_fact("1/a", 1), _fact("1/a", 3), _fact("1/a", 2)])).written == 1
    assert _values(log) == {"1/a": 2.0}


def test_the_same_id_in_two_sources_is_two_facts(log: Log) -> None:
    log.append("zendesk", Page([_fact("1/a", 1)]))
    log.append("other", Page([_fact("1/a", 2, source="other")]))
    log.append("other", Page(retracts=["1"]))
    assert [row[0] for row in _events(log)] == ["zendesk"]
    assert log.names("zendesk") == {"ticket.created"}
    assert log.names("other") == frozenset()


def test_values_are_rounded_to_a_multiple_of_a_1024th(log: Log) -> None:
    exact = [0.5, -1.5, 8.8e12, 0.0, -0.0009765625]
    log.append("zendesk", Page([_fact(f"{n}/a", value) for n, value in enumerate(exact)]))
    log.append("zendesk", Page([_fact("9/a", 1 / 3), _fact("10/a", -1 / 3)]))
    values = _values(log)
    assert [values[f"{n}/a"] for n in range(5)] == exact
    assert (values["9/a"], values["10/a"]) == (341 / 1024, -341 / 1024)


@pytest.mark.parametrize(
    ("wrong", "place", "reason"),
    [
        (_fact("1/a", float("nan")), "1/a", "its value is not a number"),
        (_fact("1/a", float("-inf")), "1/a", "its value is not a number"),
        (_fact("1/a", 8.9e12), "1/a", "its value is too large"),
        (_fact("1/a", label="x" * 65), "1/a", "its label is longer than 64 characters"),
        (_fact("1/a", at=MAY.replace(tzinfo=None)), "1/a", "it has no moment, or one without a timezone"),
        (_fact("1/a", key=""), "1/a", "it has no account key"),
        (_fact("1/a", name=""), "1/a", "it has no name"),
        (_fact("", 1), "row 2", "it has no id"),
        (_fact("1/a", source="mixpanel"), "1/a", "it is a fact of another source"),
    ],
)
def test_a_wrong_row_is_told_and_costs_no_other(log: Log, wrong: Event, place: str, reason: str) -> None:
    done = log.append("zendesk", Page([_fact("2/a"), wrong]))
    assert (done.written, done.refused, done.rejected) == (1, 1, ((place, reason),))
    assert list(_values(log)) == ["2/a"]


def test_of_very_many_wrong_rows_the_first_are_told(log: Log) -> None:
    done = log.append("zendesk", Page([_fact(f"{n}/a", float("nan")) for n in range(1000)]))
    assert (done.written, done.refused, len(done.rejected)) == (0, 1000, 100)
    assert done.rejected[0].place == "0/a"


# -- retractions -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["tail", "settled"])
def filled(request: pytest.FixtureRequest, log: Log) -> Log:
    """Facts of three tickets in two months, not settled yet or settled."""
    april = MAY - timedelta(days=30)
    log.append("zendesk", Page([_fact("1/a"), _fact("1/b", at=april), _fact("11/a"), _fact("2/a", at=april)]))
    if request.param == "settled":
        log.settle()
    return log


def test_a_fact_with_neither_value_nor_label_retracts(filled: Log) -> None:
    done = filled.append("zendesk", Page([_fact("1/b", None, at=MAY), _fact("7/a", None)]))  # of another month
    assert (done.written, done.retracted, done.unchanged) == (0, 1, 0)
    assert done.names == frozenset()
    assert list(_values(filled)) == ["1/a", "11/a", "2/a"]


def test_a_retracted_subject_loses_all_its_facts_but_those_in_the_page(filled: Log) -> None:
    done = filled.append("zendesk", Page([_fact("2/c")], retracts=["1", "2", "o'brien"]))
    assert (done.written, done.retracted) == (1, 3)
    assert list(_values(filled)) == ["11/a", "2/c"]
    assert filled.append("zendesk", Page(retracts=["1", "2"])).retracted == 1
    assert list(_values(filled)) == ["11/a"]


def test_a_page_that_replaces_days_retracts_what_it_does_not_hold(filled: Log) -> None:
    day = MAY.date()
    page = Page([_fact("1/a", 5)], replaces=(day, day))
    done = filled.append("zendesk", page)
    assert (done.written, done.retracted, done.first_day, done.last_day) == (1, 1, day, day)
    assert _values(filled) == {"1/a": 5.0, "1/b": 1.0, "2/a": 1.0}
    assert filled.append("zendesk", page) == Appended(0, 0, 1, frozenset({"ticket.created"}))
    assert filled.append("zendesk", Page(replaces=(date(2026, 4, 1), day))).retracted == 3
    assert _events(filled) == []


def test_a_page_that_replaces_days_of_some_accounts_leaves_the_others_alone(tmp_path: Path) -> None:
    log = _log(tmp_path)
    day = MAY.date()
    log.append("usage", Page([_fact(f"{key}/x", key=key, source="usage") for key in ("a", "b'", "c")]))

    done = log.append("usage", Page(replaces=(day, day), among=("b'", "c")))

    assert done.retracted == 1
    assert list(_values(log)) == ["a/x", "c/x"]
    assert log.append("usage", Page(replaces=(day, day), among=("b", None))).retracted == 1
    assert list(_values(log)) == ["a/x"]


@settings(max_examples=6)
@given(
    first=st.sets(st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.sampled_from([1.0, 2.0])), max_size=6),
    second=st.sets(st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.sampled_from([1.0, 2.0])), max_size=6),
    settled=st.booleans(),
    killed=st.integers(0, 4),
)
def test_days_exported_again_in_parts_end_as_if_they_had_come_in_one_page(
    tmp_path_factory: pytest.TempPathFactory,
    first: set[tuple[str, int, float]],
    second: set[tuple[str, int, float]],
    settled: bool,
    killed: int,
) -> None:
    log = _log(tmp_path_factory.mktemp("parts"))
    for page in _parts(first):
        log.append("usage", page)
    if settled:
        log.settle()
    for page in [*_parts(second)[:killed], *_parts(second)]:  # killed half-way, they all come again
        log.append("usage", page)

    assert _values(log) == {f"{key}/05-{day:02d}": value for key, day, value in sorted(second)}


def _parts(told: set[tuple[str, int, float]]) -> list[Page]:
    """Of each day, a page for the accounts before "b" and one for the rest."""
    facts = {(key, day): value for key, day, value in sorted(told)}
    return [
        Page(
            [
                _fact(f"{key}/05-{day:02d}", value, key=key, source="usage", at=MAY.replace(day=day))
                for (key, day), value in facts.items()
                if day == one and (key < "b") == (low == "")
            ],
            replaces=(date(2026, 5, one), date(2026, 5, one)),
            among=(low, high),
            dated_ids=True,
        )
        for one in (1, 2)
        for low, high in (("", "b"), ("b", None))
    ]


def test_a_fact_that_moved_out_of_the_replaced_days_stays(filled: Log) -> None:
    filled.append("zendesk", Page([_fact("1/a", at=MAY + timedelta(days=40))]))
    assert filled.append("zendesk", Page(replaces=(MAY.date(), MAY.date()))).retracted == 1
    assert list(_values(filled)) == ["1/a", "1/b", "2/a"]


def test_a_refused_row_leaves_the_fact_it_names_as_it_was(filled: Log) -> None:
    page = Page([_fact("1/a", float("nan"))], replaces=(MAY.date(), MAY.date()))
    done = filled.append("zendesk", page)
    assert (done.refused, done.retracted) == (1, 1)
    assert list(_values(filled)) == ["1/a", "1/b", "2/a"]


def test_a_fact_may_move_to_another_month_and_account_and_back(filled: Log) -> None:
    away = _fact("1/a", at=MAY + timedelta(days=60), key="other")
    for fact in (away, _fact("1/a"), away):
        assert filled.append("zendesk", Page([fact])).written == 1
        found = [(row[2], row[5].month) for row in _events(filled) if row[1] == "1/a"]
        assert found == [(fact.account_key, fact.occurred_at.month)]
    filled.settle()
    assert [row[2] for row in _events(filled) if row[1] == "1/a"] == ["other"]
    assert len(_events(filled)) == 4


def test_a_retracted_fact_may_become_true_again(filled: Log) -> None:
    filled.append("zendesk", Page(retracts=["1"]))
    assert filled.append("zendesk", Page([_fact("1/a")])).written == 1
    assert list(_values(filled)) == ["1/a", "11/a", "2/a"]


# -- Arrow data ------------------------------------------------------------------------------------------------


class _Once:
    """An Arrow stream that may be read once."""

    def __init__(self, data: Any) -> None:
        self.data, self.reads = data, 0

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        self.reads += 1
        return self.data.__arrow_c_stream__(requested_schema)


def test_a_relation_of_another_database_streams_through(log: Log) -> None:
    with duckdb.connect() as other:
        relation = other.sql("""
            select 'acc-' || i % 50 || '/u/' || i as id, 'acc-' || i % 50 as account_key, null as actor,
                   'login' as name, timestamp '2026-01-01' + to_minutes(i) as occurred_at, i % 3 as value,
                   null as label
            from range(50000) t(i)""")
        stream = _Once(relation)
        done = log.append("mixpanel", Page(stream))
        assert (done.written, stream.reads) == (50_000, 1)
        assert log.append("mixpanel", Page(_Once(relation))).unchanged == 50_000
    with log.connect(spill=log.path.parent / "spill") as connection:
        said = connection.execute("select count(*), count(distinct id), sum(value), min(occurred_at) from events")
        assert said.fetchall() == [(50_000, 50_000, 49_999.0, datetime(2026, 1, 1))]  # noqa: DTZ001


def test_arrow_moments_with_and_without_a_timezone_are_utc(log: Log) -> None:
    words, moment = DataType.utf8(), int(MAY.timestamp() * 1000)
    for n, zone in enumerate(["+02:00", None]):
        columns = {name: Array([name], type=words) for name in ("account_key", "actor", "name", "label")}
        at = Array([moment], type=DataType.int64()).cast(DataType.timestamp("ms", tz=zone))
        value = Array([1.0], type=DataType.float64())
        table = Table.from_pydict({"id": Array([f"{n}/a"], type=words), "occurred_at": at, "value": value, **columns})
        assert log.append("mixpanel", Page(table)).written == 1
    assert {row[6] for row in _events(log)} == {MAY.replace(tzinfo=None)}


# -- settling --------------------------------------------------------------------------------------------------


def test_settling_leaves_one_sorted_file_a_slice(log: Log) -> None:
    for n in range(4):
        facts = [_fact(f"{i}/a", n, key=f"k{9 - i}", at=MAY + timedelta(days=10 * i)) for i in range(6)]
        log.append("zendesk", Page(facts))
    before = _events(log)
    settled = log.settle()
    assert (settled.rows, settled.files_before, settled.files_after) == (6, 8, 2)
    assert log.unsettled() == (0, 0)
    assert _events(log) == before
    for file in delta.data_files(delta.open_table(log.path)):
        rows = duckdb.read_parquet(str(log.path / file.path)).project("account_key").fetchall()
        assert rows == sorted(rows)
    version = _version(log)
    assert log.settle() == settling.Settled(0, 2, 2)
    assert _version(log) == version


def test_a_long_backfill_stays_in_few_files(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.log.TAIL_FILES", 3)
    for n in range(8):
        log.append("zendesk", Page([_fact("1/a", n), _fact(f"{n}/b", at=MAY - timedelta(days=40 * n))]))
    rows, files = log.unsettled()
    assert rows == 16
    assert files <= 7 + 3  # a file each for seven months; the one that every page touches
    assert _values(log)["1/a"] == 7.0
    log.settle()
    assert _values(log) == {"1/a": 7.0} | {f"{n}/b": 1.0 for n in range(8)}


def test_large_files_of_a_long_backfill_are_left_as_they_are(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.log.TAIL_FILES", 2)
    monkeypatch.setattr("sync.log.SMALL_FILE", 2)
    for n in range(5):
        log.append("usage", Page([_fact(f"{n}/a", source="usage"), _fact(f"{n}/b", source="usage")]))

    assert log.unsettled() == (10, 5)


def test_settling_rewrites_only_the_slices_that_changed(log: Log) -> None:
    log.append("zendesk", Page([_fact("1/a"), _fact("2/a", at=MAY - timedelta(days=90))]))
    log.append("other", Page([_fact("1/a", source="other")]))
    log.settle()
    before = {file.path for file in delta.data_files(delta.open_table(log.path))}
    log.append("zendesk", Page([_fact("1/a", 2)]))
    assert log.settle().rows == 1
    after = {file.path for file in delta.data_files(delta.open_table(log.path))}
    assert len(before & after) == 2


def test_a_kill_before_the_settling_is_committed_changes_nothing(filled: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.append("zendesk", Page([_fact("1/a", 7)], retracts=["2"]))
    before, version = _events(filled), _version(filled)
    _killed(monkeypatch, "sync.delta.swap", filled)
    assert (_events(filled), _version(filled)) == (before, version)
    assert filled.settle().rows == 3
    assert _events(filled) == before


def test_a_kill_after_the_settling_is_committed_changes_nothing(filled: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.append("zendesk", Page([_fact("1/a", 7)], retracts=["2"]))
    before = _events(filled)
    _killed(monkeypatch, "sync.delta.vacuum", filled)
    assert filled.unsettled() == (0, 0)
    assert _events(filled) == before


def _killed(monkeypatch: pytest.MonkeyPatch, where: str, log: Log) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, kill)
        with pytest.raises(KeyboardInterrupt):
            log.settle()


def test_what_a_killed_settling_left_is_swept_once_it_is_old(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append("zendesk", Page([_fact("1/a")]))
    _killed(monkeypatch, "sync.delta.swap", log)
    (orphan,) = log.path.glob("source=*/month=*/settled=true/*.parquet")
    log.settle()
    assert orphan.exists()  # it could be a page that is being written now
    old = orphan.stat().st_mtime - (delta.RETENTION_HOURS + 1) * 3600
    os.utime(orphan, (old, old))
    log.append("zendesk", Page([_fact("2/a")]))
    log.settle()
    assert not orphan.exists()
    assert list(_values(log)) == ["1/a", "2/a"]


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something else just before the first commit of a settling."""
    real, acts = delta.swap, [act]

    def commit(*arguments: Any) -> None:
        if acts:
            acts.pop()()
        real(*arguments)

    monkeypatch.setattr(delta, "swap", commit)


def test_a_page_appended_while_settling_is_not_lost(
    filled: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.append("zendesk", Page([_fact("3/a")]))
    page = Page([_fact("1/a", 9), _fact("4/a")], retracts=["2"])
    _meanwhile(monkeypatch, lambda: _log(tmp_path).append("zendesk", page))
    filled.settle()
    expected = {"1/a": 9.0, "1/b": 1.0, "11/a": 1.0, "3/a": 1.0, "4/a": 1.0}
    assert _values(filled) == expected
    assert filled.unsettled() == (3, 2)
    filled.settle()
    assert _values(filled) == expected


def test_a_settling_that_another_overtook_reads_again(
    filled: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.append("zendesk", Page([_fact("1/a", 9)], retracts=["2"]))
    before = _events(filled)

    def overtake() -> None:
        other = _log(tmp_path)
        other.settle()
        other.append("zendesk", Page([_fact("5/a")]))

    _meanwhile(monkeypatch, overtake)
    filled.settle()
    assert [row for row in _events(filled) if row[1] != "5/a"] == before
    assert filled.unsettled() == (0, 0)
    assert len(list(filled.path.glob("source=*/month=*/settled=true/*.parquet"))) <= 6


def test_a_settling_that_is_always_overtaken_gives_up_and_leaves_no_files(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CommitFailedError("another was faster")

    log.append("zendesk", Page([_fact("1/a")]))
    monkeypatch.setattr(delta, "swap", refuse)
    with pytest.raises(CommitFailedError):
        log.settle()
    assert list(log.path.glob("source=*/month=*/settled=true/*.parquet")) == []
    assert list(_values(log)) == ["1/a"]


# -- readers, threads, clocks ----------------------------------------------------------------------------------


def test_a_reader_keeps_its_snapshot_while_others_write_and_settle(filled: Log) -> None:
    query = "select id, value from events order by id"
    with filled.connect(spill=filled.path.parent / "spill") as reader:
        before = reader.execute(query).fetchall()
        filled.append("zendesk", Page([_fact("1/a", 9)], retracts=["2"]))
        filled.settle()
        assert reader.execute(query).fetchall() == before
    assert _values(filled) != dict(before)


def test_a_reader_reaches_no_file_outside_the_log(filled: Log, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with filled.connect(spill=tmp_path / "spill") as reader:
        for forbidden in (
            f"select * from read_csv('{tmp_path}/secret.csv')",
            f"copy events to '{tmp_path}/stolen.csv'",
            f"attach '{tmp_path}/new.db'",
        ):
            with pytest.raises(duckdb.PermissionException):
                reader.execute(forbidden)
        with pytest.raises(duckdb.InvalidInputException, match="locked"):
            reader.execute("set enable_external_access = true")
        assert reader.execute("select current_setting('TimeZone')").fetchall() == [("UTC",)]


def test_the_printed_text_finds_the_same_events(filled: Log) -> None:
    filled.append("zendesk", Page([_fact("1/a", 9), _fact("6/a")], retracts=["2"]))
    files = delta.scan(filled.path, delta.data_files(delta.open_table(filled.path)))
    text = filled.sql().replace(f"delta_scan('{filled.path}')", files)
    with duckdb.connect() as plain:
        plain.execute("set TimeZone = 'UTC'")
        assert plain.execute(f"select * from ({text}) order by all").fetchall() == _events(filled)


def test_sources_append_from_their_own_threads(log: Log) -> None:
    def pull(source: str) -> None:
        for n in range(5):
            log.append(source, Page([_fact(f"{n}/a", source=source), _fact("last/a", n, source=source)]))

    threads = [threading.Thread(target=pull, args=(f"source{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_events(log)) == 4 * 6
    assert {row[7] for row in _events(log) if row[1] == "last/a"} == {4.0}


def test_the_newest_page_wins_though_the_clock_was_set_back(tmp_path: Path) -> None:
    _log(tmp_path, SteppedClock(START)).append("zendesk", Page([_fact("1/a", 1)]))
    for value in (2, 3):
        back = _log(tmp_path, SteppedClock(START - timedelta(days=365)))
        back.append("zendesk", Page([_fact("1/a", value)]))
        assert _values(back) == {"1/a": value}


def test_two_logs_of_one_folder_see_each_others_pages(tmp_path: Path) -> None:
    one, two = _log(tmp_path), _log(tmp_path)
    one.append("zendesk", Page([_fact("1/a", 1)]))
    assert two.append("zendesk", Page([_fact("1/a", 1)])).unchanged == 1
    two.append("zendesk", Page([_fact("1/a", 2)]))
    assert one.append("zendesk", Page([_fact("1/a", 1)])).written == 1
    assert _values(two) == {"1/a": 1.0}


def test_a_log_put_back_from_a_copy_is_read_as_it_is_now(log: Log, tmp_path: Path) -> None:
    log.append("zendesk", Page([_fact("1/created")]))
    shutil.copytree(log.path, tmp_path / "copy")
    for id in ("2/created", "3/created"):
        log.append("zendesk", Page([_fact(id)]))
    assert (log.version(), len(_values(log))) == (3, 3)
    shutil.rmtree(log.path)
    (tmp_path / "copy").rename(log.path)
    assert (log.version(), _values(log)) == (1, {"1/created": 1.0})
    assert log.append("zendesk", Page([_fact("2/created")])).written == 1
    assert _values(log).keys() == {"1/created", "2/created"}


def test_a_folder_may_have_any_name_but_one_with_a_percent_sign(tmp_path: Path) -> None:
    odd = tmp_path / "it's a dätä folder"
    odd.mkdir()
    log = _log(odd)
    log.append("zendesk", Page([_fact("1/a")]))
    log.settle()
    log.append("zendesk", Page([_fact("2/a")]))
    assert list(_values(log)) == ["1/a", "2/a"]
    with pytest.raises(StateError, match="with a % in its name"):
        _log(tmp_path / "50%20").append("zendesk", Page([_fact("1/a")]))


# -- the log against a dictionary ------------------------------------------------------------------------------

IDS = st.sampled_from(["1/a", "1/b", "1/b/2", "11/a", "2/a"])
DAYS = st.sampled_from([date(2026, 4, 30), date(2026, 5, 1), date(2026, 5, 2), date(2026, 7, 1)])
FACTS = st.builds(
    lambda id, key, day, value, label: _fact(
        id, value, key=key, label=label, at=datetime(day.year, day.month, day.day, 12, tzinfo=BERLIN)
    ),
    IDS,
    st.sampled_from(["acme", "other"]),
    DAYS,
    st.sampled_from([None, 1.0, 2.0]),
    st.sampled_from([None, "urgent"]),
)
AMONG: st.SearchStrategy[tuple[str, str | None] | None] = st.sampled_from(
    [None, ("", None), ("", "b"), ("b", None), ("acme", "other"), ("other", "z")]
)
PAGES = st.builds(
    lambda events, days, subjects, among: Page(
        events, replaces=(min(days), max(days)) if days else None, among=among, retracts=subjects
    ),
    st.lists(FACTS, max_size=5),
    st.one_of(st.just(()), st.tuples(DAYS, DAYS)),
    st.lists(st.sampled_from(["1", "2"]), max_size=1),
    AMONG,
)
STEPS = st.lists(st.one_of(PAGES, PAGES, st.sampled_from(["settle", "reopen"])), min_size=2, max_size=7)


def _apply(page: Page, known: dict[str, Event]) -> None:
    events: Any = page.events
    told = {event.id: event for event in events}
    for id, event in list(known.items()):
        day = event.occurred_at.astimezone(BERLIN).date()
        low, high = page.among or ("", None)
        among = low <= event.account_key and (high is None or event.account_key < high)
        replaced = page.replaces is not None and page.replaces[0] <= day <= page.replaces[1] and among
        if id not in told and (replaced or id.split("/")[0] in page.retracts):
            del known[id]
    for id, event in told.items():
        if event.value is None and event.label is None:
            known.pop(id, None)
        else:
            known[id] = event


def _expected(known: dict[str, Event]) -> list[tuple[Any, ...]]:
    rows = []
    for e in known.values():
        utc = e.occurred_at.astimezone(UTC).replace(tzinfo=None)
        day = e.occurred_at.astimezone(BERLIN).date()
        rows.append((e.source, e.id, e.account_key, e.actor, e.name, day, utc, e.value, e.label))
    return sorted(rows, key=lambda row: str(row[1]))


@settings(max_examples=20)
@given(steps=STEPS)
def test_the_log_holds_what_a_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[Page | str]
) -> None:
    folder = tmp_path_factory.mktemp("example")
    log, clock, known = _log(folder), SteppedClock(START), dict[str, Event]()
    for step in steps:
        if isinstance(step, Page):
            before = dict(known)
            _apply(step, known)
            done = log.append("zendesk", step)
            assert done.retracted == len(before.keys() - known.keys())
            assert done.written == sum(before.get(id) != event for id, event in known.items())
        elif step == "settle":
            log.settle()
        else:
            log = _log(folder, clock)
    assert sorted(_events(log), key=lambda row: str(row[1])) == _expected(known)

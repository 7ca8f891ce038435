"""What scores are does not depend on how they are worked out: threads, files, the order of facts, days at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks import scoring_data as data
from connectors.base import Event, Page
from connectors.table import Stream
from scoring import Scorecard, Segment
from sync import scores
from sync.fold import NOBODY
from sync.log import Log
from sync.scores import Basis, ranged, scored

ACCOUNTS, DAYS = 7, 6
CAP = {"when": "login_trend <= -0.1", "tier": "yellow", "reason": "fewer sign-ins"}

CUSTOMER = data.KEYS["crm"].format(6)
SMALLER = datetime.combine(data.LAST - timedelta(days=1), time(9), UTC)
MOVE = Page(events=[Event("crm", f"{CUSTOMER}/fewer", CUSTOMER, None, "seats", SMALLER, 1.0, None)])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with duckdb.connect() as facts, closing(data.open_log(tmp_path_factory.mktemp("told") / "log")) as log:
        data.make_facts(facts, ACCOUNTS)
        data.fill(facts, log, data.NAMES)
        log.append("crm", MOVE)
        yield log


def _basis() -> Basis:
    card = data.scorecard()
    capped = Scorecard.model_validate(card.model_dump(by_alias=True, exclude_defaults=True) | {"caps": {"fell": CAP}})
    basis = data.basis(ACCOUNTS)
    return Basis([Segment(capped, "seats >= 5"), Segment(card)], *(getattr(basis, name) for name in _OTHERS))


_OTHERS = ("home", "accounts", "links", "readings", "names", "timezone")


def _rows(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    scored = connection.execute("select * from scores order by account, as_of").fetchall()
    return scored + connection.execute("select * from parts order by account, as_of, dimension, measure").fetchall()


def test_a_range_is_its_days_one_after_the_other(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some accounts at a time, by two scorecards, with steady tiers and a cap, on to days that no source speaks for.

    One account changes its scorecard on the way.
    """
    monkeypatch.setattr(scores, "AT_ONCE", 3)
    first = data.LAST - timedelta(days=DAYS - 3)
    days, before = [first + timedelta(days=n) for n in range(DAYS)], NOBODY
    one_by_one: list[tuple[Any, ...]] = []
    with scored(log, _basis(), spill=tmp_path / "spill") as on:
        for day in days:
            connection = on(day, before)
            one_by_one += _rows(connection)
            connection.execute("create or replace table kept as select account, fold from scores")
            before = "select account, fold from kept"
    with ranged(log, _basis(), days[0], days[-1], spill=tmp_path / "spill") as chunks:
        found = [_rows(connection) for connection in chunks]
    assert len(found) == 4
    together = [row for rows in found for row in rows]
    assert sorted(together, key=repr) == sorted(one_by_one, key=repr)
    assert any("cap:fell" in str(row) for row in together)
    moved = {row[-1] for row in together if row[0] == CUSTOMER and len(row) == len(one_by_one[0])}
    assert moved == {segment.card.version for segment in _basis().segments}


def test_a_range_that_is_left_half_way_ends_what_was_under_way(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "AT_ONCE", 1)
    before = threading.enumerate()
    with ranged(log, data.basis(ACCOUNTS), data.LAST, data.LAST, spill=tmp_path / "spill", parts=False) as chunks:
        first, second = ({row[0] for row in next(chunks).execute("from scores").fetchall()} for _ in range(2))
    assert (first, second) == ({data.KEYS["crm"].format(0)}, {data.KEYS["crm"].format(1)})
    assert threading.enumerate() == before


def test_the_same_facts_give_the_same_bytes_by_any_threads_from_any_files(log: Log, tmp_path: Path) -> None:
    with closing(data.open_log(tmp_path / "shuffled")) as shuffled, duckdb.connect() as facts:
        data.make_facts(facts, ACCOUNTS)
        shuffled.append("crm", MOVE)
        _in_pieces(facts, shuffled)
        with closing(data.open_log(tmp_path / "laid")) as laid:
            data.lay(facts, laid, [None])  # as the benchmark does
            laid.append("crm", MOVE)
            asked = [(log, 1), (log, 2), (log, 8), (shuffled, 2), (laid, 2)]
            found = {_written(kept, tmp_path, threads) for kept, threads in asked}
    assert len(found) == 1


def _in_pieces(facts: duckdb.DuckDBPyConnection, log: Log) -> None:
    """The facts in four pages in another order, one of them settled, the others not yet."""
    for piece in range(4):
        for source in reversed([*data.NAMES]):
            page = (
                f"select id, account_key, actor, name, occurred_at, value, label from facts where source = '{source}'"
            )
            log.append(source, Page(events=Stream(facts, f"{page} and hash(id) % 4 = {piece} order by hash(id, 7)")))
        if piece == 0:
            log.settle()


def _written(log: Log, folder: Path, threads: int) -> bytes:
    """The files of scores and parts of a day, as bytes."""
    files = {"scores": "account, as_of", "parts": "account, as_of, dimension, measure"}
    with scored(log, _basis(), spill=folder / "spill", also=[folder], threads=threads) as on:
        connection = on(data.LAST)
        for name, order in files.items():
            connection.execute(f"copy (from {name} order by {order}) to '{folder / name}.parquet' (format parquet)")
    return b"".join((folder / f"{name}.parquet").read_bytes() for name in files)

"""A range of days scored at once gives what its days give one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks import scoring_data as data
from scoring import Scorecard, Segment
from sync import scores
from sync.log import Log
from sync.scores import Basis, ranged, scored

ACCOUNTS, DAYS = 7, 9
CAP = {"when": "login_trend <= -0.1", "tier": "yellow", "reason": "fewer sign-ins"}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with duckdb.connect() as facts, closing(data.open_log(tmp_path / "log")) as log:
        data.make_facts(facts, ACCOUNTS)
        data.fill(facts, log, data.NAMES)
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
    """Some accounts at a time, by two scorecards, with steady tiers and a cap, on to days that no source speaks for."""
    monkeypatch.setattr(scores, "AT_ONCE", 3)
    first = data.LAST - timedelta(days=DAYS - 3)
    days, before = [first + timedelta(days=n) for n in range(DAYS)], scores.NOBODY
    one_by_one: list[tuple[Any, ...]] = []
    with scored(log, _basis(), spill=tmp_path / "spill") as on:
        for day in days:
            connection = on(day, before)
            one_by_one += _rows(connection)
            connection.execute("create or replace table kept as select account, fold from scores")
            before = "select account, fold from kept"
    with ranged(log, _basis(), days[0], days[-1], spill=tmp_path / "spill") as chunks:
        found = [_rows(connection) for connection in chunks]
    assert len(found) == 3
    together = [row for rows in found for row in rows]
    assert sorted(together, key=repr) == sorted(one_by_one, key=repr)
    assert {row[-1] for row in together if len(row) == len(one_by_one[0])} == {
        s.card.version for s in _basis().segments
    }
    assert any("cap:fell" in str(row) for row in together)

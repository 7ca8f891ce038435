"""How the cost of a whole pass grows: with the number of accounts, and with the age of the installation."""

from __future__ import annotations

import json
import resource
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import company
from benchmarks import scoring_data as data
from benchmarks.measure import Row, Taken, Work, memory, taken
from connectors.clock import SteppedClock
from sync.report import Report
from sync.run import KEPT, run_once
from sync.worker import Worker

TEN_TIMES, SAME = 11.0, 1.1
TOLD = {"first": "first pass", "changed": "the next day, 1 % of the accounts in trouble", "again": "again, nothing new"}
AGED = 2_000  # accounts of the installation that gets old
DAY = timedelta(days=1)
YEAR = 364
OFTEN = timedelta(minutes=5)
TIMES = 3


def rows(folder: Path, *, small: bool) -> list[Row]:
    few = 500 if small else 10_000
    found = {}
    for accounts in (few, 10 * few):
        place = folder / f"{accounts}"
        taken(prepare, folder=str(place), accounts=accounts)
        found[accounts] = taken(passes, folder=str(place), accounts=accounts).found
        shutil.rmtree(place)
    grown = [_grown(step, found[few][step], found[10 * few][step], few) for step in TOLD]
    aged = 100 if small else AGED
    taken(prepare, folder=str(folder), accounts=aged)
    return [*grown, _older(aged, taken(a_year, folder=str(folder), accounts=aged))]


def prepare(folder: str, accounts: int) -> Work:
    place = Path(folder)
    place.mkdir(exist_ok=True)

    def work() -> dict[str, Any]:
        return {"facts": company.fill(place, accounts)}

    return work


def passes(folder: str, accounts: int) -> Work:
    """The first pass, one on the next day, and the same again: what each costs."""

    def work() -> dict[str, Any]:
        with company.working(Path(folder), accounts) as (worker, _crm, sources, clock):
            found = {"first": _measured(lambda: _whole(worker))}
            _next_day(sources, clock, 1)
            sources["zendesk"].news = company.news(range(0, accounts, 100), 1)
            found["changed"] = _measured(lambda: _whole(worker))
            found["again"] = _measured(lambda: _whole(worker))
        return found

    return work


def a_year(folder: str, accounts: int) -> Work:
    """A pass with nothing new on the second day, and one a year later."""
    place = Path(folder)

    def work() -> dict[str, Any]:
        with company.working(place, accounts) as (worker, _crm, sources, clock):
            _whole(worker)
            _next_day(sources, clock, 1)
            _whole(worker)
            young = min(_measured(lambda: _whole(worker))["cpu"] for _ in range(TIMES))
            _age(worker, place, accounts, clock.now())
            _next_day(sources, clock, YEAR + 1)
            _whole(worker)
            old = min(_measured(lambda: _whole(worker))["cpu"] for _ in range(TIMES))
        return {"young": young, "old": old}

    return work


def _whole(worker: Worker) -> Report:
    report = run_once(worker)
    if report.status != "done":
        raise AssertionError("; ".join(map(str, report.problems)))
    return report


def _measured(work: Callable[[], object]) -> dict[str, float]:
    """CPU seconds, and the peak of memory since the work began."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = _spent()
    work()
    return {"cpu": _spent() - before, "peak": memory("VmHWM")}


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _next_day(sources: Mapping[str, company.Source], clock: SteppedClock, days: int) -> None:
    clock.advance_to(data.NOW + days * DAY)
    for source in sources.values():
        source.through = data.midnight(data.LAST) + (days + 1) * DAY


def _age(worker: Worker, folder: Path, accounts: int, now: datetime) -> None:
    """What a year of the same life leaves behind: facts, a history of every day, and the runs that are kept."""
    _live(worker, accounts)
    _remember(worker, now)
    _have_run(folder / "bellwether-data" / "state.db", now)


def _live(worker: Worker, accounts: int) -> None:
    with _quiet() as facts:
        for quarter in range(1, 5):
            data.make_facts(facts, accounts)
            facts.execute(
                f"update facts set id = id || '/{quarter}', day = day + {quarter * data.DAYS},"
                f" occurred_at = occurred_at + interval {quarter * data.DAYS} days"
            )
            data.fill(facts, worker.log, company.KEY_IS)
            facts.execute("drop table facts")


def _remember(worker: Worker, now: datetime) -> None:
    """The last final day again for every day of the year, a week at a time."""
    today, kept = now.date(), worker.history.path
    with _quiet() as connection:
        for name in ("scores", "parts"):
            last = f"select * exclude (as_of) from read_parquet('{kept}/{name}/*/*.parquet')"
            last += f" where as_of = date '{today - DAY}'"
            connection.execute(f"create table last_{name} as {last}")
        for week in range(0, YEAR, 7):
            days = [today + n * DAY for n in range(week, week + 7)]
            dates = ", ".join(f"date '{day}'" for day in days)
            for name in ("scores", "parts"):
                connection.execute(
                    f"create or replace table {name} as select *, as_of from last_{name}, unnest([{dates}]) d(as_of)"
                )
            worker.history.record(connection, days, final=True)


def _quiet() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("set enable_progress_bar=false")  # it would be drawn among what the process answers
    return connection


def _have_run(path: Path, now: datetime) -> None:
    """A pass every five minutes, as many days as runs are kept."""
    end = now + YEAR * DAY
    moments = [f"{end - n * OFTEN:%Y-%m-%d %H:%M:%S}.000000" for n in range(1, KEPT // OFTEN)]
    report = json.dumps(Report().kept())
    with sqlite3.connect(path) as state:
        for kind in ("pass", *(f"pull:{name}" for name in company.KEY_IS)):
            state.executemany(
                "insert into runs (kind, slot, status, started_at, finished_at, report) values (?, ?, 'done', ?, ?, ?)",
                [(kind, moment, moment, moment, report) for moment in reversed(moments)],
            )


def _grown(step: str, few: Mapping[str, float], many: Mapping[str, float], accounts: int) -> Row:
    ratio = many["cpu"] / few["cpu"]
    return Row(
        f"whole pass over {10 * accounts:,} accounts: {TOLD[step]}",
        f"{many['cpu']:.1f} CPU s, {many['peak']:.0f} MB",
        f"{few['cpu']:.1f} CPU s, {few['peak']:.0f} MB for {accounts:,}",
        f"{ratio:.1f}",
        f"{TEN_TIMES:g}",
        ratio <= TEN_TIMES,
    )


def _older(accounts: int, found: Taken) -> Row:
    young, old = found.found["young"], found.found["old"]
    return Row(
        f"whole pass over {accounts:,} accounts with nothing new, after a year",
        f"{old:.2f} CPU s",
        f"{young:.2f} CPU s on the second day",
        f"{old / young:.2f}",
        f"{SAME}",
        old / young <= SAME,
    )

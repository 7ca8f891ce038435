"""Facts of accounts that use a product, ask for help and are asked in surveys: about ninety each in 91 days.

`times` is how many times 91 days, with as many times the facts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from string import Template
from zoneinfo import ZoneInfo

import duckdb
import yaml

from connectors.base import Page
from connectors.clock import SteppedClock
from connectors.table import Stream
from scoring import Scorecard, Segment
from sync.links import Link
from sync.log import Log
from sync.rows import AccountRow, Reading
from sync.scores import Basis

HERE = Path(__file__).parent
LAST = date(2026, 10, 30)
DAYS = 91
NOW = datetime(2026, 10, 31, 6, tzinfo=UTC)
ZONE = ZoneInfo("UTC")
NAMES: Mapping[str, tuple[str, ...]] = {
    "crm": ("seats", "arr"),
    "mixpanel": ("login", "feature.*"),
    "surveys": ("survey.nps",),
    "zendesk": ("ticket.*", "csat.response"),
}
KEYS: Mapping[str, str] = {"crm": "001{:015d}", "mixpanel": "cust-{:07d}", "surveys": "001{:015d}", "zendesk": "{}"}
COMMITS = 30

_MADE = Template((HERE / "facts.sql").read_text(encoding="utf-8"))
_PAGE = "select id, account_key, actor, name, occurred_at, value, label from facts where source = '{source}'"


def start(times: int = 1) -> date:
    """The first of the days."""
    return LAST - timedelta(days=DAYS * times - 1)


def make(folder: Path, accounts: int, *, tail: bool = True, times: int = 1) -> int:
    """Write the plain facts, the settled log and, with `tail`, a copy of it that has one; the number of facts."""
    with duckdb.connect(config={"threads": 2, "memory_limit": "4GB", "temp_directory": str(folder / "spill")}) as facts:
        make_facts(facts, accounts, times=times)
        facts.execute(f"copy facts to '{folder / 'facts.parquet'}' (format parquet)")
        [(count,)] = facts.execute("select count(*) from facts").fetchall()
        fill(facts, open_log(folder / "settled"), NAMES)
        if tail:
            shutil.copytree(folder / "settled", folder / "tailed")
            _add_tail(facts, open_log(folder / "tailed"), count)
    return int(count)


def make_facts(facts: duckdb.DuckDBPyConnection, accounts: int, *, times: int = 1) -> None:
    """Put them into a table `facts`."""
    facts.execute(_MADE.substitute(accounts=accounts, first=start(times), days=DAYS * times, times=times))


def fill(facts: duckdb.DuckDBPyConnection, log: Log, sources: Iterable[str]) -> None:
    """Write the facts of these sources into a log, and settle it."""
    months = facts.execute("select distinct date_trunc('month', day)::date from facts order by all").fetchall()
    for source in sources:
        for (first,) in months:
            month = f" and date_trunc('month', day) = date '{first}'"
            log.append(source, Page(events=Stream(facts, _PAGE.format(source=source) + month)))
            log.settle()
    log.close()


def open_log(path: Path) -> Log:
    return Log(path, timezone=ZONE, clock=SteppedClock(NOW), spill=path.parent / "spill")


def basis(accounts: int, *, times: int = 1) -> Basis:
    """Every account is linked in every source, and every source was read from first to last day."""
    since, through = midnight(start(times)), midnight(LAST + timedelta(days=1))
    account: Callable[[int], str] = KEYS["crm"].format
    rows = [AccountRow(account(n), f"Customer {n}", None, (), {}, since, since, NOW, None) for n in range(accounts)]
    links = [Link(source, key.format(n), account(n), "key") for source, key in KEYS.items() for n in range(accounts)]
    readings = [Reading(source, None, since, through, frozenset(names)) for source, names in NAMES.items()]
    return Basis([Segment(scorecard())], "crm", rows, links, readings, NAMES, ZONE)


def scorecard() -> Scorecard:
    return Scorecard.model_validate(yaml.safe_load((HERE / "scorecard.yaml").read_text(encoding="utf-8")))


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _add_tail(facts: duckdb.DuckDBPyConnection, log: Log, count: int) -> None:
    """One in a hundred facts again with another value, all of the last month, as late corrections are."""
    size = max(1, count // 100 // COMMITS)
    chosen = _PAGE.format(source="mixpanel").replace("value", "value + 1 as value")
    chosen += f" and day >= date '{LAST.replace(day=1)}' order by hash(id)"
    for commit in range(COMMITS):
        log.append("mixpanel", Page(events=Stream(facts, f"{chosen} limit {size} offset {commit * size}")))
    log.close()

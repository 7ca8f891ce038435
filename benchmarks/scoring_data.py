"""Facts of accounts that use a product, ask for help and are asked in surveys: about ninety each in 91 days.

`times` is how many times 91 days, with as many times the facts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from string import Template
from zoneinfo import ZoneInfo

import duckdb
import yaml
from deltalake.transaction import AddAction

from connectors.base import Page
from connectors.clock import SteppedClock
from connectors.table import Stream
from scoring import Scorecard, Segment
from sync import delta
from sync.links import Link, Linked
from sync.log import PARTITIONS, SCHEMA, Log
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
AT_ONCE = 100_000  # accounts
PLAIN = "facts-*.parquet"

_MADE = Template((HERE / "facts.sql").read_text(encoding="utf-8"))
# What follows from the rest of a fact is not written down with it: ids alone are most of a fact.
_WHOLE = """
select *, day + interval 9 hours as occurred_at,
       case source when 'mixpanel' then customer when 'zendesk' then n::varchar else account end as account_key,
       case source when 'mixpanel' then customer || '/' || actor || '/' || day || '/' || name
            when 'zendesk' then (n * 10 + k) || '/' || name else n || '/' || replace(name, 'survey.', '') end as id
from (select *, 'cust-' || lpad(n::varchar, 7, '0') as customer from {plain})"""
_PAGE = "select id, account_key, actor, name, occurred_at, value, label from facts where source = '{source}'"

_SLICE = """
select id, account_key, actor, name, occurred_at at time zone 'UTC' as occurred_at, value, label, day,
       timestamptz '{seen}' as seen_at
from facts
where source = '{source}' and day between date '{month}-01' and last_day(date '{month}-01')
order by account_key, day, name, id"""


def start(times: int = 1) -> date:
    """The first of the days."""
    return LAST - timedelta(days=DAYS * times - 1)


def make(folder: Path, accounts: int, *, tail: bool = True, times: int = 1) -> int:
    """Write the plain facts, the settled log and, with `tail`, a copy of it that has one; the number of facts."""
    with duckdb.connect(config={"threads": 2, "memory_limit": "2GB", "temp_directory": str(folder / "spill")}) as facts:
        lay(facts, open_log(folder / "settled"), _pieces(facts, folder, accounts, times))
        _read(facts, folder / PLAIN)
        [(count,)] = facts.execute("select count(*) from facts").fetchall()
        if tail:
            shutil.copytree(folder / "settled", folder / "tailed")
            _add_tail(facts, open_log(folder / "tailed"), count)
    return int(count)


def _pieces(facts: duckdb.DuckDBPyConnection, folder: Path, accounts: int, times: int) -> Iterator[None]:
    """Make the plain facts of some accounts after others, so that memory does not grow with how many there are."""
    for number, first in enumerate(range(0, accounts, AT_ONCE)):
        plain = folder / PLAIN.replace("*", f"{number:03}")
        facts.execute(f"copy ({_made(first, min(first + AT_ONCE, accounts), times)}) to '{plain}' (format parquet)")
        _read(facts, plain)
        yield


def _read(facts: duckdb.DuckDBPyConnection, plain: Path) -> None:
    facts.execute("create or replace view facts as " + _WHOLE.format(plain=f"read_parquet('{plain}')"))


def make_facts(facts: duckdb.DuckDBPyConnection, accounts: int, *, times: int = 1) -> None:
    """Put them into a table `facts`."""
    facts.execute("create table facts as " + _WHOLE.format(plain=f"({_made(0, accounts, times)})"))


def _made(first: int, end: int, times: int) -> str:
    days = {"first": start(times), "days": DAYS * times, "times": times}
    return _MADE.substitute(days, **{"from": first, "accounts": end})


def lay(facts: duckdb.DuckDBPyConnection, log: Log, pieces: Iterable[None]) -> None:
    """Write `facts`, piece after piece, as a settled log has them, in one commit; there is nothing to settle then."""
    table = delta.create_table(log.path, SCHEMA, PARTITIONS)
    files = [file for _ in pieces for file in _slices(facts, log.path)]
    delta.swap(table, files, [])


def _slices(facts: duckdb.DuckDBPyConnection, path: Path) -> Iterator[AddAction]:
    slices = facts.execute("select distinct source, strftime(day, '%Y-%m') from facts order by all").fetchall()
    for source, month in slices:
        rows = _SLICE.format(seen=NOW.isoformat(), source=source, month=month)
        if file := delta.write_file(facts, path, {"source": source, "month": month, "settled": "true"}, rows):
            yield file


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
    """Every account is linked in every source, and every source was read from first to last day.

    Links of many accounts are made while they are read, as a pass does.
    """
    since, through = midnight(start(times)), midnight(LAST + timedelta(days=1))
    account: Callable[[int], str] = KEYS["crm"].format
    rows = [AccountRow(account(n), f"Customer {n}", None, (), {}, since, since, NOW, None) for n in range(accounts)]
    ids = [row.id for row in rows]
    keys = {source: ids if key == KEYS["crm"] else [*map(key.format, range(accounts))] for source, key in KEYS.items()}
    links = Linked(lambda: chain.from_iterable(map(_links, keys, keys.values(), repeat(ids))))
    readings = [Reading(source, None, since, through, frozenset(names)) for source, names in NAMES.items()]
    many = links if accounts > AT_ONCE else [*links]
    return Basis([Segment(scorecard())], "crm", rows, many, readings, NAMES, ZONE)


def _links(source: str, keys: Sequence[str], accounts: Sequence[str]) -> Iterator[Link]:
    return map(Link._make, zip(repeat(source), keys, accounts, repeat("key")))


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

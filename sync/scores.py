"""Scores: the compiled scorecard run over a snapshot of the log, and handed on account by account.

Everything the SQL joins to the events is put beside them here: accounts, links, how far each source has been read, and
the days to score. Nothing is written outside the connection's memory and spill folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from arro3.core import Array, DataType, Table

from scoring import Part, Scorecard, compile
from sync.links import Link

if TYPE_CHECKING:
    import duckdb

    from sync.log import Log
    from sync.rows import AccountRow, Reading

EARLIEST = date(1970, 1, 1)


class Scored(NamedTuple):
    """One account on one day. `parts` holds every measure of the scorecard, those without data too."""

    account: str
    as_of: date
    score: float | None
    tier: str
    coverage: float
    low: float | None
    high: float | None
    held: bool
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Basis:
    """What a scoring stands on. `names` says, per source, the event names or patterns it can yield."""

    scorecard: Scorecard
    accounts: Sequence[AccountRow]
    links: Sequence[Link]
    readings: Sequence[Reading]
    names: Mapping[str, Sequence[str]]
    timezone: ZoneInfo


@contextmanager
def scored(log: Log, basis: Basis, days: Sequence[date], *, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the relations `scores` and `parts` for these days."""
    compiled = compile(basis.scorecard, basis.names)
    with closing(log.connect(spill=spill)) as connection:
        for name, columns in _inputs(basis, days).items():
            _create(connection, name, columns)
        connection.execute(f"create table scored as {compiled.scored}")
        connection.execute(f"create view scores as {compiled.scores}")
        connection.execute(f"create view parts as {compiled.parts}")
        yield connection


def fetch(connection: duckdb.DuckDBPyConnection, day: date, accounts: Sequence[str] | None = None) -> Iterator[Scored]:
    """The accounts of one day, or these of them, in order, a bounded number of rows in memory at a time."""
    among, values = within("s.account", accounts)
    rows = connection.execute(
        f"""
        select s.account, s.as_of, s.score, s.tier, s.coverage, s.low, s.high, s.held,
               p.dimension, p.measure, p.value, p.points, p.weight, p.contribution, p.state
        from scores s join parts p on p.account = s.account and p.as_of = s.as_of
        where s.as_of = ?{among} order by s.account, p.dimension, p.measure
        """,
        [day, *values],
    )
    for _, group in groupby(_chunked(rows), key=itemgetter(0)):
        lines = list(group)
        account, as_of, score, tier, coverage, low, high, held = lines[0][:8]
        parts = tuple(Part(*line[8:]) for line in lines)
        yield Scored(account, as_of, score, tier, coverage, low, high, held, parts)


def within(column: str, accounts: Sequence[str] | None) -> tuple[str, list[Any]]:
    """SQL, and its values, that picks these accounts; the range lets an engine pass over what is far from them."""
    if accounts is None:
        return "", []
    if not accounts:
        return " and false", []
    picked = f" and {column} between ? and ? and {column} in (select unnest(?))"
    return picked, [min(accounts), max(accounts), list(accounts)]


def statement(log: Log, basis: Basis) -> str:
    """The SQL of a scoring as text: how the events are read from the log, then the named steps."""
    return f"-- the facts\n{log.sql()};\n\n{compile(basis.scorecard, basis.names).sql()}\n"


def last_day(through: datetime, zone: ZoneInfo) -> date:
    """The last day that facts read through this moment speak for."""
    return (through - timedelta(microseconds=1)).astimezone(zone).date()


def first_day(since: datetime, zone: ZoneInfo) -> date:
    """The first day that facts read from this moment on are complete for."""
    local = since.astimezone(zone)
    return local.date() if local.timetz().replace(tzinfo=None) == time.min else local.date() + timedelta(days=1)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment a day begins in `zone`, in UTC."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


_Column = tuple[str, str, list[Any]]  # name, SQL type, values


def _inputs(basis: Basis, days: Sequence[date]) -> dict[str, list[_Column]]:
    zone = basis.timezone
    read = [reading for reading in basis.readings if reading.through is not None]
    since = [first_day(reading.since, zone) if reading.since else EARLIEST for reading in read]
    born = [row.since.astimezone(zone).date() if row.since else EARLIEST for row in basis.accounts]
    return {
        "accounts": [
            ("account", "varchar", [row.id for row in basis.accounts]),
            ("since", "date", [day.isoformat() for day in born]),
        ],
        "links": [
            ("source", "varchar", [link.source for link in basis.links]),
            ("account_key", "varchar", [link.key for link in basis.links]),
            ("account", "varchar", [link.account for link in basis.links]),
        ],
        "reads": [
            ("source", "varchar", [reading.source for reading in read]),
            ("since", "date", [day.isoformat() for day in since]),
            ("through", "date", [last_day(r.through, zone).isoformat() for r in read if r.through]),
        ],
        "days": [("as_of", "date", [day.isoformat() for day in sorted(set(days))])],
    }


def _create(connection: duckdb.DuckDBPyConnection, name: str, columns: Iterable[_Column]) -> None:
    """A table of words, cast to its types by the engine: arro3 builds no dates from Python values."""
    columns = list(columns)
    words: dict[str, Any] = {column: Array(values, DataType.string()) for column, _, values in columns}
    select = ", ".join(f"cast({column} as {kind}) as {column}" for column, kind, _ in columns)
    connection.register("incoming", Table.from_pydict(words))
    connection.execute(f"create table {name} as select {select} from incoming")
    connection.unregister("incoming")


def _chunked(rows: duckdb.DuckDBPyConnection, size: int = 20_000) -> Iterator[tuple[Any, ...]]:
    while chunk := rows.fetchmany(size):
        yield from chunk

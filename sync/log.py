"""The event log: every fact any source told, in one Delta table that any engine can read.

It is partitioned by source, month (of the fact's day) and `settled`. Pulls append small files with settled=false, the
*tail*; settling (`settling.py`) merges them into sorted slices that hold one row per (source, id). Until then the
newest row of the tail stands for its (source, id), wherever the settled one may be: a fact can move to another month
or account. A row with neither value nor label retracts. `seen_at` grows with every append, also when the machine's
clock is set back, so "newest" is never in doubt.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
from deltalake import DeltaTable, Field, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError
from deltalake.schema import PrimitiveType

from connectors.base import Page, Rejected
from connectors.clock import Clock
from sync import delta, intake
from sync.delta import DataFile, Guard
from sync.settling import Settled, settle

TAIL_FILES = 32  # small files of one month and source before they are merged
SMALL_FILE = 20_000  # rows; larger files are left as they are
GATHERED = 8 * 1024 * 1024  # bytes of a merged file, which is made in memory
PARTITIONS = ("source", "month", "settled")
SCHEMA = Schema(
    [
        Field(name, PrimitiveType(kind))
        for name, kind in (
            ("source", "string"),
            ("id", "string"),
            ("account_key", "string"),
            ("actor", "string"),
            ("name", "string"),
            ("occurred_at", "timestamp"),
            ("value", "double"),
            ("label", "string"),
            ("day", "date"),
            ("seen_at", "timestamp"),
            ("month", "string"),
            ("settled", "boolean"),
        )
    ]
)
APPEND_MEMORY = "400MB"  # shared by the sources that append at the same time

_NEWEST = "select source, id, max(seen_at) as seen_at from {tail} group by source, id"
_COLUMNS = "{0}.source, {0}.id, {0}.account_key, {0}.actor, {0}.name, {0}.day, {1} as occurred_at, {0}.value, {0}.label"
_SETTLED = "select {columns}\nfrom {settled} s"
_UNTOLD = "\nwhere not exists (select 1 from newest n where n.source = s.source and n.id = s.id)"
_OVERRULED = """select hash(s.filename) as file, s.file_row_number as place
from {settled} s semi join newest n on n.source = s.source and n.id = s.id"""
_LEFT = "\nanti join overruled o on o.file = hash(s.filename) and o.place = s.file_row_number"
_TAIL = """select {columns}
from {tail} t
join newest n on n.source = t.source and n.id = t.id and n.seen_at = t.seen_at
where t.value is not null or t.label is not null"""
_COUNTED = """select account_key, count(*) from events
where source = ? and account_key in (select unnest(?)) group by account_key"""
_EMPTY = """select null::varchar as source, null::varchar as id, null::varchar as account_key, null::varchar as actor,
       null::varchar as name, null::date as day, null::timestamp as occurred_at, null::double as value,
       null::varchar as label
where false"""


@dataclass(frozen=True)
class Appended:
    """What a page changed. `names`: of all facts in the page. `refused`: rows left out; the first are `rejected`."""

    written: int = 0
    retracted: int = 0
    unchanged: int = 0
    names: frozenset[str] = frozenset()
    first_day: date | None = None
    last_day: date | None = None
    refused: int = 0
    rejected: tuple[Rejected, ...] = ()


class Log:
    """The log in a folder. Threads may append at the same time; `guard` keeps other writing processes away.

    Without it a page that a stopped process held in its hands would be newer than what was told since.
    """

    def __init__(
        self, path: Path, *, timezone: ZoneInfo, clock: Clock, spill: Path | None = None, guard: Guard = nullcontext
    ) -> None:
        self.path, self._guard = path.absolute(), guard
        self._timezone, self._clock = timezone, clock
        self._spill = spill or self.path.parent / "spill"
        self._lock = threading.Lock()
        self._appended, self._read = delta.Kept(self.path), delta.Kept(self.path)
        self._database: duckdb.DuckDBPyConnection | None = None

    def append(self, source: str, page: Page, *, erased: Callable[[str], bool] | None = None) -> Appended:
        """Write what is new or changed in one commit, or nothing when the page says nothing new.

        `erased`: account keys whose facts are left out as if the page did not hold them.
        """
        if isinstance(page.events, Sequence) and not (page.events or page.replaces or page.retracts):
            return Appended()
        with self._workspace() as connection:
            rejected, refused = intake.stage(connection, source, page, timezone=self._timezone, erased=erased)
            with self._lock:
                table = self._newest_table()
                settled, tail = self._known(connection, source, page, table)
                written, retracted, first, last = intake.changes(connection, page, settled=settled, tail=tail)
                if written or retracted:
                    self._write(connection, source, table)
            facts, names = _facts(connection)
        return Appended(written, retracted, facts - written, names, first, last, refused, rejected)

    def connect(
        self, *, memory_limit: str = "1GB", threads: int = 2, spill: Path, also: Sequence[Path] = ()
    ) -> duckdb.DuckDBPyConnection:
        """A connection of its own with the view `events` over one snapshot; it reaches no file outside the log and
        the folders in `also`.

        `events(source, id, account_key, actor, name, day, occurred_at, value, label)` holds one row for each fact
        that is true; `occurred_at` is a timestamp without timezone, in UTC.
        """
        connection = delta.connect(memory_limit=memory_limit, threads=threads, spill=spill)
        # The planner's guesses of how many rows an aggregate leaves are off by orders of magnitude, and it would build
        # its hash tables on the large side: joins are made as they are written, large side first.
        connection.execute("set disabled_optimizers='join_order,build_side_probe_side'")
        connection.execute("set preserve_insertion_order=false")  # whoever needs an order says so; files need none
        connection.execute(f"create temp view events as {self._snapshot(connection)}")
        delta.lock_down(connection, [self.path, *also])
        return connection

    def _snapshot(self, connection: duckdb.DuckDBPyConnection) -> str:
        """The text of the relation `events` over the newest snapshot, with what it needs put beside it.

        Settled rows that the tail overrules are looked up once, and then passed over by their place in their file:
        reading the ids, which are most of the log, for each step of a scoring would cost more than the scoring.
        """
        files = delta.data_files(self._read.newest())
        tail = [file for file in files if not _settled(file)]
        told = {file.partition["source"] for file in tail}
        whole = [file for file in files if _settled(file) and file.partition["source"] not in told]
        overruled = [file for file in files if _settled(file) and file.partition["source"] in told]
        parts = [_SETTLED.format(columns=_columns("s"), settled=delta.scan(self.path, whole))] if whole else []
        if tail:
            rows = delta.scan(self.path, tail)
            connection.execute(f"create temp table newest as {_NEWEST.format(tail=rows)}")
            connection.execute(f"create temp table told as {_TAIL.format(columns=_columns('t'), tail=rows)}")
            parts.append("select * from told")
        if overruled:
            placed = delta.scan(self.path, overruled, placed=True)
            connection.execute(f"create temp table overruled as {_OVERRULED.format(settled=placed)}")
            parts.append(_SETTLED.format(columns=_columns("s"), settled=placed) + _LEFT)
        connection.execute("drop table if exists newest")
        return "\nunion all\n".join(parts) or _EMPTY

    def sql(self) -> str:
        """The relation `events` as a person can run it in DuckDB, beside the running daemon."""
        log = f"delta_scan({delta.text(str(self.path))})"
        settled, tail = f"(select * from {log} where settled)", f"(select * from {log} where not settled)"
        newest = _NEWEST.format(tail=tail)
        kept = _SETTLED.format(columns=_columns("s"), settled=settled) + _UNTOLD
        return f"with newest as (\n{newest})\n{kept}\nunion all\n{_TAIL.format(columns=_columns('t'), tail=tail)}"

    def names(self, source: str) -> frozenset[str]:
        """The names of all facts the log holds of this source."""
        with self.connect(spill=self._spill) as connection:
            rows = connection.execute("select distinct name from events where source = ?", [source]).fetchall()
        return frozenset(name for (name,) in rows)

    def begin(self) -> str:
        """What tells this log from one that was begun at another time; there is one from now on."""
        with self._lock:
            return str(self._newest_table().metadata().id)

    def version(self) -> int:
        """A number that grows with every commit; -1 before the first."""
        table = self._read.newest()
        return table.version() if table else -1

    def unsettled(self) -> tuple[int, int]:
        """Rows and files of the tail: much of it makes reading slow."""
        tail = [file for file in delta.data_files(self._read.newest()) if not _settled(file)]
        return sum(file.rows for file in tail), len(tail)

    def settle(self, *, memory_limit: str = "1GB", threads: int = 2) -> Settled:
        """Merge the tail into the settled slices. Pages may be appended meanwhile; they stay in the tail."""
        return settle(self.path, memory_limit=memory_limit, threads=threads, spill=self._spill, guard=self._guard)

    def sources(self) -> set[str]:
        """Every source that facts are kept of."""
        return {file.partition["source"] for file in delta.data_files(self._read.newest())}

    def counted(self, keys: Mapping[str, Collection[str]]) -> dict[tuple[str, str], int]:
        """How many facts there are of these keys by source."""
        with self.connect(spill=self._spill) as connection:
            rows = [
                (source, *row)
                for source, named in keys.items()
                for row in connection.execute(_COUNTED, [source, list(named)]).fetchall()
            ]
        return {(source, key): count for source, key, count in rows}

    def erase(self, keys: Mapping[str, Collection[str]]) -> int:
        """Take every fact of these keys by source out of the log and its past; how many rows.

        The tail is settled first: a row of it may hide an older one, which must not come to light.
        """
        self.settle()

        def doomed(file: DataFile) -> str | None:
            named = keys.get(file.partition["source"])
            return f"account_key in ({', '.join(map(delta.text, sorted(named)))})" if named else None

        return delta.erase(self.path, doomed, spill=self._spill, guard=self._guard)

    def close(self) -> None:
        """Let go of the memory that appending uses."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _workspace(self) -> duckdb.DuckDBPyConnection:
        """A connection with temporary tables of its own, to one database: opening that costs more than a small page."""
        with self._lock:
            if self._database is None:
                self._database = delta.connect(memory_limit=APPEND_MEMORY, threads=2, spill=self._spill)
            return self._database.cursor()

    def _newest_table(self) -> DeltaTable:
        return self._appended.newest() or delta.create_table(self.path, SCHEMA, PARTITIONS)

    def _known(
        self, connection: duckdb.DuckDBPyConnection, source: str, page: Page, table: DeltaTable
    ) -> tuple[str | None, str | None]:
        """The relations that hold what the log knows of the facts this page can touch."""
        files = [file for file in delta.data_files(table) if file.partition["source"] == source]
        months = _months(connection, page)
        near = [
            file
            for file in files
            if months is None
            or file.partition["month"] in months
            or (file.partition["settled"] == "false" and not page.dated_ids)
        ]
        return self._scans(near)

    def _scans(self, files: Sequence[DataFile]) -> tuple[str | None, str | None]:
        parts = ([file for file in files if _settled(file) is said] for said in (True, False))
        settled, tail = (delta.scan(self.path, part) if part else None for part in parts)
        return settled, tail

    def _write(self, connection: duckdb.DuckDBPyConnection, source: str, table: DeltaTable) -> None:
        seen = self._next_seen(connection, table)
        rows = connection.sql(f"""
select {delta.text(source)} as source, id, account_key, actor, name, occurred_at, value, label, day,
       timestamptz '{seen.isoformat()}' as seen_at, month, false as settled
from changes order by month, account_key, day, id""")
        with self._guard():
            write_deltalake(table, rows, mode="append")
        _gather(table, source)

    def _next_seen(self, connection: duckdb.DuckDBPyConnection, table: DeltaTable) -> datetime:
        """A moment after every row of the tail, whoever wrote it: the tail is where "newest" decides."""
        now = self._clock.now()
        _, tail = self._scans(delta.data_files(table))
        if tail is None:
            return now
        (last_us,) = delta.one_row(connection, f"select epoch_us(max(seen_at)) from {tail}")
        last = intake.EPOCH + timedelta(microseconds=last_us)
        return max(now, last + timedelta(microseconds=1))


def _gather(table: DeltaTable, source: str) -> None:
    """Merge the small files of the tail where a long backfill left many: every page has to look at them all."""
    small = [file.partition for file in delta.data_files(table) if file.rows < SMALL_FILE]
    tail = [partition for partition in small if partition["settled"] == "false"]
    months = Counter(partition["month"] for partition in tail if partition["source"] == source)
    for month, files in months.items():
        if files > TAIL_FILES:
            where = [("source", "=", source), ("month", "=", month), ("settled", "=", "false")]
            # a settling that is faster has already taken them away
            with suppress(CommitFailedError):
                table.optimize.compact(partition_filters=where, target_size=GATHERED)


def _settled(file: DataFile) -> bool:
    return file.partition["settled"] == "true"


def _columns(alias: str) -> str:
    # the moment is rebuilt by arithmetic: the cast from a timestamp with timezone costs six times as much
    return _COLUMNS.format(alias, f"make_timestamp(epoch_us({alias}.occurred_at))")


def _facts(connection: duckdb.DuckDBPyConnection) -> tuple[int, frozenset[str]]:
    rows = connection.execute("select name, count(*) from page where not retraction group by name").fetchall()
    return sum(count for _, count in rows), frozenset(name for name, _ in rows)


def _months(connection: duckdb.DuckDBPyConnection, page: Page) -> set[str] | None:
    """The months whose settled rows matter; None: all, because a retraction may name a fact of any of them."""
    rows = connection.execute("select distinct month, retraction from page").fetchall()
    if page.retracts or any(retraction for _, retraction in rows):
        return None
    months = {month for month, _ in rows}
    if page.replaces is not None:
        first, last = page.replaces
        months |= {f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(_month_number(first), _month_number(last) + 1)}
    return months


def _month_number(day: date) -> int:
    return day.year * 12 + day.month - 1

"""The score history: what was answered on each day, with every part of it, in two Delta tables.

`scores` has one row an account and day, `parts` one a measure of it. Both are partitioned by month. A day is written
as a whole and replaces what was there: parts first, so that a day that has scores has its parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import date, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
from deltalake import Field, Schema
from deltalake.schema import PrimitiveType

from scoring import Part, Standing
from sync import delta
from sync.delta import DataFile, Guard
from sync.fold import NOBODY
from sync.rows import HEALTH
from sync.scores import Scored

BEGINNING = date(1970, 1, 1)
MEMORY = "300MB"  # for reading
LONGEST_GAP = 31  # days the worker was off that one pass scores afterwards
FLAGGED = timedelta(days=92)  # as far back as the beginning of a flag is looked for
MONTH_FILES = 8  # so many files of a month are made one by the next day of it

_KINDS = {"varchar": "string", "date": "date", "double": "double", "boolean": "boolean"}
_SCORES = {
    "account": "varchar",
    "as_of": "date",
    "score": "double",
    "tier": "varchar",
    "coverage": "double",
    "low": "double",
    "high": "double",
    "held": "boolean",
    "scorecard": "varchar",
    "version": "varchar",
    "raw_tier": "varchar",
    "tier_score": "double",
    "fold": "varchar",
    "flags": "varchar",
}
_PARTS = {
    "account": "varchar",
    "as_of": "date",
    "dimension": "varchar",
    "measure": "varchar",
    "value": "double",
    "points": "double",
    "weight": "double",
    "contribution": "double",
    "state": "varchar",
}
_SAID = {"final": "boolean"}
_MONTH = {"month": "varchar"}


class History:
    """The history in a folder. One process writes it at a time, which `guard` sees to; anybody may read."""

    def __init__(self, path: Path, *, spill: Path | None = None, guard: Guard = nullcontext) -> None:
        self.path, self._guard = path.absolute(), guard
        self._scores, self._parts = self.path / "scores", self.path / "parts"
        self._tables = {path: delta.Kept(path) for path in (self._scores, self._parts)}
        self._spill = spill or self.path.parent / "spill"
        self._database: duckdb.DuckDBPyConnection | None = None  # opening one costs more than most questions
        self._others: dict[str, History] = {}

    def of(self, score: str) -> History:
        """The history of one of the scores; that of another than health is in a folder of its name in this one."""
        if score == HEALTH:
            return self
        if score not in self._others:
            self._others[score] = History(self.path / score, spill=self._spill, guard=self._guard)
        return self._others[score]

    def kept(self) -> list[History]:
        """All that are kept, also of scores that are no longer in the settings."""
        own = {self._scores.name, self._parts.name}
        names = sorted({path.name for path in self.path.iterdir()} - own) if self.path.is_dir() else []
        return [self, *map(self.of, names)]

    def record(
        self,
        connection: duckdb.DuckDBPyConnection,
        days: Collection[date],
        *,
        final: bool,
        of: str = "",
    ) -> None:
        """Keep the relations `scores` and `parts` of this connection for these days, in place of what was kept.

        The connection must be allowed to reach the folder. `of`: how the relations' names begin.

        `final`: the days are over and every source was read through them.
        """
        if not days:
            return
        said = f"{str(final).lower()} as final"
        self._replace(connection, self._parts, _PARTS, _relation(f"{of}parts", _PARTS), days)
        self._replace(connection, self._scores, _SCORES | _SAID, _relation(f"{of}scores", _SCORES, said), days)

    def forget(self, since: date) -> None:
        """Take out what was kept of this day and all that follow."""
        days = self.days(since=since)
        if not days:
            return
        with delta.connect(memory_limit=MEMORY, threads=1, spill=self._spill) as connection:
            for path, columns in ((self._scores, _SCORES | _SAID), (self._parts, _PARTS)):
                self._replace(connection, path, columns, f"select {', '.join(columns)} from ({_none(columns)})", days)

    def days(self, *, final_only: bool = False, since: date = BEGINNING) -> set[date]:
        """The days that have been kept; `since` a day on, which reads no file of the months before."""
        query = f"select distinct as_of from {{rows}} where as_of >= ?{' and final' if final_only else ''}"
        return {day for (day,) in self._ask(self._scores, query, [since], first=_month(since))}

    def versions_on(self, day: date) -> set[str]:
        """The versions of scorecards that scored a day; none when it was not kept."""
        query = "select distinct version from {rows} where as_of = ?"
        return {version for (version,) in self._ask(self._scores, query, [day], first=_month(day), last=_month(day))}

    def last_day(self) -> tuple[date | None, dict[str, int]]:
        """The newest final day that was kept, and how many accounts each version of a scorecard scored on it."""
        query = """
            select as_of, version, count(*) from {rows}
            where final and as_of = (select max(as_of) from {rows} where final) group by as_of, version"""
        months = {file.partition["month"] for file in self._files(self._scores)}
        for month in sorted(months, reverse=True):
            if rows := self._ask(self._scores, query, [], first=month, last=month):
                return rows[0][0], {version: count for _, version, count in rows}
        return None, {}

    def scores_on(self, day: date, accounts: Sequence[str] | None = None) -> dict[str, tuple[float | None, str, str]]:
        """Score, tier and scorecard version by account, of all or of these; empty when the day was not kept."""
        among, values = _among(accounts)
        query = f"select account, score, tier, version from {{rows}} where as_of = ?{among} order by account"
        rows = self._ask(self._scores, query, [day, *values], first=_month(day), last=_month(day))
        return {account: (score, tier, version) for account, score, tier, version in rows}

    def standings_on(self, day: date, accounts: Sequence[str] | None = None) -> dict[str, Standing]:
        """What the tier went by, by account; before it was kept, the score alone."""
        among, values = _among(accounts)
        columns = "account, tier, coalesce(raw_tier, tier), fold, coalesce(flags, '')"
        query = f"select {columns} from {{rows}} where as_of = ?{among} order by account"
        rows = self._ask(self._scores, query, [day, *values], first=_month(day), last=_month(day))
        return {account: Standing(*said) for account, *said in rows}

    def parts_on(self, day: date, accounts: Sequence[str] | None = None) -> dict[str, tuple[Part, ...]]:
        """The parts of the score by account, ordered by dimension and measure; of all accounts, or of these."""
        among, values = _among(accounts)
        query = (
            f"select account, {', '.join(Part._fields)} from {{rows}} where as_of = ?{among}"
            " order by account, dimension, measure"
        )
        rows = self._ask(self._parts, query, [day, *values], first=_month(day), last=_month(day))
        return {account: tuple(Part(*row[1:]) for row in of) for account, of in groupby(rows, itemgetter(0))}

    def told_on(self, day: date, accounts: Sequence[str] | None = None) -> list[tuple[Scored, str]]:
        """What was told on a day, in full, each with the name of its scorecard; of all accounts, or of these."""
        among, values = _among(accounts)
        columns = (
            "account, as_of, score, tier, coverage, low, high, held, coalesce(raw_tier, tier), fold,"
            " coalesce(flags, ''), version, scorecard"
        )
        query = f"select {columns} from {{rows}} where as_of = ?{among} order by account"
        rows = self._ask(self._scores, query, [day, *values], first=_month(day), last=_month(day))
        parts = self.parts_on(day, accounts)
        return [(Scored._make((*row[:-1], parts.get(row[0], ()))), row[-1]) for row in rows]

    def last_before(self, day: date) -> date | None:
        """The last final day that was kept before this one, of the days that one pass fills in."""
        since = day - timedelta(days=LONGEST_GAP)
        return max((kept for kept in self.days(final_only=True, since=since) if kept < day), default=None)

    def states_after(self, day: date) -> str:
        """SQL that gives the state of each account's tier (account, fold) after a day; nobody's, were it not final."""
        files = [f for f in self._files(self._scores) if f.partition["month"] == _month(day)]
        if not files:
            return NOBODY
        rows = _rows(self._scores, files, _SCORES | _SAID)
        return f"select account, fold from {rows} where as_of = date '{day}' and final and fold is not null"

    def raised_since(self, account: str, flag: str, day: date) -> date | None:
        """The first of the final days in a row up to `day` with this flag raised; at most `FLAGGED` are looked at."""
        since = day - FLAGGED
        query = """
            with of as (select as_of, list_contains(split(coalesce(flags, ''), ' '), ?) as raised from {rows}
                        where account = ? and final and as_of between ? and ?)
            select min(as_of) from of
            where as_of > coalesce((select max(as_of) from of where not raised), '1970-01-01')"""
        rows = self._ask(self._scores, query, [flag, account, since, day], first=_month(since), last=_month(day))
        return rows[0][0] if rows else None

    def days_of(self, accounts: Collection[str]) -> int:
        """On how many days any of these accounts was kept."""
        query = "select distinct as_of from {rows} where account in (select unnest(?))"
        return len(self._ask(self._scores, query, [list(accounts)]))

    def erase(self, accounts: Collection[str]) -> int:
        """Take accounts out of every day, by all scores, and out of the tables' past; how many rows."""
        condition = f"account in ({', '.join(map(delta.text, accounts))})"
        paths = [path for one in self.kept() for path in (one._scores, one._parts)]
        return sum(delta.erase(path, lambda _: condition, spill=self._spill, guard=self._guard) for path in paths)

    def close(self) -> None:
        """Let go of the memory that reading uses."""
        for other in self._others.values():
            other.close()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _replace(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        columns: Mapping[str, str],
        rows: str,
        days: Collection[date],
    ) -> None:
        """Put the rows in place of all rows of these days, in one commit. A month of many files becomes one of one."""
        schema = _schema({**columns, **_MONTH})
        table = self._tables[path].newest() or delta.create_table(path, schema, list(_MONTH))
        lacking = [field for field in schema.fields if field.name not in {one.name for one in table.schema().fields}]
        if lacking:  # a history that began before these were kept
            table.alter.add_columns(lacking)
        added, removed = [], []
        for month, found in groupby(sorted(set(days)), _month):
            these = _dates(found)
            files = [file for file in delta.data_files(table) if file.partition["month"] == month]
            old = files if len(files) >= MONTH_FILES else _holding(connection, path, files, these)
            query = f"{rows} where as_of in ({these})"
            if old:
                kept = f"select {', '.join(columns)} from {_rows(path, old, columns)} where as_of not in ({these})"
                query = f"{query}\nunion all\n{kept}"
            added.append(delta.write_file(connection, path, {"month": month}, query))
            removed += old
        with self._guard():
            delta.swap(table, [file for file in added if file], removed)
        if removed:
            delta.vacuum(path)

    def _files(self, path: Path) -> list[DataFile]:
        return delta.data_files(self._tables[path].newest())

    def _ask(
        self, path: Path, query: str, values: Sequence[object], *, first: str = "", last: str = "9999-12"
    ) -> list[tuple[Any, ...]]:
        """What a query finds in the rows of these months; nothing where there are none."""
        files = [f for f in self._files(path) if first <= f.partition["month"] <= last]
        if not files:
            return []
        if self._database is None:
            self._database = delta.connect(memory_limit=MEMORY, threads=1, spill=self._spill)
        rows = _rows(path, files, _PARTS if path == self._parts else _SCORES | _SAID)
        return self._database.execute(query.format(rows=rows), values).fetchall()


def _among(accounts: Sequence[str] | None) -> tuple[str, list[list[str]]]:
    return ("", []) if accounts is None else (" and account in (select unnest(?))", [list(accounts)])


def _relation(name: str, columns: Mapping[str, str], *more: str) -> str:
    return f"select {', '.join([*columns, *more])} from {name}"


def _rows(path: Path, files: Sequence[DataFile], columns: Mapping[str, str]) -> str:
    """SQL that reads these files; what was written before a column was kept has null in it."""
    return f"(select * from {delta.scan(path, files, mixed=True)} union all by name {_none(columns)})"


def _none(columns: Mapping[str, str]) -> str:
    """SQL that gives no row of these columns."""
    return f"select {', '.join(f'null::{kind} as {name}' for name, kind in columns.items())} where false"


def _holding(
    connection: duckdb.DuckDBPyConnection, path: Path, files: Sequence[DataFile], dates: str
) -> list[DataFile]:
    """The files with rows of these days."""
    return [
        file
        for file in files
        if delta.one_row(connection, f"select count(*) from {delta.scan(path, [file])} where as_of in ({dates})")[0]
    ]


def _schema(columns: Mapping[str, str]) -> Schema:
    return Schema([Field(name, PrimitiveType(_KINDS[kind])) for name, kind in columns.items()])


def _dates(days: Iterable[date]) -> str:
    return ", ".join(f"date '{day.isoformat()}'" for day in sorted(days))


def _month(day: date) -> str:
    return f"{day:%Y-%m}"

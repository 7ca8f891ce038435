"""CSV and Parquet files: events from a file, and accounts from a file with their scores written to another.

A file is one source. It is read again only when it has changed, and then as a whole: what it no longer says stops
being true. Files are looked up under the folder of the settings file (or `root`) and symlinks are never followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Annotated, Self

import duckdb
from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.base import Cursor, Finding, KeyIs, Page, Rejected, Tools
from connectors.errors import ConnectorError
from connectors.scorefile import DestinationSettings, FileDestination
from connectors.table import SHOWN, Rows, Stream, hash_people, named, opened, quoted, readable, safe_path

__all__ = ["DestinationSettings", "FileDestination", "FileSource", "SourceSettings"]

FACT_NAME = r"^[A-Za-z0-9_]+([.][A-Za-z0-9_-]+)*$"
BIGGEST = 2.0**43  # what the log can still add up exactly


class Columns(BaseModel):
    """Which column holds what. Without `value` and `label` a row counts as 1; without `id` its content names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: str
    at: str
    event: str | None = None
    value: str | None = None
    label: str | None = None
    user: str | None = None
    id: str | None = None


class AccountKey(BaseModel):
    """What kind of name the account column holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: KeyIs = Field("crm_id", alias="is")


class SourceSettings(BaseModel):
    """One file of events. `event`: the name of all its facts, where no column says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, Field(min_length=1)]
    root: str | None = None
    columns: Columns
    event: Annotated[str, Field(pattern=FACT_NAME, max_length=64)] | None = None
    account_key: AccountKey = AccountKey.model_validate({})

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.event is None) == (self.columns.event is None):
            raise ValueError("give either event (one name for all rows) or columns.event (the column that says it)")
        return self


class FileSource:
    """A source of facts from one file.

    `through` is the moment the file was last written; what it says of later moments is read when it is written again.
    """

    def __init__(self, name: str, settings: SourceSettings, tools: Tools) -> None:
        self.name, self._settings, self._tools = name, settings, tools
        self.key_is: KeyIs = settings.account_key.kind
        self.names = (settings.event,) if settings.event else ()
        self._place = f"sources.{name}"
        self._path = safe_path(tools.root / (settings.root or "."), settings.path, f"{self._place}.path")

    def pull(self, cursor: Cursor | None, *, start: datetime, now: datetime) -> Iterator[Page]:
        """One page with everything in the file, or none when it is as it was."""
        found = readable(self._path, f"{self._place}.path")
        before = cursor or {}
        seen = {"mtime": found.st_mtime_ns, "size": found.st_size}
        if seen.items() <= before.items():
            return
        with self._opened() as (connection, rows):
            yield self._page(connection, rows, before, seen, now)

    def check(self) -> Iterator[Finding]:
        try:
            with self._opened() as (connection, rows):
                refused = rows.refused + _one(connection, "select count(*) from facts where reason is not null")
                good = _one(connection, "select count(*) from facts where reason is null")
        except ConnectorError as error:
            yield Finding(self._place, False, str(error), "see the message")
        else:
            yield Finding(self._place, bool(good), f"{good} rows can be read, {refused} cannot", "look at the columns")

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _opened(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, Rows]]:
        """The file in a database, with the table `facts` made of its rows."""
        columns = self._settings.columns
        spill = self._tools.spool / self.name
        with opened(self._path, spill=spill, timezone=self._tools.timezone.key, place=self._place) as (found, rows):
            rows.require(columns.model_dump(exclude_none=True).values(), file=self._path.name, place=self._place)
            found.execute(_facts(columns, self._settings.event))
            yield found, rows

    def _page(
        self, connection: duckdb.DuckDBPyConnection, rows: Rows, before: Cursor, seen: Cursor, now: datetime
    ) -> Page:
        hash_people(connection, "facts", self._tools.actor)
        first, last = self._days(connection)
        wrong = f"select __line, reason from facts where reason is not null order by __line limit {SHOWN}"
        rejected = [Rejected(f"{self._path.name}:{line}", why) for line, why in connection.execute(wrong).fetchall()]
        refused = rows.refused + _one(connection, "select count(*) from facts where reason is not null")
        covered = [date.fromisoformat(day) for day in (before.get("first"), before.get("last")) if day]
        covered += [day for day in (first, last) if day]
        written = datetime.fromtimestamp(seen["mtime"] / 1e9, UTC)
        spanned = {"first": min(covered).isoformat(), "last": max(covered).isoformat()} if covered else {}
        return Page(
            events=Stream(connection, FACTS),
            cursor=seen | spanned,
            through=min(written, now),
            since=datetime.combine(first, time.min, self._tools.timezone).astimezone(UTC) if first else None,
            replaces=(min(covered), max(covered)) if covered else None,
            rejected=[*rows.rejected, *rejected][:SHOWN],
            counts={"refused_rows": refused} if refused else {},
        )

    def _days(self, connection: duckdb.DuckDBPyConnection) -> tuple[date | None, date | None]:
        query = "select min(occurred_at)::date, max(occurred_at)::date from facts where reason is null"
        [(first, last)] = connection.execute(query).fetchall()
        return first, last


FACTS = """
select id, account_key, actor, name, (occurred_at at time zone 'UTC') as occurred_at, value, label
from facts left join actors using (person)
where reason is null"""


def _facts(columns: Columns, event: str | None) -> str:
    """The table `facts`: every row with what it says, and why it cannot be one if it cannot (`reason`).

    A row without an id is named by a hash of its content and its number among rows of the same content, so the same
    file gives the same facts in any order.
    """

    def column(name: str | None) -> str:
        return f"nullif(trim({named(name)}), '')" if name else "null::varchar"

    value = f"case when given is null and label is null and {not columns.value} then 1.0 else number end"
    return f"""
create table facts as
with cells as (
  select __line, {column(columns.account)} as account_key, {column(columns.at)} as moment,
         {quoted(event) if event else column(columns.event)} as name, {column(columns.value)} as given,
         {column(columns.label)} as label, {column(columns.user)} as person, {column(columns.id)} as own_id
  from rows),
typed as (
  select *, try_cast(moment as timestamptz) as occurred_at, try_cast(given as double) as number,
         md5(to_json([account_key, moment, name, given, label, person])::varchar) as content
  from cells)
select __line, account_key, name, person, occurred_at, label, {value} as value,
       coalesce(own_id, content || '/' || row_number() over (partition by content order by __line)) as id,
       case when account_key is null then 'it has no account'
            when name is null then 'it has no event name'
            when not regexp_full_match(name, {quoted(FACT_NAME)}) or length(name) > 64
              then 'its event is no dotted name'
            when moment is null then 'it has no date'
            when occurred_at is null or not isfinite(occurred_at)
              or year(occurred_at) not between 1970 and 2200 then 'its date cannot be read; write 2026-03-01'
            when given is null and label is null and {bool(columns.value)} then 'it has no value'
            when given is not null and (number is null or not isfinite(number)) then 'its value is not a number'
            when abs(number) > {BIGGEST} then 'its value is too large'
            when length(label) > 64 then 'its label is longer than 64 characters'
       end as reason
from typed"""


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    [(number,)] = connection.execute(query).fetchall()
    return int(number)

"""CSV and Parquet files: events from a file, and accounts from a file with their scores written to another.

A file is one source. It is read again only when it has changed, and then as a whole: what it no longer says stops
being true. Files are looked up under the folder of the settings file (or `root`) and symlinks are never followed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Annotated, Self

import duckdb
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from connectors.base import Cursor, Finding, KeyIs, Page, Rejected, Tools
from connectors.errors import ConnectorError, SettingsWrong
from connectors.filefacts import FACTS, GOOD, NO_NAME, REMEDIES, Columns, facts_table, shown
from connectors.findings import failed
from connectors.names import FactName
from connectors.scorefile import DestinationSettings, FileDestination
from connectors.table import SHOWN, Rows, Stream, hash_people, opened, readable, safe_path

__all__ = ["DestinationSettings", "FileDestination", "FileSource", "SourceSettings"]

FEW = 3  # reasons in a finding
CORRECT = "correct the file, or path and columns in the settings"


class AccountKey(BaseModel):
    """What kind of name the account column holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: KeyIs = Field("crm_id", alias="is")


def _several(given: object) -> object:
    return [given] if isinstance(given, str) else given


Words = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_several), Field(min_length=1)]


class SourceSettings(BaseModel):
    """One file of events. `event`: the name of all its facts, where no column says it.

    `events`: the words of the event column behind each of our names; without it the words are the names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, Field(min_length=1)]
    root: str | None = None
    columns: Columns
    event: FactName | None = None
    events: Annotated[dict[FactName, Words], Field(min_length=1)] | None = None
    account_key: AccountKey = AccountKey.model_validate({})

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.event is None) == (self.columns.event is None):
            raise ValueError("give either event (one name for all rows) or columns.event (the column that says it)")
        if self.events and not self.columns.event:
            raise ValueError("events needs columns.event (the column that holds their words)")
        words = [word.strip() for words in (self.events or {}).values() for word in words]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"events names {twice[0]!r} twice; a row is one event")
        return self

    @property
    def name_of(self) -> Mapping[str, str] | None:
        """Our name for each word of the event column; None where the words are names."""
        if self.events is None:
            return None
        return {word.strip(): name for name, words in self.events.items() for word in words}


class FileSource:
    """A source of facts from one file.

    `through` is the moment the file was last written; what it says of later moments is read when it is written again.
    """

    address = ""

    def __init__(self, name: str, settings: SourceSettings, tools: Tools) -> None:
        self.name, self._settings, self._tools = name, settings, tools
        self.key_is: KeyIs = settings.account_key.kind
        self.names = (settings.event,) if settings.event else tuple(settings.events or ())
        self._place = f"sources.{name}"
        self._path = safe_path(tools.root / (settings.root or "."), settings.path, f"{self._place}.path")

    def pull(self, cursor: Cursor | None, *, start: datetime, now: datetime) -> Iterator[Page]:
        """One page with everything in the file, or none when it and its settings are as they were."""
        found = readable(self._path, f"{self._place}.path")
        before = cursor or {}
        meant = hashlib.sha256(self._settings.model_dump_json().encode()).hexdigest()[:12]
        seen = {"mtime": found.st_mtime_ns, "size": found.st_size, "settings": meant}
        if seen.items() <= before.items():
            return
        with self._opened() as (connection, rows):
            yield self._page(connection, rows, before, seen, now)

    def check(self) -> Iterator[Finding]:
        try:
            with self._opened() as (connection, rows):
                yield self._finding(connection, rows)
        except ConnectorError as error:
            yield failed(self._place, error, CORRECT)

    def _finding(self, connection: duckdb.DuckDBPyConnection, rows: Rows) -> Finding:
        rejected, more = self._rejected(connection, rows)
        good, refused = _one(connection, GOOD), len(rejected) + more
        others = _one(connection, "select count(*) from facts where other")
        if not good + refused + others:
            return Finding(self._place, False, f"{self._path.name} has no rows", "fill it, or name another file")
        words = [f"{_rows(good)} can be read"]
        if refused:
            first = {row.reason: f"{row.place}: {row.reason}" for row in reversed(rejected)}
            words.append(f"{refused} cannot ({'; '.join(list(reversed(first.values()))[:FEW])})")
        if others:
            there = "" if good else f" (such as {self._others(connection)})"
            words.append(f"{_rows(others)} of events that `events` does not name{there}")
        return Finding(self._place, bool(good), ", ".join(words), "" if good else _remedy(rejected))

    def _others(self, connection: duckdb.DuckDBPyConnection) -> str:
        query = f"select word from facts where other group by word order by count(*) desc, word limit {FEW}"
        return ", ".join(shown(word) for (word,) in connection.execute(query).fetchall())

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _opened(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, Rows]]:
        """The file in a database, with the table `facts` made of its rows."""
        columns = self._settings.columns
        spill = self._tools.spool / self.name
        with opened(self._path, spill=spill, timezone=self._tools.timezone.key, place=self._place) as (found, rows):
            rows.require(list(columns.model_dump(exclude_none=True).values()), file=self._path.name, place=self._place)
            found.execute(facts_table(columns, self._settings.event, self._settings.name_of))
            yield found, rows

    def _page(
        self, connection: duckdb.DuckDBPyConnection, rows: Rows, before: Cursor, seen: Cursor, now: datetime
    ) -> Page:
        hash_people(connection, "(from facts where good)", self._tools.actor)
        first, last = self._days(connection)
        rejected, more = self._rejected(connection, rows)
        if first is None and before.get("first"):
            why = f" ({rejected[0].place}: {rejected[0].reason})" if rejected else ""
            words = f"{self._path.name} has no row any more that can be read{why}; correct it, its facts are kept"
            raise SettingsWrong(words, place=f"{self._place}.path")
        others = _one(connection, "select count(*) from facts where other")
        counts = {"more_refused": more, "rows_of_other_events": others}
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
            rejected=rejected,
            counts={what: number for what, number in counts.items() if number},
        )

    def _rejected(self, connection: duckdb.DuckDBPyConnection, rows: Rows) -> tuple[list[Rejected], int]:
        """The first rows that cannot be facts, and how many more there are."""
        wrong = f"select __line, reason, word from facts where reason is not null order by __line limit {SHOWN}"
        named = [
            Rejected(f"{self._path.name}:{line}", f"{shown(word)} {why}" if why == NO_NAME else why)
            for line, why, word in connection.execute(wrong).fetchall()
        ]
        told = [*rows.rejected, *named][:SHOWN]
        every = rows.refused + _one(connection, "select count(*) from facts where reason is not null")
        return told, every - len(told)

    def _days(self, connection: duckdb.DuckDBPyConnection) -> tuple[date | None, date | None]:
        query = "select min(occurred_at)::date, max(occurred_at)::date from facts where good"
        [(first, last)] = connection.execute(query).fetchall()
        return first, last


def _remedy(rejected: Sequence[Rejected]) -> str:
    """What to do about the first reason."""
    if not rejected:
        return "add these words to events"
    why = rejected[0].reason
    return REMEDIES.get(
        NO_NAME if why.endswith(NO_NAME) else why, "correct these lines, or save the file again as CSV UTF-8"
    )


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    [(number,)] = connection.execute(query).fetchall()
    return int(number)

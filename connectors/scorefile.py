"""Accounts from a CSV or Parquet file, and their scores in a CSV file beside it.

The scores file holds one row per account under our own field names. It is written whole to a temporary file that then
takes its place, so that a reader never sees half of it.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Any

import duckdb
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from connectors.accountrows import keep_good
from connectors.base import Account, Author, Change, Drift, Field, FieldValue, Finding, Outcome, Tools, Write, fields_of
from connectors.errors import ConnectorError, SettingsWrong
from connectors.findings import failed
from connectors.leftout import in_words
from connectors.table import Rows, named, opened, safe_path
from connectors.values import TIERS, as_number, canonical

ONE_PAGE = 1000
ACCOUNT = "account"
EPOCH = date(1970, 1, 1)
CORRECT = "correct the accounts file, its columns in the settings, or accounts.where and accounts.attributes"
NOT_OURS, ELSEWHERE = "is there and holds something else than scores", "name another file, or move this one away"
FORMULA = re.compile(r"'*[=+@\t\r-]")  # how a cell begins that a spreadsheet would work out


class AccountColumns(BaseModel):
    """Which column of the accounts file holds what; those that are not there are left out, but for the id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = "id"
    name: str = "name"
    domain: str = "domain"
    external_id: str = "external_id"
    owner: str = "owner"
    since: str = "since"


class DestinationSettings(BaseModel):
    """The accounts file to read and the scores file to write, both under the folder of the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accounts: Annotated[str, Setting(min_length=1)]
    scores: Annotated[str, Setting(pattern=r"\.csv$")]
    root: str | None = None
    columns: AccountColumns = AccountColumns()


class FileDestination:
    """A directory and destination in two files. `where` is a condition in SQL over the accounts file's columns."""

    address = ""

    def __init__(self, name: str, settings: DestinationSettings, tools: Tools) -> None:
        self.name, self._settings, self._tools = name, settings, tools
        self._place = f"destinations.{name}"
        root = tools.root / (settings.root or ".")
        self._accounts = safe_path(root, settings.accounts, f"{self._place}.accounts")
        self._scores = safe_path(root, settings.scores, f"{self._place}.scores")
        self._kinds = {field.key: field for field in tools.fields}
        self._calls: Counter[str] = Counter()
        self._left_out = ""

    @property
    def left_out(self) -> str:
        """The rows of the accounts file that the last reading left out."""
        return self._left_out

    @property
    def calls(self) -> Mapping[str, int]:
        """Times each file was read or written."""
        return self._calls

    def accounts(
        self, *, where: str, attributes: Mapping[str, str], limit: int | None = None
    ) -> Iterator[Sequence[Account]]:
        """The rows that meet `where`, a thousand at a time. A date among the attributes becomes its day number."""
        with self._opened(attributes.values()) as (connection, rows):
            self._calls["accounts"] += 1
            self._left_out = in_words(rows.refused, rows.rejected)
            present = self._present()
            found = self._query(connection, rows, where, attributes, limit)
            while batch := found.fetchmany(ONE_PAGE):
                yield [self._account(row, attributes, present) for row in batch]

    def check(self, *, where: str, attributes: Mapping[str, str]) -> Iterator[Finding]:
        try:
            number = sum(len(page) for page in self.accounts(where=where, attributes=attributes))
        except ConnectorError as error:
            if error.place != f"{self._place}.scores":  # which has a finding of its own
                yield failed(self._place, error, CORRECT)
        else:
            words = f"{number} account{'' if number == 1 else 's'}"
            yield Finding(self._place, bool(number), words, "" if number else "fill the file, or widen accounts.where")
            if self.left_out:
                remedy = "correct these lines; until then a customer without another line counts as one who left"
                yield Finding(f"{self._place}.accounts", False, self.left_out, remedy)
        yield self._scores_finding()

    def plan(self, *, prune: bool = False) -> Sequence[Change]:
        """Nothing to provision, and nothing to remove: the columns come with the file, and the file is yours."""
        return ()

    def drift(self, *, since: datetime) -> Sequence[Drift]:
        """None: a file that holds other columns is refused as a whole."""
        return ()

    def shape(self) -> str:
        return ",".join(self._kinds)

    def canonical(self, field: str, value: FieldValue) -> FieldValue:
        """The value as the file would give it back; None for a field of a score that is not in the settings."""
        return _canonical(self._kinds[field], value) if field in self._kinds else None

    def read(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        """Our fields of these accounts; blank where the scores file does not have them yet."""
        self._calls["read"] += 1
        known, present = self._ids(), self._present()
        blank = dict.fromkeys(self._kinds)
        return {id: present.get(id, blank) for id in ids if id in known or id in present}

    def write(self, writes: Sequence[Write]) -> Iterable[Outcome]:
        """Put the fields into the scores file, all in one step. Of an account that left its file the row is emptied."""
        known, present = self._ids(), self._present()
        outcomes = []
        for write in writes:
            empties = write.id in present and set(write.fields.values()) == {None}
            if write.id not in known and not empties:
                words = "the accounts file has no such id any more"
                outcomes.append(Outcome(write.id, False, None, "NOT_FOUND", words, "gone"))
                continue
            fields = {key: self.canonical(key, value) for key, value in write.fields.items()}
            present[write.id] = {**present.get(write.id, dict.fromkeys(self._kinds)), **fields}
            outcomes.append(Outcome(write.id, True, fields))
        if any(outcome.ok for outcome in outcomes):
            self._calls["write"] += 1
            self._tools.stand()
            self._replace(present)
        return outcomes

    def authors(self, field: str, ids: Sequence[str]) -> Mapping[str, Author]:
        """A file does not tell who wrote what stands in it."""
        return {}

    def survivors(self, ids: Sequence[str]) -> Mapping[str, str | None]:
        """Nor where a line went that is not there any more."""
        return {}

    def cost(self, records: int) -> int:
        """The scores file is read once and written once."""
        return 2 if records else 0

    def allowance(self) -> None:
        """Files may be read and written as often as one likes."""

    def midnight(self) -> None:
        """Nor do they have days."""

    def ration(self, calls: int | None) -> None:
        """Nothing is counted."""

    def close(self) -> None:
        """Nothing is kept open."""

    def _scores_finding(self) -> Finding:
        place = f"{self._place}.scores"
        if not os.access(self._scores.parent, os.W_OK):
            words = f"{self._scores.parent} cannot be written to"
            return Finding(place, False, words, "make the folder, or give access to it")
        try:
            self._present()
        except SettingsWrong:
            return Finding(place, False, f"{self._scores.name} {NOT_OURS}", ELSEWHERE)
        return Finding(place, True, "scores can be written")

    @contextmanager
    def _opened(self, attributes: Iterable[str] = ()) -> Iterator[tuple[duckdb.DuckDBPyConnection, Rows]]:
        """The accounts in a database: the rows with an id of their own, and what was left out."""
        spill, zone = self._tools.spool / self.name, self._tools.timezone.key
        place, file, key = f"{self._place}.accounts", self._accounts.name, self._settings.columns.id
        with opened(self._accounts, spill=spill, timezone=zone, place=place) as (connection, rows):
            rows.require([key, *attributes], file=file, place=place)
            yield connection, keep_good(connection, rows, key=key, file=file, place=place)

    def _query(
        self,
        connection: duckdb.DuckDBPyConnection,
        rows: Rows,
        where: str,
        attributes: Mapping[str, str],
        limit: int | None,
    ) -> duckdb.DuckDBPyConnection:
        columns = self._settings.columns
        wanted = [columns.id, columns.name, columns.domain, columns.external_id, columns.owner, *attributes.values()]
        texts = [f"trim({named(name)})" if name in rows.columns else "null" for name in wanted]
        since = named(columns.since) if columns.since in rows.columns else "null"
        moment = f"try_cast({since} as timestamptz)"
        query = f"select case when year({moment}) between 1900 and 2200 then epoch({moment}) end"
        query += f", {', '.join(texts)} from rows"
        query += f" where ({where})" if where.strip() else ""
        query += " order by __line" + (f" limit {limit}" if limit is not None else "")
        try:
            [statement] = connection.extract_statements(query)
            return connection.execute(statement)
        except (duckdb.Error, ValueError):
            words = f"this is no condition over the columns of {self._accounts.name} ({', '.join(rows.columns[:20])}); "
            words += "write one like plan = 'pro'"
            raise SettingsWrong(words, place="accounts.where") from None

    def _account(
        self, row: tuple[Any, ...], attributes: Mapping[str, str], present: Mapping[str, Mapping[str, FieldValue]]
    ) -> Account:
        since, id, name, domains, external_id, owner, *levels = row
        return Account(
            id=id,
            name=name or id,
            domains=_domains(domains),
            refs={"external_id": external_id} if external_id else {},
            owner=owner or None,
            since=None if since is None else datetime.fromtimestamp(since, UTC),
            attributes=dict(zip(attributes, map(_level, levels), strict=True)),
            present=present.get(id, {}),
        )

    def _ids(self) -> set[str]:
        with self._opened() as (connection, _):
            found = connection.execute(f"select trim({named(self._settings.columns.id)}) from rows").fetchall()
        return {id for (id,) in found}

    def _present(self) -> dict[str, dict[str, FieldValue]]:
        """What the scores file holds, as canonical values by account. It is ours, or it is refused."""
        if not self._scores.exists():
            return {}
        try:
            with self._scores.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.DictReader(file)
                columns = set(rows.fieldnames or ())
                kinds = {**_kept(columns), **self._kinds}
                if ACCOUNT in columns and columns <= {ACCOUNT, *kinds}:  # another column would be lost
                    return {_unguarded(row[ACCOUNT]): _fields(row, kinds) for row in rows}
        except (ValueError, csv.Error):
            pass  # not ours, which the next lines say
        words = f"{self._scores.name} {NOT_OURS}; {ELSEWHERE}"
        raise SettingsWrong(words, place=f"{self._place}.scores")

    def _replace(self, present: Mapping[str, Mapping[str, FieldValue]]) -> None:
        columns = dict.fromkeys([*self._kinds, *(key for fields in present.values() for key in fields)])
        part = self._scores.with_name(f".{self._scores.name}.part")
        try:
            # who may read the scores is whoever could before; at first, their owner
            mode = self._scores.stat().st_mode & 0o777 if self._scores.exists() else 0o600
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                os.fchmod(descriptor, mode)
                rows = csv.writer(file, lineterminator="\n")
                rows.writerow([ACCOUNT, *columns])
                rows.writerows(
                    [_guarded(id), *(_text(fields.get(key)) for key in columns)]
                    for id, fields in sorted(present.items())
                )
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._scores)
        except OSError as error:
            words = f"{self._scores.name} cannot be written ({type(error).__name__}: {error.strerror})"
            raise SettingsWrong(words, place=f"{self._place}.scores") from None


def _domains(text: str | None) -> tuple[str, ...]:
    """Host names out of one cell: `acme.com; https://www.acme.de/about` is two."""
    hosts = (
        part.lower().split("://")[-1].split("/")[0].removeprefix("www.") for part in re.split(r"[;,\s]+", text or "")
    )
    return tuple(dict.fromkeys(host for host in hosts if host))


def _level(text: str | None) -> float | str | None:
    """A number, a date as its day number (days since 1970-01-01), a word, or None when blank."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        return number if math.isfinite(number) else text[:64]
    try:
        return float((date.fromisoformat(text[:10]) - EPOCH).days) if text[4:5] == "-" else text[:64]
    except ValueError:
        return text[:64]


def _canonical(field: Field, value: FieldValue) -> FieldValue:
    if value is None or value == "":
        return None
    if field.kind == "tier":
        return canonical(field, value, tiers=dict(zip(TIERS, TIERS, strict=True)))
    if field.kind == "number":
        return round(float(str(value)), field.scale) + 0.0
    if field.kind == "date":
        return value.date() if isinstance(value, datetime) else date.fromisoformat(str(value)[:10])
    if field.kind == "datetime":
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    return " ".join(str(value).split())[: field.length].strip() or None


def _kept(columns: Collection[str]) -> dict[str, Field]:
    """The columns of scores that may be in the settings no more: their values are not ours to throw away."""
    scores = (column.removesuffix("_score") for column in columns if column.endswith("_score"))
    whole = (score for score in scores if {f"{score}_tier", f"{score}_reason"} <= {*columns})
    return {field.key: field for field in fields_of(whole)}


def _fields(row: Mapping[str, str | None], kinds: Mapping[str, Field]) -> dict[str, FieldValue]:
    return {key: _canonical(field, _unguarded(row.get(key) or "")) for key, field in kinds.items()}


def _text(value: FieldValue) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else _guarded(str(value))


def _guarded(text: str) -> str:
    """A cell that a spreadsheet does not take for a formula. `_unguarded` gives the text back, whatever it is."""
    return f"'{text}" if FORMULA.match(text) and as_number(text) is None else text


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell

"""What the worker remembers between runs: accounts, keys, readings, runs, totals, deliveries, judgements, scorecards
and the lease.

All SQL of the worker is in this file. It runs on SQLite (one file, one machine) and on PostgreSQL by URL. A
change runs in a transaction that has the right to write from its first statement, because on SQLite a transaction
that begins by reading can lose another's update without an error. While its worker holds the lease, a change is refused
in the same transaction once the lease is another's: a process may be stopped for an hour between any two statements.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from connectors.base import Account, Key
from sync.database import database_error, open_engine, vacuum
from sync.errors import LeaseLost, UsageError
from sync.rows import (
    HEALTH,
    AccountRow,
    Decision,
    Delivery,
    DeliveryStatus,
    Fence,
    Judgement,
    JudgementKind,
    Reading,
    Run,
    RunStatus,
    ScorecardRow,
    Standing,
    Total,
)
from sync.tables import ACCOUNTS, DELIVERIES, JUDGEMENTS, KEYS, LEASE, META, READINGS, RUNS, SCORECARDS, TOTALS

CHUNK = 10_000  # rows a statement is executed with at a time: bounds memory, not the transaction
LEASE_NAME = "worker"
DOUBTS = "doubts/"  # how the keys begin under which doubted records stand
TAKEN_OUT = "(it named a customer who was erased)"

_KEY_COLUMNS = (KEYS.c.source, KEYS.c.key, KEYS.c.name, KEYS.c.domains, KEYS.c.refs)

T = TypeVar("T")


class State:
    """The worker's memory behind one database URL; `create=False` refuses a SQLite file that is not there."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._engine = open_engine(url, create=create)
        self._reader = self._engine.execution_options(reads_only=True)
        self._fence: Fence | None = None

    def close(self) -> None:
        self._engine.dispose()

    def __repr__(self) -> str:
        return f"State({self._engine.url.render_as_string(hide_password=True)!r})"

    # -- meta: single values ---------------------------------------------------------------------------------

    def meta(self, key: str) -> Any:
        """The value kept under `key`, or None."""
        with self._read() as connection:
            return connection.scalar(select(META.c.value).where(META.c.key == key))

    def set_meta(self, key: str, value: Any) -> None:
        with self._write() as connection:
            _upsert(connection, META, [{"key": key, "value": value}])

    # -- accounts and keys -----------------------------------------------------------------------------------

    def save_accounts(self, rows: Iterable[Account], *, now: datetime) -> None:
        """Insert or refresh these accounts; one that had left is a member again."""
        with self._write() as connection:
            _upsert(connection, ACCOUNTS, (_account(row, now) for row in rows), keep=("first_seen_at",))

    def close_missing_accounts(self, seen: set[str], *, now: datetime) -> list[str]:
        """Mark every member that is not in `seen` as left; returns those, in order."""
        with self._write() as connection:
            members = connection.scalars(select(ACCOUNTS.c.id).where(ACCOUNTS.c.left_at.is_(None)))
            left = sorted(set(members) - seen)
            for ids in _chunks(left, 500):
                connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id.in_(ids)).values(left_at=now))
        return left

    def accounts(self, *, members_only: bool = True) -> list[AccountRow]:
        """Accounts by id."""
        query = select(*_columns(ACCOUNTS, AccountRow)).order_by(ACCOUNTS.c.id)
        if members_only:
            query = query.where(ACCOUNTS.c.left_at.is_(None))
        with self._read() as connection:
            return [AccountRow(*row) for row in connection.execute(query)]

    def names(self, accounts: Iterable[str]) -> dict[str, str]:
        """What these accounts are called."""
        with self._read() as connection:
            return {
                row.id: row.name
                for ids in _chunks(accounts, 500)
                for row in connection.execute(select(ACCOUNTS.c.id, ACCOUNTS.c.name).where(ACCOUNTS.c.id.in_(ids)))
            }

    def save_keys(self, keys: Sequence[Key], *, now: datetime) -> bool:
        """Whether any of these keys is new or says something new."""
        told = {(key.source, key.key): key for key in keys}
        sources, names = {key.source for key in keys}, {key.key for key in keys}
        same = select(*_KEY_COLUMNS).where(KEYS.c.source.in_(sources), KEYS.c.key.in_(names))
        with self._write() as connection:
            known = {(row.source, row.key): Key(*row) for row in connection.execute(same)}
            _upsert(connection, KEYS, (_key(key, now) for key in keys))
        return any(known.get(name) != key for name, key in told.items())

    def forget_keys(self, source: str, *, before: datetime) -> None:
        """Let go of a directory's entries that its last whole reading no longer showed."""
        with self._write() as connection:
            connection.execute(delete(KEYS).where(KEYS.c.source == source, KEYS.c.seen_at < before))

    def keys(self, source: str | None = None) -> list[Key]:
        """Keys by source and key."""
        query = select(*_KEY_COLUMNS)
        if source is not None:
            query = query.where(KEYS.c.source == source)
        with self._read() as connection:
            return [Key(*row) for row in connection.execute(query.order_by(KEYS.c.source, KEYS.c.key))]

    # -- readings --------------------------------------------------------------------------------------------

    def reading(self, source: str) -> Reading | None:
        return next((row for row in self._readings(READINGS.c.source == source)), None)

    def readings(self) -> list[Reading]:
        return self._readings()

    def save_reading(
        self,
        source: str,
        *,
        cursor: dict[str, Any] | None,
        since: datetime | None,
        through: datetime | None,
        names: Iterable[str],
    ) -> None:
        row = Reading(source, cursor, since, through, frozenset(names))
        with self._write() as connection:
            _upsert(connection, READINGS, [_values(row)])

    def _readings(self, *where: ColumnElement[bool]) -> list[Reading]:
        query = select(*_columns(READINGS, Reading)).where(*where).order_by(READINGS.c.source)
        with self._read() as connection:
            return [Reading(*row) for row in connection.execute(query)]

    # -- runs ------------------------------------------------------------------------------------------------

    def start_run(self, kind: str, slot: str, now: datetime) -> int | None:
        """Begin the run of this slot; None when it has been finished before.

        One that was begun and never finished belonged to a worker that died: it is begun again under its id.
        The caller holds the lease, so no other worker can be in the middle of it.
        """
        with self._write() as connection:
            found = connection.execute(
                select(RUNS.c.id, RUNS.c.status).where(RUNS.c.kind == kind, RUNS.c.slot == slot).with_for_update()
            ).first()
            if found is None:
                new = RUNS.insert().values(
                    kind=kind, slot=slot, status="running", started_at=now, finished_at=None, report={}
                )
                return int(connection.execute(new.returning(RUNS.c.id)).scalar_one())
            if found.status != "running":
                return None
            connection.execute(update(RUNS).where(RUNS.c.id == found.id).values(started_at=now))
            return int(found.id)

    def finish_run(self, run: int, status: RunStatus, report: Mapping[str, Any], now: datetime) -> None:
        with self._write() as connection:
            connection.execute(
                update(RUNS).where(RUNS.c.id == run).values(status=status, report=dict(report), finished_at=now)
            )

    def forget_runs(self, before: datetime) -> None:
        """Let go of runs that began before a moment, so that the table stands still in size."""
        with self._write() as connection:
            connection.execute(delete(RUNS).where(RUNS.c.started_at < before))

    def last_runs(self, n: int, *, kind: str | None = None) -> list[Run]:
        """The newest runs, newest first."""
        query = select(*_columns(RUNS, Run)).order_by(RUNS.c.id.desc()).limit(n)
        if kind is not None:
            query = query.where(RUNS.c.kind == kind)
        with self._read() as connection:
            return [Run(*row) for row in connection.execute(query)]

    def last_finished(self, kind: str) -> Run | None:
        """The newest run of this kind that was carried out (`done` or `partial`)."""
        query = (
            select(*_columns(RUNS, Run))
            .where(RUNS.c.kind == kind, RUNS.c.status.in_(("done", "partial")))
            .order_by(RUNS.c.id.desc())  # by their order, not by a clock that may have been set back
            .limit(1)
        )
        with self._read() as connection:
            row = connection.execute(query).first()
        return Run(*row) if row else None

    # -- totals and deliveries -------------------------------------------------------------------------------

    def totals(self, score: str = HEALTH) -> dict[str, Total]:
        """Today's answer by account, of one of the scores."""
        query = select(*_columns(TOTALS, Total)).where(TOTALS.c.score_name == score).order_by(TOTALS.c.account)
        with self._read() as connection:
            return {row[0]: Total(*row) for row in connection.execute(query)}

    def decisions(self, score: str = HEALTH, accounts: Collection[str] | None = None) -> dict[str, Decision]:
        """What of today's answers by a score every pass looks at, by account; of all accounts, or of these."""
        query = select(TOTALS.c.account, *(TOTALS.c[name] for name in Decision._fields))
        query = query.where(TOTALS.c.score_name == score)
        with self._read() as connection:
            rows = (row for part in _among(query, TOTALS.c.account, accounts) for row in connection.execute(part))
            return {row[0]: Decision(*row[1:]) for row in rows}

    def save_totals(self, totals: Iterable[Total]) -> None:
        with self._write() as connection:
            _upsert(connection, TOTALS, map(_values, totals))

    def remove_totals(self, accounts: Iterable[str]) -> None:
        """Forget the answers of these accounts."""
        with self._write() as connection:
            for ids in _chunks(accounts, 500):
                connection.execute(delete(TOTALS).where(TOTALS.c.account.in_(ids)))

    def deliveries(self, destination: str, records: Collection[str] | None = None) -> dict[str, Delivery]:
        """Deliveries of a destination by record id; of all its records, or of these."""
        query = select(*_columns(DELIVERIES, Delivery)).where(DELIVERIES.c.destination == destination)
        queries = _among(query.order_by(DELIVERIES.c.record_id), DELIVERIES.c.record_id, records)
        with self._read() as connection:
            rows = (row for query in queries for row in connection.execute(query))
            return {row.record_id: Delivery(*row) for row in rows}

    def past_tiers(self, accounts: Collection[str]) -> dict[str, frozenset[str]]:
        """The tiers, in our words, that records of these accounts were ever told, in whichever destination."""
        query, found = select(DELIVERIES.c.account, DELIVERIES.c.past), dict[str, frozenset[str]]()
        with self._read() as connection:
            for part in _among(query, DELIVERIES.c.account, accounts):
                for account, past in connection.execute(part):
                    found[account] = found.get(account, frozenset()).union(past)
        return found

    def standings(self, destination: str) -> dict[str, Standing]:
        """What of a destination's deliveries every pass looks at, by record id."""
        query = select(*(DELIVERIES.c[name] for name in Standing._fields)).where(
            DELIVERIES.c.destination == destination
        )
        with self._read() as connection:
            return {row[0]: Standing(*row) for row in connection.execute(query)}

    def last_due(self, now: datetime) -> datetime | None:
        """The latest moment up to now at which a record that was refused was to be tried again."""
        query = select(func.max(DELIVERIES.c.next_try_at)).where(DELIVERIES.c.next_try_at <= now)
        with self._read() as connection:
            found: datetime | None = connection.scalar(query)
        return found

    def save_deliveries(self, deliveries: Iterable[Delivery]) -> None:
        with self._write() as connection:
            _upsert(connection, DELIVERIES, map(_values, deliveries))

    def tallied(self) -> list[tuple[str, DeliveryStatus, str, int]]:
        """How many records there are of each destination, state and code of the last failure."""
        groups = (DELIVERIES.c.destination, DELIVERIES.c.status, DELIVERIES.c.code)
        with self._read() as connection:
            rows = connection.execute(select(*groups, func.count()).group_by(*groups).order_by(*groups))
            return [(name, status, code, count) for name, status, code, count in rows]

    def refused(self, destination: str) -> list[Delivery]:
        """The deliveries whose last try failed, quarantined ones first."""
        failed = (DELIVERIES.c.destination == destination) & DELIVERIES.c.status.in_(("failed", "quarantined"))
        query = select(*_columns(DELIVERIES, Delivery)).where(failed)
        with self._read() as connection:
            rows = connection.execute(query.order_by(DELIVERIES.c.status.desc(), DELIVERIES.c.record_id))
            return [Delivery(*row) for row in rows]

    def retry(self, destinations: Collection[str], *, now: datetime) -> int:
        """Have the records tried now that wait for their next try; how many."""
        waiting = DELIVERIES.c.destination.in_(destinations) & (DELIVERIES.c.next_try_at > now)
        with self._write() as connection:
            return connection.execute(update(DELIVERIES).where(waiting).values(next_try_at=now)).rowcount

    def doubt(self, destination: str, records: Collection[str]) -> None:
        """These records may hold something else than is known: the next pass reads them again.

        All that a worker may still say that has lost the lease, of what it sent after whoever has it now. It stands
        apart from the deliveries, where the pass that is under way would write over it.
        """
        with self._change() as connection:
            _upsert(connection, META, [{"key": f"{DOUBTS}{uuid4().hex}", "value": [destination, sorted(records)]}])

    def recall_doubts(self) -> int:
        """Have the records looked at that were doubted; how many."""
        doubted = META.c.key.startswith(DOUBTS)
        settled = DELIVERIES.c.status.in_(("confirmed", "closed"))
        with self._write() as connection:
            told = connection.scalars(delete(META).where(doubted).returning(META.c.value)).all()
            for destination, records in told:
                for some in _chunks(records, 500):
                    these = (DELIVERIES.c.destination == destination) & DELIVERIES.c.record_id.in_(some) & settled
                    connection.execute(update(DELIVERIES).where(these).values(status="pending", next_try_at=None))
        return sum(len(records) for _, records in told)

    def save_edits(self, judgements: Iterable[Judgement], deliveries: Iterable[Delivery]) -> None:
        """Keep what people changed on records and what is known of these records since, both or neither.

        A judgement of an account that is no member any more is left out.
        """
        with self._write() as connection:
            for judgement in judgements:
                _insert_judgement(connection, judgement)
            _upsert(connection, DELIVERIES, map(_values, deliveries))

    def pass_on(self, accounts: Mapping[str, str], deliveries: Iterable[Delivery]) -> None:
        """Give the judgements of accounts that were merged to those they went into, noting whose they were.

        A pulse is to be told the log anew, where the account is part of the fact.
        """
        columns = (JUDGEMENTS.c.id, JUDGEMENTS.c.account, JUDGEMENTS.c.origin)
        with self._write() as connection:
            for query in _among(select(*columns), JUDGEMENTS.c.account, accounts):
                for id, account, origin in connection.execute(query).all():
                    moved = {"account": accounts[account], "origin": {"account": account, **(origin or {})}}
                    this = update(JUDGEMENTS).where(JUDGEMENTS.c.id == id)
                    connection.execute(this.values(**moved, logged=False))
            _upsert(connection, DELIVERIES, map(_values, deliveries))

    def merged(self, destination: str) -> dict[str, str]:
        """By record that is gone, the one that it was merged into at last."""
        into = select(DELIVERIES.c.record_id, DELIVERIES.c.merged_into).where(
            DELIVERIES.c.destination == destination, DELIVERIES.c.merged_into.is_not(None)
        )
        with self._read() as connection:
            found = {row.record_id: str(row.merged_into) for row in connection.execute(into)}
        for record, survivor in found.items():
            while (further := found.get(survivor)) and further != record:
                survivor = further
            found[record] = survivor
        return found

    # -- judgements ------------------------------------------------------------------------------------------

    def add_judgement(self, judgement: Judgement) -> int | None:
        """Keep a new judgement under the id that comes back; None when its account is no member any more."""
        with self._write() as connection:
            return _insert_judgement(connection, judgement)

    def withdraw_judgement(self, id: int, by: str, *, now: datetime, day: date) -> bool:
        """Whether it was there and stood; then it no longer counts from `day` on."""
        standing = (JUDGEMENTS.c.id == id) & JUDGEMENTS.c.withdrawn_at.is_(None)
        taken = {"withdrawn_at": now, "withdrawn_on": day, "withdrawn_by": by, "logged": False}
        with self._write() as connection:
            return connection.execute(update(JUDGEMENTS).where(standing).values(**taken)).rowcount == 1

    def judgements(
        self, account: str | None = None, *, kinds: Collection[JudgementKind] = (), lasting: date | None = None
    ) -> list[Judgement]:
        """Judgements in the order they were made, withdrawn ones too; of an account, or of these kinds only.

        `lasting`: without those whose last day is before this one.
        """
        query = select(*_columns(JUDGEMENTS, Judgement)).order_by(JUDGEMENTS.c.id)
        if account is not None:
            query = query.where(JUDGEMENTS.c.account == account)
        if kinds:
            query = query.where(JUDGEMENTS.c.kind.in_(kinds))
        if lasting is not None:
            query = query.where(or_(JUDGEMENTS.c.until.is_(None), JUDGEMENTS.c.until >= lasting))
        return self._judgements(query)

    def judgement(self, id: int) -> Judgement | None:
        return next(iter(self._judgements(select(*_columns(JUDGEMENTS, Judgement)).where(JUDGEMENTS.c.id == id))), None)

    def judged(self) -> tuple[int, datetime | None]:
        """The newest judgement and the latest withdrawal: two moments with the same have the same judgements."""
        query = select(func.coalesce(func.max(JUDGEMENTS.c.id), 0), func.max(JUDGEMENTS.c.withdrawn_at))
        with self._read() as connection:
            newest, withdrawn = connection.execute(query).one()
        return newest, withdrawn

    def pulse_names(self) -> frozenset[str]:
        """What the pulses that were ever given are called."""
        with self._read() as connection:
            names = connection.scalars(select(JUDGEMENTS.c.name).where(JUDGEMENTS.c.kind == "pulse").distinct())
            return frozenset(names)

    def old_pulses(self, before: date) -> int:
        """How many members' latest pulse, of those that stand, is of a day before this one."""
        members = select(ACCOUNTS.c.id).where(ACCOUNTS.c.left_at.is_(None))
        given = (JUDGEMENTS.c.kind == "pulse") & JUDGEMENTS.c.withdrawn_at.is_(None) & JUDGEMENTS.c.account.in_(members)
        latest = select(JUDGEMENTS.c.account).where(given).group_by(JUDGEMENTS.c.account)
        old = latest.having(func.max(JUDGEMENTS.c.day) < before).subquery()
        with self._read() as connection:
            return int(connection.scalar(select(func.count()).select_from(old)) or 0)

    def unlogged_pulses(self, most: int) -> list[Judgement]:
        """Pulses, at most so many, of which the log does not say yet what stands here."""
        pending = (JUDGEMENTS.c.kind == "pulse") & JUDGEMENTS.c.logged.is_(False)
        query = select(*_columns(JUDGEMENTS, Judgement)).where(pending).order_by(JUDGEMENTS.c.id).limit(most)
        return self._judgements(query)

    def mark_logged(self, pulses: Iterable[Judgement]) -> None:
        """The log says of these what stands in them; one that was withdrawn meanwhile is still to be told."""
        with self._write() as connection:
            for some in _chunks(pulses, 500):
                told = (JUDGEMENTS.c.id.in_([pulse.id for pulse in some if pulse.withdrawn_at is None])) & (
                    JUDGEMENTS.c.withdrawn_at.is_(None)
                )
                retracted = JUDGEMENTS.c.id.in_([pulse.id for pulse in some if pulse.withdrawn_at is not None])
                connection.execute(update(JUDGEMENTS).where(or_(told, retracted)).values(logged=True))

    def _judgements(self, query: Select[Any]) -> list[Judgement]:
        with self._read() as connection:
            return [Judgement(*row) for row in connection.execute(query)]

    # -- scorecards ------------------------------------------------------------------------------------------

    def save_scorecard(self, version: str, name: str, content: Mapping[str, Any], now: datetime) -> None:
        """Keep what a scorecard says, and when it was last used."""
        row = ScorecardRow(version, name, dict(content), now, now)
        with self._write() as connection:
            _upsert(connection, SCORECARDS, [_values(row)], keep=("first_used_at",))

    def scorecards(self) -> list[ScorecardRow]:
        """Every scorecard that was ever used, in the order of first use."""
        return self._scorecards(select(*_columns(SCORECARDS, ScorecardRow)))

    def scorecard(self, version: str) -> ScorecardRow | None:
        """The scorecard whose version begins so. Raises `UsageError` where there are several."""
        begins = SCORECARDS.c.version.startswith(version, autoescape=True)
        found = self._scorecards(select(*_columns(SCORECARDS, ScorecardRow)).where(begins))
        if len(found) > 1 and version not in {row.version for row in found}:
            names = ", ".join(row.version for row in found[:5])
            raise UsageError(f"{len(found)} scorecards have a version that begins so; write one in full: {names}")
        return next((row for row in found if row.version == version or len(found) == 1), None)

    def _scorecards(self, query: Select[Any]) -> list[ScorecardRow]:
        with self._read() as connection:
            rows = connection.execute(query.order_by(SCORECARDS.c.first_used_at, SCORECARDS.c.version))
            return [ScorecardRow(*row) for row in rows]

    # -- erasing ---------------------------------------------------------------------------------------------

    def erase(
        self,
        account: str,
        keys: Collection[tuple[str, str]],
        cursors: Mapping[str, Any],
        pruned: Callable[[Any], Any],
    ) -> None:
        """Take an account, with its keys and records by system, out of every table.

        `cursors`: what the sources' cursors become. `pruned`: the report of a run without what names the account.
        """
        with self._write() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete=ON")  # what is deleted is overwritten, too
            for system, key in keys:
                record = (DELIVERIES.c.destination == system) & (DELIVERIES.c.record_id == key)
                connection.execute(delete(KEYS).where(KEYS.c.source == system, KEYS.c.key == key))
                connection.execute(delete(DELIVERIES).where(record))
            for column in (ACCOUNTS.c.id, TOTALS.c.account, DELIVERIES.c.account, JUDGEMENTS.c.account):
                connection.execute(delete(column.table).where(column == account))
            for id, reason in connection.execute(select(JUDGEMENTS.c.id, JUDGEMENTS.c.reason)).all():
                if not pruned({"reason": reason}):  # a word about somebody else that names the account
                    connection.execute(update(JUDGEMENTS).where(JUDGEMENTS.c.id == id).values(reason=TAKEN_OUT))
            for id, origin in connection.execute(select(JUDGEMENTS.c.id, JUDGEMENTS.c.origin)).all():
                if origin and (kept := pruned(origin)) != origin:  # whose it was before a merge
                    connection.execute(update(JUDGEMENTS).where(JUDGEMENTS.c.id == id).values(origin=kept))
            for source, cursor in cursors.items():
                connection.execute(update(READINGS).where(READINGS.c.source == source).values(cursor=cursor))
            for ids in _chunks(connection.scalars(select(RUNS.c.id)).all(), 500):
                reports = select(RUNS.c.id, RUNS.c.report).where(RUNS.c.id.in_(ids))
                for run, report in connection.execute(reports).all():
                    if (kept := pruned(report)) != report:
                        connection.execute(update(RUNS).where(RUNS.c.id == run).values(report=kept))

    def forget_cursors(self, sources: Collection[str]) -> None:
        """Have these sources read again from the start; how far they were read stays true."""
        with self._write() as connection:
            connection.execute(update(READINGS).where(READINGS.c.source.in_(sources)).values(cursor=None))

    def rows(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """All rows of all tables, some at a time, with the table's name."""
        for table in (META, ACCOUNTS, KEYS, READINGS, RUNS, TOTALS, DELIVERIES, JUDGEMENTS, SCORECARDS, LEASE):
            with self._read() as connection:
                for rows in connection.execute(select(table)).mappings().partitions(CHUNK):
                    yield table.name, [dict(row) for row in rows]

    def files(self) -> list[Path]:
        """The files of an SQLite database that are there; none where a server keeps them."""
        if self._engine.dialect.name != "sqlite":
            return []
        path = Path(str(self._engine.url.database))
        return [file for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if file.exists()]

    def vacuum(self) -> None:
        """Rewrite the database without what was deleted. Raises `StateError` while others are in it."""
        vacuum(self._engine)

    # -- the lease -------------------------------------------------------------------------------------------

    def lease(self) -> tuple[str, datetime] | None:
        """Who holds the lease and until when; None when nobody does."""
        query = select(LEASE.c.holder, LEASE.c.expires_at).where(LEASE.c.name == LEASE_NAME)
        with self._read() as connection:
            row = connection.execute(query).first()
        return (row.holder, row.expires_at) if row and row.holder else None

    def take_lease(self, holder: str, *, now: datetime, seconds: float, over: str | None = None) -> int | None:
        """The epoch of a lease that is ours from now on; None while another's has not run out.

        `over`: a holder that is known to be dead, whose lease counts as run out.
        """
        free = or_(LEASE.c.holder.is_(None), LEASE.c.expires_at <= now, LEASE.c.holder == over)
        taken = (
            update(LEASE)
            .where(LEASE.c.name == LEASE_NAME, free)
            .values(holder=holder, epoch=LEASE.c.epoch + 1, expires_at=now + timedelta(seconds=seconds))
            .returning(LEASE.c.epoch)
        )
        with self._change() as connection:
            epoch: int | None = connection.scalar(taken)
        return epoch

    def renew_lease(self, holder: str, epoch: int, *, now: datetime, seconds: float) -> bool:
        """Whether the lease is still ours; then it lasts `seconds` from now."""
        return self._change_lease(holder, epoch, expires_at=now + timedelta(seconds=seconds))

    def release_lease(self, holder: str, epoch: int) -> bool:
        """Whether the lease was still ours; then it is free."""
        return self._change_lease(holder, epoch, holder=None, expires_at=None)

    def _change_lease(self, owner: str, number: int, **values: Any) -> bool:
        with self._change() as connection:
            return connection.execute(update(LEASE).where(_held(Fence(owner, number))).values(**values)).rowcount == 1

    @contextmanager
    def under(self, fence: Fence) -> Iterator[None]:
        """Meanwhile every change, but of the lease itself, raises `LeaseLost` once the lease is another's."""
        self._fence = fence
        try:
            yield
        finally:
            self._fence = None

    def stand(self) -> None:
        """Look in the database whether the lease is still ours. Raises `LeaseLost`."""
        if self._fence is not None:
            with self._read() as connection:
                _stand(connection, self._fence)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Nobody takes the lease over meanwhile: for what is committed elsewhere than here. Raises `LeaseLost`."""
        if self._fence is None:
            yield
            return
        with self._write():
            yield

    # -- transactions ----------------------------------------------------------------------------------------

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        try:
            with self._reader.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise database_error(self._engine.url, error) from None

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._change() as connection:
            if self._fence is not None:
                _stand(connection, self._fence, lock=True)
            yield connection

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise database_error(self._engine.url, error) from None


def _held(fence: Fence) -> ColumnElement[bool]:
    return (LEASE.c.name == LEASE_NAME) & (LEASE.c.holder == fence.holder) & (LEASE.c.epoch == fence.epoch)


def _stand(connection: Connection, fence: Fence, *, lock: bool = False) -> None:
    """`lock`: whoever takes the lease over waits for this transaction; on SQLite everybody who writes does anyway."""
    ours = select(LEASE.c.epoch).where(_held(fence))
    if connection.scalar(ours.with_for_update(read=True) if lock else ours) is None:
        raise LeaseLost("another worker has taken over; this pass ends here")


def _insert_judgement(connection: Connection, judgement: Judgement) -> int | None:
    member = select(ACCOUNTS.c.id).where(ACCOUNTS.c.id == judgement.account, ACCOUNTS.c.left_at.is_(None))
    if connection.scalar(member.with_for_update()) is None:
        return None
    given = {name: value for name, value in _values(judgement).items() if name != "id"}
    return int(connection.execute(JUDGEMENTS.insert().returning(JUDGEMENTS.c.id), given).scalar_one())


def _upsert(
    connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]], *, keep: Sequence[str] = ()
) -> None:
    """Insert rows, or overwrite all but the key and the `keep` columns where the key is there."""
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {c.name: insert.excluded[c.name] for c in table.c if c.name not in keys and c.name not in keep}
    statement = insert.on_conflict_do_update(index_elements=keys, set_=changed)
    for chunk in _chunks(rows, CHUNK):
        connection.execute(statement, chunk)


def _chunks(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(rows)
    while chunk := list(islice(rest, size)):
        yield chunk


def _among(query: Select[Any], column: ColumnElement[Any], values: Collection[str] | None) -> list[Select[Any]]:
    """A query, or one for each part of the values that a column may have."""
    return [query] if values is None else [query.where(column.in_(part)) for part in _chunks(values, 500)]


def _columns(table: Table, row: type[Any]) -> list[ColumnElement[Any]]:
    return [table.c[field.name] for field in fields(row)]


def _values(row: Reading | Total | Delivery | Judgement | ScorecardRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


def _account(account: Account, now: datetime) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "owner": account.owner,
        "domains": account.domains,
        "refs": dict(account.refs),
        "since": account.since,
        "first_seen_at": now,
        "seen_at": now,
        "left_at": None,
    }


def _key(key: Key, now: datetime) -> dict[str, Any]:
    return {**key._asdict(), "refs": dict(key.refs), "seen_at": now}

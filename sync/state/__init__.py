"""What the worker remembers between runs: accounts, keys, readings, runs, totals, deliveries, judgements, scorecards
and the lease.

All SQL of the worker is in this folder, a file for what belongs together. It runs on SQLite (one file, one machine) and
on PostgreSQL by URL.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, select, update

from sync.state.deliveries import Deliveries
from sync.state.directory import Accounts, Keys
from sync.state.judgements import Judgements
from sync.state.lease import Leases
from sync.state.readings import Readings
from sync.state.runs import Runs
from sync.state.scorecards import Scorecards
from sync.state.store import CHUNK, Store, chunks, upsert
from sync.state.totals import Totals
from sync.tables import (
    ACCOUNTS,
    DELIVERIES,
    JUDGEMENTS,
    KEYS,
    LEASE,
    META,
    READINGS,
    RUNS,
    SCORECARDS,
    TOTALS,
    moments_of,
)

TAKEN_OUT = "(it named a customer who was erased)"


class State(Store):
    """The worker's memory behind one database URL, a part for what belongs together."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        super().__init__(url, create=create)
        self.accounts, self.keys, self.readings = Accounts(self), Keys(self), Readings(self)
        self.runs, self.totals, self.deliveries = Runs(self), Totals(self), Deliveries(self)
        self.judgements, self.scorecards, self.lease = Judgements(self), Scorecards(self), Leases(self)

    def meta(self, key: str) -> Any:
        """The value kept under `key`, or None."""
        with self.read() as connection:
            return connection.scalar(select(META.c.value).where(META.c.key == key))

    def set_meta(self, key: str, value: Any) -> None:
        with self.write() as connection:
            upsert(connection, META, [{"key": key, "value": value}])

    def erase(
        self,
        accounts: Collection[str],
        keys: Collection[tuple[str, str]],
        cursors: Mapping[str, Any],
        pruned: Callable[[Any], Any],
    ) -> None:
        """Take accounts, with their keys and records by system, out of every table.

        `cursors`: what the sources' cursors become. `pruned`: the report of a run without what names the accounts.
        """
        with self.write() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete=ON")  # what is deleted is overwritten, too
            for system, key in keys:
                record = (DELIVERIES.c.destination == system) & (DELIVERIES.c.record_id == key)
                connection.execute(delete(KEYS).where(KEYS.c.source == system, KEYS.c.key == key))
                connection.execute(delete(DELIVERIES).where(record))
            for column in (ACCOUNTS.c.id, TOTALS.c.account, DELIVERIES.c.account, JUDGEMENTS.c.account):
                connection.execute(delete(column.table).where(column.in_(accounts)))
            for source, cursor in cursors.items():
                connection.execute(update(READINGS).where(READINGS.c.source == source).values(cursor=cursor))
            _prune_judgements(connection, pruned)
            _prune_reports(connection, pruned)

    def redate(self, now: datetime, zone: ZoneInfo) -> None:
        """Date at `now` whatever is dated later, but for runs that are no passes, which count for nothing until then.

        Records that were written later are due, sources that were read further begin again, pulses are told anew.
        """
        today = now.astimezone(zone).date()
        morning = datetime.combine(today, time(), zone)
        with self.write() as connection:
            connection.execute(update(DELIVERIES).where(DELIVERIES.c.confirmed_at > now).values(deciding=""))
            connection.execute(update(READINGS).where(READINGS.c.through > now).values(cursor=None))
            connection.execute(update(JUDGEMENTS).where(JUDGEMENTS.c.day > today).values(logged=False))
            for column in (TOTALS.c.tier_since, JUDGEMENTS.c.day, JUDGEMENTS.c.withdrawn_on):
                connection.execute(update(column.table).where(column > today).values({column: today}))
            for table in (ACCOUNTS, KEYS, READINGS, RUNS, TOTALS, DELIVERIES, JUDGEMENTS, SCORECARDS):
                for column in moments_of(table):
                    later = (column > now) & (RUNS.c.kind == "pass") if table is RUNS else column > now
                    moment = morning if column is READINGS.c.since else now
                    connection.execute(update(table).where(later).values({column: moment}))

    def rows(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """All rows of all tables, some at a time, with the table's name."""
        for table in (META, ACCOUNTS, KEYS, READINGS, RUNS, TOTALS, DELIVERIES, JUDGEMENTS, SCORECARDS, LEASE):
            with self.read() as connection:
                for rows in connection.execute(select(table)).mappings().partitions(CHUNK):
                    yield table.name, [dict(row) for row in rows]


def _prune_judgements(connection: Connection, pruned: Callable[[Any], Any]) -> None:
    columns = (JUDGEMENTS.c.id, JUDGEMENTS.c.reason, JUDGEMENTS.c.origin)
    for id, reason, origin in connection.execute(select(*columns)).all():
        this = update(JUDGEMENTS).where(JUDGEMENTS.c.id == id)
        if not pruned({"reason": reason}):  # a word about somebody else that names them
            connection.execute(this.values(reason=TAKEN_OUT))
        if origin and (kept := pruned(origin)) != origin:  # whose it was before a merge
            connection.execute(this.values(origin=kept))


def _prune_reports(connection: Connection, pruned: Callable[[Any], Any]) -> None:
    for ids in chunks(connection.scalars(select(RUNS.c.id)).all(), 500):
        reports = select(RUNS.c.id, RUNS.c.report).where(RUNS.c.id.in_(ids))
        for run, report in connection.execute(reports).all():
            if (kept := pruned(report)) != report:
                connection.execute(update(RUNS).where(RUNS.c.id == run).values(report=kept))

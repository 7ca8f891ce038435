"""What every record of every destination should hold, and what is known to be there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, func, select, update

from sync.rows import UNSETTLED, Delivery, DeliveryStatus, Judgement, Standing
from sync.state.judgements import insert
from sync.state.runs import note
from sync.state.store import Store, among, chunks, columns, upsert, values
from sync.tables import DELIVERIES, JUDGEMENTS, META

EDITS = "edits"  # the kind of run that holds what people changed
DOUBTS = "doubts/"  # how the keys begin under which doubted records stand


class Deliveries:
    """One row a record."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, destination: str, records: Collection[str] | None = None) -> dict[str, Delivery]:
        """Deliveries of a destination by record id; of all its records, or of these."""
        query = select(*columns(DELIVERIES, Delivery)).where(DELIVERIES.c.destination == destination)
        queries = among(query.order_by(DELIVERIES.c.record_id), DELIVERIES.c.record_id, records)
        with self._store.read() as connection:
            rows = (row for query in queries for row in connection.execute(query))
            return {row.record_id: Delivery(*row) for row in rows}

    def of_accounts(self, accounts: Collection[str]) -> list[Delivery]:
        """Deliveries to all records of these accounts, by destination and record id."""
        query = select(*columns(DELIVERIES, Delivery)).order_by(DELIVERIES.c.destination, DELIVERIES.c.record_id)
        with self._store.read() as connection:
            queries = among(query, DELIVERIES.c.account, accounts)
            return [Delivery(*row) for part in queries for row in connection.execute(part)]

    def past_tiers(self, accounts: Collection[str]) -> dict[str, frozenset[str]]:
        """The tiers, in our words, that records of these accounts were ever told, in whichever destination."""
        query, found = select(DELIVERIES.c.account, DELIVERIES.c.past), dict[str, frozenset[str]]()
        with self._store.read() as connection:
            for part in among(query, DELIVERIES.c.account, accounts):
                for account, past in connection.execute(part):
                    found[account] = found.get(account, frozenset()).union(past)
        return found

    def standings(self, destination: str) -> dict[str, Standing]:
        """What of a destination's deliveries every pass looks at, by record id."""
        query = select(*(DELIVERIES.c[name] for name in Standing._fields)).where(
            DELIVERIES.c.destination == destination
        )
        with self._store.read() as connection:
            return {row[0]: Standing(*row) for row in connection.execute(query)}

    def last_due(self, now: datetime) -> datetime | None:
        """The latest moment up to now at which a record that was refused was to be tried again."""
        query = select(func.max(DELIVERIES.c.next_try_at)).where(DELIVERIES.c.next_try_at <= now)
        with self._store.read() as connection:
            found: datetime | None = connection.scalar(query)
        return found

    def save(self, deliveries: Iterable[Delivery]) -> None:
        with self._store.write() as connection:
            upsert(connection, DELIVERIES, map(values, deliveries))

    def tallied(self) -> list[tuple[str, DeliveryStatus, str, int]]:
        """How many records there are of each destination, state and code of the last failure."""
        groups = (DELIVERIES.c.destination, DELIVERIES.c.status, DELIVERIES.c.code)
        with self._store.read() as connection:
            rows = connection.execute(select(*groups, func.count()).group_by(*groups).order_by(*groups))
            return [(name, status, code, count) for name, status, code, count in rows]

    def refused(self, destination: str) -> list[Delivery]:
        """The deliveries whose last try failed, quarantined ones first."""
        failed = (DELIVERIES.c.destination == destination) & DELIVERIES.c.status.in_(("failed", "quarantined"))
        query = select(*columns(DELIVERIES, Delivery)).where(failed)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(DELIVERIES.c.status.desc(), DELIVERIES.c.record_id))
            return [Delivery(*row) for row in rows]

    def retry(self, destinations: Collection[str], *, now: datetime) -> int:
        """Have the records tried now that wait for their next try; how many."""
        waiting = DELIVERIES.c.destination.in_(destinations) & (DELIVERIES.c.next_try_at > now)
        with self._store.write() as connection:
            return connection.execute(update(DELIVERIES).where(waiting).values(next_try_at=now)).rowcount

    def let_go(self, destination: str, kept: Collection[str]) -> None:
        """Close what is unsettled on other records than these: nobody asks for it any more."""
        theirs = (DELIVERIES.c.destination == destination) & DELIVERIES.c.status.in_(UNSETTLED)
        with self._store.write() as connection:
            records = connection.scalars(select(DELIVERIES.c.record_id).where(theirs)).all()
            for some in chunks((record for record in records if record not in kept), 500):
                these = theirs & DELIVERIES.c.record_id.in_(some)
                connection.execute(update(DELIVERIES).where(these).values(status="closed", next_try_at=None))

    def doubt(self, destination: str, records: Collection[str]) -> None:
        """These records may hold something else than is known: the next pass reads them again.

        All that a worker may still say that has lost the lease, of what it sent after whoever has it now. It stands
        apart from the deliveries, where the pass that is under way would write over it.
        """
        with self._store.change() as connection:
            upsert(connection, META, [{"key": f"{DOUBTS}{uuid4().hex}", "value": [destination, sorted(records)]}])

    def recall_doubts(self) -> int:
        """Have the records looked at that were doubted; how many."""
        doubted = META.c.key.startswith(DOUBTS)
        settled = DELIVERIES.c.status.in_(("confirmed", "closed"))
        with self._store.write() as connection:
            told = connection.scalars(delete(META).where(doubted).returning(META.c.value)).all()
            for destination, records in told:
                for some in chunks(records, 500):
                    these = (DELIVERIES.c.destination == destination) & DELIVERIES.c.record_id.in_(some) & settled
                    connection.execute(update(DELIVERIES).where(these).values(status="pending", next_try_at=None))
        return sum(len(records) for _, records in told)

    def save_edits(
        self,
        judgements: Iterable[Judgement],
        deliveries: Iterable[Delivery],
        *,
        told: Sequence[Mapping[str, Any]],
        now: datetime,
    ) -> None:
        """Keep what people changed on records and what is known of these records since, all or nothing.

        A judgement of an account that is no member any more is left out. `told`: the edits in words, for `status`.
        """
        with self._store.write() as connection:
            for judgement in judgements:
                insert(connection, judgement)
            upsert(connection, DELIVERIES, map(values, deliveries))
            if told:
                note(connection, EDITS, {"edits": told}, now)

    def pass_on(self, accounts: Mapping[str, str], deliveries: Iterable[Delivery]) -> None:
        """Give the judgements of accounts that were merged to those they went into, noting whose they were.

        A pulse is to be told the log anew, where the account is part of the fact.
        """
        columns = (JUDGEMENTS.c.id, JUDGEMENTS.c.account, JUDGEMENTS.c.origin)
        with self._store.write() as connection:
            for query in among(select(*columns), JUDGEMENTS.c.account, accounts):
                for id, account, origin in connection.execute(query).all():
                    moved = {"account": accounts[account], "origin": {"account": account, **(origin or {})}}
                    this = update(JUDGEMENTS).where(JUDGEMENTS.c.id == id)
                    connection.execute(this.values(**moved, logged=False))
            upsert(connection, DELIVERIES, map(values, deliveries))

    def merged(self, destination: str) -> dict[str, str]:
        """By record that is gone, the one that it was merged into at last."""
        into = select(DELIVERIES.c.record_id, DELIVERIES.c.merged_into).where(
            DELIVERIES.c.destination == destination, DELIVERIES.c.merged_into.is_not(None)
        )
        with self._store.read() as connection:
            found = {row.record_id: str(row.merged_into) for row in connection.execute(into)}
        return {record: _last(found, record) for record in found}


def _last(into: Mapping[str, str], record: str) -> str:
    """Where a record went at last; of some that went round in a circle, because one was restored, any will do."""
    passed = {record}
    while (further := into.get(record)) and further not in passed:
        passed.add(record := further)
    return record

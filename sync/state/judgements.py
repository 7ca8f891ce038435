"""What people said of accounts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select, update

from sync.rows import Judgement, JudgementKind
from sync.state.store import CHUNK, Store, chunks, columns, values
from sync.tables import ACCOUNTS, JUDGEMENTS


class Judgements:
    """One row a judgement; a withdrawn one stays."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, judgement: Judgement) -> int | None:
        """Keep a new judgement under the id that comes back; None when its account is no member any more."""
        with self._store.write() as connection:
            return insert(connection, judgement)

    def withdraw(self, id: int, by: str, *, now: datetime, day: date) -> bool:
        """Whether it was there and stood; then it no longer counts from `day` on."""
        with self._store.write() as connection:
            return withdraw(connection, id, by, now=now, day=day)

    def recall(self, rows: Sequence[Judgement]) -> int:
        """Keep those of these that are not there, under their ids, and what was withdrawn of the others; how many."""
        with self._store.write() as connection:
            known = set(connection.scalars(select(JUDGEMENTS.c.id)))
            new = [values(row) for row in rows if row.id not in known]
            for some in chunks(new, CHUNK):
                connection.execute(JUDGEMENTS.insert(), some)
            if new and connection.dialect.name == "postgresql":  # which counts on by itself
                newest = select(func.max(JUDGEMENTS.c.id)).scalar_subquery()
                connection.execute(select(func.setval(func.pg_get_serial_sequence("judgements", "id"), newest)))
            for row in rows:
                if row.id in known and row.withdrawn_at is not None:
                    withdraw(
                        connection, row.id, str(row.withdrawn_by), now=row.withdrawn_at, day=row.withdrawn_on or row.day
                    )
        return len(new)

    def all(
        self, account: str | None = None, *, kinds: Collection[JudgementKind] = (), lasting: date | None = None
    ) -> list[Judgement]:
        """Judgements in the order they were made, withdrawn ones too; of an account, or of these kinds only.

        `lasting`: without those whose last day is before this one.
        """
        query = select(*columns(JUDGEMENTS, Judgement)).order_by(JUDGEMENTS.c.id)
        if account is not None:
            query = query.where(JUDGEMENTS.c.account == account)
        if kinds:
            query = query.where(JUDGEMENTS.c.kind.in_(kinds))
        if lasting is not None:
            query = query.where(or_(JUDGEMENTS.c.until.is_(None), JUDGEMENTS.c.until >= lasting))
        return self._judgements(query)

    def one(self, id: int) -> Judgement | None:
        return next(iter(self._judgements(select(*columns(JUDGEMENTS, Judgement)).where(JUDGEMENTS.c.id == id))), None)

    def latest(self) -> tuple[int, datetime | None]:
        """The newest judgement and the latest withdrawal: two moments with the same have the same judgements."""
        query = select(func.coalesce(func.max(JUDGEMENTS.c.id), 0), func.max(JUDGEMENTS.c.withdrawn_at))
        with self._store.read() as connection:
            newest, withdrawn = connection.execute(query).one()
        return newest, withdrawn

    def pulse_names(self) -> frozenset[str]:
        """What the pulses that were ever given are called."""
        with self._store.read() as connection:
            names = connection.scalars(select(JUDGEMENTS.c.name).where(JUDGEMENTS.c.kind == "pulse").distinct())
            return frozenset(names)

    def old_pulses(self, before: date) -> int:
        """How many members' latest pulse, of those that stand, is of a day before this one."""
        members = select(ACCOUNTS.c.id).where(ACCOUNTS.c.left_at.is_(None))
        given = (JUDGEMENTS.c.kind == "pulse") & JUDGEMENTS.c.withdrawn_at.is_(None) & JUDGEMENTS.c.account.in_(members)
        latest = select(JUDGEMENTS.c.account).where(given).group_by(JUDGEMENTS.c.account)
        old = latest.having(func.max(JUDGEMENTS.c.day) < before).subquery()
        with self._store.read() as connection:
            return int(connection.scalar(select(func.count()).select_from(old)) or 0)

    def unlogged_pulses(self, most: int) -> list[Judgement]:
        """Pulses, at most so many, of which the log does not say yet what stands here."""
        pending = (JUDGEMENTS.c.kind == "pulse") & JUDGEMENTS.c.logged.is_(False)
        query = select(*columns(JUDGEMENTS, Judgement)).where(pending).order_by(JUDGEMENTS.c.id).limit(most)
        return self._judgements(query)

    def mark_logged(self, pulses: Iterable[Judgement]) -> None:
        """The log says of these what stands in them; one that was withdrawn meanwhile is still to be told."""
        with self._store.write() as connection:
            for some in chunks(pulses, 500):
                told = (JUDGEMENTS.c.id.in_([pulse.id for pulse in some if pulse.withdrawn_at is None])) & (
                    JUDGEMENTS.c.withdrawn_at.is_(None)
                )
                retracted = JUDGEMENTS.c.id.in_([pulse.id for pulse in some if pulse.withdrawn_at is not None])
                connection.execute(update(JUDGEMENTS).where(or_(told, retracted)).values(logged=True))

    def _judgements(self, query: Select[Any]) -> list[Judgement]:
        with self._store.read() as connection:
            return [Judgement(*row) for row in connection.execute(query)]


def withdraw(connection: Connection, id: int, by: str, *, now: datetime, day: date) -> bool:
    """As `Judgements.withdraw`, in a transaction of somebody else."""
    standing = (JUDGEMENTS.c.id == id) & JUDGEMENTS.c.withdrawn_at.is_(None)
    taken = {"withdrawn_at": now, "withdrawn_on": day, "withdrawn_by": by, "logged": False}
    return connection.execute(update(JUDGEMENTS).where(standing).values(**taken)).rowcount == 1


def insert(connection: Connection, judgement: Judgement) -> int | None:
    member = select(ACCOUNTS.c.id).where(ACCOUNTS.c.id == judgement.account, ACCOUNTS.c.left_at.is_(None))
    if connection.scalar(member.with_for_update()) is None:
        return None
    given = {name: value for name, value in values(judgement).items() if name != "id"}
    return int(connection.execute(JUDGEMENTS.insert().returning(JUDGEMENTS.c.id), given).scalar_one())

"""Who the customers are, and what the sources call them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update

from connectors.base import Account, Key
from sync.rows import AccountRow
from sync.state.store import Store, chunks, columns, upsert
from sync.tables import ACCOUNTS, KEYS, TOTALS

_KEY_COLUMNS = (KEYS.c.source, KEYS.c.key, KEYS.c.name, KEYS.c.domains, KEYS.c.refs)


class Accounts:
    """The customers, those who left too."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, rows: Iterable[Account], *, now: datetime) -> None:
        """Insert or refresh these accounts; one that had left is a member again."""
        with self._store.write() as connection:
            upsert(connection, ACCOUNTS, (_account(row, now) for row in rows), keep=("first_seen_at",))

    def close_missing(self, seen: set[str], *, now: datetime) -> list[str]:
        """Mark every member that is not in `seen` as left, with no answer any more; returns those, in order."""
        with self._store.write() as connection:
            members = connection.scalars(select(ACCOUNTS.c.id).where(ACCOUNTS.c.left_at.is_(None)))
            left = sorted(set(members) - seen)
            for ids in chunks(left, 500):
                connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id.in_(ids)).values(left_at=now))
                connection.execute(delete(TOTALS).where(TOTALS.c.account.in_(ids)))
        return left

    def members(self) -> list[AccountRow]:
        """Those that are customers now, by id."""
        return self._accounts(ACCOUNTS.c.left_at.is_(None))

    def all(self) -> list[AccountRow]:
        """Those that left, too, by id."""
        return self._accounts()

    def names(self, accounts: Iterable[str]) -> dict[str, str]:
        """What these accounts are called."""
        with self._store.read() as connection:
            return {
                row.id: row.name
                for ids in chunks(accounts, 500)
                for row in connection.execute(select(ACCOUNTS.c.id, ACCOUNTS.c.name).where(ACCOUNTS.c.id.in_(ids)))
            }

    def _accounts(self, *where: ColumnElement[bool]) -> list[AccountRow]:
        query = select(*columns(ACCOUNTS, AccountRow)).where(*where).order_by(ACCOUNTS.c.id)
        with self._store.read() as connection:
            return [AccountRow(*row) for row in connection.execute(query)]


class Keys:
    """The entries of the sources' own customer directories."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, keys: Sequence[Key], *, now: datetime) -> bool:
        """Whether any of these keys is new or says something new."""
        told = {(key.source, key.key): key for key in keys}
        sources, names = {key.source for key in keys}, {key.key for key in keys}
        same = select(*_KEY_COLUMNS).where(KEYS.c.source.in_(sources), KEYS.c.key.in_(names))
        with self._store.write() as connection:
            known = {(row.source, row.key): Key(*row) for row in connection.execute(same)}
            upsert(connection, KEYS, (_key(key, now) for key in keys))
        return any(known.get(name) != key for name, key in told.items())

    def forget(self, source: str, *, before: datetime) -> None:
        """Let go of a directory's entries that its last whole reading no longer showed."""
        with self._store.write() as connection:
            connection.execute(delete(KEYS).where(KEYS.c.source == source, KEYS.c.seen_at < before))

    def all(self, source: str | None = None) -> list[Key]:
        """Keys by source and key."""
        query = select(*_KEY_COLUMNS)
        if source is not None:
            query = query.where(KEYS.c.source == source)
        with self._store.read() as connection:
            return [Key(*row) for row in connection.execute(query.order_by(KEYS.c.source, KEYS.c.key))]


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

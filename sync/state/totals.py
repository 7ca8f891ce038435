"""Today's answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import select

from sync.rows import HEALTH, Decision, Total
from sync.state.store import Store, among, columns, upsert, values
from sync.tables import TOTALS


class Totals:
    """One row for each account and score."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, score: str = HEALTH) -> dict[str, Total]:
        """Today's answer by account, of one of the scores."""
        query = select(*columns(TOTALS, Total)).where(TOTALS.c.score_name == score).order_by(TOTALS.c.account)
        with self._store.read() as connection:
            return {row[0]: Total(*row) for row in connection.execute(query)}

    def decisions(self, score: str = HEALTH, accounts: Collection[str] | None = None) -> dict[str, Decision]:
        """What of today's answers by a score every pass looks at, by account; of all accounts, or of these."""
        query = select(TOTALS.c.account, *(TOTALS.c[name] for name in Decision._fields))
        query = query.where(TOTALS.c.score_name == score)
        with self._store.read() as connection:
            rows = (row for part in among(query, TOTALS.c.account, accounts) for row in connection.execute(part))
            return {row[0]: Decision(*row[1:]) for row in rows}

    def save(self, totals: Iterable[Total]) -> None:
        with self._store.write() as connection:
            upsert(connection, TOTALS, map(values, totals))

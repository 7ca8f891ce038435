"""How far every source has been read."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update

from sync.rows import Reading
from sync.state.store import Store, columns, upsert, values
from sync.tables import READINGS


class Readings:
    """One row a source."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, source: str) -> Reading | None:
        return next((row for row in self._readings(READINGS.c.source == source)), None)

    def all(self) -> list[Reading]:
        return self._readings()

    def save(
        self,
        source: str,
        *,
        cursor: dict[str, Any] | None,
        since: datetime | None,
        through: datetime | None,
        names: Iterable[str],
    ) -> None:
        row = Reading(source, cursor, since, through, frozenset(names))
        with self._store.write() as connection:
            upsert(connection, READINGS, [values(row)])

    def forget_cursors(self, sources: Collection[str]) -> None:
        """Have these sources read again from the start; how far they were read stays true."""
        with self._store.write() as connection:
            connection.execute(update(READINGS).where(READINGS.c.source.in_(sources)).values(cursor=None))

    def _readings(self, *where: ColumnElement[bool]) -> list[Reading]:
        query = select(*columns(READINGS, Reading)).where(*where).order_by(READINGS.c.source)
        with self._store.read() as connection:
            return [Reading(*row) for row in connection.execute(query)]

"""The scorecards that scores were worked out with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from sync.errors import UsageError
from sync.rows import ScorecardRow
from sync.state.store import Store, columns, upsert, values
from sync.tables import SCORECARDS


class Scorecards:
    """One row a version."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save(self, version: str, name: str, content: Mapping[str, Any], now: datetime) -> None:
        """Keep what a scorecard says, and when it was last used."""
        row = ScorecardRow(version, name, dict(content), now, now)
        with self._store.write() as connection:
            upsert(connection, SCORECARDS, [values(row)], keep=("first_used_at",))

    def all(self) -> list[ScorecardRow]:
        """Every scorecard that was ever used, in the order of first use."""
        return self._scorecards(select(*columns(SCORECARDS, ScorecardRow)))

    def find(self, version: str) -> ScorecardRow | None:
        """The scorecard whose version begins so. Raises `UsageError` where there are several."""
        begins = SCORECARDS.c.version.startswith(version, autoescape=True)
        found = self._scorecards(select(*columns(SCORECARDS, ScorecardRow)).where(begins))
        if len(found) > 1 and version not in {row.version for row in found}:
            names = ", ".join(row.version for row in found[:5])
            raise UsageError(f"{len(found)} scorecards have a version that begins so; write one in full: {names}")
        return next((row for row in found if row.version == version or len(found) == 1), None)

    def _scorecards(self, query: Select[Any]) -> list[ScorecardRow]:
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(SCORECARDS.c.first_used_at, SCORECARDS.c.version))
            return [ScorecardRow(*row) for row in rows]

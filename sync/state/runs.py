"""The passes that were made, each with its report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update

from sync.rows import Run, RunStatus
from sync.state.store import Store, columns
from sync.tables import RUNS


class Runs:
    """One row for each kind and slot of time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, kind: str, slot: str, now: datetime) -> int | None:
        """Begin the run of this slot; None when it has been finished before.

        One that was begun and never finished belonged to a worker that died: it is begun again under its id.
        The caller holds the lease, so no other worker can be in the middle of it.
        """
        with self._store.write() as connection:
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

    def finish(self, run: int, status: RunStatus, report: Mapping[str, Any], now: datetime) -> None:
        with self._store.write() as connection:
            connection.execute(
                update(RUNS).where(RUNS.c.id == run).values(status=status, report=dict(report), finished_at=now)
            )

    def forget(self, before: datetime) -> None:
        """Let go of runs that began before a moment, so that the table stands still in size."""
        with self._store.write() as connection:
            connection.execute(delete(RUNS).where(RUNS.c.started_at < before))

    def last(self, n: int, *, kind: str | None = None) -> list[Run]:
        """The newest runs, newest first."""
        query = select(*columns(RUNS, Run)).order_by(RUNS.c.id.desc()).limit(n)
        if kind is not None:
            query = query.where(RUNS.c.kind == kind)
        with self._store.read() as connection:
            return [Run(*row) for row in connection.execute(query)]

    def last_finished(self, kind: str) -> Run | None:
        """The newest run of this kind that was carried out (`done` or `partial`)."""
        query = (
            select(*columns(RUNS, Run))
            .where(RUNS.c.kind == kind, RUNS.c.status.in_(("done", "partial")))
            .order_by(RUNS.c.id.desc())  # by their order, not by a clock that may have been set back
            .limit(1)
        )
        with self._store.read() as connection:
            row = connection.execute(query).first()
        return Run(*row) if row else None

"""What was done and found, and when, each with its report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, select, update

from sync.rows import Later, Run, RunStatus
from sync.state.store import Store, columns
from sync.tables import RUNS


class Runs:
    """One row a run: a pass, the reading of a directory or a source, or something that was found."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, kind: str, now: datetime) -> int:
        """Begin a run. One that is never finished belonged to a worker that died."""
        with self._store.write() as connection:
            return _insert(connection, kind, now, status="running", finished_at=None, report={})

    def finish(self, run: int, status: RunStatus, report: Mapping[str, Any], now: datetime) -> None:
        with self._store.write() as connection:
            connection.execute(
                update(RUNS).where(RUNS.c.id == run).values(status=status, report=dict(report), finished_at=now)
            )

    def note(self, kind: str, report: Mapping[str, Any], now: datetime) -> None:
        """Keep what was found at this moment, as a run that is over."""
        with self._store.write() as connection:
            note(connection, kind, report, now)

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

    def since(self, begun: datetime, *, kind: str) -> list[Run]:
        """The runs of a kind that began at a moment or later, newest first."""
        query = select(*columns(RUNS, Run)).where(RUNS.c.kind == kind, RUNS.c.started_at >= begun)
        with self._store.read() as connection:
            return [Run(*row) for row in connection.execute(query.order_by(RUNS.c.id.desc()))]

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

    def dated_later(self, now: datetime) -> Later | None:
        """The passes that began later than now, by a clock that was ahead; None where there are none."""
        passes = select(RUNS.c.id, RUNS.c.started_at).where(RUNS.c.kind == "pass").limit(1)
        with self._store.read() as connection:
            first = connection.execute(passes.where(RUNS.c.started_at > now).order_by(RUNS.c.id)).first()
            if first is None:
                return None
            before = connection.execute(passes.where(RUNS.c.id < first.id).order_by(RUNS.c.id.desc())).first()
        return Later(first.started_at, before.started_at if before else None)


def note(connection: Connection, kind: str, report: Mapping[str, Any], now: datetime) -> None:
    """As `Runs.note`, in a transaction of somebody else."""
    _insert(connection, kind, now, status="done", finished_at=now, report=dict(report))


def _insert(connection: Connection, kind: str, now: datetime, **values: Any) -> int:
    slot = f"{now.isoformat()}/{uuid4().hex[:8]}"  # no two runs of a kind are the same, whatever the clock does
    new = RUNS.insert().values(kind=kind, slot=slot, started_at=now, **values)
    return int(connection.execute(new.returning(RUNS.c.id)).scalar_one())

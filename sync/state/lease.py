"""Who may write."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update

from sync.rows import Fence
from sync.state.store import LEASE_NAME, Store, held
from sync.tables import LEASE


class Leases:
    """The row of the lease. Its changes are the only ones that no fence refuses, but for doubts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def held(self) -> tuple[str, datetime] | None:
        """Who holds the lease and until when; None when nobody does."""
        query = select(LEASE.c.holder, LEASE.c.expires_at).where(LEASE.c.name == LEASE_NAME)
        with self._store.read() as connection:
            row = connection.execute(query).first()
        return (row.holder, row.expires_at) if row and row.holder else None

    def take(self, holder: str, *, now: datetime, seconds: float, over: str | None = None) -> int | None:
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
        with self._store.change() as connection:
            epoch: int | None = connection.scalar(taken)
        return epoch

    def renew(self, holder: str, epoch: int, *, now: datetime, seconds: float) -> bool:
        """Whether the lease is still ours; then it lasts `seconds` from now."""
        return self._change(holder, epoch, expires_at=now + timedelta(seconds=seconds))

    def release(self, holder: str, epoch: int) -> bool:
        """Whether the lease was still ours; then it is free."""
        return self._change(holder, epoch, holder=None, expires_at=None)

    def _change(self, owner: str, number: int, **values: Any) -> bool:
        with self._store.change() as connection:
            return connection.execute(update(LEASE).where(held(Fence(owner, number))).values(**values)).rowcount == 1

"""What a vendor told and is asked for anew only when it has to be."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from connectors.clock import Clock

T = TypeVar("T")


class Recent(Generic[T]):
    """The last thing that `read` returned; `last` is None before the first. Thread-safe."""

    def __init__(self, read: Callable[[], T], clock: Clock) -> None:
        self._read, self._clock = read, clock
        self.last: T | None = None
        self._read_at: datetime | None = None
        self._lock = threading.Lock()

    def get(self, *, refresh: bool = False, since: datetime | None = None) -> T:
        """Read the first time. `refresh`: read anew; `since`: read anew unless it was since then."""
        with self._lock:
            stale = since is not None and (self._read_at is None or self._read_at < since)
            if self.last is None or refresh or stale:
                begun = self._clock.now()
                self.last = self._read()
                self._read_at = begun
            return self.last

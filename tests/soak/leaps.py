"""Time that runs fast and leaps over hours in which nothing would happen, shared with the processes of a daemon."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from connectors.clock import FastClock


class LeapingClock(FastClock):
    """A `FastClock` that leaps when told to. How far stands in a file of eight bytes, from which `impatient/` reads it
    for the daemon, whose clock can so be made wrong as well.
    """

    def __init__(self, start: datetime, speed: float, epoch: float, *, path: Path) -> None:
        super().__init__(start, speed, epoch)
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._daemons = memoryview(mmap.mmap(file.fileno(), 8)).cast("d")
        self.path, self._leapt = path, 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._leapt)

    def leap(self, moment: datetime) -> None:
        """Make it this moment, unless it is later."""
        self._leapt += max(0.0, (moment - self.now()).total_seconds())
        self.mistaken(timedelta())

    @contextmanager
    def standing(self) -> Iterator[None]:
        """What is done meanwhile takes no time. Nobody may go by this clock until it is over."""
        moment = self.now()
        yield
        self._leapt -= (self.now() - moment).total_seconds()
        self.mistaken(timedelta())

    def mistaken(self, by: timedelta) -> None:
        """From now on the daemon's clock, and no vendor's, is wrong by so much."""
        self._daemons[0] = self._leapt + by.total_seconds()

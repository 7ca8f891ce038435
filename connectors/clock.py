"""The only places that read time. A clock is built once in the composition root and handed to whoever needs one."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time (aware, UTC) and waits; a wait ends early, with True, when `stop` is set."""

    def now(self) -> datetime: ...

    def sleep(self, seconds: float, stop: threading.Event) -> bool: ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float, stop: threading.Event) -> bool:
        return stop.wait(max(0.0, seconds))


class FastClock:
    """Simulated time that begins at `start` and runs `speed` times as fast as the machine's.

    `epoch` is the machine's time (seconds since 1970) at which the simulation began, so that processes which share
    the three numbers share the time.
    """

    def __init__(self, start: datetime, speed: float, epoch: float) -> None:
        self._start, self._speed, self._epoch = start, speed, epoch

    def now(self) -> datetime:
        return self._start + timedelta(seconds=(time.time() - self._epoch) * self._speed)

    def sleep(self, seconds: float, stop: threading.Event) -> bool:
        return stop.wait(max(0.0, seconds) / self._speed)


class SteppedClock:
    """Simulated time that moves only when told to, or when somebody sleeps: a wait costs no real time."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def advance_to(self, moment: datetime) -> None:
        with self._lock:
            self._now = max(self._now, moment)

    def sleep(self, seconds: float, stop: threading.Event) -> bool:
        if stop.is_set():
            return True
        self.advance_to(self.now() + timedelta(seconds=max(0.0, seconds)))
        return False

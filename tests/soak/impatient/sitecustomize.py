"""On the daemon's path during a soak: no read waits longer than this, since a soak has no minutes to spend on one, and
simulated time leaps when the soak says so (`tests/soak/leaps.py`).
"""

import mmap
import os
import socket
from datetime import datetime, timedelta

from connectors.clock import FastClock

PATIENCE = float(os.environ["SOAK_PATIENCE"])
_set, _now = socket.socket.settimeout, FastClock.now


def _shorter(self: socket.socket, seconds: float | None) -> None:
    _set(self, seconds and min(seconds, PATIENCE))


def _leapt(self: FastClock) -> datetime:
    return _now(self) + timedelta(seconds=SECONDS[0])


with open(os.environ["SOAK_CLOCK"], "rb") as _file:
    SECONDS = memoryview(mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)).cast("d")
socket.socket.settimeout = _shorter  # type: ignore[assignment]
FastClock.now = _leapt  # type: ignore[method-assign]

"""The lease: one worker at a time, whether a daemon or a person at a terminal.

It is renewed all the while. A worker that was killed leaves its lease behind: where its process can be seen, it is
looked for, and if it is gone nobody waits for the lease to run out.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from connectors.clock import Clock, SystemClock
from sync.errors import Busy, LeaseLost
from sync.state import State

LENGTH = timedelta(minutes=10)
_THIS_PROCESS = uuid.uuid4().hex[:12]


class Lease:
    """A lease that is ours. `renew` is called now and then; `beat` between pieces of work."""

    def __init__(self, state: State, clock: Clock, holder: str, epoch: int) -> None:
        self._state, self._clock, self._holder, self._epoch = state, clock, holder, epoch
        self._lost = threading.Event()

    def renew(self) -> None:
        seconds = LENGTH.total_seconds()
        if not self._state.renew_lease(self._holder, self._epoch, now=self._clock.now(), seconds=seconds):
            self._lost.set()

    def beat(self) -> None:
        """Go on, or raise `LeaseLost` when another worker took over."""
        if self._lost.is_set():
            raise LeaseLost("another worker has taken over; this pass ends here")

    def release(self) -> None:
        self._state.release_lease(self._holder, self._epoch)


def take(state: State, clock: Clock) -> Lease:
    """The lease, ours from now on. Raises `Busy` when another worker holds it."""
    holder = f"{here()}:{os.getpid()}:{_THIS_PROCESS}"
    seconds = LENGTH.total_seconds()
    epoch = state.take_lease(holder, now=clock.now(), seconds=seconds, over=_dead(state))
    if epoch is None:
        raise Busy(_who(state))
    return Lease(state, clock, holder, epoch)


def here() -> str:
    """Where process numbers mean the same: the host, and the container where processes are told apart by it."""
    try:
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # no Linux
        return socket.gethostname()


@contextmanager
def leased(state: State) -> Iterator[Callable[[], None]]:
    """Hold the lease, renewed by a thread of its own; yields its `beat`.

    It goes by the machine's time even where the world is simulated: it is about processes on machines.
    """
    lease = take(state, SystemClock())
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(LENGTH.total_seconds() / 5):
            lease.renew()

    keeper = threading.Thread(target=keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield lease.beat
    finally:
        ended.set()
        keeper.join()
        lease.release()


def _who(state: State) -> str:
    held = state.lease()
    until = f" (it has until {held[1]:%H:%M:%S} UTC)" if held else ""
    return f"another worker is at work on this state{until}; wait for it, or stop it first"


def _dead(state: State) -> str | None:
    """The holder, if it was a process that we would see and is no more."""
    held = state.lease()
    place, _, rest = held[0].rpartition(":")[0].rpartition(":") if held else ("", "", "")
    if held is None or place != here() or not rest.isdecimal():
        return None
    if int(rest) == os.getpid():  # numbers come round
        return None if held[0].endswith(_THIS_PROCESS) else held[0]
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return held[0]
    except OSError:
        return None
    return None

"""The lease: one worker at a time, whether a daemon or a person at a terminal.

It is renewed all the while. A worker that was killed leaves its lease behind: where its process can be seen, it is
looked for, and if it is gone nobody waits for the lease to run out. One that was stopped, and goes on after another has
taken over, finds its writes refused (`State.under`): nothing here goes by what it remembers.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog

from connectors.clock import Clock, SystemClock
from sync.errors import Busy, StateError
from sync.rows import Fence
from sync.state import State

LENGTH = timedelta(minutes=10)
_THIS_PROCESS = uuid.uuid4().hex[:12]
log = structlog.get_logger("bellwether.lease")


class Lease:
    """A lease that is ours, or was. `renew` is called now and then."""

    def __init__(self, state: State, clock: Clock, fence: Fence) -> None:
        self.fence = fence
        self._state, self._clock = state, clock

    def renew(self) -> bool:
        """Whether it is still ours; then it lasts its whole length again."""
        return self._state.lease.renew(*self.fence, now=self._clock.now(), seconds=LENGTH.total_seconds())

    def release(self) -> None:
        self._state.lease.release(*self.fence)


def take(state: State, clock: Clock) -> Lease:
    """The lease, ours from now on. Raises `Busy` when another worker holds it."""
    holder = f"{here()}:{os.getpid()}:{_THIS_PROCESS}"
    seconds = LENGTH.total_seconds()
    epoch = state.lease.take(holder, now=clock.now(), seconds=seconds, over=_dead(state))
    if epoch is None:
        raise Busy(_who(state))
    return Lease(state, clock, Fence(holder, epoch))


def here() -> str:
    """Where process numbers mean the same: the host, and the container where processes are told apart by it."""
    try:
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # no Linux
        return socket.gethostname()


@contextmanager
def leased(state: State) -> Iterator[Callable[[], None]]:
    """Hold the lease, renewed by a thread of its own; yields what raises `LeaseLost` once it is another's.

    It goes by the machine's time even where the world is simulated: it is about processes on machines.
    """
    lease = take(state, SystemClock())
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(LENGTH.total_seconds() / 5):
            try:
                lease.renew()
            except StateError as error:  # the next try may reach it; meanwhile no write goes unchecked
                log.warning("the lease could not be renewed", error=str(error))

    keeper = threading.Thread(target=keep, name="lease", daemon=True)
    keeper.start()
    try:
        with state.under(lease.fence):
            yield state.stand
    finally:
        ended.set()
        keeper.join()
        lease.release()


def _who(state: State) -> str:
    held = state.lease.held()
    until = f" (it has until {held[1]:%H:%M:%S} UTC)" if held else ""
    return f"another worker is at work on this state{until}; wait for it, or stop it first"


def _dead(state: State) -> str | None:
    """The holder, if it was a process that we would see and is no more."""
    held = state.lease.held()
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

"""The lease: one worker at a time, whether a daemon or a person at a terminal.

It is renewed between pieces of work. A worker that was killed leaves its lease behind: on the same host its process is
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

from connectors.clock import Clock
from sync.errors import Busy, LeaseLost
from sync.state import State

LENGTH = timedelta(minutes=10)
_THIS_PROCESS = uuid.uuid4().hex[:12]


@contextmanager
def leased(state: State, clock: Clock) -> Iterator[Callable[[], None]]:
    """Hold the lease; yields a function to call between pieces of work, which renews it.

    Raises `Busy` when another worker holds it, and `LeaseLost` from that function when another one took it over.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{_THIS_PROCESS}"
    seconds = LENGTH.total_seconds()
    epoch = state.take_lease(holder, now=clock.now(), seconds=seconds, over=_dead(state))
    if epoch is None:
        raise Busy(_who(state))
    renewed = clock.now()
    guard = threading.Lock()

    def beat() -> None:
        nonlocal renewed
        with guard:
            now = clock.now()
            if now - renewed < LENGTH / 5:
                return
            if not state.renew_lease(holder, epoch, now=now, seconds=seconds):
                raise LeaseLost("another worker has taken over; this pass ends here")
            renewed = now

    try:
        yield beat
    finally:
        state.release_lease(holder, epoch)


def _who(state: State) -> str:
    held = state.lease()
    until = f" (it has until {held[1]:%H:%M:%S} UTC)" if held else ""
    return f"another worker is at work on this state{until}; wait for it, or stop it first"


def _dead(state: State) -> str | None:
    """The holder, if it was a process of this host that is no more."""
    held = state.lease()
    host, _, rest = held[0].rpartition(":")[0].rpartition(":") if held else ("", "", "")
    if held is None or host != socket.gethostname() or not rest.isdecimal():
        return None
    if int(rest) == os.getpid():  # a container's first process always has the same number
        return None if held[0].endswith(_THIS_PROCESS) else held[0]
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return held[0]
    except OSError:
        return None
    return None

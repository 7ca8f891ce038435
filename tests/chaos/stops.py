"""What stops a pass half-way: a signal in each of its phases, a full disk, a state that is held or old, a clock that is
wrong. Each time the worker has to say so in words and leave nothing half done; the next one has to mend it.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.types import Scope

from tests.chaos import forks
from tests.chaos.beside import Beside
from tests.chaos.calls import Aim, writes
from tests.chaos.forks import Job
from tests.chaos.proof import Asked, Row
from tests.soak import machine

ROOMS = (0, 64)  # KB that are left on the disk
WRONG = timedelta(days=10)
DISK = 96  # MB of the disk that the data lies on
STOPPED = r"asked to stop; the rest is left to the next pass"
FULL = r"make room"
HELD = r"another process has held it for over \S+ s: wait for it, or end it"
SET_RIGHT = r"clock: it is .* by this clock, and .* by that of destinations\.salesforce; set it right"


class Struck:
    """A company whose next worker is struck; what was done to it is undone at the end of `after`."""

    def __init__(self, beside: Beside, after: ExitStack) -> None:
        self.beside, self.after, self.one = beside, after, beside.one
        self.data = self.one.path.parent / "bellwether-data"

    def worker(self, job: Job = forks.run) -> int:
        """The code that a worker ends with."""
        return self.struck(lambda _: False, lambda _: None, job)

    def struck(self, call: Callable[[Scope], bool], strike: Callable[[int], object], job: Job = forks.run) -> int:
        """The code that a worker ends with that is struck, by its number, as the first such call arrives."""
        process = forks.worker(job, self.one.path)
        self.beside.calls.aim = Aim(lambda: strike(process.pid or 0), call, 1, "arrives")
        process.start()
        return self.beside.struck(process)

    def pulls(self, scope: Scope) -> bool:
        return bool(scope["server"][1] == urlsplit(self.beside.company.box.urls["zendesk"]).port)


class Accident(NamedTuple):
    """What happens to a worker, giving the code it ends with, that code, and what is then to be read."""

    name: str
    happens: Callable[[Struck], int]
    code: int
    says: str


def _terminated(struck: Struck, call: Callable[[Scope], bool]) -> int:
    return struck.struck(call, lambda pid: os.kill(pid, signal.SIGTERM))


def _full(struck: Struck, room: int) -> int:
    """The disk is full but for so many KB."""
    struck.after.enter_context(machine.filled(struck.data, room))
    return struck.worker()


def _filled(struck: Struck, call: Callable[[Scope], bool]) -> int:
    """The disk is full from this call on."""
    return struck.struck(call, lambda _: struck.after.enter_context(machine.filled(struck.data)))


def _crowded(struck: Struck, room: int) -> int:
    """Where no disk of our own can be had: no file may grow beyond so many KB."""
    return struck.worker(partial(forks.crowded, room=room * 1024))


def _held(struck: Struck) -> int:
    """Another process takes the state, and keeps it, as the first pull begins."""
    url = struck.beside.company.settings.state.get_secret_value()
    return struck.struck(struck.pulls, lambda _: struck.after.enter_context(machine.taken(url)), forks.impatient)


def _taken_back(struck: Struck) -> int:
    """After a pass the state is that of a copy made before it."""
    state, copy = struck.data / "state.db", struck.data / "copy.db"
    struck.after.callback(copy.unlink)
    with closing(sqlite3.connect(state)) as now, closing(sqlite3.connect(copy)) as then:
        now.backup(then)
        code = struck.worker()
        then.backup(now)
    return code


def _mistaken(struck: Struck, by: timedelta) -> int:
    """A worker's clock is wrong for a pass, and right again for the next."""
    struck.one.mistaken(by)
    code = struck.worker()
    struck.one.mistaken(timedelta())
    return code


def accidents(*, disk: bool, sqlite: bool) -> Iterator[Accident]:
    """All of them. `disk`: the data lies on a disk of its own. `sqlite`: the state lies with it."""
    yield Accident(
        "SIGTERM while accounts are read", partial(_terminated, call=lambda one: "/query" in one["path"]), 1, STOPPED
    )
    yield Accident("SIGTERM while sources are read", lambda one: _terminated(one, one.pulls), 1, STOPPED)
    yield Accident("SIGTERM while scores are worked out", lambda one: one.worker(forks.stopped_scoring), 1, STOPPED)
    yield Accident("SIGTERM while records are written", partial(_terminated, call=writes), 1, STOPPED)
    yield from _full_disks(disk=disk, sqlite=sqlite)
    yield Accident("state held by another process", _held, 2, HELD)
    yield Accident("clock ten days ahead, then right", partial(_mistaken, by=WRONG), 2, SET_RIGHT)
    yield Accident("clock ten days behind, then right", partial(_mistaken, by=-WRONG), 2, SET_RIGHT)
    if sqlite:
        yield Accident("state taken back to a copy from before", _taken_back, 0, "")


def _full_disks(*, disk: bool, sqlite: bool) -> Iterator[Accident]:
    """Where a server keeps the state, only the log needs room, and only the sources fail."""
    for room in ROOMS if sqlite else ROOMS[:1]:
        full = partial(_full if disk else _crowded, room=room)
        yield Accident(f"disk full but for {room} KB", full, 2 if sqlite else 1, FULL)
    if disk and sqlite:
        yield Accident("disk full while sources are read", lambda one: _filled(one, one.pulls), 2, FULL)
        yield Accident("disk full while records are written", partial(_filled, call=writes), 2, FULL)


def proof(asked: Asked) -> Sequence[Row]:
    """A row for each accident."""
    with (
        machine.disk(asked.folder / "struck" / "bellwether-data", DISK) as disk,
        Beside(asked, asked.size(30, 8)) as beside,
    ):
        beside.recover(forks.provision)
        beside.one.begin()
        beside.recover(forks.run)
        beside.compare()
        sqlite = "sqlite" in beside.company.settings.state.get_secret_value()
        return [happened(beside, accident) for accident in accidents(disk=disk, sqlite=sqlite)]


def happened(beside: Beside, accident: Accident) -> Row:
    """Let it happen to the first worker of a portion; the next has to mend it."""
    beside.one.begin()
    before = len(forks.said(beside.one.path))
    with ExitStack() as after:
        code = accident.happens(Struck(beside, after))
    said = forks.said(beside.one.path)[before:]
    line = next((line for line in said.splitlines() if re.search(accident.says, line)), None) if accident.says else ""
    found = [] if code == accident.code else [f"it ended with code {code}"]
    found += ["nothing was said of it"] if line is None else []
    found += ["a traceback was shown"] if "Traceback" in said else []
    beside.recover(forks.run)
    beside.compare()
    found += beside.broken
    beside.broken.clear()
    line = re.sub(r"\(sqlite:\S+\)", "(sqlite:...)", line or "")
    return Row(
        accident.name, "; ".join(found) or f"code {code}; the next run mends it: {line}", "said, then mended", not found
    )

"""The daemon as the process an operator starts, with time running fast: killed, asked to stop, struck, and weighed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path
from random import Random

from connectors.clock import SystemClock
from sync.errors import Busy
from sync.lease import leased
from sync.worker import Worker, opened
from tests.soak import audit
from tests.soak.accidents import ACCIDENTS, made_a_pass, used_up
from tests.soak.company import START, Company
from tests.soak.leaps import LeapingClock
from tests.soak.twin import provision

LOOK = 0.2  # seconds between two looks
UNTIL_A_WRITE = 8.0  # seconds that one is waited for
PATIENCE = 300  # seconds a pass in hand may still take
MORNING, EVENING, LAST_PASS = timedelta(hours=2), timedelta(hours=20), timedelta(hours=23, minutes=30)
PORTIONS = timedelta(hours=9)  # at least, from one to the next
WAITED = timedelta(minutes=70)  # longer than a vendor whose calls are used up is let be
IMPATIENT = Path(__file__).parent / "impatient"
KILLS = ("power", "pass", "daemon", "term")


class Daemon:
    """A running `bellwether daemon`. `peak`: the most memory any process of a pass held since it was last asked."""

    def __init__(self, folder: Path, *, patience: float, clock: Path) -> None:
        command = [str(Path(sys.executable).parent / "bellwether"), "daemon"]
        ours = {"PYTHONPATH": _paths(), "SOAK_PATIENCE": str(patience), "SOAK_CLOCK": str(clock)}
        with (folder / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=os.environ | ours)
        self._peak, self._over = 0.0, threading.Event()
        self._watch = threading.Thread(target=self._weigh_passes, daemon=True)
        self._watch.start()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def memory(self) -> float:
        """What the daemon itself holds between two passes, in MB."""
        return _memory("VmRSS", self._process.pid)

    def peak(self) -> float:
        peak, self._peak = self._peak, 0.0
        return peak

    def kill(self, how: str) -> None:
        """`power`: all of it at once. `pass`, `daemon`: only that process. `term`: asked to stop."""
        passes = self.passes()
        if how != "pass":
            self._process.send_signal(signal.SIGTERM if how == "term" else signal.SIGKILL)
        for child in passes if how in ("power", "pass") else ():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        if how != "pass":
            self._end()

    def passes(self) -> list[int]:
        """The process of the pass that is under way."""
        return _children(self._process.pid)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """It does not knock at a door that is held."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._end()

    def _end(self) -> int:
        code = self._process.wait(timeout=120)
        self._over.set()
        self._watch.join()
        return code

    def _weigh_passes(self) -> None:
        while not self._over.wait(LOOK):
            for child in self.passes():
                self._peak = max(self._peak, _memory("VmHWM", child))


class Life:
    """A company, the clock it shares with its daemon, and what has been done to the daemon.

    Until `troubled` the daemon is killed or stopped and started again; after that it lives on, so that its memory can
    be followed, and only accidents happen: one with the first portion of every day. No portion reaches over midnight:
    with the day, scores change although nobody told anything.
    """

    def __init__(
        self, company: Company, clock: LeapingClock, *, troubled: datetime, patience: float, accidents: Sequence[str]
    ) -> None:
        self.company, self.clock, self._troubled, self._patience = company, clock, troubled, patience
        self._random, self._accidents = Random(company.seed), cycle(accidents)
        self.log = company.folder / "daemon.log"
        self.daemon = self._started()
        self.kills: dict[str, int] = dict.fromkeys(KILLS, 0)
        self.happened: dict[str, int] = dict.fromkeys([*accidents, *map(_no_calls, company.box.crm)], 0)

    def portions(self, until: datetime) -> Iterator[tuple[datetime, bool, Worker]]:
        """Live; yields after each portion, with the daemon held off: when it began, whether it was the last of its
        day, and a worker to look at its state with.
        """
        moment, number = self.company.told, 0
        with opened(self.company.settings, clock=self.clock) as worker:
            while moment < until:
                self._live(worker, moment, number)
                with _held(worker), self.daemon.resting():
                    following = _next_portion(self.clock.now())
                    yield moment, following.date() > moment.date(), worker
                    now = self.clock.now()
                    moment = following if now < following else _next_portion(now)
                    self.clock.leap(moment)
                    if moment < until:
                        self.company.tell(moment)
                number += 1

    def _live(self, worker: Worker, moment: datetime, number: int) -> None:
        """Until the daemon has done all there is to do, or the day is over."""
        if number and made_a_pass(self):  # a daemon that cannot make its first one ends
            self._happen(worker, moment, number)
        if moment < self._troubled:
            self._trouble(KILLS[sum(self.kills.values()) % len(KILLS)], writing=self._random.random() < 0.5)
        end = moment.replace(hour=0) + LAST_PASS
        while self.clock.now() < end and not audit.at_rest(worker, since=moment):
            if self.daemon.ended:
                raise RuntimeError("the daemon ended by itself; see daemon.log")
            time.sleep(LOOK)

    def _happen(self, worker: Worker, moment: datetime, number: int) -> None:
        """With the first portion of a day an accident, with the second a vendor that has no calls left."""
        if moment - moment.replace(hour=0) == MORNING:
            name = next(self._accidents)
            self.happened[name] += ACCIDENTS[name](self, worker)
        else:
            crm = sorted(self.company.box.crm)[moment.day // 3 % 2]
            self.happened[_no_calls(crm)] += used_up(self, crm)
            with _held(worker):
                self.clock.leap(self.clock.now() + WAITED)

    def known(self) -> dict[str, float]:
        """Tickets and logins in the log."""
        with opened(self.company.settings, clock=self.clock) as worker:
            return audit.known(worker)

    def retry(self, worker: Worker) -> None:
        """Have the records that were refused tried next, once the pass in hand is over."""
        with _held(worker):
            worker.state.deliveries.retry(list(worker.destinations), now=self.clock.now())

    def log_size(self) -> int:
        return self.log.stat().st_size

    def wait_for_a_write(self, longest: float) -> None:
        """To a CRM; for so many seconds at most."""
        before, end = self._written(), time.monotonic() + longest
        while time.monotonic() < end and self._written() == before:
            time.sleep(0.01)

    def _trouble(self, how: str, *, writing: bool) -> None:
        """Strike while the CRMs are written to, or at any moment."""
        moment = self._random.uniform(0.5, 3.0)
        if writing:
            self.wait_for_a_write(UNTIL_A_WRITE)
        else:
            time.sleep(moment)
        self.kills[how] += 1
        self.daemon.kill(how)
        if self.daemon.ended:
            self.daemon = self._started()

    def _written(self) -> int:
        return sum(len(store.writes) for store in self.company.box.crm.values())

    def _started(self) -> Daemon:
        self.began = self.log_size() if self.log.exists() else 0
        return Daemon(self.company.folder, patience=self._patience, clock=self.clock.path)


@contextmanager
def _held(worker: Worker) -> Iterator[None]:
    """No pass is under way, and none begins: the lease is ours, as soon as the pass in hand has ended."""
    end = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(leased(worker.state))
                break
            except Busy:
                if time.monotonic() > end:
                    raise
            time.sleep(LOOK)
        yield


def _next_portion(now: datetime) -> datetime:
    """When everything is due again, on every third day; else the next morning, with midnight's export complete."""
    soon = (now + PORTIONS).replace(microsecond=0)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return soon if now.day % 3 == 0 and soon - day < EVENING else day + timedelta(days=1) + MORNING


def _no_calls(crm: str) -> str:
    return f"no calls left at {crm}"


def leaping(folder: Path, speed: float) -> tuple[LeapingClock, str]:
    """A clock that begins with the first portion, and the settings by which the daemon shares it."""
    epoch = SystemClock().now().timestamp() + 1.0
    line = f"clock: {{start: {START.isoformat()}, speed: {speed:g}, epoch: {epoch!r}}}\n"
    clock = LeapingClock(START, speed, epoch, path=folder / "clock")
    return clock, line + "daemon: {port: 0, every: 10m, pull_budget: 5d}\n"


def made(company: Company, clock: LeapingClock) -> None:
    """Our fields, made before the daemon is started."""
    with opened(company.settings, clock=clock) as worker:
        provision(worker)


def _children(process: int) -> list[int]:
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == process]


def _parent(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it is no more
        return 0
    return int(text.rpartition(")")[2].split()[1])


def _paths() -> str:
    return os.pathsep.join(filter(None, (str(IMPATIENT), os.environ.get("PYTHONPATH"))))


def _memory(word: str, process: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{word}:"):
                return int(line.split()[1]) / 1024
    return 0.0

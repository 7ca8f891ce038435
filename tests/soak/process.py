"""The daemon as the process an operator starts, with time running fast: killed, asked to stop, and weighed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from connectors.clock import FastClock, SystemClock
from sync.errors import Busy
from sync.lease import leased
from sync.worker import Worker, opened
from tests.soak import audit
from tests.soak.company import EVERY, START, Company
from tests.soak.twin import provision

LOOK = 0.2  # seconds between two looks
PATIENCE = 300  # seconds a pass in hand may still take
MORNING, EVENING, LAST_PASS = timedelta(hours=2), timedelta(hours=20), timedelta(hours=23, minutes=30)
ALLOWANCE_GONE = timedelta(minutes=90)
IMPATIENT = Path(__file__).parent / "impatient"
KILLS = ("power", "pass", "daemon", "term")


class Daemon:
    """A running `bellwether daemon`. `peak`: the most memory any process of a pass held since it was last asked."""

    def __init__(self, folder: Path, *, patience: float) -> None:
        command = [str(Path(sys.executable).parent / "bellwether"), "daemon"]
        environment = {**os.environ, "PYTHONPATH": _paths(), "SOAK_PATIENCE": str(patience)}
        with (folder / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
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
        passes = _children(self._process.pid)
        if how != "pass":
            self._process.send_signal(signal.SIGTERM if how == "term" else signal.SIGKILL)
        for child in passes if how in ("power", "pass") else ():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        if how != "pass":
            self._end()

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
            for child in _children(self._process.pid):
                self._peak = max(self._peak, _memory("VmHWM", child))


class Life:
    """A company, the clock it shares with its daemon, and what has been done to the daemon.

    Until `troubled` the daemon is killed or stopped and started again; after that it lives on undisturbed, so that its
    memory can be followed. No portion reaches over midnight: with the day, scores change although nobody told anything.
    """

    def __init__(self, company: Company, clock: FastClock, *, troubled: datetime, patience: float) -> None:
        self.company, self._clock, self._troubled, self._patience = company, clock, troubled, patience
        self._random = Random(company.seed)
        self.daemon = self._started()
        self.kills: dict[str, int] = dict.fromkeys(KILLS, 0)

    def portions(self, until: datetime) -> Iterator[tuple[datetime, bool, Worker]]:
        """Live; yields after each portion, with the daemon held off: when it began, whether it was the last of its
        day, and a worker to look at its state with.
        """
        moment, number = self.company.told, 0
        with opened(self.company.settings, clock=self._clock) as worker:
            while moment < until:
                self._live(worker, moment, allowance_gone=number % 4 == 2)
                with _held(worker):
                    taken = self._clock.now()
                    following = _next_portion(taken)
                    yield moment, following.date() > moment.date(), worker
                    now = self._clock.now()
                    moment = following if now < following else _next_portion(now)
                    self._wait_for(moment)
                    if moment < until:
                        self.company.tell(moment)
                number += 1

    def _live(self, worker: Worker, moment: datetime, *, allowance_gone: bool) -> None:
        """Until the daemon has done all there is to do, or the day is over."""
        self.company.allowance(used_up=allowance_gone)
        if moment < self._troubled:
            for _ in range(2):
                self._trouble(KILLS[sum(self.kills.values()) % len(KILLS)], writing=self._random.random() < 0.5)
        if allowance_gone:
            self._wait_for(moment + ALLOWANCE_GONE)
            self.company.allowance(used_up=False)
        end = moment.replace(hour=0) + LAST_PASS
        while self._clock.now() < end and not audit.at_rest(worker, since=moment):
            if self.daemon.ended:
                raise RuntimeError("the daemon ended by itself; see daemon.log")
            time.sleep(LOOK)

    def known(self) -> dict[str, float]:
        """Tickets and logins in the log."""
        with opened(self.company.settings, clock=self._clock) as worker:
            return audit.known(worker)

    def _trouble(self, how: str, *, writing: bool) -> None:
        """Strike while the CRMs are written to, or at any moment."""
        before, calls = self._written(), self._random.uniform(0.5, 3.0)
        end = time.monotonic() + (8.0 if writing else calls)
        while time.monotonic() < end and not (writing and self._written() > before):
            time.sleep(0.01)
        self.kills[how] += 1
        self.daemon.kill(how)
        if self.daemon.ended:
            self.daemon = self._started()

    def _written(self) -> int:
        return sum(len(store.writes) for store in self.company.box.crm.values())

    def _started(self) -> Daemon:
        return Daemon(self.company.folder, patience=self._patience)

    def _wait_for(self, moment: datetime) -> None:
        while self._clock.now() < moment:
            time.sleep(LOOK / 2)


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
    """When everything is due again; from the evening on, the next morning, with midnight's export complete."""
    soon = now.replace(microsecond=0) + EVERY + timedelta(minutes=1)
    day = soon.replace(hour=0, minute=0, second=0)
    if soon - day < MORNING:
        return day + MORNING
    return soon if soon - day < EVENING else day + timedelta(days=1) + MORNING


def fast(speed: float) -> tuple[FastClock, str]:
    """A clock that begins with the first portion, and the settings by which the daemon shares it."""
    epoch = SystemClock().now().timestamp() + 1.0
    line = f"clock: {{start: {START.isoformat()}, speed: {speed:g}, epoch: {epoch!r}}}\n"
    return FastClock(START, speed, epoch), line + "daemon: {port: 0, every: 1h, pull_budget: 5d}\n"


def made(company: Company, clock: FastClock) -> None:
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

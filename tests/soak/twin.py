"""A worker in this process, on a clock that moves only when somebody waits: the undisturbed twin, the short soak."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from random import Random

from connectors.clock import SteppedClock
from sync.progress import Quiet
from sync.run import run_once
from sync.worker import Worker, opened
from tests.soak import audit
from tests.soak.company import Company

HOURS = 5  # after the beginning of a portion in which passes are made, one an hour, if need be


class Killed(BaseException):
    """The worker ends here, without a word to anybody."""


class Interruption(Quiet):
    """Ends a pass after so many signs of progress, in one of two ways: asked to stop, or killed."""

    def __init__(self, worker: Worker, after: int, *, kill: bool) -> None:
        self._worker, self._left, self._kill = worker, after, kill

    def advance(self, step: str, done: int = 1, note: str = "") -> None:
        self._left -= 1
        if not self._left:
            if self._kill:
                raise Killed
            self._worker.stop.set()


def provision(worker: Worker) -> None:
    """Make our fields."""
    for destination in worker.destinations.values():
        for change in destination.plan():
            change.apply()


def lived(
    company: Company, clock: SteppedClock, portions: Iterable[datetime], *, interrupted: bool = False
) -> Iterator[Worker]:
    """Live through the portions that begin then; yields the worker after each, when all there is to do is done.

    `interrupted`: the first pass of every portion is ended half-way, and a new worker goes on.
    """
    random = Random(company.seed)
    with opened(company.settings, clock=clock) as worker:
        provision(worker)
    for number, moment in enumerate(portions):
        clock.advance_to(moment)
        company.tell(moment)
        if interrupted:
            _interrupted(company, clock, random.randint(1, 8), kill=number % 2 == 0)
        with opened(company.settings, clock=clock) as worker:
            for hour in range(HOURS):
                clock.advance_to(moment + timedelta(minutes=10, hours=hour))
                report = run_once(worker, due_only=True)
                if report.problems and not company.faulty:
                    raise RuntimeError(f"nothing was in its way, yet {report.problems[0]}")
                if audit.at_rest(worker, since=moment):
                    break
            yield worker


def _interrupted(company: Company, clock: SteppedClock, after: int, *, kill: bool) -> None:
    clock.advance_to(clock.now() + timedelta(minutes=5))
    with opened(company.settings, clock=clock) as worker:
        try:
            run_once(worker, due_only=True, progress=Interruption(worker, after, kill=kill))
        except Killed:
            return

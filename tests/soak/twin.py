"""A worker in this process, on a clock that moves only when somebody waits: the undisturbed twin, the short soak."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from random import Random

from connectors.clock import SteppedClock
from sync.progress import Quiet
from sync.rows import Delivery
from sync.run import run_once
from sync.worker import Worker, opened
from tests.served import carry_out
from tests.soak import audit
from tests.soak.company import Company

HOURS = 8  # after the beginning of a portion in which passes are made, one an hour, if need be


class Killed(BaseException):
    """The worker ends here, without a word to anybody."""


class Interruption(Quiet):
    """Asks a worker to stop after so many signs of progress."""

    def __init__(self, worker: Worker, after: int) -> None:
        self._worker, self._left = worker, after

    def advance(self, task: str, by: int = 1, note: str = "") -> None:
        self._left -= 1
        if not self._left:
            self._worker.stop.set()


def provision(worker: Worker) -> None:
    """Make our fields."""
    for destination in worker.destinations.values():
        carry_out(destination.plan())


def lived(
    company: Company, clock: SteppedClock, portions: Iterable[datetime], *, interrupted: bool = False
) -> Iterator[Worker]:
    """Live through the portions that begin then; yields the worker after each, when all there is to do is done.

    `interrupted`: in every portion a worker is stopped half-way and a second one killed while it delivers before the
    third goes on.
    """
    random = Random(company.seed)
    with opened(company.settings, clock=clock) as worker:
        provision(worker)
    for moment in portions:
        clock.advance_to(moment)
        company.tell(moment)
        if interrupted:
            _stopped(company, clock, random.randint(1, 8))
            _killed_delivering(company, clock)
        with opened(company.settings, clock=clock) as worker:
            for hour in range(HOURS):
                clock.advance_to(moment + timedelta(minutes=10, hours=hour))
                report = run_once(worker, due_only=True)
                if report.problems and not company.faulty:
                    raise RuntimeError(f"nothing was in its way, yet {report.problems[0]}")
                if audit.at_rest(worker, since=moment):
                    break
            yield worker


def _stopped(company: Company, clock: SteppedClock, after: int) -> None:
    with opened(company.settings, clock=clock) as worker:
        run_once(worker, due_only=True, progress=Interruption(worker, after))


def _killed_delivering(company: Company, clock: SteppedClock) -> None:
    """The first outcomes that should be saved are lost with the worker."""

    def dying(rows: Iterable[Delivery]) -> None:
        if list(rows):
            raise Killed

    with opened(company.settings, clock=clock) as worker, suppress(Killed):
        setattr(worker.state.deliveries, "save", dying)  # noqa: B010 - the type is the state's own affair
        run_once(worker, due_only=True)

"""A company whose workers are struck, beside its twin to which nothing happens; and how far the two are apart."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Self

from connectors.clock import SteppedClock
from sync.worker import Worker, opened
from tests.chaos import forks
from tests.chaos.calls import watched
from tests.chaos.forks import Job
from tests.chaos.leaping import HISTORY, Leapt
from tests.chaos.proof import Asked
from tests.soak import audit
from tests.soak.audit import Fields, Sight
from tests.soak.company import START, Company
from tests.soak.twin import lived

WHOLE = 4  # passes in which a worker that is let be must have done all there is to do


class Beside:
    """`broken`: what was found, in words. `lasts` and `makes`: seconds and calls of the last worker that was let be."""

    def __init__(self, asked: Asked, accounts: int, *, more: str = "") -> None:
        self.broken: list[str] = []
        self.lasts, self.makes = 1.0, 20
        with ExitStack() as stack:
            self.calls = stack.enter_context(watched())
            of_both: dict[str, Any] = {"accounts": accounts, "seed": asked.seed}
            self.one = Leapt(asked.folder / "struck", more=asked.settings() + more, **of_both)
            self.company = stack.enter_context(self.one.company)
            clock, folder = SteppedClock(START), asked.folder / "twin"
            twin = Company(folder, clock=clock, faults="none", history=HISTORY, more=more, **of_both)
            self.other = stack.enter_context(twin)
            self._twin = lived(self.other, clock, self.one.moments)
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def struck(self, process: ForkServerProcess) -> int:
        """How a worker ended that was begun, once all it sent has been carried out."""
        code = forks.ended(process)
        self.calls.aim = None
        self.calls.carried_out()
        return code

    def recover(self, job: Job) -> None:
        """Workers that are let be, until there is nothing left to do."""
        for _ in range(WHOLE):
            began, before = time.monotonic(), self.calls.seen
            process = forks.worker(job, self.one.path)
            process.start()
            code = self.struck(process)
            self.lasts, self.makes = time.monotonic() - began, max(1, self.calls.seen - before)
            if code:
                self.broken.append(f"a worker that was let be ended with code {code}")
            with opened(self.company.settings, clock=self.one.clock) as worker:
                if job is not forks.run or audit.at_rest(worker, since=self.one.moments[-1]):
                    return
        self.broken.append(f"not everything is done after {WHOLE} passes")

    def follow(self) -> Worker:
        """The twin lives through the next portion."""
        return next(self._twin)

    def compare(self, *, late: bool = False) -> None:
        """What is other than at the twin. `late`: of what was told later than by the twin only what decides, and states
        that it gave may be missing.
        """
        with opened(self.company.settings, clock=self.one.clock) as worker:
            twin = self.follow()
            ours, theirs = audit.look(self.company, worker), audit.look(self.other, twin)
            self.broken += _apart(*(map(audit.decided, (ours, theirs)) if late else (ours, theirs)), late=late)
            self.broken += _misjudged(audit.judged(worker), audit.judged(twin))
            if differing := audit.differing(self.company, worker):
                self.broken.append(f"{len(differing)} values are other than confirmed, first {differing[0]}")
        self.broken += _damaged(self.one.path.parent / "bellwether-data" / "state.db")


def _apart(ours: Sight, theirs: Sight, *, late: bool) -> Iterator[str]:
    mine, twins = ours.written.states, theirs.written.states
    spared = {record: told for record, told in twins.items() if late and _among(mine.get(record, ()), told)}
    for what, one, other in (("records", ours.fields, theirs.fields), ("states of records", {**mine, **spared}, twins)):
        if differences := audit.differences(one, other):
            yield f"{what} are other than the twin's: {differences}"
    if ours.facts != theirs.facts:
        yield f"facts are {ours.facts}, the twin's {theirs.facts}"
    if any(rows != ids for rows, ids, _ in ours.facts.values()):
        yield "facts stand twice in the log"
    if ours.rows != theirs.rows:
        yield f"state has rows {ours.rows}, the twin's {theirs.rows}"
    if ours.waiting:
        yield f"{ours.waiting} rows are not confirmed"
    if ours.written.repeated:
        yield f"{len(ours.written.repeated)} rows were written twice, first {ours.written.repeated[0]}"


def _misjudged(ours: Counter[str], theirs: Counter[str]) -> Iterator[str]:
    for what, found in (("lost", theirs - ours), ("made up", ours - theirs)):
        if found:
            yield f"edits that were {what}: {found.total()}, first {min(found)}"


def _among(ours: Sequence[Fields], theirs: Sequence[Fields]) -> bool:
    """Whether these states are the twin's, in order, but for some."""
    left = iter(theirs)
    return all(state in left for state in ours)


def _damaged(state: Path) -> Iterator[str]:
    """What SQLite says of its file, where there is one."""
    if state.exists():
        with closing(sqlite3.connect(state)) as database:
            for (words,) in database.execute("pragma integrity_check"):
                if words != "ok":
                    yield f"state.db: {words}"

"""Pulling one source: how far a pass reads that has only so much time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.base import Cursor, Page
from connectors.clock import SteppedClock
from sync.progress import Quiet
from sync.pull import Pulled, pull
from tests.fakes import FakeCrm, FakeSource, a_worker

START = datetime(2026, 10, 20, 6, tzinfo=UTC)
BUDGET = timedelta(minutes=2)
PARTS = 3  # pages of a day; the cursor moves with the last, as at Mixpanel


class SlowDays(FakeSource):
    """Days in parts, each of which takes longer than a pass has."""

    def __init__(self, clock: SteppedClock, days: int) -> None:
        super().__init__("product", [], names=("login",))
        self._clock, self._days = clock, days
        self.begun: list[int] = []

    def pull(self, cursor: Cursor | None, *, start: datetime, now: datetime) -> Iterator[Page]:
        read = cursor["day"] if cursor else 0
        self.begun.append(read)
        if read:
            yield Page(cursor={"day": read})  # what was read is looked at again
        for day in range(read + 1, self._days + 1):
            for part in range(1, PARTS + 1):
                self._clock.advance_to(self._clock.now() + BUDGET)
                yield Page(cursor={"day": day} if part == PARTS else None)


def test_a_pass_reads_on_until_it_got_further_and_then_keeps_to_its_time(tmp_path: Path) -> None:
    clock = SteppedClock(START)
    source = SlowDays(clock, days=3)
    with a_worker(tmp_path, home=FakeCrm("crm", []), sources=[source], clock=clock) as worker:
        results = []
        for _ in range(3):
            result, now = Pulled(), clock.now()
            pull(worker, source, result, now=now, deadline=now + BUDGET, beat=lambda: None, progress=Quiet())
            results.append(result)
    assert source.begun == [0, 1, 2]
    assert [result.pages for result in results] == [PARTS, 1 + PARTS, 1 + PARTS]


def test_a_worker_that_is_told_to_stop_does_not_wait_for_the_cursor(tmp_path: Path) -> None:
    clock, result = SteppedClock(START), Pulled()
    source = SlowDays(clock, days=1)
    with a_worker(tmp_path, home=FakeCrm("crm", []), sources=[source], clock=clock) as worker:
        pull(worker, source, result, now=START, deadline=None, beat=worker.stop.set, progress=Quiet())
    assert (result.pages, result.complete) == (1, False)

"""The lease: one at a time, renewed between pieces of work, and not held up by the dead."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.clock import SteppedClock
from sync.errors import Busy
from sync.lease import LENGTH, here, leased, take
from sync.state import State
from tests.postgres import migrated

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(migrated(tmp_path / "state.db"))
    yield opened
    opened.close()


def _gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_worker_is_told_until_when_the_first_may_be_busy(state: State) -> None:
    first = take(state, SteppedClock(NOW))
    with pytest.raises(Busy, match=r"it has until 09:10:00 UTC"):
        take(state, SteppedClock(NOW))
    first.release()
    take(state, SteppedClock(NOW)).release()


def test_it_is_held_for_as_long_as_the_work_lasts(state: State) -> None:
    with leased(state) as beat:
        beat()
        assert state.lease.held() is not None
    assert state.lease.held() is None


def test_the_lease_of_a_process_that_is_gone_holds_nobody_up(state: State) -> None:
    assert state.lease.take(f"{here()}:{_gone()}:abc", now=NOW, seconds=600)
    take(state, SteppedClock(NOW))


def test_a_former_life_under_our_own_process_number_is_gone_too(state: State) -> None:
    assert state.lease.take(f"{here()}:{os.getpid()}:abc", now=NOW, seconds=600)
    take(state, SteppedClock(NOW))


@pytest.mark.parametrize("holder", [f"{here()}:1:abc", "elsewhere:7:abc", "somebody"])
def test_the_lease_of_the_living_and_of_other_hosts_is_respected(state: State, holder: str) -> None:
    assert state.lease.take(holder, now=NOW, seconds=600)
    with pytest.raises(Busy):
        take(state, SteppedClock(NOW))


def test_a_process_of_another_container_is_not_taken_for_gone_because_it_cannot_be_seen(state: State) -> None:
    """A container on the host's network has the host's name, but numbers its processes by itself."""
    assert state.lease.take(f"{socket.gethostname()}/1:{_gone()}:abc", now=NOW, seconds=600)
    with pytest.raises(Busy):
        take(state, SteppedClock(NOW))


def test_work_goes_on_while_it_is_renewed_and_ends_when_it_was_taken_over(state: State) -> None:
    clock = SteppedClock(NOW)
    lease = take(state, clock)
    for _ in range(10):
        clock.advance_to(clock.now() + LENGTH / 2)
        assert lease.renew()
    clock.advance_to(clock.now() + LENGTH * 2)
    assert state.lease.take("another", now=clock.now(), seconds=600)
    assert not lease.renew()
    lease.release()
    assert state.lease.held() == ("another", clock.now() + timedelta(seconds=600))

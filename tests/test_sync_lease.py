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
from sync.errors import Busy, LeaseLost
from sync.lease import LENGTH, leased
from sync.state import State

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(f"sqlite:///{tmp_path / 'state.db'}")
    yield opened
    opened.close()


def _gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_worker_is_told_until_when_the_first_may_be_busy(state: State) -> None:
    second = leased(state, SteppedClock(NOW))
    with leased(state, SteppedClock(NOW)), pytest.raises(Busy, match=r"it has until 09:10:00 UTC"), second:
        pass
    with leased(state, SteppedClock(NOW)):
        pass


def test_the_lease_of_a_process_that_is_gone_holds_nobody_up(state: State) -> None:
    assert state.take_lease(f"{socket.gethostname()}:{_gone()}:abc", now=NOW, seconds=600)
    with leased(state, SteppedClock(NOW)):
        pass


def test_a_former_life_under_our_own_process_number_is_gone_too(state: State) -> None:
    assert state.take_lease(f"{socket.gethostname()}:{os.getpid()}:abc", now=NOW, seconds=600)
    with leased(state, SteppedClock(NOW)):
        pass


@pytest.mark.parametrize("holder", [f"{socket.gethostname()}:1:abc", "elsewhere:7:abc", "somebody"])
def test_the_lease_of_the_living_and_of_other_hosts_is_respected(state: State, holder: str) -> None:
    assert state.take_lease(holder, now=NOW, seconds=600)
    with pytest.raises(Busy), leased(state, SteppedClock(NOW)):
        pass


def test_work_goes_on_while_it_is_renewed_and_ends_when_it_was_taken_over(state: State) -> None:
    clock = SteppedClock(NOW)
    with leased(state, clock) as beat:
        for _ in range(10):
            clock.advance_to(clock.now() + LENGTH / 2)
            beat()
        clock.advance_to(clock.now() + LENGTH * 2)
        assert state.take_lease("another", now=clock.now(), seconds=600)
        with pytest.raises(LeaseLost):
            beat()
    assert state.lease() == ("another", clock.now() + timedelta(seconds=600))

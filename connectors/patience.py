"""Waiting for vendors: how long, how often, and no faster than they allow. Whatever library the call is made with."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential, wait_random

from connectors.base import Tools
from connectors.errors import AgainNow, Stopped, Unreachable, WaitUntil

ATTEMPTS = 6  # at a call
DOOR_TRIES = 3  # at an address where nobody answers
LONGEST_WAIT = 3600.0  # a vendor that asks for more is left to a later run
WORTH_TELLING = 10.0  # seconds
T = TypeVar("T")

log = structlog.get_logger("bellwether.wait")


def pause(seconds: float, *, tools: Tools, place: str) -> None:
    """Wait on the clock; raises `Stopped` as soon as the worker is asked to stop. A long wait is told in the log."""
    if seconds > WORTH_TELLING:
        log.info("waiting", place=place, seconds=round(seconds))
    if tools.clock.sleep(seconds, tools.stop):
        raise Stopped("asked to stop while waiting", place=place)


def patiently(
    attempt: Callable[[], T],
    *,
    tools: Tools,
    place: str,
    attempts: int = ATTEMPTS,
    first_wait: float = 1.0,
    pace: Pace | None = None,
) -> T:
    """Call `attempt` until it answers, at most `attempts` times; the last error is raised as it is.

    A passing fault is retried after `first_wait` seconds, then twice as long and so on, sixty times that at
    most, with jitter. A `WaitUntil` waits exactly as long as the vendor asked; one that asks for more than
    an hour, or whose daily quota is gone, is raised at once. An address at which nobody answers is tried three
    times in a few seconds: the next pass comes anyway. While a vendor has asked for patience, all who share
    `pace` wait. Raises `Stopped` when asked to stop.
    """

    def enough(state: RetryCallState) -> bool:
        return state.attempt_number >= (
            min(attempts, DOOR_TRIES) if isinstance(_error(state), Unreachable) else attempts
        )

    def unless_stopped() -> T:
        if tools.stop.is_set():
            raise Stopped("asked to stop", place=place)
        return attempt()

    return Retrying(
        retry=retry_if_exception(_worth_waiting),
        stop=enough,
        wait=_waiting(first_wait, pace),
        sleep=lambda seconds: pause(seconds, tools=tools, place=place),
        reraise=True,
    )(unless_stopped)


def _waiting(first_wait: float, pace: Pace | None) -> Callable[[RetryCallState], float]:
    """For how many seconds, after an attempt that failed."""
    backoff = wait_exponential(multiplier=first_wait, max=first_wait * 60) + wait_random(0, first_wait)

    def wait(state: RetryCallState) -> float:
        error = _error(state)
        if isinstance(error, Unreachable):
            return float(state.attempt_number)
        if not isinstance(error, WaitUntil):
            return backoff(state)
        if pace:
            pace.hold(error.seconds)
        return error.seconds

    return wait


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _worth_waiting(error: BaseException) -> bool:
    if isinstance(error, WaitUntil):
        return not error.quota and error.seconds <= LONGEST_WAIT
    return isinstance(error, AgainNow)


class Pace:
    """At most `calls` calls in any `seconds`, by all threads together; a short burst goes at once, a long one waits."""

    def __init__(self, calls: int, seconds: float, *, tools: Tools, place: str) -> None:
        self._seconds, self._tools, self._place = seconds, tools, place
        self._recent: deque[datetime] = deque(maxlen=calls)
        self._seen = self._closed = tools.clock.now()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Until there is room for a call. Raises `Stopped` when asked to stop."""
        while (left := self._left()) > 0:
            pause(left, tools=self._tools, place=self._place)

    def allow(self, calls: int, seconds: float) -> None:
        """Go by another limit from now on; what was called still counts."""
        with self._lock:
            self._seconds = seconds
            if calls != self._recent.maxlen:
                self._recent = deque(self._recent, maxlen=calls)

    def hold(self, seconds: float) -> None:
        """Begin no call for so long."""
        with self._lock:
            self._closed = max(self._closed, self._tools.clock.now() + timedelta(seconds=seconds))

    def _left(self) -> float:
        """Seconds to wait; at 0 a call has been counted."""
        with self._lock:
            now = self._tools.clock.now()
            if now < self._seen:  # a clock that was set back does not tell how long ago the calls were
                self._recent.clear()
                self._closed = now
            self._seen = now
            left = (self._closed - now).total_seconds()
            if len(self._recent) == self._recent.maxlen:
                left = max(left, self._seconds - (now - self._recent[0]).total_seconds())
            if left <= 0:
                self._recent.append(now)
            return left


class Ration:
    """How many calls may still be made of a vendor's day; without a bound until one is set. Thread-safe.

    Once the vendor itself has said that its allowance is used up, none is made until the bound is taken away.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._left: int | None = None
        self._gone: WaitUntil | None = None
        self._lock = threading.Lock()

    def set(self, calls: int | None) -> None:
        with self._lock:
            self._left = calls
            if calls is None:
                self._gone = None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call; raises `WaitUntil` in place of one that may not be made."""
        self._take()
        try:
            yield
        except WaitUntil as error:
            if error.quota:
                with self._lock:
                    self._gone = error
            raise

    def _take(self) -> None:
        with self._lock:
            if self._gone is not None:
                raise WaitUntil(self._gone.words, seconds=self._gone.seconds, place=self._gone.place, quota=True)
            if self._left is None:
                return
            if self._left <= 0:
                words = "no calls of the day are left to this worker; the rest is left to later passes"
                raise WaitUntil(words, seconds=0, place=self._place, quota=True)
            self._left -= 1

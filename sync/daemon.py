"""The daemon: the same pass again and again, until it is told to stop.

What is due is decided from state by the pass itself, so the scheduler only has to knock: a job store in memory, missed
knocks folded into one, no limit to how late one may be, and none put off by a clock that was set back. Each pass is
made in a process of its own (`child.py`), so that between passes there is little more than this loop and what it
answers about itself. A signal only sets the stop flag; the pass hears of it, finishes the batch in hand and saves its
outcomes.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from sync.cards import reread
from sync.child import LAST_BATCH, Answer, Memory, in_child
from sync.console import log_as_json
from sync.errors import StateError
from sync.health import Health, serving
from sync.loading import load
from sync.settings import Settings, clock_of
from sync.stopping import signals

LOOK = 60.0  # seconds between looks at whether the clock was set back

log = structlog.get_logger("bellwether.daemon")


def daemon(path: Path) -> None:
    """Work until told to stop."""
    log_as_json()
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a pass longer than the time between knocks is no fault
    serve(load(path))


def serve(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Must be called from the main thread, which waits for the signal.

    Raises `StateError` when the first pass finds that state or a connector cannot be used at all.
    """
    rules, stop = settings.daemon, threading.Event()
    health = Health(clock_of(settings))
    token = rules.token.get_secret_value() if rules.token else None
    with signals(stop), serving(health, rules.host, rules.port, token) as port:
        card = settings.scorecard
        log.info("daemon started", port=port, settings=settings.path.name, scorecard=card.name, version=card.version)
        passes = Passes(settings, health, stop)
        knocks = Knocks(passes.knock, every=_every(settings))
        while not stop.wait(LOOK):
            knocks.keep()
        log.info("stopping after the batch in hand")
        knocks.end()
        passes.end()
        log.info("daemon stopped")
    if passes.unusable:
        raise StateError(passes.unusable)


class Passes:
    """Makes one pass at a time, each in a process of its own, and tells `health` of it.

    The scorecard's file is looked at before each, so that an edit needs no restart; other settings are read once.

    `unusable`: why there was no use in going on, found by the first pass.
    """

    def __init__(self, settings: Settings, health: Health, stop: threading.Event) -> None:
        self.unusable = ""
        self._settings, self._health, self._stop = settings, health, stop
        self._clock = clock_of(settings)
        self._memory = Memory()
        self._first = True
        self._busy = threading.Lock()
        self._lifeline, self._held = os.pipe()

    def knock(self) -> None:
        """Make a pass; a failure is logged and counted, and the next knock tries again."""
        if self._stop.is_set() or not self._busy.acquire(blocking=False):
            return
        try:
            self._health.begin()
            self._reread()
            self._note(in_child(self._settings, self._memory, self._lifeline))
        except Exception:
            self._health.fail()
            log.exception("pass failed")
        finally:
            self._busy.release()

    def end(self) -> None:
        """Tell the pass that is under way to finish the batch in hand, and wait for it."""
        os.close(self._held)
        if not self._busy.acquire(timeout=LAST_BATCH + 5):
            log.warning("the batch in hand did not finish in time; the next start reads it back")

    def _reread(self) -> None:
        """Take up a scorecard that was edited; one that cannot be used is told of, and the last good one goes on."""
        before, self._settings = self._settings.used(), reread(self._settings)
        for (_, was), (_, now) in zip(before, self._settings.used(), strict=True):
            if now.card.version != was.card.version:
                version = now.card.version
                log.info("scorecard changed", scorecard=now.card.name, version=version, before=was.card.version)
        for why in self._settings.refused:
            log.warning("scorecard refused", why=why)
        self._health.refuse(self._settings.refused)

    def _note(self, answer: Answer) -> None:
        first, self._first = self._first, False
        self._memory = answer.memory or Memory(resting=self._memory.resting)
        if answer.report is not None:
            self._health.note(answer.report, answer.readings, self._clock.now())
            log.info("pass", status=answer.report.status, scored=answer.report.scored)
            return
        self._health.fail()
        log.warning("pass not made", why=answer.fault)
        if first and not answer.opened:
            self.unusable = answer.fault
            self._stop.set()


class Knocks:
    """Calls `knock` at once and then `every` so often, one call at a time, in a thread of its own."""

    def __init__(self, knock: Callable[[], None], *, every: timedelta) -> None:
        self._every = every
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        self._again = self._scheduler.add_job(knock, self._interval())
        self._scheduler.add_job(knock)  # no trigger: at once
        self._scheduler.start()

    def keep(self) -> None:
        """The next knock is a time of day: after the clock was set back it would be as far off as that went."""
        if self._again.next_run_time - datetime.now(UTC) > self._every:
            self._again.reschedule(self._interval())

    def end(self) -> None:
        """No further call begins."""
        self._scheduler.shutdown(wait=False)

    def _interval(self) -> IntervalTrigger:
        return IntervalTrigger(seconds=self._every.total_seconds())


def _every(settings: Settings) -> timedelta:
    """How often to knock, by the machine's time."""
    return max(timedelta(seconds=0.05), settings.daemon.every / (settings.clock.speed if settings.clock else 1.0))

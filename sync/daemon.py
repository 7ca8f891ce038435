"""The daemon: the same pass again and again, until it is told to stop.

What is due is decided from state by the pass itself, so the daemon only has to knock now and then, by a watch that no
clock moves: so long after the last pass began, or as soon as it has ended. Each pass is made in a process of its own
(`child.py`), so that between passes there is little more than this loop and what it answers about itself. A signal only
sets the stop flag; the pass hears of it, finishes the batch in hand and saves its outcomes.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import structlog

from sync.cards import reread
from sync.child import LAST_BATCH, Answer, Memory, in_child
from sync.console import log_as_json
from sync.errors import StateError
from sync.health import Health, serving
from sync.loading import load
from sync.settings import Settings, clock_of
from sync.stopping import signals

log = structlog.get_logger("bellwether.daemon")


def daemon(path: Path) -> None:
    """Work until told to stop."""
    log_as_json()
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
        knocking = threading.Thread(target=_knock, args=(passes, _seconds(settings), stop), name="knocks", daemon=True)
        knocking.start()
        stop.wait()
        log.info("stopping after the batch in hand")
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


def _knock(passes: Passes, seconds: float, stop: threading.Event) -> None:
    while not stop.is_set():
        began = time.monotonic()
        passes.knock()
        stop.wait(max(0.0, began + seconds - time.monotonic()))


def _seconds(settings: Settings) -> float:
    """How often to knock, by the machine's time."""
    return max(0.05, settings.daemon.every.total_seconds() / (settings.clock.speed if settings.clock else 1.0))

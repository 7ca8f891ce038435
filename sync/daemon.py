"""The daemon: the same pass again and again, until it is told to stop.

What is due is decided from state by the pass itself, so the scheduler only has to knock: a job store in memory, missed
knocks folded into one, no limit to how late one may be. A signal only sets the stop flag; every wait in the worker ends
on it, the batch in hand is finished and its outcomes are saved.
"""

from __future__ import annotations

import threading

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from sync.errors import Busy, LeaseLost
from sync.health import Health, serving
from sync.run import run_once
from sync.worker import Worker, signals

LAST_BATCH = 60.0  # seconds given to the batch in hand after a signal
log = structlog.get_logger("bellwether.daemon")


def serve(worker: Worker) -> None:
    """Work until SIGTERM or SIGINT. Must be called from the main thread, which waits for the signal."""
    rules = worker.settings.daemon
    health = Health(worker.clock)
    token = rules.token.get_secret_value() if rules.token else None
    busy = threading.Lock()
    with signals(worker.stop), serving(health, rules.host, rules.port, token) as port:
        log.info("daemon started", port=port, settings=worker.settings.path.name)
        scheduler = _scheduler(worker, health, busy)
        scheduler.start()
        worker.stop.wait()
        log.info("stopping after the batch in hand")
        scheduler.shutdown(wait=False)
        if not busy.acquire(timeout=LAST_BATCH):
            log.warning("the batch in hand did not finish in time; the next start reads it back")
        log.info("daemon stopped")


def _scheduler(worker: Worker, health: Health, busy: threading.Lock) -> BackgroundScheduler:
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone="UTC",
    )
    speed = worker.settings.clock.speed if worker.settings.clock else 1.0
    seconds = max(0.05, worker.settings.daemon.every.total_seconds() / speed)
    scheduler.add_job(_pass, IntervalTrigger(seconds=seconds), args=[worker, health, busy])
    scheduler.add_job(_pass, args=[worker, health, busy])  # no trigger: at once
    return scheduler


def _pass(worker: Worker, health: Health, busy: threading.Lock) -> None:
    """One pass; a failure is logged and counted, and the next knock tries again."""
    if worker.stop.is_set() or not busy.acquire(blocking=False):
        return
    health.begin()
    try:
        report = run_once(worker, due_only=True, budget=worker.settings.daemon.pull_budget)
        health.note(report, worker.state.readings(), worker.clock.now())
        log.info("pass", status=report.status, scored=report.scored)
    except (Busy, LeaseLost) as error:
        health.fail()
        log.warning("pass not made", why=str(error))
    except Exception:
        health.fail()
        log.exception("pass failed")
    finally:
        busy.release()

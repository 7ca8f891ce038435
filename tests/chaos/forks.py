"""Real workers that are cheap to kill: forked from a process that has imported everything and opened nothing.

What is forked does what an operator's process does from there on: `bellwether run`, or the process of a daemon's pass
with its settings on standard input. Importing alone would take two seconds each, two hundred times.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from tempfile import TemporaryFile

IMPORTED = (
    "tests.chaos.forks",
    "alembic.command",
    "connectors.hubspot",
    "connectors.salesforce",
    "connectors.mixpanel",
    "connectors.zendesk",
    "duckdb",
    "deltalake",
    "hubspot",
    "rapidfuzz.process",
    "simple_salesforce.api",
    "sync.child",
    "sync.commands",
    "sync.cli",
    "sync.run",
    "sync.worker",
    "vaderSentiment.vaderSentiment",
)
LONGEST = 300  # seconds a worker may take
Job = Callable[[Path], None]


@cache
def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


def worker(job: Job, path: Path) -> ForkServerProcess:
    """A worker of these settings, not yet started. What it says goes to worker.log beside them."""
    return _forks().Process(target=_begun, args=(job, path), daemon=True)


def ended(process: ForkServerProcess) -> int:
    """How it ended, once it has: a code, or the number of a signal below zero."""
    process.join(LONGEST)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise RuntimeError("a worker did not end")
    return process.exitcode


def said(path: Path) -> str:
    """All that workers of these settings said."""
    return (path.parent / "worker.log").read_text(encoding="utf-8", errors="replace")


def _begun(job: Job, path: Path) -> None:
    log = os.open(path.parent / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    job(path)


def run(path: Path) -> None:
    """`bellwether run`."""
    _command(path, "run")


def provision(path: Path) -> None:
    """`bellwether provision --apply`."""
    _command(path, "provision", "--apply")


def _command(path: Path, *words: str) -> None:
    from sync import cli

    sys.argv = ["bellwether", *words, "--config", str(path)]
    cli.main()


def daemon_pass(path: Path) -> None:
    """The process in which a daemon has a pass made."""
    from sync import child
    from sync.loading import load

    with TemporaryFile() as given:
        pickle.dump((load(path), child.Memory()), given)
        given.seek(0)
        os.dup2(given.fileno(), 0)
    sys.stdin = os.fdopen(0)
    lifeline, _held = os.pipe()
    child.main(lifeline)


def stopped_scoring(path: Path) -> None:
    """`bellwether run` that is told to stop as scoring begins."""
    from sync import run as passes

    score = passes._score

    def stopped(this: passes.Pass, open_: ExitStack) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        score(this, open_)

    passes._score = stopped
    run(path)


def forgetful(path: Path) -> None:
    """`bellwether run` that keeps nothing of what it is about to send."""
    from sync.state.deliveries import Deliveries

    save = Deliveries.save
    setattr(Deliveries, "save", lambda this, rows: save(this, [row for row in rows if row.status != "pending"]))  # noqa: B010
    run(path)


def impatient(path: Path) -> None:
    """`bellwether run` that waits a short while only for a state that another process holds."""
    from sync import database

    database.LOCK_SECONDS = 1
    run(path)


def crowded(path: Path, *, room: int) -> None:
    """`bellwether run` with room for files of so many bytes at most."""
    log = path.parent / "worker.log"
    resource.setrlimit(resource.RLIMIT_FSIZE, (most := max(room, log.stat().st_size + 65_536), most))
    run(path)

"""A pass in a process of its own: what the daemon starts, and what that process does.

Whatever a pass needed of memory goes back to the system with its process, and a fault of native code ends a pass, not
the daemon. Settings, secrets among them, go to it through a pipe: they stand on no command line, and every pass of a
daemon has those it began with, but for a scorecard that was edited. A second pipe is its *lifeline*: nothing is ever
written to it, but its end closes when the daemon is told to stop or is no more, and then the pass finishes the batch
in hand.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from sync.report import Report
from sync.rows import Reading
from sync.settings import Settings

if TYPE_CHECKING:
    from sync.worker import Worker

LAST_BATCH = 60  # seconds given to the batch in hand
log = structlog.get_logger("bellwether.daemon")


@dataclass(frozen=True)
class Memory:
    """What one pass of a daemon hands to the next; see `Worker`."""

    stood_on: Mapping[str, object] = field(default_factory=dict)
    resting: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came of a pass. `fault`: why there is no report. `opened`: state and connectors can be used."""

    report: Report | None = None
    readings: Sequence[Reading] = ()
    memory: Memory | None = None
    fault: str = ""
    opened: bool = True


def in_child(settings: Settings, memory: Memory, lifeline: int) -> Answer:
    """Make a pass in a process of its own and wait for it. `lifeline`: the reading end of a pipe."""
    # a session of its own: Ctrl-C reaches the daemon alone, which then closes the lifeline. -P: what lies in the
    # folder the daemon was started in is no module of ours
    command = [sys.executable, "-P", "-c", f"from sync.child import main; main({lifeline})"]
    given = pickle.dumps((settings, memory))
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        command, input=given, stdout=subprocess.PIPE, pass_fds=[lifeline], start_new_session=True, check=False
    )
    if done.returncode or not done.stdout:
        return Answer(fault=f"its process {_how(done.returncode)} before it could answer; the next goes on from there")
    answer: Answer = pickle.loads(done.stdout)  # noqa: S301 - written by our own child
    return answer


def main(lifeline: int) -> None:
    """What the process of a pass does: settings from standard input, the answer to standard output."""
    from sync.console import log_as_json
    from sync.stopping import signals

    answers = os.dup(1)
    os.dup2(2, 1)  # nothing that a library prints may come among the answer
    log_as_json()
    stop = threading.Event()
    threading.Thread(target=_watch, args=(lifeline, stop), daemon=True).start()
    with signals(stop):
        try:
            settings, memory = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the daemon that started us
        except (EOFError, pickle.UnpicklingError):  # which was killed before it had said everything
            return
        answer = _answer(settings, memory, stop)
    with suppress(BrokenPipeError), open(answers, "wb") as pipe:  # a daemon that was killed hears no answer
        pickle.dump(answer, pipe)


def _watch(lifeline: int, stop: threading.Event) -> None:
    os.read(lifeline, 1)  # returns when the other end is closed
    stop.set()
    signal.alarm(LAST_BATCH)  # ends this process whatever it hangs in


def _answer(settings: Settings, memory: Memory, stop: threading.Event) -> Answer:
    from connectors.errors import ConnectorError
    from sync.errors import Busy, LeaseLost, StateError, StateHeld
    from sync.worker import opened

    entered = False
    try:
        with opened(settings, stop=stop) as worker:
            entered = True
            worker.stood_on.update(memory.stood_on)
            worker.resting.update(memory.resting)
            return _made(worker)
    except StateHeld as error:
        return Answer(fault=str(error))
    except (Busy, LeaseLost, StateError, ConnectorError) as error:
        return Answer(fault=str(error), opened=entered)
    except Exception as error:
        log.exception("pass failed")
        return Answer(fault=f"unexpected: {type(error).__name__}; the log has the details", opened=entered)


def _made(worker: Worker) -> Answer:
    from sync.run import run_once

    report = run_once(worker, due_only=True, budget=worker.settings.daemon.pull_budget)
    told = replace(report, moved=[], expired=[], differences=[])  # the daemon counts, it names no account
    return Answer(told, worker.state.readings.all(), Memory(worker.stood_on, worker.resting))


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

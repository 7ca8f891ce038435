"""What happens to a living daemon besides being killed. Each accident lasts until the daemon has said so in its log,
and is then over; nothing is done about what it did.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import update

from sync.errors import Busy, StateError
from sync.run import run_once
from sync.tables import LEASE
from sync.worker import Worker
from tests.soak import machine
from tests.soak.company import START

if TYPE_CHECKING:
    from tests.soak.process import Life

LONGEST = 90.0  # seconds until an accident is over though nothing was said of it
LOOK = 0.05
AHEAD = timedelta(days=10)
CODES = {"salesforce": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "hubspot": "VALIDATION_ERROR"}
QUOTA = r"is used up|calls are left|calls a day this worker has made"


def made_a_pass(life: Life) -> bool:
    """Whether the daemon that runs now has made one, which is waited for."""
    return _said(life, r'"event": "pass"', since=life.began)


def full_disk(life: Life, worker: Worker) -> bool:
    """The disk is full until a pass has said to make room."""
    with machine.filled(life.company.folder / "bellwether-data"):
        return _said(life, r"make room")


def held_state(life: Life, worker: Worker) -> bool:
    """Another process holds the state for longer than a pass waits."""
    with machine.taken(worker.settings.state.get_secret_value()):
        return _said(life, r"another process has held it")


def wrong_clock(life: Life, worker: Worker) -> bool:
    """The daemon's clock is ten days ahead until a pass has said to set it right."""
    life.clock.mistaken(AHEAD)
    told = _said(life, r"clock: it is .* by this clock, and .* by that of .*; set it right")
    life.clock.mistaken(timedelta())
    return told


def bad_rows(life: Life, worker: Worker) -> bool:
    """Every other customer's record is refused for good until that was seen; somebody mends it and has them retried."""
    stores, deliveries = life.company.box.crm, worker.state.deliveries
    for crm, store in stores.items():
        store.fail_rows |= dict.fromkeys(sorted(store.live())[::2], CODES[crm])
    refused = _until(lambda: any(row.code == CODES[crm] for crm in stores for row in deliveries.refused(crm)))
    for store in stores.values():
        store.fail_rows.clear()
    life.retry(worker)
    return refused


def stopped(life: Life, worker: Worker) -> bool:
    """A pass is stopped, as it writes if it does; its lease runs out, another worker takes over, and it goes on."""
    life.wait_for_a_write(LONGEST)
    passes = life.daemon.passes()
    for process in passes:
        os.kill(process, signal.SIGSTOP)
    with suppress(StateError), worker.state.change() as connection:
        connection.execute(update(LEASE).values(expires_at=START))
    took = _until(lambda: _ran(worker))
    mark = life.log_size()
    for process in passes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
    return took and bool(passes) and _said(life, r"another worker has taken over", since=mark)


def _ran(worker: Worker) -> bool:
    """Whether a `bellwether run` could be made."""
    with suppress(Busy, StateError):
        run_once(worker)
        return True
    return False


def used_up(life: Life, crm: str) -> bool:
    """Other apps use up a CRM's calls of the day, until the daemon has said that it waits."""
    store = life.company.box.crm[crm]
    store.calls_left = 0
    try:
        return _said(life, QUOTA)
    finally:
        store.calls_left = store.daily.most


def _said(life: Life, words: str, *, since: int | None = None) -> bool:
    """Whether the daemon says so from now on."""
    mark = life.log_size() if since is None else since
    return _until(lambda: re.search(words, _log(life.log, mark)) is not None)


def _log(path: Path, mark: int) -> str:
    with path.open("rb") as file:
        file.seek(mark)
        return file.read().decode("utf-8", errors="replace")


def _until(done: Callable[[], bool]) -> bool:
    end = time.monotonic() + LONGEST
    while not (over := done()) and time.monotonic() < end:
        time.sleep(LOOK)
    return over


ACCIDENTS: Mapping[str, Callable[[Life, Worker], bool]] = {
    "disk full": full_disk,
    "clock wrong": wrong_clock,
    "rows refused": bad_rows,
    "pass stopped": stopped,
    "state held": held_state,
}

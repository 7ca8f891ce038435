"""Whether this machine's clock is right, and taking back what was dated by one that was ahead.

Vendors' clocks are: each is asked what time it is before anything is dated by ours. Where none answers, only the last
pass can tell, and not which of the two was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import structlog

from connectors.base import Event, Page
from connectors.moments import told_time
from sync.errors import StateError
from sync.history import BEGINNING
from sync.worker import Worker

APART = timedelta(hours=1)  # from a vendor's clock; less moves no more than a moment does that we read late
SLIP = timedelta(minutes=5)  # two clocks that agree may differ by that
AGREED = "clock"  # under which state keeps when ours was held against another last
CHUNK = 10_000
_LEVELS = """select id, account_key, actor, name, value, label from events
where source = ? and occurred_at > ? order by account_key, id"""
log = structlog.get_logger("bellwether.run")


def look(worker: Worker, now: datetime, *, due_only: bool) -> str:
    """Find out whether a pass may date what it does by `now`; in words, what it should tell.

    Raises `StateError` where vendors say another time, and where none does and a daemon's last pass was made later:
    which of the two times is wrong is not known then, and a daemon waits for a person, whose `run` goes by the new one.
    """
    right = agrees(worker, now)
    last = worker.state.runs.last_finished("pass")
    if right:
        take_back(worker, now)
    if right or last is None or last.started_at - now <= SLIP:
        return ""
    then = _short(last.started_at)
    words = f"it is {_short(now)} UTC by this clock, and the last pass was made at {then}; set it right"
    if due_only:
        raise StateError(f"clock: {words}, or have the daemon go by it with one `bellwether run`")
    return words


def agrees(worker: Worker, now: datetime) -> bool:
    """Whether a vendor's clock agrees with ours, or did less than an hour ago; asked of one after another.

    Raises `StateError` where those that answer say another time.
    """
    before = worker.state.meta(AGREED)
    if before and timedelta() <= now - datetime.fromisoformat(before) < APART:
        return True
    wrong = ""
    for right, words in compared(worker):
        if right:
            worker.state.set_meta(AGREED, now.isoformat())
            return True
        wrong = wrong or words
    if wrong:
        raise StateError(f"clock: {wrong}; set it right")
    return False


def compared(worker: Worker) -> Iterator[tuple[bool, str]]:
    """Of each vendor that says what time it is: whether ours is the same, and both in words."""
    for place, address in _addresses(worker):
        asked = worker.clock.now()
        told = told_time(address)
        if told is not None:
            right = asked - APART <= told <= worker.clock.now() + APART
            yield right, f"it is {_short(asked)} UTC by this clock, and {_short(told)} by that of {place}"


def _addresses(worker: Worker) -> Iterator[tuple[str, str]]:
    home = worker.settings.home
    for name, destination in sorted(worker.destinations.items(), key=lambda one: one[0] != home):
        if destination.address:
            yield f"destinations.{name}", destination.address
    for name, source in worker.sources.items():
        if source.address:
            yield f"sources.{name}", source.address


def take_back(worker: Worker, now: datetime) -> None:
    """Where passes are dated later than now, undo what their clock did: they were made by one that was ahead.

    Final days since the last pass that was not are scored anew. What was seen then is dated now, and records that were
    written then are looked at again. The runs come last: as long as they are there, this is done again.
    """
    found = worker.state.runs.dated_later(now + SLIP)
    if found is None:
        return
    zone, state = worker.settings.timezone, worker.state
    since = found.before.astimezone(zone).date() if found.before else BEGINNING
    log.warning("the clock was ahead", until=_short(found.first), dated_anew_since=since.isoformat())
    for history in worker.history.kept():
        history.forget(since)
    _redate_levels(worker, now)
    state.redate(now, zone)


def _redate_levels(worker: Worker, now: datetime) -> None:
    """Attributes that were first seen by that clock; a fact keeps its id."""
    home = worker.settings.home
    with worker.log.connect(spill=worker.spill) as connection:
        rows = connection.execute(_LEVELS, [home, now.astimezone(UTC).replace(tzinfo=None)])
        while some := rows.fetchmany(CHUNK):
            events = [Event._make((home, *row[:4], now, *row[4:])) for row in some]
            worker.log.append(home, Page(events=events))


def _short(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"

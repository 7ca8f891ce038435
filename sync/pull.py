"""Pulling one source: page by page into the log, and only then its cursor into state.

A crash between the two costs one page read again, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from connectors.base import Page, Source
from sync.erased import erased_of
from sync.progress import Progress
from sync.rows import Reading
from sync.scores import midnight
from sync.worker import Worker

FEW = 5  # reasons kept of rejected rows; the count is always whole


@dataclass
class Pulled:
    """What a pull brought: facts `written` and `retracted`, `unchanged` ones, and rows that could not be read."""

    pages: int = 0
    written: int = 0
    retracted: int = 0
    unchanged: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    complete: bool = False


def pull(
    worker: Worker,
    source: Source,
    result: Pulled,
    *,
    now: datetime,
    deadline: datetime | None,
    beat: Callable[[], None],
    progress: Progress,
) -> None:
    """Read what is new in one source until it is done, `deadline` has passed or the worker is stopped.

    A pull that got no further would begin at the same place again, however often: it reads on until the cursor moves.
    """
    reading = worker.state.readings.of(source.name)
    start = _start(worker, source, now)
    # every source's `pull` is a generator: closed here, it puts its own things away when we stop half-way
    cursor = reading.cursor if reading else None
    with closing(cast("Generator[Page]", source.pull(cursor, start=start, now=now))) as pages:
        for page in pages:
            reading = _keep(worker, source, page, reading, start, now, result)
            progress.advance(source.name, note=f"{result.written + result.unchanged:,} facts")
            beat()
            late = deadline is not None and worker.clock.now() >= deadline
            if worker.stop.is_set() or (late and reading and reading.cursor != cursor):
                return
    result.complete = True


def _start(worker: Worker, source: Source, now: datetime) -> datetime:
    zone = worker.settings.timezone
    day = (now - worker.settings.sources[source.name].backfill).astimezone(zone).date()
    return midnight(day, zone)


def _keep(
    worker: Worker,
    source: Source,
    page: Page,
    reading: Reading | None,
    start: datetime,
    now: datetime,
    result: Pulled,
) -> Reading | None:
    erased = erased_of(worker)
    if erased:
        page = erased.page(source.name, page)
    appended = worker.log.append(source.name, page, erased=erased.keys_of(source.name))
    if page.keys and worker.state.keys.save(page.keys, now=now):
        worker.stood_on.clear()  # links may be others now
    result.pages += 1
    result.written += appended.written
    result.retracted += appended.retracted
    result.unchanged += appended.unchanged
    rejected = [*page.rejected, *appended.rejected]
    result.rejected += len(page.rejected) + page.counts.get("more_refused", 0) + appended.refused
    result.reasons += [f"{row.place}: {row.reason}" for row in rejected[: FEW - len(result.reasons)]]
    for what, count in page.counts.items():
        result.counts[what] = result.counts.get(what, 0) + count
    worker.state.readings.save(
        source.name,
        cursor=page.cursor if page.cursor is not None else reading.cursor if reading else None,
        since=page.since or (reading.since if reading else None) or start,
        through=_later(page.through, reading.through if reading else None),
        names=frozenset(reading.names if reading else ()) | appended.names,
    )
    return worker.state.readings.of(source.name)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """What has been read stays read, even where a source looks again at days before."""
    return max(one, other) if one and other else one or other

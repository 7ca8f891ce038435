"""A Mixpanel export to daily facts, through the connector, beside a loop over its lines."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import duckdb
import httpx
import orjson
from arro3.core import RecordBatchReader

from benchmarks import mixpanel_data as data
from benchmarks.measure import Row, Work, by_cpu, taken
from connectors.base import ArrowStream, Page, Tools
from connectors.clock import SteppedClock
from connectors.mixpanel import Mixpanel, Settings

NAMES = {
    "login": "Logged In",
    "feature.report": "Report Exported",
    "feature.dashboard": "Dashboard Viewed",
    "feature.api": "API Called",
    "feature.comment": "Comment Added",
    "page": "Page Seen",
}
CHUNK = 1 << 16
START = datetime(data.FIRST.year, data.FIRST.month, data.FIRST.day, tzinfo=UTC)
NOW = START + timedelta(days=data.DAYS, hours=1)
LOG_RATIO, LOG_PEAK = 1.0, 300


def rows(folder: Path, *, small: bool) -> list[Row]:
    events = 40_000 if small else 2_000_000
    size = taken(prepare, folder=str(folder), events=events).found["bytes"]
    plain = taken(by_loop, folder=str(folder))
    found = []
    for words, days, ratio, peak in (("one export", data.DAYS, 0.6, 300), ("a file a day", 1, 0.5, 200)):
        ours = taken(by_connector, folder=str(folder), days=days)
        if ours.found != plain.found:
            raise AssertionError(f"Mixpanel, {words}: {ours.found} is not what the loop found: {plain.found}")
        work = f"Mixpanel, {events:,} events, {size / 1e9:.2f} GB raw, {words}"
        found.append(by_cpu(work, ours, plain, ratio=ratio, peak=peak))
    kept = taken(by_log, folder=str(folder))
    if kept.found["facts"] != plain.found["facts"]:
        raise AssertionError(f"Mixpanel, in the log: {kept.found} is not what the loop found: {plain.found}")
    facts, pages = kept.found["facts"], kept.found["pages"]
    work = f"Mixpanel, one export to {facts:,} facts in the log, {pages} pages"
    return [*found, by_cpu(work, kept, plain, ratio=LOG_RATIO, peak=LOG_PEAK)]


def prepare(folder: str, events: int) -> Work:
    return lambda: {"bytes": data.make(Path(folder), events)}


def by_loop(folder: str) -> Work:
    """One dictionary, one set of what was seen: what anybody would write first."""

    def work() -> dict[str, Any]:
        ours = {theirs: name for name, theirs in NAMES.items()}
        seen: set[tuple[Any, ...]] = set()
        facts: dict[tuple[Any, ...], int] = {}
        for line in _lines(Path(folder) / "all.gz"):
            event = orjson.loads(line)
            told = event["properties"]
            account, person = told["company_id"], told["distinct_id"]
            key = (event["event"], told["time"], person, told["$insert_id"], account)
            if key in seen:
                continue
            seen.add(key)
            fact = (account, person, told["time"] // 86_400, ours[event["event"]])
            facts[fact] = facts.get(fact, 0) + 1
        return {"facts": len(facts), "events": sum(facts.values())}

    return work


def by_connector(folder: str, days: int) -> Work:
    """As a pass pulls it, page by page; only the network is left out."""
    pages = _pages(Path(folder), days)

    def work() -> dict[str, Any]:
        facts, events = 0, 0.0
        with duckdb.connect(config={"threads": 1}) as connection:
            for page in pages:
                # as the log does: a reader runs the query once, where a look at its shape would run it too
                connection.register("told", RecordBatchReader.from_arrow(cast("ArrowStream", page.events)))
                [(count, value)] = connection.execute("select count(id), sum(value) from told").fetchall()
                facts, events = facts + count, events + (value or 0)
        return {"facts": facts, "events": int(events)}

    return work


def by_log(folder: str) -> Work:
    """As a pass pulls it into an empty log."""
    from sync.log import Log  # it brings libraries whose memory is not the fold's

    place = Path(folder)
    pages = _pages(place, data.DAYS)
    log = Log(place / "log", timezone=ZoneInfo("UTC"), clock=SteppedClock(NOW))

    def work() -> dict[str, Any]:
        done = [log.append("mixpanel", page) for page in pages]
        return {"facts": sum(one.written for one in done), "pages": len(done)}

    return work


class _File(httpx.SyncByteStream):
    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece


def _pages(place: Path, days: int) -> Iterator[Page]:
    tools = Tools(SteppedClock(NOW), threading.Event(), lambda user: user, ZoneInfo("UTC"), place / "spool", place)
    settings = Settings.model_validate(
        {
            "service_account": "bench",
            "secret": "bench",
            "project_id": 1,
            "base_url": "http://127.0.0.1:1",
            "account_key": {"property": "company_id"},
            "events": NAMES,
            "days_per_export": days,
        }
    )
    source = Mixpanel("mixpanel", settings, tools, transport=httpx.MockTransport(lambda asked: _export(place, asked)))
    return source.pull(None, start=START, now=NOW)


def _export(place: Path, asked: httpx.Request) -> httpx.Response:
    first, last = asked.url.params["from_date"], asked.url.params["to_date"]
    name = first if first == last else "all"
    return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=_File(place / f"{name}.gz"))


def _lines(path: Path) -> Iterator[bytes]:
    unpacked, rest = zlib.decompressobj(31), b""
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            *lines, rest = (rest + unpacked.decompress(piece)).split(b"\n")
            yield from lines

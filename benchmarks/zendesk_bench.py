"""Zendesk's ticket export to facts, through the connector, beside a loop over the same pages."""

from __future__ import annotations

import http.client
import json
import threading
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import orjson

from benchmarks import zendesk_server as server
from benchmarks.measure import Row, Taken, Work, by_cpu, served, taken
from connectors.base import Event, Tools
from connectors.clock import SteppedClock
from connectors.zendesk import Settings, Zendesk

RATIO, GROWTH, AGAIN = 1.3, 1.2, 3


def rows(folder: Path, *, small: bool) -> list[Row]:
    pages = 10 if small else 200
    tickets = f"{pages * server.PAGE:,} tickets"
    with served(server.serve, pages=pages, folder=str(folder)) as url:
        plain = taken(by_loop, url=url)
        ours = taken(by_connector, url=url, folder=str(folder), sentiment=False)
        again = taken(by_connector, url=url, folder=str(folder), sentiment=False, again=True)
        judged = taken(by_connector, url=url, folder=str(folder), sentiment=True)
    with served(server.serve, pages=pages // 10, folder=str(folder)) as url:
        few = taken(by_connector, url=url, folder=str(folder), sentiment=False)
    return [
        by_cpu(f"Zendesk, {tickets}, without sentiment", ours, plain, ratio=RATIO),
        by_cpu(f"Zendesk, {tickets}, with the sentiment of each", judged, plain, ratio=RATIO),
        _requests("Zendesk, requests of the ticket stream", ours, pages),
        _requests(f"Zendesk, a rerun with {server.CHANGED * server.PAGE:,} changed", again, AGAIN),
        _memory(f"Zendesk, memory for ten times the pages ({pages})", ours, few),
    ]


def _requests(work: str, one: Taken, bar: int) -> Row:
    calls = one.found["calls"]
    count = calls["tickets"]
    rest = ", ".join(f"{n} {label}" for label, n in sorted(calls.items()) if label != "tickets")
    return Row(work, f"{count} requests", f"besides: {rest}", "-", f"{bar}", count <= bar)


def _memory(work: str, many: Taken, few: Taken) -> Row:
    found = many.peak / few.peak
    return Row(work, f"{many.peak:.0f} MB", f"{few.peak:.0f} MB", f"{found:.2f}", f"{GROWTH}", found <= GROWTH)


def by_loop(url: str) -> Work:
    def work() -> dict[str, Any]:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        kept: dict[int, tuple[Any, ...]] = {}
        cursor, ended = "0", False
        while not ended:
            path = f"/api/v2/incremental/tickets/cursor.json?cursor={cursor}&include=metric_sets,users"
            connection.request("GET", path)
            body = orjson.loads(connection.getresponse().read())
            for row in body["tickets"]:
                kept[row["id"]] = (row["organization_id"], row["created_at"], row["status"], row["priority"])
            cursor, ended = body["after_cursor"], body["end_of_stream"]
        return {"tickets": len(kept)}

    return work


def by_connector(url: str, folder: str, *, sentiment: bool, again: bool = False) -> Work:
    """As a pass pulls it; `again` begins at the cursor that the last one left."""
    place, left = Path(folder), Path(folder) / "cursor.json"
    clock = SteppedClock(server.NOW)
    tools = Tools(clock, threading.Event(), lambda user: user, ZoneInfo("UTC"), place, place)
    given: dict[str, Any] = {"base_url": url, "client_id": "bench", "client_secret": "bench", "sentiment": sentiment}
    given["exports_per_minute"] = 1_000_000  # no waits: they are not what is looked at
    source = Zendesk("zendesk", Settings.model_validate(given), tools)
    cursor = json.loads(left.read_text(encoding="utf-8")) if again else None

    def work() -> dict[str, Any]:
        events, last = 0, None
        for page in source.pull(cursor, start=server.START, now=server.NOW):
            events, last = events + len(cast("list[Event]", page.events)), page.cursor
        left.write_text(json.dumps(last), encoding="utf-8")
        return {"events": events, "calls": dict(source.calls)}

    return work

"""The parts of Salesforce and HubSpot that a delivery calls, on loopback, over records held in memory.

HubSpot's takes its time for every call and holds its limit; a bulk job of Salesforce's takes simulated time.
"""

from __future__ import annotations

import csv
import io
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from connectors.clock import Clock
from connectors.salesforce.settings import DEFAULT_NAMES

LATENCY = 0.150
CALLS, SECONDS = 190, 10.0  # HubSpot's limit, and the headers that tell it
LIMITS = {"Max": CALLS, "Interval-Milliseconds": round(SECONDS * 1000)}
QUEUED, CHUNK, CHUNK_TIME = timedelta(seconds=2), 10_000, timedelta(seconds=8)  # how long a bulk job takes
DATA = "/services/data/v66.0/"
JOB = f"{DATA}jobs/ingest"

Answer = tuple[int, Any]


class HubSpot:
    """Companies, and what was seen of the writing calls: how many, on how many connections, from when to when."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, str]] = {}
        self._recent: deque[float] = deque(maxlen=CALLS)
        self._lock = threading.Lock()
        self._lines: set[object] = set()
        self._seen: list[tuple[float, float]] = []
        self._refused = 0

    def answer(self, method: str, path: str, body: bytes, line: object) -> Answer:
        if path == "/seen":
            return 200, self._summary()
        asked = orjson.loads(body)["inputs"]
        began = time.monotonic()
        if self._too_many(began):
            return 429, {"status": "error", "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
        time.sleep(LATENCY)
        if path.endswith("/read"):
            return 200, {"results": [{"id": one["id"], "properties": self._held.get(one["id"], {})} for one in asked]}
        for one in asked:
            self._held.setdefault(one["id"], {}).update(one["properties"])
        with self._lock:
            self._lines.add(line)
            self._seen.append((began, time.monotonic()))
        return 200, {"status": "COMPLETE", "results": asked}

    def _too_many(self, now: float) -> bool:
        with self._lock:
            full = len(self._recent) == CALLS and now - self._recent[0] < SECONDS
            self._refused += full
            if not full:
                self._recent.append(now)
            return full

    def _summary(self) -> dict[str, Any]:
        """What was seen since this was asked last."""
        seen, self._seen = self._seen, []
        ends = sorted([(began, 1) for began, _ in seen] + [(ended, -1) for _, ended in seen])
        flying = most = 0
        for _, step in ends:
            flying += step
            most = max(most, flying)
        seconds = max(ended for _, ended in seen) - min(began for began, _ in seen) if seen else 0.0
        summary = {"seconds": seconds, "at_once": most, "lines": len(self._lines), "refused": self._refused}
        self._lines, self._refused = set(), 0
        return summary


class Salesforce:
    """An org whose bulk jobs take time by the clock it is given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, dict[str, Any]] = {}
        self._jobs: dict[str, dict[str, Any]] = {}
        self.polls = 0
        self.url = ""

    def answer(self, method: str, path: str, body: bytes, line: object) -> Answer:
        if path == "/services/oauth2/token":
            return 200, {"access_token": "bench", "instance_url": self.url}
        if path.startswith(JOB):
            return self._bulk(method, path.removeprefix(JOB).strip("/"), body)
        if path == f"{DATA}sobjects/Account/describe":
            return 200, {"fields": [{"name": name, "type": "any"} for name in ("Id", *DEFAULT_NAMES.values())]}
        asked = orjson.loads(body)
        if method == "POST":  # a read
            return 200, [{"Id": id, **self._held.get(id, {})} for id in asked["ids"]]
        for record in asked["records"]:
            self._update(record["id"], {key: value for key, value in record.items() if key not in ("id", "attributes")})
        return 200, [{"id": record["id"], "success": True, "errors": []} for record in asked["records"]]

    def _bulk(self, method: str, path: str, body: bytes) -> Answer:
        if not path:
            id = f"750{len(self._jobs):012d}AAA"
            self._jobs[id] = {"state": "Open", "rows": []}
            return 200, {"id": id, "state": "Open"}
        id, _, part = path.partition("/")
        job = self._jobs[id]
        if part == "batches":
            job["rows"] = list(csv.DictReader(io.StringIO(body.decode())))
            return 201, None
        if part:
            return 200, self._results(job) if part == "successfulResults" else "sf__Id,sf__Error\n"
        if method == "PATCH":
            chunks = -(-len(job["rows"]) // CHUNK)
            job |= {"state": "InProgress", "ends": self._clock.now() + QUEUED + chunks * CHUNK_TIME}
            return 200, {"id": id, "state": "UploadComplete"}
        self.polls += 1
        return 200, {"id": id, "state": self._state(job)}

    def _state(self, job: dict[str, Any]) -> str:
        if job["state"] == "InProgress" and self._clock.now() >= job["ends"]:
            job["state"] = "JobComplete"
            for row in job["rows"]:
                self._update(row["Id"], {key: value for key, value in row.items() if key != "Id"})
        return str(job["state"])

    def _results(self, job: dict[str, Any]) -> str:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(["sf__Id", "sf__Created", *job["rows"][0]])
        writer.writerows([row["Id"], "false", *row.values()] for row in job["rows"])
        return text.getvalue()

    def _update(self, id: str, values: dict[str, Any]) -> None:
        self._held.setdefault(id, {}).update(values)


def serve_hubspot() -> None:
    with started(HubSpot().answer) as url:
        print(url, flush=True)
        threading.Event().wait()


@contextmanager
def started(answer: Callable[[str, str, bytes, object], Answer]) -> Iterator[str]:
    """The address of a server that answers so, as long as it is needed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def any_method(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = answer(self.command, self.path.partition("?")[0], body, self.client_address)
            data = said.encode() if isinstance(said, str) else orjson.dumps(said)
            self.send_response_only(status)  # not dated: the benchmark's time is another
            self.send_header("Content-Type", "text/csv" if isinstance(said, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in LIMITS.items():
                self.send_header(f"X-HubSpot-RateLimit-{name}", str(value))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = any_method

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def now() -> datetime:
    """When the deliveries of the benchmark begin."""
    return datetime.fromisoformat("2026-10-31T06:00:00+00:00")

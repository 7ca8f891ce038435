"""What the daemon answers about itself: `/healthz`, `/readyz` and `/metrics` (Prometheus).

No account name or id appears here: only counts, ages and the names of sources and destinations. Beyond loopback a
token is needed (the settings see to that).
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sync.report import Report
from sync.rows import Reading


class Health:
    """The daemon's figures. `ready` once a pass has been made; `alive` is told by whoever watches the scheduler."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ready = False
        self.alive = True
        self._passes = self._counter("bellwether_passes_total", "Passes by how they ended", "status")
        self._last = self._gauge("bellwether_last_pass_timestamp_seconds", "When the last pass ended")
        self._accounts = self._gauge("bellwether_accounts", "Accounts by tier", "tier")
        self._rows = self._counter("bellwether_rows_total", "Rows by destination and outcome", "destination", "outcome")
        self._calls = self._counter("bellwether_calls_total", "API calls to destinations", "destination", "purpose")
        self._facts = self._counter("bellwether_facts_written_total", "New or changed facts", "source")
        self._rejected = self._counter("bellwether_rows_rejected_total", "Source rows not readable", "source")
        self._through = self._gauge("bellwether_read_through_timestamp_seconds", "Source is read up to here", "source")
        self._problems = self._gauge("bellwether_problems", "Steps that failed in the last pass")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def note(self, report: Report, readings: list[Reading], now: datetime) -> None:
        """Take in what a pass did."""
        self.ready = True
        self._passes.labels(report.status).inc()
        self._last.set(now.timestamp())
        self._problems.set(len(report.problems))
        for tier in ("green", "yellow", "red", "unscored") if report.scored else ():
            self._accounts.labels(tier).set(report.scored.get(tier, 0))
        for source, pulled in report.pulled.items():
            self._facts.labels(source).inc(pulled["written"])
            self._rejected.labels(source).inc(pulled["rejected"])
        for name, part in report.delivered.items():
            for outcome in ("written", "adopted", "unchanged"):
                self._rows.labels(name, outcome).inc(part[outcome])
            self._rows.labels(name, "failed").inc(part["failed"])
        for name, calls in report.calls.items():
            for purpose, count in calls.items():
                self._calls.labels(name, purpose).inc(count)
        for reading in readings:
            if reading.through:
                self._through.labels(reading.source).set(reading.through.timestamp())


def app(health: Health, token: str | None) -> Starlette:
    """The three answers as an ASGI application."""

    def allowed(request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return token is None or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())

    def answer(request: Request, good: bool, text: str) -> Response:
        if not allowed(request):
            return PlainTextResponse("unauthorized\n", 401)
        return PlainTextResponse(f"{text if good else 'not ' + text}\n", 200 if good else 503)

    async def healthz(request: Request) -> Response:
        return answer(request, health.alive, "alive")

    async def readyz(request: Request) -> Response:
        return answer(request, health.alive and health.ready, "ready")

    async def metrics(request: Request) -> Response:
        if not allowed(request):
            return PlainTextResponse("unauthorized\n", 401)
        return Response(generate_latest(health.registry), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


@contextmanager
def serving(health: Health, host: str, port: int, token: str | None) -> Iterator[int]:
    """Answer on a thread of its own until the block ends; yields the port (a free one when `port` is 0)."""
    config = uvicorn.Config(app(health, token), host=host, port=port, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, name="health", daemon=True)
    thread.start()
    try:
        yield socket.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        socket.close()

"""What the daemon answers about itself: `/healthz`, `/readyz` and `/metrics` (Prometheus).

No account name or id appears here: only counts, ages and the names of sources and destinations. Beyond loopback a
token is needed (the settings see to that).
"""

from __future__ import annotations

import hmac
import socket as socketlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from connectors.clock import Clock
from sync.errors import UsageError
from sync.report import Report
from sync.rows import Reading

FOR_EVER = timedelta(hours=6)  # a pass that has not ended by then never will


class Health:
    """The daemon's figures. `ready` when the last pass was made to its end; `alive` until one takes for ever.

    `refused`: why a scorecard is not the one in use, a sentence a file.
    """

    def __init__(self, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self.ready = False
        self.refused: Sequence[str] = ()
        self._clock = clock
        self._begun: datetime | None = None
        self._passes = self._counter("bellwether_passes_total", "Passes by how they ended", "status")
        self._last = self._gauge("bellwether_last_pass_timestamp_seconds", "When the last pass ended")
        self._accounts = self._gauge("bellwether_accounts", "Accounts by tier", "tier")
        self._rows = self._counter("bellwether_rows_total", "Rows by destination and outcome", "destination", "outcome")
        self._calls = self._counter("bellwether_calls_total", "API calls to destinations", "destination", "purpose")
        self._day = self._gauge("bellwether_day_calls", "Calls of the vendor's day", "destination", "what")
        self._rows_left = self._gauge("bellwether_rows_left", "Records left to later passes", "destination")
        self._facts = self._counter("bellwether_facts_written_total", "New or changed facts", "source")
        self._rejected = self._counter("bellwether_rows_rejected_total", "Source rows not readable", "source")
        self._through = self._gauge("bellwether_read_through_timestamp_seconds", "Source is read up to here", "source")
        self._problems = self._gauge("bellwether_problems", "Steps that failed in the last pass")

        self._refused = self._gauge("bellwether_scorecards_refused", "Scorecard files that cannot be used as they are")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    @property
    def alive(self) -> bool:
        begun = self._begun  # read once: the pass may end on its own thread meanwhile
        return begun is None or self._clock.now() - begun < FOR_EVER

    def begin(self) -> None:
        self._begun = self._clock.now()

    def refuse(self, why: Sequence[str]) -> None:
        """Scorecards that cannot be used as they are; none when all can."""
        self.refused = why
        self._refused.set(len(why))

    def fail(self) -> None:
        """A pass could not be made to its end."""
        self.ready, self._begun = False, None
        self._passes.labels("failed").inc()

    def note(self, report: Report, readings: Sequence[Reading], now: datetime) -> None:
        """Take in what a pass did."""
        self.ready, self._begun = True, None
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
            self._rows_left.labels(name).set(part["left"])
        for name, part in report.budget.items():
            for what in ("limit", "left", "used", "share") if "limit" in part else ():
                self._day.labels(name, what).set(part[what])
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
        good = health.alive and health.ready
        return answer(request, good, "\n".join(["ready", *(f"scorecard refused: {why}" for why in health.refused)]))

    async def metrics(request: Request) -> Response:
        if not allowed(request):
            return PlainTextResponse("unauthorized\n", 401)
        return Response(generate_latest(health.registry), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


@contextmanager
def serving(health: Health, host: str, port: int, token: str | None) -> Iterator[int]:
    """Answer on a thread of its own until the block ends; yields the port (a free one when `port` is 0)."""
    socket = _listen(host, port)
    config = uvicorn.Config(app(health, token), log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, name="health", daemon=True)
    thread.start()
    try:
        yield socket.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        socket.close()


def _listen(host: str, port: int) -> socketlib.socket:
    try:
        family = socketlib.getaddrinfo(host, port, type=socketlib.SOCK_STREAM)[0][0]
        return socketlib.create_server((host, port), family=family)
    except OSError as error:
        reason = (error.strerror or "it cannot be used").split(" (while")[0]
        raise UsageError(f"daemon.port: {host}:{port} cannot be listened on ({reason}); choose another port") from None

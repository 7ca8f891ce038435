"""What goes wrong at the sandbox's door, how often, and what each vendor says then.

A profile is a handful of shares and a seed: the same profile makes the same call fail in the same way. `Door`
stands before a vendor's application: it lets only loopback host names in (a web page that rebinds its name to
this machine does not get past), counts the calls, and now and then answers, delays or cuts in the vendor's
place.

Every answer is dated by the simulated clock. Who asks for heads only wants to know that: such a call is not counted.

Labels of calls: a handler may set `scope["label"]`; otherwise the label is the handler's own name. A call
that the door spoiled is also counted as `fault.<kind>`, and a handler finds `scope["unanswered"]` where its answer
will not arrive whole.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC
from email.utils import format_datetime
from random import Random
from typing import Literal
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.clock import Clock
from connectors.sandbox.refusals import refusal

Fault = Literal["refused", "broken", "closed", "reset", "silent", "cut", "lost", "expired"]
Struck = Literal["locked", "partial", "aborted", "terminated"]

SESSION = 24  # calls that a session is good for at least, so that a new one is never refused at once
GRACE = 3  # at most two faults in a row at one vendor, so that a patient client always gets through
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Profile:
    """Shares of calls, or rows, that go wrong. `seed` decides which.

    Calls: `refused` 429, `broken` 500, `closed` 503 with Retry-After, `reset` before an answer, `silent` no
    answer (the connection is dropped after `silence` seconds of the machine's time, unless the client has given
    up by then), `cut` in the middle of the body, `lost` carried out without an answer, `expired` every session
    ends before the call (a share of every 24th). Rows: `locked` (a row lock), `partial` (a HubSpot row refused in
    passing inside a 207). Bulk jobs: `aborted` (half-way). Exports: `terminated` (a Mixpanel export that ends
    early inside a 200). `struck` counts the rows, jobs and exports that met with a fault.
    """

    name: str = "none"
    seed: int = 7
    refused: float = 0.0
    broken: float = 0.0
    closed: float = 0.0
    reset: float = 0.0
    silent: float = 0.0
    cut: float = 0.0
    lost: float = 0.0
    expired: float = 0.0
    locked: float = 0.0
    partial: float = 0.0
    aborted: float = 0.0
    terminated: float = 0.0
    silence: float = 0.2
    struck: Counter[str] = field(default_factory=Counter, compare=False, repr=False)

    def happens(self, share: float, *what: object) -> bool:
        """Whether something of this share happens to `what` (a row id and how often it was tried, say)."""
        return share > 0 and self._draw(*what) < share

    def strikes(self, kind: Struck, *what: object) -> bool:
        """Whether a row, a job or an export meets with this kind of fault."""
        struck = self.happens(getattr(self, kind), *what)
        self.struck[kind] += struck
        return struck

    def fault(self, vendor: str, number: int) -> Fault | None:
        """What happens to the vendor's `number`th call."""
        if number % GRACE == 0:
            return None
        if number > SESSION and number % SESSION == 1 and self.happens(self.expired, "session", vendor, number):
            return "expired"
        drawn = self._draw(vendor, number)
        for kind, share in self._shares():
            if drawn < share:
                return kind
            drawn -= share
        return None

    def _shares(self) -> tuple[tuple[Fault, float], ...]:
        return (
            ("refused", self.refused),
            ("broken", self.broken),
            ("closed", self.closed),
            ("reset", self.reset),
            ("silent", self.silent),
            ("cut", self.cut),
            ("lost", self.lost),
        )

    def _draw(self, *what: object) -> float:
        return Random(repr((self.seed, *what))).random()  # noqa: S311  a simulation, not a secret


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("none"),
        Profile(
            "mild",
            refused=0.02,
            broken=0.01,
            closed=0.01,
            reset=0.01,
            locked=0.01,
            terminated=0.05,
        ),
        Profile(
            "storm",
            refused=0.06,
            broken=0.05,
            closed=0.04,
            reset=0.04,
            silent=0.02,
            cut=0.03,
            lost=0.03,
            expired=0.5,
            locked=0.05,
            partial=0.02,
            aborted=0.3,
            terminated=0.2,
        ),
    )
}


def profile(name: str, *, seed: int = 7, silence: float = 0.2) -> Profile:
    """The named profile under this seed; ValueError names the ones there are."""
    if name not in PROFILES:
        raise ValueError(f"no fault profile {name!r}; there are {', '.join(PROFILES)}")
    return replace(PROFILES[name], seed=seed, silence=silence, struck=Counter())


class Door:
    """An ASGI application in front of a vendor's: host check, call counts, faults.

    `drop` aborts the connection of a client address (host, port); only the server can. `expire` ends every session,
    where the vendor has some.
    """

    def __init__(
        self,
        app: ASGIApp,
        vendor: str,
        *,
        clock: Clock,
        profile: Profile,
        drop: Callable[[tuple[str, int]], None],
        expire: Callable[[], None] | None = None,
    ) -> None:
        self._app, self._vendor, self._profile, self._drop, self._expire = app, vendor, profile, drop, expire
        self._clock = clock
        self._number = 0
        self.calls: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif not _is_loopback(_host(scope)):
            await PlainTextResponse("Misdirected Request\n", status_code=421)(scope, receive, send)
        elif scope["method"] == "HEAD":
            await Response(status_code=404)(scope, receive, self._dated(send))
        else:
            self._number += 1
            await self._answer(self._profile.fault(self._vendor, self._number), scope, receive, self._dated(send))

    def _dated(self, send: Send) -> Send:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                now = format_datetime(self._clock.now().astimezone(UTC), usegmt=True)
                message["headers"] = [*message["headers"], (b"date", now.encode())]
            await send(message)

        return dated

    async def _answer(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        if fault is None or (fault == "expired" and self._expire is None):
            await self._pass(scope, receive, send)
            return
        self.calls[f"fault.{fault}"] += 1
        scope["unanswered"] = fault in ("cut", "lost")
        if fault == "expired" and self._expire is not None:
            self._expire()
            await self._pass(scope, receive, send)
        elif fault in ("refused", "broken", "closed"):
            await _spoken(self._vendor, fault)(scope, receive, send)
        elif fault == "cut":
            await self._pass(scope, receive, _Cut(send, lambda: self._drop(scope["client"])))
        else:
            await self._unanswered(fault, scope, receive)

    async def _unanswered(self, fault: Fault, scope: Scope, receive: Receive) -> None:
        if fault == "lost":
            await self._pass(scope, receive, _discard)
        elif fault == "silent":
            await self._keep_silent(receive)
        self._drop(scope["client"])
        await asyncio.sleep(0)  # the loop tells the server that the connection is gone before we return

    async def _keep_silent(self, receive: Receive) -> None:
        """Until the client hangs up, or for as long as the profile says."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._profile.silence):
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.calls["fault.given_up"] += 1

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":  # routed by now, and not yet seen by the caller
                self.calls[_label(scope)] += 1
            await send(message)

        await self._app(scope, receive, counted)


class _Cut:
    """Sends the head and half of the first piece of the body, then drops the connection."""

    def __init__(self, send: Send, drop: Callable[[], None]) -> None:
        self._send, self._drop, self._done = send, drop, False

    async def __call__(self, message: Message) -> None:
        if self._done:
            return
        body = message.get("body", b"")
        if not body:
            await self._send(message)
            return
        self._done = True
        await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await asyncio.sleep(0)
        self._drop()


async def _discard(message: Message) -> None:
    """Where an answer goes that never arrives."""


def _spoken(vendor: str, kind: str) -> Response:
    said = refusal(vendor, kind)
    return Response(said.body, said.status, dict(said.headers), media_type=said.media_type)


def _host(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")


def _is_loopback(host: str) -> bool:
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK
    except ValueError:
        return False


def _label(scope: Scope) -> str:
    label = scope.get("label")
    if label is None:
        endpoint = scope.get("endpoint")
        label = getattr(endpoint, "__name__", "unknown")
    return str(label)

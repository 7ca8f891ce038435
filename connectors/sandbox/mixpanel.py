"""A stand-in for Mixpanel's raw event export, on the contract's side.

`GET /api/2.0/export` streams NDJSON for whole UTC days, first and last included. As at the vendor: a refused
sign-in is a 400 in plain text; nothing is sorted or freed of duplicates; late events stand under the day they
happened on; an export that breaks off does so inside a 200; 429 names no time to wait. Limits: 60 an hour, 3
a second.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import chain

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from connectors.clock import Clock
from connectors.sandbox.credentials import MIXPANEL_ACCOUNT, MIXPANEL_PROJECT, basic
from connectors.sandbox.faults import Profile
from connectors.sandbox.limits import Limit
from connectors.sandbox.usage import lines_of
from connectors.sandbox.world import World

ZIPPED_FROM = 1400  # bytes; a smaller answer is sent as it is
PER_HOUR, PER_SECOND = 60, 3
MOST_LINES = 100_000
KEPT_DAYS = 8  # days kept in memory: somebody who re-reads the last few does not pay for them again
KNOWN = frozenset({"project_id", "from_date", "to_date", "event", "limit"})


class AskedWrongly(Exception):
    """A request the vendor would answer with 400 and these words."""


@dataclass(frozen=True)
class Wish:
    """What was asked for: days counted from the world's start, event names (None: all), lines at most."""

    first: int
    last: int
    names: frozenset[str] | None
    limit: int | None


def app(world: World, clock: Clock, faults: Profile, *, told: Clock) -> Starlette:
    """The vendor's application over this world. `told`: up to when it has heard of events."""
    return Starlette(routes=[Route("/api/2.0/export", _Exports(world, clock, faults, told).export)])


class _Exports:
    def __init__(self, world: World, clock: Clock, faults: Profile, told: Clock) -> None:
        self._world, self._clock, self._faults, self._told = world, clock, faults, told
        self._hourly, self._secondly = Limit(PER_HOUR, 3600), Limit(PER_SECOND, 1)
        self._lines = lru_cache(maxsize=KEPT_DAYS)(lambda day: lines_of(world, day))
        self._number = 0

    async def export(self, request: Request) -> Response:
        now = self._clock.now()
        if basic(request) != MIXPANEL_ACCOUNT or request.query_params.get("project_id") != MIXPANEL_PROJECT:
            return PlainTextResponse("Unable to authenticate request\n", status_code=400)
        if not (self._secondly.take(now) and self._hourly.take(now)):
            return self._busy(request, now)
        try:
            wish = _wish(request, self._world, self._told.now())
        except AskedWrongly as wrong:
            return PlainTextResponse(f"{wrong}\n", status_code=400)
        self._number += 1
        return _streamed(
            self._pieces(wish, self._told.now()), zipped="gzip" in request.headers.get("accept-encoding", "")
        )

    def _busy(self, request: Request, now: datetime) -> Response:
        used = PER_HOUR - self._hourly.remaining(now)
        error = (
            f"Query rate limit exceeded for project_id: {MIXPANEL_PROJECT}. "
            f"{used}/{PER_HOUR} queries running in the last hour."
        )
        return JSONResponse({"request": request.url.path, "error": error}, status_code=429)

    def _pieces(self, wish: Wish, now: datetime) -> Iterator[bytes]:
        """The export, a day at a time; perhaps breaking off in the middle of one."""
        breaks = self._breaks(wish)
        left = wish.limit
        for day in range(wish.first, wish.last + 1):
            texts = self._texts(day, wish, now)[:left]
            left = None if left is None else left - len(texts)
            if day == breaks:
                yield "".join([*texts[: len(texts) // 2], "export terminated early\n"]).encode()
                return
            yield "".join(texts).encode()

    def _texts(self, day: int, wish: Wish, now: datetime) -> list[str]:
        moment = now.timestamp()
        lines = self._lines(day)
        if wish.names is None:
            return [text for arrival, _, text in lines if arrival <= moment]
        return [text for arrival, name, text in lines if arrival <= moment and name in wish.names]

    def _breaks(self, wish: Wish) -> int | None:
        """The day on which this export breaks off, if it does; every third goes through."""
        days = wish.last - wish.first + 1
        if self._number % 3 == 0 or days < 1 or not self._faults.strikes("terminated", "export", self._number):
            return None
        return wish.first + self._number % days


def _wish(request: Request, world: World, now: datetime) -> Wish:
    unknown = set(request.query_params) - KNOWN
    if unknown:
        raise AskedWrongly(f"the sandbox does not know {', '.join(sorted(unknown))}")
    first, last = (_day(request, name) for name in ("from_date", "to_date"))
    if last > now.date():
        raise AskedWrongly("to_date cannot be later than today")
    if last < first:
        raise AskedWrongly("to_date cannot be less than from_date")
    begin = world.start.date()
    return Wish(max(0, (first - begin).days), (last - begin).days, _names(request), _limit(request))


def _day(request: Request, name: str) -> date:
    try:
        return date.fromisoformat(request.query_params[name])
    except (KeyError, ValueError):
        raise AskedWrongly(f"{name} is missing or not YYYY-MM-DD") from None


def _names(request: Request) -> frozenset[str] | None:
    raw = request.query_params.get("event")
    if raw is None:
        return None
    try:
        names = json.loads(raw)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise AskedWrongly("event is not a JSON array of names")
    return frozenset(names)


def _limit(request: Request) -> int | None:
    raw = request.query_params.get("limit")
    if raw is None:
        return None
    if not raw.isdigit() or not 0 < int(raw) <= MOST_LINES:
        raise AskedWrongly(f"limit is not a number from 1 to {MOST_LINES}")
    return int(raw)


def _streamed(pieces: Iterator[bytes], *, zipped: bool) -> Response:
    """The pieces as they come; compressed where that was asked for and the whole is worth it."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) > ZIPPED_FROM:
            break
    headers = {"vary": "Accept-Encoding"}
    body: Iterator[bytes] = chain([head], pieces)
    if zipped and len(head) > ZIPPED_FROM:
        headers["content-encoding"] = "gzip"
        body = _gzip(body)
    return StreamingResponse(_each(body), headers=headers, media_type="text/plain")


def _gzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


async def _each(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if piece:
            yield piece
        await asyncio.sleep(0)  # the other vendors' callers have their turn between two days

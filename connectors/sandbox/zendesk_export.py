"""How Zendesk pages an incremental export: by cursor (tickets, users) or by time (organizations, ticket events).

Items are (time, id, what); the order is (time, id). What changed within the last minute is not there yet.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request

Item = tuple[int, int, Any]

MOST = 1000  # records on a page
HELD_BACK = 60  # seconds
_place = itemgetter(0, 1)


class Refused(Exception):
    """The request cannot be answered: status and the vendor's error body."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status, self.body = status, {"error": error, "description": description}


class Sheet(NamedTuple):
    """A page's items, and the members of the body that say how to go on."""

    items: list[Item]
    around: dict[str, Any]


def by_cursor(request: Request, items: Iterable[Item], now: datetime) -> Sheet:
    """The items after the cursor, or from `start_time` on."""
    cursor = request.query_params.get("cursor")
    after = _read(cursor) if cursor is not None else (_start(request, now), -1)
    size, until = _size(request), now.timestamp() - HELD_BACK
    waiting = sorted((item for item in items if item[0] <= until and item[:2] > after), key=_place)
    page = waiting[:size]
    following = _written(page[-1]) if page else cursor
    around = {
        "after_url": following and _address(request, cursor=following),
        "after_cursor": following,
        "before_url": None,
        "before_cursor": None,
        "end_of_stream": len(waiting) <= size,
    }
    return Sheet(page, around)


def by_time(request: Request, items: Iterable[Item], now: datetime) -> Sheet:
    """The items from `start_time` on; the last second of the page is never split, and comes again on the next."""
    start, size, until = _start(request, now), _size(request), now.timestamp() - HELD_BACK
    waiting = sorted((item for item in items if start <= item[0] <= until), key=_place)
    page = waiting[:size]
    if page:
        page += [item for item in waiting[size:] if item[0] == page[-1][0]]
    end = page[-1][0] if page else start
    around = {
        "next_page": _address(request, start_time=str(end)),
        "count": len(page),
        "end_of_stream": len(page) == len(waiting),
        "end_time": end,
    }
    return Sheet(page, around)


def _written(item: Item) -> str:
    return base64.b64encode(f"{item[0]}.0||{item[1]}|".encode()).decode()


def _read(cursor: str) -> tuple[int, int]:
    try:
        time, number = base64.b64decode(cursor, validate=True).decode().rstrip("|").split("||")
        return int(float(time)), int(number)
    except (ValueError, binascii.Error):
        raise Refused(400, "InvalidValue", "cursor is not valid") from None


def _start(request: Request, now: datetime) -> int:
    raw = request.query_params.get("start_time", "")
    if not raw.isdigit():
        raise Refused(400, "InvalidValue", "start_time is missing or not a number of seconds")
    if int(raw) > now.timestamp() - HELD_BACK:
        raise Refused(422, "InvalidValue", "Too recent start_time. Use a start_time older than 1 minute")
    return int(raw)


def _size(request: Request) -> int:
    raw = request.query_params.get("per_page", str(MOST))
    if not raw.isdigit() or int(raw) < 1:
        raise Refused(400, "InvalidValue", "per_page is not a number")
    return min(MOST, int(raw))


def _address(request: Request, **place: str) -> str:
    """Where the next page is: this address with another place to go on from, always ending in .json."""
    kept = {name: request.query_params[name] for name in ("per_page", "include") if name in request.query_params}
    path = request.url.path.removesuffix(".json").lstrip("/")
    return f"{request.base_url}{path}.json?{urlencode(kept | place)}"

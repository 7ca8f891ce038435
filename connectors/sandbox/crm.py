"""What the two simulated CRMs share: records that remember who wrote what, allowances of calls, and one lock.

A `Store` is also the handle tests hold: it changes a record as a person would, deletes one, makes a row fail,
takes the allowance away, and says afterwards what was written by whom.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.clock import Clock
from connectors.sandbox.faults import Profile

Record = dict[str, Any]

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


class Written(NamedTuple):
    """One row written. `by`: "api" for the integration under test, "human" or the name of one of the CRM's people, a
    machine ("app", "sync", "workflow", "import"), or "seed" for what was there from the start.

    `call` numbers the API calls that write (0: none).
    """

    at: datetime
    by: str
    record: str
    fields: Mapping[str, Any]
    call: int


class Refused(Exception):
    """The request ends here, with this answer."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(status))
        self.status, self.body, self.headers = status, body, dict(headers or {})


@dataclass(frozen=True)
class Call:
    """A request whose body has arrived."""

    request: Request
    body: bytes

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        return self.request.query_params.get(name, default)


class Allowance:
    """So many calls in the time since `since(now)`; what was taken before that moment comes back."""

    def __init__(self, most: int, since: Callable[[datetime], datetime]) -> None:
        self.most = most
        self._since = since
        self._taken: deque[tuple[datetime, int]] = deque()
        self._total = 0

    def used(self, now: datetime) -> int:
        start = self._since(now)
        while self._taken and self._taken[0][0] < start:
            self._total -= self._taken.popleft()[1]
        return self._total

    def left(self, now: datetime) -> int:
        return max(0, self.most - self.used(now))

    def take(self, now: datetime, calls: int = 1) -> bool:
        if self.left(now) < calls:
            return False
        self._taken.append((now, calls))
        self._total += calls
        return True

    def leave(self, calls: int, now: datetime) -> None:
        """Make `calls` the number that is left, as if others had used up, or never used, the rest."""
        change = self.left(now) - calls
        self._taken.append((now, change))
        self._total += change


def within(span: timedelta) -> Callable[[datetime], datetime]:
    """A window that slides."""
    return lambda now: now - span


def today(zone: ZoneInfo) -> Callable[[datetime], datetime]:
    """A window that begins at the zone's midnight."""
    return lambda now: now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


class Store:
    """The records of one CRM. A record whose creation lies in the future is not there yet.

    `unanswered`: the writing calls that were carried out, but whose answer did not arrive whole.
    """

    def __init__(self, clock: Clock, faults: Profile, *, daily: Allowance) -> None:
        self.clock = clock
        self.faults = faults
        self.daily = daily
        self.lock = threading.RLock()
        self.records: dict[str, Record] = {}
        self.created: dict[str, datetime] = {}
        self.modified: dict[str, datetime] = {}
        self.deleted: set[str] = set()
        self.merged: dict[str, str] = {}
        self.writes: list[Written] = []
        self.writing_calls = 0
        self.unanswered: set[int] = set()
        self.fail_rows: dict[str, str] = {}
        self.lock_rows: dict[str, int] = {}
        self.missing_scopes: set[str] = set()
        self._tries: Counter[str] = Counter()

    @property
    def calls_left(self) -> int:
        return self.daily.left(self.clock.now())

    @calls_left.setter
    def calls_left(self, calls: int) -> None:
        self.daily.leave(calls, self.clock.now())

    @property
    def rows_written(self) -> int:
        """Rows the API wrote (a person's edits are not counted)."""
        return sum(1 for written in self.writes if written.by == "api")

    def here(self, record: str) -> bool:
        """Whether the record can be seen now."""
        made = self.created.get(record)
        return made is not None and record not in self.deleted and made <= self.clock.now()

    def live(self) -> Iterator[str]:
        """Ids of the records that can be seen now."""
        now = self.clock.now()
        for record, made in list(self.created.items()):
            if made <= now and record not in self.deleted:
                yield record

    def add(self, record: str, fields: Record, *, created: datetime) -> str:
        with self.lock:
            self.created[record] = self.modified[record] = created
            self.records[record] = fields
        return record

    def set_field(self, record: str, field: str, value: Any, by: str = "human") -> None:
        """Change one field as somebody at the screen would, or as `by` would (see `Written`)."""
        with self.lock:
            self.write(record, {field: self.coerced(field, value)}, by=by)

    def delete(self, record: str) -> None:
        with self.lock:
            self.deleted.add(record)
            self.modified[record] = self.clock.now()

    def merge(self, loser: str, winner: str) -> str:
        """One of two duplicates goes; the other stays under its own id, which is returned."""
        with self.lock:
            self.delete(loser)
            self.merged[loser] = winner
        return winner

    def write(self, record: str, fields: Mapping[str, Any], *, by: str, call: int = 0) -> None:
        written = Written(self.clock.now(), by, record, dict(fields), call)
        self.writes.append(written)
        self.modified[record] = written.at
        self.note(record, written)
        self.records[record].update(fields)

    def trouble(self, record: str) -> str | None:
        """Why this row may not be written just now: the code a test asked for, or a lock that passes."""
        if self.lock_rows.get(record, 0) > 0:
            self.lock_rows[record] -= 1
            return "UNABLE_TO_LOCK_ROW"
        self._tries[record] += 1
        if self.faults.strikes("locked", record, self._tries[record]):
            return "UNABLE_TO_LOCK_ROW"
        return self.fail_rows.get(record)

    def coerced(self, field: str, value: Any) -> Any:
        """The value as this CRM holds it."""
        return value

    def note(self, record: str, written: Written) -> None:
        """What the CRM itself notes down at a write, while the record still is as it was."""


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer as both vendors send it."""
    content = b"" if body is None else orjson.dumps(body)
    return Response(content, status, dict(headers or {}), media_type="application/json;charset=UTF-8")


def served(
    store: Store,
    admit: Callable[[Call], None],
    handler: Callable[[Call], Response],
    *,
    after: Callable[[Response], None],
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint: the body is read, then `admit`, `handler` and `after` run, one call at a time."""

    async def endpoint(request: Request) -> Response:
        request.scope["label"] = handler.__name__
        call = Call(request, await request.body())
        with store.lock:
            before = store.writing_calls
            try:
                admit(call)
                response = handler(call)
            except Refused as refused:
                response = answer(refused.status, refused.body, refused.headers)
            if store.writing_calls > before and request.scope.get("unanswered"):
                store.unanswered.add(store.writing_calls)
            after(response)
            return response

    return endpoint


class WithoutTrailingSlash:
    """Both vendors serve a path with and without a slash at its end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope["path"]) > 1:
            scope["path"] = scope["path"].rstrip("/") or "/"  # in place: the door reads the call's label from it
        await self.app(scope, receive, send)


def full_id(short: str) -> str:
    """The 18 characters of a 15-character Salesforce id: three more tell which letters are capitals."""
    groups = (short[start : start + 5] for start in (0, 5, 10))
    return short + "".join(
        _ALPHABET[sum(1 << place for place, letter in enumerate(group) if "A" <= letter <= "Z")] for group in groups
    )


def salesforce_id(prefix: str, number: int) -> str:
    """The id of the numbered thing of this kind, e.g. `001` for accounts."""
    return full_id(f"{prefix}Sb000{number:07d}")

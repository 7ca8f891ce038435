"""Every call to a sandbox as it arrives and as it is about to be answered; at one of them, something is struck."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from unittest.mock import patch

from starlette.types import Message, Receive, Scope, Send

from connectors.sandbox.faults import Door

Moment = Literal["arrives", "answered"]
MOMENTS: tuple[Moment, ...] = ("arrives", "answered")
LONGEST = 60  # seconds a call may take to be carried out
WRITES = (("PATCH", "composite/sobjects"), ("PUT", "batches"), ("PATCH", "jobs/ingest"), ("POST", "batch/update"))
DELIVERS = ("composite/sobjects", "jobs/ingest", "batch/update", "batch/read")


def writes(scope: Scope) -> bool:
    """Whether this call writes records."""
    path = scope["path"].rstrip("/")
    return any(scope["method"] == method and part in path for method, part in WRITES)


def delivers(scope: Scope) -> bool:
    """Whether this call writes records, asks how that is going, or reads them just before."""
    return any(part in scope["path"] for part in DELIVERS)


@dataclass
class Aim:
    """`strike` is called at the `number`th of the calls that are `meant`: before it is carried out, or after."""

    strike: Callable[[], object]
    meant: Callable[[Scope], bool]
    number: int
    moment: Moment

    def sees(self, scope: Scope, moment: Moment) -> None:
        if moment == self.moment and self.meant(scope):
            self.number -= 1
            if self.number == 0:
                self.strike()


class Calls:
    """`under_way`: calls that have arrived and are not carried out to their end. `seen` counts all; `all` and
    those of deliveries by the address of their vendor.
    """

    def __init__(self) -> None:
        self.aim: Aim | None = None
        self.seen = self.under_way = 0
        self._changed = threading.Condition()
        self.all, self.delivering = Counter[tuple[str, int]](), Counter[tuple[str, int]]()

    def note(self, scope: Scope, moment: Moment) -> None:
        if self.aim:
            self.aim.sees(scope, moment)

    @contextmanager
    def carrying_out(self) -> Iterator[None]:
        """Around one call; each sandbox serves in a thread of its own."""
        with self._changed:
            self.under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self.under_way -= 1
                self._changed.notify_all()

    def carried_out(self) -> None:
        """Wait until every call that has arrived is carried out."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self.under_way, LONGEST):
                raise RuntimeError(f"{self.under_way} calls do not end")


@contextmanager
def watched() -> Iterator[Calls]:
    """The calls to all sandboxes of this process."""
    calls, through = Calls(), Door.__call__

    async def call(door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                calls.note(scope, "answered")
            await send(message)

        calls.seen += 1
        calls.all[tuple(scope["server"])] += 1
        calls.delivering[tuple(scope["server"])] += delivers(scope)
        with calls.carrying_out():
            calls.note(scope, "arrives")
            await through(door, scope, receive, answered)

    with patch.object(Door, "__call__", call):
        yield calls


def anything(scope: Scope) -> bool:
    return True

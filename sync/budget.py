"""A destination's calls of the vendor's day: how many this worker has made and may make, and what a pass would take.

Other integrations of the customer draw on the same limit. So the worker keeps to a share of it, counted in state so
that a restart forgets nothing, and touches none of the last part. The connector is given a ration, and makes no call
beyond it whatever was forecast; what does not fit is left to later passes.

The vendor's day is its last 24 hours, or begins at its own midnight. A call counts from the quarter of an hour in which
its pass began: then a run that comes at the same minute every night finds its share whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from connectors.base import Destination
from connectors.errors import ConnectorError, WaitUntil
from sync.settings import Share
from sync.state import State
from sync.worker import Worker

DAY, QUARTER, KEPT = timedelta(days=1), timedelta(minutes=15), timedelta(days=2)
FEW = 20  # calls that may be made before they are written down; more than that no kill can make us forget
OTHERS = 3600.0  # seconds until it is looked again whether other integrations have left more
UNCOUNTED = ("sign_in",)  # what vendors do not count either
T = TypeVar("T")


@dataclass
class Book:
    """What is kept of a destination's calls between passes.

    `calls`: this worker's own, by the quarter of an hour; `asked`: those of commands that people gave, kept apart, for
    they may be given while a pass is made. `zone`: at whose midnight the vendor's day begins (None: the
    last 24 hours count). `limit` and `left`: as the vendor told them last. `listing`: the calls that
    the last whole reading of its directory took.
    """

    calls: dict[str, int] = field(default_factory=dict)
    zone: str | None = None
    limit: int | None = None
    left: int | None = None
    listing: int = 0
    asked: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State, destination: str) -> Book:
        return cls(**(state.meta(_key(destination)) or {}), asked=state.meta(_key(destination, by_hand=True)) or {})

    def keep(self, state: State, destination: str, now: datetime) -> None:
        self.calls = _recent(self.calls, now)
        state.set_meta(_key(destination), {key: value for key, value in asdict(self).items() if key != "asked"})

    def keep_asked(self, state: State, destination: str, now: datetime) -> None:
        state.set_meta(_key(destination, by_hand=True), _recent(self.asked, now))

    def used(self, now: datetime) -> int:
        """This worker's calls in the vendor's day."""
        made = (*self.calls.items(), *self.asked.items())
        return sum(calls for quarter, calls in made if self._counts(_moment(quarter), now))

    def back(self, now: datetime) -> datetime:
        """When the first of those calls no longer count."""
        if self.zone is not None:
            return self._began(now, days=1)
        counting = (moment for moment in map(_moment, (*self.calls, *self.asked)) if self._counts(moment, now))
        return min(counting, default=now) + DAY

    def _counts(self, moment: datetime, now: datetime) -> bool:
        return (now - DAY < moment if self.zone is None else moment >= self._began(now)) and moment <= now

    def _began(self, now: datetime, *, days: int = 0) -> datetime:
        """When the vendor's day began, or the one after it will."""
        local = now.astimezone(ZoneInfo(str(self.zone))) + timedelta(days=days)  # by the calendar there
        return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


class Budget:
    """What one pass may call of one destination. Where the vendor has no daily limit, everything fits.

    `by_hand`: what a command that a person gave may call, which is not held to the share, as somebody waits for it.

    `records`: how many a delivery would write; `forecast`: the calls for that; `within`: for how many there are calls.
    """

    def __init__(
        self, state: State, destination: Destination, share: Share, now: datetime, *, by_hand: bool = False
    ) -> None:
        self._state, self._destination, self._share, self._now = state, destination, share, now
        self._by_hand = by_hand
        self._book = Book.of(state, destination.name)
        self._quarter = _quarter(now).isoformat()
        self._before, self._earlier = self._ever(), self._calls.get(self._quarter, 0)
        self._noted = 0
        self._limited = False
        self.records = self.forecast = self.within = 0
        destination.ration(None)
        if self._book.limit is not None and not by_hand:
            destination.ration(max(0, self._own()))

    @property
    def _calls(self) -> dict[str, int]:
        """The part of the book that these calls stand in."""
        return self._book.asked if self._by_hand else self._book.calls

    def listed(self, reading: Callable[[], T]) -> T:
        """What a whole reading of the directory comes to. Raises `WaitUntil` where that would not fit."""
        expected, left = self._book.listing, self._look()
        if left is not None and left < max(1, expected):
            takes = f"its directory is not read, which takes about {expected:,} calls: {self._why()}"
            raise WaitUntil(takes, seconds=self.rest, place=self._destination.name, quota=True)
        if self._limited:
            zone = self._destination.midnight()
            self._book.zone = zone.key if zone else None
        begun = self._made()
        try:
            found = reading()
            self._book.listing = self._made() - begun
        except WaitUntil:
            self._book.listing = max(expected, self._made() - begun + 1)
            raise
        finally:
            self.note(all=True)
        return found

    def fitting(self, rows: Sequence[T]) -> Sequence[T]:
        """As many of the first rows as there are calls for."""
        self.records, self.forecast = len(rows), self._destination.cost(len(rows))
        left = self._look() if rows else None
        self.within = len(rows) if left is None else _most(self._destination.cost, len(rows), left)
        return rows[: self.within]

    def note(self, *, all: bool = False) -> None:
        """Write down the calls made since the last time, unless they are few, and ration what is left anew."""
        made = self._made()
        if not self._limited or made - self._noted < (1 if all else FEW):
            return
        self._look()
        self._noted = made
        keep = self._book.keep_asked if self._by_hand else self._book.keep
        keep(self._state, self._destination.name, self._now)

    def begin(self) -> None:
        """Ask how many calls are left, so that none is made of those that others keep. Raises `ConnectorError`."""
        if self._look() == 0:
            raise WaitUntil(self._why(), seconds=self.rest, place=self._destination.name, quota=True)

    def end(self) -> str:
        """Write down the calls that were made, and say what they came to; nothing where there is no limit."""
        try:
            limited = self._made() > 0 and self._look() is not None
        except ConnectorError:  # of which the command has told: what it called says no more than that
            limited = False
        if not limited:
            return ""
        self.note(all=True)
        return f"{self._made():,} calls; {self._book.left:,} of the day's {self._book.limit:,} are left"

    def refuse(self) -> None:
        """Raises `WaitUntil` where rows are left for want of calls."""
        left = self.records - self.within
        if left:
            self.note(all=True)
            rows = f"{left:,} of {self.records:,} records, the least urgent, are left to later passes: {self._why()}"
            raise WaitUntil(rows, seconds=self.rest, place=self._destination.name, quota=True)

    @property
    def rest(self) -> float:
        """Seconds until calls come back."""
        if self._book.limit is None or self._own() > self._others():
            return OTHERS
        return max(QUARTER, self._book.back(self._now) - self._now).total_seconds()

    def told(self) -> dict[str, Any]:
        """What the report has of it."""
        expected = {"records": self.records, "forecast": self.forecast, "fitting": self.within}
        return {**told(self._book, self._share, self._now), **expected}

    def _ever(self) -> int:
        return sum(calls for purpose, calls in self._destination.calls.items() if purpose not in UNCOUNTED)

    def _made(self) -> int:
        """Calls made in this pass."""
        return self._ever() - self._before

    def _look(self) -> int | None:
        """Calls that may still be made, which become the ration; None for any number."""
        self._calls[self._quarter] = self._earlier + self._made()
        # where the share is used up, no call is needed to know that none may be made
        if self._by_hand or self._book.limit is None or self._own() > 0:
            allowance = self._destination.allowance()
            if allowance is None:
                return None
            self._book.limit, self._book.left = allowance
            self._calls[self._quarter] = self._earlier + self._made()
        self._limited = True
        left = max(0, self._others() if self._by_hand else min(self._own(), self._others()))
        self._destination.ration(left)
        return left

    def _own(self) -> int:
        """What is left of this worker's share."""
        return _share(self._book, self._share) - self._book.used(self._now)

    def _others(self) -> int:
        """What is left above the part that is never touched."""
        return (self._book.left or 0) - _kept(self._book, self._share)

    def _why(self) -> str:
        book, name = self._book, self._destination.name
        if self._own() <= self._others() and not self._by_hand:
            used, share = book.used(self._now), _share(book, self._share)
            return f"of its share of {share:,} calls a day this worker has made {used:,}; raise delivery.share"
        kept = _kept(book, self._share)
        return (
            f"{book.left:,} of the day's {book.limit:,} calls are left at {name} and {kept:,} are kept for other"
            " integrations; see which of them takes so many, or lower delivery.leave"
        )


def told(book: Book, share: Share, now: datetime) -> dict[str, Any]:
    """A destination's calls, for reports: nothing but the listing where it has no limit."""
    if book.limit is None:
        return {"listing": book.listing}
    return {
        "limit": book.limit,
        "left": book.left,
        "used": book.used(now),
        "share": _share(book, share),
        "kept": _kept(book, share),
        "listing": book.listing,
    }


def _share(book: Book, share: Share) -> int:
    return math.floor((book.limit or 0) * share.share)


def _kept(book: Book, share: Share) -> int:
    return math.ceil((book.limit or 0) * share.leave)


def _most(cost: Callable[[int], int], rows: int, calls: int) -> int:
    """The most of so many rows whose cost is within the calls."""
    if cost(rows) <= calls:
        return rows
    fits, over = 0, rows
    while over - fits > 1:
        middle = (fits + over) // 2
        fits, over = (middle, over) if cost(middle) <= calls else (fits, middle)
    return fits


def _quarter(now: datetime) -> datetime:
    return now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _key(destination: str, *, by_hand: bool = False) -> str:
    return f"{'asked' if by_hand else 'calls'}:{destination}"


def _recent(calls: Mapping[str, int], now: datetime) -> dict[str, int]:
    return {quarter: count for quarter, count in calls.items() if _moment(quarter) > now - KEPT}


@contextmanager
def by_hand(worker: Worker, names: Sequence[str] | None = None, *, ask: bool = True) -> Iterator[dict[str, str]]:
    """Around the calls of a command that a person gave: they count, and stop at the part that others keep.

    Yields what they came to by destination, in words, which is known afterwards. `ask`: what is left is asked for at
    first, but not where the command is there to find out whether a vendor answers at all.
    """
    now, told = worker.clock.now(), dict[str, str]()
    budgets = {
        name: Budget(worker.state, worker.destinations[name], worker.settings.share(name), now, by_hand=True)
        for name in (worker.destinations if names is None else names)
    }
    for budget in budgets.values() if ask else ():
        budget.begin()
    try:
        yield told
    finally:
        for name, budget in budgets.items():
            if words := budget.end():
                told[name] = words

"""What days would have cost in writes to the CRMs, by the rules that deliveries are made by.

A record is written when a deciding field changes, when its score leaves the dead-band, and on its own day of the round;
see `sync.deliveries`. One delivery a day is counted, and none of it refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from connectors.base import FIELDS, Destination
from sync.deliveries import next_refresh
from sync.settings import Delivery as Rules

STEPS = 10 ** next(one for one in FIELDS if one.key == "score").scale  # in a point, of the score that a record holds
TOLD_SCORE = f"round(score * {STEPS}) / {STEPS}"  # SQL: the score as a record holds it


class Cost(NamedTuple):
    """A day at one destination: records written for a change, for fresh figures only, and the calls of both."""

    day: date
    changed: int
    refreshed: int
    calls: int


class Written:
    """Counts the records of one destination that would have been written on these days, which follow each other."""

    def __init__(self, days: Sequence[date], rules: Rules) -> None:
        self._days, self._rules = days, rules
        self.changed, self.refreshed = [0] * len(days), [0] * len(days)

    def count(self, record: str, told: Sequence[str], scores: Sequence[float | None]) -> None:
        """Count a record whose account is told these deciding texts and scores, up to the last of the days.

        It is taken to hold at first what the first day says; one whose account begins later is written when it does.
        """
        begun, every = len(self._days) - len(told), max(1, self._rules.refresh.days)
        eve, band = self._days[begun] - timedelta(days=1), self._rules.dead_band
        due = own = begun + (next_refresh(record, eve, self._rules.refresh) - self._days[begun]).days
        held, on_it = ("", None) if begun else (told[0], scores[0])
        changed, refreshed = self.changed, self.refreshed
        for place, (text, score) in enumerate(zip(told, scores, strict=True), begun):
            # what deliveries go by, in so many words: a call for each of millions of days would double the time
            if text != held or (score is not None and score != on_it and (on_it is None or abs(score - on_it) >= band)):
                changed[place] += 1
            elif place >= due:
                refreshed[place] += 1
            else:
                continue
            held, on_it = text, on_it if score is None else score
            due = own if place < own else own + ((place - own) // every + 1) * every

    def costs(self, destination: Destination) -> list[Cost]:
        """Days with a write, in order; the calls are by the vendor's sizes of batches."""
        days = zip(self._days, self.changed, self.refreshed, strict=True)
        return [Cost(day, new, again, destination.cost(new + again)) for day, new, again in days if new + again]


def by_account(records: Mapping[str, str], chosen: Collection[str]) -> dict[str, list[str]]:
    """The records of each of these accounts, of record -> account."""
    found: dict[str, list[str]] = {}
    for record, account in records.items():
        if account in chosen:
            found.setdefault(account, []).append(record)
    return found

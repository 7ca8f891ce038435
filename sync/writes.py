"""What days would have cost in writes to the CRMs, by the rules that deliveries are made by.

A record is written when a deciding field changes, when its score leaves the dead-band, and on its own day of the week;
see `sync.deliveries`. One delivery a day is counted, and none of it refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

from connectors.base import FIELDS, Destination
from connectors.values import canonical
from sync.deliveries import differs, next_refresh
from sync.settings import Delivery as Rules

_SCORE = next(one for one in FIELDS if one.key == "score")
_ROUNDING = 10.0**-_SCORE.scale  # two scores that differ by this much less than the dead-band stay within it


class Held(NamedTuple):
    """What a record holds, and the day on which it is written anyhow."""

    deciding: str
    score: float | None
    refresh: date


class Cost(NamedTuple):
    """A day at one destination: records written for a change, for fresh figures only, and the calls of both."""

    day: date
    changed: int
    refreshed: int
    calls: int


@dataclass
class Written:
    """Records of one destination that would have been written, by day: for a change, and for fresh figures only."""

    changed: Counter[date] = field(default_factory=Counter)
    refreshed: Counter[date] = field(default_factory=Counter)

    def costs(self, destination: Destination) -> list[Cost]:
        """Days with a write, in order; the calls are by the vendor's sizes of batches."""
        days = sorted({*self.changed, *self.refreshed})
        both = ((day, self.changed[day], self.refreshed[day]) for day in days)
        return [Cost(day, new, again, destination.cost(new + again)) for day, new, again in both]


def count(
    written: Written, record: str, days: Sequence[tuple[date, str, float | None]], *, rules: Rules, new: bool
) -> None:
    """Count the writes of a record whose account is told these (day, deciding text, score), a row for each day.

    A record that is not `new` holds at first what the first day says.
    """
    held = None if new else _first(record, days, rules)
    for day, deciding, score in days:
        if held and day < held.refresh and deciding == held.deciding and _close(held.score, score, rules.dead_band):
            continue
        told = _told(score)
        if held is None or differs(held, deciding, told, dead_band=rules.dead_band):
            written.changed[day] += 1
        elif day >= held.refresh:
            written.refreshed[day] += 1
        else:
            continue
        kept = told if told is not None or held is None else held.score
        held = Held(deciding, kept, next_refresh(record, day, rules.refresh))


def _first(record: str, days: Sequence[tuple[date, str, float | None]], rules: Rules) -> Held:
    day, deciding, score = days[0]
    return Held(deciding, _told(score), next_refresh(record, day - timedelta(days=1), rules.refresh))


def _close(held: float | None, score: float | None, dead_band: float) -> bool:
    """Whether the scores are the same by any rounding; most are, and nothing more has to be asked of them."""
    return score is None or (held is not None and abs(score - held) < dead_band - _ROUNDING)


def _told(score: float | None) -> float | None:
    """The score as a record holds it."""
    told = canonical(_SCORE, score, tiers={})
    return told if isinstance(told, float) else None


def by_account(records: Mapping[str, str], chosen: Collection[str]) -> dict[str, list[str]]:
    """The records of each of these accounts, of record -> account."""
    found: dict[str, list[str]] = {}
    for record, account in records.items():
        if account in chosen:
            found.setdefault(account, []).append(record)
    return found

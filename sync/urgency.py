"""Whose records are written first where not all may be: the worst first, and none waits for ever.

First who comes into another tier, toward red before away from it; then other changes that decide; then records that are
no customer's any more; last those that only get fresh figures. Of every ten rows one goes to the record that has been
told nothing for longest, however little it needs it, so whoever is left out moves up until it is its turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from sync.deliveries import Planned, Round, changed
from sync.rows import HEALTHIER
from sync.verdicts import Verdict

EVERY = 10  # the row of every so many that goes to whoever has waited longest
_NEVER = datetime.min.replace(tzinfo=UTC)


class Need(NamedTuple):
    """How badly a row wants to be written; the least goes first, and no two are equal."""

    kind: int
    tier: int
    score: float
    change: float
    record: str


def in_order(round_: Round, planned: Sequence[Planned]) -> list[Planned]:
    """The same rows, the most urgent first."""
    urgent = iter(sorted(planned, key=partial(_need, round_)))
    waiting = iter(sorted(planned, key=_waiting))
    return list(_taking_turns(urgent, waiting, len(planned)))


def _taking_turns(urgent: Iterator[Planned], waiting: Iterator[Planned], rows: int) -> Iterator[Planned]:
    taken: set[str] = set()
    for place in range(1, rows + 1):
        queue = waiting if place % EVERY == 0 else urgent
        row = next(row for row in queue if row.write.id not in taken)
        taken.add(row.write.id)
        yield row


def _waiting(item: Planned) -> tuple[datetime, str]:
    """Since when a record has been told nothing, to our knowledge."""
    known = item.known
    return (known.confirmed_at if known and known.confirmed_at else _NEVER), item.write.id


def _need(round_: Round, item: Planned) -> Need:
    known = item.known if item.known and item.known.account == item.account else None
    held = (known.confirmed if known else None) or {}
    score, before = item.write.fields.get("score"), held.get("score")
    kind, tier = _kind(round_, item, round_.tiers.get(held.get("tier")))
    return Need(
        kind,
        tier,
        score if isinstance(score, int | float) else float("inf"),
        -abs(score - before) if isinstance(score, int | float) and isinstance(before, int | float) else float("-inf"),
        item.write.id,
    )


def _kind(round_: Round, item: Planned, before: str | None) -> tuple[int, int]:
    """What sort of change it is, and how healthy the tier it comes into."""
    tier = item.write.fields.get("tier")
    if item.leaving:
        return 3, 0
    if tier in HEALTHIER and tier != before:
        here, there = (HEALTHIER.index(str(one)) for one in (tier, before or "green"))
        return (0 if here < there else 1), here
    if _only_refreshed(round_, item):
        return 4, 0
    return 2, 0


def _only_refreshed(round_: Round, item: Planned) -> bool:
    if item.known is None or item.known.account != item.account or item.known.status != "confirmed":
        return False
    return not changed(round_, Verdict(item.account, item.write.fields, item.deciding, ""), item.known)

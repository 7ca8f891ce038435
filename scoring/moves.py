"""Moves in words: of a measure between two days, and of what stands between a score and its tier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import accumulate, pairwise
from typing import NamedTuple

from scoring.explain import Part, held_back, label, stands
from scoring.scorecard import Scorecard
from scoring.settle import Standing


class Side(NamedTuple):
    """A day, the scorecard it was scored by, and what its tier went by."""

    day: date
    card: Scorecard
    standing: Standing


def measure_moved(card: Scorecard, name: str, before: Part | None, after: Part | None) -> str:
    """Where a measure stands, and where it stood, in figures; in points, where the figures read the same."""
    measure, called = card.measures[name], label(card, name)
    was, now = (stands(measure, part) if part and part.points is not None else "" for part in (before, after))
    if after is None or not now:
        gone = "too old to count" if after and after.state == "stale" else "gone missing"
        return f"{called} {gone}, was {was} at {before.weight:.0%} of the score" if before else f"{called} {gone}"
    if before is None or not was:
        return f"{called} {now} at {after.weight:.0%} of the score, was missing"
    if now == was:
        return f"{called} {now}: {after.points:.1f} of 100 points, was {before.points:.1f}"
    return f"{called} {now}, was {was}"


def tier_moved(before: Side, after: Side) -> Iterator[tuple[str, str]]:
    """What moved the tier, or kept it, and not the score, as (what, words): caps, watch flags, the dwell."""
    one, other = before.standing, after.standing
    for name, began in other.caps.items():
        if one.caps.get(name) != began:
            yield "cap begun", f"{_cap(after.card, name)} (since {began})"
    for name, began in one.caps.items():
        if name not in other.caps:
            yield "cap over", f"{_cap(before.card, name)} (since {began})"
    yield from (("watch", _watch(after.card, name)) for name in other.watch if name not in one.watch)
    yield from (("watch over", _watch(before.card, name)) for name in one.watch if name not in other.watch)
    for side in (before, after):
        yield from (("steady", f"{words} (on {side.day})") for words in held_back(side.card, side.standing))


def _cap(card: Scorecard, name: str) -> str:
    """A cap in words; by its name where the scorecard that had it is lost."""
    cap = card.caps.get(name)
    return f"at most {cap.tier}: {cap.reason}" if cap else name


def _watch(card: Scorecard, name: str) -> str:
    rule = card.watch.get(name)
    return rule.reason if rule else name


def tenths(start: float, amounts: Sequence[float]) -> list[str]:
    """Amounts as they are shown: the steps of a running total that is rounded, so that they add up to it."""
    totals = [round(total, 1) for total in accumulate(amounts, initial=start)]
    return [f"{total - last:+.1f}" for last, total in pairwise(totals)]

"""What a measure can be, and whether a rule over measures can ever hold.

It errs on one side only: what is called impossible is; what is called possible may be so all the same. Null, which a
rule meets where a measure is missing, makes no rule hold and so changes nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

from sqlglot import exp

from scoring import rules
from scoring.scorecard import Measure, Scorecard

Bound = tuple[float, int]  # a number, and -1 just below it, 0 itself, 1 just above it


class Range(NamedTuple):
    """Numbers from `low` to `high`, or the only `words` there are; None: any."""

    low: Bound = (-math.inf, 0)
    high: Bound = (math.inf, 0)
    words: frozenset[str] | None = None

    @property
    def empty(self) -> bool:
        return self.low > self.high or self.words == frozenset()

    def both(self, other: Range) -> Range:
        """What is in both."""
        known = [words for words in (self.words, other.words) if words is not None]
        words = frozenset.intersection(*known) if known else None
        return Range(max(self.low, other.low), min(self.high, other.high), words)

    def either(self, other: Range) -> Range:
        """What is in one of them, or between them."""
        words = None if self.words is None or other.words is None else self.words | other.words
        return Range(min(self.low, other.low), max(self.high, other.high), words)

    def but(self, value: float | str) -> Range:
        """Without one number or word."""
        if isinstance(value, str):
            return self if self.words is None else self._replace(words=self.words - {value})
        low = (value, 1) if self.low == (value, 0) else self.low
        high = (value, -1) if self.high == (value, 0) else self.high
        return self._replace(low=low, high=high)


ANY = Range()
Ranges = Mapping[str, Range]


def between(low: float, high: float = math.inf) -> Range:
    return Range((low, 0), (high, 0))


# measures


def of_measure(card: Scorecard, name: str) -> Range:
    """What this measure can be, from its words alone. What is divided by is taken for a size, never below zero."""
    measure = card.measures[name]
    if measure.of is not None:
        return between(-1) if of_measure(card, measure.of).low >= (0, 0) else ANY
    taken = _taken(measure)
    if isinstance(measure.over, float):
        return between(taken.low[0] / measure.over, taken.high[0] / measure.over)
    if measure.over is None:
        return taken
    return between(0) if taken.low >= (0, 0) else ANY


def _taken(measure: Measure) -> Range:
    """Of what is taken of the events, before it is divided by anything."""
    if measure.take in ("min", "max", "mean", "median", "first", "last") and measure.where:
        return (narrowed(measure.where, {}) or {}).get("value", ANY)
    if measure.take == "active_days":
        return between(0, measure.window or math.inf)
    if measure.take == "days_since":
        return between(0, min(measure.max_age or math.inf, (measure.window or math.inf) - 1))
    counted = measure.counting and measure.take != "sum"
    return between(0) if counted or measure.take == "names_on" else ANY


def extremes(measure: Measure, among: Range) -> tuple[float, float]:
    """The fewest and the most points that a measure with points can get."""
    found = [] if measure.absent is None else [measure.absent]
    found += (measure.map or {}).values()
    curve = list((measure.points or {}).items())
    if curve:
        low, high = among.low[0], among.high[0]
        found += [points for value, points in curve if low <= value <= high]
        found += [on_curve(curve, low), on_curve(curve, high)]
    return min(found), max(found)


def on_curve(curve: list[tuple[float, float]], value: float) -> float:
    """Straight lines between breakpoints, flat beyond the ends."""
    for (left, low), (right, high) in pairwise(curve):
        if left <= value < right:
            return low + (value - left) * (high - low) / (right - left)
    return curve[0][1] if value < curve[0][0] else curve[-1][1]


# rules

_TESTS: Mapping[type[exp.Expression], Callable[[float], Range]] = {
    exp.GT: lambda value: Range(low=(value, 1)),
    exp.GTE: lambda value: Range(low=(value, 0)),
    exp.LT: lambda value: Range(high=(value, -1)),
    exp.LTE: lambda value: Range(high=(value, 0)),
}
_TURNED: Mapping[type[exp.Expression], type[exp.Expression]] = {
    exp.GT: exp.LT, exp.LT: exp.GT, exp.GTE: exp.LTE, exp.LTE: exp.GTE,
}  # fmt: skip
_OPPOSITE: Mapping[type[exp.Expression], type[exp.Expression]] = {
    exp.GT: exp.LTE, exp.LTE: exp.GT, exp.LT: exp.GTE, exp.GTE: exp.LT, exp.EQ: exp.NEQ, exp.NEQ: exp.EQ,
}  # fmt: skip


def narrowed(rule: str, ranges: Ranges) -> Ranges | None:
    """What the names of a valid rule can be where it holds; None where it never does. Unknown names can be anything."""
    return _twice(rules.parse(rule), ranges, True)


def certain(rule: str, ranges: Ranges) -> bool:
    """Whether a rule always holds, where nothing it reads is missing."""
    return _twice(rules.parse(rule), ranges, False) is None


def implies(one: str, other: str, ranges: Ranges) -> bool:
    """Whether the second rule certainly holds wherever the first does; not if it reads what may be missing there."""
    if not set(rules.names(other)) <= set(rules.names(one)):
        return False
    within = narrowed(one, ranges)
    return within is None or _twice(rules.parse(other), within, False) is None


def _twice(node: exp.Expression, ranges: Ranges, holds: bool) -> Ranges | None:
    """What stands later in a rule narrows what stands before it only the second time."""
    once = _where(node, ranges, holds)
    return once if once is None else _where(node, once, holds)


def _where(node: exp.Expression, ranges: Ranges, holds: bool) -> Ranges | None:
    if isinstance(node, exp.Paren):
        return _where(node.this, ranges, holds)
    if isinstance(node, exp.Not):
        return _where(node.this, ranges, not holds)
    if isinstance(node, exp.And | exp.Or):
        left = _where(node.this, ranges, holds)
        if isinstance(node, exp.And) is holds:
            return None if left is None else _where(node.expression, left, holds)
        return _joined(left, _where(node.expression, ranges, holds))
    if isinstance(node, exp.In):
        return _listed(node, ranges, holds)
    return _compared(type(node), node.this, node.expression, ranges=ranges, holds=holds)


def _joined(one: Ranges | None, other: Ranges | None) -> Ranges | None:
    if one is None or other is None:
        return other if one is None else one
    return {name: one[name].either(other[name]) for name in one.keys() & other.keys()}


def _listed(node: exp.In, ranges: Ranges, holds: bool) -> Ranges | None:
    """One of the choices holds; or, where the list must not, none of them does."""
    found = None if holds else ranges
    for choice in node.expressions:
        if holds:
            found = _joined(found, _compared(exp.EQ, node.this, choice, ranges=ranges, holds=True))
        elif found is not None:
            found = _compared(exp.EQ, node.this, choice, ranges=found, holds=False)
    return found


def _compared(
    kind: type[exp.Expression], left: exp.Expression, right: exp.Expression, *, ranges: Ranges, holds: bool
) -> Ranges | None:
    """A name beside a number or a word narrows the name; of anything else nothing is concluded."""
    value, column = _constant(right), left
    if value is None:
        value, column, kind = _constant(left), right, _TURNED.get(kind, kind)
    if value is None or not isinstance(column, exp.Column):
        return ranges
    kind = kind if holds else _OPPOSITE[kind]
    name = column.name.lower()
    was = ranges.get(name, ANY)
    if kind is exp.NEQ:
        now = was.but(value)
    elif isinstance(value, str):
        now = was.both(Range(words=frozenset([value]))) if kind is exp.EQ else was
    else:
        now = was.both(between(value, value) if kind is exp.EQ else _TESTS[kind](value))
    return None if now.empty else {**ranges, name: now}


def _constant(node: exp.Expression) -> float | str | None:
    if isinstance(node, exp.Paren):
        return _constant(node.this)
    if isinstance(node, exp.Neg):
        inner = _constant(node.this)
        return -inner if isinstance(inner, float) else None
    if not isinstance(node, exp.Literal):
        return None
    return node.name if node.is_string else float(node.name)

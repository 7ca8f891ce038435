"""Numbers to points: piecewise linear between the breakpoints, by label, or what is said for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from scoring.plan import Node, Plan
from scoring.printer import Step, double, filled, grid, number, quoted, select


def steps(wanted: Plan, numbers: str) -> Iterator[Step]:
    """A column of points for each weighted measure, beside the numbers; rounded, as terms of a sum are."""
    columns = [f"{grid(_points(item.node))} as {item.name}__points" for item in wanted.scored]
    yield Step("pointed", select(filled(["*", *columns]), f"from {numbers}"))


def _points(node: Node) -> str:
    measure = node.measure
    curve = list((measure.points or {}).items())
    said = measure.absent is None or (measure.counting and _at_zero(curve) == measure.absent)
    cases = [] if said else [f"when {node.empty} then {number(measure.absent or 0)}"]
    if measure.map:
        told = f"{node.stem}__label"
        cases += [f"when {told} = {quoted(word)} then {number(points)}" for word, points in sorted(measure.map.items())]
        return double(f"case {' '.join(cases)} end")
    return f"case {' '.join([*cases, *pieces(node.value, curve)])} end"


def pieces(value: str, curve: Sequence[tuple[float, float]]) -> Iterator[str]:
    """Flat beyond both ends; between breakpoints, the points where a piece begins and what its slope adds.

    The first piece comes last: it is null where there is no number. An engine works out one piece for each row, which
    takes a third of what a sum of all of them takes.
    """
    yield f"when {value} >= {number(curve[-1][0])} then {number(curve[-1][1])}"
    yield f"when {value} < {number(curve[0][0])} then {number(curve[0][1])}"
    for (left, low), (right, high) in reversed(list(pairwise(curve))):
        rise = f"0 * {value}" if low == high else _rise(value, left, _less(right, left), abs(_less(high, low)))
        sign = "+" if high >= low else "-"
        points = f"{number(low)} {sign} {rise}" if low or sign == "-" else rise
        yield f"else {points}" if left == curve[0][0] else f"when {value} >= {number(left)} then {points}"


def _rise(value: str, left: float, width: Decimal, rise: Decimal) -> str:
    """What a piece has risen by at a value: the slope, as people would write it, times how far that is into it."""
    into = f"({value} {'-' if left > 0 else '+'} {number(abs(left))})" if left else value
    slope = rise / width
    if slope == round(slope, 6):
        return into if slope == 1 else f"{number(float(slope))} * {into}"
    return f"{number(float(rise))} * {into} / {number(float(width))}"


def _less(one: float, other: float) -> Decimal:
    """One less the other as people write them: 0.7 less 0.4 is 0.3."""
    return Decimal(repr(one)) - Decimal(repr(other))


def _at_zero(curve: Sequence[tuple[float, float]]) -> float | None:
    """The points of zero, where the curve says them in so many words."""
    if not curve or curve[0][0] < 0 < curve[-1][0]:
        return dict(curve).get(0.0)
    return curve[0][1] if curve[0][0] >= 0 else curve[-1][1]

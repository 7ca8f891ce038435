"""Numbers to points: piecewise linear between the breakpoints, by label, or what is said for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from scoring.plan import Node, Plan
from scoring.printer import Step, double, filled, grid, number, quoted, select


def steps(wanted: Plan, numbers: str) -> Iterator[Step]:
    """A column of points for each weighted measure, beside the numbers; rounded, as terms of a sum are."""
    names = [item.name for item in wanted.scored]
    curves = [f"{_points(item.node)} as {item.name}__curve" for item in wanted.scored]
    yield Step("curves", select(filled(["*", *curves]), f"from {numbers}"))
    rounded = [f"{grid(f'{name}__curve')} as {name}__points" for name in names]
    yield Step("pointed", select(filled(["*", *rounded]), "from curves"))


def _points(node: Node) -> str:
    measure = node.measure
    curve = list((measure.points or {}).items())
    said = measure.absent is None or (measure.counting and _at_zero(curve) == measure.absent)
    cases = [] if said else [f"when {node.empty} then {number(measure.absent or 0)}"]
    if measure.map:
        told = f"{node.stem}__label"
        cases += [f"when {told} = {quoted(word)} then {number(points)}" for word, points in sorted(measure.map.items())]
        return double(f"case {' '.join(cases)} end")
    ramps = _ramps(node.value, curve)
    return f"case {' '.join(cases)} else {ramps} end" if cases else ramps


def _ramps(value: str, curve: Sequence[tuple[float, float]]) -> str:
    """The points of the first breakpoint, and what each piece adds: its rise times how far the value is into it.

    The last term is 0, or null where there is no number: what engines make of null in least and greatest differs.
    """
    terms = [number(curve[0][1])] if curve[0][1] else []
    for (left, low), (right, high) in pairwise(curve):
        if low != high:
            terms += ["+" if high > low else "-", _rise(value, left, _less(right, left), abs(_less(high, low)))]
    return " ".join([*terms, "+", f"0 * {value}"]).removeprefix("+ ")


def _rise(value: str, left: float, width: Decimal, rise: Decimal) -> str:
    run = f"{value} {'-' if left > 0 else '+'} {number(abs(left))}" if left else value
    into = f"least(greatest({run}, 0), {number(float(width))})"
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

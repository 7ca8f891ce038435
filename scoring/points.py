"""Numbers to points: piecewise linear between the breakpoints, by label, or what is said for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from scoring.plan import Node, Plan, Range
from scoring.printer import Step, double, filled, grid, number, quoted, select

Curve = Sequence[tuple[float, float]]


def steps(wanted: Plan, numbers: str) -> Iterator[Step]:
    """A column of points for each weighted measure, beside the numbers; rounded, as terms of a sum are."""
    names = [item.name for item in wanted.scored]
    lines = _cases if isinstance(wanted.asked, Range) else _ramps
    curves = [f"{_points(item.node, lines)} as {item.name}__curve" for item in wanted.scored]
    yield Step("curves", select(filled(["*", *curves]), f"from {numbers}"))
    rounded = [f"{grid(f'{name}__curve')} as {name}__points" for name in names]
    yield Step("pointed", select(filled(["*", *rounded]), "from curves"))


def _points(node: Node, lines: Callable[[str, Curve], str]) -> str:
    measure = node.measure
    curve = list((measure.points or {}).items())
    said = measure.absent is None or (measure.counting and _at_zero(curve) == measure.absent)
    cases = [] if said else [f"when {node.empty} then {number(measure.absent or 0)}"]
    if measure.map:
        told = f"{node.stem}__label"
        cases += [f"when {told} = {quoted(word)} then {number(points)}" for word, points in sorted(measure.map.items())]
        return double(f"case {' '.join(cases)} end")
    drawn = lines(node.value, curve)
    return f"case {' '.join(cases)} else {drawn} end" if cases else drawn


def _ramps(value: str, curve: Curve) -> str:
    """The points of the first breakpoint, and what each piece adds: its rise times how far the value is into it.

    The last term is 0, or null where there is no number: what engines make of null in least and greatest differs.
    """
    terms = [number(curve[0][1])] if curve[0][1] else []
    for (left, low), (right, high) in pairwise(curve):
        if low != high:
            width, rise = _less(right, left), abs(_less(high, low))
            into = f"least(greatest({_run(value, left)}, 0), {number(float(width))})"
            terms += ["+" if high > low else "-", _rise(into, width, rise)]
    return " ".join([*terms, "+", f"0 * {value}"]).removeprefix("+ ")


def _cases(value: str, curve: Curve) -> str:
    """The same to the last bit in a third of the time, and twice the text: a case for each piece.

    What the pieces before it come to is added up here, as the engine adds it. Where a piece is not as wide, in doubles,
    as its ends are apart, a number near its end would have a share of two: there the ramps stay.
    """
    if any(right - left != float(_less(right, left)) for (left, _), (right, _) in pairwise(curve)):
        return _ramps(value, curve)
    cases, base = [f"else {number(curve[0][1])} + 0 * {value}"], curve[0][1]
    for (left, low), (right, high) in pairwise(curve):
        width, rise, sign = _less(right, left), abs(_less(high, low)), "+" if high > low else "-"
        drawn = f"{number(base)} {sign} {_rise(f'({_run(value, left)})', width, rise)}" if rise else number(base)
        cases.append(f"when {value} >= {number(left)} then {drawn}")
        base += (1 if high > low else -1) * _whole(width, rise)
    cases.append(f"when {value} >= {number(curve[-1][0])} then {number(base)}")
    return f"case {' '.join(reversed(cases))} end"


def _run(value: str, left: float) -> str:
    return f"{value} {'-' if left > 0 else '+'} {number(abs(left))}" if left else value


def _rise(into: str, width: Decimal, rise: Decimal) -> str:
    slope = rise / width
    if slope == round(slope, 6):
        return into if slope == 1 else f"{number(float(slope))} * {into}"
    return f"{number(float(rise))} * {into} / {number(float(width))}"


def _whole(width: Decimal, rise: Decimal) -> float:
    """What the engine makes of a rise over its whole width."""
    slope = rise / width
    if slope == round(slope, 6):
        return float(slope) * float(width)
    return float(rise) * float(width) / float(width)


def _less(one: float, other: float) -> Decimal:
    """One less the other as people write them: 0.7 less 0.4 is 0.3."""
    return Decimal(repr(one)) - Decimal(repr(other))


def _at_zero(curve: Curve) -> float | None:
    """The points of zero, where the curve says them in so many words."""
    if not curve or curve[0][0] < 0 < curve[-1][0]:
        return dict(curve).get(0.0)
    return curve[0][1] if curve[0][0] >= 0 else curve[-1][1]

"""Curves in SQL beside straight lines drawn with fractions: exact at every breakpoint, and right beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import duckdb
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from scoring.points import pieces

DECIMALS = st.decimals(-50, 50, places=3, allow_nan=False).map(float)
CURVES = st.lists(DECIMALS, min_size=2, max_size=5, unique=True).flatmap(
    lambda values: st.lists(st.decimals(0, 100, places=2).map(float), min_size=len(values), max_size=len(values)).map(
        lambda points: list(zip(sorted(values), points, strict=True))
    )
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


@settings(max_examples=60, phases=[Phase.explicit, Phase.generate])
@given(CURVES, st.lists(st.floats(-60, 60), max_size=5))
@example([(0.2, 30), (0.4, 60), (0.7, 100)], [])
@example([(0, 0), (5, 60), (20, 100)], [7, 1 / 3])
@example([(1, 100), (2, 70), (3, 70), (4, 0)], [2.5])
def test_a_curve_is_flat_beyond_its_ends_and_straight_between_its_breakpoints(
    connection: duckdb.DuckDBPyConnection, curve: list[tuple[float, float]], further: list[float]
) -> None:
    at = [left for left, _ in curve]
    beside = [math.nextafter(left, way) for left in at for way in (-math.inf, math.inf)]
    connection.execute(
        "create or replace table numbers as select unnest(?::double[]) as value", [[*at, *beside, *further, None]]
    )
    drawn = connection.execute(f"select value, case {' '.join(pieces('value', curve))} end from numbers").fetchall()
    assert len(drawn) == 3 * len(at) + len(further) + 1
    assert drawn.pop() == (None, None)
    assert drawn[: len(curve)] == curve
    for value, points in drawn:
        assert points == pytest.approx(float(_line(Fraction(value), curve)), abs=1e-9)


def _line(value: Fraction, curve: list[tuple[float, float]]) -> Fraction:
    for (left, low), (right, high) in pairwise((Fraction(x), Fraction(y)) for x, y in curve):
        if left <= value <= right:
            return low + (value - left) * (high - low) / (right - left)
    return Fraction(curve[0][1] if value < curve[0][0] else curve[-1][1])

"""Curves as cases: the same to the last bit as the sum of ramps, at and beside every breakpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from scoring.points import _cases, _ramps

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
def test_a_curve_drawn_by_cases_is_the_one_drawn_by_ramps(
    connection: duckdb.DuckDBPyConnection, curve: list[tuple[float, float]], further: list[float]
) -> None:
    at = [left for left, _ in curve]
    beside = [math.nextafter(left, way) for left in at for way in (-math.inf, math.inf)]
    connection.execute(
        "create or replace table numbers as select unnest(?::double[]) as value", [[*at, *beside, *further, None]]
    )
    drawn = connection.execute(
        f"select value, {_ramps('value', curve)}, {_cases('value', curve)} from numbers"
    ).fetchall()
    assert len(drawn) == 3 * len(at) + len(further) + 1
    assert [ramps for _, ramps, _ in drawn] == [cases for *_, cases in drawn]


def test_curves_of_round_numbers_are_drawn_by_cases() -> None:
    assert _cases("v", [(0, 0), (5, 60), (20, 100)]) == (
        "case when v >= 20 then 100 when v >= 5 then 60 + 40 * (v - 5) / 15 when v >= 0 then 0 + 12 * (v)"
        " else 0 + 0 * v end"
    )

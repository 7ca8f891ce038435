"""Moves in words: figures before and after, and what stands between a score and its tier."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import Part, Side, Standing, measure_moved, tenths, tier_moved
from tests.scoring_world import card

FIRST, LAST = date(2026, 11, 2), date(2026, 11, 9)
CARD = card(
    dimensions={"all": {"weight": 1, "measures": {"active": 1, "plan": 1}}},
    measures={
        "active": {"events": "login", "take": "mean", "window": "7d", "points": {0: 0, 1: 100}, "unit": "% of seats"},
        "plan": {"events": "plan", "take": "last", "map": {"free": 20, "pro": 70}},
    },
    caps={
        "fell": {"when": "active < 0.3", "tier": "yellow", "reason": "use is low", "lasts": "30d"},
        "gone": {"when": "active = 0", "tier": "red", "reason": "nobody comes"},
    },
    watch={"silent": {"when": "active < 0.9", "reason": "some are silent"}},
)


def part(measure: str, value: float | None, points: float | None, state: str = "live") -> Part:
    return Part("all", measure, value, points, 0.5, None, state)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (part("active", 0.4, 40), part("active", 0.2, 20), "Active 20% of seats, was 40% of seats"),
        (part("active", 0.401, 40.1), part("active", 0.4, 40), "Active 40% of seats: 40.0 of 100 points, was 40.1"),
        (part("active", None, 0), part("active", 0.2, 20), "Active 20% of seats, was none on record"),
        (part("plan", None, 70), part("plan", None, 20), "Plan 20 of 100 points, was 70 of 100 points"),
        (
            part("active", 0.4, 40),
            part("active", None, None),
            "Active gone missing, was 40% of seats at 50% of the score",
        ),
        (part("active", 0.4, 40), None, "Active gone missing, was 40% of seats at 50% of the score"),
        (
            part("active", 0.4, 40),
            part("active", 0.4, None, "stale"),
            "Active too old to count, was 40% of seats at 50% of the score",
        ),
        (part("active", None, None), part("active", 0.4, 40), "Active 40% of seats at 50% of the score, was missing"),
        (None, part("active", 0.4, 40), "Active 40% of seats at 50% of the score, was missing"),
    ],
)
def test_a_measure_is_told_with_figures_and_units_before_and_after(
    before: Part | None, after: Part | None, words: str
) -> None:
    assert measure_moved(CARD, (before or after or part("", 0, 0)).measure, before, after) == words


def side(day: date, tier: str, **given: Any) -> Side:
    return Side(day, CARD, Standing(tier, given.pop("raw_tier", tier), **given))


def test_caps_and_watch_flags_that_began_and_ended_are_told() -> None:
    before = side(FIRST, "yellow", flags="cap:fell:2026-11-01 watch:silent")
    after = side(LAST, "red", flags="cap:gone:2026-11-05")
    assert list(tier_moved(before, after)) == [
        ("cap begun", "at most red: nobody comes (since 2026-11-05)"),
        ("cap over", "at most yellow: use is low (since 2026-11-01)"),
        ("watch over", "some are silent"),
    ]
    assert list(tier_moved(after, before))[2:] == [("watch", "some are silent")]
    assert list(tier_moved(before, before)) == []


def test_a_cap_that_began_again_is_told_and_one_of_a_lost_scorecard_by_its_name() -> None:
    before = side(FIRST, "yellow", flags="cap:fell:2026-10-01 cap:other:2026-10-02")
    after = side(LAST, "yellow", flags="cap:fell:2026-11-08")
    assert list(tier_moved(before, after)) == [
        ("cap begun", "at most yellow: use is low (since 2026-11-08)"),
        ("cap over", "other (since 2026-10-02)"),
    ]


def test_a_tier_that_keeps_still_says_on_which_day_and_why() -> None:
    before = side(FIRST, "green", raw_tier="yellow", fold=f"green {CARD.version}")
    after = side(LAST, "green", raw_tier="yellow", fold=f"green {CARD.version} toward=yellow,yellow")
    assert list(tier_moved(before, after)) == [
        ("steady", "still green until it is yellow by 3 points for 3 days (on 2026-11-02)"),
        ("steady", "yellow once it has been so for 3 days, 2 by now (on 2026-11-09)"),
    ]
    unscored = side(FIRST, "unscored", fold=f"green {CARD.version}")
    assert list(tier_moved(unscored, unscored)) == []


@given(st.floats(0, 100), st.lists(st.floats(-30, 30), max_size=8))
def test_tenths_add_up_to_the_change_as_it_is_shown(start: float, amounts: list[float]) -> None:
    start, amounts = round(start * 2**20) / 2**20, [round(amount * 2**20) / 2**20 for amount in amounts]
    shown = [round(float(text), 1) for text in tenths(start, amounts)]
    assert round(sum(shown), 1) == round(round(start + sum(amounts), 1) - round(start, 1), 1)
    assert all(abs(told - amount) <= 0.1 + 1e-9 for told, amount in zip(shown, amounts, strict=True))

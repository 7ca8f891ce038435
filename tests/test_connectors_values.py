from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import FIELDS
from connectors.batches import batches, halved
from connectors.errors import RowWrong
from connectors.values import canonical, cut, day_number, label, rounded, tier_names

BY_KEY = {field.key: field for field in FIELDS}
TIERS = {"green": "green", "yellow": "amber", "red": "red"}
values = st.one_of(
    st.none(),
    st.text(),
    st.text("0123456789-.:TZ+eE ", max_size=30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**12), 10**12).map(float),
    st.datetimes(timezones=st.timezones()),
    st.datetimes(),
    st.dates(),
)


@given(st.sampled_from(FIELDS), values)
def test_the_canonical_form_of_a_canonical_value_is_itself(field, value):
    once = canonical(field, value, tiers=TIERS)
    assert canonical(field, once, tiers=TIERS) == once


@given(st.text(min_size=1), st.integers(5, 300))
def test_cut_text_is_never_longer_than_the_field(text, length):
    assert len(cut(" ".join(text.split()), length)) <= length


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("score", 82.25, 82.3),
        ("score", 0.05, 0.1),
        ("score", "82.5", 82.5),
        ("score", -0.01, 0.0),
        ("change", -2.25, -2.3),
        ("coverage", 92.5, 93.0),
        ("score", "n/a", "n/a"),
        ("score", "", None),
        ("tier", "yellow", "amber"),
        ("tier", "amber", "amber"),
        ("tier", " Amber ", "amber"),
        ("tier", "GREEN", "green"),
        ("tier", "Yellow", "amber"),
        ("tier", "at risk", "at risk"),
        ("reason", "  two\n lines ", "two lines"),
        ("tier_since", date(2026, 11, 20), "2026-11-20"),
        ("tier_since", "2026-11-20T23:30:00.000+0000", "2026-11-20"),
        ("tier_since", "1763596800000", "2025-11-20"),
        ("scored_at", "2026-11-20T03:00:00.000+0000", "2026-11-20T03:00:00Z"),
        ("scored_at", datetime(2026, 11, 20, 3, 0, 0, 999999, tzinfo=UTC), "2026-11-20T03:00:00Z"),
        ("scored_at", datetime(2026, 11, 20, 4, tzinfo=timezone(timedelta(hours=1))), "2026-11-20T03:00:00Z"),
        ("scored_at", "soon", "soon"),
    ],
)
def test_what_we_want_and_what_a_crm_says_meet_in_one_form(key, value, expected):
    assert canonical(BY_KEY[key], value, tiers=TIERS) == expected


def test_a_tier_in_other_letters_is_never_taken_for_another_tier():
    tiers = {"green": "Yellow!", "yellow": "GREEN", "red": "Red"}
    told = {text: canonical(BY_KEY["tier"], text, tiers=tiers) for text in ("green", "GREEN", "Green", "RED", "yellow")}
    assert told == {"green": "Yellow!", "GREEN": "GREEN", "Green": "GREEN", "RED": "Red", "yellow": "GREEN"}


def test_a_number_that_is_not_finite_is_the_row_s_fault():
    with pytest.raises(RowWrong):
        canonical(BY_KEY["score"], float("nan"), tiers=TIERS)


def test_text_is_cut_at_the_end_of_a_word():
    assert cut("weekly users fell, and tickets rose", 20) == "weekly users fell…"
    assert cut("abcdefghij", 5) == "abcd…"
    assert cut("exactly ten", 11) == "exactly ten"


def test_half_is_rounded_away_from_zero_on_the_digits_people_see():
    assert [rounded(x, 1) for x in (2.25, 2.35, -2.25, 1e15)] == [2.3, 2.4, -2.3, 1e15]
    assert str(rounded(-0.04, 1)) == "0.0"


def test_days_are_counted_from_1970():
    assert day_number("1970-01-02") == 1.0
    assert day_number("2026-11-20T23:59:59Z") == day_number("2026-11-20")
    assert day_number("never") is None


def test_a_label_is_short_and_on_one_line():
    assert label("Enterprise  Plus\n") == "Enterprise Plus"
    assert label("x" * 100) == "x" * 64
    assert label("  ") is None


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"purple": "x"}, "there is no tier"),
        ({"yellow": "green"}, "a value of its own"),
        ({"green": "yellow", "yellow": "amber"}, "read as another tier"),
        ({"red": " "}, "a value of its own"),
    ],
)
def test_tier_values_that_cannot_be_told_apart_are_refused(mapping, words):
    with pytest.raises(ValueError, match=words):
        tier_names(mapping)


@given(st.lists(st.integers(0, 50), unique=True), st.sets(st.integers(0, 50)))
def test_halving_leaves_exactly_the_bad_rows_alone(rows, bad):
    def attempt(batch):
        if bad & set(batch):
            raise RowWrong("one of them", code="BAD")
        return "done"

    answered = list(halved(rows, attempt))
    assert [row for batch, _ in answered for row in batch] == rows
    refused = [batch for batch, answer in answered if isinstance(answer, RowWrong)]
    assert refused == [[row] for row in rows if row in bad]


def test_batches_hold_every_row_once():
    assert list(batches([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(batches([], 2)) == []

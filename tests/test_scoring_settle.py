"""The steady tier and its caps, day by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import Scorecard
from scoring.settle import Capped, Day, Fired, Steady, read, settle, stays, told
from tests.scoring_world import card

FIRST = date(2026, 3, 1)
RANKS = ["red", "yellow", "green"]
MEASURES: dict[str, Any] = {
    "use": {"events": "login", "take": "user_days", "window": "14d", "points": {0: 0, 10: 100}},
    "fell": {"of": "use", "against": "previous", "points": {-1: 0, 0: 100}},
}
DIMENSIONS = {"use": {"weight": 1, "measures": {"use": 1, "fell": 1}}}


def made(**words: Any) -> Scorecard:
    return card(dimensions=DIMENSIONS, measures=MEASURES, **words)


CAPPED = made(caps={"fell": {"when": "fell <= -0.3", "tier": "yellow", "reason": "use fell"}})


def raw(scorecard: Scorecard, score: float) -> str:
    return "green" if score >= scorecard.tiers.green else "yellow" if score >= scorecard.tiers.yellow else "red"


def folded(scorecard: Scorecard, scores: Sequence[float | None], state: Steady | None = None) -> list[str | None]:
    """The steady tier after each day."""
    tiers = []
    for number, score in enumerate(scores):
        tier = "unscored" if score is None else raw(scorecard, score)
        state = settle(scorecard, state, Day(FIRST + timedelta(number), tier, score, {}))
        tiers.append(state and state.tier)
    return tiers


def by_hand(scorecard: Scorecard, scores: Sequence[float | None]) -> list[str | None]:
    """Every day the last `dwell` scores are looked at: all beyond the band on one side, and the tier moves."""
    band, dwell = scorecard.settle.band, scorecard.settle.dwell
    tier, seen, tiers = None, [], []
    thresholds = {"yellow": scorecard.tiers.yellow, "green": scorecard.tiers.green}

    def highest(score: float, sign: int) -> int:
        """The best tier this score is good for, with every threshold shifted to one side by the band."""
        fit = [
            RANKS.index(name)
            for name, t in thresholds.items()
            if score >= t + sign * min(band, ((100 - t) if sign > 0 else t) / 2)
        ]
        return max(fit, default=0)

    for score in scores:
        if score is not None:
            seen.append(score)
            last = seen[-dwell:]
            if tier is None:
                tier = raw(scorecard, score)
            elif len(last) == dwell:
                down, up = max(highest(s, -1) for s in last), min(highest(s, 1) for s in last)
                place = RANKS.index(tier)
                tier = RANKS[down if down < place else up if up > place else place]
        tiers.append(tier)
    return tiers


SCORES = st.lists(st.one_of(st.none(), st.floats(0, 100), st.sampled_from([36.9, 37, 40, 67, 70, 72.9, 73])))


@given(SCORES, st.sampled_from([0, 1, 3, 10]), st.integers(1, 4), st.sampled_from([(70, 40), (51, 50), (100, 1)]))
def test_the_tier_is_the_one_found_by_looking_at_the_last_days(
    scores: list[float | None], band: float, dwell: int, tiers: tuple[float, float]
) -> None:
    scorecard = made(settle={"band": band, "dwell": f"{dwell}d"}, tiers={"green": tiers[0], "yellow": tiers[1]})
    assert folded(scorecard, scores) == by_hand(scorecard, scores)


@given(st.floats(67, 73, exclude_max=True), st.lists(st.floats(67, 72.9), min_size=1, max_size=60))
def test_a_score_that_wanders_within_the_band_never_changes_the_tier(start: float, noise: list[float]) -> None:
    assert len(set(folded(made(), [start, *noise]))) == 1


@pytest.mark.parametrize(("fallen", "tier"), [(66.9, "yellow"), (36.9, "red"), (0, "red")])
def test_a_decline_is_told_after_exactly_the_dwell(fallen: float, tier: str) -> None:
    assert folded(made(), [90, 90, fallen, fallen, fallen, fallen]) == ["green"] * 4 + [tier] * 2


def _wandering(seed: int, mean: float) -> list[float]:
    """A year of scores of a customer who stays as it is: they stray 2.3 points from the mean, and come back."""
    random, off = Random(seed), 0.0
    return [mean + (off := 0.9 * off + random.gauss(0, 1)) for _ in range(365)]


def test_a_customer_who_stays_as_it_is_does_not_flap() -> None:
    flaps = Counter[tuple[float, str]]()
    for seed in range(40):
        for mean in (70, 74):  # on the threshold, and beside it
            scores = _wandering(seed, mean)
            for dwell, scorecard in (("none", made(settle={"band": 0, "dwell": "1d"})), ("default", made())):
                flaps[mean, dwell] += sum(a != b for a, b in pairwise(folded(scorecard, scores)))
    assert flaps[70, "none"] > 40 * 50  # every week without
    assert flaps[70, "default"] < 40 * 5
    assert flaps[74, "none"] > 40 * 8
    assert flaps[74, "default"] < 40 * 1


@given(
    st.lists(st.floats(67, 100), min_size=1, max_size=20),
    st.floats(0.5, 20),
    st.lists(st.floats(-3, 3), min_size=60, max_size=60),
    st.sampled_from([(3, 3), (0, 1), (3, 1), (5, 5)]),
)
def test_a_planted_decline_is_told_no_later_than_the_dwell_after_it_is_beyond_the_band(
    before: list[float], slope: float, noise: list[float], settle_: tuple[int, int]
) -> None:
    band, dwell = settle_
    decline = [max(0.0, 75 - slope * day + noise[day]) for day in range(60)]
    scores = [90.0, *before, *decline]
    beyond = next(n for n in range(len(scores)) if max(scores[n:]) < 70 - band)
    tiers = folded(made(settle={"band": band, "dwell": f"{dwell}d"}), scores)
    assert "green" not in tiers[beyond + dwell - 1 :]


def test_a_move_goes_no_further_than_all_of_its_days_and_the_rest_counts_for_the_next() -> None:
    assert folded(made(), [90, 60, 30, 30, 30])[1:] == ["green", "green", "yellow", "red"]


def test_days_without_a_score_neither_count_nor_break_the_row() -> None:
    assert folded(made(), [90, 60, None, 60, None, 60])[-2:] == ["green", "yellow"]


@given(st.floats(0, 100), st.sampled_from(RANKS))
def test_a_tier_stays_where_the_fold_says_it_stays(score: float, tier: str) -> None:
    low, high = stays(made())[tier]
    once = made(settle={"dwell": "1d"})
    after = settle(once, Steady(tier, once.version), Day(FIRST, raw(once, score), score, {}))
    assert after is not None
    assert (after.tier == tier) == (low <= score < high)


def test_another_version_begins_with_the_tier_of_its_score() -> None:
    after = settle(made(), Steady("red", "another", ("yellow",)), Day(FIRST, "yellow", 50, {}))
    assert after == Steady("yellow", made().version)


# caps


def capped(days: Sequence[Fired], scorecard: Scorecard = CAPPED, state: Steady | None = None) -> str:
    """Y on the days of a green account on which its cap is in force."""
    told_on = ""
    for number, fired in enumerate(days):
        day = Day(FIRST + timedelta(number), "green", 95, {"fell": fired})
        state = settle(scorecard, state, day)
        told_on += told(scorecard, state)[0]
    return told_on


FELL, LOW, HALF, BACK = Fired(True, 7, 10), Fired(False, 7, 8), Fired(False, 8.5, 10), Fired(False, 8.6, 10)
UNKNOWN = Fired(None)


def test_a_cap_outlasts_its_rule_for_thirty_days() -> None:
    assert capped([FELL, *[LOW] * 40]) == "y" * 30 + "g" * 11


def test_a_cap_ends_when_more_than_half_is_recovered() -> None:
    assert capped([FELL, LOW, HALF, BACK, LOW]) == "yyygg"


def test_a_cap_is_in_force_while_its_rule_holds_however_long() -> None:
    assert capped([FELL] * 35 + [LOW]) == "y" * 35 + "g"


def test_a_cap_whose_rule_begins_to_hold_again_begins_again() -> None:
    assert capped([FELL, *[LOW] * 20, FELL, *[LOW] * 35]) == "y" * 51 + "g" * 6


def test_a_cap_neither_begins_nor_ends_by_what_is_not_known() -> None:
    assert capped([UNKNOWN, FELL, *[UNKNOWN] * 40]) == "g" + "y" * 30 + "g" * 11


def test_a_cap_without_days_ends_with_its_rule() -> None:
    idle = made(caps={"fell": {"when": "use < 1", "tier": "red", "reason": "nobody came"}})
    assert capped([Fired(False), Fired(True), Fired(True), Fired(False), UNKNOWN], idle) == "grrgg"


def test_a_rise_is_recovered_from_downwards() -> None:
    assert capped([Fired(True, 20, 10), Fired(False, 15.1, 10), Fired(False, 14.9, 10)]) == "yyg"


def test_a_cap_never_improves_a_tier() -> None:
    day = Day(FIRST, "red", 10, {"fell": FELL})
    assert told(CAPPED, settle(CAPPED, None, day)) == "red"


def test_a_cap_acts_on_a_day_that_is_not_final_and_the_tier_does_not() -> None:
    state = Steady("green", CAPPED.version, ("yellow", "yellow"))
    day = Day(FIRST, "yellow", 50, {"fell": FELL})
    after = settle(CAPPED, state, day, final=False)
    assert (after and after.toward, told(CAPPED, after)) == (("yellow", "yellow"), "yellow")
    calm = day._replace(rules={})
    assert told(CAPPED, settle(CAPPED, state, calm, final=False)) == "green"


def test_a_cap_survives_a_version_that_leaves_its_rule_alone() -> None:
    day = Day(FIRST, "green", 95, {"fell": FELL})
    state = settle(CAPPED, None, day)
    worded = made(caps={"fell": {"when": "fell <= -0.3", "reason": "other words"}}, tiers={"green": 60})
    changed = made(caps={"fell": {"when": "fell <= -0.4", "reason": "use fell"}})
    window = {**MEASURES, "use": MEASURES["use"] | {"window": "7d"}}
    measured = card(dimensions=DIMENSIONS, measures=window, caps=CAPPED.model_dump()["caps"])
    for other, in_force in ((worded, "y"), (changed, "g"), (measured, "g")):
        assert other.version != CAPPED.version
        assert capped([LOW], other, state) == in_force


NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,5})?", fullmatch=True)
CAPS = st.builds(
    Capped, NAMES, st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.dates(), st.booleans(), NUMBERS, NUMBERS
)


@given(st.sampled_from(RANKS), st.lists(st.sampled_from(RANKS), max_size=3), st.lists(CAPS, max_size=3))
def test_a_state_is_read_back_from_its_text(tier: str, toward: list[str], caps: list[Capped]) -> None:
    state = Steady(tier, "3f2a9c01d4be", tuple(toward), tuple(caps))
    assert read(state.text()) == state

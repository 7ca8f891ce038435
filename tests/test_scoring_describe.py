"""A scorecard in words, and what one says otherwise than another."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import Scorecard
from scoring.describe import described, in_words, percent, shares
from scoring.differences import changes
from tests.cards import cards

LOGINS = {"events": "login", "take": "distinct_users", "window": "7d", "points": {0: 0, 0.7: 100}}
CARD: dict[str, Any] = {
    "name": "small",
    "dimensions": {
        "use": {"weight": 20, "measures": {"logins": 3, "depth": 1}},
        "support": {"weight": 80, "measures": {"tickets": 1}},
    },
    "measures": {
        "logins": LOGINS,
        "depth": {"events": "feature.*", "take": "count", "window": "28d", "over": "seats", "points": {0: 0, 9: 100}},
        "tickets": {"events": ["a", "b"], "take": "count", "window": "28d", "absent": 100, "points": {0: 100, 9: 0}},
        "seats": {"events": "seats", "take": "last", "max_age": "90d"},
        "trend": {"of": "logins", "against": "previous"},
    },
    "caps": {"fell": {"when": "trend <= -0.3", "reason": "use fell", "action": "Call them."}},
    "watch": {"quiet": {"when": "logins < 1", "reason": "nobody came"}},
}


def card(**given: Any) -> Scorecard:
    """The small card with `given` in place of its keys; `measures__logins__window="9d"` reaches inside."""
    content = Scorecard.model_validate(CARD).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for path, value in given.items():
        *way, last = path.split("__")
        inner = content
        for word in way:
            inner = inner.setdefault(word, {})
        inner[last] = value
    return Scorecard.model_validate(content)


def test_a_card_is_told_with_shares_curves_and_rules() -> None:
    assert list(described(card()))[1:] == [
        "green from 70, yellow from 40; a tier is left after 3 days 3 points beyond its threshold",
        "scored from 50% of the weight on; the last numbers of a source that is behind stand for 7 days",
        "use 20%",
        "  logins 15%: users with login, in 7 days; points {0: 0, 0.7: 100}",
        "  depth 5%: number of feature.*, in 28 days, divided by seats; points {0: 0, 9: 100}",
        "support 80%",
        "  tickets 80%: number of a, b, in 28 days; points {0: 100, 9: 0}; 100 points when nothing happened",
        "measures without weight",
        "  seats: latest seats, at most 90 days old",
        "  trend: change of logins against the window before",
        "caps",
        "  fell: at most yellow when trend <= -0.3, for 30 days from then: use fell (next: Call them.)",
        "watch flags, on green accounts",
        "  quiet: when logins < 1: nobody came",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"of": "logins", "against": {"shift": "365d"}}, "change of logins against 365 days earlier"),
        ({"of": "logins", "against": {"longer": "90d"}}, "change of logins against the daily mean of 90 days"),
        (
            {"take": "open", "opens": "o", "closes": "c", "as": "oldest_days"},
            "age in days of the oldest opened by o and not closed by c",
        ),
        ({"take": "days_between", "from": "a", "to": ["b", "c"]}, "days from the first a to the first b, c"),
        (
            {"events": "s", "take": "mean", "window": "90d", "half_life": "14d", "where": "value >= 3", "over": 7},
            "mean of s, where value >= 3, in 90 days, one 14 days old counts half, divided by 7",
        ),
        ({"events": "plan", "take": "last", "map": {"free": 20, "pro": 70}}, "latest plan; points {free: 20, pro: 70}"),
    ],
)
def test_every_kind_of_measure_has_words(words: dict[str, Any], told: str) -> None:
    base = {"take": "count", "events": "login", "window": "7d"}
    made = card(measures__logins=base | {"points": LOGINS["points"]}, measures__extra=words)
    assert in_words(made.measures["extra"]) == told


@given(cards())
@settings(max_examples=25)
def test_shares_add_up_and_every_measure_is_told_once(content: dict[str, Any]) -> None:
    made = Scorecard.model_validate(content)
    assert sum(share.weight for share in shares(made)) == pytest.approx(1)
    told = [line.split(":")[0].split()[0] for line in described(made) if line.startswith("  ")]
    assert sorted(told) == sorted([*made.measures, *made.caps, *made.watch])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": "large"}, ["name: small -> large"]),
        ({"tiers": {"green": 75}}, ["green begins at: 70 -> 75"]),
        ({"settle": {"dwell": "5d"}}, ["dwell of settle: 3d -> 5d"]),
        (
            {"dimensions__use__weight": 35, "dimensions__support__weight": 65},
            ["weight of dimension use: 20% -> 35%", "weight of dimension support: 80% -> 65%"],
        ),
        ({"dimensions__use__measures__depth": 2}, ["weight of logins: 15% -> 12%", "weight of depth: 5% -> 8%"]),
        (
            {"dimensions__use__weight": 2, "dimensions__support__weight": 8},
            [
                "weight of dimension use: 20% (written 20) -> 20% (written 2)",
                "weight of dimension support: 80% (written 80) -> 80% (written 8)",
            ],
        ),
        ({"measures__logins__points": {0: 0, 0.5: 100}}, ["curve of logins: {0: 0, 0.7: 100} -> {0: 0, 0.5: 100}"]),
        ({"measures__logins__absent": 50}, ["points without events of logins added: 50"]),
        ({"measures__tickets__absent": None}, ["points without events of tickets removed"]),
        ({"measures__depth__events": ["x", "y"]}, ["events of depth: feature.* -> x, y"]),
        ({"measures__trend__against": {"shift": "30d"}}, ["against of trend: previous -> {shift: 30d}"]),
        (
            {"caps": {}},
            ["cap fell removed"],
        ),
        (
            {"caps__left": {"when": "seats < 1", "tier": "red", "reason": "gone"}},
            ["cap left added: at most red when seats < 1, as long as that holds: gone"],
        ),
        ({"caps__fell__when": "trend <= -0.2"}, ["when of fell: trend <= -0.3 -> trend <= -0.2"]),
        ({"watch__quiet__reason": "silence"}, ["reason of quiet: nobody came -> silence"]),
        (
            {"dimensions__use__measures__trend": 4, "measures__trend__points": {-1: 0, 0: 100}},
            [
                "weight of logins: 15% -> 7.5%",
                "weight of depth: 5% -> 2.5%",
                "weight of trend added: 10%",
                "curve of trend added: {-1: 0, 0: 100}",
            ],
        ),
        (
            {"dimensions__use__measures": {"logins": 3}, "dimensions__support__measures": {"tickets": 1, "depth": 1}},
            [
                "weight of logins: 15% -> 20%",
                "weight of depth: 5% (in use) -> 40% (in support)",
                "weight of tickets: 80% -> 40%",
            ],
        ),
        (
            {"measures__more": LOGINS, "dimensions__support__measures": {"tickets": 1, "more": 1}},
            [
                "weight of tickets: 80% -> 40%",
                "measure more added: 40% of the score; users with login, in 7 days; points {0: 0, 0.7: 100}",
            ],
        ),
    ],
)
def test_what_changed_is_told_in_words(given: dict[str, Any], told: list[str]) -> None:
    assert [str(change) for change in changes(card(), card(**given))] == told
    assert len(changes(card(**given), card())) == len(told)


@given(cards(), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_order_alone_is_no_change(content: dict[str, Any], chance: random.Random) -> None:
    assert changes(Scorecard.model_validate(content), Scorecard.model_validate(_shuffled(content, chance))) == ()


def _shuffled(value: Any, chance: random.Random) -> Any:
    """Every mapping in another order but curves, which say what they say in rising order."""
    if not isinstance(value, dict):
        return value
    pairs = [(key, _shuffled(inner, chance)) for key, inner in value.items()]
    if not any(isinstance(key, float) for key in value):
        chance.shuffle(pairs)
    return dict(pairs)


@given(cards(), st.data())
@settings(max_examples=25)
def test_no_single_change_goes_untold(content: dict[str, Any], data: st.DataObject) -> None:
    other = data.draw(cards())
    key = data.draw(st.sampled_from(["tiers", "hold", "coverage_floor", "settle", "caps", "watch", "measures"]))
    changed = {**content, key: other[key]} if key in other else {k: v for k, v in content.items() if k != key}
    before, after = Scorecard.model_validate(content), Scorecard.model_validate(changed)
    assert (not changes(before, after)) == (before.version == after.version)


@pytest.mark.parametrize(("share", "told"), [(0.2, "20%"), (1 / 7, "14.3%"), (1.0, "100%"), (0.0004, "0%")])
def test_a_share_has_a_decimal_where_it_needs_one(share: float, told: str) -> None:
    assert percent(share) == told

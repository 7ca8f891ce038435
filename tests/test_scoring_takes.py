"""Users, days and users' days told apart by bits come to what they come to row by row."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import takes
from tests.scoring_world import card, connect, plain, run

POINTS = {0: 0, 100: 100}
COUNTED = {
    "users": {"events": "login", "take": "distinct_users", "window": "7d", "points": POINTS},
    "days": {"events": "login", "take": "active_days", "window": "31d", "points": POINTS},
    "busy": {"events": "*", "where": "value >= 2", "take": "active_days", "window": "28d", "points": POINTS},
    "user_days": {"events": "login", "take": "user_days", "window": "28d", "points": POINTS},
    "more_users": {"of": "users", "against": {"shift": "55d"}, "points": {-1: 0, 1: 100}},
}
CARD = card(dimensions={"use": {"weight": 1, "measures": dict.fromkeys(COUNTED, 1)}}, measures=COUNTED)
CONNECTION = connect()

_facts = st.lists(
    st.fixed_dictionaries(
        {
            "ago": st.integers(0, 70),
            "key": st.sampled_from(["acme", "acme-2"]),
            "actor": st.sampled_from([None, "ann", "bob"]),
            "name": st.sampled_from(["login", "export"]),
            "value": st.sampled_from([1.0, 2.0]),
        }
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=10)
@given(_facts)
def test_bits_and_rows_count_the_same(facts: list[dict[str, Any]]) -> None:
    world = plain("login", "export")
    world.links["facts", "acme-2"] = "acme"
    for number, fact in enumerate(facts):
        world.add(**fact, id=str(number))
    by_bits = run(CARD, world, CONNECTION)
    with patch.object(takes, "BITS", 0):
        assert run(CARD, world, CONNECTION) == by_bits

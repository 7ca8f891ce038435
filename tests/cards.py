"""Scorecards as odd as the language allows: every word that people choose freely, every number at its limits."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TRAPS = [
    "yes",
    "null",
    "~",
    "1.0",
    "0x1f",
    "2026-01-01",
    "- x",
    "a: b",
    "#",
    "*a",
    "&a",
    "'",
    '"',
    "{}",
    "!!x",
    "=",
    "\\",
    "%",
]
ODD = "\u2028\ufeff\U0001f600é\t:#'\"{}[],&*!|>%@`-? \\$"
_letters = st.one_of(st.sampled_from(ODD), st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")))
words = st.one_of(st.sampled_from(TRAPS), st.text(_letters, min_size=1, max_size=30)).filter(
    lambda text: text == text.strip() and not text.startswith("${")
)
weights = st.floats(1e-6, 1_000_000)
points = st.one_of(st.sampled_from([0.0, -0.0, 0.1, 100.0]), st.floats(0, 100))
values = st.one_of(st.sampled_from([0.0, -0.0, 1e-7, -1e12, 1e12, 1e-300]), st.floats(-1e12, 1e12))
days = st.integers(1, 3660).map("{}d".format)
curves = st.dictionaries(values, points, min_size=2, max_size=5).map(lambda curve: dict(sorted(curve.items())))


def perhaps(**given: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these words, or none."""
    return st.fixed_dictionaries({}, optional=given)


@st.composite
def cards(draw: st.DrawFn) -> dict[str, Any]:
    """The content of a scorecard that can be used."""
    told = perhaps(label=words, unit=words.filter(lambda text: len(text) <= 60), action=words, absent=points)
    measures: dict[str, Any] = {
        "many": {"events": ["a.*", "1", "*"], "take": "count", "window": draw(days), "points": draw(curves)},
        "plan": {"events": "yes", "take": "last", "map": draw(st.dictionaries(words, points, min_size=1, max_size=3))},
        "trend": {"of": "many", "against": draw(st.sampled_from(["previous", {"shift": "365d"}]))},
        "shared": {"events": "null", "take": "mean", "window": "7d", "over": draw(st.floats(1e-9, 1e9))},
        "waiting": {"take": "open", "opens": "o", "closes": ["c", "d"], "as": "oldest_days"},
    }
    measures = {name: measure | draw(told) for name, measure in measures.items()}
    measures["shared"] |= draw(
        perhaps(where=st.sampled_from(["label in ('it''s', '#')", "not value >= -2"]), half_life=days)
    )
    rule = {"when": st.sampled_from(["many < 3", "trend <= -0.3 or plan = 'x'"]), "reason": words}
    given = draw(
        perhaps(
            tiers=st.sampled_from([{"green": 80, "amber": 10.5}, {"yellow": 0}]),
            hold=days,
            coverage_floor=st.floats(0, 1),
            settle=perhaps(band=st.floats(0, 30), dwell=st.integers(1, 30).map("{}d".format)),
            caps=st.dictionaries(
                st.sampled_from(["no", "fell"]),
                st.fixed_dictionaries(
                    rule, optional={"tier": st.sampled_from(["amber", "red"]), "lasts": days, "action": words}
                ),
            ),
            watch=st.dictionaries(st.sampled_from(["on", "silent"]), st.fixed_dictionaries(rule)),
        )
    )
    places = draw(st.sampled_from([("use", "use"), ("use", "null")]))
    dimensions: dict[str, Any] = {name: {"weight": draw(weights), "measures": {}} for name in places}
    for place, name in zip(places, ("many", "plan"), strict=True):
        dimensions[place]["measures"][name] = draw(weights)
    return {"name": "yes", **given, "dimensions": dimensions, "measures": measures}

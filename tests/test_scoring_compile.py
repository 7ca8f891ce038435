"""What is printed of a scorecard: SQL that people can read."""

from __future__ import annotations

from benchmarks import scoring_data
from scoring import compile


def test_twenty_measures_are_at_most_250_short_lines_that_name_each_of_them() -> None:
    card = scoring_data.scorecard()
    text = compile(card, scoring_data.NAMES).sql()
    lines, said = text.splitlines(), " ".join(text.split())
    assert len(lines) <= 250
    assert max(map(len, lines)) <= 160
    weighted = [measure for group in card.dimensions.values() for measure in group.measures]
    assert len(weighted) == 20
    for measure in weighted:
        assert all(f" as {measure}__{column}" in said for column in ("value", "points"))

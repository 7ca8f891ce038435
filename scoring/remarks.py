"""A remark about a scorecard, and what all remarks are made from: its weights, and the events behind its measures."""

from __future__ import annotations

from typing import NamedTuple

from scoring.scorecard import Scorecard

Loc = tuple[str | int, ...]


class Remark(NamedTuple):
    """A warning: the key it is about, what is odd there, and what to do."""

    place: Loc
    message: str
    remedy: str


class Weight(NamedTuple):
    """Where a measure is weighted, and its share of the whole scorecard."""

    dimension: str
    share: float

    def place(self, name: str) -> Loc:
        return ("dimensions", self.dimension, "measures", name)


def weights(card: Scorecard) -> dict[str, Weight]:
    """Every weighted measure, by name."""
    whole = sum(group.weight for group in card.dimensions.values())
    return {
        name: Weight(dimension, group.weight / whole * weight / sum(group.measures.values()))
        for dimension, group in card.dimensions.items()
        for name, weight in group.measures.items()
    }


def about(card: Scorecard, name: str) -> tuple[str, ...]:
    """The events a measure is made of; a comparison is made of those of the measure it compares."""
    measure = card.measures[name]
    if measure.of is not None:
        return about(card, measure.of)
    return measure.events or measure.opens or (measure.from_ or ()) + (measure.to or ())

"""Why a score moved between two days: signed causes that add up to the change exactly and come in no order.

A score is the sum of weight x points over measures, so between two days a measure moves it by
(points moved) x (mean weight) + (weight moved) x (mean points): the midpoint split, the same whichever of the two is
thought to have moved first. Under one scorecard weights move only because measures went missing or came back, so all
weight that moved is theirs: each answers for its own share, times how far its points lie from the mean of what that
share went to or came from. Under two scorecards everything is the mean over both orders, scorecard first and facts
first. All of it is reckoned in fractions and rounded once, to the grid that scores are on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from scoring import patterns, rows
from scoring.explain import Part
from scoring.plan import Node, plan
from scoring.printer import on_grid
from scoring.scorecard import Scorecard

Kind = Literal["new data", "ageing", "calendar", "missing", "judgement", "scorecard", "corrected"]
Parts = Mapping[str, Part]
Fractions = Mapping[str, Fraction]
Amounts = dict[tuple[str, Kind], Fraction]

GRID = 2**20
DATED = frozenset({"days_since", "days_until"})


class Cause(NamedTuple):
    """What moved the score by `change` points, a multiple of 2^-20. `measure` is empty where it was none by itself."""

    kind: Kind
    measure: str
    change: float


class View(NamedTuple):
    """Two days as one scorecard sees them: parts by measure, and what it is that moves each measure's points."""

    card: Scorecard
    before: Parts
    after: Parts
    kinds: Mapping[str, Kind]


def causes(change: float, views: Sequence[View]) -> tuple[Cause, ...]:
    """The causes of a change, largest first; they sum to it with `==`.

    `views`: one by the scorecard of both days; or one by the first day's and one by the second's. `change`: between the
    scores as they were worked out, each rounded to 2^-20. The last cause by name takes what rounding leaves over.
    Raises ValueError for a change between two days that do not differ.
    """
    told = {key: round(amount * GRID) / GRID for key, amount in sorted(_amounts(views).items())}
    if told:
        told[max(told)] += change - sum(told.values())
    elif change:
        raise ValueError(f"the two days do not differ, so the score cannot have moved by {change}")
    return largest_first(Cause(kind, measure, moved) for (measure, kind), moved in told.items() if moved)


def largest_first(found: Iterable[Cause]) -> tuple[Cause, ...]:
    return tuple(sorted(found, key=lambda cause: (-abs(cause.change), cause.measure, cause.kind)))


def worth(card: Scorecard, parts: Parts) -> float | None:
    """The score that the points come to, however much of the scorecard they cover; None where there are none."""
    return on_grid(float(_score(card, parts))) if _points(parts) else None


def _amounts(views: Sequence[View]) -> Amounts:
    first, last = views[0], views[-1]
    if first is last:
        return _facts(first)
    card_first, facts_first = _points(last.before), _points(first.after)
    paths = []
    if card_first:
        paths.append(_facts(last) | _switch(first.card, first.before, last.card, last.before))
    if facts_first:
        paths.append(_facts(first) | _switch(first.card, first.after, last.card, last.after))
    paths = paths or [_switch(first.card, first.before, last.card, last.after)]
    keys = {key for path in paths for key in path}
    return {key: _mean([path.get(key, Fraction()) for path in paths]) for key in keys}


def _switch(card: Scorecard, parts: Parts, other: Scorecard, others: Parts) -> Amounts:
    return {("", "scorecard"): _score(other, others) - _score(card, parts)}


def _facts(view: View) -> Amounts:
    """What moved under one scorecard: points at their mean weight, then the weights."""
    found: Amounts = {}
    before, after = _points(view.before), _points(view.after)
    weights = [_weights(view.card, points) for points in (before, after)]
    for name in before.keys() & after.keys():
        if before[name] != after[name]:
            moved = after[name] - before[name]
            found[name, view.kinds[name]] = moved * _mean([weight[name] for weight in weights])
    for name, amount in _shared_out(view.card, before, after):
        found[name, "judgement" if view.kinds[name] == "judgement" else "missing"] = amount
    return found


def _shared_out(card: Scorecard, before: Fractions, after: Fractions) -> Iterator[tuple[str, Fraction]]:
    """For each measure that only one of the days has: what its share of the score, going or coming, brought.

    Its share goes to the rest of its dimension; that of the last of a dimension goes to the other dimensions.
    """
    names = before.keys() | after.keys()
    points = {name: _mean([day[name] for day in (before, after) if name in day]) for name in names}
    one, other = _groups(card, before), _groups(card, after)
    outer = _outer(card, one), _outer(card, other)
    means = {n: _mean([_weighted(day[n], points) for day in (one, other) if n in day]) for n in one.keys() | other}
    for name in means:
        if name in one and name in other:
            share, middle = _mean([_share(name, day) for day in outer]), _taker(one[name], other[name], points)
            for measure in one[name].keys() ^ other[name].keys():
                moved = _share(measure, other[name]) - _share(measure, one[name])
                yield measure, share * moved * (points[measure] - middle)
        else:
            group, moved = one.get(name) or other[name], _share(name, outer[1]) - _share(name, outer[0])
            middle = _taker(*outer, means)
            for measure in group:
                yield measure, moved * _share(measure, group) * (points[measure] - middle)


def _taker(one: Fractions, other: Fractions, values: Fractions) -> Fraction:
    """The mean of what was there on both days; where nothing was, halfway between what was there on each."""
    stayed = {name: weight for name, weight in one.items() if name in other}
    return _weighted(stayed, values) if stayed else _mean([_weighted(day, values) for day in (one, other)])


def _points(parts: Parts) -> dict[str, Fraction]:
    return {name: Fraction(part.points) for name, part in parts.items() if part.points is not None}


def _groups(card: Scorecard, points: Fractions) -> dict[str, dict[str, Fraction]]:
    """By dimension, of those that have any: the weights of the measures that have points."""
    groups = {
        name: {measure: Fraction(weight) for measure, weight in group.measures.items() if measure in points}
        for name, group in card.dimensions.items()
    }
    return {name: group for name, group in groups.items() if group}


def _outer(card: Scorecard, groups: Iterable[str]) -> dict[str, Fraction]:
    return {name: Fraction(card.dimensions[name].weight) for name in groups}


def _weights(card: Scorecard, points: Fractions) -> dict[str, Fraction]:
    """Each measure's share of the score; they sum to 1."""
    groups = _groups(card, points)
    outer = _outer(card, groups)
    return {m: _share(name, outer) * _share(m, group) for name, group in groups.items() for m in group}


def _score(card: Scorecard, parts: Parts) -> Fraction:
    points = _points(parts)
    return _weighted(_weights(card, points), points)


def _share(name: str, weights: Fractions) -> Fraction:
    return weights.get(name, Fraction()) / sum(weights.values(), Fraction())


def _weighted(weights: Fractions, values: Fractions) -> Fraction:
    return sum((weight * values[name] for name, weight in weights.items()), Fraction()) / sum(weights.values())


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction()) / len(values)


# what a measure reads


def reads(card: Scorecard, sources: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """By weighted measure: the SQL test that a fact `f` of so many days' `age` counts for it, or for what it is divided
    by or compared with. `sources`: the event names, or patterns, that each source can yield.
    """
    wanted = plan(card, sources, None)
    tests = {}
    for item in wanted.scored:
        read = {node.stem: node for node in item.node.walk() if node.own}
        tests[item.name] = " or ".join(_counts(node, wanted.sources) for _, node in sorted(read.items())) or "false"
    return tests


def kinds(
    card: Scorecard, sources: Mapping[str, Sequence[str]], new: Collection[str], *, judges: str = ""
) -> dict[str, Kind]:
    """What it is that moves each weighted measure's points: a person's word, new facts, or time alone.

    `new`: the measures for which facts dated after the first day count on the second. `judges`: the source of people's
    judgements.
    """
    found: dict[str, Kind] = {}
    for item in plan(card, sources, None).scored:
        measure = card.measures[item.name]
        base = card.measures[measure.of] if measure.of else measure
        aged: Kind = "calendar" if base.take in DATED or base.as_ == "oldest_days" else "ageing"
        judged = item.node.sources == (judges,)
        found[item.name] = "judgement" if judged else "new data" if item.name in new else aged
    return found


def _counts(node: Node, among: Sequence[str]) -> str:
    opens, closes = node.measure.opens, node.measure.closes
    if closes:  # a rule is about what opens
        return f"({rows.counts(node, names=opens, among=among)}) or {patterns.condition(closes)}"
    return f"({rows.counts(node, names=rows.names([node]), among=among)})"

"""What of a scorecard is out of reach: points, tiers and rules that can never be, and measures that nothing uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite

from scoring import ranges, rules
from scoring.remarks import Loc, Remark, weights
from scoring.scorecard import Measure, Scorecard
from scoring.segments import Segment


def curves(card: Scorecard) -> Iterator[Remark]:
    for name in weights(card):
        measure = card.measures[name]
        if measure.map is not None:
            if len(set(measure.map.values())) == 1 and measure.absent in (None, *measure.map.values()):
                yield Remark(("measures", name, "map"), *_SAME)
        elif measure.points is not None:
            for message, remedy in _curve(measure, ranges.of_measure(card, name)):
                yield Remark(("measures", name, "points"), message, remedy)


_SAME = ("has the same points for everything, so it cannot move the score", "give better values more points")


def _curve(measure: Measure, among: ranges.Range) -> Iterator[tuple[str, str]]:
    least, most = ranges.extremes(measure, among)
    if least == most:
        yield _SAME
        return
    if least > 0:
        yield f"never falls below {least:g} points: even the worst value is worth something", _END.format("0")
    if most < 100:
        yield f"never rises above {most:g} points: even the best value costs something", _END.format("100")
    points = list((measure.points or {}).values())
    rises = {right > left for left, right in pairwise(points) if right != left}
    if len(rises) > 1:
        yield "turns: more is better in one part and worse in another", "leave it so if that is meant"


_END = "end the curve at {} points, or leave it so if that is meant"


def tiers(card: Scorecard) -> Iterator[Remark]:
    ends = {name: ranges.extremes(card.measures[name], ranges.of_measure(card, name)) for name in weights(card)}
    worst, best = (sum(w.share * ends[name][end] for name, w in weights(card).items()) for end in (0, 1))
    if best < card.tiers.green - 1e-9:
        remedy = "lower the threshold, or let curves reach 100"
        yield Remark(("tiers", "green"), f"the best there is comes to {best:.1f}, so nobody can be green", remedy)
    if worst >= card.tiers.yellow - 1e-9:
        remedy = "raise the threshold, or let curves reach 0"
        yield Remark(("tiers", "yellow"), f"the worst there is comes to {worst:.1f}, so nobody can be red", remedy)


# rules


def never_or_always(card: Scorecard) -> Iterator[Remark]:
    for section, named in (("caps", card.caps), ("watch", card.watch)):
        for name, rule in named.items():
            told = {measure: ranges.of_measure(card, measure) for measure in rules.names(rule.when)}
            place = (section, name, "when")
            if ranges.narrowed(rule.when, {}) is None:
                yield Remark(place, "contradicts itself, so it can never hold", "mend the comparison")
            elif ranges.narrowed(rule.when, told) is None:
                yield Remark(place, f"can never hold: {_spoken(told)}", "compare with a value that occurs")
            elif ranges.certain(rule.when, told):
                yield Remark(place, f"always holds: {_spoken(told)}", "compare with a value that tells customers apart")


def _spoken(told: ranges.Ranges) -> str:
    """What measures can be, in words."""
    limits = {name: (found.low[0], found.high[0]) for name, found in told.items() if found != ranges.ANY}
    return ", ".join(
        f"{name} is never below {low:g}" + (f" or above {high:g}" if isfinite(high) else "")
        for name, (low, high) in limits.items()
    )


def outdone(card: Scorecard) -> Iterator[Remark]:
    """A rule that holds only where a stricter cap does never changes anything."""
    told = {name: ranges.of_measure(card, name) for name in card.measures}
    for section, named in (("caps", card.caps), ("watch", card.watch)):
        for name, rule in named.items():
            for other, cap in card.caps.items():
                if _stricter(card, other, name) and ranges.implies(rule.when, cap.when, told):
                    yield Remark(
                        (section, name),
                        f"never tells anything: wherever it holds, caps.{other} limits the tier already",
                        "take it out, or make its rule hold elsewhere",
                    )


def _stricter(card: Scorecard, cap: str, other: str) -> bool:
    """Whether a cap leaves nothing to do for another rule while that holds: any cap ends a watch on green accounts."""
    if other in card.watch:
        return True
    lasts = card.limits[cap].lasts >= card.limits[other].lasts
    return (card.caps[cap].tier, card.caps[other].tier) == ("red", "yellow") and lasts


def segments(given: Sequence[Segment], at: Loc = ("scorecard",)) -> Iterator[Remark]:
    """Rules, at this place in the settings, by which no account comes to a scorecard."""
    for place, segment in enumerate(given[:-1]):
        where: Loc = (*at, place, "when")
        earlier = next((one for one in given[:place] if ranges.implies(segment.when, one.when, {})), None)
        if ranges.narrowed(segment.when, {}) is None:
            yield Remark(where, "contradicts itself: no account comes to this scorecard", "mend the comparison")
        elif earlier:
            message = f"no account comes to this scorecard: whoever meets this is scored by {earlier.card.name} already"
            yield Remark(where, message, "put the narrower rule first")


def impossible(card: Scorecard) -> Iterator[Remark]:
    for name, measure in card.measures.items():
        if measure.where is not None and ranges.narrowed(measure.where, {}) is None:
            yield Remark(("measures", name, "where"), "contradicts itself: no event can meet it", "mend the comparison")


def unused(card: Scorecard) -> Iterator[Remark]:
    used: set[str] = set()
    waiting = [*weights(card), *(name for rule in card.rules.values() for name in rules.names(rule.when))]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            measure = card.measures[name]
            waiting += [target for target in (measure.of, measure.over) if isinstance(target, str)]
    for name in card.measures:
        if name not in used:
            remedy = "give it a weight, use it in over:, of: or a rule, or take it out"
            yield Remark(("measures", name), "is used by nothing", remedy)

"""The scorecard language worked out the slow and obvious way, one account and day at a time, in exact fractions.

It shares no code with the compiler. Only a half-life's power is a float, as it is in every engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from scoring import Measure, Scorecard
from tests.scoring_world import Fact, World

GRID = 2**20
COUNTING = {"count", "sum", "distinct_users", "user_days", "active_days", "distinct_names", "open"}


def rounded(x: Fraction) -> Fraction:
    return Fraction((x * GRID + Fraction(1, 2)).__floor__(), GRID)


class Number(NamedTuple):
    """`nothing`: its sources were read and nothing happened. `top`: before it was divided by another measure."""

    value: Fraction | None
    nothing: bool
    top: Fraction | None = None


class Judged(NamedTuple):
    value: Fraction | None
    points: Fraction | None
    state: str


class Result(NamedTuple):
    score: Fraction | None
    best: Fraction | None
    coverage: Fraction
    low: Fraction
    parts: dict[str, Judged]


class Oracle:
    def __init__(self, card: Scorecard, world: World) -> None:
        self.card, self.world = card, world

    def result(self, account: str, day: date) -> Result:
        view = _View(self.card, self.world, account, day)
        weighted = [(name, group) for group in self.card.dimensions.values() for name in group.measures]
        parts = {name: view.judge(name) for name, _ in weighted}
        live = {name: part.points for name, part in parts.items() if part.state in ("live", "held")}
        last = {name: part.points for name, part in parts.items() if part.points is not None}
        score, known = self._mean(live), self._mean(last)
        coverage, low = self._static(dict.fromkeys(live, Fraction(1))), self._static(live)
        best = None if score is None else max(rounded(score), rounded(known or score))
        return Result(None if score is None else rounded(score), best, rounded(coverage), rounded(low), parts)

    def compared(self, name: str, account: str, day: date) -> Fraction | None:
        """The number of a measure as a rule sees it: a comparison to nine decimals."""
        value = _View(self.card, self.world, account, day).number(name, 0).value
        if value is None or self.card.measures[name].of is None:
            return value
        return Fraction((value * 10**9 + Fraction(1, 2)).__floor__(), 10**9)

    def _mean(self, points: Mapping[str, Fraction | None]) -> Fraction | None:
        top = bottom = Fraction(0)
        for group in self.card.dimensions.values():
            have = {name: Fraction(weight) for name, weight in group.measures.items() if name in points}
            if have:
                mean = sum((weight * (points[name] or 0) for name, weight in have.items()), Fraction(0))
                top += Fraction(group.weight) * mean / sum(have.values())
                bottom += Fraction(group.weight)
        return top / bottom if bottom else None

    def _static(self, points: dict[str, Fraction | None]) -> Fraction:
        whole, total = sum(Fraction(g.weight) for g in self.card.dimensions.values()), Fraction(0)
        for group in self.card.dimensions.values():
            inside = sum(Fraction(weight) for weight in group.measures.values())
            for name, weight in group.measures.items():
                total += Fraction(group.weight) / whole * Fraction(weight) / inside * (points.get(name) or 0)
        return total


class _View:
    """One account on one day."""

    def __init__(self, card: Scorecard, world: World, account: str, day: date) -> None:
        self.card, self.day = card, day
        self.sources = world.sources
        self.linked = {source for (source, _), owner in world.links.items() if owner == account}
        self.clock = {source: min(day, through) for source, (_, through) in world.reads.items()}
        self.since = {source: since for source, (since, _) in world.reads.items()}
        self.facts = [
            fact
            for fact in world.facts
            if world.links.get((fact.source, fact.account_key)) == account
            and fact.source in self.clock
            and fact.day <= self.clock[fact.source]
        ]
        self.all_facts = world.facts

    def judge(self, name: str) -> Judged:
        measure, number = self.card.measures[name], self.number(name, 0)
        points = self._points(name, measure, number)
        if points is None:
            return Judged(number.value, None, "missing")
        behind = max(
            ((self.day - self.clock[s]).days for s in self._told_by(name) & self.linked if s in self.clock), default=0
        )
        state = "stale" if behind > self.card.hold else "held" if behind >= 2 else "live"
        return Judged(number.value, rounded(points), state)

    def _points(self, name: str, measure: Measure, number: Number) -> Fraction | None:
        if self._absent(measure, number) and measure.absent is not None:
            return Fraction(measure.absent)
        if measure.map is not None:
            label = self._label(measure) if self._known(measure, 0, measure.window) else None
            return Fraction(measure.map[label]) if label in measure.map else None
        if number.value is None:
            return None
        return _curve(number.value, list((measure.points or {}).items()))

    def _absent(self, measure: Measure, number: Number) -> bool:
        if measure.map is not None:
            return self._known(measure, 0, measure.window) and self._label(measure) is None
        if measure.take in COUNTING:
            return (number.value if number.top is None else number.top) == 0
        return number.value is None and number.nothing

    # numbers

    def number(self, name: str, shift: int, window: int | None = None) -> Number:
        measure = self.card.measures[name]
        if measure.of is not None:
            return self._compared(measure, shift)
        number = self._taken(measure, shift, window or measure.window)
        if isinstance(measure.over, float):
            value = None if number.value is None else number.value / Fraction(measure.over)
            return Number(value, number.nothing)
        if measure.over is None:
            return number
        below, top = self.number(str(measure.over), shift).value, number.value
        nothing = number.nothing or (top == 0 and not below)
        if top == 0 and measure.take in COUNTING:
            return Number(Fraction(0), nothing, top)
        return Number(top / below if top is not None and below else None, nothing, top)

    def _compared(self, measure: Measure, shift: int) -> Number:
        base, against = self.card.measures[str(measure.of)], measure.against
        assert against is not None
        now = self.number(str(measure.of), shift)
        scale = Fraction(1)
        if against.longer is not None and base.window:
            rest = against.longer - base.window
            before = self.number(str(measure.of), shift + base.window, rest)
            scale = Fraction(rest, base.window)
        else:
            before = self.number(str(measure.of), shift + (against.shift or base.window or 0))
        nothing = now.nothing or now.value == 0
        value = now.value / before.value * scale - 1 if now.value is not None and before.value else None
        return Number(value, nothing)

    def _taken(self, measure: Measure, shift: int, window: int | None) -> Number:
        if not self._known(measure, shift, window):
            return Number(None, False)
        value = self._take(measure, shift, window)
        return Number(value, value is None)

    def _known(self, measure: Measure, shift: int, window: int | None) -> bool:
        told = self._own(measure) & self.linked
        return bool(told) and all(
            source in self.clock and (self.clock[source] - self.since[source]).days + 1 >= shift + (window or 1)
            for source in told
        )

    def _own(self, measure: Measure) -> set[str]:
        def yields(wanted: Iterable[str]) -> set[str]:
            return {s for s, names in self.sources.items() if any(_meet(one, two) for one in wanted for two in names)}

        if measure.take == "open":
            return yields(measure.opens or ()) & yields(measure.closes or ())
        return yields(measure.events or (*(measure.from_ or ()), *(measure.to or ())))

    def _told_by(self, name: str) -> set[str]:
        measure = self.card.measures[name]
        below = {str(other) for other in (measure.of, measure.over) if isinstance(other, str)}
        own = set() if measure.of else self._own(measure)
        return own.union(*(self._told_by(other) for other in below))

    def _age(self, fact: Fact, shift: int) -> int:
        return (self.clock[fact.source] - fact.day).days - shift

    def _seen(self, measure: Measure, names: Iterable[str], shift: int, window: int | None) -> list[Fact]:
        own = self._own(measure)
        return [
            fact
            for fact in sorted(self.facts, key=lambda f: (f.occurred_at, f.source, f.id))
            if fact.source in own
            and any(fnmatchcase(fact.name, name) for name in names)
            and self._age(fact, shift) >= 0
            and (window is None or self._age(fact, shift) < window)
            and (measure.max_age is None or self._age(fact, shift) <= measure.max_age)
            and (measure.where is None or _meets(measure.where, fact))
        ]

    def _label(self, measure: Measure) -> str | None:
        seen = self._seen(measure, measure.events or (), 0, measure.window)
        return (seen[-1] if measure.take == "last" else seen[0]).label if seen else None

    def _take(self, measure: Measure, shift: int, window: int | None) -> Fraction | None:
        if measure.take == "open":
            return self._open(measure, shift)
        if measure.take == "days_between":
            first = [fact.day for fact in self._seen(measure, measure.from_ or (), shift, None)]
            then = [fact.day for fact in self._seen(measure, measure.to or (), shift, None)]
            return Fraction((min(then) - min(first)).days) if first and then else None
        seen = self._seen(measure, measure.events or (), shift, window)
        if measure.half_life:
            return self._fading(measure, seen, shift)
        if measure.take == "days_since":
            return Fraction(min(self._age(fact, shift) for fact in seen)) if seen else None
        if measure.take == "days_until" and seen and seen[-1].value is not None:
            return Fraction(seen[-1].value) - (self.clock[seen[-1].source] - date(1970, 1, 1)).days + shift
        return _PLAIN[str(measure.take)](seen) if measure.take != "days_until" else None

    def _fading(self, measure: Measure, seen: list[Fact], shift: int) -> Fraction | None:
        def power(fact: Fact) -> float:
            return float(0.5 ** (self._age(fact, shift) / float(measure.half_life or 1)))

        weights = {fact: rounded(Fraction(power(fact))) for fact in seen}
        if measure.take == "count":
            return sum(weights.values(), Fraction(0))
        terms = [rounded(Fraction(fact.value * power(fact))) for fact in seen if fact.value is not None]
        if measure.take == "sum":
            return sum(terms, Fraction(0))
        whole = sum((weight for fact, weight in weights.items() if fact.value is not None), Fraction(0))
        return sum(terms, Fraction(0)) / whole if whole else None

    def _open(self, measure: Measure, shift: int) -> Fraction:
        opened: dict[tuple[str, str], int] = {}
        for fact in self._seen(measure, measure.opens or (), shift, None):
            subject = fact.id.split("/")[0]
            closes = [
                other.occurred_at
                for other in self.all_facts
                if other.source == fact.source
                and other.id.split("/")[0] == subject
                and any(fnmatchcase(other.name, name) for name in measure.closes or ())
                and self._age(other, shift) >= 0
            ]
            if not closes or fact.occurred_at > max(closes):
                place = (fact.source, subject)
                opened[place] = max(opened.get(place, 0), self._age(fact, shift))
        return Fraction(max(opened.values(), default=0) if measure.as_ == "oldest_days" else len(opened))


def _numbers(seen: Sequence[Fact]) -> list[Fraction]:
    return [Fraction(fact.value) for fact in seen if fact.value is not None]


def _whole(count: int) -> Fraction:
    return Fraction(count)


def _some(choose: Callable[[list[Fraction]], Fraction]) -> Callable[[Sequence[Fact]], Fraction | None]:
    return lambda seen: choose(_numbers(seen)) if _numbers(seen) else None


def _at(place: int) -> Callable[[Sequence[Fact]], Fraction | None]:
    def pick(seen: Sequence[Fact]) -> Fraction | None:
        return Fraction(seen[place].value) if seen and seen[place].value is not None else None  # type: ignore[arg-type]

    return pick


def _names_on(seen: Sequence[Fact]) -> Fraction | None:
    latest = {fact.name: fact.value for fact in seen}
    return _whole(sum(1 for value in latest.values() if value)) if latest else None


_PLAIN: dict[str, Callable[[Sequence[Fact]], Fraction | None]] = {
    "count": lambda seen: _whole(len(seen)),
    "sum": lambda seen: sum(_numbers(seen), Fraction(0)),
    "mean": _some(lambda values: sum(values, Fraction(0)) / len(values)),
    "median": _some(median),
    "min": _some(min),
    "max": _some(max),
    "last": _at(-1),
    "first": _at(0),
    "distinct_users": lambda seen: _whole(len({f.actor for f in seen} - {None})),
    "user_days": lambda seen: _whole(len({(f.actor, f.day) for f in seen if f.actor is not None})),
    "active_days": lambda seen: _whole(len({f.day for f in seen})),
    "distinct_names": lambda seen: _whole(len({f.name for f in seen})),
    "names_on": _names_on,
}


def _curve(value: Fraction, curve: list[tuple[float, float]]) -> Fraction:
    if value <= Fraction(curve[0][0]):
        return Fraction(curve[0][1])
    for (left, low), (right, high) in pairwise(curve):
        if value < Fraction(right):
            part = (value - Fraction(left)) / (Fraction(right) - Fraction(left))
            return Fraction(low) + part * (Fraction(high) - Fraction(low))
    return Fraction(curve[-1][1])


def _meets(rule: str, fact: Fact) -> bool:
    """The few rules that the random scorecards use: `value >= 3`, `label = 'high'`."""
    column, sign, wanted = re.fullmatch(r"(\w+) (>=|<|=) (.+)", rule).groups()  # type: ignore[union-attr]
    if column == "label":
        return fact.label == wanted.strip("'")
    if fact.value is None:
        return False
    return fact.value >= float(wanted) if sign == ">=" else fact.value < float(wanted)


def _meet(one: str, two: str) -> bool:
    """Whether two patterns share a name; those in use have one `*` at the end at most."""
    short, other = sorted((one, two), key=lambda pattern: len(pattern.rstrip("*")))
    return fnmatchcase(other.rstrip("*"), short) or one == two

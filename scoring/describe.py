"""A scorecard in words: what weighs how much, what each measure counts, which rules limit the tier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import fsum
from typing import Any, NamedTuple

from scoring.scorecard import Against, Measure, Rule, Scorecard

_TAKEN = {
    "count": "number of {}",
    "sum": "sum of {}",
    "mean": "mean of {}",
    "median": "median of {}",
    "min": "smallest of {}",
    "max": "largest of {}",
    "last": "latest {}",
    "first": "first {}",
    "distinct_users": "users with {}",
    "user_days": "users on each day with {}, added up",
    "active_days": "days with {}",
    "distinct_names": "different ones of {}",
    "names_on": "how many of {} are on",
    "days_since": "days since {}",
    "days_until": "days until the day that {} names",
}


class Share(NamedTuple):
    """What a measure weighs: its share of the whole score, while every measure has data."""

    dimension: str
    measure: str
    weight: float


def content(card: Scorecard) -> dict[str, Any]:
    """What it says, as plain JSON without defaults left out; `Scorecard.model_validate` reads it back."""
    return card.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def shares(card: Scorecard) -> tuple[Share, ...]:
    """Every weighted measure with its share of the score; the shares add up to 1."""
    whole = fsum(group.weight for group in card.dimensions.values())  # the same in any order
    return tuple(
        Share(dimension, name, group.weight / whole * weight / fsum(group.measures.values()))
        for dimension, group in card.dimensions.items()
        for name, weight in group.measures.items()
    )


def described(card: Scorecard) -> Iterator[str]:
    """A scorecard in lines; those below a heading begin with two spaces."""
    yield f"{card.name} {card.version}"
    yield (
        f"green from {figure(card.tiers.green)}, yellow from {figure(card.tiers.yellow)}; a tier is left after"
        f" {card.settle.dwell} days {figure(card.settle.band)} points beyond its threshold"
    )
    yield (
        f"scored from {percent(card.coverage_floor)} of the weight on; the last numbers of a source that is behind"
        f" stand for {card.hold} days"
    )
    weighed = shares(card)
    for dimension in card.dimensions:
        among = [share for share in weighed if share.dimension == dimension]
        lines = {f"{of.measure} {percent(of.weight)}": in_words(card.measures[of.measure]) for of in among}
        yield from _section(f"{dimension} {percent(fsum(of.weight for of in among))}", lines)
    helpers = card.measures.keys() - {share.measure for share in weighed}
    plain = {name: in_words(measure) for name, measure in card.measures.items() if name in helpers}
    yield from _section("measures without weight", plain)
    yield from _section("caps", {name: capped(card, name) for name in card.caps})
    yield from _section("watch flags, on green accounts", {name: ruled(rule) for name, rule in card.watch.items()})


def _section(title: str, lines: Mapping[str, str]) -> Iterator[str]:
    if lines:
        yield title
        yield from (f"  {name}: {text}" for name, text in lines.items())


def in_words(measure: Measure) -> str:
    """What number a measure is, and the points it gives."""
    number = _compared(measure.of, measure.against) if measure.of and measure.against else _taken(measure)
    curve = measure.points or measure.map
    parts = [
        number,
        curve and f"points {text(curve)}",
        measure.absent is not None and f"{figure(measure.absent)} points when nothing happened",
    ]
    return "; ".join(part for part in parts if part)


def _compared(base: str, against: Against) -> str:
    if against.previous:
        return f"change of {base} against the window before"
    if against.shift:
        return f"change of {base} against {against.shift} days earlier"
    return f"change of {base} against the daily mean of {against.longer} days"


def _taken(measure: Measure) -> str:
    extent = [
        measure.where and f"where {measure.where}",
        measure.window and f"in {measure.window} days",
        measure.half_life and f"one {measure.half_life} days old counts half",
        measure.max_age and f"at most {measure.max_age} days old",
        measure.over is not None and f"divided by {text(measure.over)}",
    ]
    return ", ".join([_subject(measure), *(part for part in extent if part)])


def _subject(measure: Measure) -> str:
    if measure.take == "open":
        counted = "age in days of the oldest" if measure.as_ == "oldest_days" else "number of those"
        return f"{counted} opened by {text(measure.opens)} and not closed by {text(measure.closes)}"
    if measure.take == "days_between":
        return f"days from the first {text(measure.from_)} to the first {text(measure.to)}"
    return _TAKEN[str(measure.take)].format(text(measure.events))


def capped(card: Scorecard, name: str) -> str:
    """A cap: the tier, when, for how long, and why."""
    cap, days = card.caps[name], card.limits[name].lasts
    lasts = f"for {days} days from then" if days else "as long as that holds"
    following = f" (next: {cap.action})" if cap.action else ""
    return f"at most {cap.tier} when {cap.when}, {lasts}: {cap.reason}{following}"


def ruled(rule: Rule) -> str:
    """A watch flag: when, and why."""
    return f"when {rule.when}: {rule.reason}"


def percent(share: float) -> str:
    """A share of one, with a decimal where it has one: 14.3%."""
    return f"{figure(round(100 * share, 1))}%"


def figure(number: float) -> str:
    """A number with all its digits and no more."""
    return repr(float(number)).removesuffix(".0")


def text(value: Any) -> str:
    """A value of a scorecard as one would write it, on one line."""
    if isinstance(value, dict) and value.get("previous") is True:
        return "previous"
    if isinstance(value, dict):
        said = {key: inner for key, inner in value.items() if inner is not None and inner is not False}
        return f"{{{', '.join(f'{text(key)}: {text(inner)}' for key, inner in said.items())}}}"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    return figure(value) if isinstance(value, float) else str(value)

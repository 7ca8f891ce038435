"""What the words of a scorecard have to agree on, and what to write when they do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scoring import rules
from scoring.rules import Column

if TYPE_CHECKING:
    from scoring.scorecard import Measure, Scorecard

COUNTING = frozenset({"count", "sum", "distinct_users", "user_days", "active_days", "distinct_names", "open"})
WINDOWED = COUNTING - {"open"} | {"mean", "median", "min", "max"}
LEVELS = frozenset({"last", "first", "days_since", "days_until", "names_on"})
ADDITIVE = frozenset({"count", "sum", "user_days", "active_days"})
FADING = frozenset({"count", "sum", "mean"})
DEEPEST = 20

Loc = tuple[str | int, ...]

_TAKE_WORDS = (
    "take",
    "events",
    "window",
    "where",
    "half_life",
    "max_age",
    "map",
    "opens",
    "closes",
    "as",
    "from",
    "to",
)
_PRESENT = {"as": "as_", "from": "from_"}


def words(measure: Measure) -> None:
    """Raise ValueError for words that do not go together inside one measure."""
    if measure.of is not None:
        _refuse(measure, (*_TAKE_WORDS, "over"), "does not go with `of`; a comparison takes its facts from its measure")
        _need(measure, ("against",), "goes with `of`: add against: previous, {shift: 365d} or {longer: 90d}")
        return
    _refuse(measure, ("against",), "goes with `of`, the measure to compare")
    _need(measure, ("take",), "is missing: say what to take of the events, like take: count")
    _facts(measure)
    _limits(measure)
    if measure.map is not None and measure.points is not None:
        raise ValueError("`map` and `points` exclude each other: labels or numbers")


def _facts(measure: Measure) -> None:
    given = {"open": ("opens", "closes"), "days_between": ("from", "to")}.get(str(measure.take), ("events",))
    _need(measure, given, f"is needed by take: {measure.take}")
    others = [word for word in ("events", "opens", "closes", "from", "to") if word not in given]
    _refuse(measure, others, f"is not used by take: {measure.take}")


def _limits(measure: Measure) -> None:
    take = str(measure.take)
    if take in WINDOWED:
        _need(measure, ("window",), f"is needed by take: {take}, like window: 28d")
    elif take not in LEVELS:
        _refuse(measure, ("window",), f"is not used by take: {take}")
    if take not in LEVELS:
        _refuse(measure, ("max_age",), f"is not used by take: {take}; it belongs to last, first and days_*")
    if take not in FADING:
        _refuse(measure, ("half_life",), "goes with take: count, sum or mean")
    if take not in ("last", "first") or measure.over is not None:
        _refuse(measure, ("map",), "goes with take: last or first, without `over`")
    if take != "open":
        _refuse(measure, ("as",), "goes with take: open")
    if take == "days_between":
        _refuse(measure, ("where",), "is not used by take: days_between")


def _given(measure: Measure, word: str) -> bool:
    return getattr(measure, _PRESENT.get(word, word)) is not None


def _refuse(measure: Measure, names: Sequence[str], why: str) -> None:
    for word in names:
        if _given(measure, word):
            raise ValueError(f"`{word}` {why}")


def _need(measure: Measure, names: Sequence[str], why: str) -> None:
    for word in names:
        if not _given(measure, word):
            raise ValueError(f"`{word}` {why}")


def together(card: Scorecard) -> Iterator[tuple[Loc, str]]:
    """What is wrong between the keys of a scorecard, as (path, remedy)."""
    yield from _dimensions(card)
    broken = list(_references(card))
    yield from broken
    if not broken:
        for name, measure in card.measures.items():
            if measure.of is not None:
                yield from _comparison(card, name, measure)
        yield from _rules(card)


def _rules(card: Scorecard) -> Iterator[tuple[Loc, str]]:
    columns = {name: Column(name, "word" if measure.map else "number") for name, measure in card.measures.items()}
    for section, named in (("caps", card.caps), ("watch", card.watch)):
        for name, rule in named.items():
            if section == "watch" and name in card.caps:
                yield (section, name), "is the name of a cap too; call one of them otherwise"
            try:
                rules.rebuild(rule.when, columns)
            except ValueError as error:
                yield (section, name, "when"), str(error)


def _dimensions(card: Scorecard) -> Iterator[tuple[Loc, str]]:
    seen: dict[str, str] = {}
    for dimension, group in card.dimensions.items():
        for name in group.measures:
            place = ("dimensions", dimension, "measures", name)
            if name not in card.measures:
                yield place, f"there is no measure called {name}; add it under measures"
            elif card.measures[name].points is None and card.measures[name].map is None:
                yield ("measures", name), "is weighted, so it needs points, like points: {0: 0, 0.7: 100}"
            if name in seen:
                yield place, f"is already weighted in {seen[name]}; a measure belongs to one dimension"
            seen[name] = dimension
    if len(seen) < 2:
        yield ("dimensions",), "a score needs at least two weighted measures; a single signal is no health score"


def _references(card: Scorecard) -> Iterator[tuple[Loc, str]]:
    for name, measure in card.measures.items():
        for word in ("over", "of"):
            target = getattr(measure, word)
            if isinstance(target, str) and target not in card.measures:
                yield ("measures", name, word), f"there is no measure called {target}; add it under measures"
            elif isinstance(target, str) and card.measures[target].map is not None:
                yield ("measures", name, word), f"{target} is made of labels; name a measure that is a number"
        if len(chain(card, name)) > DEEPEST:
            word = "of" if measure.of else "over"
            yield ("measures", name, word), "leads back to itself or is too long a chain; name another measure"


def chain(card: Scorecard, name: str) -> list[str]:
    """The measures that one leads to by `over` and `of`, itself first, cut when it is certainly too long."""
    found = [name]
    while len(found) <= DEEPEST:
        measure = card.measures.get(found[-1])
        target = None if measure is None else measure.of or measure.over
        if not isinstance(target, str):
            break
        found.append(target)
    return found


def _comparison(card: Scorecard, name: str, measure: Measure) -> Iterator[tuple[Loc, str]]:
    if measure.of is None or measure.against is None:
        return
    base = card.measures[measure.of]
    if any(card.measures[step].of is not None for step in chain(card, measure.of)):
        yield ("measures", name, "of"), f"{measure.of} is a comparison itself; compare the plain measure"
    if measure.against.previous and base.window is None:
        yield ("measures", name, "against"), f"{measure.of} has no window; write against: {{shift: 30d}}"
    if measure.against.longer is not None:
        if base.take not in ADDITIVE or isinstance(base.over, str) or base.half_life is not None:
            fit = ", ".join(sorted(ADDITIVE))
            yield (
                ("measures", name, "against"),
                f"`longer` needs a measure that adds up over days ({fit}), without `over`",
            )
        elif base.window is None or measure.against.longer <= base.window:
            yield ("measures", name, "against"), f"`longer` has to be longer than the window of {measure.of}"

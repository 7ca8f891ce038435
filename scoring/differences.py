"""What one scorecard says otherwise than another, in words and completely: nothing just where both are one version."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import fsum
from typing import Any, NamedTuple

from scoring.describe import capped, figure, in_words, percent, ruled, shares, text
from scoring.scorecard import Scorecard

_WHOLE = {
    "name": ("name",),
    "green begins at": ("tiers", "green"),
    "yellow begins at": ("tiers", "yellow"),
    "band of settle": ("settle", "band"),
    "dwell of settle": ("settle", "dwell"),
    "hold": ("hold",),
    "coverage floor": ("coverage_floor",),
}
_WORDS = {"points": "curve", "absent": "points without events"}


class Change(NamedTuple):
    """One thing that two scorecards say otherwise; None where one of them says nothing of it."""

    what: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.what} added: {self.after}"
        return f"{self.what} removed" if self.after is None else f"{self.what}: {self.before} -> {self.after}"


class _Weight(NamedTuple):
    """A weight as it is written, the group it is a share of, its share of that, and of the whole score."""

    written: float
    group: str
    within: str
    share: str


def changes(old: Scorecard, new: Scorecard) -> tuple[Change, ...]:
    """What `new` says otherwise than `old`."""
    before, after = (card.model_dump(by_alias=True) for card in (old, new))
    kept = old.measures.keys() & new.measures.keys()
    return (
        *_of_the_whole(before, after),
        *_of_weights("weight of dimension {}", _dimensions(old), _dimensions(new)),
        *_of_weights("weight of {}", _measures(old, kept), _measures(new, kept)),
        *_of_parts("measure", before["measures"], after["measures"], [_numbers(old), _numbers(new)]),
        *_of_parts("cap", before["caps"], after["caps"], [_caps(old), _caps(new)]),
        *_of_parts("watch flag", before["watch"], after["watch"], [_flags(old), _flags(new)]),
    )


def _of_the_whole(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for what, words in _WHOLE.items():
        yield from _differing(what, _at(before, words), _at(after, words))


def _at(content: Any, words: Iterable[str]) -> Any:
    for word in words:
        content = content[word]
    return content


def _of_weights(what: str, before: Mapping[str, _Weight], after: Mapping[str, _Weight]) -> Iterator[Change]:
    """Told as shares of the whole score; where those look the same, as they are written."""
    for name in _either(before, after):
        one, two = before.get(name), after.get(name)
        if one is None or two is None:
            yield Change(what.format(name), one and one.share, two and two.share)
        elif one[:3] != two[:3]:
            yield Change(what.format(name), *_told_apart(one, two))


def _told_apart(one: _Weight, two: _Weight) -> tuple[str, str]:
    if one.group != two.group:
        return f"{one.share} (in {one.group})", f"{two.share} (in {two.group})"
    if one.share != two.share:
        return one.share, two.share
    return f"{one.share} (written {figure(one.written)})", f"{two.share} (written {figure(two.written)})"


def _dimensions(card: Scorecard) -> dict[str, _Weight]:
    whole = fsum(group.weight for group in card.dimensions.values())
    given = ((name, group.weight, percent(group.weight / whole)) for name, group in card.dimensions.items())
    return {name: _Weight(weight, "", share, share) for name, weight, share in given}


def _measures(card: Scorecard, kept: Collection[str]) -> dict[str, _Weight]:
    found = {}
    for of in shares(card):
        if of.measure not in kept:
            continue  # told with the whole measure
        group = card.dimensions[of.dimension].measures
        within = percent(group[of.measure] / fsum(group.values()))
        found[of.measure] = _Weight(group[of.measure], of.dimension, within, percent(of.weight))
    return found


def _of_parts(
    kind: str, before: Mapping[str, Any], after: Mapping[str, Any], whole: Sequence[Mapping[str, str]]
) -> Iterator[Change]:
    """Measures, caps or flags: those that came or went as a `whole` in words, the others word by word."""
    for name in _either(before, after):
        if name in before and name in after:
            for word in before[name]:
                what = f"{_WORDS.get(word, word)} of {name}"
                yield from _differing(what, before[name][word], after[name][word])
        else:
            yield Change(f"{kind} {name}", whole[0].get(name), whole[1].get(name))


def _numbers(card: Scorecard) -> dict[str, str]:
    weighed = {of.measure: f"{percent(of.weight)} of the score; " for of in shares(card)}
    return {name: f"{weighed.get(name, '')}{in_words(measure)}" for name, measure in card.measures.items()}


def _caps(card: Scorecard) -> dict[str, str]:
    return {name: capped(card, name) for name in card.caps}


def _flags(card: Scorecard) -> dict[str, str]:
    return {name: ruled(rule) for name, rule in card.watch.items()}


def _differing(what: str, before: Any, after: Any) -> Iterator[Change]:
    """As the version sees it, for which 0 and -0 are two."""
    if json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
        yield Change(what, None if before is None else text(before), None if after is None else text(after))


def _either(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [*before, *(name for name in after if name not in before)]

"""The steady tier: a fold over daily scores that wander, and over caps that begin and end.

A day is folded once, in order; the nightly run folds one, a replay a range, and both come to the same state. A state
is a text of words, so that it can lie in a column beside the score it belongs to:

    green 3f2a9c01d4be toward=yellow,yellow cap=use_fell:9b1c22d0:2026-11-03:on:10.0:7.0
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import takewhile
from typing import NamedTuple

from scoring.scorecard import Scorecard

UNSCORED = "unscored"
RANK: Mapping[str, int] = {"red": 0, "yellow": 1, "green": 2}


class Fired(NamedTuple):
    """What a rule says on a day; `holds` is None where it cannot be known. `now` and `before`: what a cap compares."""

    holds: bool | None
    now: float | None = None
    before: float | None = None


class Day(NamedTuple):
    """An account on a day: the tier of its score, the score that the tier goes by, and its caps' rules by name."""

    day: date
    tier: str
    score: float | None
    rules: Mapping[str, Fired]


class Capped(NamedTuple):
    """A cap in force. `before` and `now`: what was compared on the day it began. `rule`: its fingerprint."""

    name: str
    rule: str
    began: date
    holds: bool
    before: float | None = None
    now: float | None = None


class Steady(NamedTuple):
    """The state after a day: the tier without caps, where the last days in a row pointed, and the caps in force."""

    tier: str
    version: str
    toward: tuple[str, ...] = ()
    caps: tuple[Capped, ...] = ()

    def text(self) -> str:
        toward = [f"toward={','.join(self.toward)}"] if self.toward else []
        return " ".join([self.tier, self.version, *toward, *map(_cap_text, self.caps)])


class Standing(NamedTuple):
    """The tier that is told of an account, that of its score alone, and what stands between the two."""

    tier: str
    raw_tier: str
    fold: str | None = None
    flags: str = ""

    @property
    def caps(self) -> dict[str, date]:
        """The caps in force, with the days they began."""
        told = (flag.split(":") for flag in self.flags.split() if flag.startswith("cap:"))
        return {name: date.fromisoformat(began) for _, name, began in told}

    @property
    def watch(self) -> list[str]:
        """The watch flags that are raised."""
        return [flag.removeprefix("watch:") for flag in self.flags.split() if flag.startswith("watch:")]

    @property
    def steady(self) -> Steady | None:
        """The state of the tier without its caps."""
        return read(self.fold) if self.fold else None

    def limiting(self, card: Scorecard) -> list[str]:
        """The caps that make the tier worse than it would be."""
        steady = self.steady
        if steady is None or self.tier in (UNSCORED, steady.tier):
            return []
        return [name for name in self.caps if name in card.caps and card.caps[name].tier == self.tier]


def read(text: str) -> Steady:
    """A state from its text."""
    tier, version, *more = text.split(" ")
    told = [word.partition("=")[::2] for word in more]
    toward = next((tuple(said.split(",")) for kind, said in told if kind == "toward"), ())
    return Steady(tier, version, toward, tuple(_cap(said) for kind, said in told if kind == "cap"))


def settle(card: Scorecard, previous: Steady | None, day: Day, *, final: bool = True) -> Steady | None:
    """The state after a day; None while the account has never had a score.

    A day without a score, and one that is not `final`, move nothing but caps. Another version of the scorecard begins
    afresh, but for the caps whose rule it left as it was.
    """
    caps = tuple(_caps(card, previous.caps if previous else (), day))
    if day.score is None or day.tier == UNSCORED:
        return previous and previous._replace(caps=caps)
    if previous is None or previous.version != card.version:
        return Steady(day.tier, card.version, caps=caps)
    if not final:
        return previous._replace(caps=caps)
    tier, toward = _moved(card, previous, day.score)
    return Steady(tier, card.version, toward, caps)


def told(card: Scorecard, state: Steady | None) -> str:
    """The tier to tell on a day that has a score: the steady one, limited by the caps in force."""
    if state is None:
        return UNSCORED
    return min((state.tier, *(card.limits[cap.name].tier for cap in state.caps)), key=RANK.__getitem__)


def stays(card: Scorecard) -> dict[str, tuple[float, float]]:
    """By tier, the scores at which it stays: from the first number on, and below the second."""
    (into_green, out_of_green), (into_yellow, out_of_yellow) = (_edges(card, t) for t in ("green", "yellow"))
    return {"green": (out_of_green, 101), "yellow": (out_of_yellow, into_green), "red": (-1, into_yellow)}


def _edges(card: Scorecard, tier: str) -> tuple[float, float]:
    """The scores from which a tier is entered, and below which it is left; half of what the scale leaves at most."""
    threshold = card.tiers.green if tier == "green" else card.tiers.yellow
    return threshold + min(card.settle.band, (100 - threshold) / 2), threshold - min(card.settle.band, threshold / 2)


def _moved(card: Scorecard, previous: Steady, score: float) -> tuple[str, tuple[str, ...]]:
    """The tier after a day, and where the days in a row up to it point.

    A move goes as far as every one of its days pointed; those that pointed further count for the next.
    """
    tier = _pointed(card, previous.tier, score)
    if tier == previous.tier:
        return tier, ()
    down = RANK[tier] < RANK[previous.tier]
    row = [t for t in previous.toward if (RANK[t] < RANK[previous.tier]) == down]
    row = [*row, tier][-card.settle.dwell :]
    if len(row) < card.settle.dwell:
        return previous.tier, tuple(row)
    moved = (max if down else min)(row, key=RANK.__getitem__)
    further = list(takewhile(lambda t: t != moved, reversed(row)))
    return moved, tuple(reversed(further))


def _pointed(card: Scorecard, tier: str, score: float) -> str:
    """The tier that a score calls for; the present one within its band."""
    low, high = stays(card)[tier]
    if low <= score < high:
        return tier
    into_or_out = 0 if score >= high else 1
    return next((t for t in ("green", "yellow") if score >= _edges(card, t)[into_or_out]), "red")


def _caps(card: Scorecard, begun: tuple[Capped, ...], day: Day) -> Iterator[Capped]:
    """The caps in force on a day, in the scorecard's order. One whose rule begins to hold again begins again."""
    known = {cap.name: cap for cap in begun}
    for name, limit in card.limits.items():
        fired, was = day.rules.get(name, Fired(None)), known.get(name)
        if was and was.rule != limit.rule:
            was = None
        if fired.holds and not (was and was.holds):
            yield Capped(name, limit.rule, day.day, True, fired.before, fired.now)
        elif was and (fired.holds or (day.day < was.began + timedelta(limit.lasts) and not _recovered(was, fired.now))):
            yield was._replace(holds=was.holds if fired.holds is None else fired.holds)


def _recovered(cap: Capped, now: float | None) -> bool:
    """Whether what fell (or rose) has passed the middle between before and then."""
    if cap.before is None or cap.now is None or now is None or cap.before == cap.now:
        return False
    middle = (cap.before + cap.now) / 2
    return now > middle if cap.before > cap.now else now < middle


def _cap_text(cap: Capped) -> str:
    numbers = ("" if value is None else repr(value) for value in (cap.before, cap.now))
    return ":".join((f"cap={cap.name}", cap.rule, cap.began.isoformat(), "on" if cap.holds else "off", *numbers))


def _cap(text: str) -> Capped:
    name, rule, began, holds, *numbers = text.split(":")
    before, now = (float(number) if number else None for number in numbers)
    return Capped(name, rule, date.fromisoformat(began), holds == "on", before, now)

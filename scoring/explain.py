"""Why a score is what it is, in words for the CRM: what costs it most, how that moved, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from scoring.printer import on_grid
from scoring.scorecard import Measure, Scorecard
from scoring.settle import UNSCORED as UNSCORED_TIER
from scoring.settle import Standing

LONGEST = 255
NAMED = 3  # causes in a reason
TREND_DAYS = 30  # days over which a movement is told
COSTLY = 3.0  # points of the score a part has to cost to be worth a word
UNSCORED = ("unscored",)  # the causes of an account without a score
HEALTHY = 15.0  # points lost in all under which strengths are named too


class Part(NamedTuple):
    """One measure's place in a score. `weight` is its share of the score, 0 to 1."""

    dimension: str
    measure: str
    value: float | None
    points: float | None
    weight: float
    contribution: float | None
    state: str


class Reason(NamedTuple):
    """`text`: at most 255 characters. `causes`: measures with their direction, without figures."""

    text: str
    causes: tuple[str, ...]
    next_action: str


def reason(
    scorecard: Scorecard,
    parts: Sequence[Part],
    before: Mapping[str, Part] | None,
    standing: Standing | None = None,
    said: Sequence[str] = (),
) -> Reason:
    """The reason of one account's score; `before` holds the parts of the day `TREND_DAYS` days earlier by measure.

    `said`: what people say of the account; it comes first. `standing`: what else its tier goes by. A cap that limits
    it comes next; watch flags, and why the tier is another than that of the score, come after the measures.
    """
    causes, action = decision(scorecard, parts, standing)
    ranked = _ranked(parts)
    if causes == UNSCORED:
        return Reason(joined([*said, _unscored(scorecard, parts, [part for _, part in ranked])]), causes, action)
    then = before or {}
    phrases = [*_dated(_phrase(scorecard, part, then.get(part.measure)) for part, _ in _named(ranked))]
    if standing is not None:
        capped = [_cap(scorecard, name, standing) for name in standing.limiting(scorecard)]
        watch = [f"watch: {scorecard.watch[name].reason}" for name in standing.watch]
        phrases = [*capped, *phrases, *watch, *([] if capped else held_back(scorecard, standing))]
    return Reason(joined([*said, *phrases, *_behind(scorecard, parts)]), causes, action)


def _cap(scorecard: Scorecard, name: str, standing: Standing) -> str:
    cap, began = scorecard.caps[name], standing.caps[name]
    return f"At most {cap.tier} since {began.day} {began:%b}: {cap.reason}"


def held_back(scorecard: Scorecard, standing: Standing) -> Iterator[str]:
    """Why a tier is not that of its score."""
    steady, rule = standing.steady, scorecard.settle
    if steady is None or standing.raw_tier in (UNSCORED_TIER, steady.tier):
        return
    days = f"{rule.dwell} day{'s' if rule.dwell > 1 else ''}"
    if steady.toward:
        yield f"{steady.toward[-1]} once it has been so for {days}, {len(steady.toward)} by now"
    else:  # of a day that is not final nothing says whether its score is within the band
        yield f"still {steady.tier} until it is {standing.raw_tier} by {rule.band:g} points for {days}"


def decision(
    scorecard: Scorecard, parts: Sequence[Part], standing: Standing | None = None
) -> tuple[tuple[str, ...], str]:
    """The causes and the next action of a `Reason`, which take no words and no past to work out."""
    ranked = _ranked(parts)
    action = _action(scorecard, ranked)
    whole = len(ranked) == sum(len(group.measures) for group in scorecard.dimensions.values())
    if not whole and _coverage(scorecard, [part for _, part in ranked]) < on_grid(scorecard.coverage_floor):
        return UNSCORED, action
    causes = tuple(f"{part.measure}{sign}" for part, sign in _named(ranked))
    if standing is None:
        return causes, action
    capped = standing.limiting(scorecard)
    actions = [scorecard.caps[name].action for name in capped]
    flags = (*(f"cap:{name}" for name in capped), *causes, *(f"watch:{name}" for name in standing.watch))
    return flags, next(filter(None, actions), action)


def _ranked(parts: Sequence[Part]) -> list[tuple[int, Part]]:
    """The parts that have points, the costliest first, each with the points of the score that it costs.

    These are whole, so that the order of causes stands still.
    """
    found = [(round(p.weight * (100 - p.points)), p.measure, p) for p in parts if p.points is not None]
    return [(loss, part) for loss, _, part in sorted(found, key=lambda item: (-item[0], item[1]))]


def movement(scorecard: Scorecard, parts: Sequence[Part], before: Mapping[str, Part], *, up: bool) -> str:
    """What carried the score up, or down, in `TREND_DAYS` days: the measures that moved most that way, in words.

    A measure counts with the points it moved at today's weight; one that only one of the two days has moved nothing.
    """
    both = [part for part in parts if part.points is not None and part.measure in before]
    told = [(_gain(part, before[part.measure]) * (1 if up else -1), part) for part in both]
    most = sorted((item for item in told if item[0] >= 1), key=lambda item: (-item[0], item[1].measure))[:NAMED]
    phrases = ((*_phrase(scorecard, part, before[part.measure]), before[part.measure]) for _, part in most)
    return joined([*_dated((words, moved + _was(scorecard, then)) for words, moved, then in phrases)])


def _dated(phrases: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Words with how they moved; the first that did says over how many days, which are the same for all."""
    said = False
    for words, moved in phrases:
        window = f" {TREND_DAYS} days before" if moved.startswith(", was") else f" in {TREND_DAYS} days"
        yield f"{words}{moved}{window if moved and not said else ''}"
        said = said or bool(moved)


def _was(scorecard: Scorecard, before: Part) -> str:
    """Where a comparison stood before: "down 19%" alone does not say that it was worse."""
    measure = scorecard.measures[before.measure]
    return f", was {figure(measure, before.value)}" if measure.of is not None and before.value is not None else ""


def _gain(part: Part, before: Part) -> int:
    """Whole points of the score that the measure has brought since."""
    if part.points is None or before.points is None:
        return 0
    return round(part.weight * (part.points - before.points))


def _named(ranked: Sequence[tuple[int, Part]]) -> list[tuple[Part, str]]:
    """The parts that cost most, then, where little is lost, the strongest."""
    weak = [(part, "-") for loss, part in ranked[:NAMED] if loss >= COSTLY]
    if weak and sum(loss for loss, _ in ranked) >= HEALTHY:
        return weak
    taken = {part.measure for part, _ in weak}
    counted = (part for _, part in ranked)
    best = sorted(counted, key=lambda part: (-round(part.weight * (part.points or 0)), part.measure))
    return weak + [(part, "+") for part in best if part.measure not in taken][: NAMED - len(weak)]


def _action(scorecard: Scorecard, ranked: Sequence[tuple[int, Part]]) -> str:
    """The action of the weakest part; of the one worth most where nothing is weak."""
    weak = (scorecard.measures[part.measure].action for loss, part in ranked if loss >= COSTLY)
    found = next(filter(None, weak), None)
    if found is None:
        worth = sorted((part for _, part in ranked), key=lambda part: (-(part.contribution or 0), part.measure))
        found = next(filter(None, (scorecard.measures[part.measure].action for part in worth)), "")
    return found


def _coverage(scorecard: Scorecard, counted: Sequence[Part]) -> float:
    """Share of the scorecard's weight that has points (a measure's weight inside its dimension's).

    Rounded as the engine rounds it, so that exactly as much as is needed is enough here too.
    """
    have = {part.measure for part in counted}
    whole = sum(group.weight for group in scorecard.dimensions.values())
    return on_grid(
        sum(
            group.weight
            / whole
            * sum(w for name, w in group.measures.items() if name in have)
            / sum(group.measures.values())
            for group in scorecard.dimensions.values()
        )
    )


def _unscored(scorecard: Scorecard, parts: Sequence[Part], counted: Sequence[Part]) -> str:
    share = round(100 * _coverage(scorecard, counted))
    lacking = [label(scorecard, part.measure) for part in parts if part.points is None]
    return joined(
        [f"Not enough data to score: {share}% of the scorecard", *(f"no data for {name}" for name in lacking)]
    )


def _behind(scorecard: Scorecard, parts: Sequence[Part]) -> list[str]:
    said = []
    for state, words in (("stale", "data too old for"), ("held", "last known figures for")):
        names = [label(scorecard, part.measure) for part in parts if part.state == state]
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            said.append(f"{words} {names[0]}{more}")
    return said


def joined(phrases: Sequence[str]) -> str:
    """As many whole phrases as fit, beginning with a letter."""
    text = ""
    for phrase in phrases:
        longer = f"{text}; {phrase}" if text else phrase if phrase[:1].isalpha() else f"With {phrase}"
        if len(longer) > LONGEST:
            break
        text = longer
    return text


def label(scorecard: Scorecard, name: str) -> str:
    """What a measure is called in words."""
    return scorecard.measures[name].label or name.replace("_", " ").capitalize()


def stands(measure: Measure, part: Part) -> str:
    """Where a measure stands: its figure with the unit, its points where labels have no figure, or that it has none."""
    if measure.map is not None or (part.value is not None and measure.points is None):
        return f"{_plain(part.points or 0)} of 100 points"
    return "none on record" if part.value is None else figure(measure, part.value)


def _phrase(scorecard: Scorecard, part: Part, before: Part | None) -> tuple[str, str]:
    """Where a measure stands, and how it moved."""
    measure, name = scorecard.measures[part.measure], label(scorecard, part.measure)
    told = stands(measure, part)
    if measure.map is not None or part.value is None or measure.points is None:
        return f"{name}{':' if measure.map is None and part.value is None else ''} {told}", ""
    words = told if measure.unit and measure.label is None else f"{name} {told}"
    return words, _moved(measure, part.value, before.value if before else None)


def figure(measure: Measure, value: float) -> str:
    """A number with its unit; a unit that begins with % takes a share of one."""
    unit = measure.unit or ""
    if not unit.startswith("%"):
        return f"{_plain(value)} {unit}".rstrip()
    percent = f"{round(100 * value)}{unit}"
    return percent if measure.of is None else _signed(percent)


def _signed(percent: str) -> str:
    """A change reads "down 22%", not "-22%"."""
    if percent.startswith("-"):
        return f"down {percent[1:]}"
    return "unchanged" if percent.startswith("0") else f"up {percent}"


def _moved(measure: Measure, now: float, before: float | None) -> str:
    if before is None or measure.of is not None:
        return ""
    percent = (measure.unit or "").startswith("%")
    moved = round(100 * now) - round(100 * before) if percent else float(_plain(now)) - float(_plain(before))
    if moved == 0:
        return ""
    return f", {'up' if moved > 0 else 'down'} {_plain(abs(moved))}{' pts' if percent else ''}"


def _plain(value: float) -> str:
    """A figure as people say it: no decimals from ten on, one below."""
    text = f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text

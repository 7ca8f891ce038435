"""The change ledger: why an account's score moved between two days, in causes that add up to the change exactly.

What was told on a day is in the history; a day that is not there is worked out. Both days are worked out again from the
facts as they are known now, by the scorecard of each, which is what the causes are found in. Where that comes to
another change than was told, facts have come in late or were corrected: a cause of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from scoring import (
    Cause,
    Kind,
    Part,
    Scorecard,
    Segment,
    Side,
    Standing,
    View,
    causes,
    kinds,
    label,
    largest_first,
    measure_moved,
    reads,
    stands,
    tier_moved,
    worth,
)
from sync import delta, pulses
from sync.commands import account_of, at_work, day_of
from sync.console import many, put_json
from sync.errors import UsageError
from sync.evaluate import as_of
from sync.judgements import in_force
from sync.links import Link
from sync.rows import AccountRow
from sync.scores import Basis, Scored, alone, asked, fetch, scored
from sync.show import ledger_document, show_ledger
from sync.worker import Worker

if TYPE_CHECKING:
    import duckdb

NAMED = 3  # kinds of new facts in a line


class Told(NamedTuple):
    """An account's score on a day. `kept`: as it was told then; otherwise worked out from what is known now."""

    day: date
    score: float | None
    standing: Standing
    version: str
    parts: Mapping[str, Part]
    kept: bool

    @property
    def tier(self) -> str:
        return self.standing.tier

    @property
    def raw_tier(self) -> str:
        return self.standing.raw_tier


class Seen(NamedTuple):
    """Both days by one scorecard. `new`: by measure, the facts dated after the first day that count for it, by name."""

    view: View
    rows: Sequence[Scored | None]
    new: Mapping[str, Mapping[str, int]]

    @property
    def parts(self) -> tuple[Mapping[str, Part], Mapping[str, Part]]:
        return self.view.before, self.view.after


class Line(NamedTuple):
    """One cause in words; `change` is None where one of the days has no score."""

    kind: Kind
    measure: str
    change: float | None
    words: str
    before: Part | None = None
    after: Part | None = None
    new: Mapping[str, int] = {}


@dataclass(frozen=True)
class Ledger:
    """The lines sum to the change with `==`.

    `tier`: what moved the tier and not the score, in words. `notes`: what else has to be known to read it right.
    """

    account: AccountRow
    before: Told
    after: Told
    lines: tuple[Line, ...]
    tier: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def change(self) -> float | None:
        if self.before.score is None or self.after.score is None:
            return None
        return self.after.score - self.before.score


def explain(path: Path, account: str, *, since: str | None, until: str | None, as_json: bool) -> None:
    """Print why an account's score moved between two days; writes nothing."""
    if since is None:
        raise UsageError("--until: goes with --since, the day from which the change is told")
    with at_work(path, looks=True) as worker:
        row = account_of(worker, account)
        days = day_of(worker, since, option="--since"), day_of(worker, until, option="--until")
        if days[0] >= days[1]:
            raise UsageError(f"--since: {days[0]} has to be before {days[1]}, the day that --until names")
        found = ledger(worker, row, days)
    if as_json:
        put_json(ledger_document(found))
    else:
        show_ledger(found)


def ledger(worker: Worker, row: AccountRow, days: tuple[date, date]) -> Ledger:
    """Why the score of this account moved between two days. Raises `UsageError` where it has none on one of them."""
    basis = _alone(worker, row)
    kept = [_kept(worker, row.id, day) for day in days]
    now = _versions(worker, basis, [day for day, told in zip(days, kept, strict=True) if told is None])
    versions = [told.version if told else now[day] for day, told in zip(days, kept, strict=True)]
    known = {version: _scorecard(worker, version) for version in versions}
    lost = [version for version, card in known.items() if card is None]
    cards = [card for card in known.values() if card] or [worker.settings.scorecard]
    seen = [_seen(worker, basis, card, days) for card in cards]
    before, after = kept[0] or _worked_out(seen[0], 0, days, row), kept[1] or _worked_out(seen[-1], 1, days, row)
    lines, notes = _lines(before, after, seen, lost), _notes(before, after, lost, day_of(worker, None))
    sides = (Side(told.day, one.view.card, told.standing) for told, one in ((before, seen[0]), (after, seen[-1])))
    tier = (*tier_moved(*sides), *_overridden(worker, row.id, days))
    return Ledger(row, before, after, tuple(lines), tier, tuple(notes))


def _overridden(worker: Worker, account: str, days: tuple[date, date]) -> Iterator[tuple[str, str]]:
    """Overrides in force on one of the days only, as (what, words)."""
    rows = worker.state.judgements.all(account)
    before, after = (in_force(rows, day).get(account) for day in days)
    if before != after:
        for what, one in (("override", after), ("override over", before)):
            if one:
                yield what, f"{one.tier} from {one.day} until {one.until}, by {one.author}: {one.reason}"


def _versions(worker: Worker, basis: Basis, days: Sequence[date]) -> dict[date, str]:
    """The version of the scorecard that the account has on these days."""
    if not days or len(basis.segments) == 1:
        return dict.fromkeys(days, worker.settings.scorecard.version)
    with scored(worker.log, basis, spill=worker.spill, few=True) as on:
        found = {day: next(fetch(on(day)), None) for day in days}
    return {day: row.version if row else worker.settings.scorecard.version for day, row in found.items()}


def _alone(worker: Worker, row: AccountRow) -> Basis:
    """What scoring this account stands on, by a scorecard that may weigh pulses where today's does not."""
    accounts = worker.state.accounts.members()
    basis = alone(worker.basis(accounts, worker.linked(accounts)), row)
    return replace(basis, links=sorted({*basis.links, Link(pulses.SOURCE, row.id, row.id, "crm_id")}))


def _kept(worker: Worker, account: str, day: date) -> Told | None:
    """What was told of a final day."""
    if day not in worker.history.days(final_only=True, since=day):
        return None
    found = worker.history.scores_on(day, [account]).get(account)
    if found is None:
        return None
    score, _tier, version = found
    standing = worker.history.standings_on(day, [account])[account]
    parts = worker.history.parts_on(day, [account]).get(account, ())
    return Told(day, score, standing, version, {part.measure: part for part in parts}, kept=True)


def _worked_out(seen: Seen, end: int, days: tuple[date, date], row: AccountRow) -> Told:
    found = seen.rows[end]
    if found is None:
        raise UsageError(f"{row.id} has no score on {days[end]}: its record was created later")
    return Told(days[end], found.score, found.standing, seen.view.card.version, seen.parts[end], kept=False)


def _scorecard(worker: Worker, version: str) -> Scorecard | None:
    """The scorecard of a version; None where it is not kept, or says words that are no longer known."""
    if version in worker.settings.cards:
        return worker.settings.cards[version]
    row = worker.state.scorecards.find(version)
    try:
        return Scorecard.model_validate(row.content) if row else None
    except ValidationError:
        return None


def _seen(worker: Worker, basis: Basis, card: Scorecard, days: tuple[date, date]) -> Seen:
    """Score both days by one scorecard, from what is known now."""
    by_one, rows = replace(basis, segments=[Segment(card)]), []
    with scored(worker.log, by_one, spill=worker.spill, also=[worker.history.path], few=True) as on:
        for day in days:
            connection = as_of(worker, on, day)
            rows.append(next(fetch(connection), None))
        new = _new(connection, by_one, card, days)
    before, after = ({part.measure: part for part in row.parts} if row else {} for row in rows)
    moved_by = kinds(card, basis.names, new, judges=pulses.SOURCE)
    return Seen(View(card, before, after, moved_by), rows, new)


def _new(
    connection: duckdb.DuckDBPyConnection, basis: Basis, card: Scorecard, days: tuple[date, date]
) -> dict[str, dict[str, int]]:
    """By measure: how many facts dated after the first day count for it on the second, by their names."""
    before, after = (asked(basis, day).clocks for day in days)
    passed = "select *, 0 as age from events where false"
    for source, clock in after.items():
        age, since = f"datediff('day', day, date '{clock}')", f"day > date '{before[source]}'"
        among = f"source = {delta.text(source)} and {since} and day <= date '{clock}'"
        passed += f"\nunion all select *, {age} from events where {among}"
    tests = reads(card, basis.names)
    counts = ", ".join(f"count(case when {test} then 1 end)" for test in tests.values())
    found = connection.execute(f"select name, {counts} from ({passed}) f group by name order by name").fetchall()
    by_measure = {name: {row[0]: row[place] for row in found if row[place]} for place, name in enumerate(tests, 1)}
    return {name: counted for name, counted in by_measure.items() if counted}


def _lines(before: Told, after: Told, seen: Sequence[Seen], lost: Sequence[str]) -> Iterator[Line]:
    if before.score is None or after.score is None:
        yield from _known(seen[-1])
        return
    worked = _worked(seen[0], 0), _worked(seen[-1], 1)
    step = 0.0 if worked[0] is None or worked[1] is None else worked[1] - worked[0]
    found = [] if None in worked else [*causes(step, [one.view for one in seen])]
    left = after.score - before.score - step
    found += [Cause("scorecard" if lost else "corrected", "", left)] if left else []
    for kind, measure, change in largest_first(found):
        if measure:
            yield _line(next(one for one in reversed(seen) if measure in one.view.kinds), kind, measure, change)
        else:
            words = _other_scorecard(seen, lost) if kind == "scorecard" else _learned(before, after, seen)
            yield Line(kind, measure, change, words)


def _worked(seen: Seen, end: int) -> float | None:
    """What the facts of a day come to, as they are known now."""
    row = seen.rows[end]
    return worth(seen.view.card, seen.parts[end]) if row is None or row.score is None else row.score


def _known(seen: Seen) -> Iterator[Line]:
    """What moved, where one of the days has no score for it to be points of."""
    for measure, kind in sorted(seen.view.kinds.items()):
        was, now = (parts[measure].points if measure in parts else None for parts in seen.parts)
        if was != now:
            yield _line(seen, "missing" if None in (was, now) and kind != "judgement" else kind, measure, None)


def _line(seen: Seen, kind: Kind, measure: str, change: float | None) -> Line:
    before, after = (parts.get(measure) for parts in seen.parts)
    new = seen.new.get(measure, {})
    arrived = [f"{count:,} {name}" for name, count in sorted(new.items(), key=lambda item: (-item[1], item[0]))]
    left = len(arrived) - NAMED
    more = [many(left, "more kind")] if left > 0 else []
    words = measure_moved(seen.view.card, measure, before, after)
    words += f" (new: {', '.join([*arrived[:NAMED], *more])})" if arrived else ""
    return Line(kind, measure, change, words, before, after, new)


def _other_scorecard(seen: Sequence[Seen], lost: Sequence[str]) -> str:
    if lost:
        return f"what {' and '.join(lost)} saw otherwise"
    return " became ".join(f"{one.view.card.name} {one.view.card.version}" for one in seen)


def _learned(before: Told, after: Told, seen: Sequence[Seen]) -> str:
    """Where what is known now of a day that was told then differs from what was known then."""
    said = []
    for told, end, one in ((before, 0, seen[0]), (after, 1, seen[-1])):
        for name, part in sorted(one.parts[end].items()):
            then = told.parts.get(name)
            if then is not None and part.points != then.points:
                figures = [
                    stands(one.view.card.measures[name], p) if p.points is not None else "missing" for p in (part, then)
                ]
                said.append(f"{label(one.view.card, name)} {figures[0]} on {told.day}, told as {figures[1]}")
    return "; ".join(said) or "what was told cannot be worked out any more"


def _notes(before: Told, after: Told, lost: Sequence[str], today: date) -> Iterator[str]:
    unscored = [str(told.day) for told in (before, after) if told.score is None]
    if unscored:
        yield f"unscored, so there is no change to split, only what moved: {' and '.join(unscored)}"
    worked_out = [str(told.day) for told in (before, after) if not told.kept and told.day != today]
    if worked_out:
        yield f"not in the history, so worked out from what is known now: {' and '.join(worked_out)}"
    if after.day == today:
        yield f"{today} is not over, so its score is provisional"
    if lost:
        yield f"{' and '.join(lost)} is no longer kept: what another scorecard leaves of the change is put down to it"

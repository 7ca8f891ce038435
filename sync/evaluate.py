"""Scoring every account: today's verdicts, and the days that have become final into the history.

A day is final once it has ended and every source has been read through it, at the latest a day later. Today is
provisional: it is told and delivered, and kept only once it is final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from connectors.errors import SettingsWrong
from scoring import Part, Scorecard, movement
from sync.progress import Progress
from sync.report import Moved
from sync.rows import Total
from sync.scores import Scored, fetch, scored
from sync.verdicts import Before, Verdict, verdict
from sync.worker import Worker

if TYPE_CHECKING:
    import duckdb

TREND = timedelta(days=30)
HEALTHIER = ("red", "yellow", "green")
LONGEST_GAP = 31  # days the worker was off that one pass scores afterwards


@dataclass
class Evaluation:
    """Verdicts by account, how many accounts are in which tier, and which came into another one."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)


def evaluate(worker: Worker, *, now: datetime, keep: bool, progress: Progress) -> Evaluation:
    """Score all accounts as of now. `keep`: record final days and today's totals; a rehearsal does neither."""
    accounts = worker.state.accounts()
    if not accounts:
        raise SettingsWrong("there are no accounts yet; `bellwether check` says how many records meet accounts.where")
    progress.start("scoring", len(accounts))
    today = now.astimezone(worker.settings.timezone).date()
    baseline = today - TREND
    final = unrecorded(worker, today) if keep else ()
    replay = () if baseline in worker.history.days() else (baseline,)
    basis = worker.basis(accounts, worker.links(accounts))
    found = Evaluation()
    with scored(worker.log, basis, [today, *final, *replay], spill=worker.spill) as connection:
        if keep:
            _record(worker, connection, final, final=True)
            _record(worker, connection, replay, final=False)
        earlier = _replayed(connection, baseline) if replay else _remembered(worker, baseline)
        last, names = worker.state.totals(), {row.id: row.name for row in accounts}
        for row in fetch(connection, today):
            card, before = worker.settings.scorecard, earlier.get(row.account)
            said = verdict(row, scorecard=card, before=before, last=last.get(row.account), now=now, today=today)
            _count(found, said)
            was = _tier_before(last.get(row.account), row.tier)
            if was is not None and was != row.tier:
                why = _why(card, row, before, was) or said.reason
                found.moved.append(Moved(row.account, names[row.account], was, row.tier, row.score, why))
            progress.advance("scoring")
    if keep:
        worker.state.save_totals([said.total for said in found.verdicts.values()])
    progress.finish("scoring")
    return found


def unrecorded(worker: Worker, today: date) -> tuple[date, ...]:
    """Days that are final and not yet in the history; before the first, only the newest."""
    zone = worker.settings.timezone
    oldest, read = today - timedelta(days=2), {reading.source: reading.through for reading in worker.readings()}
    ended = [_last_whole_day(read.get(name), zone) or oldest for name in (*worker.sources, worker.settings.home)]
    newest = max(min(today - timedelta(days=1), *ended), oldest)
    recorded = [day for day in worker.history.days(final_only=True) if day > today - timedelta(days=LONGEST_GAP)]
    first = max(recorded) + timedelta(days=1) if recorded else newest
    return tuple(first + timedelta(days=n) for n in range((newest - first).days + 1))


def _last_whole_day(through: datetime | None, zone: ZoneInfo) -> date | None:
    """The last day of which a source has been read to its end."""
    return through.astimezone(zone).date() - timedelta(days=1) if through else None


def _record(worker: Worker, connection: duckdb.DuckDBPyConnection, days: Sequence[date], *, final: bool) -> None:
    card = worker.settings.scorecard
    worker.history.record(connection, days, scorecard=card.name, version=card.version, final=final)


def _replayed(connection: duckdb.DuckDBPyConnection, day: date) -> dict[str, Before]:
    return {row.account: Before(row.score, _by_measure(row.parts), replayed=True) for row in fetch(connection, day)}


def _remembered(worker: Worker, day: date) -> dict[str, Before]:
    parts = worker.history.parts_on(day)
    replayed = day not in worker.history.days(final_only=True)
    return {
        account: Before(score, _by_measure(parts.get(account, ())), replayed)
        for account, (score, _tier, _version) in worker.history.scores_on(day).items()
    }


def _by_measure(parts: Sequence[Part]) -> Mapping[str, Part]:
    return {part.measure: part for part in parts}


def _tier_before(last: Total | None, tier: str) -> str | None:
    """The tier an account comes from; days without a score in between are no move."""
    if last is None or tier == "unscored":
        return last.tier if last else None
    return last.scored_tier or last.tier


def _count(found: Evaluation, said: Verdict) -> None:
    found.verdicts[said.account] = said
    found.counts[said.total.tier] = found.counts.get(said.total.tier, 0) + 1


def _why(card: Scorecard, row: Scored, before: Before | None, was: str) -> str:
    """What moved the account out of its tier, told over the same window as its change."""
    if before is None or "unscored" in (was, row.tier):
        return ""
    return movement(card, row.parts, before.parts, up=HEALTHIER.index(row.tier) > HEALTHIER.index(was))

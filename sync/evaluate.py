"""Scoring every account: today's decisions, and the days that have become final into the history.

A day is final once it has ended and every source has been read through it, at the latest a day later. Today is
provisional: it is told and delivered, and kept only once it is final.

What every account costs is a digest, worked out by the engine. Only those whose numbers are others than in the last
pass are decided upon again, and only those that are to be told are put into words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from connectors.errors import SettingsWrong
from scoring import TREND_DAYS, Part, Scorecard, movement
from sync.fold import NOBODY
from sync.judgements import NOTHING, Said, said_on
from sync.links import Link, Linked
from sync.progress import Progress
from sync.report import Moved
from sync.rows import HEALTH, HEALTHIER, Decision, Total
from sync.scores import Basis, On, Scored, fetch, put_aside, relations, scored, within
from sync.verdicts import Answer, Before, Told, Verdict, together, told, total, verdict
from sync.worker import Worker

if TYPE_CHECKING:
    import duckdb

    from sync.deliveries import Decided

T = TypeVar("T")

TREND = timedelta(days=TREND_DAYS)
DAY = timedelta(days=1)
EARLIER = "earlier_"
CHUNK = 10_000  # accounts whose parts are in memory at a time

_ANSWERS = """
select s.account, s.score, s.tier, s.coverage, s.raw_tier, s.fold, s.flags, s.version,
       hash(p.digest, s.score, s.tier, s.coverage, s.raw_tier, s.fold, s.flags)::varchar as digest
from {of}scores s join (
  select account, bit_xor(hash(measure, points, weight, contribution)) as digest
  from {of}parts group by account) p on p.account = s.account
order by s.account
"""
_COUNTED = """
select account, measure, points, weight, contribution from {of}parts
where points is not null{among} order by account
"""


@dataclass
class Evaluation:
    """Every account's decision by a score, how many accounts are in which tier, and which came into another one.

    `by_version`: how many were scored by which version of a scorecard. `said`: what people say of accounts today.
    `silenced`: how many came into another tier while a note keeps them silent.

    `records`: by destination that is not the home, which record is which account's. `further`: the same by other scores
    than health, of which no moves are told.
    """

    worker: Worker
    connection: duckdb.DuckDBPyConnection
    now: datetime
    replayed: bool
    records: Mapping[str, Mapping[str, str]]
    said: Mapping[str, Said]
    score: str = HEALTH
    decisions: dict[str, Decision] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    by_version: dict[str, int] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    silenced: int = 0
    further: Mapping[str, Evaluation] = field(default_factory=dict)

    @property
    def today(self) -> date:
        return self.worker.settings.day(self.now)

    @property
    def told(self) -> Mapping[str, Decided]:
        """What is compared with what is known of records, by account."""
        return {account: self._told(account) for account in self.decisions} if self.further else self.decisions

    def _told(self, account: str) -> Told:
        return told(self.decisions[account], {name: one.decisions[account] for name, one in self.further.items()})

    def verdicts(self, accounts: Collection[str]) -> Iterator[Verdict]:
        """What is to be told of these accounts, in order."""
        if not self.further:
            yield from self._verdicts(accounts)
            return
        for chunk in _chunks(sorted(accounts)):
            others = {name: {said.account: said for said in one._verdicts(chunk)} for name, one in self.further.items()}
            for own in self._verdicts(chunk):
                by_name = {name: said[own.account] for name, said in others.items()}
                yield together(own, by_name, self._told(own.account).deciding)

    def _verdicts(self, accounts: Collection[str]) -> Iterator[Verdict]:
        for row, before in self.rows(accounts):
            card = self.worker.settings.cards[row.version]
            decided, said = self.decisions[row.account], self.said.get(row.account, NOTHING)
            yield verdict(row, decided, scorecard=card, before=before, now=self.now, said=said)

    def rows(self, accounts: Collection[str]) -> Iterator[tuple[Scored, Before | None]]:
        """The scores of these accounts today, each with the one its change is told against."""
        for chunk in _chunks(sorted(accounts)):
            earlier = self._earlier(chunk)
            for row in fetch(self.connection, chunk, of=relations(self.score)):
                yield row, earlier.get(row.account)

    def _earlier(self, accounts: Sequence[str]) -> dict[str, Before]:
        """What these had then; nothing by another scorecard, which would look like a change of the customer."""
        day, history = self.today - TREND, self.worker.history.of(self.score)
        if self.replayed:
            rows = fetch(self.connection, accounts, of=relations(self.score) + EARLIER)
            return {
                row.account: Before(row.score, _by_measure(row.parts), replayed=True)
                for row in rows
                if row.version == self.decisions[row.account].version
            }
        parts, final = history.parts_on(day, accounts), day in history.days(final_only=True, since=day)
        return {
            account: Before(score, _by_measure(parts.get(account, ())), not final)
            for account, (score, _tier, version) in history.scores_on(day, accounts).items()
            if version == self.decisions[account].version
        }


@contextmanager
def evaluated(
    worker: Worker, *, now: datetime, keep: bool, progress: Progress, threads: int = 2
) -> Iterator[Evaluation]:
    """Score all accounts as of now. `keep`: record final days and today's totals; a rehearsal does neither."""
    today = worker.settings.day(now)
    basis, records = _ground(worker)
    names = [*basis.further, HEALTH]  # health last: the engine makes its parts of rows that the next score replaces
    progress.start("scoring", len(basis.accounts) * len(names))
    rows = worker.state.judgements.all(kinds=["override", "note"], lasting=today)
    said = {HEALTH: said_on(rows, today)}
    with scored(worker.log, basis, spill=worker.spill, also=[worker.history.path], threads=threads) as on:
        del basis  # as large as all customers and links, and in the engine's tables by now
        by_score: dict[str, Evaluation] = {}
        for name in names:
            if keep:
                _record(worker, on, unrecorded(worker, today, name), name)
            aside = _put_aside(worker, on, today - TREND, name, keep=keep)
            connection = _as_of(worker, on, today, newest=newest_final(worker, today), score=name)
            found = Evaluation(worker, connection, now, aside, records, said.get(name, {}), name)
            changed = _decide(found, worker.state.totals.decisions(name), progress)
            found.moved = _moved(found, changed) if name == HEALTH else []
            if keep:
                worker.state.totals.save(said for said, _ in changed)
            by_score[name] = found
        health = by_score.pop(HEALTH)
        health.further = by_score
        progress.finish("scoring")
        yield health


def _record(worker: Worker, on: On, days: Iterable[date], score: str) -> None:
    history = worker.history.of(score)
    for day in days:
        history.record(on(day, history.states_after(day - DAY), score=score), [day], final=True, of=relations(score))


def _put_aside(worker: Worker, on: On, day: date, score: str, *, keep: bool) -> bool:
    """See to it that changes can be told against this day by today's scorecards; whether it had to be put aside.

    What the history has of a final day stands, by whichever scorecard it was told.
    """
    history, of = worker.history.of(score), relations(score)
    versions = history.versions_on(day)
    if versions and versions <= worker.settings.cards.keys():
        return False
    if keep and day not in history.days(final_only=True, since=day):
        history.record(on(day, final=False, score=score), [day], final=False, of=of)
        return False
    put_aside(on(day, final=False, score=score), EARLIER, of=of)
    return True


def as_of(worker: Worker, on: On, day: date, score: str = HEALTH) -> duckdb.DuckDBPyConnection:
    """Score a day for looking at it, with the tiers that were steady before it.

    Days that were not kept between the last one and this are worked out on the way. Where none was kept, the tiers
    begin with this day, or with the newest final one before it, as a first pass begins them.
    """
    today = worker.today()
    return _as_of(worker, on, day, newest=newest_final(worker, today), score=score)


def _as_of(worker: Worker, on: On, day: date, *, newest: date, score: str) -> duckdb.DuckDBPyConnection:
    """`newest`: the last day that is final."""
    history = worker.history.of(score)
    kept = history.last_before(day)
    before, at = (history.states_after(kept), kept + DAY) if kept else (NOBODY, min(day, newest))
    while at < min(day, newest + DAY):
        states = f"select account, fold from {relations(score)}scores where fold is not null"
        on(at, before, score=score).execute(f"create or replace table states as {states}")
        before, at = "select * from states", at + DAY
    return on(day, before, final=day <= newest, score=score)


def _ground(worker: Worker) -> tuple[Basis, Mapping[str, Mapping[str, str]]]:
    """What a scoring stands on, and which record of another destination is which account's once links were read."""
    accounts = worker.state.accounts.members()
    if not accounts:
        raise SettingsWrong("there are no accounts yet; `bellwether check` says how many records meet accounts.where")
    records: dict[str, dict[str, str]] = {name: {} for name in worker.destinations if name != worker.settings.home}
    links = Linked(partial(_noted, worker.linked(accounts), records))
    return worker.basis(accounts, links), records


def _noted(links: Iterable[Link], records: Mapping[str, dict[str, str]]) -> Iterator[Link]:
    """The same links; those of these sources are kept."""
    for link in links:
        if link.source in records:
            records[link.source][link.key] = link.account
        yield link


def _decide(found: Evaluation, last: Mapping[str, Decision], progress: Progress) -> list[tuple[Total, Decision | None]]:
    """Fill in decisions and counts; the totals that are others than they were, with the decision before each."""
    changed: list[Answer] = []
    for row in _streamed(found.connection.execute(_ANSWERS.format(of=relations(found.score)))):
        answer = Answer(*row)
        if said := found.said.get(answer.account):
            answer = answer._replace(said=said, digest=f"{answer.digest} {said.ids}")
        before = last.get(answer.account)
        if before is not None and (before.version, before.digest) == (answer.version, answer.digest):
            found.decisions[answer.account] = before
        else:
            changed.append(answer)
        found.counts[answer.told] = found.counts.get(answer.told, 0) + 1
        found.by_version[answer.version] = found.by_version.get(answer.version, 0) + 1
        progress.advance("scoring")
    totals = [said for chunk in _chunks(changed) for said in _totals(found, chunk, last)]
    for one in totals:
        found.decisions[one.account] = Decision(*(getattr(one, name) for name in Decision._fields))
    return [(one, last.get(one.account)) for one in totals]


def _totals(found: Evaluation, answers: Sequence[Answer], last: Mapping[str, Decision]) -> Iterator[Total]:
    """The decisions upon accounts whose numbers changed. They take no words, so no past and no values are read."""
    among, values = within("account", [answer.account for answer in answers])
    rows = _streamed(found.connection.execute(_COUNTED.format(of=relations(found.score), among=among), values))
    parts = {
        account: [
            Part("", measure, None, points, weight, contribution, "") for _, measure, points, weight, contribution in of
        ]
        for account, of in groupby(rows, itemgetter(0))
    }
    for answer in answers:
        card = found.worker.settings.cards[answer.version]
        counted, before = parts.get(answer.account, []), last.get(answer.account)
        yield total(answer, counted, scorecard=card, last=before, now=found.now, today=found.today, score=found.score)


def _moved(found: Evaluation, changed: Iterable[tuple[Total, Decision | None]]) -> list[Moved]:
    """The accounts that came into another tier, in order, and why."""
    was = ((total, _tier_before(last, total.tier)) for total, last in changed)
    others = {total.account: tier for total, tier in was if tier is not None and tier != total.tier}
    silent = {account for account in others if account in found.said and found.said[account].silent}
    found.silenced = len(silent)
    told = {account: tier for account, tier in others.items() if account not in silent}
    names = found.worker.state.accounts.names(told)
    moved = []
    for row, before in found.rows(told):
        card, said = found.worker.settings.cards[row.version], found.said.get(row.account, NOTHING)
        decided, tier = found.decisions[row.account], told[row.account]
        words = verdict(row, decided, scorecard=card, before=before, now=found.now, said=said).reason
        why = words if said.ids else _why(card, row, before, tier) or words
        moved.append(Moved(row.account, names[row.account], tier, decided.tier, row.score, why))
    return moved


def unrecorded(worker: Worker, today: date, score: str = HEALTH) -> tuple[date, ...]:
    """Days that are final and not yet in the history of a score; before the first, only the newest."""
    newest = newest_final(worker, today)
    last = worker.history.of(score).last_before(newest + DAY)
    first = last + DAY if last else newest
    return tuple(first + timedelta(days=n) for n in range((newest - first).days + 1))


def newest_final(worker: Worker, today: date) -> date:
    """The last day that has ended and that every source was read through; the day before yesterday at the latest."""
    zone = worker.settings.timezone
    oldest, read = today - timedelta(days=2), {reading.source: reading.through for reading in worker.readings()}
    ended = [_last_whole_day(read.get(name), zone) or oldest for name in (*worker.sources, worker.settings.home)]
    return max(min(today - timedelta(days=1), *ended), oldest)


def _last_whole_day(through: datetime | None, zone: ZoneInfo) -> date | None:
    """The last day of which a source has been read to its end."""
    return through.astimezone(zone).date() - timedelta(days=1) if through else None


def _by_measure(parts: Sequence[Part]) -> Mapping[str, Part]:
    return {part.measure: part for part in parts}


def _tier_before(last: Decision | None, tier: str) -> str | None:
    """The tier an account comes from; days without a score in between are no move."""
    if last is None or tier == "unscored":
        return last.tier if last else None
    return last.told_tier or last.tier


def _why(card: Scorecard, row: Scored, before: Before | None, was: str) -> str:
    """What moved the account out of its tier, told over the same window as its change; a cap speaks for itself."""
    if before is None or "unscored" in (was, row.tier) or row.standing.limiting(card):
        return ""
    return movement(card, row.parts, before.parts, up=HEALTHIER.index(row.tier) > HEALTHIER.index(was))


def _streamed(rows: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while some := rows.fetchmany(CHUNK):
        yield from some


def _chunks(things: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(things)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk

"""Deliveries: which record should hold what, whether that is worth a call, and what became of it.

Fields are of two kinds. Deciding: tier, score beyond the dead-band, the causes of the reason, the next action; a change
in one is worth a write. Riding: figures in the reason, change, coverage, dates, version; they go along with a deciding
change, or on the account's own day of the week. So an unchanged customer costs no call and fires no automation.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from connectors.base import FIELDS, Destination, Drift, FieldValue, Outcome, Write
from connectors.batches import batches
from sync.compare import Look, canonical, plain, plainly, wait, words
from sync.rows import UNSETTLED, Decision, Delivery, Standing
from sync.settings import Delivery as Rules
from sync.verdicts import Told, Verdict, further_scores

MOST_NAMED = 100  # failed rows a report names one by one
READ_AT_ONCE = 10_000  # records whose present values are held in memory; a multiple of every vendor's batch
KEEP_EVERY = 200  # outcomes held in memory before they are saved; a crash costs at most a re-read of these


Decided = Decision | Told | Verdict  # what of an answer is compared: `deciding`, `told_score` and `further`
Stand = Delivery | Standing  # what of a delivery tells whether its record is worth a call


class Planned(NamedTuple):
    """A record that should be written, with what stands in state about it."""

    write: Write
    account: str
    deciding: str
    known: Delivery | None
    leaving: bool = False

    @property
    def before(self) -> Mapping[str, Any]:
        """What the record is known to have held."""
        return (self.known.confirmed if self.known else None) or {}


class Difference(NamedTuple):
    """One field of one record, before and after; what a dry run shows."""

    destination: str
    record: str
    account: str
    field: str
    before: Any
    after: Any


@dataclass
class Delivered:
    """What a delivery came to. `failed` counts rows, all kept in state with their reason; `named` are the first.

    `edits`: what people were found to have changed on the records themselves, see `edits.py`.
    `left`: rows that nothing became of, for want of calls or because the pass was ended; the next one has them again.
    """

    written: int = 0
    adopted: int = 0
    unchanged: int = 0
    waiting: int = 0
    failed: int = 0
    left: int = 0
    named: list[dict[str, str]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    drifts: Sequence[Drift] = ()


@dataclass(frozen=True)
class Round:
    """One delivery to one destination: when it is, and how deliveries are to be made.

    `eager`: a person asked for it, so rows that wait for their next try are tried now. `afresh`: a field has been
    mended, so every record is looked at.
    """

    destination: Destination
    rules: Rules
    now: datetime
    today: date
    eager: bool = False
    afresh: bool = False

    @cached_property
    def tiers(self) -> Mapping[Any, str]:
        """The tiers in our words, by what they are called there."""
        return words(self.destination)


def planned_for(
    picked: Iterable[tuple[str, str]], verdicts: Mapping[str, Verdict], known: Mapping[str, Delivery]
) -> list[Planned]:
    """What is to be written to these records, each with what stands in state about it.

    A record that was another account's keeps nothing of it, also where little is told of the one it is now, and until
    that is done, however often it is refused. A tier without a score was a person's, and goes with their word.
    """
    planned = []
    for record, account in picked:
        said, before = verdicts[account], known.get(record)
        fields = {**_emptied(before, account), **said.fields}
        planned.append(Planned(Write(record, fields), account, said.deciding, before))
    return planned


def _emptied(before: Delivery | None, account: str) -> Mapping[str, FieldValue]:
    """The fields that are emptied where nothing is told of them."""
    if before is None or before.account != account:
        return _cleared(before) if before else {}
    held, told = before.confirmed or {}, before.wanted or {}
    owed = [key for key, value in told.items() if value is None] if before.status in UNSETTLED else []
    theirs = ["tier"] if held.get("tier") and held.get("score") is None else []
    return dict.fromkeys([*owed, *theirs])


def worthwhile(
    round_: Round,
    decided: Mapping[str, Decided],
    records: Iterable[tuple[str, str]],
    known: Mapping[str, Stand],
    result: Delivered,
) -> list[tuple[str, str]]:
    """Those of the (record id, account) pairs that are worth a write; the others are counted in `result`."""
    picked = []
    for record, account in records:
        answer, before = decided[account], known.get(record)
        if before is None or before.account != account:
            picked.append((record, account))  # what it holds was said of nobody, or of somebody else
        elif before.status == "confirmed" and not _worth(round_, answer, before):
            result.unchanged += 1
        elif _resting(round_, before) and not changed(round_, answer, before):
            result.waiting += 1
        else:
            picked.append((record, account))
    return picked


def clearing(round_: Round, gone: Iterable[Delivery]) -> list[Planned]:
    """Writes that empty our fields on records that are no longer customers."""
    return [
        Planned(Write(item.record_id, _cleared(item)), item.account, "", item, leaving=True)
        for item in gone
        if item.deciding or not _resting(round_, item)
    ]


def deliver(
    round_: Round,
    planned: Sequence[Planned],
    result: Delivered,
    *,
    save: Callable[[Sequence[Delivery]], None],
    alone: Callable[[Sequence[Look]], Collection[str]] = lambda looks: (),
) -> None:
    """Re-read the rows to be written, adopt what is already so, write the rest, and save every outcome.

    `alone`: which of the records that were read are not to be touched now. Before anything is sent, what will be is
    saved as pending: after a kill or a lost answer it is known as ours.
    """
    going: dict[str, Planned] = {}
    for part in batches(planned, READ_AT_ONCE):
        looks = _looks(round_, part)
        left = alone([looks[item.write.id] for item in part if item.write.id in looks and not item.leaving])
        result.waiting += len(left)
        now = [item for item in part if item.write.id not in left]
        rows = [_compared(round_, item, looks.get(item.write.id), result) for item in now]
        save(rows)
        for item, row in zip(now, rows, strict=True):
            if row.status == "pending":  # what is wanted is known from the write
                going[row.record_id] = item._replace(known=replace(row, wanted=None))
    _write(round_, going, result, save)


def _looks(round_: Round, planned: Sequence[Planned]) -> dict[str, Look]:
    """The records as they are now; those that are not there are left out."""
    destination = round_.destination
    present = destination.read([item.write.id for item in planned])
    return {
        id: Look(destination.name, id, account, known, canonical(destination, fields), plainly(present[id]))
        for (id, fields), account, _, known, _ in planned
        if id in present
    }


def _compared(round_: Round, item: Planned, look: Look | None, result: Delivered) -> Delivery:
    """What is known of a record that was read again: it is gone, it is as it should be, or it is to be written."""
    if look is None:
        words = "the record is not there"
        return _noted(round_, item, Outcome(item.write.id, False, None, "NOT_FOUND", words, "gone"), result)
    if not _differences(look.wanted, look.present):
        result.adopted += 1
        return _confirmed(round_, item, look.present)
    return _pending(round_, item, look)


def rehearse(round_: Round, planned: Sequence[Planned], result: Delivered) -> None:
    """What `deliver` would change, field by field, as differences; writes nothing."""
    present = round_.destination.read([item.write.id for item in planned]) if planned else {}
    for item in planned:
        values = present.get(item.write.id, {})
        for key, before, after in _differences(canonical(round_.destination, item.write.fields), values):
            result.differences.append(
                Difference(round_.destination.name, item.write.id, item.account, key, before, after)
            )


def _write(
    round_: Round,
    going: Mapping[str, Planned],
    result: Delivered,
    save: Callable[[Sequence[Delivery]], None],
) -> None:
    if not going:
        return
    batch: list[Delivery] = []
    try:
        for outcome in round_.destination.write([item.write for item in going.values()]):
            batch.append(_noted(round_, going[outcome.id], outcome, result))
            if len(batch) >= KEEP_EVERY:
                save(batch)
                batch = []
    finally:
        save(batch)


def _worth(round_: Round, answer: Decided, before: Stand) -> bool:
    refresh = before.refresh_on is not None and round_.today >= before.refresh_on
    return refresh or round_.afresh or changed(round_, answer, before)


def changed(round_: Round, answer: Decided, before: Stand) -> bool:
    """Whether a deciding field is another than what the record holds or, if it was refused, than what it should."""
    if before.deciding != answer.deciding or _beyond(round_, "score", before.score, answer.told_score):
        return True
    old = before.further or {}
    return any(_beyond(round_, key, old.get(key), told) for key, told in answer.further.items())


def _beyond(round_: Round, key: str, old: float | None, told: float | None) -> bool:
    """Whether a score is by the dead-band away from the one that the record holds."""
    new = round_.destination.canonical(key, told)
    if not isinstance(new, int | float) or old == new:
        return False
    return old is None or abs(new - old) >= round_.rules.dead_band


def _score(told: Mapping[str, Any]) -> float | None:
    """The score among a record's fields, where there is one."""
    score = told.get("score")
    return score if isinstance(score, int | float) else None


def _cleared(item: Delivery) -> dict[str, FieldValue]:
    """Nothing in all our fields: those that every record has, and whatever else was written to this one."""
    return dict.fromkeys([*(field.key for field in FIELDS), *(item.confirmed or {})])


def _resting(round_: Round, before: Stand) -> bool:
    """Whether a row that was refused waits for its next try."""
    return not round_.eager and before.next_try_at is not None and before.next_try_at > round_.now


def next_refresh(record: str, today: date, every: timedelta) -> date:
    """Each record has its own day in the round, so that refreshing is spread evenly."""
    days = max(1, every.days)
    return today + timedelta(days=days - (today.toordinal() + zlib.crc32(record.encode())) % days)


def _differences(wanted: Mapping[str, Any], present: Mapping[str, FieldValue]) -> list[tuple[str, Any, Any]]:
    """Fields that differ; the moment of scoring alone is no difference."""
    found = [(key, plain(present.get(key)), value) for key, value in wanted.items() if plain(present.get(key)) != value]
    return found if any(key != "scored_at" for key, _, _ in found) else []


def _noted(round_: Round, item: Planned, outcome: Outcome, result: Delivered) -> Delivery:
    if outcome.ok:
        result.written += 1
        return _confirmed(round_, item, outcome.confirmed)
    if item.leaving and outcome.remedy == "gone":  # there is nothing left to clear
        result.adopted += 1
        return _confirmed(round_, item, None)
    result.failed += 1
    if len(result.named) < MOST_NAMED:
        row = {"record": outcome.id, "account": item.account, "code": outcome.code, "message": outcome.message}
        result.named.append(row)
    return _refused(round_, item, outcome)


def _row(round_: Round, item: Planned, wanted: Mapping[str, Any]) -> Delivery:
    """What is kept of a record whatever becomes of what it is to be told."""
    known = item.known
    return Delivery(
        destination=round_.destination.name,
        record_id=item.write.id,
        account=item.account,
        wanted=wanted,
        confirmed=known.confirmed if known else None,
        deciding=item.deciding,
        attempts=known.attempts if known and known.deciding == item.deciding else 0,
        confirmed_at=known.confirmed_at if known else None,
        score=_score(wanted),
        further=further_scores(wanted) or None,
        past=known.past if known else (),
    )


def _pending(round_: Round, item: Planned, look: Look) -> Delivery:
    """What will be sent, beside what stands there now. It is due until its outcome is known."""
    return replace(
        _row(round_, item, look.wanted),
        status="pending",
        confirmed={**item.before, **_ours(item, look.present)},
        next_try_at=round_.now,
        past=_past(round_, item.known, look.wanted),
    )


def _ours(item: Planned, present: Mapping[str, Any]) -> dict[str, Any]:
    """The values of fields that we told this record, or are about to tell; others in them are nobody's business."""
    fields = item.before.keys() | item.write.fields.keys()
    return {key: plain(value) for key, value in present.items() if key in fields}


def _past(round_: Round, known: Delivery | None, wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """The tiers a record was told with these, the newest first."""
    told = [wanted.get("tier"), ((known.confirmed if known else None) or {}).get("tier")]
    tiers = [round_.tiers[tier] for tier in told if tier in round_.tiers]
    return tuple(dict.fromkeys([*tiers, *(known.past if known else ())]))


def _confirmed(round_: Round, item: Planned, values: Mapping[str, Any] | None) -> Delivery:
    wanted = canonical(round_.destination, item.write.fields)
    confirmed = {**item.before, **wanted, **_ours(item, values or {})}
    return replace(
        _row(round_, item, wanted),
        status="closed" if item.leaving else "confirmed",
        confirmed=confirmed,
        attempts=0,
        confirmed_at=round_.now,
        refresh_on=next_refresh(item.write.id, round_.today, round_.rules.refresh),
        score=_score(confirmed),
        further=further_scores(confirmed) or None,
        past=_past(round_, item.known, wanted),
    )


def _refused(round_: Round, item: Planned, outcome: Outcome) -> Delivery:
    """A row is tried again with growing waits, at last rarely, but never given up: causes are mended outside."""
    row = _row(round_, item, canonical(round_.destination, item.write.fields))
    attempts = row.attempts + 1
    again = outcome.remedy in ("again", "settings") and attempts < round_.rules.attempts
    return replace(
        row,
        status="closed" if outcome.remedy == "gone" else "failed" if again else "quarantined",
        attempts=attempts,
        code=outcome.code,
        message=outcome.message,
        remedy=outcome.remedy or "",
        next_try_at=round_.now + wait(attempts, again=again),
    )


def pilot(accounts: Iterable[str], delivered: Collection[str], limit: int | None) -> set[str]:
    """The accounts that are written to: all, or `limit` of them, those that were before first, then by their ids."""
    return set(sorted(accounts, key=lambda account: (account not in delivered, account))[:limit])

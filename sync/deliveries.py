"""Deliveries: which record should hold what, whether that is worth a call, and what became of it.

Fields are of two kinds. Deciding: tier, score beyond the dead-band, the causes of the reason, the next action; a change
in one is worth a write. Riding: figures in the reason, change, coverage, dates, version; they go along with a deciding
change, or on the account's own day of the week. So an unchanged customer costs no call and fires no automation.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from connectors.base import FIELDS, Destination, FieldValue, Outcome, Write
from sync.rows import Delivery, DeliveryStatus
from sync.settings import Delivery as Rules
from sync.verdicts import Verdict

FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=5), timedelta(hours=6)
MOST_NAMED = 100  # failed rows a report names one by one
KEEP_EVERY = 200  # outcomes held in memory before they are saved; a crash costs at most a re-read of these
_CLEARED: dict[str, FieldValue] = {field.key: None for field in FIELDS}


class Planned(NamedTuple):
    """A record that should be written, with what stands in state about it."""

    write: Write
    account: str
    deciding: str
    known: Delivery | None
    leaving: bool = False


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
    """What a delivery came to. `failed` counts rows, all kept in state with their reason; `named` are the first."""

    written: int = 0
    adopted: int = 0
    unchanged: int = 0
    waiting: int = 0
    failed: int = 0
    named: list[dict[str, str]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Round:
    """One delivery to one destination: when it is, and how deliveries are to be made."""

    destination: Destination
    rules: Rules
    now: datetime
    today: date


def plan(
    round_: Round,
    verdicts: Mapping[str, Verdict],
    records: Iterable[tuple[str, str]],
    known: Mapping[str, Delivery],
) -> tuple[list[Planned], Delivered]:
    """The records worth a write, and the count of those that are not. `records`: (record id, account)."""
    planned, result = [], Delivered()
    for record, account in records:
        verdict = verdicts.get(account)
        if verdict is None:
            continue
        before = known.get(record)
        if not _worth(round_, verdict, before):
            result.unchanged += 1
        elif before is not None and _resting(round_, verdict, before):
            result.waiting += 1
        else:
            planned.append(Planned(Write(record, verdict.fields), account, verdict.deciding, before))
    return planned, result


def clearing(gone: Iterable[Delivery]) -> list[Planned]:
    """Writes that empty our fields on records that are no longer customers."""
    return [
        Planned(Write(delivery.record_id, _CLEARED), delivery.account, "", delivery, leaving=True) for delivery in gone
    ]


def deliver(
    round_: Round,
    planned: Sequence[Planned],
    result: Delivered,
    *,
    save: Callable[[Iterable[Delivery]], None],
) -> None:
    """Re-read the rows to be written, adopt what is already so, write the rest, and save every outcome."""
    if not planned:
        return
    by_record = {item.write.id: item for item in planned}
    writes: list[Write] = []
    adopted: list[Delivery] = []
    present = round_.destination.read(list(by_record))
    for item in planned:
        values = present.get(item.write.id)
        if values is None:
            outcome = Outcome(item.write.id, False, code="NOT_FOUND", message="the record is not there", remedy="gone")
            adopted.append(_noted(round_, item, outcome, result))
        elif not _differences(round_.destination, item, values):
            result.adopted += 1
            adopted.append(_confirmed(round_, item, values))
        else:
            writes.append(item.write)
    save(adopted)
    _write(round_, writes, by_record, result, save)


def rehearse(round_: Round, planned: Sequence[Planned], result: Delivered) -> None:
    """What `deliver` would change, field by field, as differences; writes nothing."""
    present = round_.destination.read([item.write.id for item in planned]) if planned else {}
    for item in planned:
        values = present.get(item.write.id, {})
        for key, before, after in _differences(round_.destination, item, values, all_fields=True):
            result.differences.append(
                Difference(round_.destination.name, item.write.id, item.account, key, before, after)
            )


def canonical(destination: Destination, fields: Mapping[str, FieldValue]) -> dict[str, Any]:
    """Field values as the record would hold them, as JSON values."""
    return {key: plain(destination.canonical(key, value)) for key, value in fields.items()}


def plain(value: FieldValue) -> str | float | None:
    """A field value as JSON has it."""
    return value.isoformat() if isinstance(value, date | datetime) else value


def _write(
    round_: Round,
    writes: Sequence[Write],
    by_record: Mapping[str, Planned],
    result: Delivered,
    save: Callable[[Iterable[Delivery]], None],
) -> None:
    if not writes:
        return
    batch: list[Delivery] = []
    try:
        for outcome in round_.destination.write(writes):
            batch.append(_noted(round_, by_record[outcome.id], outcome, result))
            if len(batch) >= KEEP_EVERY:
                save(batch)
                batch = []
    finally:
        save(batch)


def _worth(round_: Round, verdict: Verdict, before: Delivery | None) -> bool:
    if before is None or before.confirmed is None or before.status != "confirmed":
        return True
    return _decided(round_, verdict, before) or _refresh_day(round_, verdict, before)


def _decided(round_: Round, verdict: Verdict, before: Delivery) -> bool:
    if before.deciding != verdict.deciding:
        return True
    old, new = (before.confirmed or {}).get("score"), verdict.fields.get("score")
    if new is None or "score" not in verdict.fields:
        return False
    return not isinstance(old, int | float) or abs(float(new) - old) >= round_.rules.dead_band  # type: ignore[arg-type]


def _refresh_day(round_: Round, verdict: Verdict, before: Delivery) -> bool:
    """Each account has its own day in the round, so that a refresh is spread evenly."""
    if before.confirmed_at is None or round_.now - before.confirmed_at < timedelta(days=1):
        return False
    days = max(1, round_.rules.refresh.days)
    return (round_.today.toordinal() + zlib.crc32(verdict.account.encode())) % days == 0


def _resting(round_: Round, verdict: Verdict, before: Delivery) -> bool:
    """A row that failed waits its time; one that was refused for good waits until what we want of it changes."""
    if before.status == "quarantined":
        return before.deciding == verdict.deciding
    return before.status == "failed" and before.next_try_at is not None and before.next_try_at > round_.now


def _differences(
    destination: Destination, item: Planned, present: Mapping[str, FieldValue], *, all_fields: bool = False
) -> list[tuple[str, Any, Any]]:
    """Fields that differ; the moment of scoring alone is no difference."""
    wanted = canonical(destination, item.write.fields)
    found = [(key, plain(present.get(key)), value) for key, value in wanted.items() if plain(present.get(key)) != value]
    return found if all_fields or any(key != "scored_at" for key, _, _ in found) else []


def _noted(round_: Round, item: Planned, outcome: Outcome, result: Delivered) -> Delivery:
    if outcome.ok:
        result.written += 1
        return _confirmed(round_, item, outcome.confirmed)
    result.failed += 1
    if len(result.named) < MOST_NAMED:
        row = {"record": outcome.id, "account": item.account, "code": outcome.code, "message": outcome.message}
        result.named.append(row)
    return _refused(round_, item, outcome)


def _confirmed(round_: Round, item: Planned, values: Mapping[str, FieldValue] | None) -> Delivery:
    wanted = canonical(round_.destination, item.write.fields)
    told = {key: plain(value) for key, value in (values or {}).items()}
    before = (item.known.confirmed if item.known else None) or {}
    return Delivery(
        destination=round_.destination.name,
        record_id=item.write.id,
        account=item.account,
        wanted=wanted,
        confirmed={**before, **wanted, **told},
        deciding=item.deciding,
        status="closed" if item.leaving else "confirmed",
        confirmed_at=round_.now,
    )


def _refused(round_: Round, item: Planned, outcome: Outcome) -> Delivery:
    attempts = (item.known.attempts if item.known else 0) + 1
    again = outcome.remedy in ("again", "settings") and attempts < round_.rules.attempts
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempts - 1, 10))
    status: DeliveryStatus = "closed" if outcome.remedy == "gone" else "failed" if again else "quarantined"
    return Delivery(
        destination=round_.destination.name,
        record_id=item.write.id,
        account=item.account,
        wanted=canonical(round_.destination, item.write.fields),
        confirmed=item.known.confirmed if item.known else None,
        deciding=item.deciding,
        status=status,
        attempts=attempts,
        code=outcome.code,
        message=outcome.message,
        remedy=outcome.remedy or "",
        next_try_at=round_.now + wait if again else None,
        confirmed_at=item.known.confirmed_at if item.known else None,
    )


def selected(records: Iterable[tuple[str, str]], limit: int | None) -> Iterator[tuple[str, str]]:
    """The records of the first `limit` accounts in order of their ids: a pilot that is the same every run."""
    pairs = sorted(records, key=lambda pair: (pair[1], pair[0]))
    chosen = sorted({account for _, account in pairs})[:limit]
    allowed = set(chosen)
    return (pair for pair in pairs if pair[1] in allowed)

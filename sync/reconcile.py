"""Reconciling: what was confirmed is read back from the CRMs, and compared field by field.

Nothing is taken from memory: records are read in the vendors' largest batches, those that differ are looked up in state
again (a pass may have written them meanwhile), and who set a field is asked of the vendor. A repair goes the way of
every write: the records are doubted, and a pass reads, compares and writes them under the lease.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from connectors.base import Author, Destination, FieldValue
from connectors.batches import batches
from sync.compare import canonical, half_answered, plain, plainly, words
from sync.deliveries import READ_AT_ONCE
from sync.report import Report
from sync.rows import Delivery
from sync.run import run_once
from sync.worker import Worker

RECORD = "(record)"  # in the place of a field: the whole record is not there


class Difference(NamedTuple):
    """A field that holds something else than what was confirmed. `by`: who set it, as far as the vendor tells."""

    destination: str
    record: str
    account: str
    field: str
    ours: Any
    theirs: Any
    by: str


class Side(NamedTuple):
    """What a record says."""

    destination: str
    record: str
    value: Any


class Apart(NamedTuple):
    """A field in which two records of an account say different things."""

    account: str
    field: str
    one: Side
    other: Side


@dataclass
class Reconciled:
    """What came of a comparison. `compared` counts records, `fields` their fields."""

    compared: int = 0
    fields: int = 0
    differences: list[Difference] = field(default_factory=list)
    apart: list[Apart] = field(default_factory=list)

    @property
    def records(self) -> set[tuple[str, str]]:
        """Those that have to be looked at, with their destinations."""
        sides = {(side.destination, side.record) for two in self.apart for side in (two.one, two.other)}
        return sides | {(one.destination, one.record) for one in self.differences}

    @property
    def accounts(self) -> set[str]:
        return {one.account for one in self.differences} | {two.account for two in self.apart}

    def as_dict(self) -> dict[str, Any]:
        """As scripts read it."""
        apart = [{**two._asdict(), "one": two.one._asdict(), "other": two.other._asdict()} for two in self.apart]
        counts = {"records": self.compared, "fields": self.fields}
        return {**counts, "differences": [one._asdict() for one in self.differences], "apart": apart}


class _Held(NamedTuple):
    """A record as it was read, beside what is known of it."""

    destination: Destination
    row: Delivery
    present: Mapping[str, Any]


def reconciled(worker: Worker, names: Sequence[str]) -> Reconciled:
    """Compare what customers' records in these destinations hold with what was confirmed. Raises `ConnectorError`."""
    found, held = Reconciled(), defaultdict[str, list[_Held]](list)
    members = {row.id for row in worker.state.accounts.members()}
    for name in names:
        known = [
            row for row in worker.state.deliveries.of(name).values() if _comparable(row) and row.account in members
        ]
        for part in batches(known, READ_AT_ONCE):
            for one in _read(worker, worker.destinations[name], part, found):
                held[one.row.account].append(one)
    for account, records in held.items():
        for other in records[1:]:
            found.apart += _apart(account, records[0], other, worker.settings.delivery.dead_band)
    return found


def repair(worker: Worker, found: Reconciled) -> list[Report]:
    """Have a pass look at the records that differ, and write what should stand there; a person's tier stays.

    Where it finds one, a second pass tells it to every CRM.
    """
    by_name = defaultdict[str, list[str]](list)
    for name, record in sorted(found.records):
        by_name[name].append(record)
    for name, records in by_name.items():
        worker.state.deliveries.doubt(name, records)
    first = run_once(worker, due_only=True)
    edited = any(part.get("edits") for part in first.delivered.values())
    return [first, run_once(worker, due_only=True)] if edited else [first]


def _comparable(row: Delivery) -> bool:
    return row.status != "closed" and bool(row.confirmed)


def _read(worker: Worker, destination: Destination, rows: Sequence[Delivery], found: Reconciled) -> Iterator[_Held]:
    """Read these records and note what differs; yields those that are there."""
    present = destination.read([row.record_id for row in rows])
    differing = {row.record_id: _differing(destination, row, present.get(row.record_id)) for row in rows}
    now = worker.state.deliveries.of(destination.name, [record for record, fields in differing.items() if fields])
    still = [row for row in rows if not differing[row.record_id] or now.get(row.record_id) == row]
    found.compared += len(still)
    found.fields += sum(len(row.confirmed or {}) for row in still)
    told = {row.record_id: row for row in still if differing[row.record_id]}
    found.differences += _told(destination, told, differing)
    for row in still:
        if row.record_id in present:
            yield _Held(destination, row, plainly(present[row.record_id]))


def _differing(
    destination: Destination, row: Delivery, present: Mapping[str, FieldValue] | None
) -> dict[str, tuple[Any, Any]]:
    """Ours and theirs of the fields that differ. Of a write without an answer, what stood there before is right too."""
    if present is None:
        return {RECORD: (None, None)}
    ours = canonical(destination, row.confirmed or {})
    unanswered = row.status == "pending" or half_answered(row)
    sent = canonical(destination, row.wanted or {}) if unanswered else {}
    theirs = {key: plain(present.get(key)) for key in ours}
    return {
        key: (sent.get(key, value), theirs[key])
        for key, value in ours.items()
        if theirs[key] != value and (key not in sent or theirs[key] != sent[key])
    }


def _told(
    destination: Destination, rows: Mapping[str, Delivery], differing: Mapping[str, Mapping[str, tuple[Any, Any]]]
) -> Iterator[Difference]:
    """Every difference, with who made it."""
    by_field = defaultdict[str, list[str]](list)
    for record in rows:
        for key in differing[record]:
            by_field[key].append(record)
    for key, records in by_field.items():
        if key == RECORD:
            into = destination.survivors(records)
            for record in records:
                yield Difference(destination.name, record, rows[record].account, key, None, _gone(record, into), "")
            continue
        authors = destination.authors(key, records)
        for record in records:
            ours, theirs = differing[record][key]
            by = _by(authors.get(record))
            yield Difference(destination.name, record, rows[record].account, key, ours, theirs, by)


def _gone(record: str, into: Mapping[str, str | None]) -> str:
    if record not in into:
        return "not there"
    return f"merged into {into[record]}" if into[record] else "deleted"


def _by(author: Author | None) -> str:
    if author is None:
        return "not known"
    return f"{author.by}: {author.name}" if author.name else author.by


def _apart(account: str, one: _Held, other: _Held, band: float) -> Iterator[Apart]:
    """In what two records differ. Scores may lie apart by what either may lie behind; a reason goes by its causes."""
    tiers = [_word(held) for held in (one, other)]
    if tiers[0] != tiers[1]:
        yield _pair(account, "tier", one, other)
    scores = [held.present.get("score") for held in (one, other)]
    if _far(one, other, scores, 2 * band):
        yield _pair(account, "score", one, other)
    rows = (one.row, other.row)
    if {row.status for row in rows} == {"confirmed"} and one.row.deciding != other.row.deciding:
        yield _pair(account, "reason", one, other)


def _far(one: _Held, other: _Held, scores: Sequence[Any], band: float) -> bool:
    first, second = scores
    if not isinstance(first, int | float) or not isinstance(second, int | float):
        return bool(first != second)
    coarse = (one.destination.canonical("score", second), other.destination.canonical("score", first))
    return coarse[0] != first and coarse[1] != second and abs(first - second) >= band


def _word(held: _Held) -> Any:
    """The tier in our words, or as it stands there."""
    value = held.present.get("tier")
    return words(held.destination).get(value, value)


def _pair(account: str, field: str, one: _Held, other: _Held) -> Apart:
    sides = (Side(held.destination.name, held.row.record_id, held.present.get(field)) for held in (one, other))
    return Apart(account, field, *sides)

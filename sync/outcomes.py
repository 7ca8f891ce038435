"""The command `deliveries`: what became of every record's write, in words, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sync.budget import by_hand
from sync.commands import at_work, say_calls
from sync.compare import plain
from sync.console import clean, complain, many, put_json, say, table
from sync.errors import UsageError
from sync.reconcile import Reconciled, reconciled, repair
from sync.report import Report
from sync.rows import Delivery, DeliveryStatus
from sync.show import edit_in_words
from sync.worker import Worker

STATES: Mapping[DeliveryStatus, str] = {
    "pending": "sent, and no answer seen; the next pass reads it again first",
    "confirmed": "written; nothing to do",
    "failed": "refused for now; tried again by itself",
    "quarantined": "refused; tried once a day, and at once when what is told or its cause changes",
    "closed": "no customer's record any more, or not there; nothing to do",
}
REMEDIES: Mapping[str, str] = {  # by `Remedy`, which state keeps as text
    "again": "it passes by itself",
    "settings": "mend the field: `bellwether check` says how",
    "row": "mend the record, or the rule that refuses it",
    "gone": "nothing, or link the account to another record",
}
SHOWN = 100  # differences that a person is shown; with --json all of them are


class Wish(NamedTuple):
    """What the command was asked for."""

    failed: bool = False
    retry: bool = False
    reconcile: bool = False
    apply: bool = False
    destination: str | None = None


def deliveries(path: Path, wish: Wish, *, as_json: bool) -> int:
    """List deliveries, have them tried, or compare them with the CRMs; 1 when differences are left."""
    if wish.apply and not wish.reconcile:
        raise UsageError("--apply goes with --reconcile")
    if wish.failed + wish.retry + wish.reconcile > 1:
        raise UsageError("--failed, --retry and --reconcile exclude each other")
    with at_work(path, looks=True, regardless=not wish.apply) as worker:
        names = _named(worker, wish.destination)
        if wish.reconcile:
            return _reconcile(worker, names, apply=wish.apply, as_json=as_json)
        if wish.retry:
            due = worker.state.deliveries.retry(names, now=worker.clock.now())
            words = f"due now: {many(due, 'record')}; the daemon's next pass tries them, `bellwether run` at once"
            put_json({"due": due}) if as_json else say(words)
            return 0
        rows = [row for name in names for row in _rows(worker, name, failed=wish.failed)]
        _list(rows, worker.state.accounts.names({row.account for row in rows}), as_json=as_json)
    return 0


def _named(worker: Worker, wanted: str | None) -> list[str]:
    if wanted is not None and wanted not in worker.destinations:
        known = ", ".join(worker.destinations)
        raise UsageError(f"--destination: there is no destination {clean(wanted)[:30]!r} (there are: {known})")
    return [wanted] if wanted is not None else list(worker.destinations)


def _rows(worker: Worker, name: str, *, failed: bool) -> Sequence[Delivery]:
    return worker.state.deliveries.refused(name) if failed else list(worker.state.deliveries.of(name).values())


def to_do(row: Delivery) -> str:
    """What a record's state means, and what a person does about it."""
    if not row.code or row.status in ("pending", "confirmed"):
        return STATES[row.status]
    remedy = REMEDIES.get(row.remedy, "")
    return f"{row.message}: {remedy}" if remedy else row.message


def document(row: Delivery, names: Mapping[str, str]) -> dict[str, Any]:
    """A delivery as scripts read it."""
    return {
        "destination": row.destination,
        "record": row.record_id,
        "account": row.account,
        "name": names.get(row.account),
        "state": row.status,
        "code": row.code,
        "remedy": row.remedy,
        "to_do": to_do(row),
        "attempts": row.attempts,
        "next_try": plain(row.next_try_at),
        "confirmed_at": plain(row.confirmed_at),
    }


def _list(rows: Sequence[Delivery], names: Mapping[str, str], *, as_json: bool) -> None:
    told = [document(row, names) for row in rows]
    if as_json:
        put_json({"deliveries": told})
        return
    columns = ("destination", "record", "name", "state", "code", "to_do", "attempts", "next_try", "confirmed_at")
    headings = ("destination", "record", "account", "state", "code", "what to do", "tries", "next try", "confirmed")
    moments = ("next_try", "confirmed_at")
    cells = ([(one[key] or "")[:16] if key in moments else one[key] for key in columns] for one in told)
    table("Deliveries", headings, cells, numbers=(6,))
    say(many(len(rows), "record"))


def _reconcile(worker: Worker, names: Sequence[str], *, apply: bool, as_json: bool) -> int:
    found, calls = _read_back(worker, names)
    repaired = len(found.records) if apply else 0
    if apply and found.records:
        for report in repair(worker, found):
            _tell(report, as_json=as_json)
        found, calls = _read_back(worker, names)
    if as_json:
        put_json({"repaired": repaired, **found.as_dict(), "calls": calls})
    else:
        if repaired:
            say(f"gone through: {many(repaired, 'record')}; reading back once more")
        _show(found, worker.state.accounts.names(found.accounts))
        say_calls(calls)
    return 1 if found.differences or found.apart else 0


def _read_back(worker: Worker, names: Sequence[str]) -> tuple[Reconciled, Mapping[str, str]]:
    """What differs, and what it took to find out."""
    with by_hand(worker, names) as calls:
        return reconciled(worker, names), calls


def _tell(report: Report, *, as_json: bool) -> None:
    for problem in report.problems:
        complain(str(problem))
    for name, part in report.delivered.items():
        for edit in () if as_json else part["edits"]:
            say(f"edit in {name}: {edit_in_words(edit)}")


def _show(found: Reconciled, names: Mapping[str, str]) -> None:
    cells = (
        [one.destination, one.record, names.get(one.account), one.field, one.ours, one.theirs, one.by]
        for one in found.differences[:SHOWN]
    )
    if found.differences:
        table("Differences", ("destination", "record", "account", "field", "ours", "theirs", "set by"), cells)
    if len(found.differences) > SHOWN:
        say(f"and {len(found.differences) - SHOWN:,} more; --json has all")
    for two in found.apart[:SHOWN]:
        sides = " and ".join(f"{side.value} in {side.destination} {side.record}" for side in (two.one, two.other))
        say(f"{names.get(two.account)} ({two.account}): its {two.field} is {sides}")
    counted = f"{many(found.compared, 'record')}, {many(found.fields, 'field')}"
    if not found.differences and not found.apart:
        say(f"compared {counted}: no difference")
        return
    apart = f", {len(found.apart):,} between CRMs" if found.apart else ""
    differences = f"{many(len(found.differences), 'difference')} on {many(len(found.records), 'record')}"
    say(f"compared {counted}: {differences}{apart}")

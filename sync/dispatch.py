"""One destination's share of a pass: which of its records are whose, and what has to be delivered to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from sync.budget import Budget
from sync.compare import Look
from sync.deliveries import Delivered, Round, clearing, deliver, pilot, planned_for, rehearse, worthwhile
from sync.drift import Watch
from sync.edits import Edits
from sync.errors import LeaseLost
from sync.evaluate import Evaluation
from sync.rows import Delivery, Standing
from sync.urgency import in_order
from sync.worker import Worker


def dispatch(
    worker: Worker,
    round_: Round,
    result: Delivered,
    found: Evaluation,
    *,
    budget: Budget,
    chosen: Collection[str],
    edits: Edits,
    dry_run: bool,
) -> None:
    """Deliver to one destination, filling in `result` as it goes. Words are found only for what is written.

    Raises `WaitUntil` once all is written that there are calls for.
    """
    name = round_.destination.name
    watch = None if dry_run else Watch(worker, round_)
    round_ = replace(round_, afresh=watch is not None and watch.mended)
    known, records = worker.state.deliveries.standings(name), _records(worker, name, found)
    mine = ((record, account) for record, account in records.items() if account in chosen)
    picked = worthwhile(round_, found.told, mine, known, result)
    gone = _leaving(worker, records, known)
    before = worker.state.deliveries.of(name, [*(record for record, _ in picked if record in known), *gone])
    verdicts = {verdict.account: verdict for verdict in found.verdicts({account for _, account in picked})}
    leaving = clearing(round_, (before[record] for record in gone))
    planned = in_order(round_, [*planned_for(picked, verdicts, before), *leaving])
    result.left = len(planned)
    sent: set[str] = set()

    def save(rows: Iterable[Delivery]) -> None:
        rows = list(rows)
        worker.state.deliveries.save(rows)
        for row in rows:
            (sent.add if row.status == "pending" else sent.discard)(row.record_id)
        result.left -= sum(row.status != "pending" for row in rows)
        budget.note()

    def alone(looks: Sequence[Look]) -> Collection[str]:
        held = edits.before_write(round_.destination, looks)
        result.left -= len(held)
        return held

    if watch is None:
        budget.fitting(planned)
        rehearse(round_, planned, result)
        return
    try:
        if planned or result.waiting:
            watch.look()
    finally:
        result.drifts = watch.found
    try:
        deliver(round_, watch.usable(budget.fitting(planned)), result, save=save, alone=alone)
    except LeaseLost:
        worker.state.deliveries.doubt(name, sent)
        raise
    budget.refuse()
    watch.done()


def chosen_accounts(worker: Worker, accounts: Collection[str]) -> Collection[str]:
    """The accounts that any destination is written for: all, or those of a pilot."""
    limit = worker.settings.delivery.limit
    if limit is None:
        return accounts
    known = [worker.state.deliveries.of(name) for name in worker.destinations]
    return pilot(accounts, {item.account for part in known for item in part.values() if item.confirmed_at}, limit)


def _records(worker: Worker, name: str, found: Evaluation) -> dict[str, str]:
    """record -> account, for every record of a destination that is an account's."""
    if name == worker.settings.home:
        return {account: account for account in found.decisions}
    return {record: account for record, account in found.records[name].items() if account in found.decisions}


def _leaving(worker: Worker, records: Mapping[str, str], known: Mapping[str, Standing]) -> list[str]:
    """Records that hold our fields and are no customer's any more."""
    if worker.settings.accounts.on_leave == "keep" or not records:
        return []
    return [row.record_id for row in known.values() if row.record_id not in records and row.status != "closed"]

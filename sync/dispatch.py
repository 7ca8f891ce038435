"""One destination's share of a pass: which of its records are whose, and what has to be delivered to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sync.budget import Budget
from sync.compare import Look
from sync.deliveries import Delivered, Planned, Round, clearing, deliver, pilot, planned_for, rehearse, worthwhile
from sync.drift import Watch
from sync.edits import Edits
from sync.errors import LeaseLost
from sync.evaluate import Evaluation
from sync.rows import Delivery, Standing
from sync.urgency import in_order
from sync.worker import Worker


class Dispatch(NamedTuple):
    """What one destination is to be told in a pass, of which accounts, and what became of it."""

    worker: Worker
    round: Round
    found: Evaluation
    chosen: Collection[str]
    budget: Budget
    result: Delivered

    def rehearse(self) -> None:
        """Fill in what would be written, and write nothing."""
        planned = _planned(self)
        self.budget.fitting(planned)
        rehearse(self.round, planned, self.result)

    def carry_out(self, edits: Edits) -> None:
        """Write it, filling in the result. Raises `WaitUntil` once all is written that there are calls for."""
        watch = Watch(self.worker, self.round)
        this = self._replace(round=replace(self.round, afresh=watch.mended))
        planned = _planned(this)
        try:
            if planned or self.result.waiting:
                watch.look()
        finally:
            self.result.drifts = watch.found
        _send(this, watch.usable(self.budget.fitting(planned)), edits)
        if self.worker.settings.accounts.on_leave == "keep" and self.found.decisions:
            name = self.round.destination.name
            self.worker.state.deliveries.let_go(name, _records(self.worker, name, self.found))
        self.budget.refuse()
        watch.done()


def _planned(this: Dispatch) -> list[Planned]:
    """What has to be written, the most urgent first. Words are found only for that."""
    round_, name = this.round, this.round.destination.name
    known, records = this.worker.state.deliveries.standings(name), _records(this.worker, name, this.found)
    mine = ((record, account) for record, account in records.items() if account in this.chosen)
    picked = worthwhile(round_, this.found.told, mine, known, this.result)
    gone = _leaving(this.worker, records, known)
    before = this.worker.state.deliveries.of(name, [*(record for record, _ in picked if record in known), *gone])
    verdicts = {verdict.account: verdict for verdict in this.found.verdicts({account for _, account in picked})}
    leaving = clearing(round_, (before[record] for record in gone))
    planned = in_order(round_, [*planned_for(picked, verdicts, before), *leaving])
    this.result.left = len(planned)
    return planned


def _send(this: Dispatch, planned: Sequence[Planned], edits: Edits) -> None:
    """Deliver these. What was sent and not answered for is doubted where the lease is lost meanwhile."""
    deliveries, sent = this.worker.state.deliveries, set[str]()

    def save(rows: Sequence[Delivery]) -> None:
        deliveries.save(rows)
        for row in rows:
            (sent.add if row.status == "pending" else sent.discard)(row.record_id)
        this.result.left -= sum(row.status != "pending" for row in rows)
        this.budget.note()

    def alone(looks: Sequence[Look]) -> Collection[str]:
        held = edits.before_write(this.round.destination, looks)
        this.result.left -= len(held)
        return held

    try:
        deliver(this.round, planned, this.result, save=save, alone=alone)
    except LeaseLost:
        deliveries.doubt(this.round.destination.name, sent)
        raise


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

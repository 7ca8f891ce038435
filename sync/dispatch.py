"""One destination's share of a pass: which of its records are whose, and what has to be delivered to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sync.deliveries import Delivered, Planned, Round, clearing, deliver, pilot, plan, rehearse
from sync.rows import Delivery
from sync.verdicts import Verdict
from sync.worker import Worker


def dispatch(
    worker: Worker,
    round_: Round,
    result: Delivered,
    verdicts: Mapping[str, Verdict],
    *,
    chosen: set[str],
    beat: Callable[[], None],
    dry_run: bool,
) -> None:
    """Deliver to one destination, filling in `result` as it goes."""
    name = round_.destination.name
    known, records = worker.state.deliveries(name), _records(worker, name, verdicts)
    mine = [(record, account) for record, account in records.items() if account in chosen]
    planned = [*plan(round_, verdicts, mine, known, result), *_leaving(worker, round_, records, known)]

    def save(rows: Iterable[Delivery]) -> None:
        beat()  # an outcome is recorded only while the lease is ours
        worker.state.save_deliveries(rows)

    if dry_run:
        rehearse(round_, planned, result)
    else:
        deliver(round_, planned, result, save=save)


def chosen_accounts(worker: Worker, verdicts: Mapping[str, Verdict]) -> set[str]:
    """The accounts that any destination is written for: all, or those of a pilot."""
    limit = worker.settings.delivery.limit
    known = [worker.state.deliveries(name) for name in worker.destinations] if limit else []
    return pilot(verdicts, {item.account for part in known for item in part.values() if item.confirmed}, limit)


def _records(worker: Worker, name: str, verdicts: Mapping[str, Verdict]) -> dict[str, str]:
    """record -> account, for every record of a destination that is an account's."""
    if name == worker.settings.home:
        return {account: account for account in verdicts}
    links = worker.links(worker.state.accounts()).of(name)
    return {record: account for record, account in links.items() if account in verdicts}


def _leaving(worker: Worker, round_: Round, records: Mapping[str, str], known: Mapping[str, Delivery]) -> list[Planned]:
    """Records that hold our fields and are no customer's any more."""
    if worker.settings.accounts.on_leave == "keep" or not records:
        return []
    return clearing(round_, (row for row in known.values() if row.record_id not in records and row.status != "closed"))

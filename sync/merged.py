"""Records that are gone from a directory: one that was merged passes on what it has, one that was deleted is closed.

The record that stays gets what is known of the other's fields, so that no value that came along is taken for an edit,
and, where accounts are records of this system, its judgements. Keys, explicit links and facts of the other follow by
`state.deliveries.merged` whenever links are worked out; its score history stays under its id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sync.compare import plain, words
from sync.rows import Delivery
from sync.worker import Worker


def pass_on(worker: Worker, name: str, missing: Collection[str], *, today: date) -> None:
    """See to records that a whole reading of a directory did not show; what the vendor does not tell of stays."""
    if not missing:
        return
    destination, home = worker.destinations[name], name == worker.settings.home
    gone = destination.survivors(sorted(missing))
    stay = sorted({survivor for survivor in gone.values() if survivor})
    known, present = worker.state.deliveries.of(name, [*gone, *stay]), destination.read(stay) if stay else {}
    rows = [
        _closed(known.get(record) or Delivery(name, record, record), survivor, home=home)
        for record, survivor in gone.items()
        if survivor or record in known
    ]
    tiers = words(destination)
    for survivor in stay:
        lost = [known[record] for record, into in gone.items() if into == survivor and record in known]
        held = plain(present[survivor].get("tier")) if survivor in present else None
        heir = _heir(survivor, known.get(survivor), lost, tier=held, tiers=tiers, today=today)
        rows += [replace(row, account=survivor) if home else row for row in heir]
    moved = {record: survivor for record, survivor in gone.items() if survivor and home}
    worker.state.deliveries.pass_on(moved, rows)


def _closed(row: Delivery, survivor: str | None, *, home: bool) -> Delivery:
    account = survivor if home and survivor else row.account
    return replace(row, account=account, status="closed", next_try_at=None, deciding="", merged_into=survivor)


def _heir(
    survivor: str,
    own: Delivery | None,
    lost: Sequence[Delivery],
    *,
    tier: Any,
    tiers: Mapping[Any, str],
    today: date,
) -> list[Delivery]:
    """What is known of the record that stays, if anything was known of it or of those that went into it."""
    both = [row for row in (own, *lost) if row]
    if not both:
        return []
    told = [fields.get("tier") for row in both for fields in (row.confirmed or {}, row.wanted or {})]
    past = [*(tiers[one] for one in told if one in tiers), *(one for row in both for one in row.past)]
    row = own or replace(lost[0], record_id=survivor, status="confirmed", wanted=None, deciding="")
    held = {"tier": tier} if tier in told else {}
    confirmed = {**(row.confirmed or {}), **held}
    return [replace(row, confirmed=confirmed, past=tuple(dict.fromkeys(past)), refresh_on=today)]

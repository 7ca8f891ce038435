"""kill -9 in a write, then news: what the rows are for that are saved as pending before a call.

A worker is killed when a CRM has carried out what it wrote and has not answered. Before the next one begins, people put
the tier back, on half of those records, to the one that is known to have stood there; of the others they set a third
one in the other CRM, and change another field here, so that a CRM that keeps no history cannot say who set the tier.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

from connectors.values import TIERS
from sync.rows import Delivery
from sync.worker import opened
from tests.chaos import forks
from tests.chaos.beside import Beside
from tests.chaos.calls import Aim
from tests.chaos.forks import Job
from tests.chaos.proof import Asked, Row
from tests.soak.audit import NAMES

CRMS = ("salesforce", "hubspot")
EXACT = "delivery: {dead_band: 0}\n"  # else what is told would depend on what was told before
TRACKED = NAMES["salesforce"]["tier"]

Known = Mapping[str, Delivery]  # by account


def proof(asked: Asked) -> Sequence[Row]:
    """The row of so many kills."""
    kills, accounts, began = asked.size(24, 4), asked.size(30, 8), time.monotonic()
    with Beside(asked, accounts, more=EXACT) as beside:
        beside.recover(forks.provision)
        beside.one.begin()
        beside.recover(forks.run)
        beside.compare()
        counts = lived(beside, kills, Random(asked.seed))
        broken = beside.broken
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    result = "; ".join(broken) or "every tier and judgement as at the twin, none lost, none made up"
    figure = f"{told}, {accounts} accounts, {time.monotonic() - began:.0f} s: {result}"
    return [Row("kill -9 in a write, then news", figure, f"{kills} kills, 0 lost, 0 made up", not broken)]


def lived(beside: Beside, kills: int, random: Random, job: Job = forks.run) -> Counter[str]:
    """Rounds until so many workers were killed at this job; how many, and what people did then."""
    counts = Counter[str]()
    for company in (beside.company, beside.other):
        company.box.crm["salesforce"].tracked.add(TRACKED)
    for number in range(10 * kills):  # in some there is nothing to write
        here, there = CRMS[number % 2], CRMS[1 - number % 2]
        stood, theirs = _known(beside, here), _known(beside, there)
        _people(beside, stood, theirs, random)
        beside.one.begin()
        sent = _killed(beside, here, job, noted=number % 4 > 0)
        beside.follow()
        counts += Counter(kills=bool(sent)) + _news(beside, sent, stood, theirs)
        beside.one.begin()
        beside.recover(forks.run)
        beside.compare(late=True)
        if counts["kills"] >= kills or beside.broken:
            break
    return counts


def _people(beside: Beside, stood: Known, theirs: Known, random: Random) -> None:
    """In the other CRM, people set another tier for a third of those who have one in both."""
    both = sorted(stood.keys() & theirs.keys())
    for account in random.sample(both, len(both) // 3):
        _set(beside, theirs[account], "tier", _other(_tier(stood[account]), _tier(theirs[account])))


def _news(beside: Beside, sent: Mapping[str, str], stood: Known, theirs: Known) -> Counter[str]:
    """What people do on the records that were sent another tier than stood there; how often."""
    counts = Counter[str]()
    changed = sorted(account for account, row in stood.items() if sent.get(row.record_id, _tier(row)) != _tier(row))
    for number, account in enumerate(changed):
        row, other = stood[account], theirs.get(account)
        if number % 2 and other:
            _set(beside, other, "tier", _other(sent[row.record_id], _tier(row)))
            _set(beside, row, "reason", "I know them")
            counts["third tiers set in the other CRM"] += 1
        else:
            _set(beside, row, "tier", _tier(row))
            counts["tiers put back"] += 1
    return counts


def _known(beside: Beside, crm: str) -> Known:
    """What is known of the records that hold a tier, by account."""
    with opened(beside.company.settings, clock=beside.one.clock) as worker:
        rows = worker.state.deliveries.of(crm).values()
    return {row.account: row for row in rows if row.status == "confirmed" and _tier(row)}


def _killed(beside: Beside, crm: str, job: Job, *, noted: bool) -> Mapping[str, str]:
    """The tiers, by record, that a worker sent before it was killed. `noted`: Salesforce keeps who did."""
    org, store, name = beside.company.box.crm["salesforce"], beside.company.box.crm[crm], NAMES[crm]["tier"]
    before = len(store.writes)
    process = forks.worker(job, beside.one.path)
    beside.calls.aim = Aim(process.kill, lambda _: any(one.by == "api" for one in store.writes[before:]), 1, "answered")
    org.tracked -= set() if noted else {TRACKED}
    process.start()
    killed = beside.struck(process) == -signal.SIGKILL
    org.tracked.add(TRACKED)
    sent = {one.record: one.fields.get(name) for one in store.writes[before:] if one.by == "api"}
    return {record: tier for record, tier in sent.items() if killed and tier and store.here(record)}


def _set(beside: Beside, row: Delivery, field: str, value: str) -> None:
    """Somebody sets a field of a record, and of the twin's."""
    for company in (beside.company, beside.other):
        company.box.crm[row.destination].set_field(row.record_id, NAMES[row.destination][field], value)


def _tier(row: Delivery) -> str:
    return str((row.confirmed or {}).get("tier") or "")


def _other(*tiers: str) -> str:
    """A tier that is none of these."""
    return next(tier for tier in TIERS if tier not in tiers)

"""A storm in which nearly a third of all calls goes wrong and one record in fifty is refused for good, beside a twin
without faults; and what it costs when HubSpot refuses whole batches for the sake of a few bad rows.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from connectors.base import Tools, Write
from connectors.clock import SteppedClock
from connectors.errors import ConnectorError
from connectors.hubspot import HubSpot, Settings
from connectors.sandbox import Sandbox
from connectors.sandbox.faults import Profile
from sync.reconcile import reconciled, repair
from sync.run import run_once
from sync.worker import Worker, opened
from tests.chaos.calls import Calls, watched
from tests.chaos.proof import Asked, Row
from tests.served import carry_out
from tests.soak import audit
from tests.soak.audit import Fields, Record, Sight
from tests.soak.company import START, Company
from tests.soak.twin import lived, provision

SPARED = 1.5  # every third call of a sandbox is spared, so that of the others more go wrong
SHARES = {"refused": 0.06, "broken": 0.05, "closed": 0.04, "reset": 0.04, "silent": 0.01, "cut": 0.05, "lost": 0.05}
BAD = 50  # one record in so many is refused for good
CODES = {"salesforce": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "hubspot": "VALIDATION_ERROR"}
TRIES = 30  # passes in which a portion has to be over
MOST = 2.0  # times as many calls as without faults
PORTIONS = (0, 2, 4, 28, 30)  # hours after the beginning
BATCH = 100


def profile(seed: int) -> Profile:
    """30 % of all calls."""
    spoiled: dict[str, Any] = {kind: share * SPARED for kind, share in SHARES.items()}
    return Profile("chaos", seed=seed, silence=0.02, **spoiled)


@dataclass
class Weathered:
    """A company in the storm: the records that are `bad`, and those that were `named` as refused.

    Beside its twin: what is `broken`, in words, the `ratios` of calls that deliveries took, by CRM, and the share of
    calls that went `wrong`.
    """

    company: Company
    clock: SteppedClock
    bad: set[Record] = field(default_factory=set)
    named: set[Record] = field(default_factory=set)
    passes: int = 0
    broken: list[str] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    wrong: float = 0.0

    def portions(self, moments: Sequence[datetime]) -> Iterator[Worker]:
        """Live through them; yields the worker after each, when all is done but what cannot be."""
        with opened(self.company.settings, clock=self.clock) as worker:
            _provisioned(worker)
            self.bad = _spoil(self.company)
            for moment in moments:
                self.clock.advance_to(moment)
                self.company.tell(moment)
                self._until(worker, moment, self.bad, due_only=True)
                yield worker

    def mended(self, worker: Worker) -> None:
        """Somebody mends what was wrong with the bad rows, and runs until they are written."""
        for store in self.company.box.crm.values():
            store.fail_rows.clear()
        self._until(worker, self.clock.now(), set(), due_only=False)
        _repaired(worker)

    def _until(self, worker: Worker, moment: datetime, left: set[Record], *, due_only: bool) -> None:
        for number in range(TRIES):
            self.clock.advance_to(moment + timedelta(minutes=10 + 30 * number))
            self.passes += 1
            for crm, told in run_once(worker, due_only=due_only).delivered.items():
                self.named |= {(crm, row["record"]) for row in told["named"] if row["code"] == CODES[crm]}
            if _whole(worker, moment) and audit.waiting(worker) <= left:
                return
        raise RuntimeError(f"{audit.waiting(worker) - left} still wait after {TRIES} passes")


def _whole(worker: Worker, since: datetime) -> bool:
    """Whether everything has been read since then."""
    kinds = [f"pull:{name}" for name in worker.sources] + [f"accounts:{name}" for name in worker.destinations]
    ends = [worker.state.runs.last_finished(kind) for kind in kinds]
    return all(end is not None and end.started_at > since for end in ends)


def _provisioned(worker: Worker) -> None:
    """Our fields are made, in as many tries as it takes."""
    for _ in range(TRIES):
        with suppress(ConnectorError):
            return provision(worker)
    raise RuntimeError("our fields could not be made")


def _spoil(company: Company) -> set[Record]:
    """From now on these records are refused, whatever is written to them."""
    random, bad = Random(company.seed), set[Record]()
    for crm, store in company.box.crm.items():
        customers = [record for record in sorted(store.live()) if _customer(store.records[record])]
        chosen = random.sample(customers, max(1, len(customers) // BAD))
        store.fail_rows.update(dict.fromkeys(chosen, CODES[crm]))
        bad |= {(crm, record) for record in chosen}
    return bad


def _customer(fields: Mapping[str, Any]) -> bool:
    return fields.get("Type") == "Customer" or fields.get("lifecyclestage") == "customer"


def proof(asked: Asked) -> Sequence[Row]:
    """The rows of the storm, and of batches refused whole."""
    accounts, portions, began = asked.size(300, 30), asked.size(5, 2), time.monotonic()
    storm = through(asked, accounts, portions)
    size = f"{accounts} accounts, {portions} portions in {storm.passes} passes, {storm.wrong:.0%} of calls went wrong"
    named = f"{len(storm.named & storm.bad)} of {len(storm.bad)} bad rows named"
    cost = ", ".join(f"{crm} {ratio:.2f}x" for crm, ratio in storm.ratios.items())
    few = all(ratio <= MOST for ratio in storm.ratios.values())
    result = "; ".join(storm.broken) or "every value is the twin's"
    took = f"{time.monotonic() - began:.0f} s"
    return [
        Row(
            "fault storm", f"{size}, {named}, {took}: {result}", "30 % wrong, 2 % bad rows, 0 differ", not storm.broken
        ),
        Row("fault storm: calls of deliveries beside the twin's", cost, f"{MOST:g}x", few),
        *_halved(asked.folder),
    ]


def through(asked: Asked, accounts: int, portions: int) -> Weathered:
    """A company that has been through it, compared with its twin."""
    moments = [START + timedelta(hours=hours) for hours in PORTIONS[:portions]]
    clock, beside = SteppedClock(START), SteppedClock(START)
    storm = Weathered(_company(asked, "storm", clock, profile(asked.seed), accounts), clock)
    with watched() as calls, storm.company, _company(asked, "twin", beside, "none", accounts) as other:
        storm.broken += _lived(storm, other, beside, moments)
        storm.ratios.update(_ratios(calls, storm.company, other))
        storm.wrong = _wrong(calls, storm.company)
    return storm


def _company(asked: Asked, name: str, clock: SteppedClock, faults: str | Profile, accounts: int) -> Company:
    more = asked.settings() if name == "storm" else ""
    return Company(
        asked.folder / name, clock=clock, accounts=accounts, seed=asked.seed, faults=faults, history=40, more=more
    )


def _lived(storm: Weathered, other: Company, beside: SteppedClock, moments: Sequence[datetime]) -> Iterator[str]:
    """Live through it beside the twin; what differs, in words."""
    weathered, twin = storm.portions(moments), lived(other, beside, moments)
    for moment in moments:
        worker = next(weathered)
        theirs = audit.look(other, twin_worker := next(twin))
        yield from _apart(audit.look(storm.company, worker), theirs, storm.bad)
        if moment is moments[-1]:
            storm.mended(worker)
            theirs = audit.look(other, _repaired(twin_worker))
            yield from _apart(audit.look(storm.company, worker), theirs, storm.bad, mended=True)
    if storm.named != storm.bad:
        yield f"refused for good are {len(storm.bad)} rows, named were {len(storm.named)}"


def _repaired(worker: Worker) -> Worker:
    """What people wrote over our other fields is written again."""
    for _ in range(TRIES):
        with suppress(ConnectorError):
            found = reconciled(worker, list(worker.destinations))
            if not found.records:
                return worker
            repair(worker, found)
    raise RuntimeError("what people wrote over could not be repaired")


def _apart(ours: Sight, theirs: Sight, bad: set[Record], *, mended: bool = False) -> Iterator[str]:
    """What differs. Of `bad` records only what decides, once they are `mended`: they were written later, and figures
    ride along.
    """
    mine, twins = (
        {record: _of(record, values, bad, mended) for record, values in sight.fields.items()}
        for sight in (ours, theirs)
    )
    if differences := audit.differences(mine, twins):
        yield f"records are other than the twin's: {dict(differences)}"
    if ours.facts != theirs.facts or any(rows != ids for rows, ids, _ in ours.facts.values()):
        yield f"facts are {ours.facts}, the twin's {theirs.facts}"
    if ours.written.repeated:
        yield f"{len(ours.written.repeated)} rows were written twice without need"


def _of(record: Record, values: Fields, bad: set[Record], mended: bool) -> Fields:
    if record not in bad:
        return values
    return audit.deciding(record[0], values) if mended else {}


def _ratios(calls: Calls, company: Company, other: Company) -> dict[str, float]:
    """How many times as many calls a delivery took as the twin's, by CRM."""
    return {crm: calls.delivering[_door(company, crm)] / calls.delivering[_door(other, crm)] for crm in CODES}


def _wrong(calls: Calls, company: Company) -> float:
    """The share of all calls that went wrong at the door."""
    spoiled = sum(company.box.faults.get(kind, 0) for kind in SHARES)
    return spoiled / sum(calls.all[_door(company, vendor)] for vendor in company.box.urls)


def _door(company: Company, vendor: str) -> tuple[str, int]:
    address = urlsplit(company.box.urls[vendor])
    return str(address.hostname), int(address.port or 0)


def _halved(folder: Path) -> Iterator[Row]:
    """A batch that is refused whole, with so many bad rows in it: the calls beyond the one."""
    for bad in (1, 2, 5, 10):
        refused, written, more = whole(folder, bad)
        bound = 2 * bad * (math.ceil(math.log2(BATCH / bad)) + 1)
        holds = (refused, written) == (bad, BATCH - bad) and more <= bound
        figure = f"{more} more calls, {refused} rows refused by name, {written} written"
        yield Row(f"HubSpot refuses a batch of {BATCH} whole, {bad} bad", figure, f"{bound}", holds)


def whole(folder: Path, bad: int) -> tuple[int, int, int]:
    """Rows refused, rows written, and calls beyond the first, of a batch that is refused for its bad rows."""
    clock = SteppedClock(START)
    with Sandbox(accounts=BATCH, clock=clock, vendors=("hubspot",)) as box:
        given = {"base_url": box.urls["hubspot"], "access_token": "sandbox-hubspot"}
        tools = Tools(clock, threading.Event(), lambda user: user, ZoneInfo("UTC"), folder, folder)
        crm = HubSpot("hubspot", Settings.model_validate(given), tools)
        carry_out(crm.plan())
        portal = box.crm["hubspot"]
        ids = sorted(portal.live())[:BATCH]
        portal.refuses_whole = True
        portal.fail_rows.update(dict.fromkeys(Random(bad).sample(ids, bad), CODES["hubspot"]))
        outcomes = list(crm.write([Write(id, {"score": 50.0}) for id in ids]))
        crm.close()
        refused = {one.id for one in outcomes if not one.ok and one.remedy == "row"}
        return len(refused & portal.fail_rows.keys()), sum(one.ok for one in outcomes), crm.calls["write"] - 1

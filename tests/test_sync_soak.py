"""Two days of faults in short: what `python -m tests.soak` does at length with the daemon itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.clock import SteppedClock
from connectors.sandbox.faults import Profile
from tests.soak import audit
from tests.soak.audit import Sight
from tests.soak.company import START, Company
from tests.soak.twin import lived

PORTIONS = [START + timedelta(hours=hours) for hours in (0, 30)]  # on two days, at different hours
ACCOUNTS, SEED, HISTORY = 10, 3, 40
STORM = Profile(
    "short and heavy",
    refused=0.06,
    broken=0.05,
    closed=0.04,
    reset=0.04,
    silent=0.02,
    cut=0.05,
    lost=0.08,
    expired=0.5,
    locked=0.25,
    partial=0.25,
    aborted=0.5,
    terminated=0.2,
)


class Lived:
    """What was to be seen after each portion, and the company at the end."""

    def __init__(self, folder: Path, faults: str | Profile) -> None:
        clock = SteppedClock(START)
        self.company = Company(folder, clock=clock, faults=faults, accounts=ACCOUNTS, seed=SEED, history=HISTORY)
        self.sights: list[Sight] = []
        with self.company:
            for worker in lived(self.company, clock, PORTIONS, interrupted=faults != "none"):
                self.sights.append(audit.look(self.company, worker))
                self.known = audit.known(worker)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return Lived(tmp_path_factory.mktemp("quiet"), "none")


@pytest.fixture(scope="module")
def stormy(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return Lived(tmp_path_factory.mktemp("stormy"), STORM)


def test_after_every_portion_records_and_facts_are_those_of_a_worker_that_nothing_happened_to(
    quiet: Lived, stormy: Lived
) -> None:
    for ours, twin in zip(stormy.sights, quiet.sights, strict=True):
        assert not audit.differences(ours.fields, twin.fields)
        assert not audit.differences(ours.written.states, twin.written.states)
        assert ours.facts == twin.facts
        assert ours.rows == twin.rows
        assert not ours.waiting
    assert {"lost", "locked", "partial", "refused", "reset"} <= stormy.company.box.faults.keys()


def test_nothing_is_written_twice_but_what_was_asked_again_after_a_lost_answer(quiet: Lived, stormy: Lived) -> None:
    assert [lived.sights[-1].written.repeated for lived in (quiet, stormy)] == [[], []]
    assert quiet.sights[-1].written.again == 0
    assert stormy.sights[-1].written.rows == quiet.sights[-1].written.rows + stormy.sights[-1].written.again
    assert quiet.sights[-1].written.rows > 2 * ACCOUNTS


def test_the_log_holds_what_happened_in_the_world_once(quiet: Lived, stormy: Lived) -> None:
    assert quiet.known == stormy.known == audit.truth(stormy.company)
    assert all(rows == ids for rows, ids, _ in stormy.sights[-1].facts.values())


@pytest.fixture
def company(quiet: Lived) -> Iterator[Company]:
    """The quiet company, whose writes may be added to."""
    org = quiet.company.box.crm["salesforce"]
    before = len(org.writes), {record: dict(fields) for record, fields in org.records.items()}
    yield quiet.company
    del org.writes[before[0] :]
    org.records.update(before[1])
    org.unanswered.clear()


def test_the_audit_sees_a_write_that_was_repeated_and_one_that_was_lost(quiet: Lived, company: Company) -> None:
    fields, org = quiet.sights[-1].fields, company.box.crm["salesforce"]
    last = next(write for write in reversed(org.writes) if write.by == "api" and org.here(write.record))
    org.write(last.record, last.fields, by="api", call=9_001)
    assert audit.written(company).repeated == [("salesforce", last.record)]
    assert not audit.differences(audit.fields(company), fields)
    org.unanswered.add(9_001)
    org.write(last.record, last.fields, by="api", call=9_002)
    assert (audit.written(company).again, len(audit.written(company).repeated)) == (1, 1)
    org.records[last.record]["Health_Reason__c"] = "something else"
    assert audit.differences(audit.fields(company), fields) == {"salesforce": 1}

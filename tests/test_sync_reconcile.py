"""Reconciling with CRMs in memory: every difference is told, none is invented, and a repair goes the way of a write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Account, Author, FieldValue
from connectors.clock import SteppedClock
from sync.reconcile import RECORD, reconciled, repair
from sync.rows import Delivery, Judgement
from sync.run import run_once
from sync.worker import Worker
from tests.fakes import FakeCrm, a_worker

START = datetime(2026, 10, 20, 6, tzinfo=UTC)
BORN = datetime(2025, 1, 1, tzinfo=UTC)
BOTH = ("crm", "hub")


TOLD: dict[str, FieldValue] = {"score": 80.0, "tier": "green", "reason": "Logins fine", "coverage": 100.0}


@pytest.fixture
def untold(tmp_path: Path) -> Iterator[Worker]:
    """Two customers, both known to two CRMs."""
    home = FakeCrm("crm", [Account(name, name.title(), since=BORN) for name in ("ash", "birch")])
    hub = FakeCrm("hub", [Account(f"h-{name}", name.title(), refs={"crm_id": name}) for name in ("ash", "birch")])
    with a_worker(tmp_path, home=home, others=[hub], clock=SteppedClock(START)) as worker:
        yield worker


@pytest.fixture
def worker(untold: Worker) -> Worker:
    """The two, as if a pass had told both CRMs of them."""
    untold.state.accounts.save([*_crm(untold).records.values()], now=START)
    for name in BOTH:
        crm = _crm(untold, name)
        for record in crm.records:
            crm.present[record] = dict(TOLD)
            row = Delivery(name, record, record.removeprefix("h-"), wanted=TOLD, confirmed=TOLD, status="confirmed")
            untold.state.deliveries.save([row])
    return untold


def _crm(worker: Worker, name: str = "crm") -> FakeCrm:
    crm = worker.destinations[name]
    assert isinstance(crm, FakeCrm)
    return crm


def test_nothing_differs_after_a_pass_and_all_of_it_was_looked_at(worker: Worker) -> None:
    found = reconciled(worker, BOTH)
    assert (found.differences, found.apart, found.records) == ([], [], set())
    assert found.compared == 4
    assert found.fields == sum(
        len(row.confirmed or {}) for name in BOTH for row in worker.state.deliveries.of(name).values()
    )


def test_every_field_that_differs_is_told_with_ours_theirs_and_who_set_it(worker: Worker) -> None:
    crm = _crm(worker)
    crm.present["ash"].update(reason="Call me", coverage=3.0)
    crm.set_by["ash"] = Author("machine", "Nightly import")
    crm.present["birch"]["reason"] = None
    found = reconciled(worker, BOTH)
    told = {(one.record, one.field): (one.ours, one.theirs, one.by) for one in found.differences}
    ours = worker.state.deliveries.of("crm")["ash"].confirmed or {}
    assert told == {
        ("ash", "coverage"): (ours["coverage"], 3.0, "machine: Nightly import"),
        ("ash", "reason"): (ours["reason"], "Call me", "machine: Nightly import"),
        ("birch", "reason"): (ours["reason"], None, "not known"),
    }
    assert reconciled(worker, ["hub"]).differences == []


def test_records_that_are_gone_are_told_with_what_became_of_them(worker: Worker) -> None:
    crm = _crm(worker)
    for record in ("ash", "birch"):
        del crm.present[record]
    crm.gone = {"ash": "birch"}
    told = {one.record: (one.field, one.theirs) for one in reconciled(worker, ["crm"]).differences}
    assert told == {"ash": (RECORD, "merged into birch"), "birch": (RECORD, "not there")}


@pytest.mark.parametrize(
    "left", [{"status": "pending"}, {"status": "failed", "code": "NO_RESULT", "remedy": "again"}], ids=["none", "half"]
)
def test_a_write_without_an_answer_may_have_landed_or_not(worker: Worker, left: dict[str, Any]) -> None:
    known = worker.state.deliveries.of("crm")["ash"]
    sent = {**(known.confirmed or {}), "reason": "Newer"}
    worker.state.deliveries.save([replace(known, wanted=sent, **left)])
    assert reconciled(worker, ["crm"]).differences == []
    _crm(worker).present["ash"]["reason"] = "Newer"
    assert reconciled(worker, ["crm"]).differences == []
    _crm(worker).present["ash"]["reason"] = "Neither"
    (found,) = reconciled(worker, ["crm"]).differences
    assert (found.ours, found.theirs) == ("Newer", "Neither")


def test_what_a_pass_writes_meanwhile_is_no_difference(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    crm = _crm(worker)
    read = crm.read

    def written_meanwhile(ids: list[str]) -> object:
        known = worker.state.deliveries.of("crm")["ash"]
        worker.state.deliveries.save([replace(known, confirmed={**(known.confirmed or {}), "reason": "Just now"})])
        crm.present["ash"]["reason"] = "Just now"
        return read(ids)

    monkeypatch.setattr(crm, "read", written_meanwhile)
    assert reconciled(worker, ["crm"]).differences == []


def test_two_crms_that_tell_an_account_differently_are_named(worker: Worker) -> None:
    said = {"ash": ("green", 80.0), "h-ash": ("yellow", 60.0)}
    for name, record in (("crm", "ash"), ("hub", "h-ash")):
        tier, score = said[record]
        known = worker.state.deliveries.of(name)[record]
        values = {**(known.confirmed or {}), "tier": tier, "score": score}
        worker.state.deliveries.save([replace(known, confirmed=values, deciding=tier)])
        _crm(worker, name).present[record].update(tier=tier, score=score)
    found = reconciled(worker, BOTH)
    assert found.differences == []
    assert [(two.account, two.field) for two in found.apart] == [("ash", "tier"), ("ash", "score"), ("ash", "reason")]
    assert found.records == {("crm", "ash"), ("hub", "h-ash")}
    assert [tuple(side) for side in found.apart[0][2:]] == [("crm", "ash", "green"), ("hub", "h-ash", "yellow")]


@pytest.mark.parametrize(("other", "apart"), [(80.4, False), (81.9, False), (82.0, True), (None, True)])
def test_scores_may_lie_apart_by_what_the_dead_band_leaves_unwritten(
    worker: Worker, other: float | None, apart: bool
) -> None:
    for name, record, score in (("crm", "ash", 80.0), ("hub", "h-ash", other)):
        known = worker.state.deliveries.of(name)[record]
        worker.state.deliveries.save([replace(known, confirmed={**(known.confirmed or {}), "score": score})])
        _crm(worker, name).present[record]["score"] = score
    assert [two.field for two in reconciled(worker, BOTH).apart] == ["score"] * apart


def test_a_repair_writes_what_should_stand_there_and_nothing_else(untold: Worker) -> None:
    worker, crm, hub = untold, _crm(untold), _crm(untold, "hub")
    run_once(worker)
    assert reconciled(worker, BOTH).compared == 4
    right = dict(crm.present["ash"])
    crm.present["ash"].update(reason="Call me", coverage=3.0)
    crm.written.clear()
    hub.written.clear()
    (report,) = repair(worker, reconciled(worker, BOTH))
    assert report.problems == []
    assert crm.present["ash"] == right
    assert ([write.id for write in crm.written], hub.written) == (["ash"], [])
    assert reconciled(worker, BOTH).records == set()


def test_a_repair_leaves_a_persons_tier_and_tells_it_to_the_other_crm(untold: Worker) -> None:
    worker, crm, hub = untold, _crm(untold), _crm(untold, "hub")
    run_once(worker)
    until = START.date() + timedelta(days=30)
    override = Judgement(0, "override", "ash", "Ann", "why", START.date(), until, "red", None, None, False, START)
    worker.state.judgements.add(override)
    run_once(worker)
    crm.present["ash"].update(tier="green", coverage=3.0)
    crm.set_by["ash"] = Author("person", "Bo", START + timedelta(hours=1))
    found = reconciled(worker, BOTH)
    assert {(one.field, one.by) for one in found.differences} == {("tier", "person: Bo"), ("coverage", "person: Bo")}
    first, _ = repair(worker, found)
    assert [edit["by"] for edit in first.delivered["crm"]["edits"]] == ["Bo"]
    assert (crm.present["ash"]["tier"], hub.present["h-ash"]["tier"]) == ("green", "green")
    assert crm.present["ash"]["coverage"] != 3.0
    assert reconciled(worker, BOTH).records == set()


def test_of_one_that_is_no_customer_any_more_nothing_is_expected(worker: Worker) -> None:
    worker.state.accounts.close_missing({"ash"}, now=START)
    _crm(worker).present["birch"]["tier"] = "theirs now"
    assert reconciled(worker, BOTH).differences == []

"""Fields that change under a running worker: told by every pass, left out alone, and caught up once they are mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from connectors.base import Account, Drift, Event, Outcome, Page, Write
from connectors.clock import SteppedClock
from connectors.errors import SettingsWrong
from sync.deliveries import Planned, Round
from sync.drift import Watch, problems
from sync.report import Report
from sync.run import run_once
from sync.settings import Delivery as Rules
from sync.state import State
from sync.worker import Worker
from tests.fakes import FakeCrm, FakeSource, a_worker
from tests.postgres import migrated

START = datetime(2026, 10, 20, 6, tzinfo=UTC)
BORN = datetime(2025, 1, 1, tzinfo=UTC)
RETYPED = Drift("score", "Score__c is of type string, not double", "make a new field", "left out")
LACKING = Drift("tier", "Tier__c lacks the value red", "add it", "blank")
SHORT = Drift("reason", "Reason__c holds 80 characters where 255 are meant", "leave it so", "cut")


@pytest.fixture
def crm() -> FakeCrm:
    return FakeCrm("crm", [Account(name, name.title(), since=BORN) for name in ("busy", "idle")])


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(migrated(tmp_path / "state.db"))
    yield made
    made.close()


@contextmanager
def at_work(folder: Path, crm: FakeCrm) -> Iterator[Worker]:
    days = [Event("product", "busy/u/1/login", "busy", "u", "login", START - timedelta(days=1), 1.0)]
    source = FakeSource("product", [Page(events=days, through=START.replace(hour=0))], names=("login",))
    with a_worker(folder, home=crm, sources=[source], clock=SteppedClock(START)) as worker:
        yield worker


def later(worker: Worker) -> Report:
    """A pass an hour after the last one."""
    assert isinstance(worker.clock, SteppedClock)
    worker.clock.advance_to(worker.clock.now() + timedelta(hours=1))
    return run_once(worker)


def watch(state: State, crm: FakeCrm, *, day: int = 0) -> Watch:
    """The beginning of a delivery, so many days after the first."""
    now = START + timedelta(days=day)
    worker: Any = SimpleNamespace(state=state)
    return Watch(worker, Round(crm, Rules.model_validate({}), now, now.date()))


def test_a_field_that_is_out_is_told_by_every_pass_and_once_mended_every_record_gets_its_value(
    tmp_path: Path, crm: FakeCrm
) -> None:
    crm.drifts = [RETYPED]
    with at_work(tmp_path, crm) as worker:
        first = run_once(worker)
        assert [str(one) for one in first.problems] == [
            "destinations.crm.fields.score: Score__c is of type string, not double; "
            "nothing is written to it until that is mended; make a new field"
        ]
        assert first.status == "partial"
        assert (first.delivered["crm"]["written"], first.delivered["crm"]["failed"]) == (2, 0)
        assert first.delivered["crm"]["drifts"] == [RETYPED._asdict()]
        assert crm.present["idle"].keys() >= {"tier", "reason"}
        assert "score" not in crm.present["idle"]
        assert "score" not in (worker.state.deliveries.of("crm")["idle"].confirmed or {})

        again = later(worker)  # though nothing is due
        assert (len(again.problems), again.delivered["crm"]["written"]) == (1, 0)
        crm.drifts = []
        mended = later(worker)
        assert (mended.problems, mended.delivered["crm"]["written"]) == ([], 2)
        assert crm.present["idle"]["score"] == 0.0


def test_a_rehearsal_shows_every_field_and_keeps_nothing(tmp_path: Path, crm: FakeCrm) -> None:
    crm.drifts = [RETYPED]
    with at_work(tmp_path, crm) as worker:
        report = run_once(worker, dry_run=True)
        assert report.problems == []
        assert {one["field"] for one in report.differences} >= {"score", "tier"}
        assert worker.state.runs.last_finished("fields:crm") is None


def test_where_nothing_was_wrong_nothing_is_looked_at_until_something_is_to_be_written(
    state: State, crm: FakeCrm
) -> None:
    crm.drifts = [RETYPED]
    begun = watch(state, crm)
    assert (begun.found, begun.mended, crm.calls["described"]) == ((), False, 0)
    begun.look()
    assert (begun.found, crm.calls["described"]) == ([RETYPED], 1)


def test_what_a_field_held_stays_known_while_it_is_out(state: State, crm: FakeCrm) -> None:
    crm.drifts = [RETYPED, LACKING]
    begun = watch(state, crm)
    begun.look()
    planned = [Planned(Write("busy", {"score": 1.0, "tier": "red", "reason": None}), "busy", "", None)]
    assert [one.write.fields for one in begun.usable(planned)] == [{"tier": "red", "reason": None}]


def test_a_pass_that_broke_off_while_catching_up_is_followed_by_one_that_begins_again(
    state: State, crm: FakeCrm
) -> None:
    crm.drifts = [RETYPED, LACKING]
    watch(state, crm).look()
    crm.drifts = [LACKING]
    assert watch(state, crm).mended
    begun = watch(state, crm)
    assert begun.mended
    begun.done()
    assert not watch(state, crm).mended
    assert watch(state, crm).found == [LACKING]


def test_a_tier_that_cannot_be_told_is_a_line_and_a_shorter_text_is_none(state: State, crm: FakeCrm) -> None:
    crm.drifts = [LACKING, SHORT]
    begun = watch(state, crm)
    begun.look()
    assert [str(one) for one in problems("crm", begun.found)] == [
        "destinations.crm.fields.tier: Tier__c lacks the value red; "
        "accounts with that value show none until it is mended; add it"
    ]
    begun.done()
    crm.drifts = [SHORT]
    assert watch(state, crm).mended


def test_where_no_field_can_be_written_the_delivery_ends_and_all_is_caught_up_later(state: State, crm: FakeCrm) -> None:
    looked = crm.drift

    def none(*, since: datetime) -> NoReturn:
        raise SettingsWrong("none of the 9 fields can be written; provision", place="destinations.crm")

    crm.drift = none  # type: ignore[method-assign]
    with pytest.raises(SettingsWrong, match="none of the 9"):
        watch(state, crm).look()
    with pytest.raises(SettingsWrong, match="none of the 9"):
        watch(state, crm, day=1)
    crm.drift = looked  # type: ignore[method-assign]
    assert watch(state, crm, day=2).mended


def test_a_drift_that_lasts_is_not_forgotten_with_old_runs(state: State, crm: FakeCrm) -> None:
    crm.drifts = [RETYPED]
    watch(state, crm).look()
    for day in range(20, 201, 20):
        state.runs.forget(START + timedelta(days=day - 90))
        assert watch(state, crm, day=day).found == [RETYPED]
    assert len(state.runs.last(50, kind="fields:crm")) <= 5


def test_a_refused_record_is_tried_again_once_the_cause_may_have_gone(tmp_path: Path, crm: FakeCrm) -> None:
    crm.refuse["busy"] = Outcome("busy", False, code="STRING_TOO_LONG", message="too short", remedy="row")
    with at_work(tmp_path, crm) as worker:
        assert run_once(worker, due_only=True).delivered["crm"]["failed"] == 1

        def passes() -> tuple[int, int]:
            assert isinstance(worker.clock, SteppedClock)
            worker.clock.advance_to(worker.clock.now() + timedelta(minutes=10))
            worker.stood_on.clear()  # a fact has come in
            done = run_once(worker, due_only=True).delivered["crm"]
            return done["waiting"], done["failed"] + done["written"]

        assert [passes(), passes()] == [(1, 0), (1, 0)]
        crm.described = "the field is longer now"
        crm.refuse.clear()
        assert [passes(), passes(), passes()] == [(1, 0), (0, 1), (0, 0)]  # seen, tried, well
        assert worker.state.deliveries.of("crm")["busy"].status == "confirmed"

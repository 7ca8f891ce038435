"""A whole pass: real log, state, history and scoring; vendors in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.base import Account, Author, Event, FieldValue, Key, Outcome, Page
from connectors.clock import SteppedClock
from connectors.errors import AgainNow, SettingsWrong, WaitUntil
from sync.errors import Busy, LeaseLost
from sync.evaluate import evaluated
from sync.run import run_once
from sync.scores import scored
from tests.fakes import FakeCrm, FakeSource, a_worker

START = datetime(2026, 10, 20, 6, tzinfo=UTC)
MIDNIGHT = START.replace(hour=0)  # product events are folded by day, so they are read through the end of one
BORN = datetime(2025, 1, 1, tzinfo=UTC)


def _logins(account: str, days: int, *, until: datetime = START) -> list[Event]:
    return [
        Event("product", f"{account}/u/{day}/login", account, "u", "login", until - timedelta(days=day), 1.0)
        for day in range(1, days + 1)
    ]


def _product(*events: Event, through: datetime = MIDNIGHT) -> FakeSource:
    return FakeSource("product", [Page(events=list(events), through=through)], names=("login",))


def _desk(*events: Event, keys: Sequence[Key] = (), through: datetime = START) -> FakeSource:
    page = Page(events=list(events), keys=keys, through=through)
    return FakeSource("desk", [page], names=("ticket.*",), key_is="own")


def _crm(*names: str) -> FakeCrm:
    return FakeCrm("crm", [Account(name, name.title(), since=BORN, attributes={"seats": 5.0}) for name in names])


def test_the_whole_way_from_facts_to_a_reason_on_the_record(tmp_path: Path) -> None:
    crm, desk = _crm("busy", "idle"), _desk(keys=[Key("desk", "7", "Busy", (), {"crm_id": "busy"})])
    source = _product(*_logins("busy", 10))
    with a_worker(tmp_path, home=crm, sources=[source, desk], clock=SteppedClock(START)) as worker:
        report = run_once(worker)
        assert report.status == "done", report.problems
    assert crm.present["busy"]["tier"] == "green"
    assert crm.present["busy"]["score"] == 100.0
    assert crm.present["busy"]["coverage"] == 100.0
    assert crm.present["idle"]["tier"] == "red"  # linked by its own id and never came: a true zero
    assert str(crm.present["idle"]["reason"]).startswith("Days with a login 0%")
    assert crm.present["idle"]["next_action"] == "Call them."
    assert report.scored == {"green": 1, "red": 1}


def test_an_account_whose_attributes_found_no_room_is_not_known_and_so_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm = FakeCrm("crm", [Account("new", "New", attributes={"seats": 5.0})])

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with a_worker(tmp_path, home=crm, clock=SteppedClock(START)) as worker:
        with monkeypatch.context() as crowded:
            crowded.setattr(worker.log, "append", full)
            assert "make room" in run_once(worker).problems[0].message
        assert (worker.state.accounts.members(), crm.written) == ([], [])
        run_once(worker)
        assert [row.id for row in worker.state.accounts.members()] == ["new"]


def test_a_pass_that_cannot_keep_what_it_read_ends_there_and_writes_nothing_by_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm, clock = _crm("busy", "idle"), SteppedClock(START)
    with a_worker(tmp_path, home=crm, sources=[_product(*_logins("busy", 10))], clock=clock) as worker:
        kept = worker.log.append

        def full(source: str, page: Page, **told: Any) -> Any:
            if source == "product":
                raise OSError("No space left on device")
            return kept(source, page, **told)

        with monkeypatch.context() as crowded:
            crowded.setattr(worker.log, "append", full)
            report = run_once(worker)
        assert [(one.place, "make room" in one.message) for one in report.problems] == [("product", True)]
        assert (report.scored, crm.written) == ({}, []), "the customers are known, and could have been scored"
        assert run_once(worker).problems == []
        assert {write.id for write in crm.written} == {"busy", "idle"}


def test_a_second_pass_with_nothing_new_writes_nothing_and_reads_no_record(tmp_path: Path) -> None:
    crm, clock = _crm("busy", "idle"), SteppedClock(START)
    with a_worker(tmp_path, home=crm, sources=[_product(*_logins("busy", 10))], clock=clock) as worker:
        run_once(worker)
        clock.advance_to(START + timedelta(minutes=10))
        report = run_once(worker)
    assert report.delivered["crm"]["written"] == 0
    assert report.delivered["crm"]["unchanged"] == 2
    assert report.calls["crm"] == {"read": 1}  # the directory, because a person asked; no record


def test_a_daemons_pass_with_nothing_new_does_not_even_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crm, clock, source = _crm("busy", "idle"), SteppedClock(START), _product(*_logins("busy", 10))
    with a_worker(tmp_path, home=crm, sources=[source], clock=clock) as worker:
        scored: list[datetime] = []

        def noted(*args: Any, **named: Any) -> object:
            scored.append(named["now"])
            return evaluated(*args, **named)

        monkeypatch.setattr("sync.run.evaluated", noted)

        def passes(hours: float) -> int:
            clock.advance_to(clock.now() + timedelta(hours=hours))
            before = len(scored)
            assert run_once(worker, due_only=True).problems == []
            return len(scored) - before

        assert passes(0) == 1
        assert [passes(0.1), passes(2)] == [0, 0]  # the source was asked and had nothing
        source.pages.append(Page(events=_logins("idle", 1), through=MIDNIGHT))
        assert [passes(2), passes(0.1)] == [1, 0]
        source.pages.append(Page(keys=[Key("product", "busy-2", "Busy", (), {"crm_id": "busy"})], through=MIDNIGHT))
        assert [passes(2), passes(0.1)] == [1, 0]
        assert passes(24) == 1  # another day


def test_a_daemon_tries_a_refused_row_again_though_nothing_is_new(tmp_path: Path) -> None:
    crm, clock = _crm("busy"), SteppedClock(START)
    crm.refuse["busy"] = Outcome("busy", False, code="LOCKED", message="locked", remedy="again")
    with a_worker(tmp_path, home=crm, sources=[_product(*_logins("busy", 10))], clock=clock) as worker:
        assert run_once(worker, due_only=True).status == "partial"
        crm.refuse.clear()
        clock.advance_to(START + timedelta(minutes=6))
        assert run_once(worker, due_only=True).delivered["crm"]["written"] == 1


def test_a_refused_row_that_nobody_asks_for_any_more_keeps_no_daemon_busy(tmp_path: Path) -> None:
    crm, clock = _crm("busy", "merged"), SteppedClock(START)
    del crm.present["merged"]  # into another record of the CRM, whose list of customers does not know it yet
    with a_worker(tmp_path, home=crm, sources=[_product(*_logins("busy", 10))], clock=clock) as worker:
        assert run_once(worker, due_only=True).delivered["crm"]["failed"] == 1
        del crm.records["merged"]
        clock.advance_to(START + timedelta(hours=30))
        assert run_once(worker, due_only=True).scored == {"green": 1}
        clock.advance_to(clock.now() + timedelta(minutes=5))
        assert run_once(worker, due_only=True).scored == {}


def test_where_fields_are_kept_a_record_that_was_refused_and_then_left_is_not_told_of_for_ever(tmp_path: Path) -> None:
    crm, clock = _crm("a", "b"), SteppedClock(START)
    crm.refuse["b"] = Outcome("b", False, code="LOCKED", message="locked", remedy="again")
    with a_worker(tmp_path, home=crm, sources=[_product()], clock=clock) as worker:
        rules = worker.settings.accounts.model_copy(update={"on_leave": "keep"})
        worker = replace(worker, settings=replace(worker.settings, accounts=rules))
        assert run_once(worker).delivered["crm"]["failed"] == 1
        del crm.records["b"]
        clock.advance_to(START + timedelta(days=1))
        run_once(worker)
        assert worker.state.deliveries.refused("crm") == []
        assert {id: row.status for id, row in worker.state.deliveries.of("crm").items()} == {
            "a": "confirmed",
            "b": "closed",
        }


def test_a_repeated_page_changes_nothing(tmp_path: Path) -> None:
    crm, source = _crm("busy"), _product(*_logins("busy", 3))
    with a_worker(tmp_path, home=crm, sources=[source], clock=SteppedClock(START)) as worker:
        run_once(worker)
        reading = worker.state.readings.of("product")
        assert reading
        worker.state.readings.save("product", cursor=None, since=reading.since, through=START, names=reading.names)
        report = run_once(worker)
    assert report.pulled["product"]["written"] == 0
    assert report.pulled["product"]["unchanged"] == 3


def test_a_crash_between_log_and_cursor_neither_loses_nor_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm, source = _crm("busy"), _product(*_logins("busy", 5))
    with a_worker(tmp_path, home=crm, sources=[source], clock=SteppedClock(START)) as worker:
        with monkeypatch.context() as patch:
            patch.setattr(worker.state.keys, "save", lambda *a, **k: None)

            def crash(name: str, **_: object) -> None:
                if name == "product":
                    raise OSError("killed")

            patch.setattr(worker.state.readings, "save", crash)
            assert run_once(worker, only="pull").status == "partial"
        assert worker.state.readings.of("product") is None
        run_once(worker)
        assert crm.present["busy"]["score"] == pytest.approx(50.0)
        with worker.log.connect(spill=worker.spill) as connection:
            count = connection.execute("select count(*) from events where source = 'product'").fetchone()
        assert count == (5,)


def test_a_source_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    crm, desk = _crm("busy"), _desk()
    desk.fail = AgainNow("did not answer", place="desk")
    with a_worker(
        tmp_path, home=crm, sources=[_product(*_logins("busy", 10)), desk], clock=SteppedClock(START)
    ) as worker:
        report = run_once(worker)
    assert [(problem.place, problem.message) for problem in report.problems] == [("desk", "desk: did not answer")]
    assert report.status == "partial"
    assert crm.present["busy"]["tier"] == "green"


def test_a_source_that_stopped_never_worsens_a_tier(tmp_path: Path) -> None:
    crm, clock = _crm("busy"), SteppedClock(START)
    with a_worker(tmp_path, home=crm, sources=[_product(*_logins("busy", 10))], clock=clock) as worker:
        tiers = []
        for day in (0, 7, 8, 12):  # what is known stands for seven days; ten are looked at
            clock.advance_to(START + timedelta(days=day))
            run_once(worker)
            tiers.append(crm.present["busy"]["tier"])
    assert set(tiers) == {"green"}


@pytest.mark.parametrize(("faults", "problems"), [(1, 0), (2, 1)])
def test_a_fault_of_the_engine_costs_a_second_try_and_no_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: int, problems: int
) -> None:
    """It ends the connection after the final days are kept, and before today's answers are."""
    crm, tried = _crm("busy"), list[int]()

    @contextmanager
    def faulty(*given: Any, threads: int, **named: Any) -> Iterator[Callable[..., duckdb.DuckDBPyConnection]]:
        tried.append(threads)
        with scored(*given, threads=threads, **named) as on:

            def until_today(day: date, *given: Any, **named: Any) -> duckdb.DuckDBPyConnection:
                connection = on(day, *given, **named)
                if day == START.date() and len(tried) <= faults:
                    connection.close()
                    raise duckdb.InternalException("INTERNAL Error: a dictionary changed identity\nStack Trace:")
                return connection

            yield until_today

    monkeypatch.setattr("sync.evaluate.scored", faulty)
    with a_worker(tmp_path, home=crm, sources=[_product(*_logins("busy", 10))], clock=SteppedClock(START)) as worker:
        report = run_once(worker)
        assert [tried, len(report.problems), len(crm.written)] == [[2, 1], problems, 1 - problems]
        assert len(worker.state.totals.all()) == 1 - problems
        assert worker.history.days(final_only=True) == {START.date() - timedelta(days=1)}


def test_missing_is_not_zero(tmp_path: Path) -> None:
    """Nothing links the account to the desk, so tickets are missing and their weight is shared out."""
    crm = _crm("busy")
    with a_worker(
        tmp_path, home=crm, sources=[_product(*_logins("busy", 5)), _desk()], clock=SteppedClock(START)
    ) as worker:
        run_once(worker)
    assert (crm.present["busy"]["score"], crm.present["busy"]["coverage"]) == (50.0, 60.0)


def test_an_unscored_account_says_why_and_keeps_its_last_score(tmp_path: Path) -> None:
    crm = _crm("new")
    keys = [Key("desk", "1", "New", (), {"crm_id": "new"})]
    with a_worker(tmp_path, home=crm, sources=[_desk(keys=keys)], clock=SteppedClock(START)) as worker:
        report = run_once(worker)
    assert report.scored == {"unscored": 1}
    assert crm.present["new"] == {
        "reason": "Not scored: 40% of the scorecard has data, 50% is needed",
        "coverage": 40.0,
    }


def test_one_bad_row_does_not_cost_its_batch(tmp_path: Path) -> None:
    crm = _crm("a", "b")
    crm.refuse["a"] = Outcome("a", False, code="LOCKED", message="row is locked", remedy="again")
    with a_worker(tmp_path, home=crm, sources=[_product()], clock=SteppedClock(START)) as worker:
        report = run_once(worker)
        assert report.status == "partial"
        assert "tier" in crm.present["b"]
        assert worker.state.deliveries.of("crm")["a"].status == "failed"


def test_a_dry_run_shows_each_field_and_keeps_nothing(tmp_path: Path) -> None:
    crm = _crm("busy")
    with a_worker(tmp_path, home=crm, sources=[_product(*_logins("busy", 10))], clock=SteppedClock(START)) as worker:
        report = run_once(worker, dry_run=True)
        assert {"field": "tier", "before": None, "after": "green"}.items() <= report.differences[1].items()
        assert worker.state.totals.all() == {}
        assert worker.history.days() == set()
    assert crm.written == []


def test_two_crms_get_one_truth(tmp_path: Path) -> None:
    crm = _crm("busy")
    other = FakeCrm("hub", [Account("99", "Busy Ltd", refs={"crm_id": "busy"}), Account("98", "Nobody")])
    with a_worker(
        tmp_path, home=crm, others=[other], sources=[_product(*_logins("busy", 10))], clock=SteppedClock(START)
    ) as worker:
        run_once(worker)
    assert other.present["99"] == crm.present["busy"]
    assert other.present["98"] == {}


def test_the_change_is_told_over_thirty_days_and_the_move_of_tier_is_reported(tmp_path: Path) -> None:
    crm, clock = _crm("busy"), SteppedClock(START)
    pages = [Page(events=_logins("busy", 80), through=MIDNIGHT)]
    source = FakeSource("product", pages, names=("login",))
    with a_worker(tmp_path, home=crm, sources=[source], clock=clock) as worker:
        run_once(worker)
        assert crm.present["busy"]["change"] == 0.0
        later = START + timedelta(days=20)
        clock.advance_to(later)
        source.pages.append(Page(events=(), through=MIDNIGHT + timedelta(days=20)))
        report = run_once(worker)
    assert [(move.before, move.after) for move in report.moved] == [("green", "red")]
    assert crm.present["busy"]["change"] == -100.0
    assert crm.present["busy"]["tier_since"] == later.date()


def test_a_pilot_writes_to_a_few_accounts_only(tmp_path: Path) -> None:
    crm = _crm("a", "b", "c")
    with a_worker(
        tmp_path, home=crm, sources=[_product()], clock=SteppedClock(START), extra="delivery: {limit: 2}\n"
    ) as worker:
        run_once(worker)
    assert [write.id for write in crm.written] == ["a", "b"]


def test_a_customer_who_leaves_is_cleared(tmp_path: Path) -> None:
    crm, clock = _crm("a", "b"), SteppedClock(START)
    with a_worker(tmp_path, home=crm, sources=[_product()], clock=clock) as worker:
        run_once(worker)
        del crm.records["b"]
        clock.advance_to(START + timedelta(days=1))
        report = run_once(worker)
    assert report.accounts["left"] == 1
    assert set(crm.present["b"].values()) == {None}


def test_a_tier_that_was_set_since_the_records_were_read_is_not_written_over(tmp_path: Path) -> None:
    """The daemon reads a directory once a day: in between only the look right before a write finds an edit."""
    crm, source, clock = _crm("a"), _product(), SteppedClock(START)
    with a_worker(tmp_path, home=crm, sources=[source], clock=clock) as worker:
        run_once(worker, due_only=True)
        assert crm.present["a"]["tier"] == "red"
        crm.present["a"]["tier"], crm.set_by["a"] = "yellow", Author("person", "Ann", START + timedelta(minutes=5))
        source.pages.append(Page(events=_logins("a", 10), through=MIDNIGHT))
        clock.advance_to(START + timedelta(hours=2))
        report = run_once(worker, due_only=True)
    assert (report.accounts, report.delivered["crm"]["waiting"]) == ({}, 1)
    assert (crm.present["a"]["tier"], crm.present["a"]["score"]) == ("yellow", 0.0)
    assert [(edit["to"], edit["by"]) for edit in report.delivered["crm"]["edits"]] == [("yellow", "Ann")]


def test_while_a_directory_holds_a_record_of_no_use_nobody_has_left_it(tmp_path: Path) -> None:
    """It may be any of those that were not seen."""
    crm, clock = _crm("a", "b"), SteppedClock(START)
    hub = FakeCrm("hub", [Account(f"h{name}", name, refs={"crm_id": name}) for name in "ab"])
    with a_worker(tmp_path, home=crm, others=[hub], sources=[_product()], clock=clock) as worker:
        run_once(worker)
        del crm.records["b"], hub.records["hb"]
        crm.left_out = hub.left_out = "1 row is left out (record 2: it has no id)"
        clock.advance_to(START + timedelta(days=1))
        report = run_once(worker)
        assert report.accounts["left"] == 0
        assert crm.present["b"]["tier"] == hub.present["hb"]["tier"] == "red"
        crm.left_out = hub.left_out = ""
        run_once(worker)
    assert {*crm.present["b"].values(), *hub.present["hb"].values()} == {None}


def test_a_home_that_suddenly_matches_nobody_changes_nobody(tmp_path: Path) -> None:
    crm, clock = _crm("a", "b"), SteppedClock(START)
    with a_worker(tmp_path, home=crm, sources=[_product()], clock=clock) as worker:
        run_once(worker)
        crm.records.clear()
        clock.advance_to(START + timedelta(days=1))
        report = run_once(worker)
        assert "no record meets accounts.where any more" in report.problems[0].message
        assert len(worker.state.accounts.members()) == 2
    assert crm.present["a"]["tier"] is not None


def test_a_destination_that_is_set_up_wrongly_is_named(tmp_path: Path) -> None:
    class Unready(FakeCrm):
        def read(self, ids):
            raise SettingsWrong("the field Health_Score__c is not there; run `bellwether provision`", place=self.name)

    crm = Unready("crm", _crm("a").records.values())
    with a_worker(tmp_path, home=crm, sources=[_product()], clock=SteppedClock(START)) as worker:
        report = run_once(worker)
    assert "Health_Score__c is not there" in report.problems[0].message


def test_two_workers_take_turns(tmp_path: Path) -> None:
    with a_worker(tmp_path, home=_crm("a"), sources=[_product()], clock=SteppedClock(START)) as worker:
        epoch = worker.state.lease.take("somebody else", now=datetime.now(UTC), seconds=600)
        assert epoch
        with pytest.raises(Busy):
            run_once(worker)
        worker.state.lease.release("somebody else", epoch)
        assert run_once(worker).status == "done"


def test_a_pass_that_lost_its_lease_records_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crm = _crm("a")
    with a_worker(tmp_path, home=crm, sources=[], clock=SteppedClock(START)) as worker:
        read, later = crm.read, datetime.now(UTC) + timedelta(days=1)

        def taken_over(ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
            assert worker.state.lease.take("another", now=later, seconds=600)
            return read(ids)

        monkeypatch.setattr(crm, "read", taken_over)
        with pytest.raises(LeaseLost):
            run_once(worker)
        assert worker.state.deliveries.of("crm") == {}
        assert worker.state.runs.last(1, kind="pass")[0].status == "running"  # it is not ours to say how it ended


def test_attributes_have_a_past(tmp_path: Path) -> None:
    crm, clock = _crm("a"), SteppedClock(START)
    with a_worker(tmp_path, home=crm, sources=[_product()], clock=clock) as worker:
        for day, seats in ((0, 5.0), (1, 5.0), (2, 8.0), (3, None), (4, None)):
            crm.records["a"] = Account("a", "A", since=BORN, attributes={"seats": seats})
            clock.advance_to(START + timedelta(days=day))
            run_once(worker)
        with worker.log.connect(spill=worker.spill) as connection:
            rows = connection.execute(
                "select id, value, label, day::varchar from events where name = 'seats' order by id"
            ).fetchall()
    assert rows == [
        ("a/seats/1", 5.0, None, "2026-10-20"),
        ("a/seats/2", 8.0, None, "2026-10-22"),
        ("a/seats/3", None, "none", "2026-10-23"),
    ]


def test_history_keeps_each_final_day_once_and_fills_days_the_worker_was_off(tmp_path: Path) -> None:
    crm, clock = _crm("a"), SteppedClock(START)
    source = _product(*_logins("a", 5))
    with a_worker(tmp_path, home=crm, sources=[source], clock=clock) as worker:
        run_once(worker)
        later = START + timedelta(days=6)
        clock.advance_to(later)
        source.pages.append(Page(events=(), through=later))
        run_once(worker)
        final = {day for day in worker.history.days() if day > START.date() - timedelta(days=10)}
    assert final == {START.date() + timedelta(days=n) for n in range(-1, 6)}


def test_the_same_pass_keeps_its_state_in_postgresql(tmp_path: Path, postgres_state: str) -> None:
    crm, clock = _crm("busy", "idle"), SteppedClock(START)
    sources = [_product(*_logins("busy", 10))]
    with a_worker(tmp_path, home=crm, sources=sources, clock=clock, state_url=postgres_state) as worker:
        assert run_once(worker).status == "done"
        clock.advance_to(START + timedelta(minutes=10))
        assert run_once(worker).delivered["crm"]["unchanged"] == 2
    assert crm.present["busy"]["tier"] == "green"


def test_a_worker_killed_between_two_directories_reads_the_second_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm, hub = _crm("busy"), FakeCrm("hub", [Account("99", "Busy Ltd", refs={"crm_id": "busy"})])
    clock = SteppedClock(START)
    with a_worker(tmp_path, home=crm, others=[hub], sources=[_product(*_logins("busy", 10))], clock=clock) as worker:
        with monkeypatch.context() as patch:
            patch.setattr(hub, "accounts", lambda **_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                run_once(worker, due_only=True)
        clock.advance_to(START + timedelta(minutes=5))
        run_once(worker, due_only=True)
    assert hub.present["99"]["tier"] == "green"


def test_a_daemon_delivers_what_a_killed_run_left_pending_though_nothing_is_new(tmp_path: Path) -> None:
    crm, clock = _crm("busy"), SteppedClock(START)
    with a_worker(tmp_path, home=crm, sources=[_product(*_logins("busy", 10))], clock=clock) as worker:
        run_once(worker, due_only=True)
        [row] = worker.state.deliveries.of("crm").values()
        clock.advance_to(START + timedelta(minutes=5))
        worker.state.deliveries.save([replace(row, status="pending", next_try_at=clock.now())])
        clock.advance_to(START + timedelta(minutes=10))
        assert run_once(worker, due_only=True).delivered["crm"]["adopted"] == 1
        assert worker.state.deliveries.of("crm")["busy"].status == "confirmed"
        assert run_once(worker, due_only=True).scored == {}


def test_a_daemon_leaves_a_crm_alone_whose_allowance_is_used_up(tmp_path: Path) -> None:
    class Spent(FakeCrm):
        def read(self, ids):
            self.calls["asked"] += 1
            raise WaitUntil("the daily allowance is used up", seconds=3600, place=self.name, quota=True)

    crm, clock = Spent("crm", _crm("a").records.values()), SteppedClock(START)
    with a_worker(tmp_path, home=crm, sources=[_product()], clock=clock) as worker:
        for minutes in (0, 5, 10, 59, 61):
            clock.advance_to(START + timedelta(minutes=minutes))
            report = run_once(worker, due_only=True)
            assert "allowance is used up" in report.problems[0].message
    assert crm.calls["asked"] == 2

"""Records that are merged or deleted in a CRM: what was known and said of them goes on with the one that stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Account, Author, Event, Key, Page
from connectors.clock import SteppedClock
from connectors.errors import AgainNow
from sync.accounts import read_companies, read_home
from sync.erased import erased_of
from sync.erasing import doomed, erase, search
from sync.lease import leased
from sync.rows import Delivery, Judgement
from sync.run import run_once
from sync.worker import Worker
from tests.fakes import FakeCrm, FakeSource, a_worker

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
BORN = NOW - timedelta(days=300)
MAP = {"desk": {"7": "loser"}, "hub": {"70": "loser"}}


@contextmanager
def _company(folder: Path) -> Iterator[tuple[Worker, FakeCrm, FakeCrm, SteppedClock]]:
    """Two accounts of a CRM, each with a company in another, and facts by the CRM's ids."""
    crm = FakeCrm("crm", [Account(id, id.title(), since=BORN, attributes={"seats": 5.0}) for id in ("loser", "winner")])
    hub = FakeCrm("hub", [Account("70", "Loser"), Account("71", "Winner", refs={"crm_id": "winner"})])
    days = [Event("product", f"l/{n}", "loser", "u", "login", NOW - timedelta(days=n), 1.0) for n in range(1, 9)]
    source = FakeSource("product", [Page(events=days, through=NOW.replace(hour=0), since=BORN)], names=("login",))
    clock = SteppedClock(NOW)
    desk = FakeSource("desk", [], names=("ticket.*",), key_is="own")
    with a_worker(folder, home=crm, others=[hub], sources=[source, desk], clock=clock) as worker:
        links = worker.settings.links.model_copy(update={"map": MAP})
        yield replace(worker, settings=replace(worker.settings, links=links)), crm, hub, clock


def _override(account: str, *, origin: dict[str, str] | None = None) -> Judgement:
    last = NOW.date() + timedelta(days=9)
    return Judgement(
        0, "override", account, "Ann", "why", NOW.date(), last, "red", None, None, False, NOW, origin=origin
    )


def _pulse(account: str) -> Judgement:
    today = NOW.date()
    return Judgement(0, "pulse", account, "Ann", "w", today, None, None, "csm.pulse", 9.0, False, NOW, logged=True)


def _nobody(*_: Any) -> None:
    """Edits are another test's."""


def _merge(crm: FakeCrm, loser: str, winner: str) -> None:
    del crm.records[loser], crm.present[loser]
    crm.gone[loser] = winner


def test_judgements_facts_keys_and_links_of_a_merged_account_go_on_with_the_survivor(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, crm, _, clock):
        run_once(worker)
        assert (crm.present["loser"]["score"], crm.present["winner"]["score"]) == (80.0, 0.0)
        for judgement in (_override("loser", origin={"destination": "crm", "record": "loser"}), _pulse("loser")):
            worker.state.judgements.add(judgement)
        _merge(crm, "loser", "winner")
        clock.advance_to(NOW + timedelta(minutes=5))
        assert run_once(worker).accounts["left"] == 1
        [said, pulse] = worker.state.judgements.all("winner")
        assert said.origin == {"account": "loser", "destination": "crm", "record": "loser"}
        assert (pulse.origin, pulse.logged) == ({"account": "loser"}, False)
        assert (crm.present["winner"]["tier"], crm.present["winner"]["score"]) == ("red", 80.0)
        row = worker.state.deliveries.of("crm")["loser"]
        assert (row.status, row.merged_into, row.account) == ("closed", "winner", "winner")
        links = worker.links(worker.state.accounts.members())
        assert links.of("desk") == {"7": "winner"}
        assert links.of("hub") == {"70": "winner", "71": "winner"}
        assert links.of("product") == {"loser": "winner", "winner": "winner"}
        assert links.of("crm") == {"winner": "winner"}  # its seats are not the survivor's
        assert worker.history.days_of(["loser"]) > 0


def test_a_tier_that_came_along_with_a_merged_record_is_no_edit(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, crm, _, clock):
        run_once(worker)
        assert (crm.present["loser"]["tier"], crm.present["winner"]["tier"]) == ("green", "red")
        crm.present["winner"]["tier"] = "green"  # whoever merged chose the other's values
        crm.set_by["winner"] = Author("person", "Ann", NOW)
        _merge(crm, "loser", "winner")
        clock.advance_to(NOW + timedelta(minutes=5))
        assert run_once(worker).delivered["crm"]["edits"] == []
        assert worker.state.judgements.all("winner") == []
        assert set(worker.state.deliveries.of("crm")["winner"].past) == {"red", "green"}


def test_a_company_that_two_went_into_is_known_as_they_were_and_has_their_explicit_links(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, _, hub, _clock):
        run_once(worker)
        hub.records["72"] = Account("72", "Both")
        hub.present["72"] = {**hub.present["70"]}
        _merge(hub, "70", "72")
        _merge(hub, "71", "72")
        read_companies(worker, "hub", now=NOW + timedelta(days=1), seen_by=_nobody)
        rows = worker.state.deliveries.of("hub")
        assert [(rows[id].status, rows[id].merged_into) for id in ("70", "71")] == [("closed", "72")] * 2
        assert (rows["72"].confirmed or {})["tier"] == "green"
        assert set(rows["72"].past) == {"green", "red"}
        assert worker.links(worker.state.accounts.members()).of("hub")["72"] == "loser"


def test_a_deleted_record_is_closed_and_one_that_only_left_is_not(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, crm, hub, _):
        run_once(worker)
        del crm.records["loser"], hub.records["70"], hub.present["70"]
        hub.gone["70"] = None
        read_home(worker, now=NOW + timedelta(days=1), seen_by=_nobody)
        read_companies(worker, "hub", now=NOW + timedelta(days=1), seen_by=_nobody)
        assert worker.state.deliveries.of("crm")["loser"].status == "confirmed"  # it is to be emptied yet
        assert worker.state.deliveries.of("hub")["70"].status == "closed"


def test_nobody_leaves_before_the_vendor_has_told_what_became_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _company(tmp_path) as (worker, crm, _, _clock):
        read_home(worker, now=NOW, seen_by=_nobody)
        worker.state.judgements.add(_override("loser"))
        _merge(crm, "loser", "winner")
        with monkeypatch.context() as patch:

            def silent(_: Any) -> Any:
                raise AgainNow("did not answer", place="crm")

            patch.setattr(crm, "survivors", silent)
            with pytest.raises(AgainNow):
                read_home(worker, now=NOW, seen_by=_nobody)
        assert len(worker.state.accounts.members()) == 2
        read_home(worker, now=NOW, seen_by=_nobody)
        assert [row.account for row in worker.state.judgements.all()] == ["winner"]
        assert worker.state.deliveries.of("crm")["loser"].merged_into == "winner"


def test_of_records_that_were_merged_one_after_another_the_last_one_counts(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, *_):
        chain = {"a": "b", "b": "c", "c": "d", "x": "y", "y": "x", "z": "x"}
        rows = [Delivery("crm", gone, gone, status="closed", merged_into=into) for gone, into in chain.items()]
        worker.state.deliveries.save(rows)
        found = worker.state.deliveries.merged("crm")
        assert found["z"] in ("x", "y")  # and it comes to an end
        assert (found["a"], found["b"], found["c"], worker.state.deliveries.merged("hub")) == ("d", "d", "d", {})


def test_with_an_account_go_those_that_were_merged_into_it(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, crm, _, clock):
        run_once(worker)
        _merge(crm, "loser", "winner")
        clock.advance_to(NOW + timedelta(minutes=5))
        run_once(worker)
        (row,) = worker.state.accounts.members()
        assert doomed(worker, row).accounts == {"winner", "loser"}
        worker.state.accounts.save([Account("loser", "Loser")], now=clock.now())  # it was restored in the CRM
        assert doomed(worker, row).accounts == {"winner"}
        worker.state.accounts.close_missing({"winner"}, now=clock.now())
        with leased(worker.state) as beat:
            what = doomed(worker, row)
            erase(worker, what, beat=beat)
        assert what.facts == {"crm": 2, "product": 8}
        assert (worker.state.accounts.all(), worker.history.days_of(["loser", "winner"])) == ([], 0)
        assert {"loser", "winner"} <= what.words.ids
        assert search(worker, what).places == []
        assert erased_of(worker).holds("crm", "loser")  # also where the merge is undone


def test_an_erased_account_leaves_no_trace_on_the_judgements_it_passed_on(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, *_):
        worker.state.accounts.save([Account("winner", "W")], now=NOW)
        worker.state.judgements.add(_override("winner", origin={"account": "loser", "destination": "crm"}))
        worker.state.erase(["loser"], [], {}, lambda told: {key: one for key, one in told.items() if one != "loser"})
        assert [row.origin for row in worker.state.judgements.all()] == [{"destination": "crm"}]


def test_keys_that_name_a_merged_account_find_the_survivor_only_while_it_is_one(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, *_):
        worker.state.accounts.save([Account("winner", "W")], now=NOW)
        worker.state.keys.save([Key("desk", "9", None, (), {"crm_id": "loser"})], now=NOW)
        worker.state.deliveries.pass_on({}, [Delivery("crm", "loser", "winner", status="closed", merged_into="winner")])
        assert worker.links(worker.state.accounts.members()).of("desk")["9"] == "winner"
        assert worker.links([]).of("desk").get("9") is None

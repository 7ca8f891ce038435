"""A worker that lost its lease changes nothing any more: not in state, not in the log, and at most one batch of a CRM.

Real processes are stopped and go on after another worker has done their work.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from connectors.base import Account, Event, Key, Page, Write
from connectors.clock import SteppedClock, SystemClock
from connectors.sandbox import Sandbox
from connectors.sandbox.faults import Door
from sync import database
from sync.compare import plain
from sync.errors import LeaseLost, StateError
from sync.lease import leased
from sync.loading import load
from sync.log import Log
from sync.rows import Delivery, Judgement, Total
from sync.run import run_once
from sync.state import State
from sync.tables import LEASE
from sync.worker import Worker, opened
from tests import hubspot_stub
from tests.loopback import Answer, Asked, Loopback
from tests.postgres import ASKED, migrated
from tests.served import carry_out, tools

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
DAY = NOW.date()
ACCOUNT = Account("a", "Acme")
JUDGEMENT = Judgement(0, "note", "a", "Ann", "Why", DAY, DAY, None, None, None, False, NOW)
OVERRIDE = replace(JUDGEMENT, kind="override", tier="red", day=date(2020, 1, 1), until=date(2099, 1, 1))
CHANGES: dict[str, Callable[[State], object]] = {
    "set_meta": lambda state: state.set_meta("key", 1),
    "accounts.save": lambda state: state.accounts.save([ACCOUNT], now=NOW),
    "accounts.close_missing": lambda state: state.accounts.close_missing(set(), now=NOW),
    "keys.save": lambda state: state.keys.save([Key("desk", "k", None)], now=NOW),
    "keys.forget": lambda state: state.keys.forget("desk", before=NOW),
    "readings.save": lambda state: state.readings.save("desk", cursor=None, since=None, through=None, names=()),
    "runs.note": lambda state: state.runs.note("edits", {}, NOW),
    "runs.start": lambda state: state.runs.start("pass", NOW),
    "runs.finish": lambda state: state.runs.finish(1, "done", {}, NOW),
    "runs.forget": lambda state: state.runs.forget(NOW),
    "totals.save": lambda state: state.totals.save([Total("a", 1, "red", DAY, 1, NOW, (), "v", "")]),
    "deliveries.save": lambda state: state.deliveries.save([Delivery("crm", "a", "a")]),
    "deliveries.save_edits": lambda state: state.deliveries.save_edits(
        [OVERRIDE], [Delivery("crm", "a", "a")], told=[], now=NOW
    ),
    "deliveries.retry": lambda state: state.deliveries.retry(["crm"], now=NOW),
    "deliveries.let_go": lambda state: state.deliveries.let_go("crm", []),
    "deliveries.recall_doubts": lambda state: state.deliveries.recall_doubts(),
    "judgements.add": lambda state: state.judgements.add(JUDGEMENT),
    "judgements.withdraw": lambda state: state.judgements.withdraw(1, "Ann", now=NOW, day=DAY),
    "deliveries.pass_on": lambda state: state.deliveries.pass_on({"a": "b"}, [Delivery("crm", "a", "a")]),
    "judgements.mark_logged": lambda state: state.judgements.mark_logged([JUDGEMENT]),
    "judgements.recall": lambda state: state.judgements.recall([replace(JUDGEMENT, id=7)]),
    "scorecards.save": lambda state: state.scorecards.save("v", "name", {}, NOW),
    "redate": lambda state: state.redate(NOW, ZoneInfo("UTC")),
    "erase": lambda state: state.erase(["a"], [], {}, lambda report: report),
    "readings.forget_cursors": lambda state: state.readings.forget_cursors(["desk"]),
    "holding": lambda state: state.holding().__enter__(),
}


def _run_out(state: State) -> None:
    """As if the holder had not renewed its lease for as long as it lasts."""
    with state.change() as connection:
        connection.execute(update(LEASE).values(expires_at=NOW))


def _taken_over(state: State) -> None:
    _run_out(state)
    assert state.lease.take("another", now=datetime.now(UTC), seconds=600)


def _changing(part: object) -> Iterator[str]:
    for name, method in inspect.getmembers(type(part), inspect.isfunction):
        if re.search(r"self\.(_store\.)?write\(\)", inspect.getsource(method)):
            yield name


def test_no_change_is_left_out_here(tmp_path: Path) -> None:
    state = State(migrated(tmp_path / "state.db"))
    parts = {name: part for name, part in vars(state).items() if type(part).__module__.startswith("sync.state.")}
    changes = {f"{name}.{change}" for name, part in parts.items() for change in _changing(part)}
    assert set(CHANGES) == {*changes, *_changing(state)}
    state.close()


def test_every_change_is_refused_once_the_lease_is_anothers(state: State) -> None:
    for change in CHANGES.values():
        change(state)  # nobody holds the lease: a person at a terminal
    with leased(state) as beat:
        CHANGES["accounts.save"](state)
        beat()
        _taken_over(state)
        before = list(state.rows())
        for change in CHANGES.values():
            with pytest.raises(LeaseLost):
                change(state)
        assert list(state.rows()) == before
        with pytest.raises(LeaseLost, match="another worker has taken over"):
            beat()
    assert state.lease.held() is not None  # and it is not given back by who lost it


def test_nobody_takes_the_lease_over_in_the_middle_of_a_change(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.2)
    state = State(url)
    with leased(state):
        _run_out(state)
        with state.holding(), pytest.raises(StateError, match="another process has held it"):
            state.lease.take("another", now=datetime.now(UTC), seconds=600)
        CHANGES["accounts.save"](state)
        assert state.lease.take("another", now=datetime.now(UTC), seconds=600)
    state.close()


def test_a_page_that_was_held_in_hand_does_not_become_the_newest(tmp_path: Path) -> None:
    state, clock = State(migrated(tmp_path / "state.db")), SteppedClock(NOW)
    log = Log(tmp_path / "log", timezone=ZoneInfo("UTC"), clock=clock, guard=state.holding)
    log.append("desk", _page(1.0))
    with leased(state):
        log.append("desk", _page(2.0))
        _taken_over(state)
        version = log.version()
        for late in (lambda: log.append("desk", _page(3.0)), log.settle, lambda: log.erase({"desk": ["a"]})):
            with pytest.raises(LeaseLost):
                late()
        assert log.version() == version
    log.close()
    state.close()


def _page(value: float) -> Page:
    return Page(events=[Event("desk", "1/severity", "a", None, "ticket.severity", NOW, value)])


BATCH = 2
STOPPED = f"""
import connectors.salesforce.writer as writer, sync.cli as cli
writer.BATCH = {BATCH}
cli.main()
"""
SETTINGS = """\
home: salesforce
state: {state}
destinations:
  salesforce: {{base_url: {url}, client_id: sandbox, client_secret: sandbox-salesforce}}
accounts: {{where: "Type = 'Customer'"}}
sources: {{}}
"""


class Gate:
    """Stops a worker as its first batch arrives, and has the batch carried out late."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.worker = 0  # the process to stop
        self.stopped, self.go_on = threading.Event(), threading.Event()
        self.batches = 0
        through = Door.__call__

        async def call(door: Door, scope: Any, receive: Any, send: Any) -> None:
            if scope.get("method") == "PATCH" and scope["path"].endswith("composite/sobjects"):
                self.batches += 1
                if self.worker and not self.stopped.is_set():
                    os.kill(self.worker, signal.SIGSTOP)
                    self.stopped.set()
                    await asyncio.to_thread(self.go_on.wait, 60)
            await through(door, scope, receive, send)

        monkeypatch.setattr(Door, "__call__", call)


def _present(worker: Worker) -> dict[str, dict[str, object]]:
    found = worker.home.read(list(worker.state.deliveries.of("salesforce")))
    return {record: {key: plain(value) for key, value in values.items()} for record, values in found.items()}


def _differing(worker: Worker) -> set[str]:
    """The records that hold something else than state says is confirmed."""
    held = _present(worker)
    known = worker.state.deliveries.of("salesforce")
    return {record for record, row in known.items() if not (row.confirmed or {}).items() <= held[record].items()}


@contextmanager
def _stopped_in_a_delivery(folder: Path, gate: Gate) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", STOPPED, "run", "--config", str(folder / "bellwether.yaml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        gate.worker = process.pid
        try:
            assert gate.stopped.wait(60)
            yield process
        finally:
            gate.go_on.set()
            process.kill()


# a process a time is dear; above both refuse the same
@pytest.mark.parametrize("url", [ASKED], indirect=True)
def test_a_worker_that_was_stopped_in_a_delivery_sends_no_further_batch_and_the_next_run_repairs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    with Sandbox(accounts=6, seed=3, clock=SystemClock(), vendors=("salesforce",), history_days=2) as box:
        (tmp_path / "bellwether.yaml").write_text(SETTINGS.format(state=url, url=box.urls["salesforce"]))
        with opened(load(tmp_path / "bellwether.yaml")) as worker:
            carry_out(worker.home.plan())
            with _stopped_in_a_delivery(tmp_path, gate) as stopped:
                _run_out(worker.state)
                for row in worker.state.accounts.members():
                    worker.state.judgements.add(replace(OVERRIDE, account=row.id))
                assert run_once(worker).status == "done"
                assert _differing(worker) == set()
                known, batches = worker.state.deliveries.of("salesforce"), gate.batches

                gate.go_on.set()
                stopped.send_signal(signal.SIGCONT)
                _, said = stopped.communicate(timeout=60)
            assert (stopped.returncode, said.count("\n")) == (1, 1)
            assert "another worker has taken over" in said
            assert gate.batches == batches
            assert worker.state.deliveries.of("salesforce") == known
            assert len(_differing(worker)) == BATCH  # it landed late

            repaired = run_once(worker)
            assert (repaired.status, repaired.delivered["salesforce"]["written"]) == ("done", BATCH)
            assert _differing(worker) == set()
            assert {held["tier"] for held in _present(worker).values()} == {"red"}


def test_four_batches_in_flight_are_the_most_that_a_stopped_worker_sends_to_hubspot(tmp_path: Path) -> None:
    lost = threading.Event()

    def stand() -> None:
        if lost.is_set():
            raise LeaseLost("another worker has taken over")

    portal = hubspot_stub.Portal()
    portal.script["POST batch/update"] = lambda asked: _updated(asked, lost)
    with Loopback(portal) as served:
        handed = replace(tools(tmp_path), stand=stand)
        crm = hubspot_stub.hubspot(served, tmp_path, handed=handed)
        with pytest.raises(LeaseLost):
            list(crm.write([Write(str(number), {"score": 50.0}) for number in range(1, 1001)]))
        assert 1 <= len(served.paths("POST")) <= 4
        crm.close()


def _updated(asked: Asked, lost: threading.Event) -> Answer:
    lost.set()
    return Answer(
        body={"results": [{"id": one["id"], "properties": one["properties"]} for one in asked.json["inputs"]]}
    )

"""The daemon as a real process beside the sandbox: it works, answers, ends in time, and starts again where it was."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from connectors.clock import FastClock
from connectors.sandbox import Sandbox
from sync.child import Memory, _answer
from sync.daemon import Knocks
from sync.loading import load
from sync.rehearsal import settings_for
from sync.worker import opened
from tests.command import exit_code
from tests.served import carry_out

START = datetime(2026, 11, 2, 6, tzinfo=UTC)
SPEED = 3600.0  # an hour a second
ACCOUNTS = 12
SETTINGS = """\
home: file
sources: {}
destinations: {file: {accounts: accounts.csv, scores: scores.csv}}
daemon: {port: 0}
"""


class Daemon:
    """A running `bellwether daemon` and the port it answers on."""

    def __init__(self, folder: Path) -> None:
        command = [str(Path(sys.executable).parent / "bellwether"), "daemon"]
        self._log = (folder / "daemon.log").open("ab")
        self._at = self._log.tell()
        self._path = folder / "daemon.log"
        self.process = subprocess.Popen(command, cwd=folder, stderr=self._log, stdout=subprocess.DEVNULL)
        self.port = int(str(self.wait_for("daemon started")["port"]))

    def said(self) -> str:
        return self._path.read_bytes()[self._at :].decode()

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.said().splitlines() if line.endswith("}")]

    def wait_for(self, event: str) -> dict[str, object]:
        for _ in range(600):
            found = [line for line in self.lines() if line["event"] == event]
            if found:
                return found[0]
            assert self.process.poll() is None, self._path.read_text()
            time.sleep(0.05)
        raise AssertionError(f"no {event!r} in {self._path.read_text()}")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)

    def wait_until_ready(self) -> None:
        for _ in range(600):
            if self.get("/readyz").status_code == 200:
                return
            time.sleep(0.1)
        raise AssertionError(self._path.read_text())

    def wait_for_pass(self) -> Path:
        """Where the system tells of the process of the pass that is under way."""
        of = Path(f"/proc/{self.process.pid}/task")
        for _ in range(600):
            children = [int(word) for task in of.iterdir() for word in (task / "children").read_text().split()]
            if children:
                return Path(f"/proc/{children[0]}")
            time.sleep(0.05)
        raise AssertionError(self._path.read_text())

    def resident(self) -> int:
        """Megabytes of memory, files of libraries included."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) // 1024

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout=30)
        finally:
            self._log.close()


@contextmanager
def _company(folder: Path) -> Iterator[Sandbox]:
    """A sandbox whose fields are there, and settings in `folder` that share its clock."""
    epoch = time.time()
    clock = FastClock(START, SPEED, epoch)
    with Sandbox(accounts=ACCOUNTS, seed=3, clock=clock, history_days=60) as box:
        (folder / "bellwether.yaml").write_text(
            settings_for(box.urls)
            + f"clock: {{start: {START.isoformat()}, speed: {SPEED}, epoch: {epoch!r}}}\n"
            + "daemon: {port: 0, every: 15m, pull_budget: 5d}\n"
        )
        with opened(load(folder / "bellwether.yaml")) as worker:
            for destination in worker.destinations.values():
                carry_out(destination.plan())
        yield box


def _tiers(folder: Path) -> dict[str, dict[str, object]]:
    """What the two CRMs hold, by destination and record."""
    with opened(load(folder / "bellwether.yaml")) as worker:
        known = {name: worker.state.deliveries.of(name) for name in worker.destinations}
        return {
            name: {record: values.get("tier") for record, values in part.read(list(known[name])).items()}
            for name, part in worker.destinations.items()
        }


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[Path, Sandbox]]:
    with _company(tmp_path) as box:
        yield tmp_path, box


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings that need no vendor."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bellwether.yaml").write_text(SETTINGS)
    return tmp_path


def test_works_answers_and_ends_on_sigterm(daemon: tuple[Path, Sandbox]) -> None:
    folder, _box = daemon
    settings = folder / "bellwether.yaml"
    settings.write_text(settings.read_text().replace("every: 15m", "every: 1d"))  # one pass will do
    running = Daemon(folder)
    try:
        running.wait_until_ready()
        assert running.get("/healthz").text == "alive\n"
        metrics = running.get("/metrics").text
        assert running.resident() < 200
    finally:
        code = running.end(signal.SIGTERM)
    assert code == 0
    assert 'bellwether_accounts{tier="green"}' in metrics
    with opened(load(folder / "bellwether.yaml")) as worker:
        accounts, totals = worker.state.accounts.members(), worker.state.totals.all()
        written = re.search(r'bellwether_rows_total{destination="salesforce",outcome="written"} (\d+)', metrics)
        assert written
        assert int(written[1]) >= len(accounts) > 0
        for row in accounts:
            assert row.id not in metrics
            assert row.name not in metrics
    told = {account: total.tier for account, total in totals.items() if total.tier != "unscored"}
    assert told.items() <= _tiers(folder)["salesforce"].items()
    assert len(told) > len(accounts) / 2


def test_killed_at_any_moment_it_starts_again_and_neither_loses_nor_doubles(daemon: tuple[Path, Sandbox]) -> None:
    folder, _box = daemon
    for wait in (0.2, 1.3):
        running = Daemon(folder)
        time.sleep(wait)
        running.end(signal.SIGKILL)
    running = Daemon(folder)
    try:
        running.wait_until_ready()
    finally:
        assert running.end(signal.SIGTERM) == 0
    with opened(load(folder / "bellwether.yaml")) as worker:
        with worker.log.connect(spill=worker.spill) as connection:
            doubled = connection.execute(
                "select count(*) - count(distinct (source, id)), count(*) > 0 from events"
            ).fetchall()
        assert doubled == [(0, True)]
        for name in worker.destinations:
            assert {item.status for item in worker.state.deliveries.of(name).values()} == {"confirmed"}
        assert set(worker.state.deliveries.of("salesforce")) == {row.id for row in worker.state.accounts.members()}


def test_a_pass_that_is_killed_ends_alone_and_none_outlives_its_daemon(daemon: tuple[Path, Sandbox]) -> None:
    folder, _box = daemon
    running = Daemon(folder)
    try:
        first = running.wait_for_pass()
        secrets = re.findall(r"(?:token|secret|password): (\S+)", (folder / "bellwether.yaml").read_text())
        assert secrets
        assert not any(secret in (first / "cmdline").read_text() for secret in secrets)
        os.kill(int(first.name), signal.SIGKILL)
        assert "ended by SIGKILL" in str(running.wait_for("pass not made")["why"])
        assert (running.get("/healthz").text, running.get("/readyz").status_code) == ("alive\n", 503)
        second = running.wait_for_pass()
    finally:
        running.end(signal.SIGKILL)
    for _ in range(600):
        if not second.exists() or " Z " in (second / "stat").read_text():  # where nobody collects orphans
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the pass goes on without its daemon")
    assert "Traceback" not in running.said()


@pytest.mark.parametrize("told", [0, -1], ids=["nothing", "not all"])
def test_a_pass_whose_daemon_was_killed_before_it_had_its_settings_ends_without_a_word(folder: Path, told: int) -> None:
    given = pickle.dumps((load(folder / "bellwether.yaml"), Memory()))[:told]
    words = "import os; from sync.child import main; main(os.open(os.devnull, os.O_RDONLY))"
    made = subprocess.run([sys.executable, "-c", words], input=given, capture_output=True, check=True)
    assert (made.stdout, made.stderr, (folder / "bellwether-data").exists()) == (b"", b"", False)


def test_told_to_stop_in_the_middle_of_a_pass_it_waits_for_it(daemon: tuple[Path, Sandbox]) -> None:
    running = Daemon(daemon[0])
    try:
        child = running.wait_for_pass()
    finally:
        assert running.end(signal.SIGTERM) == 0
    assert not child.exists()
    assert running.lines()[-1]["event"] == "daemon stopped"


def test_a_state_that_is_only_held_ends_no_daemon_not_even_at_its_first_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bellwether.yaml").write_text(SETTINGS)
    settings = load(tmp_path / "bellwether.yaml")
    with opened(settings):
        monkeypatch.setattr("sync.database.LOCK_SECONDS", 0.05)
    with closing(sqlite3.connect(settings.data / "state.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        answer = _answer(settings, Memory(), threading.Event())
    assert "another process has held it for over 0.05 s: wait for it" in answer.fault
    assert answer.opened


def test_a_state_that_cannot_be_used_ends_the_daemon_with_the_remedy(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bellwether-data").mkdir()
    (folder / "bellwether-data" / "state.db").write_bytes(b"not a database, " * 100)
    assert exit_code("daemon") == 2
    assert "state.db): file is not a database; restore it from a copy" in capsys.readouterr().err.splitlines()[-1]


def test_a_person_at_the_terminal_waits_for_the_daemon(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(load(folder / "bellwether.yaml")) as worker:
        assert worker.state.lease.take("the daemon", now=datetime.now(UTC), seconds=600)
        assert exit_code("run") == 1
    assert "another worker is at work on this state" in capsys.readouterr().err


def test_a_clock_that_is_set_back_puts_no_knock_off():
    knocked, hour = threading.Event(), timedelta(hours=1)
    knocks = Knocks(knocked.set, every=hour)
    try:
        assert knocked.wait(30), "the first is at once"
        due = knocks._again.next_run_time
        knocks.keep()
        assert knocks._again.next_run_time == due, "nothing is wrong"
        knocks._again.modify(next_run_time=due + timedelta(days=10))  # as it stands once the clock is ten days back
        knocks.keep()
        assert due <= knocks._again.next_run_time <= datetime.now(UTC) + hour
    finally:
        knocks.end()

"""Scorecards over time: one that is edited under a running daemon, and what is kept and told of each version."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from config.loader import LARGEST
from connectors.base import Account, Event, Page
from connectors.clock import SteppedClock, SystemClock
from sync.child import Answer, Memory
from sync.daemon import Passes
from sync.health import Health, serving
from sync.report import Report
from sync.run import run_once
from sync.settings import Settings, SettingsError, load, reread
from tests.command import exit_code
from tests.fakes import CARD, FakeCrm, FakeSource, a_worker

NOW = datetime(2026, 10, 20, 6, tzinfo=UTC)
MIDNIGHT = NOW.replace(hour=0)
SETTINGS = """\
home: customers
scorecard: card.yaml
destinations: {customers: {kind: file, accounts: accounts.csv, scores: scores.csv}}
"""
OTHER = CARD.replace("weight: 60", "weight: 50")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bellwether.yaml").write_text(SETTINGS)
    (tmp_path / "card.yaml").write_text(CARD)
    (tmp_path / "accounts.csv").write_text("id,name\na1,Alder\nb2,Birch\n")
    return tmp_path


# under a running daemon


class Daemon:
    """What a daemon does between its passes; the settings that each pass was given."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.health = Health(SystemClock())
        self.given: list[Settings] = []
        self._passes = Passes(settings, self.health, threading.Event())
        monkeypatch.setattr("sync.daemon.in_child", self._in_child)

    def _in_child(self, settings: Settings, _memory: Memory, _lifeline: int) -> Answer:
        self.given.append(settings)
        return Answer(Report())

    def one_pass(self) -> tuple[Settings, list[Mapping[str, object]]]:
        """The settings of the pass, and what was logged of scorecards."""
        with capture_logs() as logs:
            self._passes.knock()
        return self.given[-1], [line for line in logs if str(line["event"]).startswith("scorecard")]


def test_an_edited_scorecard_is_used_from_the_next_pass_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(folder / "bellwether.yaml")
    daemon = Daemon(settings, monkeypatch)
    assert daemon.one_pass() == (settings, [])
    (folder / "card.yaml").write_text(f"# only a comment\n{CARD}")
    assert daemon.one_pass() == (settings, [])
    (folder / "card.yaml").write_text(OTHER)
    used, said = daemon.one_pass()
    assert used == replace(settings, scorecard=load(folder / "bellwether.yaml").scorecard)
    assert used.scorecard.dimensions["usage"].weight == 50
    assert [(line["event"], line["version"], line["before"]) for line in said] == [
        ("scorecard changed", used.scorecard.version, settings.scorecard.version)
    ]
    assert daemon.one_pass() == (used, [])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (Path.unlink, "card.yaml is not there; put it back"),
        (_folder, "card.yaml is not there; put it back"),
        (lambda path: path.write_text(""), "card.yaml:1 name: is missing; add it"),
        (lambda path: path.write_text(CARD[: len(CARD) // 2]), "card.yaml:"),
        (lambda path: path.write_text("name: ["), "card.yaml:1 is not valid YAML"),
        (lambda path: path.write_bytes(b"name: \xff"), "card.yaml:1 is not UTF-8"),
        (lambda path: path.write_text(f"{CARD}  - &a x\n"), "card.yaml:"),
        (lambda path: path.write_text(CARD + "x: &a 1\ny: *a\n"), "aliases (*name) are not used here"),
        (lambda path: path.write_text(CARD + "#" * LARGEST), "card.yaml: larger than"),
        (
            lambda path: path.write_text(CARD.replace("60", "lots")),
            "card.yaml:3 dimensions.usage.weight: needs a number",
        ),
        (
            lambda path: path.write_text(CARD.replace("take: count,", "take: count, where: now() > 1,")),
            "measures.tickets.where",
        ),
    ],
)
def test_one_that_cannot_be_used_is_refused_loudly_and_the_last_good_one_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object], place: str
) -> None:
    settings = load(folder / "bellwether.yaml")
    daemon = Daemon(settings, monkeypatch)
    spoil(folder / "card.yaml")
    for _ in range(2):
        used, said = daemon.one_pass()
        (why,) = used.refused
        assert used == replace(settings, refused=(why,))
        assert place in why
        assert why.endswith(f"; until that is mended test card {settings.scorecard.version} goes on")
        assert [(line["log_level"], line["why"]) for line in said] == [("warning", why)]
    assert daemon.health.registry.get_sample_value("bellwether_scorecards_refused") == 1
    shutil.rmtree(folder / "card.yaml", ignore_errors=True)
    (folder / "card.yaml").write_text(CARD)
    assert daemon.one_pass() == (settings, [])
    assert daemon.health.registry.get_sample_value("bellwether_scorecards_refused") == 0


def test_a_daemon_that_goes_on_with_the_last_good_one_is_ready_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(load(folder / "bellwether.yaml"), monkeypatch)
    (folder / "card.yaml").write_text("name: [")
    used, _ = daemon.one_pass()
    with serving(daemon.health, "127.0.0.1", 0, None) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz")
        (folder / "card.yaml").write_text(CARD)
        daemon.one_pass()
        mended = httpx.get(f"http://127.0.0.1:{port}/readyz")
    assert (answer.status_code, answer.text) == (200, f"ready\nscorecard refused: {used.refused[0]}\n")
    assert (mended.status_code, mended.text) == (200, "ready\n")


def test_many_mistakes_are_one_sentence_a_pass(folder: Path) -> None:
    settings = load(folder / "bellwether.yaml")
    (folder / "card.yaml").write_text(CARD.replace("weight: 60", "weight: lots").replace("weight: 40", "weight: -1"))
    (why,) = reread(settings).refused
    assert "dimensions.usage.weight: needs a number (and 1 more: `bellwether check` names them); until" in why


def test_a_preset_is_not_looked_for_again(folder: Path) -> None:
    (folder / "bellwether.yaml").write_text(SETTINGS.replace("card.yaml", "saas"))
    settings = load(folder / "bellwether.yaml")
    (folder / "saas").write_text("nothing of the kind")
    assert reread(settings) is settings


def test_a_daemon_does_not_begin_with_a_scorecard_that_cannot_be_used(folder: Path) -> None:
    (folder / "card.yaml").write_text(CARD.replace("60", "lots"))
    with pytest.raises(SettingsError, match=r"card.yaml:3 dimensions.usage.weight: needs a number"):
        load(folder / "bellwether.yaml")
    assert exit_code("daemon") == 2


def _source(accounts: Sequence[str]) -> FakeSource:
    days = [(account, MIDNIGHT - timedelta(days=n)) for account in accounts for n in range(1, 9)]
    events = [Event("product", f"{who}/{day:%j}", who, "u", "login", day, 1.0) for who, day in days]
    return FakeSource("product", [Page(events=events, through=MIDNIGHT)], names=("login", "ticket.*"))


def test_a_pass_scores_by_an_edited_card_though_no_fact_is_new_and_says_what_was_refused(tmp_path: Path) -> None:
    born = datetime(2025, 1, 1, tzinfo=UTC)
    crm = FakeCrm("crm", [Account("busy", "Busy", since=born, attributes={"seats": 5.0})])
    with a_worker(tmp_path, home=crm, sources=[_source(["busy"])], clock=SteppedClock(NOW)) as worker:
        assert run_once(worker, due_only=True).scored
        assert run_once(worker, due_only=True).scored == {}
        (tmp_path / "card.yaml").write_text(OTHER)
        edited = replace(worker, settings=reread(worker.settings))
        assert run_once(edited, due_only=True).scored
        assert {total.version for total in worker.state.totals().values()} == {edited.settings.scorecard.version}
        (tmp_path / "card.yaml").write_text("name: [")
        refusing = replace(edited, settings=reread(edited.settings))
        report = run_once(refusing, due_only=True)
        assert (report.status, report.scored) == ("partial", {})
        assert [str(problem) for problem in report.problems] == [f"scorecard: {refusing.settings.refused[0]}"]
        last = worker.state.last_finished("pass")
    assert last is not None
    assert last.report["problems"][0]["place"] == "scorecard"


def test_status_works_beside_a_scorecard_that_cannot_be_used_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("run", "--only", "pull") == 0
    (folder / "card.yaml").write_text(CARD.replace("60", "lots"))
    capsys.readouterr()
    assert exit_code("status") == 0
    assert capsys.readouterr().out.startswith(
        "scorecard refused: card.yaml:3 dimensions.usage.weight: needs a number\n"
    )
    assert exit_code("scores") == 2

"""The command `deliveries`: what it lists, has tried, compares and refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from connectors.base import Remedy
from sync.loading import load
from sync.outcomes import REMEDIES, STATES, to_do
from sync.report import Report
from sync.rows import Delivery, DeliveryStatus
from sync.show import show_report
from sync.state import State
from tests.command import exit_code

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(hours=5)
SETTINGS = """\
home: customers
destinations: {customers: {kind: file, accounts: accounts.csv, scores: scores.csv}}
"""


def _refused(
    record: str, status: DeliveryStatus, code: str, message: str, *, remedy: Remedy, attempts: int = 0
) -> Delivery:
    told: dict[str, Any] = {"code": code, "message": message, "remedy": remedy, "next_try_at": LATER}
    return Delivery("customers", record, record, status=status, attempts=attempts, **told)


ROWS = [
    Delivery("customers", "a1", "a1", status="confirmed", confirmed_at=NOW),
    _refused("b2", "failed", "LOCKED", "busy", remedy="again", attempts=2),
    _refused("c3", "quarantined", "RULE", "a rule refuses it", remedy="row", attempts=1),
    _refused("d4", "closed", "NOT_FOUND", "there is no such record", remedy="gone"),
    Delivery("customers", "e5", "e5", status="pending"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bellwether.yaml").write_text(SETTINGS)
    (tmp_path / "accounts.csv").write_text("id,name\na1,Alder\nb2,Birch\n")
    return tmp_path


def _kept(folder: Path, rows: list[Delivery]) -> State:
    settings = load(folder / "bellwether.yaml")
    settings.data.mkdir(mode=0o700)
    state = State(settings.state.get_secret_value())
    state.deliveries.save(rows)
    return state


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = exit_code("deliveries", *words)
    return code, "".join(capsys.readouterr())


def _told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(_said(capsys, *words, "--json")[1])


def test_every_state_and_remedy_has_words() -> None:
    assert set(STATES) == set(get_args(DeliveryStatus))
    assert set(REMEDIES) == set(get_args(Remedy))
    assert len({to_do(row) for row in ROWS}) == len(ROWS)


def test_lists_every_record_and_those_that_failed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _kept(folder, ROWS).close()
    rows = _told(capsys)["deliveries"]
    assert {row["record"]: row["state"] for row in rows} == {row.record_id: row.status for row in ROWS}
    refused = _told(capsys, "--failed")["deliveries"]
    assert [row["record"] for row in refused] == ["c3", "b2"]  # what needs a person stands first
    assert refused[0]["to_do"] == "a rule refuses it: mend the record, or the rule that refuses it"
    assert refused[1]["next_try"] == LATER.isoformat()
    code, said = _said(capsys, "--failed", "--destination", "customers")
    assert code == 0
    assert "2 records" in said
    assert "RULE" in said


EDIT = {
    "account": "a1",
    "name": "Alder",
    "record": "a1",
    "field": "tier",
    "from": "yellow",
    "to": "green",
    "by": "Ann Lee",
    "until": "2026-12-22",
}


def test_status_counts_by_state_and_code_and_names_edits_and_what_needs_a_person_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = _kept(folder, ROWS)
    for days in (1, 9):  # one of them too long ago to be told
        moment = NOW - timedelta(days=days)
        told = [{"destination": "customers", **EDIT, "name": f"Alder {days}"}]
        state.deliveries.save_edits([], [], told=told, now=moment)
    state.close()
    assert exit_code("status", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    counted = {(one["status"], one["code"]): one["records"] for one in told["deliveries"]}
    assert counted == {(row.status, row.code): 1 for row in ROWS}
    assert [one["record"] for one in told["failed"]] == ["c3", "b2"]
    assert told["edits"] == [{"destination": "customers", **EDIT, "name": "Alder 1"}]
    assert exit_code("status") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 records failed; `bellwether deliveries --failed` says what to do about each" in said
    assert "Alder 1 (record a1): tier yellow -> green, by Ann Lee; stays until 2026-12-22" in said


def test_a_pass_tells_of_edits_and_leaves_long_lists_to_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    counts = dict.fromkeys(("written", "adopted", "unchanged", "waiting", "failed"), 0)
    edits = [EDIT, {**EDIT, "field": "score", "until": None}, *[EDIT] * 20]
    show_report(Report(delivered={"crm": {**counts, "named": [], "edits": edits}}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "crm: Alder (record a1): tier yellow -> green, by Ann Lee; stays until 2026-12-22"
    assert lines[2].endswith("by Ann Lee; is written over")
    assert lines[-1] == "crm: and 2 more edits; --json has all"


def test_has_waiting_records_tried_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = _kept(folder, ROWS)
    assert _told(capsys, "--retry") == {"due": 3}
    assert all((row.next_try_at or NOW) < LATER for row in state.deliveries.of("customers").values())
    due = state.deliveries.last_due(datetime.now(UTC))
    assert due is not None
    assert due >= NOW  # so that a daemon's pass sees that something is new
    assert "due now: 0 records" in _said(capsys, "--retry")[1]
    state.close()


def test_reconciles_and_repairs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("run") == 0
    capsys.readouterr()
    code, said = _said(capsys, "--reconcile")
    assert code == 0
    assert said.startswith("compared 2 records, ")
    assert said.endswith(" fields: no difference\n")
    scores = folder / "scores.csv"
    right = scores.read_text()
    scores.write_text(right.replace("Not scored", "All is well"))
    code, said = _said(capsys, "--reconcile")
    assert code == 1
    assert "2 differences on 2 records" in said
    told = json.loads(_said(capsys, "--reconcile", "--json")[1])
    assert {(one["record"], one["field"], one["by"]) for one in told["differences"]} == {
        ("a1", "reason", "not known"),
        ("b2", "reason", "not known"),
    }
    code, said = _said(capsys, "--reconcile", "--apply")
    assert (code, scores.read_text()) == (0, right)
    assert "gone through: 2 records" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--apply"], "--apply goes with --reconcile"),
        (["--failed", "--retry"], "exclude each other"),
        (["--destination", "crm"], "no destination 'crm' (there are: customers)"),
    ],
)
def test_refuses_what_makes_no_sense(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    _kept(folder, []).close()
    code, said = _said(capsys, *words)
    assert code == 2
    assert says in said

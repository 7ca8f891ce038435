"""`bellwether check` on a scorecard: each warning with its file and line, and no check failed by one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.command import exit_code

SETTINGS = """\
home: customers
scorecard: card.yaml
sources:
  product: {kind: file, path: events.csv, columns: {account: account, event: event, at: at, value: value}}
destinations:
  customers: {kind: file, accounts: accounts.csv, scores: scores.csv}
"""
CARD = """\
name: card
dimensions:
  all: {weight: 1, measures: {severe: 1, minor: 1, sudden: 1, slow: 1, absent: 1}}
measures:
  severe: {events: ticket.severity, where: value >= 3, take: count, window: 30d, points: {0: 100, 3: 0}}
  minor: {events: ticket.severity, where: value < 3, take: count, window: 30d, points: {0: 100, 3: 0}}
  sudden: {events: ticket.created, where: value < 0, take: count, window: 30d, points: {0: 100, 3: 0}}
  slow: {events: ticket.severity, take: mean, window: 365d, points: {0: 100, 3: 0}}
  absent: {events: ticket.opend, take: count, window: 30d, points: {0: 100, 3: 0}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bellwether.yaml").write_text(SETTINGS)
    (tmp_path / "card.yaml").write_text(CARD)
    (tmp_path / "accounts.csv").write_text("id,name\na1,Alder\n")
    today = datetime.now(UTC).date()
    # the severe ticket of long ago meets `severe`, but not in the last 90 days
    rows = [(today - timedelta(days=1), 1), (today - timedelta(days=120), 4)]
    events = [f"a1,ticket.severity,{day}T08:00:00Z,{value}" for day, value in rows]
    (tmp_path / "events.csv").write_text("\n".join(["account,event,at,value", *events]) + "\n")
    return tmp_path


def _check(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    code = exit_code("check")
    return code, capsys.readouterr().out.splitlines()


def test_a_warning_names_file_line_and_remedy_and_fails_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("run", "--only", "pull") == 0
    capsys.readouterr()
    code, lines = _check(capsys)
    assert code == 0
    warned = [line.removeprefix("warn ") for line in lines if line.startswith("warn")]
    assert [line.split(": ")[0] for line in warned] == [
        "card.yaml:7 measures.sudden.events",
        "card.yaml:9 measures.absent.events",
        "card.yaml:8 measures.slow.window",
        "card.yaml:5 measures.severe.where",
    ]
    assert "no source yields ticket.opend, so absent is missing everywhere; its weight goes to others -> " in warned[1]
    assert "looks back 365 days, and product was read from 121 days ago on" in warned[2]
    assert next(line for line in lines if line.startswith("ok   scorecard: card ")).endswith(": 4 warnings")


def test_before_the_first_run_only_what_needs_no_data_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "card.yaml").write_text(CARD.replace("value < 3", "value < 3 and value > 4"))
    code, lines = _check(capsys)
    assert code == 0
    (warned,) = [line for line in lines if line.startswith("warn")]
    assert warned.startswith("warn card.yaml:6 measures.minor.where: contradicts itself")
    assert lines[-1].endswith(": 1 warning; which measures have a source is known after the first run")


def test_a_preset_is_named_by_the_file_it_comes_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bellwether.yaml").write_text(SETTINGS.replace("card.yaml", "mid_market"))
    assert exit_code("check", "--json") == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    warned = [finding for finding in findings if finding["ok"] and finding["remedy"]]
    assert warned[0]["place"].startswith("mid_market (preset):")
    assert warned[0]["remedy"] == "keep the 3 to 8 you would act upon"


def test_a_segment_that_nobody_comes_to_is_told_by_the_line_of_the_settings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segments = "[{use: card.yaml, when: seats > 5}, {use: mid_market, when: seats > 9}, {use: card.yaml}]"
    settings = SETTINGS.replace("card.yaml", segments) + "accounts: {attributes: {seats: seats}}\n"
    (folder / "bellwether.yaml").write_text(settings)
    (folder / "accounts.csv").write_text("id,name,seats\na1,Alder,4\n")
    code, lines = _check(capsys)
    warned = next(line for line in lines if line.startswith("warn bellwether.yaml"))
    assert warned.startswith("warn bellwether.yaml:2 scorecard.1.when: no account comes to this scorecard: ")
    assert (code, sum(line.startswith("ok   scorecard: ") for line in lines)) == (0, 2)  # one of them twice

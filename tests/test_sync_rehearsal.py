"""The sandbox as a stranger meets it: a command that prints settings, and every other command working on them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from tests.command import exit_code

BELLWETHER = Path(sys.executable).parent / "bellwether"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Path]:
    """A running `bellwether sandbox`, and a folder with the settings that it printed."""
    settings = tmp_path / "bellwether.yaml"
    with settings.open("wb") as printed, (tmp_path / "sandbox.log").open("wb") as log:
        words = [
            "sandbox",
            "--accounts",
            "15",
            "--seed",
            "5",
            "--port",
            "0",
            "--speed",
            "60",
            "--start",
            "2026-11-02T06:00",
        ]
        process = subprocess.Popen([BELLWETHER, *words], stdout=printed, stderr=log)
        try:
            for _ in range(400):
                if b"the sandbox is up" in (tmp_path / "sandbox.log").read_bytes():
                    break
                assert process.poll() is None, (tmp_path / "sandbox.log").read_text()
                time.sleep(0.05)
            yield tmp_path
        finally:
            process.terminate()  # Ctrl-C reaches nobody where the tests run in the background
            process.wait(timeout=20)


def test_what_the_sandbox_prints_is_all_a_newcomer_needs(sandbox: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> tuple[int, str]:
        with chdir(sandbox):
            return exit_code(*words), capfd.readouterr().out

    code, said = run("check")
    assert code == 1
    assert "bellwether provision" in said  # the fields are not there yet, and it says what to do
    assert len(json.loads(run("provision", "--json")[1])["changes"]) > 10
    assert run("provision", "--apply")[0] == 0
    code, said = run("check")
    assert code == 0, said
    rehearsed = json.loads(run("run", "--dry-run", "--json")[1])
    assert {d["destination"] for d in rehearsed["differences"]} == {"salesforce", "hubspot"}
    code, said = run("run", "--json")
    assert code == 0, said
    delivered = json.loads(said)["delivered"]
    assert delivered["salesforce"]["written"] == delivered["hubspot"]["written"] > 0
    again = json.loads(run("run", "--json")[1])["delivered"]
    assert [again[name]["written"] for name in ("salesforce", "hubspot")] == [0, 0]


def test_the_demo_does_the_whole_job_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = exit_code("demo", "--accounts", "20", "--days", "2", "--seed", "148")  # there a champion leaves on the way
    done = capfd.readouterr()
    assert code == 0, done.err
    assert "a further run with nothing new made 0 writes" in done.out
    assert "Not linked, busiest first" in done.out
    assert "by scorecard: 8 enterprise, 12 saas" in done.out
    assert "2 simulated days later, 1 accounts are in another tier" in done.out
    assert "\ncap begun  at most yellow: a champion or sponsor has left (since 2026-11-09)" in done.out
    assert "\nreason       At most yellow since 9 Nov: a champion or sponsor has left" in done.out
    assert "\nreason  Set to green by a CSM of the demo until 2026-12-10 (the score says yellow)" in done.out
    assert "Nickelbrook Instruments is still green" in done.out
    secrets = ("sandbox-zendesk", "sandbox-mixpanel", "sandbox-salesforce", "sandbox-hubspot", "Bearer", "Basic ")
    assert not [secret for secret in secrets if secret in done.out + done.err]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "1e9"])
def test_a_sandbox_whose_settings_would_be_refused_is_not_begun(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("sandbox", "--speed", speed) == 2
    assert capsys.readouterr().err == "--speed: write a number above 0, up to 1,000,000\n"

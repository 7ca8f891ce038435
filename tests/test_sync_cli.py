"""The command line: two files and no CRM from start to end, exit codes, and one line for what is wrong."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.state import State
from tests.command import exit_code

SETTINGS = """\
home: customers
accounts: {attributes: {seats: seats}}
sources:
  product: {kind: file, path: events.csv, columns: {account: account, user: user, event: event, at: at}}
destinations:
  customers: {kind: file, accounts: accounts.csv, scores: scores.csv}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    _write_files(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after `bellwether run`, to be copied."""
    folder = tmp_path_factory.mktemp("first")
    _write_files(folder)
    with chdir(folder):
        assert exit_code("run") == 0
    return folder


@pytest.fixture
def ran(folder: Path, first: Path) -> Path:
    shutil.copytree(first, folder, dirs_exist_ok=True)
    return folder


def _write_files(folder: Path) -> None:
    (folder / "bellwether.yaml").write_text(SETTINGS)
    (folder / "accounts.csv").write_text("id,name,domain,seats\na1,Alder,alder.example,4\nb2,Bi\u202erch,,10\n")
    today = datetime.now(UTC).date()
    rows = [
        f"a1,u{user},{name},{today - timedelta(days=day)}T08:00:00Z"
        for day in range(1, 80)
        for user in range(3)
        for name in ("login", "feature.export", "feature.api", "ticket.created")
    ]
    (folder / "events.csv").write_text("\n".join(["account,user,event,at", *rows]) + "\n")


def _call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command in this process: its exit code, standard output and standard error."""
    code = exit_code(*words)
    said = capsys.readouterr()
    return code, said.out, said.err


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code, out, err = _call(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_two_files_become_scores_on_the_screen_and_in_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _call(capsys, "run")
    assert code == 0, err
    assert "customers: 2 written" in out
    code, out, _ = _call(capsys, "scores")
    assert "Alder" in out
    assert "\u202e" not in out  # a name from outside cannot turn the line around
    lines = (folder / "scores.csv").read_text().splitlines()
    assert lines[0].startswith("account,score,tier")
    assert len(lines) == 3


def test_contributions_sum_to_the_score_in_json(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = _json(capsys, "scores")
    assert [document["account"] for document in documents] == ["a1", "b2"]
    for document in documents:
        assert set(document) >= {
            "account",
            "name",
            "scorecard",
            "version",
            "as_of",
            "score",
            "tier",
            "coverage",
            "parts",
        }
        parts = [part["contribution"] for part in document["parts"] if part["contribution"] is not None]
        assert sum(parts) == document["score"]


def test_scores_of_one_account_and_of_a_day_write_nothing(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in ran.rglob("*.parquet")}
    day = (datetime.now(UTC).date() - timedelta(days=20)).isoformat()
    (document,) = _json(capsys, "scores", "--account", "a1", "--as-of", day)
    assert document["as_of"] == day
    assert {path: path.stat().st_mtime_ns for path in ran.rglob("*.parquet")} == before


def test_explain_names_the_parts_the_links_and_the_records(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _json(capsys, "explain", "alder")
    assert document["account"] == "a1"
    assert document["links"] == [{"source": "product", "key": "a1", "how": "crm_id"}]
    assert document["deliveries"][0]["status"] == "confirmed"
    assert document["reason"]
    code, out, _ = _call(capsys, "explain", "a1")
    assert code == 0
    assert "weekly_active" in out


FLAGGED = """\
name: flagged
dimensions: {use: {weight: 1, measures: {logins: 1, tickets: 1}}}
measures:
  logins: {events: login, take: count, window: 7d, points: {0: 90, 1: 100}}
  tickets: {events: ticket.created, take: count, window: 7d, points: {0: 100, 1: 95}}
caps: {busy: {when: tickets >= 1, tier: yellow, reason: they ask every day}}
watch: {silent: {when: logins = 0, reason: nobody signs in}}
"""


def test_explain_begins_with_the_tier_that_a_person_set_and_lists_caps_and_flags_with_their_days(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "card.yaml").write_text(FLAGGED)
    (folder / "bellwether.yaml").write_text(f"{SETTINGS}scorecard: card.yaml\n")
    _call(capsys, "run")
    today = datetime.now(UTC).date()
    _call(
        capsys,
        "judge",
        "override",
        "a1",
        "--tier",
        "red",
        "--by",
        "Ann",
        "--reason",
        "they leave",
        "--until",
        f"{today}",
    )
    _, out, _ = _call(capsys, "explain", "a1")
    said = f"Alder (a1): set to red by Ann until {today}; the score says 97.5 yellow (green by its score alone; 100%"
    assert out.startswith(said)
    began = _json(capsys, "explain", "a1")["caps"]["busy"]
    assert f"\ncap busy since {began}: at most yellow: they ask every day\n" in out
    document = _json(capsys, "explain", "b2")
    (flag,) = document["flags"]
    assert (flag["kind"], flag["name"], flag["says"]) == ("watch", "silent", "nobody signs in")
    assert flag["since"] == (today - timedelta(days=1)).isoformat()
    _, out, _ = _call(capsys, "explain", "b2")
    assert out.splitlines()[0].endswith("95.0 green (100% of the scorecard has data)")
    assert f"watch silent since {flag['since']}: nobody signs in" in out


def test_status_tells_of_passes_sources_and_matching(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _json(capsys, "status")
    assert document["runs"][0]["status"] == "done"
    assert document["deliveries"] == [{"destination": "customers", "status": "confirmed", "code": "", "records": 2}]
    assert document["matching"]["accounts"] == 2
    assert document["failed"] == []


def test_the_printed_sql_is_what_is_run(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _call(capsys, "scores", "--sql")
    assert code == 0
    assert "weekly_active" in out
    assert "scored as" in out


def test_a_dry_run_writes_no_scores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = _json(capsys, "run", "--dry-run")
    assert {d["field"] for d in report["differences"]} >= {"score", "tier", "reason"}
    assert not (folder / "scores.csv").exists()


def test_a_dry_run_says_what_would_be_written_or_that_nothing_would(
    ran: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(capsys, "run", "--dry-run")[1].splitlines()[-1] == "nothing would be written"
    with (ran / "accounts.csv").open("a") as file:
        file.write("c3,Cedar,,1\n")
    assert "Would be written" in _call(capsys, "run", "--dry-run")[1]


def test_the_row_of_a_customer_who_left_the_file_is_emptied(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = [line for line in (ran / "accounts.csv").read_text().splitlines() if not line.startswith("a1")]
    (ran / "accounts.csv").write_text("\n".join(kept) + "\n")
    report = _json(capsys, "run")
    assert report["accounts"]["left"] == 1
    assert report["delivered"]["customers"]["written"] == 1
    rows = (ran / "scores.csv").read_text().splitlines()
    assert rows[1] == "a1,,,,,,,,,"
    assert rows[2].startswith("b2,")
    assert _json(capsys, "run")["delivered"]["customers"]["written"] == 0


def test_only_pull_and_only_score_deliver_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _json(capsys, "run", "--only", "pull")["scored"] == {}
    report = _json(capsys, "run", "--only", "score")
    assert sum(report["scored"].values()) == 2
    assert report["delivered"] == {}
    assert not (folder / "scores.csv").exists()


def test_init_writes_once_and_check_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _call(capsys, "init")[0] == 0
    assert (tmp_path / ".env.example").exists()
    code, _, err = _call(capsys, "init")
    assert (code, "--force writes over it" in err) == (2, True)
    code, _, err = _call(capsys, "check")
    assert code == 2
    assert "needs the environment variable BELLWETHER_SALT" in err


def test_check_says_a_line_for_each_thing_it_looked_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _json(capsys, "check")
    assert document["ok"]
    (folder / "events.csv").unlink()
    code, out, _ = _call(capsys, "check")
    assert code == 1
    assert "FIX  sources.product" in out


def test_a_file_that_went_away_is_one_line_and_exit_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "events.csv").unlink()
    code, out, err = _call(capsys, "run")
    assert code == 1
    assert "events.csv" in err
    assert "Traceback" not in out + err
    assert "customers: 2 written" in out or "unscored" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "--config", "nowhere.yaml"], "nowhere.yaml is not there; `bellwether init` writes"),
        (["scores", "--as-of", "yesterday"], "is not a day; write it as 2026-01-31"),
        (["explain", "nobody"], "no account has the id or name"),
        (["run", "--only", "everything"], "Invalid value"),
        (["fly"], "No such command"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    State(f"sqlite:///{folder}/bellwether-data/state.db").close()
    code, _, err = _call(capsys, *words)
    assert code == 2
    assert complaint in " ".join(err.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        *((words, 2) for words in (["scores"], ["status"], ["explain", "a1"], ["erase", "a1", "--yes"])),
        *((words, 0) for words in (["check"], ["provision"])),
    ],
)
def test_before_the_first_run_a_look_makes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: int
) -> None:
    before = sorted(folder.rglob("*"))
    code, _, err = _call(capsys, *words)
    assert (code, "begin with `bellwether run`" in " ".join(err.split())) == (expected, expected == 2)
    assert sorted(folder.rglob("*")) == before


def test_check_says_before_the_first_run_that_data_and_state_cannot_be_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "taken").write_text("")
    with (folder / "bellwether.yaml").open("a") as file:
        file.write("data: taken/data\nstate: postgresql://nobody:hush@127.0.0.1:9/none\n")
    code, out, _ = _call(capsys, "check")
    assert (code, "hush" in out) == (1, False)
    assert [line for line in out.splitlines() if line.startswith(("FIX  data: ", "FIX  state "))]
    assert sum(line.startswith("FIX") for line in out.splitlines()) == 2


def test_everything_that_is_kept_is_its_owners_only(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = [ran / "scores.csv", *(ran / "bellwether-data").rglob("*"), ran / "bellwether-data"]
    assert {path.stat().st_mode & 0o777 for path in kept if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in kept if path.is_file()} == {0o600}
    (ran / "scores.csv").chmod(0o640)  # somebody else may read these
    with (ran / "accounts.csv").open("a") as file:
        file.write("c3,Cedar,,1\n")
    assert _call(capsys, "run")[0] == 0
    assert (ran / "scores.csv").stat().st_mode & 0o777 == 0o640


def test_another_salt_or_none_is_refused_and_the_old_one_goes_on(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ran / "bellwether-data" / "salt"
    salt, settings = own.read_text(), (ran / "bellwether.yaml").read_text()
    own.unlink()
    code, _, err = _call(capsys, "run")
    assert (code, "salt is not there; give the old one back" in " ".join(err.split())) == (2, True)
    assert not own.exists()
    for given, expected in (("hush-hush", 2), (salt, 0)):
        (ran / "bellwether.yaml").write_text(f"{settings}salt: {given}\n")
        code, _, err = _call(capsys, "run")
        assert (code, given in err) == (expected, False)
        assert ("is not the one this log was begun with" in " ".join(err.split())) == bool(expected)


def test_the_installed_command_takes_its_settings_from_the_environment(folder: Path) -> None:
    command = Path(sys.executable).parent / "bellwether"
    done = subprocess.run(
        [command, "run", "--only", "pull", "--json"],
        cwd="/",
        env={"BELLWETHER_CONFIG": str(folder / "bellwether.yaml"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pulled"]["product"]["written"] > 0


def test_check_finds_a_correction_that_points_to_nobody(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bellwether.yaml").write_text(SETTINGS + "links: {map: {product: {x9: nobody}}}\n")
    _call(capsys, "run")
    code, out, _ = _call(capsys, "check")
    assert code == 1
    assert "links.map: product x9: no account has the id nobody" in out


def test_a_source_whose_every_row_is_refused_has_failed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "events.csv").write_text("account,user,event,at\na1,u1,login,never\na1,u2,login,someday\n")
    code, _, err = _call(capsys, "run")
    assert code == 1
    assert "product: none of 2 rows could be read" in err
    sources = {row["source"]: row for row in _json(capsys, "status")["sources"]}
    assert sources.get("product", {"refused": 2})["refused"] == 2


def test_a_name_serves_as_well_as_an_id_and_a_day_without_a_score_is_said(
    ran: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _json(capsys, "scores", "--account", "alder")[0]["account"] == "a1"
    code, _, err = _call(capsys, "scores", "--as-of", "2999-01-01")
    assert (code, "is still to come" in err) == (2, True)


def test_a_port_that_is_taken_is_one_line_and_exit_code_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (folder / "bellwether.yaml").write_text(SETTINGS + f"daemon: {{port: {taken.getsockname()[1]}}}\n")
        code, _, err = _call(capsys, "daemon")
    assert code == 2
    assert "daemon.port: 127.0.0.1:" in err

"""The commands for backup and restore that the documentation shows are run, and a run goes on from the copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sync.history import History
from tests.command import exit_code

PAGE = (Path(__file__).parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")
SETTINGS = """\
home: customers
data: data
sources:
  product: {kind: file, path: events.csv, columns: {account: account, event: event, at: at}}
destinations:
  customers: {kind: file, accounts: accounts.csv, scores: scores.csv}
"""


def _commands() -> list[list[str]]:
    """The blocks of commands under the heading: copies stopped and running, and their restores."""
    section = PAGE.split("### Backup and restore\n")[1].split("\n### ")[0]
    blocks = re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [[line.removeprefix("$ ") for line in block.splitlines()] for block in blocks]


def _run(commands: list[str], folder: Path) -> None:
    """Run them with the paths of a test, and without what only the service's own machine has."""
    for line in commands:
        parts = [part for part in line.split(" && ") if not part.startswith(("systemctl", "chown"))]
        here = (
            " && ".join(parts).replace("/var/lib/bellwether", f"{folder}/data").replace("/backup", f"{folder}/backup")
        )
        _run_in(here or "true", folder)


def _run_in(command: str, folder: Path) -> None:
    subprocess.run(["/bin/sh", "-c", command], cwd=folder, check=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backup").mkdir()
    (tmp_path / "bellwether.yaml").write_text(SETTINGS)
    (tmp_path / "accounts.csv").write_text("id,name\na1,Alder\nb2,Birch\n")
    _events(tmp_path, days=10)
    return tmp_path


def _events(folder: Path, *, days: int) -> None:
    rows = [f"{account},login,2026-11-{day:02}" for account in ("a1", "b2") for day in range(1, days + 1)]
    (folder / "events.csv").write_text("\n".join(["account,event,at", *rows]) + "\n")
    os.utime(folder / "events.csv", (days, days))


def _bellwether(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = exit_code(*words)
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


@pytest.mark.parametrize(("running", "server"), [(False, False), (True, False), (True, True)])
def test_a_restored_copy_goes_on_where_it_stood(
    folder: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, running: bool, server: bool
) -> None:
    missing = [program for program in ("sqlite3", "pg_dump", "psql") if not shutil.which(program)]
    if missing:
        pytest.skip(f"{missing[0]} is not on this machine")
    stopped, live, from_stopped, from_live = _commands()
    backup, restore = (live, from_live) if running else (stopped, from_stopped)
    database = request.getfixturevalue("postgres_database").replace("+psycopg", "") if server else ""
    if server:
        (folder / "bellwether.yaml").write_text(f"{SETTINGS}state: {database}\n")
        backup = [f'pg_dump "{database}" > /backup/state.sql', *(line for line in backup if "sqlite3" not in line)]
        restore = [line for line in restore if "state.db" not in line]
    _bellwether(capsys, "run")
    days = History(folder / "data" / "history").days()
    _run(backup, folder)
    _events(folder, days=12)
    _bellwether(capsys, "run", "--only", "pull")
    _run(restore, folder)
    assert not [path for path in (folder / "data").rglob("*") if path.stat().st_mode & 0o077]
    if server:
        empty = "drop schema public cascade; create schema public"
        psql = f'psql --quiet --dbname="{database}"'
        _run_in(f"{psql} -c '{empty}' 2>/dev/null && {psql} < backup/state.sql >/dev/null", folder)
    assert History(folder / "data" / "history").days() == days != set()
    assert "4 facts new or changed, 20 unchanged" in _bellwether(capsys, "run", "--only", "pull")

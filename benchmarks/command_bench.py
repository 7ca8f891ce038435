"""How long `bellwether --help` takes, and how much memory a daemon that has nothing to do holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.measure import Row, memory
from connectors.clock import SystemClock
from connectors.sandbox import Sandbox

COMMAND = Path(sys.executable).parent / "bellwether"
HELP, MEMORY = 0.4, 200
TIMES = 5
PATIENCE = 300.0


def rows(folder: Path, *, small: bool) -> list[Row]:
    return [_help(), _daemon(folder, 20 if small else 300)]


def _help() -> Row:
    taken = [_seconds([str(COMMAND), "--help"]) for _ in range(TIMES)]
    bare = min(_seconds([sys.executable, "-c", "import typer"]) for _ in range(TIMES))
    quickest = min(taken)
    return Row(
        "bellwether --help",
        f"{quickest:.2f} s (slowest {max(taken):.2f})",
        f"{bare:.2f} s to import typer",
        f"{quickest / bare:.2f}",
        f"{HELP} s",
        quickest < HELP,
    )


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _daemon(folder: Path, accounts: int) -> Row:
    """A whole first pass over all four vendors is behind it when it is looked at, and no pass is under way."""
    with Sandbox(accounts=accounts, seed=7, clock=SystemClock(), history_days=30) as box:
        port = _settings(folder, box.urls)
        with _running(folder) as process:
            _first_pass(port, process)
            time.sleep(2)
            idle, own = (memory(word, process.pid) for word in ("VmRSS", "RssAnon"))
            bare = _bare()
    return Row(
        f"idle daemon after a first pass over {accounts} accounts",
        f"{idle:.0f} MB ({own:.0f} of its own, {idle - own:.0f} of mapped library files)",
        f"{bare:.0f} MB for the imports of a pass",
        f"{idle / bare:.2f}",
        f"{MEMORY} MB",
        idle < MEMORY,
    )


def _settings(folder: Path, urls: dict[str, str]) -> int:
    from sync.rehearsal import settings_for

    port = 18_790 + os.getpid() % 1000
    text = f"{settings_for(urls)}daemon: {{port: {port}}}\n"
    (folder / "bellwether.yaml").write_text(text, encoding="utf-8")
    subprocess.run([COMMAND, "provision", "--apply"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return port


@contextmanager
def _running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        (folder / "daemon.log").open("wb") as log,
        subprocess.Popen([COMMAND, "daemon"], cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def _first_pass(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError("the daemon made no pass; see daemon.log")


def _bare() -> float:
    words = "import duckdb, deltalake, hubspot.client, simple_salesforce, sqlmodel"
    code = f"{words}; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return int(json.loads(done.stdout)) / 1024

"""Proofs that stand elsewhere, each as a row: benchmarks, tests of the suite, and the soak."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from benchmarks import writers_bench
from tests import edits as given_tiers
from tests.chaos.proof import Asked, Row


def calls(asked: Asked) -> Sequence[Row]:
    """How many calls so many accounts take of which one in a hundred has changed, or none."""
    found = writers_bench.rows(asked.folder, small=not asked.full)
    meant = (writers_bench.TOLD[1], writers_bench.TOLD[2])
    return [
        Row(row.work, row.figure, row.bar, row.holds) for row in found if any(f", {one}:" in row.work for one in meant)
    ]


def edits(asked: Asked) -> Sequence[Row]:
    """Edits planted among everything else that changes values."""
    said: list[str] = []
    accounts, planted = asked.size(10_000, 500), asked.size(200, 20)
    wrong = given_tiers.main(accounts, edits=planted, url=asked.state(), say=lambda line: said.append(str(line)))
    bar = f"{planted} edits, 0 lost, 0 made up"
    return [Row(f"edits among {accounts:,} accounts", " ".join(said), bar, wrong == 0)]


def quota(asked: Asked) -> Sequence[Row]:
    """Four fifths of the day's calls are gone when the run begins."""
    figure, holds = tests("test_sync_budget.py", "four_fifths or a_tenth_of_the_calls", on=asked.state())
    return [Row("80 % of the day's calls gone", figure, "stops inside the share, goes on by urgency", holds)]


def stopped(asked: Asked) -> Sequence[Row]:
    """SIGSTOP in a delivery, another worker takes the lease, SIGCONT."""
    figure, holds = tests("test_sync_fence.py", "stopped_in_a_delivery or in_flight", on=asked.state())
    return [Row("SIGSTOP, another worker, SIGCONT", figure, "a batch in flight at most, not recorded", holds)]


def days(asked: Asked) -> Sequence[Row]:
    """The soak: the daemon lives so many days in a storm beside its twin, and every day is reconciled."""
    accounts, url = asked.size(30, 12), asked.state()
    command = [sys.executable, "-m", "tests.soak", "--days", str(asked.days), "--accounts", str(accounts)]
    command += ["--folder", str(asked.folder), *(["--state", url] if url else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as soak:
        lines = [*map(_passed_on, soak.stdout or ())]
    figure = "; ".join(line for line in lines if line.startswith(("BROKEN", "nothing"))) or "it ended early"
    name = f"{asked.days} days of the daemon, {accounts} accounts"
    return [Row(name, figure, "0 differences on any day, flat", not soak.returncode)]


def _passed_on(line: str) -> str:
    sys.stderr.write(line)
    return line.strip()


def tests(file: str, names: str, *, on: str) -> tuple[str, bool]:
    """What came of the tests of this file whose names say so; whether all passed, and none was left out.

    `on`: the URL of a database of the kind that the tests keep their state in; SQLite if none.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{file}", "-k", names]
    kind = {"STATE_ON": "postgresql" if on else "sqlite"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | kind)
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
    passed = re.search(r"(\d+) passed", last)
    whole = passed is not None and not done.returncode and "skipped" not in last
    return f"{passed[1]} tests passed" if passed and whole else last.strip("= "), whole

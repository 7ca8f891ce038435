"""Run the benchmarks and print one table: `python -m benchmarks [--size small] [--only scoring,mixpanel]`.

The size `million` is of scoring alone, and takes 15 GB of disk.

Ratios within one run on one machine are what counts. The small size shows in a minute that everything runs; what costs
the same at every size weighs too much in it for its ratios to mean anything.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row

GROUPS = ("scoring", "mixpanel", "zendesk", "writers", "growth", "command")
HEAD = ("work", "figure", "yardstick", "ratio", "bar", "holds")


def main() -> int:
    asked = _arguments()
    print(f"{_machine()}; size {asked.size}", file=sys.stderr)
    print(_line(HEAD), _line(["---"] * len(HEAD)), sep="\n")
    missed = 0
    for group in ["scoring"] if asked.size == "million" else asked.only.split(","):
        bench = importlib.import_module(f"benchmarks.{group}_bench")
        with tempfile.TemporaryDirectory(prefix="bellwether-bench-") as folder:
            rows: list[Row] = (
                bench.million(Path(folder))
                if asked.size == "million"
                else bench.rows(Path(folder), small=asked.size == "small")
            )
        for row in rows:
            print(_line([*row[:-1], "yes" if row.holds else "no"]), flush=True)
        missed += sum(not row.holds for row in rows)
    return 1 if missed and asked.size != "small" else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=("full", "small", "million"), default="full")
    parser.add_argument("--only", default=",".join(GROUPS), help="some of: %(default)s")
    return parser.parse_args()


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {system}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())

"""Put the promises of delivery to the test, and print one row a proof: what was seen, the bar, and whether it holds.

Exit code 1 when one does not. The small size shows in a few minutes that everything runs; the bars are for the full.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import structlog

from tests import postgres
from tests.chaos import kills, others, stops, storm
from tests.chaos.proof import Asked, Proof, Row

PROOFS: Mapping[str, Proof] = {
    "kills": kills.proof,
    "storm": storm.proof,
    "calls": others.calls,
    "edits": others.edits,
    "quota": others.quota,
    "stopped": others.stopped,
    "stops": stops.proof,
    "days": others.days,
}
HEAD = ("proof", "seen", "bar", "holds")


def main() -> int:
    asked = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    names = asked.only.split(",") + ["days"] * (asked.days > 0)
    print(_line(HEAD), _line(["---"] * len(HEAD)), sep="\n", flush=True)
    held = True
    with _states(asked.state) as state:
        for name in dict.fromkeys(names):
            for row in _proved(PROOFS[name], asked, state):
                print(_line([*row[:-1], "yes" if row.holds else "no"]), flush=True)
                held = held and row.holds
    return 0 if held else 1


def _proved(proof: Proof, asked: argparse.Namespace, state: Callable[[], str]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bellwether-chaos-", dir=asked.folder) as folder:
        yield from proof(Asked(Path(folder), asked.size == "full", asked.seed, asked.days, state))


@contextmanager
def _states(kind: str) -> Iterator[Callable[[], str]]:
    """What makes an empty database and gives its URL; for SQLite none is needed."""
    if kind == "sqlite":
        yield lambda: ""
        return
    with tempfile.TemporaryDirectory() as folder, postgres.serving(lambda: Path(folder)) as url:
        yield partial(postgres.made, url)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    usual = [name for name in PROOFS if name != "days"]
    parser.add_argument("--only", default=",".join(usual), help="some of: %(default)s")
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--state", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--days", type=int, default=0, help="let the daemon live so many days, too")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", help="where to work; a temporary folder otherwise")
    return parser.parse_args()


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())

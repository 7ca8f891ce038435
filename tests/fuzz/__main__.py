"""Feed every target its share of the inputs and print what became of them; 1 when anything was found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

import structlog

from tests.fuzz import TARGETS, Target


class Row:
    """What became of the inputs of one target so far."""

    def __init__(self) -> None:
        self.inputs = self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.found: Counter[str] = Counter()


def feed(target: Target, row: Row, inputs: int, random: Random, folder: Path) -> None:
    """Make inputs until there are enough; whatever is raised is a finding, told by where it was raised."""
    while row.inputs < inputs:
        try:
            tally = target.make(random, folder)
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is what is looked for
            last = traceback.extract_tb(error.__traceback__)[-1]
            row.found[f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:200]!r}"] += 1
            row.inputs += 1
            continue
        row.inputs += tally.inputs
        row.accepted += tally.accepted
        row.refused += tally.refused


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("--inputs", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", default="", help="only targets whose name has this in it")
    asked = options.parse_args()
    structlog.configure(processors=[_drop])
    chosen = [target for target in TARGETS if asked.only in target.name]
    share = asked.inputs / sum(target.share for target in chosen)
    found, fed, started = 0, 0, time.process_time()
    say(f"{'target':<22}{'inputs':>10}{'accepted':>10}{'a second':>10}  refused by")
    for target in chosen:
        row, begun = Row(), time.process_time()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            feed(target, row, round(share * target.share), Random(f"{asked.seed} {target.name}"), Path(folder))
        speed = row.inputs / max(0.001, time.process_time() - begun)
        refused = ", ".join(f"{count:,} {why}" for why, count in row.refused.most_common() if count)
        say(f"{target.name:<22}{row.inputs:>10,}{row.accepted:>10,}{speed:>10,.0f}  {refused}")
        for what, times in row.found.most_common():
            say(f"    FOUND {times:,} times: {what}")
        found, fed = found + sum(row.found.values()), fed + row.inputs
    say(f"{'all':<22}{fed:>10,}{'':>10}{fed / (time.process_time() - started):>10,.0f}  {found:,} findings")
    return 1 if found else 0


def _drop(*_: object) -> structlog.typing.EventDict:
    raise structlog.DropEvent


if __name__ == "__main__":
    sys.exit(main())

"""Let the daemon live some days beside its undisturbed twin, and say whether anything was lost, repeated or grew.

Prints a row a day and a verdict; exit code 1 when an invariant is broken. Time runs fast while there is work, and leaps
over the hours in which there is none.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import structlog

from connectors.clock import SteppedClock
from tests.soak import audit, machine
from tests.soak.accidents import ACCIDENTS
from tests.soak.audit import Sight
from tests.soak.company import START, Company
from tests.soak.process import Life, leaping, made
from tests.soak.twin import lived

KINDS = "refused broken closed reset silent given_up cut lost expired locked partial aborted terminated daily".split()
HEAD = (
    "day",
    "portions",
    "facts",
    "rows written",
    "of these again after a lost answer",
    "repeated",
    "other than the twin",
    "waiting",
    "other than confirmed",
    "log files",
    "log MB",
    "state rows",
    "runs",
    "daemon MB",
    "passes MB",
)
TOLD = 3000  # characters of a traceback
GROWTH = 1.0  # MB a day that the daemon may grow by
BULK_ABOVE = 5  # records, so that a day's writes are by bulk job now and then
DISK = 256  # MB of the disk that the data lies on


class Day(NamedTuple):
    """The end of a day: what is to be seen of the daemon and its twin, how far they are apart, memory in MB, and values
    in the CRMs that are other than confirmed.
    """

    number: int
    portions: int
    sight: Sight
    twin: Sight
    others: int
    memory: float
    peak: float
    differing: int


def main() -> int:
    asked = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="bellwether-soak-") as folder:
        found, total = _soaked(Path(asked.folder or folder), asked)
    print("\n".join(f"BROKEN: {one}" for one in found) or f"nothing lost, nothing repeated, nothing grew: {total}")
    return 1 if found else 0


def _soaked(folder: Path, asked: argparse.Namespace) -> tuple[list[str], str]:
    """What is broken after so many days, and their sum."""
    of_both = {"accounts": asked.accounts, "seed": asked.seed, "bulk_above": BULK_ABOVE}
    clock, line = leaping(folder, asked.speed)
    line += f"state: {asked.state}\n" if asked.state else ""
    silence = asked.patience + 0.5
    stepped = SteppedClock(START)
    with (
        machine.disk(folder / "daemon" / "bellwether-data", DISK) as disk,
        Company(folder / "daemon", clock=clock, faults=asked.faults, silence=silence, more=line, **of_both) as company,
        Company(folder / "twin", clock=stepped, faults="none", **of_both) as other,
    ):
        made(company, clock)
        troubled, accidents = START + timedelta(days=asked.days / 3), _accidents(disk=disk)
        life = Life(company, clock, troubled=troubled, patience=asked.patience, accidents=accidents)
        try:
            days = list(_days(life, other, stepped, START + timedelta(days=asked.days, hours=-3)))
        finally:
            code = life.daemon.stop()
        found = [*_broken(days, company.box.faults, asked.faults), *_untrue(company, life)]
        found += [f"an accident never occurred: {name}" for name, times in life.happened.items() if not times]
        print(f"daemon and passes ended: {_counted(life.kills)}\naccidents: {_counted(life.happened)}")
        print(f"faults: {_counted(company.box.faults)}")
    found += [f"the daemon ended with code {code}"] if code else []
    return found, _sum(days, life)


def _sum(days: Sequence[Day], life: Life) -> str:
    first, last = days[0], days[-1]
    after = [day.peak for day in days[1:]] or [first.peak]
    words = [
        f"{len(days)} days reconciled",
        f"{sum(life.kills.values())} kills and stops, {sum(life.happened.values())} accidents",
        f"daemon {first.memory:.0f} MB on the first day and {last.memory:.0f} on the last",
        f"passes {min(after):.0f} to {max(after):.0f} MB",
        f"log {first.sight.files} and {last.sight.files} files, {first.sight.size / 1e6:.1f} and "
        f"{last.sight.size / 1e6:.1f} MB",
    ]
    return "; ".join(words)


def _accidents(*, disk: bool) -> list[str]:
    """Those that can happen here: to fill up a disk it has to be one of our own."""
    return [name for name in ACCIDENTS if disk or name != "disk full"]


def _days(life: Life, other: Company, clock: SteppedClock, until: datetime) -> Iterator[Day]:
    """Live day by day; the twin goes through the same portions when the day is over."""
    print(_row(HEAD), _row(["---"] * len(HEAD)), sep="\n", flush=True)
    today: list[tuple[datetime, Sight]] = []
    portions: deque[datetime] = deque()
    twin = lived(other, clock, _taken(portions))
    for moment, ends, worker in life.portions(until):
        with life.clock.standing():
            today.append((moment, audit.look(life.company, worker)))
        if ends:
            memory, peak = life.daemon.memory(), life.daemon.peak()
            differing = len(audit.differing(life.company, worker))
            portions.extend(begun for begun, _ in today)
            with life.clock.standing():
                sights = [audit.look(other, next(twin)) for _ in today]
            others = sum(_others(sight, beside, begun) for (begun, sight), beside in zip(today, sights, strict=True))
            day = Day((moment - START).days + 1, len(today), today[-1][1], sights[-1], others, memory, peak, differing)
            print(_row(_cells(day)), flush=True)
            today = []
            yield day


def _taken(portions: deque[datetime]) -> Iterator[datetime]:
    while portions:
        yield portions.popleft()


def _others(sight: Sight, twin: Sight, moment: datetime) -> int:
    """Records, stories of records and sources that are not the twin's."""
    parts = {
        "fields": audit.differences(sight.fields, twin.fields),
        "writes": audit.differences(sight.written.states, twin.written.states),
    }
    facts = [
        source for source in sight.facts.keys() | twin.facts.keys() if sight.facts.get(source) != twin.facts.get(source)
    ]
    if any(parts.values()) or facts:
        print(f"told at {moment}: {parts}, facts of {facts}", file=sys.stderr, flush=True)
    return sum(sum(part.values()) for part in parts.values()) + len(facts)


def _cells(day: Day) -> list[str]:
    sight = day.sight
    told = sight.written
    facts, rows = sum(part[0] for part in sight.facts.values()), sum(sight.rows.values())
    counts = (day.portions, facts, told.rows, told.again, len(told.repeated), day.others, sight.waiting, day.differing)
    sizes = (f"{sight.files} ({sight.tail} of the tail)", f"{sight.size / 1e6:.1f}", f"{rows:,}", f"{sight.runs:,}")
    return [str(day.number), *(f"{count:,}" for count in counts), *sizes, f"{day.memory:.1f}", f"{day.peak:.0f}"]


def _broken(days: Sequence[Day], faults: Mapping[str, int], profile: str) -> Iterator[str]:
    last, twin = days[-1].sight, days[-1].twin
    if any(day.others for day in days):
        yield "records or facts are other than the twin's"
    if last.written.repeated:
        yield f"{len(last.written.repeated)} rows were written twice without need, first {last.written.repeated[0]}"
    if any(rows != ids for rows, ids, _ in last.facts.values()):
        yield "facts stand twice in the log"
    if last.waiting:
        yield f"{last.waiting} rows still wait to be written"
    if any(day.differing for day in days):
        yield "values are other than confirmed"
    if last.rows != twin.rows:
        yield f"state has rows {last.rows}, the twin's {twin.rows}"
    if last.files > 2 * twin.files or last.tail > 2 * twin.tail + 10:
        yield f"the log has {last.files} files, the twin's {twin.files}"
    quiet = [day.memory for day in days[len(days) // 3 :]]
    if len(quiet) > 1 and (growth := (quiet[-1] - quiet[0]) / (len(quiet) - 1)) > GROWTH:
        yield f"the daemon grew by {growth:.1f} MB a day"
    if profile == "storm" and (missing := [kind for kind in KINDS if not faults.get(kind)]):
        yield f"these faults never occurred: {', '.join(missing)}"


def _untrue(company: Company, life: Life) -> Iterator[str]:
    known, truth = life.known(), audit.truth(company)
    print(f"\nin the log {_counted(known)}; in the world {_counted(truth)}")
    if known != truth:
        yield "the log does not hold what happened"
    _, shown, trace = life.log.read_text(encoding="utf-8", errors="replace").partition("Traceback")
    if shown:
        yield f"the daemon showed a traceback, which ends here: {trace[:TOLD]}"


def _counted(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{count:,.0f} {what}" for what, count in sorted(counts.items()))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--accounts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--faults", choices=("none", "mild", "storm"), default="storm")
    parser.add_argument("--speed", type=float, default=150.0, help="how many times as fast time runs (%(default)s)")
    parser.add_argument("--patience", type=float, default=1.5, help="seconds a read waits (%(default)s)")
    parser.add_argument("--state", help="the URL of an empty database; SQLite otherwise")
    parser.add_argument("--folder", help="an empty folder to work in, which is kept; a temporary one otherwise")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

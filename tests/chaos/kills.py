"""kill -9 at random moments, again and again; a worker that is let be has to mend it all.

Half of the workers are `bellwether run`, half are the process of a daemon's pass. A third is killed at any moment of
the time that such a pass takes, a third at a random call of it to any vendor, a third at a call that writes: as it
arrives, or when it is carried out and not yet answered.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from tests.chaos import forks, news
from tests.chaos.beside import Beside
from tests.chaos.calls import MOMENTS, Aim, anything, writes
from tests.chaos.forks import Job
from tests.chaos.proof import Asked, Row

KINDS = ("moment", "call", "write")
EACH = 4  # kills in a portion
CREATES = 4  # kills while our fields are made


def proof(asked: Asked) -> Sequence[Row]:
    """The row of so many kills, and that of those with news before anything is recovered."""
    kills, accounts, began = asked.size(200, 12), asked.size(30, 8), time.monotonic()
    with Beside(asked, accounts) as beside:
        counts = killed(beside, kills, Random(asked.seed), creates=CREATES)
        portions, broken = len(beside.one.moments), beside.broken
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    size = f"{counts.total()} kills ({told}), {portions} portions of {accounts} accounts"
    result = "; ".join(broken) or "all confirmed as at the twin, none lost, none made twice, log and state intact"
    figure = f"{size}, {time.monotonic() - began:.0f} s: {result}"
    row = Row("kill -9", figure, f"{kills} kills, 0 lost", not broken)
    return [row, *news.proof(asked._replace(folder=asked.folder / "news"))]


def killed(beside: Beside, kills: int, random: Random, *, creates: int) -> Counter[str]:
    """Kill that many workers, and so many that make our fields; how many of which kind."""
    counts = Counter[str]()
    _provisioned(beside, counts, random, creates)
    for number in range(10 * kills):  # some end before they are killed
        beside.one.begin()
        _portion(beside, counts, random, kills + creates, first=number)
        beside.compare()
        if counts.total() >= kills + creates or beside.broken:
            break
    beside.broken += _repeated(beside)
    return counts


def _provisioned(beside: Beside, counts: Counter[str], random: Random, creates: int) -> None:
    """Our fields are made by commands that are killed at it."""
    while counts["provision call"] < creates:
        _kill(beside, counts, random, forks.provision, "call")
    beside.recover(forks.provision)


def _portion(beside: Beside, counts: Counter[str], random: Random, most: int, *, first: int) -> None:
    for number in range(EACH):
        if counts.total() < most:
            job = forks.run if number % 2 else forks.daemon_pass
            _kill(beside, counts, random, job, KINDS[(number + first) % len(KINDS)])
    beside.recover(forks.run)


def _kill(beside: Beside, counts: Counter[str], random: Random, job: Job, kind: str) -> None:
    """Begin a worker and kill it, unless it ends before that."""
    process = forks.worker(job, beside.one.path)
    moment, share = random.choice(MOMENTS), random.random()
    if kind == "call":
        beside.calls.aim = Aim(process.kill, anything, 1 + int(share * beside.makes), moment)
    elif kind == "write":
        beside.calls.aim = Aim(process.kill, writes, 1 + int(share * 3), moment)
    process.start()
    if kind == "moment":
        process.join(share * beside.lasts)
        process.kill()
    counts[f"{job.__name__} {kind}"] += beside.struck(process) == -signal.SIGKILL


def _repeated(beside: Beside) -> Iterator[str]:
    """Fields, groups and permissions are made as often as at the twin: once."""
    for vendor, calls in beside.other.box.calls.items():
        ours = beside.company.box.calls[vendor]
        for what, count in calls.items():
            if what.startswith("create_") and what != "create_job" and ours.get(what) != count:
                yield f"{vendor} was asked {ours.get(what)} times to {what}, by the twin {count} times"

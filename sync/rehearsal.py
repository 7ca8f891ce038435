"""The sandbox and the demo: the whole job on a simulated company, on this machine alone."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import config as words
from connectors.clock import FastClock, SteppedClock
from connectors.sandbox import Sandbox
from sync import closeup
from sync.console import Bars, log_in_words, say, table
from sync.errors import UsageError
from sync.loading import load
from sync.matching import match_report
from sync.report import Moved, Report
from sync.rows import HEALTHIER, Total
from sync.run import run_once
from sync.settings import FASTEST, moment
from sync.show import show_matching, show_moves, show_report
from sync.worker import Worker, opened

START = datetime(2026, 11, 8, 6, tzinfo=UTC)  # fixed, so that the demo tells everybody the same story
HISTORY = 120  # days of the simulated company's past
MORNING = timedelta(hours=6)


def sandbox(*, accounts: int, seed: int, faults: str, port: int, speed: float, start: str | None) -> None:
    """Serve the four stand-ins until Ctrl-C, and print the settings that fit them."""
    if not 0 < speed <= FASTEST:
        raise UsageError(f"--speed: write a number above 0, up to {FASTEST:,}")
    begin, epoch = _moment(start), time.time()
    ports = (port, port + 1, port + 2, port + 3) if port else None
    clock = FastClock(begin, speed, epoch)
    try:
        box = Sandbox(accounts=accounts, seed=seed, faults=faults, clock=clock, history_days=HISTORY, ports=ports)
    except (OSError, ValueError) as error:
        raise UsageError(f"the sandbox cannot start: {error}") from None
    with box:
        clock_lines = (
            f"clock: {{start: {begin.isoformat()}, speed: {speed:g}, epoch: {epoch!r}}}\n"
            if speed != 1 or start
            else ""
        )
        sys.stdout.write(settings_for(box.urls) + clock_lines)
        sys.stdout.flush()
        sys.stderr.write("the sandbox is up; save the lines above as bellwether.yaml; Ctrl-C ends it\n")
        threading.Event().wait()


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        return moment(text, ZoneInfo("UTC"))
    except ValueError:
        raise UsageError("--start: write a day or a moment, like 2026-01-31 or 2026-01-31T06:00") from None


def settings_for(urls: Mapping[str, str]) -> str:
    """The settings that fit a sandbox. Its credentials are fixed and open nothing else."""
    text = words.template("sandbox.yaml")
    for vendor, url in urls.items():
        text = text.replace(f"<{vendor}>", url)
    return text


def demo(*, accounts: int, seed: int, days: int) -> int:
    """Do the whole job on the simulated company, live some days, and show that a further run writes nothing."""
    log_in_words()
    clock = SteppedClock(START)
    with (
        tempfile.TemporaryDirectory(prefix="bellwether-demo-") as folder,
        Sandbox(accounts=accounts, seed=seed, clock=clock, history_days=HISTORY) as box,
    ):
        path = Path(folder) / "bellwether.yaml"
        path.write_text(settings_for(box.urls), encoding="utf-8")
        with opened(load(path), clock=clock) as worker:
            say(f"A simulated company with {len(box.world.companies):,} CRM records, {HISTORY} days old.", "bold")
            reports, before = [_begin(worker)], worker.state.totals.all()
            reports += _live(worker, clock, days)
            moved = _moved(before, reports)
            say(f"{days} simulated days later, {len(moved)} accounts are in another tier:", "bold")
            one = closeup.capped(moved, after := worker.state.totals.all())
            if one:
                show_moves(moved)
                closeup.account_for(worker, closeup.fallen(moved, before, after), START.date())
                reports.append(closeup.overrule(worker, one))
            _show_calls(box)
            return _finish(worker, reports, one)


def _begin(worker: Worker) -> Report:
    """The fields and the first pass. Bars and results take turns on the terminal."""
    with Bars() as bars:
        made = _provision(worker, bars)
    say(f"provisioned: {', '.join(f'{count} changes in {name}' for name, count in made.items())}")
    with Bars() as bars:
        report = run_once(worker, progress=bars)
    show_report(report)
    rules = [f"{part.card.name} where {part.when or 'none of these holds'}" for part in worker.settings.segments]
    say(f"scorecards: {', '.join(rules)}")
    show_matching(match_report(worker))
    return report


def _live(worker: Worker, clock: SteppedClock, days: int) -> list[Report]:
    reports = []
    with Bars() as bars:
        bars.start("days", days)
        for _ in range(days):
            clock.advance_to(_next_morning(clock.now()))
            reports.append(run_once(worker, due_only=True))
            bars.advance("days")
        bars.finish("days")
    return reports


def _finish(worker: Worker, reports: Sequence[Report], one: Moved | None) -> int:
    with Bars() as bars:
        again = run_once(worker, progress=bars)
    writes = sum(part["written"] for part in again.delivered.values())
    stands = one is None or closeup.kept(worker, one)
    say(f"a further run with nothing new made {writes} writes", "bold")
    problems = [problem for report in (*reports, again) for problem in report.problems]
    for problem in problems:
        say(str(problem), "red")
    return 1 if problems or writes or not stands else 0


def _moved(before: Mapping[str, Total], reports: Sequence[Report]) -> list[Moved]:
    """Each account's tier at the beginning and now, where they differ, with the reason of its last move."""
    last = {move.account: move for report in reports for move in report.moved}
    ends = [replace(move, before=before[move.account].tier) for move in last.values() if move.account in before]
    order = (*HEALTHIER, "unscored")
    return sorted(
        (move for move in ends if move.before != move.after), key=lambda move: (order.index(move.after), move.name)
    )


def _provision(worker: Worker, bars: Bars) -> dict[str, int]:
    made = {}
    for name, destination in worker.destinations.items():
        plan = [change.apply for change in destination.plan() if change.apply]
        bars.start(f"fields {name}", len(plan))
        for apply in plan:
            apply()
            bars.advance(f"fields {name}")
        bars.finish(f"fields {name}")
        made[name] = len(plan)
    return made


def _next_morning(now: datetime) -> datetime:
    morning = now.replace(hour=0, minute=0, second=0, microsecond=0) + MORNING
    return morning if morning > now else morning + timedelta(days=1)


def _show_calls(box: Sandbox) -> None:
    rows = [
        [vendor, sum(calls.values()), ", ".join(f"{n:,} {label}" for label, n in sorted(calls.items()))]
        for vendor, calls in box.calls.items()
    ]
    table("API calls made", ("vendor", "calls", "of which"), rows, numbers=(1,))

"""One pass: accounts, pull, score, settle the log, deliver. Any step may fail alone; the report says which.

A pass is a function of the worker and of what is due at this moment. It holds the lease while it works, so that a
daemon and a person at a terminal never write at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from typing import Literal

import duckdb
import structlog

from connectors.base import Source
from connectors.errors import ConnectorError, Stopped, WaitUntil
from sync import clocks, pulses, spare
from sync.accounts import read_companies, read_home
from sync.budget import Budget
from sync.database import identity
from sync.deliveries import Delivered, Round
from sync.dispatch import Dispatch, chosen_accounts
from sync.drift import problems
from sync.edits import Edits
from sync.errors import LeaseLost, NotKept, StateError, StateLost
from sync.evaluate import Evaluation, evaluated, unrecorded
from sync.judgements import expired
from sync.lease import leased
from sync.progress import Progress, Quiet
from sync.pull import Pulled, pull
from sync.report import Expired, Problem, Report
from sync.scorecards import keep as keep_scorecard
from sync.scores import last_day
from sync.worker import Worker

Step = Literal["pull", "score"]

DISK = re.compile("No space left on device|Disk quota exceeded|Permission denied|Read-only file system")
LOG = "log"  # under which state keeps what tells the log from another
PASSES_BACK = 50  # looked through for one that was whole
KEPT = timedelta(days=90)  # runs in state
LONGEST_REST = timedelta(days=1)  # for want of calls; a longer one was found by a clock that was ahead
log = structlog.get_logger("bellwether.run")


@dataclass
class Pass:
    """What one pass was asked for, and the lease it works under."""

    worker: Worker
    now: datetime
    report: Report = field(default_factory=Report)
    progress: Progress = field(default_factory=Quiet)
    only: Step | None = None
    dry_run: bool = False
    due_only: bool = False
    budget: timedelta | None = None
    found: Evaluation | None = None
    budgets: dict[str, Budget] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = identity(self.worker.settings.data)

    @property
    def today(self) -> date:
        return self.worker.settings.day(self.now)

    @cached_property
    def edits(self) -> Edits:
        return Edits(self.worker, now=self.now, today=self.today)


def run_once(
    worker: Worker,
    *,
    only: Step | None = None,
    dry_run: bool = False,
    due_only: bool = False,
    budget: timedelta | None = None,
    progress: Progress | None = None,
) -> Report:
    """Do one pass now. Raises `Busy` when another worker holds the lease; other failures are in the report.

    `due_only`: leave out what was read less than its interval ago, as the daemon does. `budget`: how long pulling may
    take before the pass goes on with what there is. `dry_run`: pull and score, but write to no destination and keep
    neither history nor totals.
    """
    now = worker.clock.now()
    refused = [Problem("scorecard", why) for why in worker.settings.refused]
    report = Report(whole=not dry_run and only is None, problems=refused)
    this = Pass(worker, now, report, progress or Quiet(), only, dry_run, due_only, budget)
    before = {name: dict(part.calls) for name, part in worker.destinations.items()}
    with leased(worker.state) as beat:
        if words := clocks.look(worker, now, due_only=due_only):
            _tell(this, "clock", words)
        spare.recall(worker)
        if worker.state.deliveries.recall_doubts():
            worker.stood_on.clear()
        with _kept(this):
            with suppress(Stopped, NotKept):
                _steps(this, beat)
            if worker.stop.is_set():
                this.report.problems.append(Problem("run", "asked to stop; the rest is left to the next pass"))
            spare.keep(worker)
            this.report.calls = _calls(worker, before)
    return this.report


@contextmanager
def _kept(this: Pass) -> Iterator[None]:
    """The pass as a run in state, with its report however it ends."""
    runs, clock = this.worker.state.runs, this.worker.clock
    run = runs.start("pass", this.now)
    try:
        yield
    except BaseException as error:
        this.report.problems.append(Problem("run", f"ended early: {type(error).__name__}"))
        with suppress(LeaseLost):  # then it is not ours to say how the run ended
            runs.finish(run, "failed", this.report.kept(), clock.now())
        raise
    runs.finish(run, this.report.status, this.report.kept(), clock.now())


def _tell(this: Pass, place: str, message: str) -> None:
    this.report.problems.append(Problem(place, message))
    log.warning("step failed", place=place, error=message)


def _steps(this: Pass, beat: Callable[[], None]) -> None:
    _try(this, "log", partial(_know_log, this.worker))
    _try(this, "judgements", partial(_judgements, this))
    if this.only in (None, "pull"):
        _directories(this)
        _pull_all(this, beat)
    if this.worker.stop.is_set() or this.only == "pull":
        return
    ground = _ground(this)
    if this.due_only and ground == this.worker.stood_on:
        log.info("nothing new")
        for name in this.worker.destinations:
            _try(this, name, partial(_rested, this, name, name))
        return
    well = len(this.report.problems)
    if not this.dry_run:
        _try(this, "log", partial(_settle, this))
    with ExitStack() as open_:
        _try(this, "scoring", partial(_score, this, open_))
        beat()
        found = this.found
        if this.only is None and found is not None and not this.worker.stop.is_set():
            chosen = chosen_accounts(this.worker, found.decisions)
            for name in this.worker.destinations:
                _try(this, name, partial(_deliver, this, name, found, chosen))
    if this.only is None and not this.dry_run:
        this.worker.stood_on.clear()
        # what rests has nothing to be done for it before calls come back, and then the ground is another one
        if all(_rests(this, one.place) for one in this.report.problems[well:]) and not this.worker.stop.is_set():
            # people judge while a pass is made; what it may not have seen is new to the next
            this.worker.stood_on.update({**_ground(this), "judged": ground["judged"]})


def _know_log(worker: Worker) -> None:
    """What a log that was lost had been told has to be told again to the one in its place."""
    log, known = worker.log.begin(), worker.state.meta(LOG)
    if known not in (None, log):
        worker.state.readings.forget_cursors(tuple(worker.sources))
    if known != log:
        worker.state.set_meta(LOG, log)


def _judgements(this: Pass) -> None:
    """Pulses go into the log; overrides whose last day is over since the last whole pass are told."""
    pulses.tell_log(this.worker)
    passes = this.worker.state.runs.last(PASSES_BACK, kind="pass")
    whole = (run for run in passes if run.status in ("done", "partial") and run.report.get("whole", True))
    last = next(whole, None)
    if last is None:
        return
    since = this.worker.settings.day(last.started_at)
    rows = this.worker.state.judgements.all(kinds=["override"], lasting=since)
    ended = expired(rows, since=since, today=this.today)
    names = this.worker.state.accounts.names({one.account for one in ended})
    this.report.expired = [Expired(o.account, names[o.account], o.tier, o.author, f"{o.until}") for o in ended]


def _ground(this: Pass) -> dict[str, object]:
    """All that scores and deliveries can depend on: day, scorecard, facts, how far they go, judgements, accounts, keys,
    and who has no calls left.

    Of refused rows, the one that became due last: one that nobody asks for any more stays due for ever.
    """
    worker, zone = this.worker, this.worker.settings.timezone
    directories = [worker.state.runs.last_finished(f"accounts:{name}") for name in worker.destinations]
    return {
        "today": this.today,
        "scorecards": [(score, used.card.version, used.when) for score, used in worker.settings.used()],
        "log": worker.log.version(),
        "judged": worker.state.judgements.latest(),
        "read": [(r.source, r.since, r.through and last_day(r.through, zone), r.names) for r in worker.readings()],
        "directories": [run.id if run else None for run in directories],
        "due": worker.state.deliveries.last_due(this.now),
        "resting": [name for name in worker.destinations if _rests(this, name)],
    }


def _try(this: Pass, place: str, step: Callable[[], object]) -> None:
    """Run one step; whatever goes wrong ends that step only, and is told.

    Raises `NotKept` where the data folder cannot be written: going on, we would tell records what we could not keep.
    """
    try:
        step()
        _see_folder(this)
    except (Stopped, LeaseLost, StateLost, NotKept):
        raise
    except (ConnectorError, StateError) as error:
        _tell(this, place, str(error))
    except Exception as error:  # a fault in one vendor's data must not cost the others their pass
        _see_folder(this)
        trouble = DISK.search(str(error))
        if trouble:
            words = f"the data folder cannot be written ({trouble[0]}); make room on its disk, or give access to it"
            _tell(this, place, words)
            raise NotKept(words) from None
        this.report.problems.append(Problem(place, f"unexpected: {type(error).__name__}; the log has the details"))
        log.exception("step failed unexpectedly", place=place)


def _see_folder(this: Pass) -> None:
    """What is written into a folder that was taken away is kept by nobody. Raises `StateLost`."""
    if identity(this.worker.settings.data) != this.folder:
        words = "was taken away during this work; put a copy back, or run again to begin a new one"
        raise StateLost(f"the data folder {this.worker.settings.data} {words}")


def _directories(this: Pass) -> None:
    """The home's customers, and the companies of every other destination; each is due by itself.

    What people changed on them is taken in once all were read: of two CRMs the newest word counts.
    """
    worker, every = this.worker, this.worker.settings.accounts.every
    for name in worker.destinations:
        if _due(this, f"accounts:{name}", every):
            _try(this, name, partial(_directory, this, name))
            _try(this, name, partial(this.edits.look, name))
    _try(this, "edits", this.edits.take)
    for name, told in this.edits.told.items():
        this.report.delivered[name] = asdict(Delivered(edits=told))


def _directory(this: Pass, name: str) -> None:
    with _sparing(this, name, f"accounts:{name}") as budget:
        counts = budget.listed(lambda: _listed(this, name))
    if _is_home(this, name):
        this.report.accounts = counts
    left_out = this.worker.destinations[name].left_out
    if left_out:
        _tell(this, f"destinations.{name}", left_out)


def _listed(this: Pass, name: str) -> dict[str, int]:
    run = this.worker.state.runs.start(f"accounts:{name}", this.now)
    counts: dict[str, int] = {}
    this.progress.start(f"accounts {name}")
    try:
        counts = (
            read_home(this.worker, now=this.now, seen_by=this.edits.seen)
            if _is_home(this, name)
            else _companies(this, name)
        )
    finally:
        this.worker.state.runs.finish(run, "done" if counts else "failed", counts, this.now)
        this.progress.advance(f"accounts {name}", counts.get("read", 0))
        this.progress.finish(f"accounts {name}")
    return counts


@contextmanager
def _sparing(this: Pass, name: str, step: str) -> Iterator[Budget]:
    """Around all calls that a step makes to a destination. A daemon leaves it alone until calls come back."""
    _rested(this, name, step)
    if name not in this.budgets:
        share = this.worker.settings.share(name)
        this.budgets[name] = Budget(this.worker.state, this.worker.destinations[name], share, this.now)
    budget = this.budgets[name]
    try:
        yield budget
    except WaitUntil as error:
        if error.quota:
            this.worker.resting[step] = this.now + timedelta(seconds=error.seconds or budget.rest)
        raise
    finally:
        budget.note(all=True)
        this.report.budget[name] = budget.told()


def _rested(this: Pass, name: str, step: str) -> None:
    """Raises `WaitUntil` where a daemon leaves a destination alone."""
    until = _rests(this, step)
    if this.due_only and until:
        words = f"its allowance is used up; left alone until {until:%H:%M} UTC"
        raise WaitUntil(words, seconds=0, place=name, quota=True)


def _rests(this: Pass, step: str) -> datetime | None:
    """Until when no calls are left for a step, where some were wanting."""
    until = this.worker.resting.get(step)
    return until if until and this.now < until <= this.now + LONGEST_REST else None


def _is_home(this: Pass, name: str) -> bool:
    return name == this.worker.settings.home


def _companies(this: Pass, name: str) -> dict[str, int]:
    return {"read": read_companies(this.worker, name, now=this.now, seen_by=this.edits.seen)}


def _pull_all(this: Pass, beat: Callable[[], None]) -> None:
    rules = this.worker.settings.sources
    due = [source for name, source in this.worker.sources.items() if _due(this, f"pull:{name}", rules[name].every)]
    if not due:
        return
    with ThreadPoolExecutor(max_workers=len(due), thread_name_prefix="pull") as pool:
        results = {source.name: pool.submit(_pull_one, this, source, beat) for source in due}
    for name, result in results.items():
        _try(this, name, partial(_note_pull, this, name, result))


def _due(this: Pass, kind: str, every: timedelta) -> bool:
    """Whether `every` has passed since a reading that came to its end; one that was cut short is due at once."""
    if not this.due_only:
        return True
    last = this.worker.state.runs.last_finished(kind)
    # one that began later than now was made before the clock was set back, and says nothing of what is due
    return last is None or not timedelta() <= this.now - last.started_at < every


def _pull_one(this: Pass, source: Source, beat: Callable[[], None]) -> Pulled:
    deadline = this.worker.clock.now() + this.budget if this.budget else None
    run = this.worker.state.runs.start(f"pull:{source.name}", this.now)
    this.progress.start(source.name)
    result = Pulled()
    try:
        pull(this.worker, source, result, now=this.now, deadline=deadline, beat=beat, progress=this.progress)
    finally:
        told = asdict(result)
        this.worker.state.runs.finish(run, "done" if result.complete else "failed", told, this.now)
        this.report.pulled[source.name] = told
        this.progress.finish(source.name)
    return result


def _note_pull(this: Pass, name: str, pulled: Future[Pulled]) -> None:
    result = pulled.result()
    if result.rejected and not result.written + result.unchanged:
        rows = f"none of {result.rejected:,} rows could be read"
        this.report.problems.append(Problem(name, f"{rows}: {'; '.join(result.reasons[:3])}"))
    elif result.rejected:
        log.warning("rows could not be read", source=name, rows=result.rejected, first=result.reasons[:3])


def _settle(this: Pass) -> None:
    """Once a day, with the first pass that has a final day to record: scoring then reads a settled log."""
    if not unrecorded(this.worker, this.today):
        return
    this.worker.state.runs.forget(this.now - KEPT)
    settled = this.worker.log.settle()
    log.info("log settled", rows=settled.rows, files=settled.files_after)


def _score(this: Pass, open_: ExitStack) -> None:
    """Score everybody; what was found stays open for the deliveries, which ask it for words.

    A fault inside the engine ends its connection. Nothing but whole days is kept by then, so another connection begins
    afresh, with one thread: it holds less at once, and memory that runs short is when such a fault was seen.
    """
    if not this.dry_run:
        keep_scorecard(this.worker, this.now)
    once = partial(evaluated, this.worker, now=this.now, keep=not this.dry_run, progress=this.progress)
    try:
        this.found = open_.enter_context(once())
    except duckdb.InternalException as error:
        log.warning("the engine failed; scoring once more with one thread", error=str(error).partition("\n")[0])
    found = this.found or open_.enter_context(once(threads=1))
    this.report.scored, this.report.moved, this.found = found.counts, found.moved, found
    this.report.silenced = found.silenced
    this.report.further = {name: one.counts for name, one in found.further.items()}
    cards = this.worker.settings.cards
    this.report.by_scorecard = {cards[version].name: count for version, count in sorted(found.by_version.items())}


def _deliver(this: Pass, name: str, found: Evaluation, chosen: Collection[str]) -> None:
    rules, destination = this.worker.settings.delivery, this.worker.destinations[name]
    round_ = Round(destination, rules, this.now, this.today, eager=not this.due_only)
    result = Delivered(edits=this.edits.told[name])
    this.progress.start(name)
    try:
        with _sparing(this, name, name) as budget:
            dispatch = Dispatch(this.worker, round_, found, chosen, budget, result)
            dispatch.rehearse() if this.dry_run else dispatch.carry_out(this.edits)
    finally:
        told = asdict(result)
        this.report.differences += [found._asdict() for found in told.pop("differences")]
        told["drifts"] = [found._asdict() for found in result.drifts]
        for problem in problems(name, result.drifts):
            _tell(this, problem.place, problem.message)
        if not this.dry_run:
            this.report.delivered[name] = told
        this.progress.advance(name, result.written + result.adopted + result.failed)
        this.progress.finish(name)


def _calls(worker: Worker, before: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    made = {}
    for name, destination in worker.destinations.items():
        counts = {label: n - before[name].get(label, 0) for label, n in destination.calls.items()}
        made[name] = {label: n for label, n in counts.items() if n}
    return made

"""The bodies of the commands: open the worker, do one thing, say what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

import config as words
from connectors.base import Change, Finding
from connectors.errors import ConnectorError
from sync.budget import by_hand
from sync.check import findings, first_needs
from sync.console import Bars, clean, complain, log_in_words, put_json, say
from sync.errors import UsageError
from sync.evaluate import as_of
from sync.loading import load
from sync.rows import HEALTH, AccountRow
from sync.run import Step, run_once
from sync.scores import alone, fetch, relations, scored, statement
from sync.settings import Settings
from sync.show import (
    score_document,
    show_day,
    show_report,
)
from sync.stopping import signals
from sync.worker import Worker, begun, begun_or_refused, opened


def write_starter(path: Path, *, force: bool) -> None:
    """Write the starter settings and the example environment; never over a file that is there, unless forced."""
    example = path.parent / ".env.example"
    if path.exists() and not force:
        raise UsageError(f"{path} is there already; --force writes over it")
    try:
        path.write_text(words.template("starter.yaml"), encoding="utf-8")
        example.write_text(words.template("env.example"), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})") from None
    say(f"wrote {path} and {example}")
    say("next: copy .env.example to .env, fill both in, then `bellwether check`")


def check(path: Path, *, as_json: bool) -> int:
    """Print one line per finding; 1 when something has to be mended."""
    settings = load(path)
    with _rehearsing(settings) as worker, by_hand(worker, ask=False) as calls:
        found = []
        for finding in chain(first_needs(settings), findings(worker)):
            found.append(finding)
            if not as_json:
                mark, style = _mark(finding)
                remedy = f" -> {finding.remedy}" if finding.remedy else ""
                say(f"{mark} {finding.place}: {finding.message}{remedy}", style)
    if as_json:
        put_json({"ok": all(item.ok for item in found), "findings": [item._asdict() for item in found], "calls": calls})
    else:
        say_calls(calls)
    return 0 if all(item.ok for item in found) else 1


def say_calls(calls: Mapping[str, str]) -> None:
    """What a command's calls came to, by destination."""
    for name, told in calls.items():
        say(f"{name}: {told}")


def _mark(finding: Finding) -> tuple[str, str]:
    """How the line begins, and its colour."""
    if not finding.ok:
        return "FIX ", "red"
    return ("warn", "yellow") if finding.remedy else ("ok  ", "")


def provision(path: Path, *, apply: bool, prune: bool, as_json: bool) -> int:
    """Print the plan of every destination; with `apply`, carry it out; 1 when that leaves something to a person.

    `prune`: the plan to remove what was made there.
    """
    with _rehearsing(load(path, regardless=True)) as worker, by_hand(worker) as calls:
        plan = [(name, change) for name, part in worker.destinations.items() for change in part.plan(prune=prune)]
        for name, change in plan:
            _carry_out(name, change, apply=apply, quiet=as_json)
    steps = [change for _, change in plan if change.apply]
    if as_json:
        told = [{"destination": name, "what": one.what, "by_hand": one.apply is None} for name, one in plan]
        put_json({"applied": apply, "prune": prune, "changes": told, "calls": calls})
    elif not plan:
        say("nothing of ours is left there" if prune else "every field is there and as it should be")
    elif steps and not apply:
        say("nothing was changed; --apply carries this out")
    if not as_json:
        say_calls(calls)
    return 1 if apply and not prune and len(steps) < len(plan) else 0


def _carry_out(name: str, change: Change, *, apply: bool, quiet: bool) -> None:
    """What cannot be carried out ends the command, and is named first: a plan made anew goes on from there."""
    mark = "note" if change.apply is None else "done" if apply else "would"
    try:
        if apply and change.apply:
            change.apply()
    except ConnectorError:
        complain(f"FAIL {name}: {change.what}")
        raise
    if not quiet:
        say(f"{mark} {name}: {change.what}")


def run(path: Path, *, only: Step | None, dry_run: bool, as_json: bool) -> int:
    """Make one pass and tell what it did."""
    with at_work(path) as worker, Bars() as bars, signals(worker.stop):
        report = run_once(worker, only=only, dry_run=dry_run, progress=bars)
    if as_json:
        put_json(report.as_dict())
    else:
        show_report(report, dry_run=dry_run)
    return 0 if report.status == "done" else 1


def scores(path: Path, *, score: str, on_day: str | None, account: str | None, sql: bool, as_json: bool) -> None:
    """Work out and print the scores of a day; writes nothing."""
    with at_work(path, looks=True) as worker:
        day, score = day_of(worker, on_day), score_of(worker.settings, score)
        accounts = worker.state.accounts.members()
        basis = worker.basis(accounts, worker.linked(accounts))
        if sql:
            sys.stdout.write(statement(worker.log, basis.of(score)))
            return
        wanted = account_of(worker, account) if account is not None else None
        basis = alone(basis, wanted) if wanted else basis
        with scored(worker.log, basis, spill=worker.spill, also=[worker.history.path], few=wanted is not None) as on:
            rows = list(fetch(as_of(worker, on, day, score), of=relations(score)))
    if wanted is not None and not rows:
        raise UsageError(f"{wanted.id} has no score on {day}: its record was created later")
    names = {row.id: row.name for row in accounts}
    cards = worker.settings.cards
    documents = [score_document(row, names[row.account], cards[row.version].name) for row in rows]
    show_day(f"{day}", documents, alone=wanted is not None, as_json=as_json)


def score_of(settings: Settings, wanted: str) -> str:
    """One of the scores by its name. Raises `UsageError`."""
    if wanted != HEALTH and wanted not in settings.further:
        known = ", ".join([HEALTH, *settings.further])
        raise UsageError(f"--score: there is no score {clean(wanted)[:30]!r} (there are: {known})")
    return wanted


@contextmanager
def at_work(path: Path, *, looks: bool = False, regardless: bool = False) -> Iterator[Worker]:
    """`looks`: for a command that only looks at what runs have made, and itself makes nothing.

    `regardless`: of whether the scorecard can be used.
    """
    log_in_words()
    settings = load(path, regardless=regardless)
    with opened(begun_or_refused(settings) if looks else settings) as worker:
        yield worker


@contextmanager
def _rehearsing(settings: Settings) -> Iterator[Worker]:
    """For a command that may come before the first run: until then its worker lives in a folder that goes again."""
    log_in_words()
    with TemporaryDirectory(prefix="bellwether-") as folder:
        if not begun(settings):
            settings = replace(settings, data=Path(folder), state=SecretStr(f"sqlite:///{folder}/state.db"))
        with opened(settings) as worker:
            yield worker


def day_of(worker: Worker, text: str | None, *, option: str = "--as-of") -> date:
    """The day an option names, today without it. Raises `UsageError`."""
    today = worker.today()
    day = today if text is None else written_day(text, option=option)
    if day > today:
        raise UsageError(f"{option}: {day} is still to come; today is {today}")
    return day


def written_day(text: str, *, option: str) -> date:
    """Any day, as a person writes it. Raises `UsageError`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: {clean(text)[:30]!r} is not a day; write it as 2026-01-31") from None


def account_of(worker: Worker, wanted: str) -> AccountRow:
    """The customer with this id, or this name. Raises `UsageError`."""
    rows = worker.state.accounts.members()
    found = [row for row in rows if row.id == wanted] or [
        row for row in rows if row.name.casefold() == wanted.casefold()
    ]
    if not found:
        raise UsageError(f"no account has the id or name {clean(wanted)[:60]!r}; `bellwether scores` lists them")
    if len(found) > 1:
        ids = ", ".join(row.id for row in found[:5])
        raise UsageError(f"{len(found)} accounts are called {clean(wanted)[:60]!r}; name one by its id: {ids}")
    return found[0]

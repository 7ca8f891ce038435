"""The bodies of the commands: open the worker, do one thing, say what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr

import config as words
from connectors.base import Change, Finding
from connectors.errors import ConnectorError
from scoring import Scorecard, reason
from sync import budget
from sync.check import findings, first_needs
from sync.compare import plain
from sync.console import Bars, clean, complain, log_in_words, put_json, say, table
from sync.erased import erased_of
from sync.errors import UsageError
from sync.evaluate import as_of
from sync.judged import judged, judged_in_words, tallied, tally_in_words
from sync.loading import load
from sync.matching import match_report
from sync.rows import HEALTH, AccountRow, Delivery
from sync.run import Step, run_once
from sync.scores import Scored, alone, fetch, relations, scored, statement
from sync.settings import Settings
from sync.show import (
    score_document,
    score_in_words,
    show_day,
    show_deliveries,
    show_matching,
    show_parts,
    show_report,
    tier_in_words,
)
from sync.state.deliveries import EDITS
from sync.stopping import signals
from sync.worker import Worker, begun, begun_or_refused, opened

EDITED = timedelta(days=7)  # how far back `status` tells of edits


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
    with _rehearsing(settings) as worker:
        found = []
        for finding in chain(first_needs(settings), findings(worker)):
            found.append(finding)
            if not as_json:
                mark, style = _mark(finding)
                remedy = f" -> {finding.remedy}" if finding.remedy else ""
                say(f"{mark} {finding.place}: {finding.message}{remedy}", style)
    if as_json:
        put_json({"ok": all(item.ok for item in found), "findings": [item._asdict() for item in found]})
    return 0 if all(item.ok for item in found) else 1


def _mark(finding: Finding) -> tuple[str, str]:
    """How the line begins, and its colour."""
    if not finding.ok:
        return "FIX ", "red"
    return ("warn", "yellow") if finding.remedy else ("ok  ", "")


def provision(path: Path, *, apply: bool, prune: bool, as_json: bool) -> int:
    """Print the plan of every destination; with `apply`, carry it out; 1 when that leaves something to a person.

    `prune`: the plan to remove what was made there.
    """
    with _rehearsing(load(path, regardless=True)) as worker:
        plan = [(name, change) for name, part in worker.destinations.items() for change in part.plan(prune=prune)]
        for name, change in plan:
            _carry_out(name, change, apply=apply, quiet=as_json)
    steps = [change for _, change in plan if change.apply]
    if as_json:
        told = [{"destination": name, "what": one.what, "by_hand": one.apply is None} for name, one in plan]
        put_json({"applied": apply, "prune": prune, "changes": told})
    elif not plan:
        say("nothing of ours is left there" if prune else "every field is there and as it should be")
    elif steps and not apply:
        say("nothing was changed; --apply carries this out")
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


def status(path: Path, *, as_json: bool) -> None:
    """Print what state knows: passes, readings, matching, rows that failed."""
    with at_work(path, looks=True, regardless=True) as worker:
        document = _status(worker)
        matching = match_report(worker)
    if as_json:
        put_json({**document, "matching": matching.as_dict()})
        return
    for why in document["refused"]:
        say(f"scorecard refused: {why}", "red")
    table(
        "Passes",
        ("started", "took", "status", "problems"),
        ([r["started"], r["seconds"], r["status"], r["problems"]] for r in document["runs"]),
        numbers=(1,),
    )
    table(
        "Sources",
        ("source", "complete since", "read through", "refused rows", "why"),
        ([r["source"], r["since"], r["through"], r["refused"], r["why"]] for r in document["sources"]),
        numbers=(3,),
    )
    show_deliveries(document)
    if document["calls"]:
        keys = ("destination", "limit", "left", "used", "share", "kept")
        heads = ("destination", "limit", "left", "made by this worker", "its share", "never touched")
        table("Calls of the day", heads, ([c[key] for key in keys] for c in document["calls"]), numbers=(1, 2, 3, 4, 5))
    show_matching(matching)
    for line in tally_in_words(document["judgements"]):
        say(line)
    if document["erased"]:
        say(f"erased customers that are kept out: {document['erased']}")


def explain(path: Path, account: str, *, score: str, as_json: bool) -> None:
    """Print one account's scores, all parts of one of them, and where they were delivered."""
    with at_work(path, looks=True) as worker:
        row, score = account_of(worker, account), score_of(worker.settings, score)
        document = _explained(worker, row)
    shown = document if score == HEALTH else document["scores"][score]
    if as_json:
        put_json(shown)
        return
    said = tier_in_words(document) if score == HEALTH else f"{score} {score_in_words(shown)}"
    say(f"{row.name} ({row.id}): {said}", "bold")
    if shown["reason"]:
        say(f"{shown['reason']}.{' Next: ' if shown['next_action'] else ''}{shown['next_action']}")
    for flag in shown["flags"]:
        say(f"{flag['kind']} {flag['name']} since {flag['since']}: {flag['says']}")
    show_parts(shown["parts"])
    if score == HEALTH:
        _show_beside(document)


def _show_beside(document: Mapping[str, Any]) -> None:
    """The other scores, what people say, and where the account is known and written."""
    for name, other in document["scores"].items():
        say(f"{name}: {score_in_words(other)}. {other['reason']}")
    for line in judged_in_words(document["judgements"]):
        say(line)
    for link in document["links"]:
        say(f"linked: {link['source']} {link['key']} by {link['how']}")
    for record in document["deliveries"]:
        say(f"{record['destination']} {record['record']}: {record['status']} {record['message']}".rstrip())


def scores(path: Path, *, score: str, on_day: str | None, account: str | None, sql: bool, as_json: bool) -> None:
    """Work out and print the scores of a day; writes nothing."""
    with at_work(path, looks=True) as worker:
        day, score = day_of(worker, on_day), score_of(worker.settings, score)
        accounts = worker.state.accounts.members()
        basis = worker.basis(accounts, worker.links(accounts))
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
    today = today_of(worker)
    day = today if text is None else written_day(text, option=option)
    if day > today:
        raise UsageError(f"{option}: {day} is still to come; today is {today}")
    return day


def today_of(worker: Worker) -> date:
    return worker.clock.now().astimezone(worker.settings.timezone).date()


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


def _explained(worker: Worker, row: AccountRow) -> dict[str, Any]:
    accounts = worker.state.accounts.members()
    links = worker.links(accounts)
    basis = worker.basis(accounts, links)
    day = day_of(worker, None)
    with scored(worker.log, alone(basis, row), spill=worker.spill, also=[worker.history.path], few=True) as on:
        rows = {name: [*fetch(as_of(worker, on, day, name), of=relations(name))] for name in (HEALTH, *basis.further)}
    if not rows[HEALTH]:
        raise UsageError(f"{row.id} has no score yet: its record is dated later than today")
    told = {name: _told(worker, row, found, name) for name, [found] in rows.items()}
    deliveries = [
        delivery
        for name in worker.destinations
        for delivery in worker.state.deliveries.of(name).values()
        if delivery.account == row.id
    ]
    return {
        **told.pop(HEALTH),
        "scores": told,
        "judgements": judged(worker, row.id, day),
        "links": [
            {"source": link.source, "key": link.key, "how": link.how}
            for link in links.linked
            if link.account == row.id and link.source != worker.settings.home
        ],
        "deliveries": [_delivery(delivery) for delivery in deliveries],
    }


def _flags(worker: Worker, card: Scorecard, found: Scored, score: str) -> list[dict[str, str]]:
    """The caps in force and the watch flags raised, each with the day it began as far as the history tells."""
    standing, history = found.standing, worker.history.of(score)
    caps = [
        ("cap", name, began, f"at most {card.caps[name].tier}: {card.caps[name].reason}")
        for name, began in standing.caps.items()
    ]
    watch = [
        (
            "watch",
            name,
            history.raised_since(found.account, f"watch:{name}", found.as_of) or found.as_of,
            card.watch[name].reason,
        )
        for name in standing.watch
    ]
    keys = ("kind", "name", "since", "says")
    return [dict(zip(keys, map(str, flag), strict=True)) for flag in (*caps, *watch)]


def _told(worker: Worker, row: AccountRow, found: Scored, score: str) -> dict[str, Any]:
    """An account's answer by one of the scores."""
    card = worker.settings.cards[found.version]
    said = reason(card, found.parts, None, found.standing)
    total = worker.state.totals.all(score).get(row.id)
    return {
        **score_document(found, row.name, card.name),
        "flags": _flags(worker, card, found, score),
        "tier_since": plain(total.tier_since) if total else None,
        "reason": said.text,
        "next_action": said.next_action,
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "destination": delivery.destination,
        "record": delivery.record_id,
        "account": delivery.account,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "code": delivery.code,
        "message": delivery.message,
        "confirmed_at": plain(delivery.confirmed_at),
        "confirmed": delivery.confirmed,
    }


def _refused(worker: Worker, source: str) -> dict[str, Any]:
    """Rows that could not be read, as of the newest pull that brought anything."""
    pulls = (run.report for run in worker.state.runs.last(100, kind=f"pull:{source}"))
    newest = next((report for report in pulls if report.get("pages")), {})
    return {"refused": newest.get("rejected", 0), "why": "; ".join(newest.get("reasons", ()))}


def _problem(told: Mapping[str, str]) -> str:
    """In words; erasing a customer who is called like one of the two keys took that one away."""
    return ": ".join(told[key] for key in ("place", "message") if key in told)


def _second(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _calls(worker: Worker) -> list[dict[str, Any]]:
    """The calls of every destination that has a daily limit, as of the last pass that called it."""
    now, settings = worker.clock.now(), worker.settings
    books = {name: budget.Book.of(worker.state, name) for name in worker.destinations}
    limited = {name: book for name, book in books.items() if book.limit is not None}
    return [{"destination": name, **budget.told(book, settings.share(name), now)} for name, book in limited.items()]


def _status(worker: Worker) -> dict[str, Any]:
    runs = worker.state.runs.last(5, kind="pass")
    refused = [row for name in worker.destinations for row in worker.state.deliveries.refused(name)]
    keys = ("destination", "status", "code", "records")
    return {
        "refused": worker.settings.refused,
        "erased": len(erased_of(worker)),
        "judgements": tallied(worker, today_of(worker)),
        "runs": [
            {
                "started": _second(run.started_at),
                "seconds": (run.finished_at - run.started_at).total_seconds() if run.finished_at else None,
                "status": run.status,
                "problems": "; ".join(map(_problem, run.report.get("problems", ()))),
            }
            for run in runs
        ],
        "sources": [
            {"source": r.source, "since": _second(r.since), "through": _second(r.through), **_refused(worker, r.source)}
            for r in worker.readings()
        ],
        "deliveries": [
            dict(zip(keys, row, strict=True))
            for row in worker.state.deliveries.tallied()
            if row[0] in worker.destinations
        ],
        "failed": [_delivery(row) for row in sorted(refused, key=lambda row: row.status != "quarantined")],
        "edits": _edits(worker),
        "calls": _calls(worker),
    }


def _edits(worker: Worker) -> list[dict[str, Any]]:
    """What people changed in the CRMs, as the passes of the last days found it, newest first."""
    since = worker.clock.now() - EDITED
    return [edit for run in worker.state.runs.since(since, kind=EDITS) for edit in run.report.get("edits", ())]

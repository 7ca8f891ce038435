"""The command `status`: what state knows, of passes, sources, deliveries, matching and judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sync import budget
from sync.commands import at_work
from sync.console import put_json, say, table
from sync.erased import erased_of
from sync.judged import tallied, tally_in_words
from sync.matching import match_report
from sync.rows import Run
from sync.show import delivery_document, show_deliveries, show_matching
from sync.state.deliveries import EDITS
from sync.worker import Worker

EDITED = timedelta(days=7)  # how far back edits are told of


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
    _show_work(document)
    show_deliveries(document)
    _show_calls(document["calls"])
    show_matching(matching)
    for line in tally_in_words(document["judgements"]):
        say(line)
    if document["erased"]:
        say(f"erased customers that are kept out: {document['erased']}")


def _show_work(document: Mapping[str, Any]) -> None:
    passes = ([run[key] for key in ("started", "seconds", "status", "problems")] for run in document["runs"])
    table("Passes", ("started", "took", "status", "problems"), passes, numbers=(1,))
    keys = ("source", "since", "through", "refused", "why")
    heads = ("source", "complete since", "read through", "refused rows", "why")
    table("Sources", heads, ([one[key] for key in keys] for one in document["sources"]), numbers=(3,))


def _show_calls(calls: Sequence[Mapping[str, Any]]) -> None:
    keys = ("destination", "limit", "left", "used", "share", "kept")
    heads = ("destination", "limit", "left", "made by this worker", "its share", "never touched")
    if calls:
        table("Calls of the day", heads, ([one[key] for key in keys] for one in calls), numbers=(1, 2, 3, 4, 5))


def _status(worker: Worker) -> dict[str, Any]:
    refused = [row for name in worker.destinations for row in worker.state.deliveries.refused(name)]
    keys = ("destination", "status", "code", "records")
    tallies = (row for row in worker.state.deliveries.tallied() if row[0] in worker.destinations)
    return {
        "refused": worker.settings.refused,
        "erased": len(erased_of(worker)),
        "judgements": tallied(worker, worker.today()),
        "runs": [_pass(run) for run in worker.state.runs.last(5, kind="pass")],
        "sources": [
            {"source": r.source, "since": _second(r.since), "through": _second(r.through), **_refused(worker, r.source)}
            for r in worker.readings()
        ],
        "deliveries": [dict(zip(keys, row, strict=True)) for row in tallies],
        "failed": [delivery_document(row) for row in sorted(refused, key=lambda row: row.status != "quarantined")],
        "edits": _edits(worker),
        "calls": _calls(worker),
    }


def _pass(run: Run) -> dict[str, Any]:
    return {
        "started": _second(run.started_at),
        "seconds": (run.finished_at - run.started_at).total_seconds() if run.finished_at else None,
        "status": run.status,
        "problems": "; ".join(map(_problem, run.report.get("problems", ()))),
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


def _edits(worker: Worker) -> list[dict[str, Any]]:
    """What people changed in the CRMs, as the passes of the last days found it, newest first."""
    since = worker.clock.now() - EDITED
    return [edit for run in worker.state.runs.since(since, kind=EDITS) for edit in run.report.get("edits", ())]


def _calls(worker: Worker) -> list[dict[str, Any]]:
    """The calls of every destination that has a daily limit, as of the last pass that called it."""
    now, settings = worker.clock.now(), worker.settings
    books = {name: budget.Book.of(worker.state, name) for name in worker.destinations}
    limited = {name: book for name, book in books.items() if book.limit is not None}
    return [{"destination": name, **budget.told(book, settings.share(name), now)} for name, book in limited.items()]

"""The command `erase`: shows what will go, asks, removes it, and looks whether anything is left."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from connectors.clock import SystemClock
from sync.console import clean, complain, log_in_words, many, put_json, say
from sync.erased import erased_of
from sync.erasing import Doomed, clear_records, doomed, erase, readmit, search
from sync.errors import UsageError
from sync.lease import leased
from sync.loading import load
from sync.rows import AccountRow
from sync.traces import Looked
from sync.worker import Worker, begun_or_refused, opened


def run(path: Path, account: str, *, yes: bool, clear_crm: bool, as_json: bool) -> int:
    """Erase a customer; 1 when a record could not be emptied (then nothing is erased) or something was found after."""
    log_in_words()
    settings = begun_or_refused(load(path, regardless=True))
    with opened(settings) as worker:
        row = _found(worker, account)
        if not as_json:
            _show(worker, doomed(worker, row), clear_crm=clear_crm)
        if not yes:
            _ask()
        with leased(worker.state) as beat:
            what = doomed(worker, row)
            if clear_crm and not _cleared(worker, what):
                return 1
            erase(worker, what, beat=beat)
            looked = search(worker, what)
    _tell(what, looked, as_json=as_json)
    return 1 if looked.places else 0


def let_in(path: Path, account: str) -> int:
    """Let an erased customer come in again with what is read from now on."""
    log_in_words()
    with opened(begun_or_refused(load(path, regardless=True))) as worker, leased(worker.state):
        if not readmit(worker, account):
            raise UsageError(f"no account of the id {clean(account)[:60]!r} was erased; a name is not enough here")
    say(f"{account} may come in again; `bellwether run` now reads every source from the start, and then scores it")
    return 0


def _found(worker: Worker, wanted: str) -> AccountRow:
    """By id, name, or the id of its record in a CRM; of one that is erased, only the id is known."""
    rows = {row.id: row for row in worker.state.accounts.all()}
    if wanted in rows:
        return rows[wanted]
    records = [of.get(wanted) for name in worker.destinations for of in [worker.links(list(rows.values())).of(name)]]
    named = [row.id for row in rows.values() if row.name.casefold() == wanted.casefold()]
    found = sorted({id for id in named or records if id in rows})
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} accounts are {clean(wanted)[:60]!r}; name one by its id: {', '.join(found[:5])}"
        )
    if found:
        return rows[found[0]]
    if erased_of(worker).account(wanted):
        now = SystemClock().now()
        return AccountRow(wanted, wanted, None, (), {}, None, now, now, now)
    raise UsageError(
        f"no account has the id, name or record {clean(wanted)[:60]!r}; "
        "one whose erasing was cut short is known by its id only"
    )


def _ask() -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked, because standard input is no terminal; --yes erases without asking")
    if not typer.confirm("Erase this for good?", err=True):
        raise UsageError("nothing was erased")


def _show(worker: Worker, what: Doomed, *, clear_crm: bool) -> None:
    account = what.account
    say(f"{account.name} ({account.id})" if account.name != account.id else account.id, "bold")
    say(f"facts: {_facts(what)}")
    say(f"score history: {many(what.days, 'day')}")
    for link in what.links:
        say(f"link: {link.source} {link.key} by {link.how}")
    for row in what.deliveries:
        stays = (
            "" if clear_crm or row.status == "closed" else "; its fields stay on the record (--clear-crm empties them)"
        )
        say(f"delivery: {row.destination} {row.record_id}, {row.status}{stays}")
    say(f"judgements: {what.judgements:,}")
    say(f"exports in flight: {many(len(what.files), 'file')}")
    for shared, facts in what.shared:
        whose = f"{shared.why}; links.map can say whose it is"
        say(f"stays: {shared.source} {shared.key} with {many(facts, 'fact')}, {whose}")
    for source, pairs in worker.settings.links.map.items():
        for key, to in pairs.items():
            if to == account.id:
                say(f"stays: links.map.{source}.{key} in {worker.settings.path.name} names it; take the line out")


def _facts(what: Doomed) -> str:
    sources = ", ".join(f"{source} {count:,}" for source, count in what.facts.items())
    return f"{sum(what.facts.values()):,}{f' ({sources})' if sources else ''}"


def _cleared(worker: Worker, what: Doomed) -> bool:
    result = clear_records(worker, what)
    for row in result.named:
        complain(f"{row['record']}: {row['code']} {row['message']}")
    if result.failed:
        complain("its fields could not be emptied, so nothing was erased; try again, or erase without --clear-crm")
    return not result.failed


def _tell(what: Doomed, looked: Looked, *, as_json: bool) -> None:
    if as_json:
        put_json(_document(what, looked))
        return
    days, links, judged = many(what.days, "day"), many(len(what.links), "link"), many(what.judgements, "judgement")
    say(f"erased: facts {_facts(what)}, {days} of history, {links}, {judged}")
    if what.words.shared:
        say(f"not looked for, because others are known by it too: {', '.join(sorted(what.words.shared))}")
    for place in looked.places:
        complain(f"found in {place}")
    left = f"something is left in {many(len(looked.places), 'place')}" if looked.places else "nothing is left of it"
    say(f"looked at {many(looked.files, 'file')} and {many(looked.rows, 'row')}: {left}", "bold")


def _document(what: Doomed, looked: Looked) -> dict[str, Any]:
    return {
        "account": what.account.id,
        "facts": what.facts,
        "days": what.days,
        "judgements": what.judgements,
        "links": [{"source": link.source, "key": link.key, "how": link.how} for link in what.links],
        "deliveries": [{"destination": row.destination, "record": row.record_id} for row in what.deliveries],
        "stays": [{"source": key.source, "key": key.key, "facts": facts} for key, facts in what.shared],
        "not_looked_for": sorted(what.words.shared),
        "looked": asdict(looked),
    }

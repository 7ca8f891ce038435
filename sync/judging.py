"""The bodies of the commands `judge ...`: look at every word that is given, keep the judgement, say what it is."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

from sync import pulses, spare
from sync.commands import account_of, at_work, day_of, written_day
from sync.console import clean, put_json, say, table
from sync.errors import UsageError
from sync.judged import said
from sync.judgements import document, standing
from sync.rows import AccountRow, Judgement, JudgementKind
from sync.settings import LONGEST_AUTHOR
from sync.worker import Worker

LONGEST_REASON = 200  # characters: it stands on a CRM record beside the score's own reason
LONGEST_NAME = 64
_judging = partial(at_work, looks=True, regardless=True)  # what people know waits for no scorecard to be mended
TIERS = {"green": "green", "yellow": "yellow", "amber": "yellow", "red": "red"}


def override(path: Path, account: str, *, tier: str, by: str, reason: str, until: str | None, as_json: bool) -> None:
    """Put an account into a tier through a day."""
    with _judging(path) as worker:
        set_tier(worker, account, tier=tier, by=by, reason=reason, until=until, as_json=as_json)


def set_tier(
    worker: Worker, account: str, *, tier: str, by: str, reason: str, until: str | None, as_json: bool = False
) -> None:
    """Keep an override and say so. Raises `UsageError`."""
    row = account_of(worker, account)
    if tier not in TIERS:
        raise UsageError(f"--tier: {_shown(tier)} is no tier; write green, yellow or red")
    new = replace(_new(worker, row, "override", by, reason), tier=TIERS[tier], until=_until(worker, until))
    _keep(worker, row, new, as_json=as_json)


def note(path: Path, account: str, *, by: str, reason: str, until: str | None, silence: bool, as_json: bool) -> None:
    """Say something of an account through a day."""
    with _judging(path) as worker:
        row = account_of(worker, account)
        new = replace(_new(worker, row, "note", by, reason), silence=silence, until=_until(worker, until))
        _keep(worker, row, new, as_json=as_json)


def pulse(
    path: Path, account: str, *, value: str, name: str, by: str, reason: str, on: str | None, as_json: bool
) -> None:
    """Give an account a number that a scorecard can weigh."""
    with _judging(path) as worker:
        row = account_of(worker, account)
        bare = _new(worker, row, "pulse", by, reason)
        new = replace(bare, value=_value(value), name=_name(worker, name), day=_on(worker, on))
        _keep(worker, row, new, as_json=as_json)


def withdraw(path: Path, id: str, *, by: str, as_json: bool) -> None:
    """Take a judgement back; its row stays."""
    with _judging(path) as worker:
        author, today = _author(worker, by), worker.today()
        row = worker.state.judgements.one(int(id)) if re.fullmatch("[0-9]{1,9}", id) else None
        if row is None:
            raise UsageError(f"no judgement has the number {_shown(id)}; `bellwether judge list --all` shows them")
        if row.until is not None and row.until < today:
            raise UsageError(f"judgement {row.id} ended by itself on {row.until}; there is nothing to take back")
        if not worker.state.judgements.withdraw(row.id, author, now=worker.clock.now(), day=today):
            raise UsageError(f"judgement {row.id} has been withdrawn before; `bellwether judge list --all` shows it")
        spare.keep(worker)
        taken = worker.state.judgements.one(row.id) or row
    if as_json:
        put_json(document(taken))
    else:
        say(f"withdrawn: {_in_words(taken, taken.account)}")


def listed(path: Path, account: str | None, *, everything: bool, as_json: bool) -> None:
    """Show what counts now, or every judgement there ever was."""
    with _judging(path) as worker:
        rows = worker.state.judgements.all(account_of(worker, account).id if account is not None else None)
        words = standing(rows, worker.today())
        shown = [row for row in rows if everything or words[row.id] in ("in force", "latest")]
        names = worker.state.accounts.names({row.account for row in shown})
    if as_json:
        put_json([{**document(row), "account_name": names.get(row.account), "state": words[row.id]} for row in shown])
    elif not shown:
        say("nothing counts any more; --all shows what did" if rows else "nobody has judged yet")
    else:
        cells = ([row.id, names.get(row.account), row.account, *_cells(row), words[row.id]] for row in shown)
        table("", ("id", "name", "account", "judgement", "from", "until", "by", "reason", "state"), cells, numbers=(0,))


def _cells(row: Judgement) -> list[object]:
    what = f"{row.kind} {said(document(row))}".rstrip()
    return [what, row.day, row.until, row.author, row.reason]


def _new(worker: Worker, row: AccountRow, kind: JudgementKind, by: str, reason: str) -> Judgement:
    author, why = _author(worker, by), _text("--reason", reason, LONGEST_REASON)
    now, today = worker.clock.now(), worker.today()
    return Judgement(0, kind, row.id, author, why, today, None, None, None, None, False, now)


def _keep(worker: Worker, row: AccountRow, new: Judgement, *, as_json: bool) -> None:
    id = worker.state.judgements.add(new)
    if id is None:
        raise UsageError(f"{row.id} has left meanwhile; nothing was kept")
    spare.keep(worker)
    kept = replace(new, id=id)
    if as_json:
        put_json(document(kept))
        return
    say(_in_words(kept, f"{row.name} ({row.id})"))
    say(f"it counts from the next pass on; `bellwether judge withdraw {id} --by NAME` takes it back")


def _in_words(row: Judgement, account: str) -> str:
    when = f"until {row.until}" if row.until else f"on {row.day}"
    return f"{row.kind} {row.id} on {account}: {said(document(row))}{when}, by {row.author}: {row.reason}"


def _author(worker: Worker, by: str) -> str:
    author, known = _text("--by", by, LONGEST_AUTHOR), worker.settings.judgements.authors
    if known and author not in known:
        where = f"judgements.authors in {worker.settings.path.name}"
        few = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
        raise UsageError(f"--by: {_shown(author)} is not in {where}; add the name there, or write one of: {few}")
    return author


def _text(option: str, text: str, longest: int) -> str:
    text = text.strip()
    if not text:
        raise UsageError(f"{option}: is missing; a judgement says who made it and why")
    if clean(text) != text:
        raise UsageError(f"{option}: holds a control or an invisible character; write plain text on one line")
    if len(text) > longest:
        raise UsageError(f"{option}: has {len(text):,} characters; {longest} are the most")
    return text


def _until(worker: Worker, text: str | None) -> date:
    rules, today = worker.settings.judgements, worker.today()
    day = today + rules.default if text is None else written_day(text, option="--until")
    if day < today:
        raise UsageError(f"--until: {day} is over; today is {today}")
    if day > (last := today + rules.longest):
        ahead = f"{rules.longest.days} days ahead are the most"
        raise UsageError(f"--until: {ahead}; write {last} or earlier, or raise judgements.longest")
    return day


def _on(worker: Worker, text: str | None) -> date:
    day, first = day_of(worker, text, option="--on"), worker.today() - worker.settings.judgements.longest
    if day < first:
        raise UsageError(f"--on: {day} is too long ago; write {first} or later, or raise judgements.longest")
    return day


def _value(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    low, high = pulses.LOWEST, pulses.HIGHEST
    if not low <= value <= high:
        raise UsageError(f"--value: {_shown(text)} is not on the scale; write a number from {low:g} to {high:g}")
    return value


def _name(worker: Worker, name: str) -> str:
    """What a pulse is called: not as the facts of a source are, among which it would count."""
    if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", name) or len(name) > LONGEST_NAME:
        raise UsageError(f"--name: {_shown(name)} is no name for a pulse; write one like csm.pulse or pulse.sponsor")
    taken = next((reading.source for reading in worker.readings() if name in reading.names), None)
    if taken:
        raise UsageError(f"--name: facts of {taken} are called {name}; a pulse needs a name of its own")
    return name


def _shown(text: str) -> str:
    return repr(clean(text)[:40])

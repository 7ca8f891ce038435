"""Judgements as people and scripts are shown them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sync.console import many
from sync.judgements import SOON, document, standing, tally
from sync.pulses import aged

if TYPE_CHECKING:
    from sync.worker import Worker

OLD = timedelta(days=35)  # a pulse is asked for every month


def judged(worker: Worker, account: str, today: date) -> list[dict[str, Any]]:
    """What counts today of an account's judgements, newest first: an override, notes, the latest pulse of each name."""
    rows = worker.state.judgements.all(account)
    words, cards = standing(rows, today), worker.settings.cards.values()
    return [
        {**document(row), "state": words[row.id], **(aged(row, cards, today) if row.kind == "pulse" else {})}
        for row in reversed(rows)
        if words[row.id] in ("in force", "latest")
    ]


def judged_in_words(documents: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each of what `judged` returns."""
    for told in documents:
        end = f"until {told['until']}" if "until" in told else f"on {told['day']}{_age(told)}"
        yield f"{told['kind']} {told['id']}: {said(told)}{end}, by {told['author']}: {told['reason']}"


def said(told: Mapping[str, Any]) -> str:
    """What a judgement says, apart from its reason; a note says nothing else, unless it silences."""
    if told["kind"] == "override":
        return f"{told['tier']} "
    if told["kind"] == "pulse":
        return f"{told['name']} {told['value']:g} "
    return "silent " if told["silence"] else ""


def _age(told: Mapping[str, Any]) -> str:
    days = told["age_days"]
    age = "today" if days == 0 else f"{many(days, 'day')} ago"
    return f" ({age}{', stale' if told['stale'] else ''})"


def tallied(worker: Worker, today: date) -> dict[str, int]:
    """What counts of all accounts' judgements, and how many accounts are to be asked for a pulse."""
    state = worker.state
    rows = state.judgements.all(kinds=["override", "note"], lasting=today)
    return {**tally(rows, today), "old_pulses": state.judgements.old_pulses(today - OLD)}


def tally_in_words(counts: Mapping[str, int]) -> Iterator[str]:
    """What `tallied` counted, where there is any."""
    if counts["overrides"]:
        yield f"overrides in force: {counts['overrides']:,}, of which {counts['ending']:,} end within {SOON.days} days"
    if counts["notes"]:
        yield f"accounts with a note: {counts['notes']:,}"
    if counts["old_pulses"]:
        yield f"accounts whose latest pulse is over {OLD.days} days old: {counts['old_pulses']:,}; ask for a new one"

"""Judgements: a person's word about an account.

An *override* stands in for the tier, a *note* labels the account or silences what would be told of it, and a *pulse*
is a number that a scorecard can weigh (`pulses.py`). State has them with author, reason and days, and never overwrites
one: what is withdrawn is only marked.

Whether an override or a note counts is a matter of days alone: from the day it was made through its last day, unless it
was withdrawn on or before the day in question. Of two that count, the newer one wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from textwrap import shorten
from typing import Any, NamedTuple

from sync.rows import Judgement, JudgementKind

SHORT = 90  # characters of a reason beside the causes of a score
SOON = timedelta(days=7)  # an override that ends by then is worth another look


class Override(NamedTuple):
    """The tier an account is in by a person's word, from `day` through `until`."""

    id: int
    account: str
    tier: str
    author: str
    reason: str
    day: date
    until: date


class Note(NamedTuple):
    """What a person wants known of an account, from `day` through `until`.

    `silence`: nothing is to be told of the account meanwhile; any note that counts can ask for it.
    """

    id: int
    account: str
    author: str
    reason: str
    day: date
    until: date
    silence: bool


class Said(NamedTuple):
    """What people say of an account on a day: the newest override and the newest note that count."""

    override: Override | None = None
    note: Note | None = None

    @property
    def ids(self) -> list[int]:
        return [one.id for one in self if one]

    @property
    def silent(self) -> bool:
        return self.note is not None and self.note.silence

    def words(self, tier: str) -> list[str]:
        """A phrase for each, short enough to leave room for others; `tier`: the one without the override."""
        told = []
        if self.override:
            o = self.override
            without = "it is unscored" if tier == "unscored" else f"the score says {tier}"
            told.append(f"Set to {o.tier} by {o.author} until {o.until} ({without}): {_short(o.reason)}")
        if self.note:
            told.append(f"Note by {self.note.author} until {self.note.until}: {_short(self.note.reason)}")
        return told


NOTHING = Said()


def _short(text: str) -> str:
    return shorten(text, SHORT, placeholder=" ...")


def said_on(rows: Sequence[Judgement], day: date) -> dict[str, Said]:
    """By account, what is said of it on this day; only accounts of which something is."""
    overrides, notes = in_force(rows, day), notes_on(rows, day)
    return {account: Said(overrides.get(account), notes.get(account)) for account in {*overrides, *notes}}


def counts(row: Judgement, day: date) -> bool:
    """Whether a judgement counts on a day."""
    begun = row.day <= day and (row.withdrawn_on is None or day < row.withdrawn_on)
    return begun and (row.until is None or day <= row.until)


def in_force(rows: Iterable[Judgement], day: date) -> dict[str, Override]:
    """The override of each account that has one on this day."""
    won = newest(rows, "override", day)
    return {
        account: Override(row.id, account, row.tier, row.author, row.reason, row.day, row.until)
        for account, row in won.items()
        if row.tier and row.until
    }


def notes_on(rows: Sequence[Judgement], day: date) -> dict[str, Note]:
    """The newest note of each account that has one on this day."""
    won = newest(rows, "note", day)
    silent = newest((row for row in rows if row.silence), "note", day)
    return {
        account: Note(row.id, account, row.author, row.reason, row.day, row.until, account in silent)
        for account, row in won.items()
        if row.until
    }


def expired(rows: Sequence[Judgement], *, since: date, today: date) -> list[Override]:
    """Overrides whose last day is over and was not before `since`, and that were in force on it; by that day."""
    last_days = {row.until for row in rows if row.until and since <= row.until < today}
    ended = [one for day in last_days for one in in_force(rows, day).values() if one.until == day]
    return sorted(ended, key=lambda one: (one.until, one.id))


def newest(rows: Iterable[Judgement], kind: JudgementKind, day: date) -> dict[str, Judgement]:
    """The judgement of a kind that counts for each account: the one made last, which need not be the one kept last."""
    found: dict[str, Judgement] = {}
    for row in rows:
        if row.kind == kind and counts(row, day):
            before = found.get(row.account)
            if before is None or (before.made_at, before.id) < (row.made_at, row.id):
                found[row.account] = row
    return found


def standing(rows: Sequence[Judgement], today: date) -> dict[int, str]:
    """What each judgement of these is now, in a word.

    Of the pulses of one name that an account was given, the `latest` is that of the latest day.
    """
    winning = {one.id for one in in_force(rows, today).values()}
    latest = {(row.account, row.name): row.id for row in sorted(rows, key=_told_at) if _is_pulse(row)}
    words = dict.fromkeys(latest.values(), "latest") | dict.fromkeys(winning, "in force")
    return {row.id: words.get(row.id) or _otherwise(row, today) for row in rows}


def _otherwise(row: Judgement, today: date) -> str:
    if row.withdrawn_on:
        return "withdrawn"
    if row.kind == "pulse":
        return "earlier"
    if row.until and row.until < today:
        return "expired"
    return "in force" if row.kind == "note" else "superseded"


def _is_pulse(row: Judgement) -> bool:
    return row.kind == "pulse" and row.withdrawn_on is None


def _told_at(row: Judgement) -> tuple[date, int]:
    return row.day, row.id


def tally(rows: Sequence[Judgement], today: date) -> dict[str, int]:
    """How many accounts have an override or a note, and how many of the overrides end soon."""
    overrides = in_force(rows, today).values()
    ending = sum(one.until <= today + SOON for one in overrides)
    return {"overrides": len(overrides), "ending": ending, "notes": len(notes_on(rows, today))}


def document(row: Judgement) -> dict[str, Any]:
    """A judgement as scripts read it: what its kind has, and who took it back where somebody did."""
    told = asdict(row)
    kept = {"override": ("tier",), "pulse": ("name", "value"), "note": ("silence",)}[row.kind]
    common = ("id", "kind", "account", "author", "reason", "day", "until", "made_at")
    taken = ("withdrawn_at", "withdrawn_on", "withdrawn_by") if row.withdrawn_on else ()
    return {name: told[name] for name in (*common, *kept, *taken, "origin") if told[name] is not None}

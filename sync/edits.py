"""Edits: a tier that a person sets on a CRM record becomes a judgement, and is not written over.

They are looked for where a directory is read whole, before scoring, so that every CRM is told of them in the same pass;
and once more on the records that are read again right before a write. What other systems carry about is told from what
people do by asking the vendor who set the field (`_counts`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, NamedTuple

from connectors.base import Account, Author, Destination
from scoring import Scorecard
from sync.compare import Look, canonical, plain, plainly, words
from sync.console import clean
from sync.judgements import in_force, newest
from sync.rows import Delivery, DeliveryStatus, Judgement
from sync.settings import LONGEST_AUTHOR
from sync.worker import Worker

WATCHED = ("tier", "score")  # what is compared; whatever else people write over comes back with the next write


class Edit(NamedTuple):
    """A field of a record that somebody else changed. `tier`: the one it asks for, in our words (None: it names none).

    `before`, `wanted`: the tier that stood there, and the one that should, in our words.
    """

    look: Look
    field: str
    tier: str | None
    before: object
    wanted: str | None
    author: Author | None

    @property
    def by(self) -> str | None:
        return self.author.by if self.author else None

    @property
    def at(self) -> datetime | None:
        return self.author.at if self.author else None

    @property
    def origin(self) -> dict[str, str]:
        at = {"at": self.at.isoformat()} if self.at else {}
        return {"destination": self.look.destination, "record": self.look.record, **at}


class Edits:
    """What people changed in the CRMs, over one pass. `told`: by destination, in words for the report."""

    def __init__(self, worker: Worker, *, now: datetime, today: date) -> None:
        self._worker, self._now, self._today = worker, now, today
        self._odd: defaultdict[str, list[str]] = defaultdict(list)
        self._found: list[Edit] = []
        self._rows: list[Delivery] = []
        self._alone: set[str] = set()
        self.told: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def seen(self, name: str, page: Sequence[Account]) -> None:
        """Take note of those of these records that do not hold what is known of them."""
        destination = self._worker.destinations[name]
        known = self._worker.state.deliveries.of(name, [account.id for account in page])
        for account in page:
            row = known.get(account.id)
            if row and row.status != "closed" and _odd(destination, row, account):
                self._odd[name].append(account.id)

    def look(self, name: str) -> None:
        """Read again those that were noted, since a long list is old by its end, and tell edits from echoes."""
        noted, destination = self._odd.pop(name, []), self._worker.destinations[name]
        if not noted:
            return
        known, present = self._worker.state.deliveries.of(name, noted), destination.read(noted)
        wanted = _wanted(self._worker, destination, {row.account for row in known.values()}, self._today)
        looks = [
            Look(name, record, row.account, row, wanted.get(row.account, {}), plainly(present[record]))
            for record, row in known.items()
            if record in present
        ]
        found = self._edits(destination, looks)
        edited = {edit.look.record for edit in found}
        self._found += found
        self._rows += [_noted(look, self._today) for look in looks if look.record not in edited]

    def take(self) -> None:
        """Make judgements of what was found, for each account in the order it was done; the rest is written over."""
        by_account: defaultdict[str, list[Edit]] = defaultdict(list)
        for edit in self._found:
            by_account[edit.look.account].append(edit)
        made = [one for account in sorted(by_account) for one in self._judged(account, by_account[account])]
        rows = [*self._rows, *(_noted(edit.look, self._today, edited=edit.field) for edit in self._found)]
        self._found, self._rows = [], []
        names = self._worker.state.accounts.names(by_account)
        told = [{"destination": edit.look.destination, **_document(edit, new, names)} for edit, new in made]
        judged = [new for _, new in made if new]
        self._worker.state.deliveries.save_edits(judged, rows, told=told, now=self._now)
        for one in told:
            self.told[one.pop("destination")].append(one)

    def before_write(self, destination: Destination, looks: Sequence[Look]) -> Collection[str]:
        """The records to leave alone in this pass: people changed them, or another one of the same account."""
        self._found = self._edits(destination, looks)
        self._alone |= {edit.look.account for edit in self._found}
        if self._found:
            self.take()
        return {look.record for look in looks if look.account in self._alone}

    def _edits(self, destination: Destination, looks: Sequence[Look]) -> list[Edit]:
        found = self._of(destination, "tier", looks)
        if not self._worker.settings.judgements.edited_score:
            return found
        edited = {edit.look.record for edit in found}
        return found + self._of(destination, "score", [look for look in looks if look.record not in edited])

    def _of(self, destination: Destination, field: str, looks: Sequence[Look]) -> list[Edit]:
        """Who set the values that are not ours, and which of them count."""
        asked = [look for look in looks if look.stance(field) in ("strange", "unknown")]
        if not asked:
            return []
        authors = destination.authors(field, [look.record for look in asked])
        past = self._worker.state.deliveries.past_tiers({look.account for look in asked})
        tiers = words(destination)
        found = (self._edit(field, look, authors.get(look.record), tiers) for look in asked)
        return [edit for edit in found if _counts(edit, past.get(edit.look.account, frozenset()))]

    def _edit(self, field: str, look: Look, author: Author | None, tiers: Mapping[Any, str]) -> Edit:
        wanted, value, before = tiers.get(look.wanted.get("tier")), look.present[field], look.before(field)
        if field == "tier":
            return Edit(look, field, tiers.get(value), tiers.get(before, before), wanted, author)
        return Edit(look, field, _tier_at(self._card(look.account), value), before, wanted, author)

    def _card(self, account: str) -> Scorecard:
        settings, decided = self._worker.settings, self._worker.state.totals.decisions(accounts=[account]).get(account)
        return settings.cards.get(decided.version, settings.scorecard) if decided else settings.scorecard

    def _judged(self, account: str, edits: Sequence[Edit]) -> Iterator[tuple[Edit, Judgement | None]]:
        """What the edits come to: a judgement, or none where no tier is said. What says nothing new is left out."""
        rows = self._worker.state.judgements.all(account)
        standing = newest(rows, "override", self._today).get(account)
        taken = [row.origin for row in rows if row.origin and "at" in row.origin]
        for edit in sorted(_originals(edits), key=lambda edit: edit.at or self._now):
            if edit.tier is None:
                yield edit, None
            elif edit.origin not in taken and edit.tier != (standing.tier if standing else edit.wanted):
                new = self._judgement(edit, edit.tier)
                standing = new if standing is None or standing.made_at <= new.made_at else standing
                yield edit, new

    def _judgement(self, edit: Edit, tier: str) -> Judgement:
        where = edit.look.destination
        what = tier if edit.field == "tier" else f"a score of {edit.look.present[edit.field]:g}"
        return Judgement(
            id=0,
            kind="override",
            account=edit.look.account,
            author=_name(edit),
            reason=f"set to {what} in {where}",
            day=self._today,
            until=self._today + self._worker.settings.judgements.default,
            tier=tier,
            name=None,
            value=None,
            silence=False,
            made_at=min(edit.at or self._now, self._now),
            origin=edit.origin,
        )


def _odd(destination: Destination, row: Delivery, account: Account) -> bool:
    """Whether a record holds a tier or score that may not be ours, or nothing where something is known."""
    told, held = row.confirmed or {}, account.present
    if any(value in (None, "") and told.get(key) is not None for key, value in held.items()):
        return True
    present = canonical(destination, {key: held[key] for key in WATCHED if key in held})
    look = Look(destination.name, account.id, row.account, row, {}, present)
    return any(
        look.stance(field) != "ours" for field in present if (present[field], look.before(field)) != (None, None)
    )


def _wanted(
    worker: Worker, destination: Destination, accounts: Collection[str], today: date
) -> dict[str, dict[str, Any]]:
    """What records of these accounts should hold, as far as the last pass and people's words until now can tell."""
    decided = worker.state.totals.decisions(accounts=accounts)
    said = in_force(worker.state.judgements.all(kinds=["override"], lasting=today), today)
    wanted = {}
    for account, last in decided.items():
        tier = said[account].tier if account in said else last.scored_tier
        fields = {"tier": tier, "score": last.told_score}
        told = {key: value for key, value in fields.items() if value is not None}
        wanted[account] = canonical(destination, told)
    return wanted


def _counts(edit: Edit, past: Collection[str]) -> bool:
    """Whether a person meant it: not what we wrote ourselves, nor what a machine says that we once said.

    Of a field that we never told anything, and of a score, whose past is not kept, only a person who is known to be one
    is believed. Where the vendor cannot say who set a tier, it was a person.
    """
    if edit.by == "us":
        return False
    if edit.field == "score" or edit.look.stance(edit.field) == "unknown":
        return edit.by == "person" and not _before_the_write(edit)
    return edit.by != "machine" or (edit.tier is not None and edit.tier not in past)


def _before_the_write(edit: Edit) -> bool:
    """Whether it stood there already when something was sent that was never answered for."""
    sent, same = edit.look.unanswered, edit.look.present[edit.field] == edit.look.before(edit.field)
    return same and sent is not None and (edit.at is None or edit.at <= sent)


def _originals(edits: Sequence[Edit]) -> list[Edit]:
    """Without those that say what a person said elsewhere: a sync between the CRMs carried it over."""
    said = {edit.tier for edit in edits if edit.by == "person"}
    return [edit for edit in edits if edit.by == "person" or edit.tier not in said]


def _name(edit: Edit) -> str:
    name = clean(edit.author.name if edit.author else "").strip()
    return name[:LONGEST_AUTHOR] or f"somebody in {edit.look.destination}"


def _tier_at(card: Scorecard, score: object) -> str | None:
    if not isinstance(score, int | float):
        return None
    return "green" if score >= card.tiers.green else "yellow" if score >= card.tiers.yellow else "red"


def _noted(look: Look, today: date, *, edited: str | None = None) -> Delivery:
    """What is known of a record that was looked at: what it holds stands there, and it is due to be written.

    Where it holds what was wanted last, that is left open: what is wanted now will be known right before the write.
    `edited`: a field that a person set; what was last sent to it counts no more.
    """
    row = look.known or Delivery(look.destination, look.record, look.account, status="confirmed")
    told = {edited, *(row.confirmed or {})}
    held = {key: value for key, value in look.present.items() if key in told and value != look.wanted.get(key)}
    sent = {**(row.wanted or {}), edited: look.present[edited]} if edited else row.wanted
    status: DeliveryStatus = "confirmed" if edited and look.unanswered else row.status
    return replace(row, confirmed={**(row.confirmed or {}), **held}, wanted=sent, status=status, refresh_on=today)


def _document(edit: Edit, new: Judgement | None, names: Mapping[str, str]) -> dict[str, Any]:
    """An edit as the report has it; without a judgement it is written over."""
    look = edit.look
    return {
        "account": look.account,
        "name": names.get(look.account, look.account),
        "record": look.record,
        "field": edit.field,
        "from": edit.before,
        "to": edit.tier if edit.field == "tier" and edit.tier else look.present[edit.field],
        "by": new.author if new else _name(edit),
        "at": edit.at.isoformat(timespec="seconds") if edit.at else None,
        "until": plain(new.until) if new else None,
    }

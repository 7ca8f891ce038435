"""What a Zendesk ticket says, as dated facts; pure.

A ticket export row is the ticket of *today*. What its own dates vouch for (created, solved, first reply) is dated by
them. The rest (priority, reopens, escalation, rating) has no date; but it was already true when the row was last
updated, so it is dated then, which is never too early. It is told once and never moved: a `Mark` remembers what of a
ticket has been told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Raw

from connectors import exports
from connectors.base import Event, Key, Page, Rejected
from connectors.exports import Audit, Ticket, User, decoded

SEVERITY = {"low": 1.0, "normal": 2.0, "high": 3.0, "urgent": 4.0}
RATING = {"good": 100.0, "bad": 0.0}
SOLVED = ("solved", "closed")
REOPENED = ("new", "open", "pending", "hold")

# Domains of people, not of companies.
FREE_MAIL = frozenset(
    {
        *("163.com", "aol.com", "free.fr", "gmail.com", "gmx.at", "gmx.ch", "gmx.de", "gmx.net", "googlemail.com"),
        *("hotmail.co.uk", "hotmail.com", "hotmail.fr", "icloud.com", "laposte.net", "libero.it", "live.com"),
        *("mac.com", "mail.com", "mail.ru", "me.com", "msn.com", "naver.com", "orange.fr", "outlook.com"),
        *("proton.me", "protonmail.com", "qq.com", "t-online.de", "web.de", "yahoo.co.jp", "yahoo.co.uk"),
        *("yahoo.com", "yahoo.fr", "yandex.com", "yandex.ru", "zoho.com"),
    }
)


class Escalation(NamedTuple):
    """What makes a ticket an escalation: a tag, a priority or a group (by id)."""

    tags: frozenset[str]
    priorities: frozenset[str]
    groups: frozenset[str]

    def holds(self, tags: Iterable[str] | None, priority: str | None, group: object) -> bool:
        return (
            (bool(tags) and not self.tags.isdisjoint(tags or ()))
            or priority in self.priorities
            or (bool(self.groups) and str(group) in self.groups)
        )


class Mark(NamedTuple):
    """What has been told of the undated things of a ticket, and under which account key."""

    account_key: str
    priority: str = ""
    reopens: int = 0
    escalated: bool = False
    rating: str = ""

    def __str__(self) -> str:
        """Words with a space between them, the key last: one short text for each ticket in the cursor."""
        key, priority, reopens, escalated, rating = self
        return f"{priority} {reopens} {'escalated' if escalated else ''} {rating} {key}"

    @classmethod
    def read(cls, text: str) -> Mark:
        priority, reopens, escalated, rating, key = text.split(" ", 4)
        return cls(key, priority, int(reopens), escalated == "escalated", rating)


def domain_of(user: User | None, ignored: Container[str]) -> str | None:
    """The company domain of a customer's e-mail address; None for staff, free mail and what is no address."""
    if user is None or user.role != "end-user":
        return None
    _, at, domain = (user.email or "").strip().lower().rpartition("@")
    known = at and "." in domain and domain not in FREE_MAIL and domain not in ignored
    return domain if known else None


def account_key(row: Ticket, users: Mapping[int, User], ignored: Container[str]) -> str | None:
    """The organization's id, or `domain:<d>` of the requester when the ticket has none; None if neither is
    known.
    """
    if row.organization_id is not None:
        return str(row.organization_id)
    domain = domain_of(users.get(row.requester_id or 0), ignored)
    return f"domain:{domain}" if domain else None


def mark(row: Ticket, key: str, escalation: Escalation) -> Mark:
    """The undated things as they stand in this row."""
    priority, rated, metrics = row.priority, row.satisfaction_rating, row.metric_set
    score = (rated.score if rated else None) or ""
    rating = "good" if score.startswith("good") else "bad" if score.startswith("bad") else ""
    reopens = (metrics.reopens if metrics else None) or 0
    escalated = escalation.holds(row.tags, priority, row.group_id)
    return Mark(key, priority if priority in SEVERITY else "", reopens, escalated, rating)


def dated(source: str, row: Ticket, key: str, reopens: int) -> Iterator[Event]:
    """The facts whose dates the ticket itself holds. Raises `OverflowError` for a date beyond all calendars."""
    number, created, metrics = row.id, row.created_at, row.metric_set
    yield Event(source, f"{number}/created", key, None, "ticket.created", created, 1.0)
    if row.status in SOLVED:
        solved = (metrics.solved_at if metrics else None) or row.updated_at
        hours = max(0.0, (solved - created).total_seconds() / 3600)
        yield Event(source, f"{number}/solved/{reopens + 1}", key, None, "ticket.solved", solved, hours)
    if metrics and (reply := metrics.reply_time_in_minutes) and (minutes := reply.calendar) is not None:
        replied = created + timedelta(minutes=minutes)
        yield Event(source, f"{number}/first_reply", key, None, "ticket.first_reply", replied, minutes)


def undated(source: str, row: Ticket, told: Mark | None, found: Mark, *, history: bool) -> Iterator[Event]:
    """What is new in `found` against what was `told`, dated by the ticket's last update.

    With `history` the priority, reopens and escalation are dated by the ticket's events instead.
    """
    before = told if told and told.account_key == found.account_key else Mark(found.account_key)
    number, at, key = row.id, row.updated_at, found.account_key
    if found.rating and found.rating != before.rating:
        name, value = f"{number}/csat/{found.rating}", RATING[found.rating]
        yield Event(source, name, key, None, "csat.response", at, value, found.rating)
    if history:
        return
    if found.priority and found.priority != before.priority:
        yield severity(source, number, key, found.priority, at)
    for n in range(before.reopens + 1, found.reopens + 1):
        yield Event(source, f"{number}/reopened/{n}", key, None, "ticket.reopened", at, 1.0)
    if found.escalated and not before.escalated:
        yield Event(source, f"{number}/escalated", key, None, "ticket.escalated", at, 1.0)


def severity(source: str, number: int, key: str, priority: str, at: datetime) -> Event:
    """How urgent the ticket became: 1 low to 4 urgent, labelled with the priority."""
    name = f"{number}/severity/{priority}"
    return Event(source, name, key, None, "ticket.severity", at, SEVERITY[priority], priority)


def own_words(row: Ticket) -> str | None:
    """Subject and description, when the requester wrote them; an agent's words on somebody's behalf are
    not.
    """
    if row.submitter_id not in (None, row.requester_id):
        return None
    return f"{row.subject or ''}. {row.description or ''}"


def changes(source: str, audit: Audit, escalation: Escalation) -> Iterator[Event]:
    """The dated changes in one entry of the ticket event export, under the ticket's number instead of its key.

    Raises `TypeError` on a bad row.
    """
    number, at, key = audit.ticket_id, audit.created_at, str(audit.ticket_id)
    for child in audit.child_events or ():
        if child.event_type not in ("Create", "Change"):
            continue
        if child.priority in SEVERITY:
            yield severity(source, number, key, child.priority, at)
        if child.previous_value in SOLVED and child.status in REOPENED:
            yield Event(source, f"{number}/reopened/{audit.id}", key, None, "ticket.reopened", at, 1.0)
        added = child.tags if child.event_type == "Create" else child.added_tags
        if escalation.holds(added, child.priority, child.group_id):
            yield Event(source, f"{number}/escalated", key, None, "ticket.escalated", at, 1.0)


@dataclass(frozen=True)
class Reader:
    """Turns a page of the ticket export into a `Page`; `marks` and `seen` are what earlier pages have told.

    `seen`: when the stream was last read to its end, in seconds since 1970.
    """

    source: str
    escalation: Escalation
    ignored: frozenset[str]
    history: bool
    score: Callable[[str], float | None] | None

    def read(self, rows: Sequence[Raw], users: Sequence[Raw], marks: dict[str, str], seen: int | None) -> Page:
        """The facts of these rows; `marks` is brought up to date.

        A deleted ticket's facts are all retracted (unless this is the first reading, which told none): most deletions
        are spam, duplicates and tests, and what is left is a husk. A ticket that comes twice counts as it came last.
        """
        rejected: list[Rejected] = []
        known = {one.id: one for one in decoded(users, exports.user, "user", rejected)}
        events: list[Event] = []
        gone: list[str] = []
        counts: Counter[str] = Counter()
        domains: set[str] = set()
        for row in {one.id: one for one in decoded(rows, exports.ticket, "ticket", rejected)}.values():
            key = account_key(row, known, self.ignored)
            if row.status == "deleted":
                if marks.pop(str(row.id), None) or seen is not None:
                    gone.append(str(row.id))
            elif key is None:
                counts["tickets_without_customer"] += 1
            else:
                try:
                    events += self._facts(row, key, marks, seen, counts)
                except OverflowError:
                    rejected.append(Rejected(f"ticket {row.id}", "a date is beyond the calendar"))
                    continue
                if row.organization_id is None:
                    domains.add(key)
        directory = [domain_key(self.source, key) for key in sorted(domains)]
        return Page(events=events, keys=directory, retracts=gone, rejected=rejected, counts=counts)

    def _facts(
        self, row: Ticket, key: str, marks: dict[str, str], seen: int | None, counts: Counter[str]
    ) -> list[Event]:
        number, closed = str(row.id), row.status == "closed"
        found = mark(row, key, self.escalation)
        events = list(dated(self.source, row, key, found.reopens))
        told = Mark.read(marks.pop(number)) if number in marks else None
        # A closed ticket is forgotten, and comes again when the vendor touches it: what it had to tell is told.
        if told or not closed or seen is None or row.created_at.timestamp() > seen:
            events += undated(self.source, row, told, found, history=self.history)
        if self.score and (told is None or told.account_key != key):
            events += self._sentiment(row, key, counts)
        if not closed:
            marks[number] = str(found)
        return events

    def _sentiment(self, row: Ticket, key: str, counts: Counter[str]) -> Iterator[Event]:
        words = own_words(row)
        value = self.score(words) if self.score and words else None
        if value is not None:
            yield Event(self.source, f"{row.id}/sentiment", key, None, "ticket.sentiment", row.created_at, value)
        elif words:
            counts["unscored_texts"] += 1


def domain_key(source: str, key: str) -> Key:
    """The directory entry of a requesters' domain."""
    domain = key.removeprefix("domain:")
    return Key(source, key, domain, (domain,))

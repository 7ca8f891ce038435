"""What a Zendesk ticket says, as dated facts; pure.

A ticket export row is the ticket of *today*. What its own dates vouch for (created, solved, first reply) is dated by
them. The rest (priority, reopens, escalation, rating) has no date; but it was already true when the row was last
updated, so it is dated then, which is never too early. It is told once and never moved: `Mark` remembers what of a
ticket has been told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from connectors.base import Event, Key, Page, Rejected

Row = Mapping[str, Any]

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

    def holds(self, row: Row) -> bool:
        return (
            (row.get("tags") and not self.tags.isdisjoint(row["tags"]))
            or row.get("priority") in self.priorities
            or (self.groups and str(row.get("group_id")) in self.groups)
            or False
        )


class Mark(NamedTuple):
    """What has been told of the undated things of a ticket, and under which account key."""

    account_key: str
    priority: str = ""
    reopens: int = 0
    escalated: int = 0
    rating: str = ""


def moment(text: str) -> datetime:
    """A Zendesk date, aware, in UTC. Raises `ValueError` or `TypeError` when it is none."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def domain_of(user: Row | None, ignored: frozenset[str]) -> str | None:
    """The company domain of a customer's e-mail address; None for staff, free mail and what is no address."""
    if user is None or user.get("role", "end-user") != "end-user":
        return None
    _, at, domain = str(user.get("email") or "").strip().lower().rpartition("@")
    known = at and "." in domain and domain not in FREE_MAIL and domain not in ignored
    return domain if known else None


def account_key(row: Row, users: Mapping[Any, Row], ignored: frozenset[str]) -> str | None:
    """The organization's id, or `domain:<d>` of the requester when the ticket has none; None if neither is
    known.
    """
    organization = row.get("organization_id")
    if organization is not None:
        return str(organization)
    domain = domain_of(users.get(row.get("requester_id")), ignored)
    return f"domain:{domain}" if domain else None


def mark(row: Row, key: str, escalation: Escalation) -> Mark:
    """The undated things as they stand in this row."""
    priority = row.get("priority")
    score = (row.get("satisfaction_rating") or {}).get("score") or ""
    rating = "good" if score.startswith("good") else "bad" if score.startswith("bad") else ""
    reopens = (row.get("metric_set") or {}).get("reopens") or 0
    return Mark(key, priority if priority in SEVERITY else "", reopens, int(escalation.holds(row)), rating)


def dated(source: str, row: Row, key: str, reopens: int) -> list[Event]:
    """The facts whose dates the ticket itself holds. Raises `KeyError`, `ValueError`, `TypeError` on a bad
    row.
    """
    number, created = row["id"], moment(row["created_at"])
    metrics = row.get("metric_set") or {}
    found = [Event(source, f"{number}/created", key, None, "ticket.created", created, 1.0)]
    if row.get("status") in SOLVED:
        solved = moment(metrics.get("solved_at") or row["updated_at"])
        hours = max(0.0, (solved - created).total_seconds() / 3600)
        found.append(Event(source, f"{number}/solved/{reopens + 1}", key, None, "ticket.solved", solved, hours))
    minutes = (metrics.get("reply_time_in_minutes") or {}).get("calendar")
    if minutes is not None:
        replied = created + timedelta(minutes=minutes)
        name = f"{number}/first_reply"
        found.append(Event(source, name, key, None, "ticket.first_reply", replied, float(minutes)))
    return found


def undated(source: str, row: Row, told: Mark | None, found: Mark, *, history: bool) -> Iterator[Event]:
    """What is new in `found` against what was `told`, dated by the ticket's last update.

    With `history` the priority, reopens and escalation are dated by the ticket's events instead.
    """
    before = told if told and told.account_key == found.account_key else Mark(found.account_key)
    number, at, key = row["id"], moment(row["updated_at"]), found.account_key
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


def own_words(row: Row) -> str | None:
    """Subject and description, when the requester wrote them; an agent's words on somebody's behalf are
    not.
    """
    if row.get("submitter_id") not in (None, row.get("requester_id")):
        return None
    return f"{row.get('subject') or ''}. {row.get('description') or ''}"


def changes(source: str, audit: Row, key: str, escalation: Escalation) -> Iterator[Event]:
    """The dated changes in one entry of the ticket event export.

    Each child names the field it set as a key of its own, with `previous_value` beside it; changed tags
    come with `added_tags`. Raises `KeyError`, `ValueError`, `TypeError` on a bad row.
    """
    number, at = audit["ticket_id"], moment(audit["created_at"])
    for child in audit.get("child_events") or ():
        kind = child.get("event_type")
        if kind not in ("Create", "Change"):
            continue
        if child.get("priority") in SEVERITY:
            yield severity(source, number, key, child["priority"], at)
        if child.get("previous_value") in SOLVED and child.get("status") in REOPENED:
            name = f"{number}/reopened/{audit['id']}"
            yield Event(source, name, key, None, "ticket.reopened", at, 1.0)
        added = child.get("tags") if kind == "Create" else child.get("added_tags")
        if escalation.holds({**child, "tags": added}):
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

    def read(self, rows: Iterable[Row], users: Iterable[Row], marks: dict[str, Any], seen: int | None) -> Page:
        """The facts of these rows; `marks` is brought up to date.

        A deleted ticket's facts are all retracted (unless this is the first reading, which told none): most deletions
        are spam, duplicates and tests, and what is left is a husk. A ticket that comes twice counts as it came last.
        """
        known = {user["id"]: user for user in users if "id" in user}
        latest = {str(row["id"]): row for row in rows if "id" in row}
        events: list[Event] = []
        gone: list[str] = []
        rejected: list[Rejected] = []
        counts: Counter[str] = Counter()
        for number, row in latest.items():
            key = account_key(row, known, self.ignored)
            if row.get("status") == "deleted":
                if marks.pop(number, None) or seen is not None:
                    gone.append(number)
            elif key is None:
                counts["tickets_without_customer"] += 1
            else:
                try:
                    events += self._facts(row, key, marks, seen, counts)
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    rejected.append(Rejected(f"ticket {number}", odd(error)))
        keys = sorted({event.account_key for event in events if event.account_key.startswith("domain:")})
        return Page(
            events=events,
            keys=[domain_key(self.source, key) for key in keys],
            retracts=gone,
            rejected=rejected,
            counts=counts,
        )

    def _facts(self, row: Row, key: str, marks: dict[str, Any], seen: int | None, counts: Counter[str]) -> list[Event]:
        number, closed = str(row["id"]), row.get("status") == "closed"
        told = Mark(*marks[number]) if number in marks else None
        found = mark(row, key, self.escalation)
        events = dated(self.source, row, key, found.reopens)
        # A closed ticket is forgotten, and comes again when the vendor touches it: what it had to tell is told.
        if told or not closed or seen is None or events[0].occurred_at.timestamp() > seen:
            events += undated(self.source, row, told, found, history=self.history)
        if self.score and (told is None or told.account_key != key):
            events += self._sentiment(row, key, events[0].occurred_at, counts)
        marks.pop(number, None)
        if not closed:
            marks[number] = list(found)
        return events

    def _sentiment(self, row: Row, key: str, at: datetime, counts: Counter[str]) -> Iterator[Event]:
        words = own_words(row)
        value = self.score(words) if self.score and words else None
        if value is not None:
            yield Event(self.source, f"{row['id']}/sentiment", key, None, "ticket.sentiment", at, value)
        elif words:
            counts["unscored_texts"] += 1


def odd(error: Exception) -> str:
    """Why a row was refused, without what is in it."""
    return f"a field is missing or not what it should be ({type(error).__name__})"


def domain_key(source: str, key: str) -> Key:
    """The directory entry of a requesters' domain."""
    domain = key.removeprefix("domain:")
    return Key(source, key, domain, (domain,))

"""Ticket events: what changed in a ticket, when, and what it was before; one event for one update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.sandbox.tickets import Change, Ticket
from connectors.sandbox.zendesk_directory import AGENT, USER, Record, stamp
from connectors.sandbox.zendesk_records import GROUP, so_far

BY_REQUESTER = frozenset({"opened", "reopened", "rated"})
_NAMES = {"score": "satisfaction_score"}


def events_of(ticket: Ticket, now: float) -> Iterator[tuple[int, int, Ticket]]:
    """(time, id, ticket) of each update so far; a system's touch is none."""
    for number, change in enumerate(so_far(ticket, now)):
        if change.kind != "touched":
            yield change.at, ticket.id * 100 + number, ticket


def event_record(ticket: Ticket, event: int) -> Record:
    """The event of this id, with what the ticket was like before it."""
    number = event - ticket.id * 100
    before: dict[str, Any] = {}
    for earlier in ticket.changes[:number]:
        before |= earlier.sets
    change = ticket.changes[number]
    return {
        "id": event,
        "ticket_id": ticket.id,
        "timestamp": change.at,
        "created_at": stamp(change.at),
        "updater_id": _updater(ticket, change),
        "via": "Mail",
        "system": {},
        "event_type": "Audit",
        "child_events": list(_children(change, event, before)),
    }


def _updater(ticket: Ticket, change: Change) -> int:
    if change.by is not None:
        return AGENT + change.by
    if change.kind in BY_REQUESTER:
        return USER + ticket.company.number * 100 + ticket.contact
    return -1  # the vendor's word for "the system"


def _children(change: Change, number: int, before: dict[str, Any]) -> Iterator[Record]:
    kind = "Create" if change.kind == "opened" else "Change"
    fields = {_NAMES.get(name, name): value for name, value in change.sets.items()}
    old = {_NAMES.get(name, name): value for name, value in before.items()}
    child = number * 10
    if change.kind in ("opened", "replied", "reopened"):
        yield _child(child, "Comment") | {"comment_present": True, "comment_public": True}
    for name, value in fields.items():
        if kind == "Change" and old.get(name) == value:
            continue
        child += 1
        yield _child(child, kind) | _told(name, value, old.get(name), kind)


def _child(number: int, kind: str) -> Record:
    return {"id": number, "via": "Mail", "via_reference_id": None, "event_type": kind}


def _told(name: str, value: Any, before: Any, kind: str) -> Record:
    """A changed field; of tags also which came and which went."""
    told: Record = {name: _outside(name, value)}
    if kind == "Create":
        return told
    told["previous_value"] = _outside(name, before)
    if name == "tags":
        told["added_tags"] = [tag for tag in value if tag not in (before or [])]
        told["removed_tags"] = [tag for tag in before or [] if tag not in value]
    return told


def _outside(name: str, value: Any) -> Any:
    """Ids as the vendor writes them in events: as strings."""
    if value is None:
        return None
    offsets = {"group_id": GROUP, "assignee_id": AGENT}
    return str(offsets[name] + value) if name in offsets else value

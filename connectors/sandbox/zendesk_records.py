"""The world's tickets as Zendesk's records, with their metric sets.

The shapes follow what real accounts answer, nulls included, which the published specification does not admit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from connectors.sandbox.tickets import Change, Ticket
from connectors.sandbox.zendesk_directory import AGENT, Record, contact_of, stamp

GROUP = 48 * 10**12
BRAND, FORM, STATUS = 49 * 10**12 + 1, 49 * 10**12 + 2, 49 * 10**12 + 3
VIA: Record = {"channel": "email", "source": {"from": {}, "to": {}, "rel": None}}


def so_far(ticket: Ticket, now: float) -> Sequence[Change]:
    """The part of the ticket's course that has happened."""
    return ticket.changes[: bisect_right(ticket.changes, now, key=lambda change: change.at)]


def ticket_record(ticket: Ticket, now: float, base: str) -> Record:
    """The ticket as it stands: only its present state shows, whenever that came about."""
    changes = so_far(ticket, now)
    state: Record = {"assignee_id": None, "score": None}
    for change in changes:
        state |= change.sets
    gone = state["status"] == "deleted"
    requester = contact_of(ticket.company, ticket.contact)
    subject = "SCRUBBED" if gone else ticket.subject
    return {
        "url": f"{base}api/v2/tickets/{ticket.id}.json",
        "id": ticket.id,
        "external_id": None,
        "via": VIA,
        "created_at": stamp(ticket.changes[0].at),
        "updated_at": stamp(next(c.at for c in reversed(changes) if c.kind != "touched")),
        "generated_timestamp": changes[-1].at,
        "type": None,
        "subject": subject,
        "raw_subject": subject,
        "description": "X" if gone else ticket.text,
        "priority": state["priority"],
        "status": state["status"],
        "recipient": None,
        "requester_id": requester.id,
        "submitter_id": requester.id,
        "assignee_id": _agent(state["assignee_id"]),
        "organization_id": requester.organization,
        "group_id": GROUP + state["group_id"],
        "collaborator_ids": [],
        "follower_ids": [],
        "email_cc_ids": [],
        "forum_topic_id": None,
        "problem_id": None,
        "has_incidents": False,
        "is_public": True,
        "due_at": None,
        "tags": list(state["tags"]),
        "custom_fields": [],
        "satisfaction_rating": _rating(ticket, state),
        "sharing_agreement_ids": [],
        "custom_status_id": STATUS,
        "fields": [],
        "followup_ids": [],
        "ticket_form_id": FORM,
        "brand_id": BRAND,
        "allow_channelback": False,
        "allow_attachments": True,
        "from_messaging_channel": False,
    }


def metric_set(ticket: Ticket, now: float, base: str) -> Record:
    """How long the ticket's people waited so far; a resolution that was undone does not count."""
    changes = so_far(ticket, now)
    opened = changes[0].at
    solved = [change.at for change in changes if change.kind == "solved"]
    replied = [change.at for change in changes if change.by is not None and change.kind == "replied"]
    reopened = [change.at for change in changes if change.kind == "reopened"]
    resolved = solved[-1] if len(solved) > len(reopened) else None
    return {
        "url": f"{base}api/v2/ticket_metrics/{ticket.id}.json",
        "id": ticket.id,
        "ticket_id": ticket.id,
        "created_at": stamp(opened),
        "updated_at": stamp(changes[-1].at),
        "group_stations": 1 + any(change.kind == "escalated" for change in changes),
        "assignee_stations": 1 if replied else 0,
        "reopens": len(reopened),
        "replies": len(replied) + len(solved),
        "assignee_updated_at": stamp(replied[0]) if replied else None,
        "requester_updated_at": stamp(reopened[-1] if reopened else opened),
        "status_updated_at": stamp(changes[-1].at),
        "initially_assigned_at": stamp(replied[0]) if replied else None,
        "assigned_at": stamp(replied[0]) if replied else None,
        "solved_at": stamp(resolved) if resolved else None,
        "latest_comment_added_at": stamp(changes[-1].at),
        "reply_time_in_minutes": _waited(opened, replied[0] if replied else None),
        "first_resolution_time_in_minutes": _waited(opened, solved[0] if solved else None),
        "full_resolution_time_in_minutes": _waited(opened, resolved),
        "agent_wait_time_in_minutes": _waited(opened, None),
        "requester_wait_time_in_minutes": _waited(opened, resolved),
        "on_hold_time_in_minutes": {"calendar": 0, "business": 0},
    }


def _rating(ticket: Ticket, state: Record) -> Record | None:
    if state["score"] is None:
        return {"score": "offered" if state["status"] in ("solved", "closed") else "unoffered"}
    return {"id": ticket.id * 10 + 1, "score": state["score"], "comment": None}


def _agent(number: int | None) -> int | None:
    return None if number is None else AGENT + number


def _waited(since: int, until: int | None) -> Record:
    if until is None:
        return {"calendar": None, "business": None}
    minutes = (until - since) // 60
    return {"calendar": minutes, "business": minutes * 2 // 5}

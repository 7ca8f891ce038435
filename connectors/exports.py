"""The rows of Zendesk's exports, typed: of each only what is read, within the bounds that a sane row keeps.

Decoding straight into these skips the nine tenths of a ticket that nobody reads, and what arrives has been checked:
https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/ A row that does not fit
is refused alone, with its id and the field that is wrong, never with what stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from msgspec import DecodeError, Meta, Raw, Struct, ValidationError
from msgspec.json import Decoder

from connectors.base import Rejected

Moment = Annotated[datetime, Meta(tz=True)]
Minutes = Annotated[float, Meta(ge=0, le=100 * 366 * 1440)]
Times = Annotated[int, Meta(ge=0, le=1000)]


class Body(Struct, gc=False):
    """A page of any export; its rows are decoded one by one."""

    organizations: list[Raw] | None = None
    users: list[Raw] | None = None
    tickets: list[Raw] | None = None
    ticket_events: list[Raw] | None = None
    after_cursor: str | None = None
    end_time: int | None = None
    end_of_stream: bool = False


class Organization(Struct, gc=False):
    id: int
    name: str | None = None
    external_id: str | None = None
    domain_names: list[str] | None = None
    organization_fields: dict[str, Any] | None = None


class User(Struct, gc=False):
    id: int
    email: str | None = None
    role: str | None = "end-user"
    organization_id: int | None = None


class Reply(Struct, gc=False):
    calendar: Minutes | None = None


class Metrics(Struct, gc=False):
    reopens: Times | None = None
    solved_at: Moment | None = None
    reply_time_in_minutes: Reply | None = None


class Rating(Struct, gc=False):
    score: str | None = None


class Ticket(Struct, gc=False):
    id: int
    created_at: Moment
    updated_at: Moment
    status: str | None = None
    priority: str | None = None
    organization_id: int | None = None
    group_id: int | None = None
    requester_id: int | None = None
    submitter_id: int | None = None
    subject: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    satisfaction_rating: Rating | None = None
    metric_set: Metrics | None = None


class Child(Struct, gc=False):
    """One part of a ticket event. A change names the field it set as a key of its own, beside `previous_value`.

    Parts of other kinds may use the same words for other things, so nothing is asked of their types.
    """

    event_type: Any = None
    status: Any = None
    priority: Any = None
    group_id: Any = None
    tags: Any = None
    added_tags: Any = None
    previous_value: Any = None


class Audit(Struct, gc=False):
    """An entry of the ticket event export."""

    id: int
    ticket_id: int
    created_at: Moment
    child_events: list[Child] | None = None


class _Numbered(Struct, gc=False):
    id: int


T = TypeVar("T", Organization, User, Ticket, Audit)

organization, user = Decoder(Organization), Decoder(User)
ticket, audit = Decoder(Ticket), Decoder(Audit)
_body, _number = Decoder(Body).decode, Decoder(_Numbered).decode

# Every escape in turn: a pair that makes one character, half of such a pair, or any other.
_ESCAPE = re.compile(rb"\\(?:u(d[89ab]..\\ud[c-f]..)|u(d[89a-f]..)|.)", re.IGNORECASE)


def body(answer: bytes) -> Body:
    """A page. Half a character (as where a text was cut inside an emoji) is replaced by the sign for an unknown one.

    Raises `ValueError` or `RecursionError` when it is no page.
    """
    try:
        return _body(answer)
    except ValidationError:
        raise
    except DecodeError:
        return _body(_ESCAPE.sub(lambda found: b"\\ufffd" if found[2] else found[0], answer))


def decoded(rows: Iterable[Raw], decoder: Decoder[T], what: str, rejected: list[Rejected]) -> list[T]:
    """The rows that are what they should be; the others are told in `rejected`."""
    found: list[T] = []
    decode, keep = decoder.decode, found.append
    for place, row in enumerate(rows, 1):
        try:
            keep(decode(row))
        except (ValueError, RecursionError) as error:
            rejected.append(Rejected(_place(row, what, place), _reason(error)))
    return found


def _place(row: Raw, what: str, place: int) -> str:
    try:
        return f"{what} {_number(row).id}"
    except (ValueError, RecursionError):
        return f"{what} {place} of its page"


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):  # names types and our own fields, not what stands in them
        return str(error).replace("$.", "").replace("`", "")
    kind = "JSON" if isinstance(error, DecodeError | RecursionError) else "text"
    return f"it is not {kind}"

"""A stand-in for Zendesk Support, on the contract's side: the incremental exports and what they tell.

Tickets and users are paged by cursor; organizations and ticket events only by time. Paths work with and without
`.json`, as at the vendor.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.clock import Clock
from connectors.sandbox import zendesk_directory as directory
from connectors.sandbox import zendesk_records as records
from connectors.sandbox.credentials import ZENDESK_AGENT, basic
from connectors.sandbox.faults import Profile
from connectors.sandbox.tickets import AGENTS, Ticket, opened_on
from connectors.sandbox.world import World
from connectors.sandbox.zendesk_directory import Record
from connectors.sandbox.zendesk_events import event_record, events_of
from connectors.sandbox.zendesk_export import Item, Refused, by_cursor, by_time
from connectors.sandbox.zendesk_gate import Answer, Gate

MOST_SHOWN = 100  # tickets a call of show_many


def app(world: World, clock: Clock, faults: Profile, *, told: Clock) -> Starlette:
    """The vendor's application over this world. What goes wrong here goes wrong at the door: no rows are written.

    `told`: up to when it has heard of tickets.
    """
    del faults
    desk, gate = _Desk(world), Gate(clock, told)
    exports: dict[str, Answer] = {
        "incremental/tickets/cursor": desk.tickets,
        "incremental/users/cursor": desk.users,
        "incremental/organizations": desk.organizations,
        "incremental/ticket_events": desk.ticket_events,
    }
    others: dict[str, Answer] = {
        "tickets/show_many": desk.show_many,
        "users/me": desk.me,
        "organizations/count": desk.organizations_count,
    }
    routes = [Route("/oauth/tokens", gate.sign_in, methods=["POST"])]
    for path, answer in (exports | others).items():
        handler = gate.guarded(answer, export=path in exports)
        routes += [Route(f"/api/v2/{path}{ending}", handler) for ending in ("", ".json")]
    served = Starlette(routes=routes, exception_handlers={404: _not_found})
    served.state.expire = gate.expire
    return served


async def _not_found(request: Request, _: Exception) -> Response:
    return JSONResponse({"error": "RecordNotFound", "description": "Not found"}, status_code=404)


class _Desk:
    """What the support desk knows. Tickets are opened as the clock passes their day, and kept."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._organizations = {organization.id: organization for organization in directory.organizations(world)}
        self._people = {person.id: person for person in directory.people(world)}
        self._tickets: list[Ticket] = []
        self._next_day = 0

    def tickets(self, request: Request, now: datetime) -> dict[str, Any]:
        sheet = by_cursor(request, self._generated(now), now)
        return self._told(request, [ticket for _, _, ticket in sheet.items], now.timestamp()) | sheet.around

    def show_many(self, request: Request, now: datetime) -> dict[str, Any]:
        """The tickets of these ids; the deleted and the unknown are left out without a word."""
        wanted = _ids(request)
        there = [ticket for _, number, ticket in self._generated(now) if number in wanted]
        moment = now.timestamp()
        shown = [ticket for ticket in there if records.so_far(ticket, moment)[-1].kind != "deleted"]
        around = {"next_page": None, "previous_page": None, "count": len(shown)}
        return self._told(request, shown, moment) | around

    def _told(self, request: Request, tickets: list[Ticket], moment: float) -> dict[str, Any]:
        """The tickets' records, and beside them what was asked to be included."""
        base = str(request.base_url)
        told = [records.ticket_record(ticket, moment, base) for ticket in tickets]
        included = request.query_params.get("include", "").split(",")
        body: dict[str, Any] = {"tickets": told, **self._beside(told, included, base)}
        if "metric_sets" in included:  # as recorded: on every ticket, and once more beside them
            sets = [records.metric_set(ticket, moment, base) for ticket in tickets]
            for record, metrics in zip(told, sets, strict=True):
                record["metric_set"] = metrics
            body["metric_sets"] = sets
        return body

    def _beside(self, told: list[Record], included: list[str], base: str) -> dict[str, Any]:
        """The users and organizations of these tickets, where they were asked for."""
        body: dict[str, Any] = {}
        if "users" in included:
            wanted = dict.fromkeys(record["requester_id"] for record in told)
            body["users"] = [directory.user_record(self._people[number], base) for number in wanted]
        if "organizations" in included:
            wanted = dict.fromkeys(record["organization_id"] for record in told if record["organization_id"])
            body["organizations"] = [
                directory.organization_record(self._organizations[number], base) for number in wanted
            ]
        return body

    def users(self, request: Request, now: datetime) -> dict[str, Any]:
        people: Iterable[Item] = ((person.changed, person.id, person) for person in self._people.values())
        sheet = by_cursor(request, people, now)
        base = str(request.base_url)
        return {"users": [directory.user_record(person, base) for _, _, person in sheet.items], **sheet.around}

    def organizations(self, request: Request, now: datetime) -> dict[str, Any]:
        sheet = by_time(request, ((o.changed, o.id, o) for o in self._organizations.values()), now)
        base = str(request.base_url)
        told = [directory.organization_record(organization, base) for _, _, organization in sheet.items]
        return {"organizations": told, **sheet.around}

    def ticket_events(self, request: Request, now: datetime) -> dict[str, Any]:
        self._open_until(now)
        moment = now.timestamp()
        sheet = by_time(request, (e for ticket in self._tickets for e in events_of(ticket, moment)), now)
        return {"ticket_events": [event_record(ticket, event) for _, event, ticket in sheet.items], **sheet.around}

    def me(self, request: Request, now: datetime) -> dict[str, Any]:
        number = directory.AGENT + (directory.ADMIN if basic(request) != ZENDESK_AGENT else AGENTS[0])
        return {"user": directory.user_record(self._people[number], str(request.base_url))}

    def organizations_count(self, request: Request, now: datetime) -> dict[str, Any]:
        moment = now.timestamp()
        there = sum(organization.changed <= moment for organization in self._organizations.values())
        return {"count": {"value": there, "refreshed_at": directory.stamp(moment)}}

    def _generated(self, now: datetime) -> Iterable[Item]:
        """Every ticket by the time of its last change."""
        self._open_until(now)
        moment = now.timestamp()
        for ticket in self._tickets:
            if changes := records.so_far(ticket, moment):
                yield changes[-1].at, ticket.id, ticket

    def _open_until(self, now: datetime) -> None:
        while self._next_day <= self._world.day_of(now):
            self._tickets.extend(opened_on(self._world, self._next_day))
            self._next_day += 1


def _ids(request: Request) -> frozenset[int]:
    asked = request.query_params.get("ids", "").split(",")
    if len(asked) > MOST_SHOWN or not all(number.isdigit() for number in asked):
        raise Refused(400, "InvalidValue", f"ids is not a list of 1 to {MOST_SHOWN} numbers")
    return frozenset(map(int, asked))

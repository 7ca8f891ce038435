"""Zendesk Support: tickets as facts, organizations and requesters' domains as the directory.

Reads the incremental exports (admins only, 10 calls a minute), whose cursor is kept after the end of the
stream: https://developer.zendesk.com/documentation/ticketing/managing-tickets/using-the-incremental-export-
api/ Signs in by OAuth (client credentials, or a refresh token); API tokens are a legacy that ends in April 2027.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal, Self

import httpx
from msgspec import Raw
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from connectors import exports, tickets
from connectors.base import Cursor, Event, Finding, Key, KeyIs, Page, Rejected, Tools
from connectors.errors import AgainNow, ConnectorError
from connectors.exports import Body, Organization, decoded
from connectors.findings import failed
from connectors.rest import Rest
from connectors.signin import Auth, Basic, Token, Tokens, token
from connectors.text import sentiment
from connectors.tokens import REFUSED, Refreshing

SETTLING = timedelta(minutes=1)  # the exports leave out the last minute
NEWEST_START = timedelta(minutes=10)  # and refuse to begin later than this
TOKEN_LIFE = timedelta(minutes=30)  # where the sign-in does not say
MOST_SHOWN = 100  # tickets a call of show_many
MOST_MARKS = 20_000  # tickets not yet closed that are remembered in the cursor

Rows = Literal["organizations", "users", "tickets", "ticket_events"]


class Escalated(BaseModel):
    """What makes a ticket an escalation; any of these does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: frozenset[str] = frozenset()
    priorities: frozenset[str] = frozenset()
    groups: frozenset[int] = frozenset()


class Settings(BaseModel):
    """How to reach one Zendesk account and what to read from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subdomain: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] | None = None
    base_url: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    refresh_token_file: str | None = None
    email: str | None = None
    api_token: SecretStr | None = None
    history: bool = False
    escalated: Escalated = Escalated(tags=frozenset({"escalated"}))
    sentiment: bool = True
    crm_id_field: str | None = None
    ignore_domains: frozenset[str] = frozenset()
    exports_per_minute: Annotated[int, Field(ge=1)] = 10

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.subdomain and not self.base_url:
            raise ValueError("give the subdomain (the part before .zendesk.com)")
        oauth, legacy = (self.client_id, self.client_secret), (self.email, self.api_token)
        if all(oauth) == all(legacy) or any(oauth) == any(legacy):
            raise ValueError("give client_id and client_secret (or, as a legacy, email and api_token)")
        if self.refresh_token_file and not all(oauth):
            raise ValueError("refresh_token_file goes with client_id and client_secret")
        return self


class Zendesk:
    """A source of support facts; its keys are organization ids, or `domain:<d>` where a ticket has none."""

    key_is: KeyIs = "own"

    def __init__(
        self, name: str, settings: Settings, tools: Tools, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.name, self._settings, self._tools = name, settings, tools
        self.names = _names(settings)
        self._reader = tickets.Reader(
            source=name,
            escalation=tickets.Escalation(
                settings.escalated.tags, settings.escalated.priorities, frozenset(map(str, settings.escalated.groups))
            ),
            ignored=frozenset(domain.lower() for domain in settings.ignore_domains),
            history=settings.history,
            score=sentiment if settings.sentiment else None,
        )
        self._rest = Rest(
            settings.base_url or f"https://{settings.subdomain}.zendesk.com",
            tools=tools,
            place=f"sources.{name}",
            auth=self._auth(),
            at_most=(settings.exports_per_minute, 60.0),
            hint="check the credential, and that its user is an admin (the exports are for admins only)",
            transport=transport,
        )
        self.address = self._rest.base_url

    @property
    def calls(self) -> Mapping[str, int]:
        return self._rest.calls

    def pull(self, cursor: Cursor | None, *, start: datetime, now: datetime) -> Iterator[Page]:
        """Organizations, users, tickets, and with `history` the ticket events; each page carries all cursors.

        A ticket stands in the stream at its *last* change, so nothing is complete before the end of the
        stream.
        """
        at: Cursor = dict(cursor or {})
        yield from self._organizations(at, now)
        yield from self._users(at)
        yield from self._tickets(at, start, now)
        if self._settings.history:
            yield from self._history(at, start, now)

    def check(self) -> Iterator[Finding]:
        start = int((self._tools.clock.now() - NEWEST_START).timestamp())
        try:
            self._export("organizations", {"start_time": start}, "organizations")
        except ConnectorError as error:
            yield failed(self._rest.place, error, "correct subdomain or base_url, the credential, or its user's role")
        else:
            yield Finding(self._rest.place, True, "signs in and may read the exports")

    def close(self) -> None:
        self._rest.close()

    def _auth(self) -> Auth:
        one, clock = self._settings, self._tools.clock
        if one.email and one.api_token:
            return Basic(f"{one.email}/token", one.api_token)
        if one.refresh_token_file is None:
            return Tokens(self._sign_in, clock=clock)
        file, place = self._tools.root / one.refresh_token_file, f"sources.{self.name}"
        return Tokens(Refreshing(file, self._refresh, clock=clock, life=TOKEN_LIFE, place=place), clock=clock)

    def _sign_in(self) -> Token:
        asked = self._tools.clock.now()
        answer = self._rest.sign_in("/oauth/tokens", {**self._app("client_credentials"), "scope": "read"})
        return token(answer, asked, life=TOKEN_LIFE, place=self._rest.place)

    def _refresh(self, refresh_token: str) -> object:
        words = {**self._app("refresh_token"), "refresh_token": refresh_token, "scope": "read"}
        return self._rest.sign_in("/oauth/tokens", words, hint=REFUSED)

    def _app(self, grant: str) -> dict[str, str]:
        secret = self._settings.client_secret
        return {
            "grant_type": grant,
            "client_id": self._settings.client_id or "",
            "client_secret": secret.get_secret_value() if secret else "",
        }

    def _export(self, path: str, params: Mapping[str, Any], rows: Rows) -> tuple[Body, Sequence[Raw]]:
        address = f"/api/v2/incremental/{path}.json"
        body = self._rest.get_json(address, params=params, label=rows, parse=exports.body)
        found: Sequence[Raw] | None = getattr(body, rows)
        if found is None:
            raise AgainNow(f"the export answered without {rows}", place=self._rest.place)
        return body, found

    def _timed(self, rows: Rows, at: Cursor, first: int, now: datetime) -> Iterator[tuple[Body, Sequence[Raw]]]:
        """The pages of a time-based export; `at` holds the second in which the next one begins.

        A page begins in the second in which the last one ended, so some rows come twice.
        """
        start = min(at.get(rows, first), int((now - NEWEST_START).timestamp()))
        while True:
            body, found = self._export(rows, {"start_time": start}, rows)
            # A second is never split between pages, so one that fills a page has been read whole.
            start = at[rows] = max(body.end_time or 0, start if body.end_of_stream else start + 1)
            yield body, found
            if body.end_of_stream or not found:
                return

    def _streamed(self, rows: Rows, at: Cursor, first: int, **more: str) -> Iterator[tuple[Body, Sequence[Raw]]]:
        """The pages of a cursor-based export; `at` holds the cursor, which outlives the end of the stream."""
        while True:
            place = {"cursor": at[rows]} if rows in at else {"start_time": first}
            body, found = self._export(f"{rows}/cursor", {**place, **more}, rows)
            stuck = not body.after_cursor or body.after_cursor == at.get(rows)
            if body.after_cursor:
                at[rows] = body.after_cursor
            yield body, found
            if body.end_of_stream or stuck:
                return

    def _organizations(self, at: Cursor, now: datetime) -> Iterator[Page]:
        for _, rows in self._timed("organizations", at, 1, now):
            rejected: list[Rejected] = []
            found = decoded(rows, exports.organization, "organization", rejected)
            yield Page(keys=[self._organization(row) for row in found], rejected=rejected, cursor=dict(at))

    def _organization(self, row: Organization) -> Key:
        fields = row.organization_fields or {}
        refs = {
            "external_id": row.external_id,
            "crm_id": fields.get(self._settings.crm_id_field) if self._settings.crm_id_field else None,
        }
        domains = tuple(domain.lower() for domain in row.domain_names or ())
        held = {name: str(value) for name, value in refs.items() if value}
        return Key(self.name, str(row.id), row.name, domains, held)

    def _users(self, at: Cursor) -> Iterator[Page]:
        for _, rows in self._streamed("users", at, 1):
            rejected: list[Rejected] = []
            users = decoded(rows, exports.user, "user", rejected)
            found = {tickets.domain_of(row, self._reader.ignored) for row in users if row.organization_id is None}
            keys = [tickets.domain_key(self.name, f"domain:{domain}") for domain in found if domain]
            yield Page(keys=sorted(keys), rejected=rejected, cursor=dict(at))

    def _tickets(self, at: Cursor, start: datetime, now: datetime) -> Iterator[Page]:
        first = int(min(start, now - NEWEST_START).timestamp())
        marks = dict(at.get("marks", {}))
        for body, rows in self._streamed("tickets", at, first, include="metric_sets,users"):
            page = self._reader.read(rows, body.users or (), marks, at.get("seen"))
            for oldest in list(islice(marks, max(0, len(marks) - MOST_MARKS))):
                del marks[oldest]
            at["marks"] = marks.copy()
            through = now - SETTLING if body.end_of_stream else None
            if through:
                at["seen"] = int(through.timestamp())
            yield replace(page, cursor=dict(at), through=None if self._settings.history else through)

    def _history(self, at: Cursor, start: datetime, now: datetime) -> Iterator[Page]:
        for body, rows in self._timed("ticket_events", at, int(start.timestamp()), now):
            through = now - SETTLING if body.end_of_stream else None
            yield replace(self._changes(rows), cursor=dict(at), through=through)

    def _changes(self, rows: Sequence[Raw]) -> Page:
        """Only the changes say which tickets matter, and only the tickets say whose they are."""
        rejected: list[Rejected] = []
        found: list[Event] = []
        for audit in decoded(rows, exports.audit, "ticket event", rejected):
            try:
                found += tickets.changes(self.name, audit, self._reader.escalation)
            except TypeError:
                rejected.append(Rejected(f"ticket event {audit.id}", "a field is not of the type it should be"))
        keys = self._account_keys(sorted({event.account_key for event in found}), rejected)
        events = [event._replace(account_key=keys[event.account_key]) for event in found if event.account_key in keys]
        return Page(events=events, rejected=rejected)

    def _account_keys(self, numbers: Sequence[str], rejected: list[Rejected]) -> dict[str, str]:
        keys: dict[str, str] = {}
        for first in range(0, len(numbers), MOST_SHOWN):
            asked = {"ids": ",".join(numbers[first : first + MOST_SHOWN]), "include": "users"}
            path = "/api/v2/tickets/show_many.json"
            body = self._rest.get_json(path, params=asked, label="show_many", paced=False, parse=exports.body)
            users = {row.id: row for row in decoded(body.users or (), exports.user, "user", rejected)}
            if body.tickets is None:
                raise AgainNow("show_many answered without tickets", place=self._rest.place)
            for row in decoded(body.tickets, exports.ticket, "ticket", rejected):
                key = tickets.account_key(row, users, self._reader.ignored)
                if key:
                    keys[str(row.id)] = key
        return keys


def _names(settings: Settings) -> tuple[str, ...]:
    always = ("ticket.created", "ticket.severity", "ticket.solved", "ticket.reopened", "ticket.first_reply")
    escalated = ("ticket.escalated",) if any(settings.escalated.model_dump().values()) else ()
    words = ("ticket.sentiment",) if settings.sentiment else ()
    return (*always, "csat.response", *escalated, *words)

"""Zendesk Support: tickets as facts, organizations and requesters' domains as the directory.

Reads the incremental exports (admins only, 10 calls a minute), whose cursor is kept after the end of the
stream: https://developer.zendesk.com/documentation/ticketing/managing-tickets/using-the-incremental-export-
api/ Signs in by OAuth client credentials; API tokens are a legacy that ends in April 2027.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from connectors import tickets
from connectors.base import Cursor, Event, Finding, Key, KeyIs, Page, Rejected, Tools
from connectors.errors import AgainNow, ConnectorError
from connectors.findings import failed
from connectors.rest import Rest
from connectors.signin import Auth, Basic, Token, Tokens
from connectors.text import sentiment
from connectors.tickets import Row

SETTLING = timedelta(minutes=1)  # the exports leave out the last minute
NEWEST_START = timedelta(minutes=10)  # and refuse to begin later than this
MOST_SHOWN = 100  # tickets a call of show_many
MOST_MARKS = 20_000  # tickets not yet closed that are remembered in the cursor


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
        one = self._settings
        if one.email and one.api_token:
            return Basic(f"{one.email}/token", one.api_token)
        return Tokens(self._sign_in, clock=self._tools.clock)

    def _sign_in(self) -> Token:
        one, asked = self._settings, self._tools.clock.now()
        secret = one.client_secret.get_secret_value() if one.client_secret else ""
        body = {
            "grant_type": "client_credentials",
            "client_id": one.client_id,
            "client_secret": secret,
            "scope": "read",
        }
        answer = self._rest.post_json("/oauth/tokens", body, label="sign_in", signed=False)
        try:
            # Renewed a little early, so that no call begins with a token that ends on the way.
            lives = timedelta(seconds=0.9 * float(answer.get("expires_in") or 1800))
            return Token(SecretStr(answer["access_token"]), asked + lives)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise AgainNow("the sign-in answered without a token", place=self._rest.place) from None

    def _export(self, path: str, params: Mapping[str, Any], rows: str) -> dict[str, Any]:
        body = self._rest.get_json(f"/api/v2/incremental/{path}.json", params=params, label=rows)
        found = body.get(rows) if isinstance(body, dict) else None
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise AgainNow(f"the export answered without {rows}", place=self._rest.place)
        return dict(body)

    def _timed(self, rows: str, at: Cursor, first: int, now: datetime) -> Iterator[dict[str, Any]]:
        """The pages of a time-based export; `at` holds the second in which the next one begins.

        A page begins in the second in which the last one ended, so some rows come twice.
        """
        start = min(at.get(rows, first), int((now - NEWEST_START).timestamp()))
        while True:
            body = self._export(rows, {"start_time": start}, rows)
            end = int(body.get("end_time") or 0)
            # A second is never split between pages, so one that fills a page has been read whole.
            start = at[rows] = max(end, start if _ended(body) else start + 1)
            yield body
            if _ended(body) or not body[rows]:
                return

    def _streamed(self, rows: str, at: Cursor, first: int, **more: str) -> Iterator[dict[str, Any]]:
        """The pages of a cursor-based export; `at` holds the cursor, which outlives the end of the stream."""
        while True:
            place = {"cursor": at[rows]} if rows in at else {"start_time": first}
            body = self._export(f"{rows}/cursor", {**place, **more}, rows)
            after = body.get("after_cursor")
            stuck = not after or after == at.get(rows)
            if after:
                at[rows] = after
            yield body
            if _ended(body) or stuck:
                return

    def _organizations(self, at: Cursor, now: datetime) -> Iterator[Page]:
        for body in self._timed("organizations", at, 1, now):
            keys = [self._organization(row) for row in body["organizations"] if row.get("id") is not None]
            yield Page(keys=keys, cursor=dict(at))

    def _organization(self, row: Row) -> Key:
        fields = row.get("organization_fields") or {}
        refs = {
            "external_id": row.get("external_id"),
            "crm_id": fields.get(self._settings.crm_id_field) if self._settings.crm_id_field else None,
        }
        domains = tuple(str(domain).lower() for domain in row.get("domain_names") or ())
        held = {name: str(value) for name, value in refs.items() if value}
        return Key(self.name, str(row["id"]), row.get("name"), domains, held)

    def _users(self, at: Cursor) -> Iterator[Page]:
        for body in self._streamed("users", at, 1):
            alone = (row for row in body["users"] if row.get("organization_id") is None)
            found = {tickets.domain_of(row, self._reader.ignored) for row in alone}
            keys = [tickets.domain_key(self.name, f"domain:{domain}") for domain in found if domain]
            yield Page(keys=sorted(keys), cursor=dict(at))

    def _tickets(self, at: Cursor, start: datetime, now: datetime) -> Iterator[Page]:
        first = int(min(start, now - NEWEST_START).timestamp())
        for body in self._streamed("tickets", at, first, include="metric_sets,users"):
            marks = dict(at.get("marks", {}))
            page = self._reader.read(body["tickets"], body.get("users") or (), marks, at.get("seen"))
            at["marks"] = dict(list(marks.items())[-MOST_MARKS:])
            through = now - SETTLING if _ended(body) else None
            if through:
                at["seen"] = int(through.timestamp())
            yield replace(page, cursor=dict(at), through=None if self._settings.history else through)

    def _history(self, at: Cursor, start: datetime, now: datetime) -> Iterator[Page]:
        for body in self._timed("ticket_events", at, int(start.timestamp()), now):
            through = now - SETTLING if _ended(body) else None
            yield replace(self._changes(body["ticket_events"]), cursor=dict(at), through=through)

    def _changes(self, audits: Sequence[Row]) -> Page:
        """Only the changes say which tickets matter, and only the tickets say whose they are."""
        reader, rejected = self._reader, []
        found: list[Event] = []
        for audit in audits:
            try:
                found += tickets.changes(self.name, audit, str(audit["ticket_id"]), reader.escalation)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                rejected.append(Rejected(f"ticket event {audit.get('id')}", tickets.odd(error)))
        keys = self._account_keys(sorted({event.account_key for event in found}))
        events = [event._replace(account_key=keys[event.account_key]) for event in found if event.account_key in keys]
        return Page(events=events, rejected=rejected)

    def _account_keys(self, numbers: Sequence[str]) -> dict[str, str]:
        keys: dict[str, str] = {}
        for first in range(0, len(numbers), MOST_SHOWN):
            asked = {"ids": ",".join(numbers[first : first + MOST_SHOWN]), "include": "users"}
            path = "/api/v2/tickets/show_many.json"
            body = self._rest.get_json(path, params=asked, label="show_many", paced=False)
            users = {user.get("id"): user for user in body.get("users") or ()}
            for row in body.get("tickets") or ():
                key = tickets.account_key(row, users, self._reader.ignored)
                if key:
                    keys[str(row["id"])] = key
        return keys


def _ended(body: Mapping[str, Any]) -> bool:
    return bool(body.get("end_of_stream"))


def _names(settings: Settings) -> tuple[str, ...]:
    always = ("ticket.created", "ticket.severity", "ticket.solved", "ticket.reopened", "ticket.first_reply")
    escalated = ("ticket.escalated",) if any(settings.escalated.model_dump().values()) else ()
    words = ("ticket.sentiment",) if settings.sentiment else ()
    return (*always, "csat.response", *escalated, *words)

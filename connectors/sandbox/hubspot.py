"""A stand-in for one HubSpot account over the simulated world: companies, properties, owners, account details.

Written from the vendor's specifications and from recorded answers. The fixed token is `sandbox-hubspot`; OAuth has a
desk. Dated paths (2026-03, 2026-09) and the older v3 paths answer alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route

from connectors.clock import Clock
from connectors.sandbox import hubspot_batch, hubspot_lists
from connectors.sandbox.crm import Call, Refused, WithoutTrailingSlash, answer, served
from connectors.sandbox.faults import Profile
from connectors.sandbox.hubspot_errors import (
    body,
    invalid,
    missing_scopes,
    not_found,
    too_many,
    unauthorized,
    values_message,
)
from connectors.sandbox.hubspot_oauth import Desk
from connectors.sandbox.hubspot_portal import APP_ID, APP_USER, DEFAULTS, PORTAL, TIME_ZONE, Portal
from connectors.sandbox.hubspot_properties import described, from_request, stamped, wrong_options
from connectors.sandbox.hubspot_search import search
from connectors.sandbox.world import World

READ, WRITE = "crm.objects.companies.read", "crm.objects.companies.write"
SCHEMA_READ, SCHEMA_WRITE = "crm.schemas.companies.read", "crm.schemas.companies.write"
LISTS_READ, LISTS_WRITE = "crm.lists.read", "crm.lists.write"
OWNERS = "crm.objects.owners.read"
SCOPES = (READ, WRITE, SCHEMA_READ, SCHEMA_WRITE, OWNERS)
LARGEST_PAGE, LARGEST_OWNER_PAGE = 100, 500

Handler = Callable[[Call], Response]


def app(world: World, clock: Clock, faults: Profile, *, base_url: Callable[[], str]) -> tuple[Starlette, Portal]:
    """The application and the account behind it. `base_url`: where it is served, for links to next pages."""
    portal = Portal(world, clock, faults)
    routes = Front(portal, base_url).routes()
    served_app = Starlette(routes=routes, middleware=[Middleware(WithoutTrailingSlash)])
    served_app.router.redirect_slashes = False
    return served_app, portal


class Front:
    """Every address of the account, one method each; a method's name is the label its calls are counted under."""

    def __init__(self, portal: Portal, base_url: Callable[[], str]) -> None:
        self._portal, self._base_url, self._desk = portal, base_url, Desk(portal)

    def routes(self) -> list[Route]:
        routes: list[Route] = []
        for version in ("2026-03", "2026-09"):
            routes += self._objects(f"/crm/objects/{version}")
            routes += self._properties(f"/crm/properties/{version}")
            routes += self._owners(f"/crm/owners/{version}")
            routes += self._account(f"/account-info/{version}")
            routes += self._lists(f"/crm/lists/{version}")
            routes += self._oauth(f"/oauth/{version}/token")
        routes += self._objects("/crm/v3/objects")
        routes += self._properties("/crm/v3/properties")
        routes += self._owners("/crm/v3/owners") + self._account("/account-info/v3")
        routes.append(self._route("POST", "/oauth/v2/private-apps/get/access-token-info", self.token))
        return [*routes, self._nothing()]

    def _objects(self, base: str) -> list[Route]:
        return [
            route
            for kind in ("companies", "0-2", "company")
            for route in (
                self._route("GET", f"{base}/{kind}", self.list_companies, READ),
                self._route("POST", f"{base}/{kind}/batch/read", self.batch_read, READ),
                self._route("POST", f"{base}/{kind}/batch/update", self.batch_update, WRITE),
                self._route("POST", f"{base}/{kind}/search", self.search, READ, searching=True),
                self._route("GET", f"{base}/{kind}/{{id}}", self.read, READ),
                self._route("PATCH", f"{base}/{kind}/{{id}}", self.update, WRITE),
            )
        ]

    def _properties(self, base: str) -> list[Route]:
        return [
            route
            for kind in ("companies", "0-2", "company")
            for route in (
                self._route("GET", f"{base}/{kind}", self.list_properties, SCHEMA_READ),
                self._route("POST", f"{base}/{kind}", self.create_property, SCHEMA_WRITE),
                self._route("GET", f"{base}/{kind}/groups", self.list_groups, SCHEMA_READ),
                self._route("POST", f"{base}/{kind}/groups", self.create_group, SCHEMA_WRITE),
                self._route("GET", f"{base}/{kind}/groups/{{name}}", self.group, SCHEMA_READ),
                self._route("DELETE", f"{base}/{kind}/groups/{{name}}", self.archive_group, SCHEMA_WRITE),
                self._route("GET", f"{base}/{kind}/{{name}}", self.property, SCHEMA_READ),
                self._route("PATCH", f"{base}/{kind}/{{name}}", self.change_property, SCHEMA_WRITE),
                self._route("DELETE", f"{base}/{kind}/{{name}}", self.archive_property, SCHEMA_WRITE),
            )
        ]

    def _lists(self, base: str) -> list[Route]:
        return [
            self._route("POST", base, self.create_list, LISTS_WRITE),
            self._route("GET", f"{base}/object-type-id/0-2/name/{{name:path}}", self.list_by_name, LISTS_READ),
            self._route("DELETE", f"{base}/{{id}}", self.delete_list, LISTS_WRITE),
        ]

    def _owners(self, base: str) -> list[Route]:
        return [
            self._route("GET", base, self.list_owners, OWNERS),
            self._route("GET", f"{base}/{{id}}", self.owner, OWNERS),
        ]

    def _account(self, base: str) -> list[Route]:
        return [
            self._route("GET", f"{base}/details", self.details),
            self._route("GET", f"{base}/api-usage/daily/private-apps", self.usage),
        ]

    def _oauth(self, path: str) -> list[Route]:
        return [
            Route(at, served(self._portal, lambda _: None, handler, after=lambda _: None), methods=["POST"])
            for at, handler in ((path, self.sign_in), (f"{path}/introspect", self.introspect))
        ]

    def _nothing(self) -> Route:
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        admit, after = self._admitted("", searching=False), self._limits_shown(searching=False)
        return Route("/{rest:path}", served(self._portal, admit, self.nothing, after=after), methods=methods)

    def _route(self, method: str, path: str, handler: Handler, scope: str = "", *, searching: bool = False) -> Route:
        admit, after = self._admitted(scope, searching=searching), self._limits_shown(searching=searching)
        return Route(path, served(self._portal, admit, handler, after=after), methods=[method])

    def _admitted(self, scope: str, *, searching: bool) -> Callable[[Call], None]:
        """A token that holds, calls left in every window, and the scope."""

        def admit(call: Call) -> None:
            portal = self._portal
            kind, _, token = call.request.headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not portal.signed_in(token):
                raise unauthorized(expired=token in portal.expired)
            _take(portal, portal.clock.now(), searching=searching)
            if scope in portal.missing_scopes:
                raise missing_scopes([scope])

        return admit

    def _limits_shown(self, *, searching: bool) -> Callable[[Response], None]:
        def after(response: Response) -> None:
            if searching or response.status_code == 401:
                return
            portal, now = self._portal, self._portal.clock.now()
            response.headers.update(
                {
                    "X-HubSpot-RateLimit-Daily": str(portal.daily.most),
                    "X-HubSpot-RateLimit-Daily-Remaining": str(portal.daily.left(now)),
                    "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
                    "X-HubSpot-RateLimit-Max": str(portal.rolling.most),
                    "X-HubSpot-RateLimit-Remaining": str(portal.rolling.left(now)),
                }
            )

        return after

    def nothing(self, call: Call) -> Response:
        raise not_found()

    def list_companies(self, call: Call) -> Response:
        portal, after = self._portal, call.query("after", "0")
        limit = _limit(call, 10, LARGEST_PAGE)
        if not after.isdigit():
            raise invalid("after is not a cursor of this list")
        archived = call.query("archived") == "true"
        found = portal.after(int(after), limit + 1, archived=archived)
        names, histories = _names(call, "properties") or DEFAULTS, _names(call, "propertiesWithHistory")
        page = [portal.shown(record, names, histories=histories) for record in found[:limit]]
        said: dict[str, Any] = {"results": page}
        if len(found) > limit:
            said["paging"] = {"next": self._next(call, found[limit - 1])}
        return answer(200, said)

    def _next(self, call: Call, after: str) -> dict[str, str]:
        query = call.request.url.include_query_params(after=after).query
        return {"after": after, "link": f"{self._base_url()}{call.request.url.path}?{query}"}

    def read(self, call: Call) -> Response:
        record = self._portal.led_to(call.path("id"), call.query("idProperty") or None)
        if record is None:
            raise not_found()
        names, histories = _names(call, "properties") or DEFAULTS, _names(call, "propertiesWithHistory")
        return answer(200, self._portal.shown(record, names, histories=histories))

    def update(self, call: Call) -> Response:
        portal, record, wanted = self._portal, self._record(call), _object(call)
        properties = wanted.get("properties") or {}
        fields, refused = hubspot_batch.checked(portal, record, properties)
        if refused:
            raise invalid(values_message(refused))
        portal.writing_calls += 1
        portal.write(record, fields, by="api", call=portal.writing_calls)
        cleared = {name: "" for name, value in properties.items() if value == ""}
        return answer(200, portal.shown(record, [*DEFAULTS, *fields], extra=cleared))

    def batch_read(self, call: Call) -> Response:
        archived = call.query("archived") == "true"
        return answer(*hubspot_batch.read(self._portal, _object(call), archived=archived))

    def batch_update(self, call: Call) -> Response:
        return answer(*hubspot_batch.update(self._portal, _object(call)))

    def search(self, call: Call) -> Response:
        return answer(200, search(self._portal, _object(call)))

    def _record(self, call: Call) -> str:
        record = self._portal.found(call.path("id"), call.query("idProperty") or None)
        if record is None:
            raise not_found()
        return record

    def list_properties(self, call: Call) -> Response:
        portal, archived = self._portal, call.query("archived") == "true"
        listed = portal.archived_properties if archived else portal.properties
        told = {"archived": True} if archived else {}
        return answer(200, {"results": [described(one) | told for one in listed.values()]})

    def property(self, call: Call) -> Response:
        return answer(200, described(self._portal.properties[self._property(call)]))

    def create_property(self, call: Call) -> Response:
        portal, wanted = self._portal, _object(call)
        name = str(wanted.get("name"))
        if name in portal.properties or name in portal.archived_properties:
            raise _exists(f"Property named '{name}' already exists.", name, "Properties.PROPERTY_EXISTS")
        made = from_request(wanted, list(portal.groups), portal.clock.now())
        if isinstance(made, str):
            raise invalid(made)
        portal.properties[made.name] = made
        return answer(201, described(made))

    def change_property(self, call: Call) -> Response:
        portal, wanted = self._portal, _object(call)
        one = portal.properties[self._property(call)]
        if one.built_in:
            raise invalid(f"{one.name} is defined by HubSpot and can not be changed")
        wrong = wrong_options(wanted.get("options", []))
        if wrong:
            raise invalid(wrong)
        changed = replace(
            one,
            label=wanted.get("label", one.label),
            description=wanted.get("description", one.description),
            group=wanted.get("groupName", one.group),
            options=tuple(wanted.get("options", one.options)),
        )
        portal.properties[one.name] = changed
        return answer(200, described(changed))

    def archive_property(self, call: Call) -> Response:
        name = self._property(call)
        if self._portal.properties[name].built_in:
            raise invalid(f"{name} is defined by HubSpot and can not be archived")
        users = hubspot_lists.users(self._portal, name)
        if users:
            raise invalid(f"Property {name} cannot be deleted, it is used in: {', '.join(users)}")
        self._portal.archived_properties[name] = self._portal.properties.pop(name)
        return Response(status_code=204)

    def _property(self, call: Call) -> str:
        name = call.path("name")
        if name not in self._portal.properties:
            raise not_found(f'Property "{name}" does not exist')
        return name

    def list_groups(self, call: Call) -> Response:
        return answer(200, {"results": [_group(*one) for one in self._portal.groups.items()]})

    def group(self, call: Call) -> Response:
        name = call.path("name")
        if name not in self._portal.groups:
            raise not_found(f'Property group "{name}" does not exist')
        return answer(200, _group(name, self._portal.groups[name]))

    def create_group(self, call: Call) -> Response:
        groups, wanted = self._portal.groups, _object(call)
        name, label = wanted.get("name"), wanted.get("label")
        if not isinstance(name, str) or not isinstance(label, str):
            raise invalid("A group needs a name and a label")
        if name in groups:
            raise _exists(f"Property group named '{name}' already exists.", name, "Properties.GROUP_EXISTS")
        groups[name] = label
        return answer(201, _group(name, label))

    def archive_group(self, call: Call) -> Response:
        portal, name = self._portal, call.path("name")
        if name not in portal.groups:
            raise not_found(f'Property group "{name}" does not exist')
        if any(one.group == name for one in portal.properties.values()):
            raise invalid(f"Property group {name} cannot be deleted while there are properties in it")
        del portal.groups[name]
        return Response(status_code=204)

    def create_list(self, call: Call) -> Response:
        return answer(200, hubspot_lists.create(self._portal, _object(call)))

    def list_by_name(self, call: Call) -> Response:
        filters = call.query("includeFilters") == "true"
        return answer(200, hubspot_lists.by_name(self._portal, call.path("name"), filters=filters))

    def delete_list(self, call: Call) -> Response:
        hubspot_lists.delete(self._portal, call.path("id"))
        return Response(status_code=204)

    def list_owners(self, call: Call) -> Response:
        limit, after = _limit(call, 100, LARGEST_OWNER_PAGE), call.query("after", "0")
        ids = [owner for owner in self._portal.owners if int(owner) > int(after if after.isdigit() else 0)]
        said: dict[str, Any] = {"results": [_owner(one, self._portal.owners[one]) for one in ids[:limit]]}
        if len(ids) > limit:
            said["paging"] = {"next": self._next(call, ids[limit - 1])}
        return answer(200, said)

    def owner(self, call: Call) -> Response:
        if call.query("idProperty", "id") not in ("id", "userId"):  # an owner's two numbers are the same here
            raise invalid("idProperty must be id or userId")
        if call.path("id") not in self._portal.owners:
            raise not_found()
        return answer(200, _owner(call.path("id"), self._portal.owners[call.path("id")]))

    def sign_in(self, call: Call) -> Response:
        return answer(200, self._desk.token(call))

    def introspect(self, call: Call) -> Response:
        return answer(200, self._desk.introspect(call))

    def token(self, call: Call) -> Response:
        """What a private app may ask about its own token."""
        if _object(call).get("tokenKey") not in self._portal.tokens:
            raise not_found()
        scopes = [scope for scope in SCOPES if scope not in self._portal.missing_scopes]
        return answer(200, {"userId": APP_USER, "hubId": PORTAL, "appId": int(APP_ID), "scopes": scopes})

    def details(self, call: Call) -> Response:
        offset = self._portal.clock.now().astimezone(TIME_ZONE).utcoffset() or timedelta()
        minutes = int(offset.total_seconds() // 60)
        sign, size = "-" if minutes < 0 else "+", abs(minutes)
        said = {
            "portalId": PORTAL,
            "accountType": "STANDARD",
            "timeZone": "US/Eastern",
            "companyCurrency": "USD",
            "additionalCurrencies": [],
            "utcOffset": f"{sign}{size // 60:02d}:{size % 60:02d}",
            "utcOffsetMilliseconds": minutes * 60_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
        return answer(200, said)

    def usage(self, call: Call) -> Response:
        portal, now = self._portal, self._portal.clock.now()
        midnight = now.astimezone(TIME_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
        said = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": portal.daily.most,
            "currentUsage": portal.daily.used(now),
            "collectedAt": stamped(now),
            "fetchStatus": "SUCCESS",
            "resetsAt": stamped(midnight + timedelta(days=1)),
        }
        return answer(200, {"results": [said]})


def _take(portal: Portal, now: datetime, *, searching: bool) -> None:
    """Use one call of every allowance that this call falls under."""
    if not portal.daily.left(now):
        portal.faults.struck["daily"] += 1
        raise too_many("DAILY")
    if searching and not portal.searching.take(now):
        raise too_many("SECONDLY")
    if not searching and not portal.rolling.take(now):
        raise too_many("TEN_SECONDLY_ROLLING")
    portal.daily.take(now)


def _object(call: Call) -> dict[str, Any]:
    try:
        wanted = orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise invalid("Invalid input JSON") from error
    # A bare list is taken for a body without inputs: accepted, and nothing happens.
    return wanted if isinstance(wanted, dict) else {}


def _limit(call: Call, default: int, most: int) -> int:
    text = call.query("limit", str(default))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise invalid(f"limit must be between 1 and {most}")
    return int(text)


def _names(call: Call, key: str) -> list[str]:
    """Names given as one list with commas, or by repeating the parameter."""
    given = call.request.query_params.getlist(key)
    return [name.strip() for part in given for name in part.split(",") if name.strip()]


def _exists(message: str, name: str, kind: str) -> Refused:
    return Refused(409, body("OBJECT_ALREADY_EXISTS", message, subCategory=kind, context={"name": [name]}))


def _group(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "label": label, "displayOrder": -1, "archived": False}


def _owner(owner: str, name: str) -> Mapping[str, Any]:
    first, _, last = name.partition(" ")
    made = "2025-01-01T09:00:00.000Z"
    return {
        "id": owner,
        "email": f"{first}.{last}@sandbox.test".lower(),
        "type": "PERSON",
        "firstName": first,
        "lastName": last,
        "userId": int(owner),
        "userIdIncludingInactive": int(owner),
        "createdAt": made,
        "updatedAt": made,
        "archived": False,
    }

"""The simulated HubSpot account: its companies, their properties and owners, and what a company looks like."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors.clock import Clock
from connectors.sandbox.crm import Allowance, Record, Store, Written, salesforce_id, today, within
from connectors.sandbox.faults import Profile
from connectors.sandbox.hubspot_properties import Property, held, stamped
from connectors.sandbox.world import Company, World

PORTAL = 147_000_001
TIME_ZONE = ZoneInfo("America/New_York")
DAILY_CALLS, TEN_SECONDS_CALLS, SEARCHES = 650_000, 190, 5
FIRST_ID, STEP = 40_000_000_000, 7919
APP_ID, APP_USER, HUMAN_USER = "18221010", 88_000_001, 88_000_002
DEFAULTS = ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name")
ALWAYS = ("createdate", "hs_lastmodifieddate", "hs_object_id")
SOURCES: dict[str, tuple[str, str, int | None]] = {
    "api": ("INTEGRATION", APP_ID, APP_USER),
    "app": ("INTEGRATION", "8151242", None),
    "human": ("CRM_UI", f"userId:{HUMAN_USER}", HUMAN_USER),
    "bulk": ("BATCH_UPDATE", "", HUMAN_USER),
    "sync": ("SALESFORCE", "SalesforceSync", None),
    "workflow": ("AUTOMATION_PLATFORM", "enrollmentId:1;actionExecutionIndex:0", None),
    "import": ("IMPORT", "1", HUMAN_USER),
    "seed": ("IMPORT", "1", HUMAN_USER),
}
LINKED = 10, 7  # seven companies of ten carry the id of their Salesforce account


def _stages() -> tuple[dict[str, Any], ...]:
    names = "subscriber lead marketingqualifiedlead salesqualifiedlead opportunity customer evangelist other".split()
    return tuple(option(name, name.capitalize(), place) for place, name in enumerate(names))


def option(value: str, label: str, order: int) -> dict[str, Any]:
    return {"label": label, "value": value, "displayOrder": order, "hidden": False}


def _plans() -> tuple[dict[str, Any], ...]:
    return tuple(option(name, name.capitalize(), place) for place, name in enumerate(("free", "pro", "enterprise")))


BUILT_IN = (
    Property("name", "Company name", "string", "text"),
    Property("domain", "Company Domain Name", "string", "text"),
    Property("website", "Website URL", "string", "text"),
    Property("description", "Description", "string", "textarea"),
    Property("city", "City", "string", "text"),
    Property("annualrevenue", "Annual Revenue", "number", "number"),
    Property("lifecyclestage", "Lifecycle Stage", "enumeration", "radio", options=_stages(), external=True),
    Property("hubspot_owner_id", "Company owner", "enumeration", "select", group="sales_properties", external=True),
    Property("createdate", "Create Date", "datetime", "date", read_only=True),
    Property("hs_lastmodifieddate", "Last Modified Date", "datetime", "date", group="company_activity", read_only=True),
    Property("hs_object_id", "Record ID", "number", "number", read_only=True),
    Property("hs_merged_object_ids", "Merged Company IDs", "enumeration", "checkbox", read_only=True),
)
OWN = (
    Property("external_id", "External id", "string", "text", unique=True, built_in=False),
    Property("salesforceaccountid", "Salesforce Account ID", "string", "text", group="salesforceinformation"),
    Property("seats", "Seats", "number", "number", built_in=False),
    Property("plan", "Plan", "enumeration", "select", options=_plans(), built_in=False),
    Property("arr", "ARR", "number", "number", built_in=False),
    Property("renewal_date", "Renewal date", "date", "date", built_in=False),
)
GROUPS = {
    "companyinformation": "Company information",
    "company_activity": "Company activity",
    "sales_properties": "Sales properties",
    "salesforceinformation": "Salesforce information",
}


class Portal(Store):
    """The account as a private app finds it. Companies are kept in the order of their ids."""

    def __init__(self, world: World, clock: Clock, faults: Profile) -> None:
        super().__init__(clock, faults, daily=Allowance(DAILY_CALLS, today(TIME_ZONE)))
        self.rolling = Allowance(TEN_SECONDS_CALLS, within(timedelta(seconds=10)))
        self.searching = Allowance(SEARCHES, within(timedelta(seconds=1)))
        self.tokens = {"sandbox-hubspot"}
        self.expired: set[str] = set()
        self.ends: dict[str, datetime] = {}
        self.rotates = False
        self.properties = {one.name: one for one in (*BUILT_IN, *OWN)}
        self.archived_properties: dict[str, Property] = {}
        self.lists: dict[str, dict[str, Any]] = {}
        self.groups = dict(GROUPS)
        people = dict.fromkeys(company.owner for company in world.companies)
        self.owners = {str(71_000_000 + number): owner for number, owner in enumerate(people)}
        self.unique: dict[str, dict[str, str]] = {}
        self.order: list[str] = []
        self._changes: dict[tuple[str, str], list[Written]] = {}
        self.search_lag = timedelta(seconds=0)
        self.batches = 0
        self.refuses_whole = False
        owner_ids = {owner: number for number, owner in self.owners.items()}
        for company in world.companies:
            fields = _company(company, owner_ids)
            self.add(fields["hs_object_id"], fields, created=company.created)

    def signed_in(self, token: str) -> bool:
        """Whether this token is good now. One that is too old is `expired` from then on."""
        if token in self.ends and self.ends[token] <= self.clock.now():
            self.expired.add(token)
        return token in self.tokens and token not in self.expired

    def add(self, record: str, fields: Record, *, created: datetime) -> str:
        super().add(record, fields, created=created)
        for name, value in fields.items():
            self._index(record, name, value)
        self.order.insert(bisect_right(self.order, int(record), key=int), record)
        return record

    def after(self, record: int, most: int, *, archived: bool = False) -> list[str]:
        """The next ids beyond this one, at most so many."""
        found: list[str] = []
        for at in range(bisect_right(self.order, record, key=int), len(self.order)):
            one = self.order[at]
            if (one in self.deleted and one not in self.merged) if archived else self.here(one):
                found.append(one)
                if len(found) == most:
                    break
        return found

    def found(self, given: str, id_property: str | None) -> str | None:
        """The company of this id, or of this value of a unique property."""
        record = self.unique.get(id_property, {}).get(given) if id_property else given
        return record if record is not None and self.here(record) else None

    def led_to(self, given: str, id_property: str | None) -> str | None:
        """The same, and by the id of a company that went into another one."""
        while id_property is None and given in self.merged:
            given = self.merged[given]
        return self.found(given, id_property)

    def write(self, record: str, fields: Any, *, by: str, call: int = 0) -> None:
        for name, value in fields.items():
            self._unindex(record, name)
            self._index(record, name, value)
        super().write(record, fields, by=by, call=call)

    def _index(self, record: str, name: str, value: Any) -> None:
        if name in self.properties and self.properties[name].unique and value:
            self.unique.setdefault(name, {})[value] = record

    def _unindex(self, record: str, name: str) -> None:
        held_by = self.unique.get(name, {})
        value = self.records[record].get(name)
        if value is not None and held_by.get(value) == record:
            del held_by[value]

    def coerced(self, field: str, value: Any) -> str:
        return held(self.properties[field], value)

    def note(self, record: str, written: Written) -> None:
        self.records[record]["hs_lastmodifieddate"] = stamped(written.at)
        for name in written.fields:
            self._changes.setdefault((record, name), self.past(record, name)).append(written)

    def past(self, record: str, name: str) -> list[Written]:
        """Every write of the property that is known, the oldest first."""
        if (record, name) in self._changes:
            return self._changes[record, name]
        value = self.value(record, name)
        return [] if value is None else [Written(self.created[record], "seed", record, {name: value}, 0)]

    def merge(self, loser: str, winner: str) -> str:
        """Both go into a new company, whose id is returned: it has the winner's values, and the loser's beside them."""
        with self.lock:
            made = str(int(self.order[-1]) + STEP)
            both = self.records[winner], self.records[loser]
            merged = [one for fields in both for one in fields.get("hs_merged_object_ids", "").split(";") if one]
            for one in (winner, loser):
                for name in self.records[one]:
                    self._unindex(one, name)
                self.delete(one)
                self.merged[one] = made
            kept = {name: value for fields in reversed(both) for name, value in fields.items() if value}
            ids = {"hs_object_id": made, "hs_merged_object_ids": ";".join([*merged, winner, loser])}
            self._changes |= {(made, name): list(self.past(winner, name)) for name in kept}
            return self.add(made, kept | ids, created=self.created[winner])

    def value(self, record: str, name: str) -> str | None:
        """The property's value; None when it is unset, or no property."""
        if name not in self.properties:
            return None
        return self.records[record].get(name) or None

    def shown(
        self, record: str, names: Iterable[str], *, histories: Sequence[str] = (), extra: Record | None = None
    ) -> dict[str, Any]:
        """A company as the API writes it: the named properties and those that always come along."""
        wanted = dict.fromkeys([*names, *histories, *ALWAYS])
        values = {name: self.value(record, name) for name in wanted if name in self.properties}
        body: dict[str, Any] = {
            "id": record,
            "properties": dict(sorted((values | (extra or {})).items())),
            "createdAt": stamped(self.created[record]),
            "updatedAt": stamped(self.modified[record]),
            "archived": record in self.deleted,
            "url": f"https://app.hubspot.com/contacts/{PORTAL}/record/0-2/{record}",
        }
        if histories:
            known = (name for name in histories if name in self.properties)
            body["propertiesWithHistory"] = {name: self._history(record, name) for name in known}
        if record in self.deleted:
            body["archivedAt"] = stamped(self.modified[record])
        return body

    def _history(self, record: str, name: str) -> list[dict[str, Any]]:
        """Every value the property had, the newest first, and who wrote it."""
        return [self._past(name, written) for written in reversed(self.past(record, name))]

    def _past(self, name: str, written: Written) -> dict[str, Any]:
        source, source_id, user = SOURCES.get(written.by) or self._by_owner(written.by)
        said = {
            "value": written.fields[name],
            "timestamp": stamped(written.at),
            "sourceType": source,
            "sourceId": source_id,
        }
        return said if user is None else said | {"updatedByUserId": user}

    def _by_owner(self, name: str) -> tuple[str, str, int]:
        user = next(int(number) for number, owner in self.owners.items() if owner == name)
        return "CRM_UI", f"userId:{user}", user


def _company(company: Company, owners: dict[str, str]) -> Record:
    created = stamped(company.created)
    fields = {
        "hs_object_id": str(FIRST_ID + company.number * STEP),
        "name": company.name,
        "domain": company.domain,
        "website": company.domain,
        "lifecyclestage": "customer" if company.customer else "lead",
        "createdate": created,
        "hs_lastmodifieddate": created,
        "hubspot_owner_id": owners[company.owner],
        "external_id": company.external_id,
        "seats": str(company.seats),
        "plan": company.plan,
        "arr": f"{company.arr:.2f}",
        "renewal_date": company.renewal.isoformat(),
    }
    if company.number % LINKED[0] < LINKED[1]:
        fields["salesforceaccountid"] = salesforce_id("001", company.number)
    return fields

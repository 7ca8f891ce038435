"""The simulated Salesforce org: its accounts, people, permission sets and who may see which field.

A field made through the API is seen by nobody until a permission set that the integration user has grants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connectors.clock import Clock
from connectors.sandbox.crm import Allowance, Record, Store, Written, full_id, salesforce_id, within
from connectors.sandbox.faults import Profile
from connectors.sandbox.salesforce_fields import Column, RowRefused, held, stamped
from connectors.sandbox.salesforce_tables import (
    ACCOUNT,
    ASSIGNMENT,
    CUSTOM_FIELD,
    ENTITY_DEFINITION,
    FIELD_DEFINITION,
    FIELD_PERMISSIONS,
    HISTORY,
    LICENSE,
    LIST_VIEW,
    ORGANIZATION,
    PERMISSION_SET,
    PROFILE_COLUMNS,
    USER,
    Table,
    columns_of,
    table,
)
from connectors.sandbox.world import Company, World

DAILY_CALLS = 100_000
ORG = salesforce_id("00D", 1)
INTEGRATION_USER = salesforce_id("005", 1)
HUMAN_USER = salesforce_id("005", 2)
PROFILE = salesforce_id("00e", 1)
API_PROFILE = salesforce_id("00e", 2)
PEOPLE = ("System Administrator", "Standard User")  # profiles of people
PROFILE_SET = salesforce_id("0PS", 1)  # the permission set behind the profile
USERNAME = "integration@sandbox.test"
SYNC_USER, APP_USER, AUTOMATION, PLATFORM = (salesforce_id("005", number) for number in (3, 4, 5, 6))
API_ONLY = "Minimum Access - API Only Integrations"
LICENSES = {salesforce_id("100", 1): "Salesforce", salesforce_id("100", 2): "Salesforce Integration"}
WRITERS = {"api": INTEGRATION_USER, "sync": SYNC_USER, "app": APP_USER, "workflow": AUTOMATION, "platform": PLATFORM}


class Org(Store):
    """The org, as the integration user finds it. `columns` are the Account's fields, seen or not.

    `tracked`: fields whose history is kept. Of those that write (`Written.by`), "app" is another integration with a
    licence made for that, "sync" one that signs in as a person would, and a "workflow" runs as the automated process.
    """

    def __init__(self, world: World, clock: Clock, faults: Profile) -> None:
        super().__init__(clock, faults, daily=Allowance(DAILY_CALLS, within(timedelta(hours=24))))
        self.columns = columns_of(*ACCOUNT)
        self.session_minutes = 120
        self.sessions: dict[str, datetime] = {}
        self.field_ids: dict[str, str] = {}
        self.metadata: dict[str, dict[str, Any]] = {}  # of fields made through the API
        self.uses: dict[str, list[str]] = {}  # what else in the org uses a field, so that it cannot be deleted
        self._numbers: dict[str, int] = {}
        people = dict.fromkeys(company.owner for company in world.companies)
        owners = {owner: salesforce_id("005", 10 + number) for number, owner in enumerate(people)}
        self._owners = owners
        self.tracked: set[str] = set()
        self.setup = _setup(owners)
        self.granted: dict[str, tuple[bool, bool]] = {}
        for column in ACCOUNT:
            if column.custom:
                self.field_ids[column.name] = self.next_id("00N")
                self._grant(column.name)
        for company in world.companies:
            self.add(salesforce_id("001", company.number), _account(company, owners), created=company.created)

    def next_id(self, prefix: str) -> str:
        number = self._numbers[prefix] = self._numbers.get(prefix, 100) + 1
        return salesforce_id(prefix, number)

    def expire_sessions(self) -> None:
        """End every session, as an administrator can."""
        self.sessions.clear()

    def columns_seen(self) -> dict[str, Column]:
        """The Account's fields that field-level security lets the integration user read."""
        return {key: column for key, column in self.columns.items() if self.readable(column)}

    def readable(self, column: Column) -> bool:
        return not column.custom or self.granted.get(column.name, (False, False))[0]

    def editable(self, column: Column) -> bool:
        return column.writable and (not column.custom or self.granted.get(column.name, (False, False))[1])

    def review_permissions(self) -> None:
        """Work out again what the integration user's permission sets grant."""
        mine = {PROFILE_SET} | {
            row["PermissionSetId"]
            for row in self.setup["PermissionSetAssignment"].rows.values()
            if row["AssigneeId"] == INTEGRATION_USER
        }
        granted: dict[str, tuple[bool, bool]] = {}
        for row in self.setup["FieldPermissions"].rows.values():
            if row["ParentId"] in mine:
                name = row["Field"].partition(".")[2]
                read, edit = granted.get(name, (False, False))
                granted[name] = (read or row["PermissionsRead"], edit or row["PermissionsEdit"])
        self.granted = granted

    def _grant(self, name: str) -> None:
        """Let the profile read and change a field that came with the org."""
        row = {
            "Id": self.next_id("01k"),
            "ParentId": PROFILE_SET,
            "SobjectType": "Account",
            "Field": f"Account.{name}",
            "PermissionsRead": True,
            "PermissionsEdit": True,
        }
        self.insert("FieldPermissions", row)
        self.review_permissions()

    def insert(self, name: str, row: Record) -> None:
        self.setup[name].rows[row["Id"]] = row

    def coerced(self, field: str, value: Any) -> Any:
        return held(self.columns[field.lower()], value)

    def note(self, record: str, written: Written) -> None:
        row, when = self.records[record], stamped(written.at)
        row["LastModifiedDate"] = row["SystemModstamp"] = when
        user = row["LastModifiedById"] = WRITERS.get(written.by) or self._owners.get(written.by, HUMAN_USER)
        for name in sorted(self.tracked & set(written.fields)):
            if written.fields[name] != row.get(name):
                values = {"OldValue": row.get(name), "NewValue": written.fields[name]}
                self._track({"AccountId": record, "Field": name, "CreatedById": user, "CreatedDate": when}, values)

    def _track(self, change: Record, values: Record) -> None:
        """One row of history. Of long text it only says that it changed."""
        told = self.columns[change["Field"].lower()].length <= 255
        row = {"Id": self.next_id("017"), "IsDeleted": False, **change}
        self.insert("AccountHistory", row | (values if told else dict.fromkeys(values)))

    def delete(self, record: str) -> None:
        super().delete(record)
        self.records[record]["IsDeleted"] = True

    def merge(self, loser: str, winner: str) -> str:
        self.records[loser]["MasterRecordId"] = winner
        return super().merge(loser, winner)

    def resolved(self, text: Any, prefix: str = "001") -> str:
        """The 18-character id meant by a 15- or 18-character one; raises `RowRefused`."""
        good = isinstance(text, str) and text.isalnum() and len(text) in (15, 18) and text.startswith(prefix)
        if not good or (len(text) == 18 and full_id(text[:15]) != text):
            raise RowRefused("MALFORMED_ID", f"Account ID: id value of incorrect type: {text}", "Id")
        return full_id(text[:15])


def _account(company: Company, owners: Mapping[str, str]) -> Record:
    created = stamped(company.created)
    return {
        "Id": salesforce_id("001", company.number),
        "IsDeleted": False,
        "Name": company.name,
        "Type": "Customer" if company.customer else "Prospect",
        "Website": f"https://www.{company.domain}",
        "OwnerId": owners[company.owner],
        "CreatedDate": created,
        "CreatedById": HUMAN_USER,
        "LastModifiedDate": created,
        "LastModifiedById": HUMAN_USER,
        "SystemModstamp": created,
        "External_Id__c": company.external_id,
        "Seats__c": float(company.seats),
        "Plan__c": company.plan,
        "ARR__c": round(company.arr, 2),
        "Renewal_Date__c": company.renewal.isoformat(),
    }


def _setup(owners: Mapping[str, str]) -> dict[str, Table]:
    """The objects besides Account, with the rows an org begins with."""
    full, api_only = LICENSES
    profiles = [
        {"Id": PROFILE, "Name": "Integration", "UserType": "Standard", "UserLicenseId": full},
        {"Id": API_PROFILE, "Name": API_ONLY, "UserType": "Standard", "UserLicenseId": api_only},
    ]
    profiles += [
        {"Id": salesforce_id("00e", number), "Name": name, "UserType": "Standard", "UserLicenseId": full}
        for number, name in enumerate(PEOPLE, start=3)
    ]
    behind = [
        {
            "Id": salesforce_id("0PS", number),
            "Name": f"X00eSandbox{number}",
            "Label": profile["Name"],
            "IsOwnedByProfile": True,
            "ProfileId": profile["Id"],
        }
        for number, profile in enumerate(profiles, start=1)
    ]
    users = [_user(INTEGRATION_USER, "Sandbox Integration", USERNAME), _user(HUMAN_USER, "Robin Admin")]
    users += [_user(user, name) for name, user in owners.items()]
    users += [
        _user(SYNC_USER, "CRM Sync"),
        _user(APP_USER, "Billing Integration") | {"ProfileId": API_PROFILE},
        _user(AUTOMATION, "Automated Process") | {"ProfileId": None, "UserType": "AutomatedProcess"},
        _user(PLATFORM, "Platform Integration User") | {"ProfileId": None, "UserType": "CloudIntegrationUser"},
    ]
    company = {
        "Id": ORG,
        "Name": "Sandbox Inc",
        "OrganizationType": "Enterprise Edition",
        "InstanceName": "SBX1",
        "IsSandbox": True,
        "TimeZoneSidKey": "America/New_York",
    }
    return {
        "User": table("User", USER, *users),
        "Profile": table("Profile", PROFILE_COLUMNS, *profiles),
        "UserLicense": table("UserLicense", LICENSE, *({"Id": id, "Name": name} for id, name in LICENSES.items())),
        "AccountHistory": table("AccountHistory", HISTORY),
        "Organization": table("Organization", ORGANIZATION, company),
        "PermissionSet": table("PermissionSet", PERMISSION_SET, *behind),
        "PermissionSetAssignment": table("PermissionSetAssignment", ASSIGNMENT),
        "FieldPermissions": table("FieldPermissions", FIELD_PERMISSIONS),
        "ListView": table("ListView", LIST_VIEW),
    }


def custom_fields(org: Org) -> Table:
    """What the Tooling API lists: every custom field, whether anybody may see it or not."""
    rows = {
        made: {
            "Id": made,
            "DeveloperName": name.removesuffix("__c"),
            "TableEnumOrId": "Account",
            "FullName": f"Account.{name}",
        }
        for name, made in org.field_ids.items()
    }
    return Table("CustomField", columns_of(*CUSTOM_FIELD), rows)


def field_definitions(org: Org) -> dict[str, Table]:
    """What the Tooling API says of the Account and its fields."""
    fields = {
        name: {"Id": name, "QualifiedApiName": name, "EntityDefinitionId": "Account", "IsFieldHistoryTracked": tracked}
        for name, tracked in ((column.name, column.name in org.tracked) for column in org.columns.values())
    }
    entity = {"Account": {"Id": "Account", "QualifiedApiName": "Account"}}
    return {
        "entitydefinition": Table("EntityDefinition", columns_of(*ENTITY_DEFINITION), entity),
        "fielddefinition": Table("FieldDefinition", columns_of(*FIELD_DEFINITION), fields),
    }


def _user(user: str, name: str, username: str = "") -> Record:
    first, _, last = name.partition(" ")
    email = username or f"{first}.{last}@sandbox.test".lower()
    return {
        "Id": user,
        "Username": email,
        "Name": name,
        "FirstName": first,
        "LastName": last,
        "Email": email,
        "IsActive": True,
        "UserType": "Standard",
        "ProfileId": PROFILE,
        "SystemModstamp": "2026-01-01T00:00:00.000+0000",
    }

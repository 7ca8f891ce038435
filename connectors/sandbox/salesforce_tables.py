"""The objects of the simulated Salesforce org and their columns."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.sandbox.crm import Record
from connectors.sandbox.salesforce_fields import Column


@dataclass(frozen=True)
class Table:
    """An object as the integration user sees it: columns by lower-case name, rows by id."""

    name: str
    columns: dict[str, Column]
    rows: dict[str, Record]


def columns_of(*columns: Column) -> dict[str, Column]:
    return {column.name.lower(): column for column in columns}


def _id(label: str) -> Column:
    return Column("Id", label, "id", length=18, writable=False)


def _link(name: str, relation: str, table: str, *, writable: bool = True, required: bool = False) -> Column:
    return Column(
        name,
        relation,
        "reference",
        length=18,
        relation=(relation, table),
        writable=writable,
        required=required,
    )


def _text(name: str, label: str, length: int = 255, *, kind: str = "string", required: bool = False) -> Column:
    return Column(name, label, kind, length=length, required=required)


def _when(name: str, label: str) -> Column:
    return Column(name, label, "datetime", writable=False, required=True)


def _flag(name: str, label: str, *, writable: bool = True) -> Column:
    return Column(name, label, "boolean", writable=writable)


def _values(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name.capitalize()) for name in names)


ACCOUNT = (
    _id("Account ID"),
    _flag("IsDeleted", "Deleted", writable=False),
    _link("MasterRecordId", "MasterRecord", "Account", writable=False),
    _text("Name", "Account Name", required=True),
    Column("Type", "Account Type", "picklist", length=255, values=_values("Prospect", "Customer", "Other")),
    _text("Phone", "Account Phone", 40, kind="phone"),
    _text("Website", "Website", kind="url"),
    _text("Industry", "Industry"),
    Column("AnnualRevenue", "Annual Revenue", "currency", precision=18),
    Column("NumberOfEmployees", "Employees", "int", precision=8),
    _text("Description", "Account Description", 32_000, kind="textarea"),
    _link("OwnerId", "Owner", "User", required=True),
    _when("CreatedDate", "Created Date"),
    _link("CreatedById", "CreatedBy", "User", writable=False, required=True),
    _when("LastModifiedDate", "Last Modified Date"),
    _link("LastModifiedById", "LastModifiedBy", "User", writable=False, required=True),
    _when("SystemModstamp", "System Modstamp"),
    Column("External_Id__c", "External Id", "string", length=64, external_id=True, unique=True),
    Column("Seats__c", "Seats", "double", precision=18),
    Column(
        "Plan__c",
        "Plan",
        "picklist",
        length=255,
        restricted=True,
        values=_values("free", "pro", "enterprise"),
    ),
    Column("ARR__c", "ARR", "currency", precision=18, scale=2),
    Column("Renewal_Date__c", "Renewal Date", "date"),
)
USER = (
    _id("User ID"),
    _text("Username", "Username", 80),
    _text("Name", "Full Name", 121),
    _text("FirstName", "First Name", 40),
    _text("LastName", "Last Name", 80),
    _text("Email", "Email", 128, kind="email"),
    _flag("IsActive", "Active"),
    _text("UserType", "User Type", 40),
    _link("ProfileId", "Profile", "Profile"),
    _when("SystemModstamp", "System Modstamp"),
)
LICENSE = (_id("License ID"), _text("Name", "Name", 40))
HISTORY = (
    _id("Account History ID"),
    _flag("IsDeleted", "Deleted", writable=False),
    _link("AccountId", "Account", "Account", writable=False),
    _link("CreatedById", "CreatedBy", "User", writable=False),
    _when("CreatedDate", "Created Date"),
    _text("Field", "Changed Field", 255, kind="picklist"),
    Column("OldValue", "Old Value", "anyType", writable=False),
    Column("NewValue", "New Value", "anyType", writable=False),
)
CHILDREN = {"histories": ("Histories", "AccountHistory", "AccountId")}  # of an account: relation, object, the key there
ORGANIZATION = (
    _id("Organization ID"),
    _text("Name", "Name", 80),
    _text("OrganizationType", "Edition", 40),
    _text("InstanceName", "Instance Name", 5),
    _flag("IsSandbox", "Is Sandbox"),
    _text("TimeZoneSidKey", "Time Zone", 40),
)
PERMISSION_SET = (
    _id("PermissionSet ID"),
    _text("Name", "API Name", 80, required=True),
    _text("Label", "Label", 80, required=True),
    _text("Description", "Description"),
    _flag("IsOwnedByProfile", "Is Owned By Profile", writable=False),
    _link("ProfileId", "Profile", "Profile", writable=False),
)
ASSIGNMENT = (
    _id("PermissionSetAssignment ID"),
    _link("AssigneeId", "Assignee", "User"),
    _link("PermissionSetId", "PermissionSet", "PermissionSet"),
)
FIELD_PERMISSIONS = (
    _id("FieldPermissions ID"),
    _link("ParentId", "Parent", "PermissionSet"),
    _text("SobjectType", "Sobject Type", 40, required=True),
    _text("Field", "Field Name", 240, required=True),
    _flag("PermissionsRead", "Read"),
    _flag("PermissionsEdit", "Edit"),
)
LIST_VIEW = (
    _id("List View ID"),
    _text("Name", "View Name", 40),
    _text("DeveloperName", "View Unique Name", 80),
    _text("SobjectType", "Custom Object Definition", 40),
)
CUSTOM_FIELD = (
    _id("Custom Field Definition ID"),
    _text("DeveloperName", "Name", 80),
    _text("TableEnumOrId", "Object", 40),
    _text("NamespacePrefix", "Namespace", 15),
    _text("FullName", "Full Name"),
)
ENTITY_DEFINITION = (_id("Entity Definition ID"), _text("QualifiedApiName", "Qualified API Name"))
FIELD_DEFINITION = (
    _id("Field Definition ID"),
    _text("QualifiedApiName", "Qualified API Name"),
    _link("EntityDefinitionId", "EntityDefinition", "EntityDefinition"),
    _flag("IsFieldHistoryTracked", "Is Field History Tracked"),
)
PROFILE_COLUMNS = (
    _id("Profile ID"),
    _text("Name", "Name"),
    _text("UserType", "User Type", 40),
    _link("UserLicenseId", "UserLicense", "UserLicense"),
)


def table(name: str, columns: tuple[Column, ...], *rows: Record) -> Table:
    """The object with the rows it begins with."""
    return Table(name, columns_of(*columns), {row["Id"]: row for row in rows})

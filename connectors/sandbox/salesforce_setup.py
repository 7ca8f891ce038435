"""Setting up the simulated org through the API: permission sets, what they grant and who has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.sandbox.salesforce_fields import RowRefused, held
from connectors.sandbox.salesforce_org import Org

PREFIXES = {"PermissionSet": "0PS", "PermissionSetAssignment": "0Pa", "FieldPermissions": "01k"}
UNIQUE = {
    "PermissionSet": ("Name",),
    "PermissionSetAssignment": ("AssigneeId", "PermissionSetId"),
    "FieldPermissions": ("ParentId", "Field"),
}


def create_row(org: Org, table: str, wanted: Mapping[str, Any]) -> str:
    """Make a permission set, assign one, or grant a field through one; returns the new id."""
    row = _held(org, table, wanted)
    _check(org, table, row)
    same = UNIQUE[table]
    for other in org.setup[table].rows.values():
        if all(other.get(name) == row.get(name) for name in same):
            message = f"duplicate value found: {same[-1]} duplicates value on record with id: {other['Id']}"
            raise RowRefused("DUPLICATE_VALUE", message, *same)
    row["Id"] = org.next_id(PREFIXES[table])
    org.insert(table, row)
    org.review_permissions()
    return str(row["Id"])


def change_row(org: Org, table: str, row: str, wanted: Mapping[str, Any]) -> str:
    """Change a permission set, assignment or grant."""
    rows = org.setup[table].rows
    if row not in rows:
        raise RowRefused("NOT_FOUND", "The requested resource does not exist")
    changed = rows[row] | _held(org, table, wanted, whole=False)
    _check(org, table, changed)
    org.insert(table, changed)
    org.review_permissions()
    return row


def delete_row(org: Org, table: str, row: str) -> str:
    """Take back a grant or an assignment, or a permission set that nobody has any more."""
    rows = org.setup[table].rows
    if row not in rows:
        raise RowRefused("NOT_FOUND", "The requested resource does not exist")
    if table == "PermissionSet":
        if rows[row].get("IsOwnedByProfile"):
            raise RowRefused("INSUFFICIENT_ACCESS_OR_READONLY", "this permission set belongs to a profile")
        if any(one["PermissionSetId"] == row for one in org.setup["PermissionSetAssignment"].rows.values()):
            raise RowRefused("DELETE_FAILED", "You can't delete a permission set that is assigned to users.")
        grants = org.setup["FieldPermissions"].rows
        for grant in [grant for grant, one in grants.items() if one["ParentId"] == row]:
            del grants[grant]
    del rows[row]
    org.review_permissions()
    return row


def _held(org: Org, table: str, wanted: Mapping[str, Any], *, whole: bool = True) -> dict[str, Any]:
    columns = org.setup[table].columns
    row: dict[str, Any] = {}
    for name, value in wanted.items():
        column = columns.get(name.lower())
        if name == "attributes":
            continue
        if column is None:
            raise RowRefused("INVALID_FIELD", f"No such column '{name}' on sobject of type {table}")
        if not column.writable:
            raise RowRefused("INVALID_FIELD_FOR_INSERT_UPDATE", f"Unable to create/update fields: {column.name}", name)
        row[column.name] = held(column, value)
    if whole:
        blank = (column for column in columns.values() if column.writable and column.name not in row)
        row |= {column.name: held(column, None) for column in blank}
    return row


def _check(org: Org, table: str, row: Mapping[str, Any]) -> None:
    if table == "PermissionSetAssignment":
        _must_exist(org, "User", row.get("AssigneeId"))
        _must_exist(org, "PermissionSet", row.get("PermissionSetId"))
    if table == "FieldPermissions":
        _must_exist(org, "PermissionSet", row.get("ParentId"))
        field = str(row["Field"])
        column = org.columns.get(field.partition(".")[2].lower())
        if not field.startswith("Account.") or column is None or column.required or not column.writable:
            message = f"Field Name: bad value for restricted picklist field: {field}"
            raise RowRefused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, "Field")
        if row["PermissionsEdit"] and not row["PermissionsRead"]:
            message = "Edit permission needs read permission"
            raise RowRefused("FIELD_INTEGRITY_EXCEPTION", message, "PermissionsEdit")


def _must_exist(org: Org, table: str, row: Any) -> None:
    if row not in org.setup[table].rows:
        raise RowRefused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")

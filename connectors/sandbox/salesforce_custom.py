"""Custom fields of the simulated org through the Tooling API: made, told, changed as a whole, and deleted.

A change replaces the whole metadata: what it leaves out is gone, and picklist values that it does not name are
deactivated. Records that hold such a value keep it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.sandbox.salesforce_fields import Column, RowRefused, from_metadata
from connectors.sandbox.salesforce_org import Org

TYPES = {"double": "Number", "string": "Text", "textarea": "TextArea", "datetime": "DateTime"}


def create_field(org: Org, wanted: Mapping[str, Any]) -> str:
    """Make a custom field of the Account and return its id; nobody may see it yet."""
    _allowed(org)
    table, _, name = str(wanted.get("FullName")).partition(".")
    if table != "Account" or not name.endswith("__c") or not name[:-3].replace("_", "").isalnum():
        raise RowRefused("FIELD_INTEGRITY_EXCEPTION", f"Not the full name of a custom field: {wanted.get('FullName')}")
    if name.lower() in org.columns:
        message = f"There is already a field named {name.removesuffix('__c')} on Account."
        raise RowRefused("DUPLICATE_DEVELOPER_NAME", message, "DeveloperName")
    _held(org, name, wanted.get("Metadata") or {})
    org.field_ids[name] = org.next_id("00N")
    return org.field_ids[name]


def told(org: Org, field: str) -> dict[str, Any]:
    """A custom field with its metadata, in the form that a change takes."""
    name = _named(org, field)
    return {
        "attributes": {"type": "CustomField"},
        "Id": field,
        "DeveloperName": name.removesuffix("__c"),
        "TableEnumOrId": "Account",
        "FullName": f"Account.{name}",
        "Metadata": org.metadata.get(name) or _of(org.columns[name.lower()]),
    }


def change_field(org: Org, field: str, wanted: Mapping[str, Any]) -> str:
    _allowed(org)
    name, metadata = _named(org, field), wanted.get("Metadata")
    if not isinstance(metadata, Mapping) or not metadata:
        raise RowRefused("FIELD_INTEGRITY_EXCEPTION", "Metadata is required to change a custom field", "Metadata")
    before = org.columns[name.lower()]
    column = _held(org, name, metadata)
    dropped = [one for one in (*before.values, *before.inactive) if one[0] not in dict(column.values)]
    org.columns[name.lower()] = replace(column, inactive=tuple(dict(dropped).items()))
    return field


def delete_field(org: Org, field: str) -> str:
    """Take a field away with all its values, unless something in the org uses it."""
    _allowed(org)
    name = _named(org, field)
    views = [str(row["Name"]) for row in org.setup["ListView"].rows.values() if name in row["FilterFields"]]
    for user in (*org.uses.get(name, ()), *(f"List View - {view}" for view in views)):
        raise RowRefused("DEPENDENCY_EXISTS", f"This custom field is referenced elsewhere in salesforce.com : {user}.")
    del org.columns[name.lower()], org.field_ids[name]
    org.metadata.pop(name, None)
    grants = org.setup["FieldPermissions"].rows
    for row in [row for row, one in grants.items() if one["Field"] == f"Account.{name}"]:
        del grants[row]
    for record in org.records.values():
        record.pop(name, None)
    org.review_permissions()
    return field


def _allowed(org: Org) -> None:
    if "CustomizeApplication" in org.missing_scopes:
        message = "insufficient access rights on cross-reference id"
        raise RowRefused("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message)


def _named(org: Org, field: str) -> str:
    for name, made in org.field_ids.items():
        if made == field:
            return name
    raise RowRefused("NOT_FOUND", "The requested resource does not exist")


def _held(org: Org, name: str, metadata: Mapping[str, Any]) -> Column:
    """Make, or make over, the column that this metadata describes, and keep the metadata as it is told."""
    column = from_metadata(name, metadata)
    org.columns[name.lower()] = column
    org.metadata[name] = {**metadata, "valueSet": _value_set(metadata.get("valueSet"))}
    return column


def _value_set(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Values are told by `valueName`, also those that were sent by `fullName`."""
    if not given:
        return None
    definition = given.get("valueSetDefinition") or {}
    listed = [_value(one) for one in definition.get("value") or ()]
    held = {"controllingField": None, "valueSetName": None, "valueSettings": [], **given}
    return {**held, "valueSetDefinition": {"sorted": bool(definition.get("sorted")), "value": listed}}


def _value(given: Mapping[str, Any]) -> dict[str, Any]:
    name = given.get("valueName") or given.get("fullName")
    told = {"color": None, "default": bool(given.get("default")), "description": None, "urls": None, "valueName": name}
    return told | {"isActive": given.get("isActive"), "label": given.get("label") or name}


def _of(column: Column) -> dict[str, Any]:
    """The metadata of a field that came with the org."""
    made: dict[str, Any] = {
        "label": column.label,
        "type": TYPES.get(column.type, column.type.capitalize()),
        "description": None,
        "inlineHelpText": column.help,
        "length": column.length or None,
        "precision": column.precision or None,
        "scale": column.scale if column.precision else None,
        "externalId": column.external_id,
        "unique": column.unique,
    }
    listed: Sequence[Mapping[str, Any]] = [{"valueName": value, "label": label} for value, label in column.values]
    values = {"restricted": column.restricted, "valueSetDefinition": {"sorted": False, "value": listed}}
    return made | {"valueSet": _value_set(values) if column.values else None}

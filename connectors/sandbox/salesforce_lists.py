"""List views of the simulated org's accounts, through the User Interface API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.sandbox.crm import Refused
from connectors.sandbox.salesforce_org import Org
from connectors.sandbox.salesforce_paths import refused

NAME = re.compile(r"[A-Za-z](?!\w*__)\w{0,79}(?<!_)")
LONGEST_LABEL = 40
OPERATORS = ("Equals", "NotEqual", "Contains", "StartsWith", "LessThan", "GreaterThan", "LessOrEqual", "GreaterOrEqual")
VISIBILITIES = ("Private", "Public", "Shared")
PUBLIC_RIGHT = "ManagePublicListviews"


def create(org: Org, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Make a list view of accounts and say what it is."""
    name, label = str(wanted.get("listViewApiName") or ""), str(wanted.get("label") or "")
    if not NAME.fullmatch(name) or not 0 < len(label) <= LONGEST_LABEL:
        raise refused("ILLEGAL_QUERY_PARAMETER_VALUE", "The list view needs an API name and a label of 40 characters")
    if wanted.get("visibility") not in VISIBILITIES:
        raise refused("ILLEGAL_QUERY_PARAMETER_VALUE", "visibility must be Private, Public or Shared")
    if wanted["visibility"] == "Public" and PUBLIC_RIGHT in org.missing_scopes:
        raise refused("INSUFFICIENT_ACCESS", "You don't have permission to manage public list views.", 403)
    if any(row["DeveloperName"] == name for row in org.setup["ListView"].rows.values()):
        raise refused("DUPLICATE_DEVELOPER_NAME", f"There is already a list view named {name}.")
    filters = [_checked(org, one) for one in wanted.get("filteredByInfo") or ()]
    columns = [_seen(org, str(one)) for one in wanted.get("displayColumns") or ("Name",)]
    row = {
        "Id": org.next_id("00B"),
        "Name": label,
        "DeveloperName": name,
        "SobjectType": "Account",
        "FilterFields": [str(one["fieldApiName"]) for one in filters],
        "Info": {**wanted, "filteredByInfo": filters, "displayColumns": columns},
    }
    org.insert("ListView", row)
    return told(org, name)


def told(org: Org, name: str) -> dict[str, Any]:
    row = _found(org, name)
    return {
        **row["Info"],
        "deletable": True,
        "label": row["Name"],
        "listReference": {"id": row["Id"], "listViewApiName": name, "objectApiName": "Account", "type": "listView"},
        "updateable": True,
    }


def delete(org: Org, name: str) -> None:
    del org.setup["ListView"].rows[_found(org, name)["Id"]]


def _found(org: Org, name: str) -> Any:
    for row in org.setup["ListView"].rows.values():
        if row["DeveloperName"] == name:
            return row
    raise _missing()


def _missing() -> Refused:
    return refused("NOT_FOUND", "The requested resource does not exist", 404)


def _checked(org: Org, one: Mapping[str, Any]) -> Mapping[str, Any]:
    """A filter names a field that is seen, an operator, and labels: those of a picklist's values, not the values."""
    column, labels = org.columns[_seen(org, str(one.get("fieldApiName"))).lower()], one.get("operandLabels")
    if one.get("operator") not in OPERATORS or not isinstance(labels, list):
        raise refused("ILLEGAL_QUERY_PARAMETER_VALUE", f"{one.get('operator')} is no operator of a list view")
    if column.type == "picklist" and not {str(label) for label in labels} <= {label for _, label in column.values}:
        raise refused("INVALID_FILTER_VALUE", f"{column.label} has no value labelled {labels[0]}")
    return {**one, "fieldApiName": column.name}


def _seen(org: Org, name: str) -> str:
    column = org.columns_seen().get(name.lower())
    if column is None and "." not in name:
        raise refused("INVALID_FIELD", f"No such column '{name}' on entity 'Account'")
    return column.name if column else name

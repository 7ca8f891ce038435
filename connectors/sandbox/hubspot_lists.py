"""Lists of the simulated account's companies: made, told by name, deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.sandbox.crm import Refused
from connectors.sandbox.hubspot_errors import body, invalid, not_found
from connectors.sandbox.hubspot_portal import Portal

COMPANIES = "0-2"
PROCESSING = ("DYNAMIC", "MANUAL", "SNAPSHOT")


def create(portal: Portal, wanted: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("name", "objectTypeId", "processingType"):
        if not isinstance(wanted.get(name), str) or not wanted[name]:
            raise invalid(f"Some required fields were not set: [{name}]")
    if wanted["objectTypeId"] != COMPANIES or wanted["processingType"] not in PROCESSING:
        raise invalid(f"No list of {wanted['objectTypeId']} can be {wanted['processingType']}")
    if any(one["name"].lower() == wanted["name"].lower() for one in portal.lists.values()):
        raise Refused(400, body("VALIDATION_ERROR", "List name must be unique", subCategory="ILS.DUPLICATE_LIST_NAMES"))
    branch = wanted.get("filterBranch")
    _check_root(portal, branch)
    number = str(1 + max(map(int, portal.lists), default=0))
    held = {key: wanted[key] for key in ("name", "objectTypeId", "processingType")}
    portal.lists[number] = {**held, "listId": number, "filterBranch": branch}
    return shown(portal, number)


def by_name(portal: Portal, name: str, *, filters: bool) -> dict[str, Any]:
    for number, one in portal.lists.items():
        if one["name"].lower() == name.lower():
            return shown(portal, number, filters=filters)
    raise not_found(f"List does not exist with name {name}.")


def delete(portal: Portal, number: str) -> None:
    if portal.lists.pop(number, None) is None:
        raise not_found(f"List does not exist with ID {number}.")


def shown(portal: Portal, number: str, *, filters: bool = True) -> dict[str, Any]:
    told = {"listVersion": 1, "processingStatus": "COMPLETE", **portal.lists[number]}
    return {"list": {key: value for key, value in told.items() if filters or key != "filterBranch"}}


def users(portal: Portal, name: str) -> list[str]:
    """The lists that go by a property."""
    return [
        one["name"] for one in portal.lists.values() if name in {f["property"] for f in _filters(one["filterBranch"])}
    ]


def _check_root(portal: Portal, branch: Any) -> None:
    """An OR of ANDs, every filter over a property that there is and values that it offers."""
    inner = branch.get("filterBranches") if isinstance(branch, Mapping) else None
    if not inner or branch.get("filterBranchType") != "OR" or branch.get("filters"):
        raise invalid("The root filter branch must be an OR with at least one AND branch and no filters")
    if any(one.get("filterBranchType") != "AND" or "filterBranchOperator" not in one for one in inner):
        raise invalid("The children of the root filter branch must be AND branches")
    for one in _filters(branch):
        found = portal.properties.get(str(one.get("property")))
        if found is None:
            raise invalid(f"Property {one.get('property')} does not exist")
        offered = {option["value"] for option in found.options}
        if not set((one.get("operation") or {}).get("values") or ()) <= offered:
            raise invalid(f"The filter on {found.name} has values that it does not offer")


def _filters(branch: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(branch, Mapping):
        yield from branch.get("filters") or ()
        for inner in branch.get("filterBranches") or ():
            yield from _filters(inner)

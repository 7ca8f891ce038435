"""Company search of the simulated HubSpot account: filter groups, sorts, ten thousand results at most.

The index behind it may lag: what was written less than `search_lag` ago is searched as it was before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.sandbox.hubspot_errors import invalid
from connectors.sandbox.hubspot_portal import DEFAULTS, Portal
from connectors.sandbox.hubspot_properties import Property, ValueRefused, held

MOST_GROUPS, MOST_FILTERS = 5, 6
LARGEST_PAGE, MOST_RESULTS, LONGEST_QUERY = 200, 10_000, 3000

Key = Callable[[Any], Any]
Test = Callable[[str], bool]


def search(portal: Portal, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The page the request asks for; raises `Refused`."""
    limit, after = _whole(wanted.get("limit", 10), "limit"), _whole(wanted.get("after") or 0, "after")
    if not 0 <= limit <= LARGEST_PAGE:
        raise invalid(f"limit must be between 0 and {LARGEST_PAGE}")
    if after + limit > MOST_RESULTS:
        raise invalid(f"The search can only return {MOST_RESULTS} results")
    keep = _wanted(portal, wanted)
    found = [record for record in portal.live() if keep(record)]
    _sort(portal, found, wanted.get("sorts") or [])
    names = wanted.get("properties") or DEFAULTS
    page = [portal.shown(record, names) for record in found[after : after + limit]]
    body: dict[str, Any] = {"total": len(found), "results": page}
    if after + limit < min(len(found), MOST_RESULTS):
        body["paging"] = {"next": {"after": str(after + limit)}}
    return body


def _whole(value: Any, name: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise invalid(f"{name} is not a number") from error


def _wanted(portal: Portal, wanted: Mapping[str, Any]) -> Test:
    groups = wanted.get("filterGroups") or []
    if len(groups) > MOST_GROUPS or any(len(group.get("filters") or []) > MOST_FILTERS for group in groups):
        raise invalid(f"At most {MOST_GROUPS} filter groups of {MOST_FILTERS} filters each")
    tests = [[_filter(portal, one) for one in group.get("filters") or []] for group in groups]
    query = str(wanted.get("query") or "").casefold()
    if len(query) > LONGEST_QUERY:
        raise invalid(f"query may have {LONGEST_QUERY} characters")

    def keep(record: str) -> bool:
        if query and not any(query in (portal.value(record, name) or "").casefold() for name in ("name", "domain")):
            return False
        return not tests or any(all(test(record) for test in group) for group in tests)

    return keep


def _filter(portal: Portal, wanted: Mapping[str, Any]) -> Test:
    name, operator = wanted.get("propertyName"), wanted.get("operator")
    one = portal.properties.get(str(name))
    if one is None:
        raise invalid(f"There was a problem with the request: property {name} does not exist")
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return _on(portal, one, lambda value: (value is not None) == (operator == "HAS_PROPERTY"))
    compare = _comparison(one, str(operator), wanted)
    negative = operator in ("NEQ", "NOT_IN", "NOT_CONTAINS_TOKEN")
    return _on(portal, one, lambda value: negative if value is None else compare(value))


def _on(portal: Portal, one: Property, test: Callable[[str | None], bool]) -> Test:
    def on(record: str) -> bool:
        return test(_indexed(portal, record, one.name, portal.clock.now()))

    return on


def _indexed(portal: Portal, record: str, name: str, now: datetime) -> str | None:
    """The value the index knows: the newest, unless that is too young."""
    known = now - portal.search_lag
    if portal.modified[record] <= known:
        return portal.value(record, name)
    past = [written for written in portal.past(record, name) if written.at <= known]
    return (past[-1].fields[name] or None) if past else None


def _comparison(one: Property, operator: str, wanted: Mapping[str, Any]) -> Callable[[str], bool]:
    key = _key(one)
    if operator in ("IN", "NOT_IN"):
        values = {key(value) for value in wanted.get("values") or ()}
        return lambda value: (key(value) in values) == (operator == "IN")
    if wanted.get("value") is None:
        raise invalid(f"operator {operator} needs a value")
    low = wanted["value"]
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        pattern = re.compile(re.escape(str(low).casefold()).replace(r"\*", r"\S*"))
        return lambda value: _has_token(pattern, value) == (operator == "CONTAINS_TOKEN")
    first = key(low)
    if operator == "BETWEEN":
        last = key(wanted.get("highValue"))
        return lambda value: bool(first <= key(value) <= last)
    signs: dict[str, Callable[[Any], bool]] = {
        "EQ": lambda value: bool(value == first),
        "NEQ": lambda value: bool(value != first),
        "LT": lambda value: bool(value < first),
        "LTE": lambda value: bool(value <= first),
        "GT": lambda value: bool(value > first),
        "GTE": lambda value: bool(value >= first),
    }
    if operator not in signs:
        raise invalid(f"{operator} is not a filter operator")
    return lambda value: signs[operator](key(value))


def _has_token(pattern: re.Pattern[str], value: str) -> bool:
    return any(pattern.fullmatch(token) for token in re.split(r"[\s.,;-]+", value.casefold()))


def _key(one: Property) -> Key:
    """How values of this property compare."""
    if one.type == "number":
        return _number
    if one.type in ("date", "datetime"):
        return lambda value: _moment(one, value)
    return lambda value: str(value).casefold()


def _number(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise invalid(f"{value} is not a number") from error


def _moment(one: Property, value: Any) -> str:
    try:
        return held(Property(one.name, one.label, one.type, one.field_type), value)
    except ValueRefused as error:
        raise invalid(error.message) from error


def _sort(portal: Portal, found: list[str], sorts: Any) -> None:
    found.sort(key=int)
    for wanted in reversed(sorts[:1]):
        name, direction = (
            (wanted, "ASCENDING")
            if isinstance(wanted, str)
            else (wanted.get("propertyName"), wanted.get("direction", "ASCENDING"))
        )
        one = portal.properties.get(str(name).removeprefix("-"))
        if one is None:
            raise invalid(f"There was a problem with the request: property {name} does not exist")
        blank = [record for record in found if portal.value(record, one.name) is None]
        filled = [record for record in found if portal.value(record, one.name) is not None]
        key, by = _key(one), one.name
        filled.sort(key=lambda record: key(portal.value(record, by)), reverse=direction == "DESCENDING")
        found[:] = filled + blank

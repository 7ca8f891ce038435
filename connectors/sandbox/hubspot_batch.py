"""Batch reads and updates of the simulated HubSpot account.

A batch of which every input has an `objectWriteTraceId` of its own answers row by row (207); without them one bad
row refuses the whole, as it always does where `Portal.refuses_whole`. Ids nobody has are always answered row by row.
Results come in an order of their own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from connectors.sandbox.crm import Refused
from connectors.sandbox.hubspot_errors import body, invalid, locked, row, values_message
from connectors.sandbox.hubspot_portal import DEFAULTS, Portal
from connectors.sandbox.hubspot_properties import Property, ValueRefused, held, stamped

MOST_INPUTS, MOST_WITH_HISTORY = 100, 50

Answer = tuple[int, dict[str, Any]]


class Change(NamedTuple):
    """One input that can be carried out. `echo`: the values as they were sent, which the answer repeats."""

    record: str
    fields: dict[str, str]
    echo: dict[str, Any]
    trace: str | None


def read(portal: Portal, wanted: Mapping[str, Any], *, archived: bool) -> Answer:
    """Status and body of a batch read; raises `Refused`."""
    inputs = _inputs(wanted)
    histories = wanted.get("propertiesWithHistory") or []
    most = MOST_WITH_HISTORY if histories else MOST_INPUTS
    _check_size(inputs, most, "reads" if not histories else "property histories")
    names = wanted.get("properties") or DEFAULTS
    id_property = _id_property(portal, wanted.get("idProperty"))
    results, missing = [], []
    for one in inputs:
        given = str(one.get("id"))
        record = portal.led_to(given, id_property)
        if archived:
            record = given if given in portal.deleted else None
        if record is None:
            missing.append(given)
        else:
            results.append(portal.shown(record, names, histories=histories))
    return _answer(portal, results, _unknown(missing))


def update(portal: Portal, wanted: Mapping[str, Any]) -> Answer:
    """Status and body of a batch update; raises `Refused`."""
    inputs = _inputs(wanted)
    _check_size(inputs, MOST_INPUTS, "object updates")
    _check_repeats(inputs)
    portal.batches += 1
    if portal.faults.strikes("locked", "batch", portal.batches):
        raise locked()
    traced = _traced(inputs)
    changes, errors, missing = [], [], []
    for one in inputs:
        change = _change(portal, one, busy=traced)
        if isinstance(change, Change):
            changes.append(change)
        elif change is None:
            missing.append(one)
        else:
            errors.append((one, change))
    if errors and (portal.refuses_whole or not traced):
        raise Refused(400, body(errors[0][1].category, errors[0][1].message))
    said = [_row(one, problem) for one, problem in errors]
    said += _unknown([str(one.get("id")) for one in missing], _traces(missing) if traced else None)
    return _answer(portal, _carry_out(portal, changes), said)


class Problem(NamedTuple):
    category: str
    message: str


def _change(portal: Portal, one: Mapping[str, Any], *, busy: bool) -> Change | Problem | None:
    """What the input asks for; a problem; or None when nobody has its id. `busy`: it may be refused in passing."""
    record = portal.found(str(one.get("id")), _id_property(portal, one.get("idProperty")))
    if record is None:
        return None
    code = portal.fail_rows.get(record)
    if code is not None:
        return Problem(code, "The record was refused by a rule of this account.")
    if busy and portal.faults.strikes("partial", record, portal.batches):
        return Problem("INTERNAL_ERROR", "The record could not be saved; try again later.")
    properties = one.get("properties") or {}
    fields, refused = checked(portal, record, properties)
    if refused:
        return Problem("VALIDATION_ERROR", values_message(refused))
    trace = one.get("objectWriteTraceId")
    return Change(record, fields, {name: _text(value) for name, value in properties.items()}, trace)


def checked(portal: Portal, record: str, properties: Mapping[str, Any]) -> tuple[dict[str, str], list[ValueRefused]]:
    """The values as they will be held, and those that will not."""
    fields, refused = {}, []
    for name, value in properties.items():
        try:
            fields[name] = held(_property(portal, name), value)
            _check_unique(portal, record, name, fields[name])
        except ValueRefused as error:
            refused.append(error)
    return fields, refused


def _property(portal: Portal, name: str) -> Property:
    one = portal.properties.get(name)
    if one is None:
        raise ValueRefused("PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist', name)
    return one


def _check_unique(portal: Portal, record: str, name: str, value: str) -> None:
    owner = portal.unique.get(name, {}).get(value)
    if owner not in (None, record):
        message = f"{owner} already has that value."
        raise ValueRefused("CONFLICTING_UNIQUE_VALUE", message, name)


def _carry_out(portal: Portal, changes: Sequence[Change]) -> list[dict[str, Any]]:
    portal.writing_calls += 1
    results = []
    for change in changes:
        portal.write(change.record, change.fields, by="api", call=portal.writing_calls)
        shown = portal.shown(change.record, [*DEFAULTS, *change.fields], extra=_cleared(change))
        results.append(shown | ({"objectWriteTraceId": change.trace} if change.trace else {}))
    return results


def _cleared(change: Change) -> dict[str, Any]:
    """A value cleared with "" comes back as "" in the answer to the write (and as null ever after)."""
    return {name: "" for name, value in change.fields.items() if value == "" and change.echo.get(name) == ""}


def _text(value: Any) -> Any:
    return value if value is None else str(value)


def _row(one: Mapping[str, Any], problem: Problem) -> dict[str, Any]:
    return row(
        problem.category,
        problem.message,
        {"ids": [str(one.get("id"))], "objectWriteTraceId": [str(one.get("objectWriteTraceId"))]},
    )


def _unknown(ids: Sequence[str], traces: Sequence[str] | None = None) -> list[dict[str, Any]]:
    if not ids:
        return []
    context = {"ids": list(ids)} | ({"objectWriteTraceId": list(traces)} if traces else {})
    return [row("OBJECT_NOT_FOUND", "Could not get some COMPANY objects, they may be deleted or not exist.", context)]


def _answer(portal: Portal, results: list[dict[str, Any]], errors: list[dict[str, Any]]) -> Answer:
    now = stamped(portal.clock.now())
    results.sort(key=lambda result: zlib.crc32(result["id"].encode()))
    said: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if not errors:
        return 200, said
    number = sum(max(1, len(error["context"].get("ids", ()))) for error in errors)
    return 207, said | {"numErrors": number, "errors": errors}


def _inputs(wanted: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The inputs; a body without them is accepted and means none."""
    inputs = wanted.get("inputs") or []
    if not isinstance(inputs, list) or not all(isinstance(one, dict) for one in inputs):
        raise invalid("Invalid input JSON: inputs must be a list of objects")
    return inputs


def _check_size(inputs: Sequence[object], most: int, what: str) -> None:
    if len(inputs) > most:
        raise invalid(
            f"The maximum number of inputs supported in a batch request for {what} is {most}. "
            "Please reduce the number of items and try again"
        )


def _check_repeats(inputs: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for one in inputs:
        given = str(one.get("id"))
        if given in seen:
            raise invalid(f"Duplicate IDs found in batch input: [{given}]. IDs must be unique")
        seen.add(given)


def _id_property(portal: Portal, name: Any) -> str | None:
    if name in (None, "hs_object_id"):
        return None
    one = portal.properties.get(str(name))
    if one is None or not one.unique:
        raise invalid(f"Unable to perform update by non-unique 0-2 property: {name}")
    return one.name


def _traced(inputs: Sequence[Mapping[str, Any]]) -> bool:
    traces = _traces(inputs)
    return len(traces) == len(inputs) == len(set(traces))


def _traces(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(one["objectWriteTraceId"]) for one in inputs if one.get("objectWriteTraceId")]

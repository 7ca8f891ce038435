"""How the simulated org takes writes to accounts: row by row, each accepted or refused on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from connectors.sandbox.salesforce_fields import RowRefused, held
from connectors.sandbox.salesforce_org import Org

MESSAGES = {
    "UNABLE_TO_LOCK_ROW": "unable to obtain exclusive access to this record or 1 records: {id}",
    "ENTITY_IS_DELETED": "entity is deleted",
    "INVALID_CROSS_REFERENCE_KEY": "invalid cross reference id",
    "INSUFFICIENT_ACCESS_OR_READONLY": "insufficient access rights on object id",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "An account on hold may not be changed.",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "AccountTrigger: execution of BeforeUpdate failed",
}


class Outcome(NamedTuple):
    """What became of one row: its id, and why it was refused if it was."""

    id: str | None
    error: RowRefused | None


def update(org: Org, rows: Sequence[Mapping[str, Any]], *, every: bool = False) -> list[Outcome]:
    """Write the rows, each a record's `id` and its fields; outcomes in the order of the rows.

    `every`: all rows or none.
    """
    org.writing_calls += 1
    checked = [_checked(org, row) for row in rows]
    if every and any(isinstance(one, RowRefused) for one in checked):
        return [_rolled_back(one) for one in checked]
    return [_written(org, one) for one in checked]


def _checked(org: Org, row: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | RowRefused:
    try:
        return _reachable(org, row), _fields(org, row)
    except RowRefused as error:
        return error


def _written(org: Org, checked: tuple[str, dict[str, Any]] | RowRefused) -> Outcome:
    if isinstance(checked, RowRefused):
        return Outcome(None, checked)
    record, fields = checked
    org.write(record, fields, by="api", call=org.writing_calls)
    return Outcome(record, None)


def _rolled_back(checked: tuple[str, dict[str, Any]] | RowRefused) -> Outcome:
    if isinstance(checked, RowRefused):
        return Outcome(None, checked)
    message = "Record rolled back because not all records were valid and the request was using AllOrNone header"
    return Outcome(None, RowRefused("ALL_OR_NONE_OPERATION_ROLLED_BACK", message))


def _reachable(org: Org, row: Mapping[str, Any]) -> str:
    given = next((value for name, value in row.items() if name.lower() == "id"), None)
    if given is None:
        raise RowRefused("MISSING_ARGUMENT", "Id not specified in an update call", "Id")
    record = org.resolved(given)
    if record in org.deleted:
        raise _named("ENTITY_IS_DELETED", record)
    if not org.here(record):
        raise _named("INVALID_CROSS_REFERENCE_KEY", record)
    trouble = org.trouble(record)
    if trouble is not None:
        raise _named(trouble, record)
    return record


def _named(code: str, record: str) -> RowRefused:
    return RowRefused(code, MESSAGES.get(code, "the record was refused").format(id=record))


def _fields(org: Org, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row's values as the org will hold them."""
    fields: dict[str, Any] = {}
    for name, value in row.items():
        if name.lower() in ("id", "attributes"):
            continue
        column = org.columns.get(name.lower())
        if column is None or not org.readable(column):
            raise RowRefused("INVALID_FIELD", f"No such column '{name}' on sobject of type Account")
        if not org.editable(column):
            message = (
                f"Unable to create/update fields: {column.name}. Please check the security settings of this "
                "field and verify that it is read/write for your profile or permission set."
            )
            raise RowRefused("INVALID_FIELD_FOR_INSERT_UPDATE", message, column.name)
        fields[column.name] = held(column, value)
    return fields


def listed(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Outcomes as sObject Collections answer them: a refused row has no id."""
    return [_save_result(outcome) for outcome in outcomes]


def _save_result(outcome: Outcome) -> dict[str, Any]:
    if outcome.error is None:
        return {"id": outcome.id, "success": True, "errors": []}
    error = outcome.error
    return {
        "success": False,
        "errors": [{"statusCode": error.code, "message": error.message, "fields": error.fields}],
    }

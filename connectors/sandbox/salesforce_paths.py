"""Finds what a dotted path of a query means: a field of the object asked for, or of a related one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from connectors.sandbox.crm import Record, Refused
from connectors.sandbox.salesforce_fields import Column
from connectors.sandbox.salesforce_org import Org, custom_fields, field_definitions
from connectors.sandbox.salesforce_tables import Table

Getter = Callable[[Record], Any]


def refused(code: str, message: str, status: int = 400) -> Refused:
    """An error as the REST API words it: a list with one entry."""
    return Refused(status, [{"message": message, "errorCode": code}])


class Step(NamedTuple):
    """From a row to a related one: by the id in the field `key`."""

    relation: str
    key: str
    table: Table


@dataclass(frozen=True)
class Found:
    """A path of the query that led somewhere."""

    steps: tuple[Step, ...]
    column: Column
    get: Getter


def tables(org: Org, *, tooling: bool = False) -> dict[str, Table]:
    """The objects that can be queried, by lower-case name."""
    if tooling:
        return {"customfield": custom_fields(org)} | field_definitions(org)
    account = Table("Account", org.columns_seen(), org.records)
    return {"account": account} | {name.lower(): table for name, table in org.setup.items()}


def find(org: Org, table: Table, path: str) -> Found:
    """Where a dotted path leads; refuses a column that is not there, or not to be seen."""
    *relations, last = path.split(".")
    if relations and relations[0].lower() == table.name.lower():
        relations = relations[1:]  # Account.Name says no more than Name
    steps: list[Step] = []
    here = table
    for name in relations:
        column, relation, target = _relation(here, name)
        here = (tables(org) | field_definitions(org))[target.lower()]
        steps.append(Step(relation, column.name, here))
    wanted = here.columns.get(last.lower())
    if wanted is None:
        raise _no_column(here, last)
    return Found(tuple(steps), wanted, _getter(steps, wanted))


def _getter(steps: Sequence[Step], column: Column) -> Getter:
    name = column.name
    blank = False if column.type == "boolean" else None
    if not steps:
        return lambda row: row.get(name, blank)

    def get(row: Record) -> Any:
        for step in steps:
            related = step.table.rows.get(row.get(step.key, ""))
            if related is None:
                return None
            row = related
        return row.get(name, blank)

    return get


def _relation(table: Table, name: str) -> tuple[Column, str, str]:
    for column in table.columns.values():
        if column.relation and column.relation[0].lower() == name.lower():
            return column, *column.relation
    message = f"Didn't understand relationship '{name}' in field path."
    raise refused("INVALID_FIELD", message)


def _no_column(table: Table, name: str) -> Refused:
    return refused(
        "INVALID_FIELD",
        f"\nERROR at Row:1:Column:1\nNo such column '{name}' on entity '{table.name}'. If you are attempting "
        "to use a custom field, be sure to append the '__c' after the custom field name. Please reference "
        "your WSDL or the describe call for the appropriate names.",
    )

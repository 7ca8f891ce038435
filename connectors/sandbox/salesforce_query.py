"""Runs a SOQL query over the simulated org and hands the answer out in pages.

A field hidden by field-level security is no column at all; neither is one that nobody made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from connectors.sandbox import soql
from connectors.sandbox.crm import Record
from connectors.sandbox.salesforce_org import Org
from connectors.sandbox.salesforce_paths import Found, Getter, find, refused, tables
from connectors.sandbox.salesforce_tables import CHILDREN, Table
from connectors.sandbox.salesforce_where import condition, folded

CURSORS = 50


class Related(NamedTuple):
    """A query inside a query: rows of another object by the id of the row they belong to."""

    relation: str
    table: str
    fields: tuple[Found, ...]
    rows: Mapping[str, Sequence[Record]]

    def told(self, version: str, owner: str) -> dict[str, Any] | None:
        found = [rendered(version, self.table, self.fields, row) for row in self.rows.get(owner, ())]
        return {"totalSize": len(found), "done": True, "records": found} if found else None


@dataclass
class Cursor:
    """An answer that is handed out page by page."""

    table: str
    fields: tuple[Found, ...]
    rows: Sequence[Record]
    related: tuple[Related, ...] = ()

    def page(self, version: str, start: int, size: int, locator: str) -> dict[str, Any]:
        stop = start + size
        done = stop >= len(self.rows)
        body: dict[str, Any] = {"totalSize": len(self.rows), "done": done}
        if not done:
            body["nextRecordsUrl"] = f"/services/data/{version}/query/{locator}-{stop}"
        body["records"] = [self._record(version, row) for row in self.rows[start:stop]]
        return body

    def _record(self, version: str, row: Record) -> dict[str, Any]:
        related = {one.relation: one.told(version, row["Id"]) for one in self.related}
        return rendered(version, self.table, self.fields, row) | related


class Queries:
    """The queries of one org and the cursors still open on them (the oldest is dropped for the newest)."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._cursors: dict[str, Cursor] = {}

    def begin(self, text: str, version: str, size: int, *, every: bool = False, tooling: bool = False) -> Any:
        """The first page. `every`: deleted records too. `tooling`: over the Tooling API's objects."""
        try:
            query = soql.parse(text)
        except soql.Malformed as error:
            raise refused("MALFORMED_QUERY", str(error)) from error
        table = self._table(query.table, tooling=tooling)
        rows = self._rows(table, query, every=every)
        if query.count is not None:
            return _counted(self._org, table, query, rows)
        fields = tuple(find(self._org, table, name) for name in query.fields)
        cursor = Cursor(table.name, fields, rows, tuple(self._related(table, one) for one in query.children))
        locator = self._keep(cursor) if len(rows) > size else ""
        return cursor.page(version, 0, size, locator)

    def more(self, locator: str, version: str, size: int) -> Any:
        """The page a `nextRecordsUrl` names."""
        name, _, start = locator.rpartition("-")
        cursor = self._cursors.get(name)
        if cursor is None or not start.isdigit():
            raise refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        return cursor.page(version, int(start), size, name)

    def _related(self, table: Table, query: soql.Query) -> Related:
        relation, name, key = CHILDREN.get(query.table.lower(), ("", "", ""))
        if table.name != "Account" or not relation:
            raise refused("INVALID_TYPE", f"Didn't understand relationship '{query.table}' in FROM part of query call.")
        child = self._table(name, tooling=False)
        grouped: dict[str, list[Record]] = defaultdict(list)
        for row in self._rows(child, replace(query, limit=None, offset=0), every=False):
            grouped[row[key]].append(row)
        fields = tuple(find(self._org, child, one) for one in query.fields)
        return Related(relation, name, fields, {owner: rows[: query.limit] for owner, rows in grouped.items()})

    def _keep(self, cursor: Cursor) -> str:
        locator = self._org.next_id("01g")
        self._cursors[locator] = cursor
        if len(self._cursors) > CURSORS:
            del self._cursors[next(iter(self._cursors))]
        return locator

    def _table(self, name: str, *, tooling: bool) -> Table:
        found = tables(self._org, tooling=tooling).get(name.lower())
        if found is None:
            raise refused("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    def _rows(self, table: Table, query: soql.Query, *, every: bool) -> list[Record]:
        org = self._org
        if table.name == "Account":
            now = org.clock.now()
            chosen: Iterable[str] = (
                (record for record, made in org.created.items() if made <= now) if every else org.live()
            )
            rows = [org.records[record] for record in chosen]
        elif table.name == "AccountHistory":
            seen = {column.name for column in org.columns_seen().values()}
            rows = [row for row in table.rows.values() if row["Field"] in seen]
        else:
            rows = list(table.rows.values())
        if query.where is not None:
            keep = condition(org, table, query.where)
            rows = [row for row in rows if keep(row)]
        for order in reversed(query.order):
            rows = _ordered(rows, find(org, table, order.field).get, order)
        stop = None if query.limit is None else query.offset + query.limit
        return rows[query.offset : stop]


def _ordered(rows: list[Record], get: Getter, order: soql.Order) -> list[Record]:
    blank = [row for row in rows if get(row) is None]
    filled = [row for row in rows if get(row) is not None]
    filled.sort(key=lambda row: folded(get(row)), reverse=order.descending)
    return filled + blank if order.nulls_last else blank + filled


def _counted(org: Org, table: Table, query: soql.Query, rows: Sequence[Record]) -> dict[str, Any]:
    if not query.count:
        return {"totalSize": len(rows), "done": True, "records": []}
    get = find(org, table, query.count).get
    number = sum(1 for row in rows if get(row) is not None)
    row = {"attributes": {"type": "AggregateResult"}, query.alias: number}
    return {"totalSize": 1, "done": True, "records": [row]}


def rendered(version: str, table: str, fields: Iterable[Found], row: Record) -> dict[str, Any]:
    """A row as the REST API writes it, related records nested."""
    body: dict[str, Any] = {"attributes": _attributes(version, table, row["Id"])}
    for field in fields:
        if field.steps:
            _nest(version, body, field, row)
        else:
            body[field.column.name] = field.get(row)
    return body


def _nest(version: str, body: dict[str, Any], field: Found, row: Record) -> None:
    for step in field.steps:
        related = step.table.rows.get(row.get(step.key, ""))
        if related is None:
            body[step.relation] = None
            return
        nested = body.setdefault(step.relation, {"attributes": _attributes(version, step.table.name, related["Id"])})
        body, row = nested, related
    body[field.column.name] = row.get(field.column.name)


def _attributes(version: str, table: str, row: str) -> dict[str, str]:
    return {"type": table, "url": f"/services/data/{version}/sobjects/{table}/{row}"}

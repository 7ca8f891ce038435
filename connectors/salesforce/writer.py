"""Writing field values to accounts: 200 a call, or by Bulk API 2.0 when there are many.

Results come by position and a call that answers 200 may have failed for every row. Row locks are ordinary
(somebody saves a contact of the account), so those rows are tried once more in small batches, one after
another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from connectors.base import FieldValue, Outcome, Write
from connectors.batches import batches, halved
from connectors.errors import RowWrong
from connectors.salesforce import bulk
from connectors.salesforce.client import Client
from connectors.salesforce.fields import Fields
from connectors.salesforce.remedies import LOCKED, row_verdict, verdict

BATCH = 200
LOCKED_BATCH = 20
READ_BATCH = 2000
# Without it an org's assignment rules may hand the account to another owner.
HEADERS = {"Sforce-Auto-Assign": "false"}


class Row(NamedTuple):
    """A write in canonical values, by our field names."""

    id: str
    values: Mapping[str, FieldValue]


class Writer:
    """Reads and writes our fields by record id; the ids of one call are distinct."""

    def __init__(self, client: Client, fields: Fields, *, bulk_above: int) -> None:
        self._client, self._fields, self._bulk_above = client, fields, bulk_above

    def write(self, writes: Sequence[Write]) -> Iterator[Outcome]:
        """One outcome a write. Raises `ConnectorError` when nothing more can be written; what has no outcome
        by then was not answered for.
        """
        rows: list[Row] = []
        for write in writes:
            try:
                row = Row(write.id, self._fields.record(write.fields))
            except RowWrong as error:
                yield Outcome(write.id, False, None, error.code, "a value is not a finite number", "row")
                continue
            if row.values:
                rows.append(row)
            else:
                yield Outcome(row.id, True, {})
        yield from self._retrying_locked(rows)

    def _retrying_locked(self, rows: Sequence[Row]) -> Iterator[Outcome]:
        locked: list[Row] = []
        by_id = {row.id: row for row in rows}
        for outcome in self._all(rows):
            if outcome.code == LOCKED:
                locked.append(by_id[outcome.id])
            else:
                yield outcome
        for batch in batches(locked, LOCKED_BATCH):
            yield from self._collection(batch)

    def _all(self, rows: Sequence[Row]) -> Iterator[Outcome]:
        if len(rows) > self._bulk_above:
            names = self._fields.names
            for part in batches(rows, bulk.LARGEST):
                records = {row.id: {names[key]: value for key, value in row.values.items()} for row in part}
                values = {row.id: row.values for row in part}
                yield from bulk.update(self._client, records, confirmed=values)
            return
        for batch in batches(rows, BATCH):
            yield from self._collection(batch)

    def _collection(self, rows: Sequence[Row]) -> Iterator[Outcome]:
        for batch, answer in halved(rows, self._patch):
            if isinstance(answer, RowWrong):
                yield _failed(batch[0].id, *verdict(answer.code))
            else:
                yield from _outcomes(batch, answer)

    def _patch(self, rows: Sequence[Row]) -> Sequence[Mapping[str, Any]]:
        names = self._fields.names
        records = [
            {"attributes": {"type": "Account"}, "id": row.id} | {names[key]: value for key, value in row.values.items()}
            for row in rows
        ]
        body = {"allOrNone": False, "records": records}
        return self._client.listed("composite/sobjects", method="PATCH", label="write", json=body, headers=HEADERS)

    def read(self, ids: Sequence[str]) -> dict[str, dict[str, FieldValue]]:
        """Canonical present values of our visible fields; a record that is not there is left out."""
        ours = self._fields.visible()
        found: dict[str, dict[str, FieldValue]] = {}
        for part in batches(ids, READ_BATCH):
            for _, answer in halved(part, partial(self._retrieve, names=["Id", *ours.values()])):
                if not isinstance(answer, RowWrong):
                    found.update(_present(answer, ours, self._fields.canonical))
        return found

    def _retrieve(self, ids: Sequence[str], *, names: Sequence[str]) -> Sequence[Mapping[str, Any] | None]:
        body = {"ids": list(ids), "fields": list(names)}
        return self._client.listed("composite/sobjects/Account", method="POST", label="read", json=body)


def _present(
    records: Iterable[Mapping[str, Any] | None],
    ours: Mapping[str, str],
    canonical: Callable[[str, FieldValue], FieldValue],
) -> Iterator[tuple[str, dict[str, FieldValue]]]:
    for record in records:
        if record and record.get("Id"):
            yield str(record["Id"]), {key: canonical(key, record.get(name)) for key, name in ours.items()}


def _outcomes(rows: Sequence[Row], results: Sequence[Mapping[str, Any]]) -> Iterator[Outcome]:
    for number, row in enumerate(rows):
        if number >= len(results):
            yield _failed(row.id, "NO_RESULT", "Salesforce did not say what became of this record", "again")
        elif results[number].get("success"):
            yield Outcome(row.id, True, row.values)
        else:
            yield _failed(row.id, *row_verdict(results[number].get("errors") or ()))


def _failed(id: str, code: str, message: str, remedy: Any) -> Outcome:
    return Outcome(id, False, None, code, message, remedy)

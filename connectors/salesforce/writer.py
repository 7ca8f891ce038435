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
from connectors.batches import batches, halved, narrowed
from connectors.errors import AgainNow, RowWrong
from connectors.salesforce import bulk
from connectors.salesforce.accounts import at_path
from connectors.salesforce.client import Client
from connectors.salesforce.fields import Fields
from connectors.salesforce.ids import short
from connectors.salesforce.remedies import LOCKED, NO_RESULT, row_verdict, verdict

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
        bulk.settled(self._client, drop=True)
        many, locked = len(writes) > self._bulk_above, set[str]()
        for outcome in self._in_bulk(writes) if many else self._in_batches(writes, BATCH):
            if outcome.code == LOCKED:
                locked.add(outcome.id)
            else:
                yield outcome
        yield from self._in_batches([write for write in writes if write.id in locked], LOCKED_BATCH)

    def cost(self, records: int) -> int:
        """Calls that reading and writing so many accounts takes."""
        read, written = -(-records // READ_BATCH), -(-records // BATCH)
        return read + (bulk.cost(records) if records > self._bulk_above else written)

    def _row(self, write: Write) -> Row | Outcome:
        """The write in canonical values, or the outcome of one that takes no call."""
        try:
            values = self._fields.record(write.fields)
        except RowWrong as error:
            return Outcome(write.id, False, None, error.code, "a value is not a finite number", "row")
        return Row(write.id, values) if values else Outcome(write.id, True, {})

    def _in_batches(self, writes: Sequence[Write], size: int) -> Iterator[Outcome]:
        rows: list[Row] = []
        for row in map(self._row, writes):
            if isinstance(row, Outcome):
                yield row
            else:
                rows.append(row)
        for batch in batches(rows, size):
            yield from narrowed(batch, self._collection)

    def _in_bulk(self, writes: Sequence[Write]) -> Iterator[Outcome]:
        """By jobs as large as they may be: what a job costs in calls does not depend on its rows."""
        names, by_id = self._fields.names, {write.id: write for write in writes}
        columns = sorted({names[key] for write in writes for key in write.fields if key in names})

        def confirmed(id: str) -> Mapping[str, FieldValue]:
            return self._fields.record(by_id[id].fields)  # worked out again rather than kept for every row

        table = bulk.Table(columns)
        for row in map(self._row, writes):
            if isinstance(row, Outcome):
                yield row
                continue
            record = {names[key]: value for key, value in row.values.items()}
            if not table.add(row.id, record):
                yield from bulk.update(self._client, table, confirmed=confirmed)
                table = bulk.Table(columns)
                table.add(row.id, record)
        if table.ids:
            yield from bulk.update(self._client, table, confirmed=confirmed)

    def _collection(self, rows: Sequence[Row], attempts: int) -> Iterator[Outcome]:
        for batch, answer in halved(rows, partial(self._patch, attempts=attempts)):
            if isinstance(answer, RowWrong):
                yield _failed(batch[0].id, *verdict(answer.code))
            else:
                yield from _outcomes(batch, answer)

    def _patch(self, rows: Sequence[Row], *, attempts: int) -> Sequence[Mapping[str, Any]]:
        names = self._fields.names
        records = [
            {"attributes": {"type": "Account"}, "id": row.id} | {names[key]: value for key, value in row.values.items()}
            for row in rows
        ]
        body = {"allOrNone": False, "records": records}
        options = {"json": body, "headers": HEADERS, "attempts": attempts}
        return self._client.listed("composite/sobjects", method="PATCH", label="write", **options)

    def read(self, ids: Sequence[str]) -> dict[str, dict[str, FieldValue]]:
        """Canonical present values of our visible fields, by id as given; a record that is not there is left out."""
        bulk.settled(self._client, drop=False)
        ours = self._fields.usable()
        found: dict[str, dict[str, FieldValue]] = {}
        for part in batches(list({short(id): id for id in ids}.values()), READ_BATCH):
            for _, answer in halved(part, partial(self._retrieve, names=["Id", *ours.values()])):
                if not isinstance(answer, RowWrong):
                    found.update(_present(answer, ours, self._fields.canonical))
        return {id: found[short(id)] for id in ids if short(id) in found}

    def _retrieve(self, ids: Sequence[str], *, names: Sequence[str]) -> Sequence[Mapping[str, Any] | None]:
        body = {"ids": list(ids), "fields": list(names)}
        found = self._client.listed("composite/sobjects/Account", method="POST", label="read", json=body)
        if len(found) != len(ids):  # a record that is not there has its place, with nothing in it
            raise AgainNow("Salesforce did not answer for every record asked for", place=self._client.place)
        return found


def _present(
    records: Iterable[Mapping[str, Any] | None],
    ours: Mapping[str, str],
    canonical: Callable[[str, FieldValue], FieldValue],
) -> Iterator[tuple[str, dict[str, FieldValue]]]:
    for record in records:
        if isinstance(record, Mapping) and record.get("Id"):
            yield short(str(record["Id"])), {key: canonical(key, at_path(record, name)) for key, name in ours.items()}


def _outcomes(rows: Sequence[Row], results: Sequence[object]) -> Iterator[Outcome]:
    """By position. Failures seldom tell an id: one that does not is the row's only if no result is out of its place."""
    told = [one if isinstance(one, Mapping) else {} for one in results]
    in_place = len(told) == len(rows) and not any(map(_of_another, rows, told))
    for number, row in enumerate(rows):
        yield _outcome(row, told[number] if number < len(told) else {}, in_place=in_place)


def _outcome(row: Row, result: Mapping[str, Any], *, in_place: bool) -> Outcome:
    named, success, errors = result.get("id") is not None, result.get("success"), result.get("errors")
    if not _of_another(row, result):
        if success is True and named and not errors:
            return Outcome(row.id, True, row.values)
        if success is False and (named or in_place):
            return _failed(row.id, *row_verdict(errors))
    return _failed(row.id, *NO_RESULT)


def _of_another(row: Row, result: Mapping[str, Any]) -> bool:
    """Whether a result tells the id of another row, in 15 letters or 18."""
    id = result.get("id")
    return id is not None and short(str(id)) != short(row.id)


def _failed(id: str, code: str, message: str, remedy: Any) -> Outcome:
    return Outcome(id, False, None, code, message, remedy)

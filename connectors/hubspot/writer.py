"""Writing field values to companies, 100 a call, and reading them back; several calls are in flight at once.

Every input carries an `objectWriteTraceId` of its own, without which one bad company fails the batch; HubSpot may fail
it all the same, and then it is halved. An answer 207 is a success that holds failures, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from connectors.base import FieldValue, Outcome, Write
from connectors.batches import abreast, batches, halved, narrowed
from connectors.errors import RowWrong, as_expected
from connectors.hubspot.client import IN_FLIGHT, Client, results
from connectors.hubspot.fields import Fields, as_text
from connectors.hubspot.remedies import Verdict, verdict

BATCH = 100


class Row(NamedTuple):
    """A write in canonical values, by our field names."""

    id: str
    values: Mapping[str, FieldValue]


class _Sorted(NamedTuple):
    """A batch's answer: outcomes, rows it is silent about, and an error that names no row."""

    outcomes: list[Outcome]
    silent: list[Row]
    nameless: Verdict | None


class _Read(NamedTuple):
    """Canonical values by company id, and the ids of which nothing was said."""

    present: dict[str, dict[str, FieldValue]]
    silent: list[str]


class Writer:
    """Reads and writes our properties by company id; the ids of one call are distinct."""

    def __init__(self, client: Client, fields: Fields) -> None:
        self._client, self._fields = client, fields
        self._path = f"/crm/objects/{client.date}/companies/batch"

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
        yield from abreast(batches(rows, BATCH), lambda batch: narrowed(batch, self._batch), width=IN_FLIGHT)

    def cost(self, records: int) -> int:
        """Calls that reading and writing so many companies takes."""
        return 2 * -(-records // BATCH)

    def _batch(self, rows: Sequence[Row], attempts: int) -> Iterator[Outcome]:
        for batch, answer in halved(rows, partial(self._update, attempts=attempts)):
            if isinstance(answer, RowWrong):
                yield _failed(batch[0].id, answer.code, answer.words, verdict({"category": answer.code}).remedy)
                continue
            yield from answer.outcomes
            yield from self._silent(answer, attempts, alone=len(batch) == 1)

    def _silent(self, answer: _Sorted, attempts: int, *, alone: bool) -> Iterator[Outcome]:
        """Rows of which nothing was said: beside an error that names no row, they are asked about in halves."""
        if answer.nameless is None:
            for row in answer.silent:
                yield _failed(row.id, "NO_RESULT", "HubSpot did not say what became of this company", "again")
        elif alone:
            for row in answer.silent:
                yield _failed(row.id, *answer.nameless)
        elif answer.silent:
            middle = (len(answer.silent) + 1) // 2
            for half in batches(answer.silent, middle):
                yield from self._batch(half, attempts)

    def _update(self, rows: Sequence[Row], *, attempts: int) -> _Sorted:
        names = self._fields.names
        inputs = [
            {
                "id": row.id,
                "objectWriteTraceId": str(number),
                "properties": {names[key]: as_text(value) for key, value in row.values.items()},
            }
            for number, row in enumerate(rows)
        ]
        answer = self._client.batch(f"{self._path}/update", {"inputs": inputs}, label="write", attempts=attempts)
        with as_expected(self._client.place):
            return self._sorted(rows, answer)

    def _sorted(self, rows: Sequence[Row], answer: Mapping[str, Any]) -> _Sorted:
        told = {str(one.get("id")): one for one in answer.get("results") or ()}
        failures, nameless = _failures(rows, answer.get("errors") or ())
        outcomes, silent = [], []
        for row in rows:
            if row.id in failures:
                outcomes.append(_failed(row.id, *failures[row.id]))
            elif row.id in told and isinstance(told[row.id].get("properties"), Mapping):
                outcomes.append(Outcome(row.id, True, self._confirmed(row, told[row.id])))
            else:
                silent.append(row)
        return _Sorted(outcomes, silent, nameless)

    def _confirmed(self, row: Row, result: Mapping[str, Any]) -> dict[str, FieldValue]:
        """What the answer says the company holds; a cleared property is left out of it."""
        cleared = {key: None for key, value in row.values.items() if value is None}
        held = self._fields.present(result["properties"])
        return cleared | {key: value for key, value in held.items() if key in row.values}

    def read(self, ids: Sequence[str]) -> dict[str, dict[str, FieldValue]]:
        """Canonical present values of our properties; a company that is not there is left out."""
        parts = batches(list(dict.fromkeys(ids)), BATCH)
        return dict(abreast(parts, self._present, width=IN_FLIGHT))

    def _present(self, ids: Sequence[str], *, again: bool = False) -> Iterator[tuple[str, dict[str, FieldValue]]]:
        """Those of which an answer is silent are asked for once more: it does not say that they are gone."""
        for _, answer in halved(ids, self._retrieve):
            if isinstance(answer, RowWrong):
                continue
            yield from answer.present.items()
            if answer.silent and not again:
                yield from self._present(answer.silent, again=True)

    def _retrieve(self, ids: Sequence[str]) -> _Read:
        body = {
            "inputs": [{"id": id} for id in ids],
            "properties": list(self._fields.usable().values()),
            "propertiesWithHistory": [],
        }
        answer = self._client.batch(f"{self._path}/read", body, label="read")
        with as_expected(self._client.place):
            found = results(answer, self._client.place)
            present = {str(one["id"]): self._fields.present(one["properties"]) for one in found}
            told = present.keys() | {id for error in answer.get("errors") or () for id in _ids(error)}
        # By the id of a merged company HubSpot finds the one it went into.
        mine = {id: present[id] for id in ids if id in present}
        return _Read(mine, [id for id in ids if id not in told] if len(told) < len(ids) else [])


def _failures(rows: Sequence[Row], errors: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Verdict], Verdict | None]:
    """Errors by the id of their row; and the first that names none."""
    by_trace = {str(number): row.id for number, row in enumerate(rows)}
    ids = {row.id for row in rows}
    failures: dict[str, Verdict] = {}
    nameless: Verdict | None = None
    for error in errors:
        context = error.get("context") or {}
        traced = {by_trace.get(str(trace)) for trace in context.get("objectWriteTraceId") or ()}
        named = _ids(error)
        meant = (traced - {None}) or (named & ids)
        for id in meant:
            failures[str(id)] = verdict(error)
        if not meant:
            nameless = nameless or verdict(error)
    return failures, nameless


def _ids(error: Mapping[str, Any]) -> set[str]:
    """The companies that an error names."""
    context = error.get("context") or {}
    return {str(id) for key in ("ids", "id") for id in context.get(key) or ()}


def _failed(id: str, code: str, message: str, remedy: Any) -> Outcome:
    return Outcome(id, False, None, code, message, remedy)

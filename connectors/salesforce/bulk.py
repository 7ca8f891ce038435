"""Bulk API 2.0: one update job as CSV. A job that is complete may have failed for any of its rows.

An empty cell leaves a field alone and `#N/A` clears it. Results come in any order, in three lists, and are
joined on the Id column. Both ways a row is in memory as text only for a moment.

Salesforce carries a job out whether or not whoever closed it lives on, so its id is noted down before that: `settled`
waits for what an earlier process left running, lest it write its values over newer ones.
https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from connectors.base import FieldValue, Outcome
from connectors.errors import AgainNow, ConnectorError, SettingsWrong, Stopped
from connectors.patience import patiently, pause
from connectors.salesforce.client import Client
from connectors.salesforce.ids import short
from connectors.salesforce.remedies import NO_RESULT, Absent, Beyond, bulk_verdict, job_verdict

LARGEST = 95_000_000  # bytes a job, where 150 MB of base64 are allowed: about 112 million of ours
CHUNK = 10_000  # rows that Salesforce works through at a time
FIRST_WAIT, LONGEST_WAIT = 2.0, 300.0  # seconds between two looks at a job: the first for each chunk, then growing
PATIENCE = 3600.0  # seconds until a job is given up
UPLOADS = 3  # jobs opened before an upload is given up
CALLS = 6  # opened, filled, closed, and three lists of results
ENDED = ("JobComplete", "Failed", "Aborted")
CLEARED = "#N/A"
_JOB_ID = re.compile(r"[A-Za-z0-9]{15,18}")


class _Line:
    """Hands a row back as text, where a file would keep it."""

    def write(self, text: str) -> str:
        return text


class Table:
    """The data of one job in the making. All rows have the same columns; a field that a row does not set is empty."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._writer = csv.writer(_Line(), lineterminator="\n")
        self.ids: dict[str, str] = {}  # as they were given, by 15 characters
        self.data = bytearray(self._encoded(["Id", *columns]))

    def add(self, id: str, record: Mapping[str, FieldValue]) -> bool:
        """Whether there was room for the account `id` with these values by Salesforce field."""
        line = self._encoded([id, *(_cell(record, name) for name in self._columns)])
        if self.ids and len(self.data) + len(line) > LARGEST:
            return False
        self.ids[short(id)] = id
        self.data += line
        return True

    def _encoded(self, cells: Sequence[str]) -> bytes:
        return str(self._writer.writerow(cells)).encode(errors="replace")


def _cell(record: Mapping[str, FieldValue], name: str) -> str:
    if name not in record:
        return ""
    value = record[name]
    return CLEARED if value is None else str(value)


def update(client: Client, table: Table, *, confirmed: Callable[[str], Mapping[str, FieldValue]]) -> Iterator[Outcome]:
    """Update the accounts of the table, which is emptied; one outcome each. `confirmed` is what the success of an id
    confirms, by our field names.
    """
    job = _uploaded(client, table.data)
    table.data.clear()
    ended: Mapping[str, Any] = {}
    try:
        ended = _wait(client, job, chunks=-(-len(table.ids) // CHUNK))
        _forget(client, job)
    except Stopped:
        _abort(client, job)
        raise
    except AgainNow:
        _abort(client, job)
    yield from _results(client, job, table.ids, confirmed, ended=ended)


def cost(rows: int) -> int:
    """Calls that a job of so many rows takes at most: with all looks at one that does not end, and its abortion."""
    looks, waited, seconds = 1, 0.0, FIRST_WAIT * -(-rows // CHUNK)
    while waited < PATIENCE:
        looks, waited, seconds = looks + 1, waited + seconds, min(seconds * 1.5, LONGEST_WAIT)
    return CALLS + looks + 1


def settled(client: Client, *, drop: bool) -> None:
    """Returns when no job of ours is at work any more. One that was never closed does nothing; `drop`: it is dropped.

    Whoever only reads drops and forgets none: it may be another worker's that is being filled.
    """
    for job in _noted(client):
        try:
            if client.document(job, label="read").get("state") != "Open":
                _wait(client, job, chunks=1)
            elif drop:
                _ask(client, job, "Aborted")
        except Absent:  # Salesforce keeps a job for a week; or this is another org
            pass
        if drop:
            _forget(client, job)


def _noted(client: Client) -> list[str]:
    return list(client.tools.notes.get(f"{client.place}.jobs") or ())


def _forget(client: Client, job: str) -> None:
    client.tools.notes[f"{client.place}.jobs"] = [one for one in _noted(client) if one != job]


def _uploaded(client: Client, data: bytearray) -> str:
    """A job with its data, not yet closed. Data can be uploaded once, and whether an upload without an answer
    arrived is not to be guessed: that job is dropped and another one opened.
    """

    def attempt() -> str:
        job = _opened(client)
        client.tools.notes[f"{client.place}.jobs"] = [*_noted(client), job]
        try:
            client.upload(f"{job}/batches", data, label="write")
        except (AgainNow, Stopped):
            _abort(client, job)
            raise
        return job

    return patiently(attempt, tools=client.tools, place=client.place, attempts=UPLOADS)


def _opened(client: Client) -> str:
    body = {"object": "Account", "operation": "update", "contentType": "CSV", "lineEnding": "LF"}
    id = str(client.document("jobs/ingest", method="POST", label="write", json=body).get("id"))
    if not _JOB_ID.fullmatch(id):
        raise SettingsWrong("Salesforce opened a bulk job without an id", place=client.place)
    return f"jobs/ingest/{id}"


def _wait(client: Client, job: str, *, chunks: int) -> Mapping[str, Any]:
    """The job, once it has ended. The upload is closed here: seen still open, closing it again does no harm."""
    seconds, waited = FIRST_WAIT * chunks, 0.0
    while True:
        told = client.document(job, label="write")
        if told.get("state") in ENDED:
            return told
        if told.get("state") == "Open":
            _ask(client, job, "UploadComplete")
        if waited >= PATIENCE:
            raise AgainNow("a bulk job did not end within an hour", place=client.place)
        pause(seconds, tools=client.tools, place=client.place)
        waited += seconds
        seconds = min(seconds * 1.5, LONGEST_WAIT)


def _ask(client: Client, job: str, state: str) -> None:
    """Ask for this state. Where an earlier asking was answered for to nobody, the job is in it, or beyond it."""
    with suppress(Beyond):
        client.call(job, method="PATCH", label="write", json={"state": state})


def _abort(client: Client, job: str) -> None:
    """Ask Salesforce to drop the job; what comes of one that cannot be reached is left to `settled`."""
    try:
        client.parting(job, method="PATCH", label="write", json={"state": "Aborted"})
    except ConnectorError:
        return
    _forget(client, job)


def _results(
    client: Client,
    job: str,
    ids: Mapping[str, str],
    confirmed: Callable[[str], Mapping[str, FieldValue]],
    *,
    ended: Mapping[str, Any],
) -> Iterator[Outcome]:
    left = dict(ids)
    for told in client.rows(f"{job}/successfulResults", _by_id, label="write"):
        if id := left.pop(told, None):
            yield Outcome(id, True, confirmed(id))
    for told, error in client.rows(f"{job}/failedResults", _by_id, label="write").items():
        if id := left.pop(told, None):
            yield Outcome(id, False, None, *bulk_verdict(error))
    unprocessed = client.rows(f"{job}/unprocessedrecords", _by_id, label="write")
    for told, id in left.items():
        why = job_verdict(ended) if told in unprocessed else NO_RESULT
        yield Outcome(id, False, None, *why)


def _by_id(rows: Iterator[list[str]]) -> dict[str, str]:
    """Id in 15 characters -> error. Column names in any case: Salesforce does not keep the one that was sent."""
    header = [name.lower() for name in next(rows, [])]
    told = (dict(zip(header, row, strict=False)) for row in rows)
    return {short(row.get("id") or row.get("sf__id") or ""): row.get("sf__error") or "" for row in told}

"""Bulk API 2.0: one update job as CSV. A job that is complete may have failed for any of its rows.

An empty cell leaves a field alone and `#N/A` clears it. Results come in any order, in three lists, and are
joined on the Id column. https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

from connectors.base import FieldValue, Outcome
from connectors.errors import AgainNow, ConnectorError, SettingsWrong, Stopped
from connectors.rest import patiently, pause
from connectors.salesforce.client import Client
from connectors.salesforce.remedies import bulk_verdict

LARGEST = 50_000  # rows a job: about 30 MB of our fields, where 100 MB are allowed
FIRST_WAIT, LONGEST_WAIT = 2.0, 30.0  # seconds between two looks at a job
PATIENCE = 3600.0  # seconds until a job is given up
UPLOADS = 3  # jobs opened before an upload is given up
ENDED = ("JobComplete", "Failed", "Aborted")
CLEARED = "#N/A"
_JOB_ID = re.compile(r"[A-Za-z0-9]{15,18}")
_CSV = {"Content-Type": "text/csv; charset=UTF-8"}

Records = Mapping[str, Mapping[str, FieldValue]]


def update(client: Client, records: Records, *, confirmed: Records) -> Iterator[Outcome]:
    """Update the accounts `records` (id -> Salesforce field -> value); one outcome each. `confirmed` is what
    a success confirms, by our field names.
    """
    job = _uploaded(client, as_csv(records))
    try:
        _wait(client, job)
    except Stopped:
        _abort(client, job)
        raise
    except AgainNow:
        _abort(client, job)
    yield from _results(client, job, records, confirmed)


def _uploaded(client: Client, data: bytes) -> str:
    """A job with its data, not yet closed. Data can be uploaded once, and whether an upload without an answer
    arrived is not to be guessed: that job is dropped and another one opened.
    """

    def attempt() -> str:
        job = _opened(client)
        try:
            client.text(f"{job}/batches", method="PUT", label="write", attempts=1, data=data, headers=_CSV)
        except (AgainNow, Stopped):
            _abort(client, job)
            raise
        return job

    return patiently(attempt, tools=client.tools, place=client.place, attempts=UPLOADS)


def as_csv(records: Records) -> bytes:
    """All rows with the same columns; a field that a row does not set is empty, which keeps it."""
    columns = sorted({name for record in records.values() for name in record})
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["Id", *columns])
    for id, record in records.items():
        writer.writerow([id, *(_cell(record, name) for name in columns)])
    return out.getvalue().encode()


def _cell(record: Mapping[str, FieldValue], name: str) -> str:
    if name not in record:
        return ""
    value = record[name]
    return CLEARED if value is None else str(value)


def _opened(client: Client) -> str:
    body = {"object": "Account", "operation": "update", "contentType": "CSV", "lineEnding": "LF"}
    id = str(client.document("jobs/ingest", method="POST", label="write", json=body).get("id"))
    if not _JOB_ID.fullmatch(id):
        raise SettingsWrong("Salesforce opened a bulk job without an id", place=client.place)
    return f"jobs/ingest/{id}"


def _wait(client: Client, job: str) -> None:
    """Until the job has ended. The upload is closed here: seen still open, closing it again does no harm."""
    seconds, waited = FIRST_WAIT, 0.0
    while True:
        state = client.document(job, label="write").get("state")
        if state in ENDED:
            return
        if state == "Open":
            client.call(job, method="PATCH", label="write", json={"state": "UploadComplete"})
        if waited >= PATIENCE:
            raise AgainNow("a bulk job did not end within an hour", place=client.place)
        pause(seconds, tools=client.tools, place=client.place)
        waited += seconds
        seconds = min(seconds * 1.5, LONGEST_WAIT)


def _abort(client: Client, job: str) -> None:
    """Ask Salesforce to drop the job. One that has ended already, or cannot be reached, ends by itself."""
    try:
        client.parting(job, method="PATCH", label="write", json={"state": "Aborted"})
    except ConnectorError:
        return


def _results(client: Client, job: str, records: Records, confirmed: Records) -> Iterator[Outcome]:
    left = dict.fromkeys(records)
    for row in _rows(client.text(f"{job}/successfulResults", label="write")):
        id = _id(row)
        if id in left:
            del left[id]
            yield Outcome(id, True, confirmed[id])
    for row in _rows(client.text(f"{job}/failedResults", label="write")):
        id = _id(row)
        if id in left:
            del left[id]
            code, message, remedy = bulk_verdict(row.get("sf__error") or "")
            yield Outcome(id, False, None, code, message, remedy)
    unprocessed = {_id(row) for row in _rows(client.text(f"{job}/unprocessedrecords", label="write"))}
    for id in left:
        code = "UNPROCESSED" if id in unprocessed else "NO_RESULT"
        yield Outcome(id, False, None, code, "Salesforce did not get to this record", "again")


def _rows(text: str) -> Iterator[dict[str, str]]:
    """Rows by column name in lower case: Salesforce does not keep the case that was sent."""
    reader = csv.reader(io.StringIO(text, newline=""))
    header: Sequence[str] = [name.lower() for name in next(reader, [])]
    for row in reader:
        yield dict(zip(header, row, strict=False))


def _id(row: Mapping[str, str]) -> str:
    return row.get("id") or row.get("sf__id") or ""

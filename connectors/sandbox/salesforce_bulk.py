"""Bulk API 2.0 ingest jobs of the simulated org: open, upload, wait, fetch what succeeded and what did not.

A job that completed says nothing about its rows. An empty cell leaves a field alone; `#N/A` clears it.
Results come in another order than the rows went in.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connectors.sandbox import salesforce_write
from connectors.sandbox.salesforce_fields import stamped
from connectors.sandbox.salesforce_org import INTEGRATION_USER, Org
from connectors.sandbox.salesforce_paths import refused

QUEUED = timedelta(seconds=2)
CHUNK, CHUNK_TIME = 10_000, timedelta(seconds=8)
LARGEST = 100 * 1024 * 1024
DELIMITERS = {"COMMA": ",", "SEMICOLON": ";", "TAB": "\t", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
CLEAR = "#N/A"

Row = dict[str, str]


@dataclass
class Job:
    """An ingest job. `closed`: when the upload was declared complete. `done`: what became of the rows."""

    id: str
    version: str
    delimiter: str
    line_ending: str
    created: datetime
    state: str = "Open"
    closed: datetime | None = None
    content: bytes | None = None
    header: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    done: list[tuple[Row, salesforce_write.Outcome]] = field(default_factory=list)
    error: str = ""


class Jobs:
    """The ingest jobs of one org."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._jobs: dict[str, Job] = {}

    def create(self, wanted: Any, version: str) -> dict[str, Any]:
        if not isinstance(wanted, dict) or wanted.get("object") != "Account":
            raise refused("INVALIDENTITY", "The object is not supported by the Bulk API")
        if wanted.get("operation") != "update":
            raise refused("INVALIDOPERATION", f"Operation {wanted.get('operation')} is not served here")
        delimiter, ending = wanted.get("columnDelimiter", "COMMA"), wanted.get("lineEnding", "LF")
        if delimiter not in DELIMITERS or ending not in LINE_ENDINGS:
            raise refused("INVALIDJOB", "Unknown columnDelimiter or lineEnding")
        job = Job(self._org.next_id("750"), version, delimiter, ending, self._org.clock.now())
        self._jobs[job.id] = job
        return self.told(job)

    def found(self, job: str) -> Job:
        """The job as it stands now."""
        if job not in self._jobs:
            raise refused("NOT_FOUND", "The requested resource does not exist", 404)
        return self._jobs[job]

    def catch_up(self) -> None:
        """Do what the org would have done by now, whether or not anybody looks at a job."""
        for job in self._jobs.values():
            self._advance(job)

    def listed(self) -> dict[str, Any]:
        return {
            "done": True,
            "records": [self.told(self.found(job)) for job in self._jobs],
            "nextRecordsUrl": None,
        }

    def upload(self, job: Job, content: bytes) -> None:
        if job.state != "Open" or job.content is not None:
            raise refused("INVALIDJOBSTATE", f"The job takes one upload while it is open; it is {job.state}")
        if len(content) > LARGEST:
            raise refused("CONTENTLENGTHEXCEEDED", "The upload is larger than the job may hold", 413)
        job.content = content

    def change(self, job: Job, state: Any) -> dict[str, Any]:
        if state not in ("UploadComplete", "Aborted"):
            raise refused("INVALIDJOBSTATE", f"A job can not be set to {state}")
        if job.state in ("JobComplete", "Failed", "Aborted") or (state == "UploadComplete" and job.state != "Open"):
            raise refused("INVALIDJOBSTATE", f"Job is already {job.state}")
        job.state = state
        if state == "UploadComplete":
            job.closed = self._org.clock.now()
        return self.told(job)

    def delete(self, job: Job) -> None:
        if job.state not in ("UploadComplete", "JobComplete", "Failed", "Aborted"):
            raise refused("INVALIDJOBSTATE", f"A job that is {job.state} can not be deleted")
        del self._jobs[job.id]

    def _advance(self, job: Job) -> None:
        """What the org would have done with this job by now."""
        if job.closed is None or job.state not in ("UploadComplete", "InProgress"):
            return
        waited = self._org.clock.now() - job.closed
        if waited < QUEUED:
            return
        if not job.rows:
            self._read(job)
        needed = QUEUED + CHUNK_TIME * -(-max(1, len(job.rows)) // CHUNK)
        if job.state != "Failed":
            job.state = "InProgress"
        if job.state == "InProgress" and waited >= needed:
            self._work(job)

    def _read(self, job: Job) -> None:
        text = (job.content or b"").decode("utf-8-sig", errors="replace")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[job.delimiter])
        lines = list(reader)
        job.header = lines[0] if lines else []
        job.error = self._wrong(job.header)
        if job.error:
            job.state = "Failed"
        job.rows = [dict(zip(job.header, line, strict=False)) for line in lines[1:] if line]

    def _wrong(self, header: Sequence[str]) -> str:
        if "Id" not in header:
            return "InvalidBatch : Field name not found : Id"
        seen = self._org.columns_seen()
        for name in header:
            if name.lower() not in seen:
                return f"InvalidBatch : Field name not found : {name}"
        return ""

    def _work(self, job: Job) -> None:
        aborted = self._org.faults.strikes("aborted", job.id)
        rows = job.rows[: len(job.rows) // 2] if aborted else job.rows
        sent = [{name: _cell(value) for name, value in row.items() if value != ""} for row in rows]
        job.done = list(zip(rows, salesforce_write.update(self._org, sent), strict=True))
        job.done.sort(key=lambda pair: zlib.crc32(pair[0].get("Id", "").encode()))
        job.state = "Aborted" if aborted else "JobComplete"

    def told(self, job: Job) -> dict[str, Any]:
        """The job's description, as create, get and patch answer it."""
        failed = sum(1 for _, outcome in job.done if outcome.error)
        body = {
            "id": job.id,
            "operation": "update",
            "object": "Account",
            "createdById": INTEGRATION_USER,
            "createdDate": stamped(job.created),
            "systemModstamp": stamped(self._org.clock.now()),
            "state": job.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(job.version.removeprefix("v")),
            "contentUrl": f"services/data/{job.version}/jobs/ingest/{job.id}/batches",
            "lineEnding": job.line_ending,
            "columnDelimiter": job.delimiter,
            "jobType": "V2Ingest",
            "retries": 0,
            "totalProcessingTime": 0,
            "apiActiveProcessingTime": 0,
            "apexProcessingTime": 0,
            "numberRecordsProcessed": len(job.done),
            "numberRecordsFailed": failed,
        }
        return body | ({"errorMessage": job.error} if job.error else {})

    def results(self, job: Job, kind: str) -> bytes:
        """One of the three result files: `successfulResults`, `failedResults`, `unprocessedrecords`."""
        if kind == "unprocessedrecords":
            left = job.rows[len(job.done) :]
            return _csv(job, job.header, ([row.get(name, "") for name in job.header] for row in left))
        if kind == "successfulResults":
            head, rows = (
                ["sf__Id", "sf__Created"],
                [[str(outcome.id), "false", *row.values()] for row, outcome in job.done if outcome.error is None],
            )
        else:
            head, rows = (
                ["sf__Id", "sf__Error"],
                [[row.get("Id", ""), _said(outcome), *row.values()] for row, outcome in job.done if outcome.error],
            )
        return _csv(job, head + job.header, rows)


def _cell(value: str) -> str | None:
    return None if value == CLEAR else value


def _said(outcome: salesforce_write.Outcome) -> str:
    error = outcome.error
    if error is None:
        return ""
    return f"{error.code}:{error.message}:{','.join(error.fields)}--"


def _csv(job: Job, header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    ending = LINE_ENDINGS[job.line_ending]
    writer = csv.writer(text, delimiter=DELIMITERS[job.delimiter], lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()

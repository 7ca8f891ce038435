"""A spare of what nobody but state knows: what people said, and who was erased. All else can be read again.

It lies in the data folder as one file, which is written anew when something of it has changed. State keeps its
fingerprint: a state that was lost, or put back from an older copy, does not know the file and is filled from it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import structlog

from sync.erased import META
from sync.errors import StateError
from sync.rows import Judgement
from sync.worker import Worker

FILE = "spare.json"
KNOWN = "spare"  # under which state keeps the fingerprint
DAYS, MOMENTS = ("day", "until", "withdrawn_on"), ("made_at", "withdrawn_at")
log = structlog.get_logger("bellwether.run")


def keep(worker: Worker) -> None:
    """Have the file hold what state holds. Raises `StateError`."""
    recall(worker)
    state = worker.state
    rows, erased, known = [asdict(row) for row in state.judgements.all()], state.meta(META) or {}, state.meta(KNOWN)
    content = orjson.dumps({"judgements": rows, META: erased}, option=orjson.OPT_INDENT_2)
    if _fingerprint(content) != known and (rows or erased or known):
        _write(worker.settings.data, content)
        state.set_meta(KNOWN, _fingerprint(content))  # afterwards: else an older file would be recalled


def recall(worker: Worker) -> None:
    """Fill state from a file that it does not know; what it has stays, unless withdrawn. Raises `StateError`."""
    content = _read(worker.settings.data / FILE)
    if content is None or _fingerprint(content) == worker.state.meta(KNOWN):
        return
    try:
        told = orjson.loads(content)
        rows, erased = [_judgement(row) for row in told["judgements"]], dict(told[META])
    except (KeyError, TypeError, ValueError):
        raise StateError(
            f"{worker.settings.data / FILE} cannot be read; put a copy of it back, or move it away"
        ) from None
    back = worker.state.judgements.recall(rows)
    if erased:
        worker.state.set_meta(META, {**erased, **(worker.state.meta(META) or {})})
    worker.state.set_meta(KNOWN, _fingerprint(content))
    if back:
        log.warning("judgements that state did not know are back", judgements=back)


def _judgement(row: Mapping[str, Any]) -> Judgement:
    days = {name: date.fromisoformat(row[name]) for name in DAYS if row[name]}
    moments = {name: datetime.fromisoformat(row[name]) for name in MOMENTS if row[name]}
    return Judgement(**{**row, **days, **moments, "logged": False})


def _fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read ({error.strerror}); give access to it") from None


def _write(folder: Path, content: bytes) -> None:
    """Whole or not at all; what a kill leaves lies among what is in flight."""
    new = folder / "spool" / f"{FILE}.{os.getpid()}"
    try:
        new.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        new.replace(folder / FILE)
    except OSError as error:
        words = f"{folder / FILE} cannot be written ({error.strerror})"
        raise StateError(f"{words}; make room on its disk, or give access to it") from None

"""Settles the log: merges the tail into sorted slices with one row per (source, id), in a single commit.

The new files are written first and belong to nobody; one commit then adds them and removes exactly the files they
were made of. A kill before it leaves orphans for the vacuum, a kill after it leaves a settled log, and a page
appended meanwhile is in neither list: it stays in the tail. When another writer has removed one of those files first,
the library refuses the commit and everything is read again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction

from sync import delta
from sync.delta import DataFile, Guard

ATTEMPTS = 5

_NEWEST = "create temp table newest as select source, id, max(seen_at) as seen_at from {tail} group by source, id"
_FACT = "id, account_key, actor, name, occurred_at, value, label, day, seen_at"
_KEPT = """
select {columns} from {settled} s
where not exists (select 1 from newest n where n.source = s.source and n.id = s.id)
"""
_NEW = """
select {columns} from {tail} t
join newest n on n.source = t.source and n.id = t.id and n.seen_at = t.seen_at
where (t.value is not null or t.label is not null)
"""


@dataclass(frozen=True)
class Settled:
    """Rows of the slices that were rewritten, and the number of files in the log before and after."""

    rows: int = 0
    files_before: int = 0
    files_after: int = 0


def settle(path: Path, *, memory_limit: str, threads: int, spill: Path, guard: Guard) -> Settled:
    """Settle the log at `path`; with no tail there is nothing to do."""
    table = delta.open_table(path)
    if table is None:
        return Settled()
    for attempt in range(1, ATTEMPTS + 1):
        files = delta.data_files(table)
        if not any(_is_tail(file) for file in files):
            return Settled(0, len(files), len(files))
        with delta.connect(memory_limit=memory_limit, threads=threads, spill=spill) as connection:
            added, removed = _merge(connection, path, files)
        try:
            with guard():
                delta.swap(table, added, removed)
        except CommitFailedError:
            for action in added:
                (path / action.path).unlink()
            if attempt == ATTEMPTS:
                raise
            table = DeltaTable(str(path))
            continue
        break
    delta.vacuum(path)
    rows = sum(json.loads(action.stats)["numRecords"] for action in added)
    return Settled(rows, len(files), len(files) - len(removed) + len(added))


def _is_tail(file: DataFile) -> bool:
    return file.partition["settled"] == "false"


def _slice(file: DataFile) -> tuple[str, str]:
    return file.partition["source"], file.partition["month"]


def _merge(
    connection: duckdb.DuckDBPyConnection, path: Path, files: Sequence[DataFile]
) -> tuple[list[AddAction], list[DataFile]]:
    """Write the new slices; returns their files and the files they replace."""
    tail = [file for file in files if _is_tail(file)]
    connection.execute(_NEWEST.format(tail=delta.scan(path, tail)))
    sources = {file.partition["source"] for file in tail}
    near = [file for file in files if not _is_tail(file) and file.partition["source"] in sources]
    touched = _touched(connection, path, tail, near)
    added = []
    for key in sorted(touched):
        old, new = ([file for file in part if _slice(file) == key] for part in (near, tail))
        action = _write_slice(connection, path, key, old, new)
        if action is not None:
            added.append(action)
    return added, tail + [file for file in near if _slice(file) in touched]


def _touched(
    connection: duckdb.DuckDBPyConnection, path: Path, tail: Sequence[DataFile], near: Sequence[DataFile]
) -> set[tuple[str, str]]:
    """The slices the tail has rows for, and those that hold an older row of one of its facts."""
    touched = {_slice(file) for file in tail}
    if near:
        found = connection.execute(
            f"select distinct s.source, s.month from {delta.scan(path, near)} s"
            " where exists (select 1 from newest n where n.source = s.source and n.id = s.id)"
        )
        touched |= {(source, month) for source, month in found.fetchall()}
    return touched


def _write_slice(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    key: tuple[str, str],
    old: Sequence[DataFile],
    new: Sequence[DataFile],
) -> AddAction | None:
    """One sorted file with the live rows of a slice; None when nothing in it is true any more."""
    parts = []
    if old:
        parts.append(_KEPT.format(columns=_qualified("s"), settled=delta.scan(path, old)))
    if new:
        parts.append(_NEW.format(columns=_qualified("t"), tail=delta.scan(path, new)))
    partition = {"source": key[0], "month": key[1], "settled": "true"}
    rows = f"{' union all '.join(parts)} order by account_key, day, name, id"
    return delta.write_file(connection, path, partition, rows)


def _qualified(alias: str) -> str:
    return ", ".join(f"{alias}.{column}" for column in _FACT.split(", "))

"""What the event log and the score history share: Delta tables on local disk, and DuckDB connections beside them.

DuckDB reads the data files of one snapshot directly; the `deltalake` library keeps the list of them. Files that a
newer snapshot has replaced stay for `RETENTION_HOURS`, so that a reader that began before can finish; `purge` waits for
nobody, because it is asked for when something must be gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import duckdb
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, RemoveAction

from connectors.clock import SystemClock
from sync.errors import StateError

RETENTION_HOURS = 6
CONFIGURATION: dict[str, str | None] = {
    "delta.logRetentionDuration": "interval 2 days",
    "delta.deletedFileRetentionDuration": f"interval {RETENTION_HOURS} hours",
    "delta.checkpointInterval": "20",
}


Guard = Callable[[], AbstractContextManager[None]]
"""Entered for each commit: keeps other processes from committing meanwhile, or raises. A table knows no lease."""


class DataFile(NamedTuple):
    """One data file of a snapshot: its path inside the table, partition values and number of rows."""

    path: str
    partition: dict[str, str]
    rows: int


def open_table(path: Path) -> DeltaTable | None:
    """The table at its newest version; None when nothing was ever written."""
    if "%" in str(path):
        raise StateError(f"{path}: a data folder with a % in its name cannot be used; choose another")
    return DeltaTable(str(path)) if DeltaTable.is_deltatable(str(path)) else None


class Kept:
    """A table that is asked for again and again: to look what came since costs a tenth of opening it.

    The commit it stands at tells whether the folder holds the same table still, or one put back from a copy.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: DeltaTable | None = None
        self._commit: tuple[int, int] | None = None

    def newest(self) -> DeltaTable | None:
        """The table at its newest version; None when nothing was ever written."""
        if self._table is not None and self._commit is not None and self._commit == self._stands_at(self._table):
            self._table.update_incremental()
        else:
            self._table = open_table(self._path)
        self._commit = self._stands_at(self._table) if self._table is not None else None
        return self._table

    def _stands_at(self, table: DeltaTable) -> tuple[int, int] | None:
        """What the system tells of the file of that commit."""
        try:
            found = (self._path / "_delta_log" / f"{table.version():020}.json").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns


def create_table(path: Path, schema: Schema, partition_by: Sequence[str]) -> DeltaTable:
    """The table, made now unless another process was faster."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    DeltaTable.create(
        str(path),
        schema,
        mode="ignore",
        partition_by=list(partition_by),
        configuration=CONFIGURATION,
    )
    return DeltaTable(str(path))


def data_files(table: DeltaTable | None) -> list[DataFile]:
    """The files of the table's loaded snapshot, in order of their path."""
    if table is None:
        return []
    names = table.metadata().partition_columns
    actions = table.get_add_actions(flatten=True)
    columns = [actions.column(c).to_pylist() for c in ("path", "num_records", *(f"partition.{n}" for n in names))]
    rows = (
        DataFile(path, {n: _written(v) for n, v in zip(names, values, strict=True)}, count)
        for path, count, *values in zip(*columns, strict=True)
    )
    return sorted(rows)


def vacuum(path: Path) -> None:
    """Delete the files that no snapshot of the last hours needs, and what a killed writer left behind."""
    DeltaTable(str(path)).vacuum(RETENTION_HOURS, dry_run=False, enforce_retention_duration=False, full=True)


def write_file(
    connection: duckdb.DuckDBPyConnection, root: Path, partition: Mapping[str, str], query: str
) -> AddAction | None:
    """Write the rows of a query to a new file, which belongs to nobody before it is swapped in; None without rows."""
    folder = "/".join(f"{name}={value}" for name, value in partition.items())
    target = root / folder / f"part-{uuid4()}.parquet"
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (rows,) = one_row(connection, f"copy ({query}) to {text(str(target))} (format parquet, compression zstd)")
    if rows == 0:
        target.unlink()
        return None
    status = target.stat()
    stats = json.dumps({"numRecords": rows})  # no smallest and largest values: they would outlive the rows in the log
    name = str(target.relative_to(root))
    return AddAction(name, status.st_size, dict(partition), status.st_mtime_ns // 1_000_000, True, stats)


def swap(table: DeltaTable, added: Sequence[AddAction], removed: Sequence[DataFile]) -> None:
    """Put new files in the place of old ones, in one commit. Raises `CommitFailedError` if one of those is gone."""
    # the vacuum counts the age of a removed file by the machine's own clock, whatever the worker's clock shows
    now = int(SystemClock().now().timestamp() * 1000)
    gone = [RemoveAction(file.path, True, now) for file in removed]
    table.create_write_transaction([*added, *gone], "append", table.schema())


def erase(path: Path, doomed: Callable[[DataFile], str | None], *, spill: Path, guard: Guard) -> int:
    """Take rows out of a table in one commit, and then out of its past; returns how many.

    `doomed` says in SQL which rows of a file go, or None. Only the holder of the lease may call this.
    """
    table = open_table(path)
    if table is None:
        return 0
    added, removed, rows = [], [], 0
    with connect(memory_limit="1GB", threads=1, spill=spill) as connection:
        for file in data_files(table):
            condition = doomed(file)
            source = f"read_parquet({text(str(path / file.path))}, hive_partitioning = false)"
            (count,) = one_row(connection, f"select count(*) from {source} where {condition or 'false'}")
            if count:
                kept = f"select * from {source} where ({condition}) is not true"
                added.append(write_file(connection, path, file.partition, kept))
                removed.append(file)
                rows += count
    with guard():  # a purge takes what another process is about to commit
        if removed:
            swap(table, [action for action in added if action], removed)
        purge(path)
    return rows


def purge(path: Path) -> None:
    """Delete every file that the newest version does not need, and the history of the table's log with it.

    Old commits name the smallest and largest values of files that are gone. A new checkpoint makes them needless; the
    newest commit stays, because a writer that knows an older version goes on from it.
    """
    table = DeltaTable(str(path))
    table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    table.update_incremental()
    table.create_checkpoint()
    for file in (path / "_delta_log").iterdir():
        found = re.match(r"\d{20}(?=\.)", file.name)
        if found and int(found[0]) < table.version():
            file.unlink()


def connect(*, memory_limit: str, threads: int, spill: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own, in UTC, that spills below `spill` and fetches no extensions."""
    spill.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = duckdb.connect()
    settings = {
        "global TimeZone": text("UTC"),
        "memory_limit": text(memory_limit),
        "threads": str(threads),
        "temp_directory": text(str(spill)),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    for name, value in settings.items():
        connection.execute(f"set {name}={value}")
    return connection


def lock_down(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    """From here on the connection reaches no file outside these folders, and nobody can change that."""
    connection.execute(f"set allowed_directories=[{', '.join(text(str(folder)) for folder in folders)}]")
    connection.execute("set enable_external_access=false")
    connection.execute("set lock_configuration=true")


def scan(root: Path, files: Sequence[DataFile], *, placed: bool = False, mixed: bool = False) -> str:
    """SQL that reads these files with their partition columns. There must be one at least.

    `placed`: each row with its place, `filename` and `file_row_number`. (`file_index` counts only the files that a
    query's conditions leave, so it is no place.) `mixed`: some files may lack columns of others.
    """
    paths = ", ".join(text(str(root / file.path)) for file in files)
    kinds = {name: "boolean" if name == "settled" else "varchar" for name in files[0].partition}
    types = ", ".join(f"{text(name)}: {kind}" for name, kind in kinds.items())
    more = ", filename = true, file_row_number = true" if placed else ""
    more += ", union_by_name = true" if mixed else ""
    return f"read_parquet([{paths}], hive_partitioning = true, hive_types = {{{types}}}{more})"


def one_row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The only row of a query, fetched to its end: an open result blocks the connection."""
    (row,) = connection.execute(query).fetchall()
    return tuple(row)


def text(value: str) -> str:
    """An SQL string."""
    return "'" + value.replace("'", "''") + "'"


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

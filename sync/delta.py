"""What the event log and the score history share: Delta tables on local disk, and DuckDB connections beside them.

DuckDB reads the data files of one snapshot directly; the `deltalake` library keeps the list of them. Files that a
newer snapshot has replaced stay for `RETENTION_HOURS`, so that a reader that began before can finish.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from deltalake import DeltaTable, Schema

from sync.errors import StateError

RETENTION_HOURS = 6
CONFIGURATION: dict[str, str | None] = {
    "delta.logRetentionDuration": "interval 2 days",
    "delta.deletedFileRetentionDuration": f"interval {RETENTION_HOURS} hours",
    "delta.checkpointInterval": "20",
}


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


def lock_down(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """From here on the connection reaches no file outside `folder`, and nobody can change that."""
    connection.execute(f"set allowed_directories=[{text(str(folder))}]")
    connection.execute("set enable_external_access=false")
    connection.execute("set lock_configuration=true")


def scan(root: Path, files: Sequence[DataFile]) -> str:
    """SQL that reads these files with their partition columns. There must be one at least."""
    paths = ", ".join(text(str(root / file.path)) for file in files)
    kinds = {name: "boolean" if name == "settled" else "varchar" for name in files[0].partition}
    types = ", ".join(f"{text(name)}: {kind}" for name, kind in kinds.items())
    return f"read_parquet([{paths}], hive_partitioning = true, hive_types = {{{types}}})"


def one_row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The only row of a query, fetched to its end: an open result blocks the connection."""
    (row,) = connection.execute(query).fetchall()
    return tuple(row)


def text(value: str) -> str:
    """An SQL string."""
    return "'" + value.replace("'", "''") + "'"


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

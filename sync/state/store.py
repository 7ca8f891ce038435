"""The database under the state: its transactions, and the fence that they stand behind.

A change runs in a transaction that has the right to write from its first statement, because on SQLite a transaction
that begins by reading can lose another's update without an error. While its worker holds the lease, a change is refused
in the same transaction once the lease is another's: a process may be stopped for an hour between any two statements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from sync.database import database_error, identity, lost, open_engine, vacuum
from sync.errors import LeaseLost
from sync.rows import Delivery, Fence, Judgement, Reading, ScorecardRow, Total
from sync.tables import LEASE

CHUNK = 10_000  # rows a statement is executed with at a time: bounds memory, not the transaction
LEASE_NAME = "worker"

T = TypeVar("T")


class Store:
    """One database URL; `create=False` refuses a SQLite file that is not there."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._engine = open_engine(url, create=create)
        self._reader = self._engine.execution_options(reads_only=True)
        self._fence: Fence | None = None
        self._path = Path(str(self._engine.url.database)) if self._engine.dialect.name == "sqlite" else None
        self._file = self._path and identity(self._path)

    def close(self) -> None:
        self._engine.dispose()

    def __repr__(self) -> str:
        return f"State({self._engine.url.render_as_string(hide_password=True)!r})"

    def files(self) -> list[Path]:
        """The files of an SQLite database that are there; none where a server keeps them."""
        path = self._path
        return [file for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if file.exists()] if path else []

    def _see(self) -> None:
        """What is written into a file that was taken away is kept by nobody. Raises `StateLost`."""
        if self._path and identity(self._path) != self._file:
            raise lost(self._engine.url)

    def vacuum(self) -> None:
        """Rewrite the database without what was deleted. Raises `StateError` while others are in it."""
        vacuum(self._engine)

    @contextmanager
    def under(self, fence: Fence) -> Iterator[None]:
        """Meanwhile every change, but of the lease itself, raises `LeaseLost` once the lease is another's."""
        self._fence = fence
        try:
            yield
        finally:
            self._fence = None

    def stand(self) -> None:
        """Look in the database whether the lease is still ours. Raises `LeaseLost`."""
        if self._fence is not None:
            with self.read() as connection:
                _stand(connection, self._fence)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Nobody takes the lease over meanwhile: for what is committed elsewhere than here. Raises `LeaseLost`."""
        if self._fence is None:
            yield
            return
        with self.write():
            yield

    def read(self) -> AbstractContextManager[Connection]:
        return self._begun(self._reader)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self.change() as connection:
            if self._fence is not None:
                _stand(connection, self._fence, lock=True)
            yield connection

    @contextmanager
    def change(self) -> Iterator[Connection]:
        with self._begun(self._engine) as connection:
            yield connection
        self._see()

    @contextmanager
    def _begun(self, engine: Engine) -> Iterator[Connection]:
        self._see()
        try:
            with engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise database_error(engine.url, error) from None


def held(fence: Fence) -> ColumnElement[bool]:
    return (LEASE.c.name == LEASE_NAME) & (LEASE.c.holder == fence.holder) & (LEASE.c.epoch == fence.epoch)


def _stand(connection: Connection, fence: Fence, *, lock: bool = False) -> None:
    """`lock`: whoever takes the lease over waits for this transaction; on SQLite everybody who writes does anyway."""
    ours = select(LEASE.c.epoch).where(held(fence))
    if connection.scalar(ours.with_for_update(read=True) if lock else ours) is None:
        raise LeaseLost("another worker has taken over; this pass ends here")


def upsert(
    connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]], *, keep: Sequence[str] = ()
) -> None:
    """Insert rows, or overwrite all but the key and the `keep` columns where the key is there."""
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {c.name: insert.excluded[c.name] for c in table.c if c.name not in keys and c.name not in keep}
    statement = insert.on_conflict_do_update(index_elements=keys, set_=changed)
    for chunk in chunks(rows, CHUNK):
        connection.execute(statement, chunk)


def chunks(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(rows)
    while chunk := list(islice(rest, size)):
        yield chunk


def among(query: Select[Any], column: ColumnElement[Any], values: Collection[str] | None) -> list[Select[Any]]:
    """A query, or one for each part of the values that a column may have."""
    return [query] if values is None else [query.where(column.in_(part)) for part in chunks(values, 500)]


def columns(table: Table, row: type[Any]) -> list[ColumnElement[Any]]:
    return [table.c[field.name] for field in fields(row)]


def values(row: Reading | Total | Delivery | Judgement | ScorecardRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}

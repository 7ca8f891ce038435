"""Reads a CSV or Parquet file of the user's, safely: under one root, no symlinks, bounded, row by row.

Everything arrives as text; what a column means is the connector's business. A row that cannot be taken apart is
reported with its line and left out; a file that is not UTF-8 is refused as a whole, because what is lost would be
whole names.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from arro3.core import Array, DataType, Table

from connectors.base import Rejected
from connectors.errors import AgainNow, SettingsWrong

Config = dict[str, str | bool | int | float | list[str]]

MEMORY = "200MB"
LARGEST = 4 * 1024**3
HASHED_AT_ONCE = 50_000
SHOWN = 100  # rejected rows told one by one; the rest is counted
MOST_HEADER = 1024 * 1024
SEPARATORS = (",", ";", "\t", "|")
NESTED = re.compile(r"\]$|^(STRUCT|MAP|UNION|BLOB|BIT|VARIANT)")  # kinds of columns that are no plain values
NOT_UTF8 = "is not UTF-8 text; save it as CSV UTF-8"
CHUNK = 1024 * 1024
QUOTE = "a quotation mark is out of place, or does not close"
REASONS = {"unquoted value": QUOTE, "invalid encoding": QUOTE, "line size over maximum": "the line is too long"}


def safe_path(root: Path, name: str, place: str) -> Path:
    """`name` under `root`; `SettingsWrong` when it leads elsewhere or passes a symlink. It need not exist."""
    root = root.resolve()
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root) or path == root or "\0" in name:
        raise SettingsWrong(f"{name!r} is not a file under {root}; name one that is", place=place)
    for part in (path, *path.parents):
        if part == root:
            return path
        if part.is_symlink():
            raise SettingsWrong(f"{name!r} passes a symlink, which is not followed; name the file itself", place=place)
    return path


def readable(path: Path, place: str) -> os.stat_result:
    """The file's status; `SettingsWrong` when it is not there, no plain file, or too large."""
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        raise SettingsWrong(
            f"{path.name} is not there (looked in {path.parent}); put it there, or correct its name", place=place
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise SettingsWrong(f"{path.name} is not a plain file; name one that is", place=place)
    if found.st_size > LARGEST:
        raise SettingsWrong(f"{path.name} is larger than {LARGEST // 1024**3} GB; split it", place=place)
    return found


@dataclass(frozen=True)
class Rows:
    """What is in the table `rows`: its columns, how many rows were left out, and why the first of them were.

    `nested`: columns that hold lists, structs or bytes, which are no text. `torn`: the first row with a quotation
    mark out of place, which may have swallowed any number of rows behind it.
    """

    columns: tuple[str, ...]
    nested: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    refused: int = 0
    torn: Rejected | None = None

    def require(self, wanted: Collection[str], *, file: str, place: str) -> None:
        """`SettingsWrong` naming the columns that the file does not have, or that cannot be read as text."""
        missing = sorted(set(wanted) - set(self.columns))
        if missing:
            there = ", ".join(self.columns[:20])
            words = f"{file} has no column {', '.join(missing)} (there are: {there}); correct columns, or the file"
            raise SettingsWrong(words, place=place)
        nested = sorted(set(wanted) & set(self.nested))
        if nested:
            words = f"{file} holds lists, structs or bytes in {', '.join(nested)}; write numbers, dates or text"
            raise SettingsWrong(words, place=place)


@contextmanager
def opened(path: Path, *, spill: Path, timezone: str, place: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Rows]]:
    """A database with the file as table `rows`: its columns as text, and `__line`, where each row stands.

    Line breaks inside cells are not counted. One thread and a small memory limit; what does not fit goes to `spill`.
    Afterwards it can read nothing else. Raises `AgainNow` when somebody writes to the file meanwhile.
    """
    before = readable(path, place)
    config: Config = {"threads": 1, "memory_limit": MEMORY, "temp_directory": str(spill)}
    spill.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with closing(duckdb.connect(config=config)) as connection:
            connection.execute(f"set TimeZone = {quoted(timezone)}")
            rows = _loaded(connection, path, place, spill)
            after = readable(path, place)
            if (after.st_ino, after.st_size, after.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
                raise AgainNow(f"{path.name} changed while it was read; the next pass reads it", place=place)
            yield connection, rows
    finally:
        shutil.rmtree(spill)


def _loaded(connection: duckdb.DuckDBPyConnection, path: Path, place: str, spill: Path) -> Rows:
    parquet = path.suffix == ".parquet"
    try:
        rows = _parquet(connection, path) if parquet else _csv(connection, path, place, spill)
    except (duckdb.Error, csv.Error, OSError) as error:
        raise SettingsWrong(_refusal(path.name, error, parquet=parquet), place=place) from None
    connection.execute("set enable_external_access = false")
    return rows


def _refusal(file: str, error: Exception, *, parquet: bool) -> str:
    """One line of a database's page-long complaint, without what stands in the file."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"{file} does not fit into memory; split it into smaller files"
    if isinstance(error, OSError):
        return f"{file} cannot be read ({error.strerror}); give this user access to it"
    if parquet:
        return f"{file} cannot be read as Parquet; write it again, or give a CSV file with a name ending in .csv"
    line = re.search(r"\bline:? (\d+)", str(error), re.IGNORECASE)
    where = f" (line {line[1]})" if line else ""
    return f"{file} cannot be read as CSV{where}; open it in a spreadsheet and save it again as CSV UTF-8"


def _parquet(connection: duckdb.DuckDBPyConnection, path: Path) -> Rows:
    relation = f"read_parquet({quoted(str(path))})"
    described = connection.execute(f"describe select * from {relation}").fetchall()
    names = tuple(name for name, *_ in described)
    nested = tuple(name for name, kind, *_ in described if NESTED.search(kind))
    columns = ", ".join(f"{named(name)}::varchar as {named(name)}" for name in names)
    connection.execute(f"create table rows as select row_number() over () as __line, {columns} from {relation}")
    return Rows(names, nested)


def _csv(connection: duckdb.DuckDBPyConnection, path: Path, place: str, spill: Path) -> Rows:
    names, separator = _header(path, place)
    try:
        _read(connection, path, names, separator)
    except duckdb.InvalidInputException:
        # Its parser gives a file up in which lines end in more than one way.
        even = spill / "even.csv"
        _even(path, even)
        _read(connection, even, names, separator)
    bad = connection.execute("select line, lower(error_type) from reject_errors order by all").fetchall()
    strange = [line for line, kind in bad if kind == "invalid encoding"]
    # A quotation mark out of place beside a letter of two bytes is called that too.
    wrong = _not_utf8(path) if strange else None
    if wrong:
        raise SettingsWrong(f"{path.name}:{wrong} {NOT_UTF8}", place=place)
    lines = {line: REASONS.get(kind, kind) for line, kind in bad}
    for line in list(lines)[:SHOWN]:  # the rows after one that was left out stand a line further down
        connection.execute("update rows set __line = __line + 1 where __line >= ?", [line])
    told = [Rejected(f"{path.name}:{line}", kind) for line, kind in list(lines.items())[:SHOWN]]
    torn = next((Rejected(f"{path.name}:{line}", why) for line, why in lines.items() if why == QUOTE), None)
    return Rows(tuple(names), (), tuple(told), len(lines), torn)


def _read(connection: duckdb.DuckDBPyConnection, path: Path, names: list[str], separator: str) -> None:
    columns = ", ".join(f"{quoted(name)}: 'varchar'" for name in names)
    connection.execute(
        f"create table rows as select row_number() over () + 1 as __line, * from read_csv({quoted(str(path))},"
        f" auto_detect = false, columns = {{{columns}}}, header = true, delim = {quoted(separator)}, quote = '\"',"
        " escape = '\"', nullstr = '', store_rejects = true)"
    )


def _even(path: Path, to: Path) -> None:
    """A copy whose lines all end alike."""
    # Read without `newline`, every kind of ending arrives as \n; bytes that are no text pass through as they are.
    odd = "surrogateescape"
    with (
        path.open(encoding="utf-8", errors=odd) as file,
        to.open("x", encoding="utf-8", errors=odd, newline="\n") as copy,
    ):
        while chunk := file.read(CHUNK):
            copy.write(chunk)


def _not_utf8(path: Path) -> int | None:
    """The first line that is not UTF-8; None when all are."""
    decoder, line, end = codecs.getincrementaldecoder("utf-8")(), 1, False
    with path.open("rb") as file:
        while not end:
            chunk = file.read(CHUNK)
            end = not chunk
            try:
                line += decoder.decode(chunk, end).count("\n")
            except UnicodeDecodeError as error:
                return line + error.object[: error.start].count(b"\n")
    return None


def _header(path: Path, place: str) -> tuple[list[str], str]:
    """The column names, and the separator that divides them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(MOST_HEADER)
    except UnicodeDecodeError:
        raise SettingsWrong(f"{path.name}:{_not_utf8(path)} {NOT_UTF8}", place=place) from None
    if not first:
        raise SettingsWrong(f"{path.name} is empty; fill it, or name another file", place=place)
    separator = max(SEPARATORS, key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
    known = {name.lower() for name in names}
    if not all(names) or not names or len(known) < len(names):
        words = f"{path.name}:1 does not name every column once; give each one a name of its own"
        raise SettingsWrong(words, place=place)
    return names, separator


def hash_people(connection: duckdb.DuckDBPyConnection, table: str, actor: Callable[[str], str]) -> None:
    """Fill `actors(person, actor)` for the column `person` of `table`: only distinct users leave the database."""
    connection.execute("create table actors (person varchar, actor varchar)")
    query = f"select distinct person from {table} where person is not null"
    people = connection.cursor().execute(query)
    while batch := [person for (person,) in people.fetchmany(HASHED_AT_ONCE)]:
        columns = {"person": batch, "actor": [actor(person) for person in batch]}
        batched = Table.from_pydict({name: Array(rows, type=DataType.utf8()) for name, rows in columns.items()})
        connection.register("hashed", batched)
        connection.execute("insert into actors select person, actor from hashed")
        connection.unregister("hashed")


class Stream:
    """A query's result as Arrow data, for as long as the connection is open.

    Every reading has a cursor of its own: a reader may look at the schema with one and read with another.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, query: str) -> None:
        self._connection, self._query = connection, query

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._connection.cursor().sql(self._query).__arrow_c_stream__(requested_schema)


def named(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"

"""Looks for what is left of somebody: in every row of the database and in every file of the data folder.

Parquet files are read as well as searched, because their bytes are compressed. All files, and the free pages of an
SQLite file with them, are searched byte by byte.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path

import duckdb

from sync import delta
from sync.state import State

SHORTEST = 6  # letters from which on a word is looked for inside texts and bytes; shorter ones stand anywhere by chance


@dataclass(frozen=True)
class Words:
    """What somebody is known by. Short ids are looked for as whole values only, short names only where names stand.

    `shared`: words that others are known by too, or have within theirs. They tell of nobody and are not looked for.
    """

    ids: frozenset[str]
    names: frozenset[str]
    shared: frozenset[str]
    bytes: tuple[bytes, ...]

    @classmethod
    def of(cls, ids: Iterable[str], names: Iterable[str], others: Iterable[str]) -> Words:
        """`others`: all that everybody else is known by."""
        text = "\n".join(others)
        mine = {word for word in (*ids, *names) if word}
        # the bare word first, which costs little: others of a hundred thousand accounts are seven megabytes of text
        shared = frozenset(word for word in mine if word in text and re.search(_inside([word]), text))
        known = mine - shared
        long = [word for word in sorted(known) if len(word) >= SHORTEST and word not in text]
        forms = dict.fromkeys(form.encode() for word in long for form in (word, json.dumps(word)[1:-1]))
        return cls(frozenset(ids) & known, frozenset(names) & known, shared, tuple(forms))

    def mentioned(self, text: str) -> bool:
        """Whether a text mentions any of them, also a short one; better too often than too seldom."""
        return bool(self._mention.search(text)) if self.ids or self.names else False

    @cached_property
    def _mention(self) -> re.Pattern[str]:
        return re.compile(_inside(self.ids | self.names))

    def pattern(self, *, names: bool = False) -> str | None:
        """A regular expression that finds them in a cell, in the dialect that Python and DuckDB share."""
        known = self.ids | self.names
        long = [word for word in known if len(word) >= SHORTEST]
        short = [word for word in (known if names else self.ids) if len(word) < SHORTEST]
        parts = [_inside(long)] if long else []
        if short:
            parts.append(rf'(?:^|["\\])(?:{_either(short)})(?:["\\]|$)')
        return "|".join(parts) or None


def _either(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(words)))


def _inside(words: Iterable[str]) -> str:
    return f"(?:^|[^0-9A-Za-z])(?:{_either(words)})(?:[^0-9A-Za-z]|$)"


@dataclass
class Looked:
    """How much was looked at, and where something was found."""

    files: int = 0
    rows: int = 0
    places: list[str] = field(default_factory=list)


def look(data: Path, state: State, words: Words, *, spill: Path) -> Looked:
    """Look everywhere; SQLite's own files wherever they are."""
    result = Looked()
    found: dict[str, None] = {}
    for table, rows in state.rows():
        result.rows += len(rows)
        found |= dict.fromkeys(_in_rows(table, rows, words))
    result.places += found
    files = (path for path in sorted(data.rglob("*")) if path.is_file() and not path.is_symlink())
    with delta.connect(memory_limit="500MB", threads=2, spill=spill) as connection:
        for path in dict.fromkeys([*files, *state.files()]):
            result.files += 1
            name = str(path.relative_to(data)) if path.is_relative_to(data) else str(path)
            if path.suffix == ".parquet":
                rows_read, columns = _in_parquet(connection, path, words)
                result.rows += rows_read
                result.places += [f"{name} ({column})" for column in columns]
            if _in_bytes(path, words):
                result.places.append(name)
    return result


def _in_rows(table: str, rows: Sequence[dict[str, object]], words: Words) -> Iterator[str]:
    anywhere, named = words.pattern(), words.pattern(names=True)
    for row in rows:
        for column, value in row.items():
            if isinstance(value, int | float | date | None):  # a count that looks like an id names nobody
                continue
            pattern = named if column == "name" else anywhere
            if pattern and re.search(pattern, _text(value)):
                yield f"{table}.{column}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def _in_parquet(connection: duckdb.DuckDBPyConnection, path: Path, words: Words) -> tuple[int, list[str]]:
    """Rows of the file, and the columns that hold something."""
    pattern = words.pattern()
    source = f"read_parquet({delta.text(str(path))}, hive_partitioning = false)"
    described = connection.execute(f"describe select * from {source}").fetchall()
    columns = [column for column, kind, *_ in described if "VARCHAR" in kind] if pattern else []
    found = [f'bool_or(regexp_matches("{name}"::varchar, {delta.text(pattern or "")}))' for name in columns]
    rows, *holds = delta.one_row(connection, f"select {', '.join(['count(*)', *found])} from {source}")
    return int(rows), [column for column, held in zip(columns, holds, strict=True) if held]


def _in_bytes(path: Path, words: Words) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if any(content.find(word) >= 0 for word in words.bytes):
            return True
        pattern = words.pattern() if path.suffix == ".json" else None
        return bool(pattern and re.search(pattern, content[:].decode(errors="replace")))

"""Prints SQL that people read: named steps, one thing a line or short things side by side, no line over 160."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

WIDTH = 151
PIECES = re.compile(r"(?:'(?:[^']|'')*'|[^\s'])+")


class Step(NamedTuple):
    """A named select; later steps may read it by its name."""

    name: str
    sql: str


# Steps that become one table, named as the last of them.
Stage = tuple[Step, ...]


def number(value: float) -> str:
    """A number every engine reads as the same double: long decimals in e-notation, negatives in brackets."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no place in SQL")
    text = repr(float(value)).removesuffix(".0")
    if "." in text and "e" not in text and len(text.lstrip("-0.").replace(".", "")) > 15:
        text += "e0"
    return f"({text})" if text.startswith("-") else text


def grid(sql: str) -> str:
    """`sql` rounded to a multiple of 2^-20, so that sums of such terms are exact in any order."""
    whole = sql.isidentifier() or (sql.startswith("case ") and sql.endswith(" end"))
    return f"floor({sql if whole else f'({sql})'} * 1048576 + 0.5) / 1048576"


def nine(sql: str) -> str:
    """`sql` rounded to nine decimals, to the double that a literal of those digits is."""
    return f"floor(({sql}) * 1000000000 + 0.5) / 1000000000"


def on_grid(value: float) -> float:
    """The same rounding for a number known beforehand."""
    return math.floor(value * 1048576 + 0.5) / 1048576


def double(sql: str) -> str:
    return f"cast({sql} as double)"


def quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


def day(moment: date) -> str:
    return f"date '{moment.isoformat()}'"


def of_source(source: str, suffix: str) -> str:
    """A name made from a source's; one that begins with a digit is quoted."""
    name = f"{source}__{suffix}"
    return f'"{name}"' if name[0].isdigit() else name


def either(words: Sequence[str], column: str) -> str:
    """The test that a column is one of these words."""
    listed = ", ".join(quoted(word) for word in words)
    return f"{column} = {listed}" if len(words) == 1 else f"{column} in ({listed})"


@lru_cache(maxsize=2000)
def wrapped(sql: str, indent: int = 2) -> str:
    """One expression over as few lines as fit, broken at spaces outside quotes, with a hanging indent."""
    lines, line = [], ""
    for piece in PIECES.findall(sql):
        if line and len(line) + 1 + len(piece) > WIDTH - indent:
            lines.append(line)
            line = piece
        else:
            line = f"{line} {piece}" if line else piece
    return ("\n" + " " * (indent + 2)).join([*lines, line])


def nested(sql: str, name: str) -> str:
    """A select as something to read from."""
    return f"({_indented(sql).lstrip()}) {name}"


def listed(items: Iterable[str], *, indent: int = 2) -> str:
    """Items separated by commas, one a line."""
    return (",\n" + " " * indent).join(wrapped(item, indent) for item in items)


def filled(items: Iterable[str], *, indent: int = 2) -> str:
    """Items separated by commas, as many a line as fit; one is broken only where it is longer than a line."""
    lines: list[str] = []
    for item in items:
        hang = ""
        if lines:
            room = WIDTH - indent - len(lines[-1]) - 3
            if len(item) <= room or (len(item) > WIDTH - indent and room > WIDTH // 2):
                hang = "  " if lines[-1].startswith("  ") else ""
                item = f"{lines.pop().lstrip()}, {item}"
            else:
                lines[-1] += ","
        lines += f"{hang}{wrapped(item, 0)}".splitlines()
    return ("\n" + " " * indent).join(lines)


def times(weight: float, sql: str) -> str:
    return sql if weight == 1 else f"{number(weight)} * {sql}"


def select(columns: str, *clauses: str) -> str:
    """A select of these columns; its clauses as many a line as fit, none broken, below columns of several lines."""
    lines = [f"select {columns}"]
    for place, clause in enumerate(clauses):
        fits = len(lines[-1]) + 1 + len(clause.split("\n")[0]) <= WIDTH
        if fits and (place or "\n" not in columns):
            clause = f"{lines.pop()} {clause}"
        lines += clause.splitlines()
    return "\n".join(lines)


def with_steps(steps: Sequence[Step]) -> str:
    """The steps as one statement: all but the last in WITH, the last as its select."""
    named = ",\n".join(f"{step.name} as (\n{_indented(step.sql)})" for step in steps[:-1])
    return f"with {named}\n{steps[-1].sql}" if named else steps[-1].sql


def _indented(sql: str) -> str:
    return "\n".join("  " + line for line in sql.splitlines())

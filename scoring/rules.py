"""Small rules over columns (`value >= 3 and label <> 'spam'`), rebuilt from an allow-list and never passed through.

sqlglot parses; what is printed is written here, node by node, so nothing else a parser may accept can reach an
engine. Each node is a number, a word or a test, and only like is compared with like: an engine would otherwise try
to cast a word to a number while it runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from scoring import printer

Kind = Literal["number", "word", "test", "either"]  # either: a number and a word, as what it is compared with

LONGEST, DEEPEST, MOST_NAMED = 500, 20, 12
_WORD = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|(?<![\w.])(?!(?:and|or|not|in)\b)([^\W\d]\w*)""", re.IGNORECASE)
_STRANGE = re.compile(r"'(?:[^']|'')*'|(--|/\*|[^\w\s.<>=!+\-*/(),'\"])")
COMPARISONS: Mapping[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
}  # fmt: skip
JOINS: Mapping[type[exp.Expression], str] = {exp.And: "and", exp.Or: "or"}
ARITHMETIC: Mapping[type[exp.Expression], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}


class _Built(NamedTuple):
    sql: str
    kind: Kind


class Column(NamedTuple):
    """What a name in a rule stands for: its SQL, and what it holds."""

    sql: str
    kind: Kind


FACT: Mapping[str, Column] = {"value": Column("value", "number"), "label": Column("label", "word")}


def names(text: str) -> tuple[str, ...]:
    """The names that a rule reads, in the order they stand. Raises ValueError where it cannot be read."""
    found = parse(text).find_all(exp.Column, bfs=False)
    return tuple(dict.fromkeys(node.name.lower() for node in found))


def rebuild(text: str, columns: Mapping[str, Column] = FACT) -> str:
    """The rule as SQL. Raises ValueError, in words, for anything but comparisons, and/or/not and arithmetic."""
    built = _build(parse(text), columns, 0)
    if built.kind != "test":
        raise ValueError("has to be a test, like value >= 3")
    return built.sql


@lru_cache(maxsize=1000)
def parse(text: str) -> exp.Expression:
    """The rule as a tree, as anybody may have written it; only what `rebuild` takes is a rule.

    Every word but the operators is a name, whatever it means in SQL. A tree may be handed out again: it is only read.
    """
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters; make the rule shorter")
    if _nesting(text) > DEEPEST:
        raise ValueError(f"is nested more than {DEEPEST} deep; make the rule simpler")
    if strange := next((found[1] for found in _STRANGE.finditer(text) if found[1]), None):
        raise ValueError(
            f"holds {strange}, which no rule does; write rules like value >= 3, minus as - and 30 % as 0.3"
        )
    try:
        trees = sqlglot.parse(_WORD.sub(_named, text), read="duckdb")
    except (SqlglotError, RecursionError):
        raise ValueError(
            "could not be read; write comparisons joined by and/or/not, like value >= 3 and label <> 'spam'"
        ) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Expression):
        raise ValueError("has to be one rule, like value >= 3")
    return trees[0]


def _named(found: re.Match[str]) -> str:
    if found[0].startswith('"'):
        raise ValueError(f"holds {found[0][:40]}; names stand without quotes, and words in single ones, like 'urgent'")
    return f'"{found[1]}"' if found[1] else found[0]


def _nesting(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def _build(node: exp.Expression, columns: Mapping[str, Column], depth: int) -> _Built:
    if depth > DEEPEST:
        raise ValueError(f"is nested more than {DEEPEST} deep; make the rule simpler")

    def inner(child: exp.Expression) -> _Built:
        return _build(child, columns, depth + 1)

    if isinstance(node, exp.Column):
        return _column(node, columns)
    if isinstance(node, exp.Literal):
        return _literal(node)
    if isinstance(node, exp.Paren):
        built = inner(node.this)
        return built if built.sql.startswith("(") else _Built(f"({built.sql})", built.kind)
    if isinstance(node, exp.Not | exp.Neg):
        return _one_sided(node, inner)
    if isinstance(node, exp.In):
        return _listed(node, inner)
    return _two_sided(node, inner)


def _column(node: exp.Column, columns: Mapping[str, Column]) -> _Built:
    if not isinstance(node.this, exp.Identifier) or node.table or node.name.lower() not in columns:
        known = ", ".join(sorted(columns)[:MOST_NAMED]) + (" ..." if len(columns) > MOST_NAMED else "")
        raise ValueError(f"knows only {known}, not {node.name!r}; words are written in single quotes, like 'urgent'")
    return _Built(*columns[node.name.lower()])


def _literal(node: exp.Literal) -> _Built:
    if node.is_string:
        return _Built(printer.quoted(node.name), "word")
    try:
        finite = math.isfinite(float(node.name))
    except ValueError:
        raise ValueError(f"holds {node.name}, which is no number; write numbers like 3, 0.3 or 3e6") from None
    if not finite:
        raise ValueError("holds a number that is too large")
    return _Built(printer.number(float(node.name)), "number")


def _one_sided(node: exp.Expression, inner: Callable[[exp.Expression], _Built]) -> _Built:
    built = inner(node.this)
    if isinstance(node, exp.Not):
        return _Built(f"(not {_need(built, 'test')})", "test")
    return _Built(f"(- {_need(built, 'number')})", "number")


def _listed(node: exp.In, inner: Callable[[exp.Expression], _Built]) -> _Built:
    choices = node.args.get("expressions") or []
    if not choices or any(value for key, value in node.args.items() if key not in ("this", "expressions")):
        raise ValueError("may use `in` with a list only, like label in ('high', 'urgent')")
    subject = inner(node.this)
    if subject.kind == "either":
        subject = _as(subject, inner(choices[0]).kind)
    if not all(map(_is_constant, choices)):
        raise ValueError("may list only numbers or words after `in`")
    words = ", ".join(_need(inner(choice), subject.kind) for choice in choices)
    return _Built(f"{subject.sql} in ({words})", "test")


def _is_constant(node: exp.Expression) -> bool:
    """Whether this is a number or a word, whatever its sign."""
    while isinstance(node, exp.Neg | exp.Paren):
        node = node.this
    return isinstance(node, exp.Literal)


def _two_sided(node: exp.Expression, inner: Callable[[exp.Expression], _Built]) -> _Built:
    joined = JOINS.get(type(node))
    compared, reckoned = COMPARISONS.get(type(node)), ARITHMETIC.get(type(node))
    if not (joined or compared or reckoned):
        raise ValueError("may hold only comparisons, and/or/not, in (...), + - * / , numbers and words")
    left, right = inner(node.this), inner(node.expression)
    if joined:
        return _Built(f"({_need(left, 'test')} {joined} {_need(right, 'test')})", "test")
    if reckoned:
        terms = f"{_need(left, 'number')} {reckoned} {_need(right, 'number')}"
        _refuse_division(node, right)
        # of two whole numbers some engines make a whole one
        return _Built(f"({terms}{'.0' if reckoned == '/' and right.sql.isdigit() else ''})", "number")
    if "test" in (left.kind, right.kind):
        raise ValueError("compares a test with something; join tests with and/or")
    kinds: list[Kind] = [built.kind for built in (left, right) if built.kind != "either"]
    kind = kinds[0] if kinds else "number"
    return _Built(f"{_need(left, kind)} {compared} {_need(right, kind)}", "test")


def _refuse_division(node: exp.Expression, right: _Built) -> None:
    if isinstance(node, exp.Div) and (not isinstance(node.expression, exp.Literal) or float(right.sql) == 0):
        raise ValueError("may divide only by a number above zero")


def _as(built: _Built, kind: Kind) -> _Built:
    """What is known as a number and as a word, as one of them."""
    return _Built(f"{built.sql}__{'label' if kind == 'word' else 'value'}", "word" if kind == "word" else "number")


def _need(built: _Built, kind: Kind) -> str:
    if built.kind == "either" and kind != "test":
        return _as(built, kind).sql
    if built.kind != kind:
        told = "name" if built.kind == "either" else built.kind
        raise ValueError(f"uses a {told} where a {kind} is needed: {built.sql}")
    return built.sql

"""Reads SOQL: the part of the language that a client reading accounts and permissions writes.

`SELECT fields | COUNT() | COUNT(field) FROM object [WHERE ...] [ORDER BY ...] [LIMIT n] [OFFSET n]`; among the fields
may stand queries of related rows, in parentheses. What is not understood is refused as malformed, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?(?![\w.]))
    | (?P<days>(?:LAST|NEXT)_N_DAYS:\d+|TODAY\b|YESTERDAY\b|TOMORROW\b)
    | (?P<word>[A-Za-z_][\w.]*)
    | (?P<mark><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE | re.IGNORECASE,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}

Kind = Literal["text", "datetime", "date", "number", "days", "boolean", "null"]


class Malformed(Exception):
    """The text is not SOQL, as far as it is understood here."""


class Value(NamedTuple):
    kind: Kind
    text: str


@dataclass(frozen=True)
class Compare:
    field: str
    sign: str  # = != < > <= >= LIKE IN
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Not:
    inner: Node


@dataclass(frozen=True)
class Both:
    """All of the parts (`every`), or any of them."""

    every: bool
    parts: tuple[Node, ...]


Node = Compare | Not | Both


class Order(NamedTuple):
    field: str
    descending: bool
    nulls_last: bool


@dataclass(frozen=True)
class Query:
    fields: tuple[str, ...]
    table: str
    where: Node | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int
    count: str | None  # "" for COUNT(), a field for COUNT(field)
    alias: str = "expr0"
    children: tuple[Query, ...] = ()


class _Token(NamedTuple):
    kind: str
    text: str


def parse(text: str) -> Query:
    """The query this text says; raises `Malformed`."""
    return _Reader(_tokens(text)).query()


def _tokens(text: str) -> list[_Token]:
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise Malformed(f"unexpected token: '{text[at:].strip()[:1]}'")
        found.append(_Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


class _Reader:
    """Goes through the tokens once, from left to right."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens, self._at = tokens, 0

    def query(self) -> Query:
        query = self._query()
        if self._at < len(self._tokens):
            raise self._unexpected()
        return query

    def _query(self) -> Query:
        self._need("SELECT")
        fields, count, alias, children = self._selected()
        self._need("FROM")
        table = self._word()
        where = self._either() if self._take("WHERE") else None
        order = self._ordered() if self._take("ORDER") else ()
        limit = int(self._number()) if self._take("LIMIT") else None
        offset = int(self._number()) if self._take("OFFSET") else 0
        return Query(fields, table, where, order, limit, offset, count, alias, children)

    def _selected(self) -> tuple[tuple[str, ...], str | None, str, tuple[Query, ...]]:
        first = self._word()
        if first.upper() == "COUNT" and self._take("("):
            count = "" if self._peek().text == ")" else self._word()
            self._need(")")
            alias = "expr0" if self._peek().text.upper() == "FROM" else self._word()
            return (), count, alias, ()
        fields, children = [first], list[Query]()
        while self._take(","):
            if self._take("("):
                children.append(self._query())
                self._need(")")
            else:
                fields.append(self._word())
        return tuple(fields), None, "", tuple(children)

    def _either(self) -> Node:
        """A condition; AND and OR may only meet through parentheses."""
        parts, joined = [self._condition()], ""
        while self._peek().text.upper() in ("AND", "OR"):
            word = self._next().text.upper()
            if joined not in ("", word):
                raise Malformed(f"unexpected token: '{word}'")
            joined = word
            parts.append(self._condition())
        return parts[0] if len(parts) == 1 else Both(joined == "AND", tuple(parts))

    def _condition(self) -> Node:
        if self._take("NOT"):
            return Not(self._condition())
        if self._take("("):
            inner = self._either()
            self._need(")")
            return inner
        return self._comparison(self._word())

    def _comparison(self, field: str) -> Node:
        if self._take("NOT"):
            self._need("IN")
            return Not(Compare(field, "IN", self._list()))
        token = self._next()
        sign = {"<>": "!="}.get(token.text, token.text.upper())
        if sign == "IN":
            return Compare(field, sign, self._list())
        if sign not in ("=", "!=", "<", ">", "<=", ">=", "LIKE"):
            raise Malformed(f"unexpected token: '{token.text}'")
        return Compare(field, sign, (self._value(),))

    def _list(self) -> tuple[Value, ...]:
        self._need("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")")
        return tuple(values)

    def _value(self) -> Value:
        token = self._next()
        match token.kind:
            case "text":
                return Value("text", _unescaped(token.text[1:-1]))
            case "datetime" | "date" | "number":
                return Value(token.kind, token.text)
            case "days":
                return Value("days", token.text.upper())
        match token.text.upper():
            case "TRUE" | "FALSE":
                return Value("boolean", token.text.upper())
            case "NULL":
                return Value("null", "")
        raise Malformed(f"unexpected token: '{token.text}'")

    def _ordered(self) -> tuple[Order, ...]:
        self._need("BY")
        order = [self._order()]
        while self._take(","):
            order.append(self._order())
        return tuple(order)

    def _order(self) -> Order:
        field = self._word()
        descending = self._take("DESC")
        if not descending:
            self._take("ASC")
        last = False
        if self._take("NULLS"):
            last = self._take("LAST")
            if not last:
                self._need("FIRST")
        return Order(field, descending, last)

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("end", "<EOF>")

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, text: str) -> bool:
        taken = self._peek().kind != "text" and self._peek().text.upper() == text
        self._at += taken
        return taken

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected()

    def _word(self) -> str:
        if self._peek().kind != "word":
            raise self._unexpected()
        return self._next().text

    def _number(self) -> str:
        if self._peek().kind != "number" or not self._peek().text.isdigit():
            raise self._unexpected()
        return self._next().text

    def _unexpected(self) -> Malformed:
        return Malformed(f"unexpected token: '{self._peek().text}'")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)

"""Turns the condition of a SOQL query into a function of a row.

Text compares without regard to case, except ids; `!=` also finds blanks; a literal of the wrong kind is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors.sandbox import soql
from connectors.sandbox.crm import Record, Refused, full_id
from connectors.sandbox.salesforce_fields import NUMBERS, Column, stamped
from connectors.sandbox.salesforce_org import Org
from connectors.sandbox.salesforce_paths import Found, find, refused
from connectors.sandbox.salesforce_tables import Table

Test = Callable[[Record], bool]


def condition(org: Org, table: Table, node: soql.Node) -> Test:
    """The condition as a function of a row."""
    match node:
        case soql.Not(inner):
            refuted = condition(org, table, inner)
            return lambda row: not refuted(row)
        case soql.Both(every, parts):
            tests = [condition(org, table, part) for part in parts]
            chosen = all if every else any
            return lambda row: chosen(one(row) for one in tests)
        case soql.Compare(name, sign, values):
            found = find(org, table, name)
            if not found.column.filterable:
                message = f"field '{found.column.name}' can not be filtered in a query call"
                raise refused("INVALID_FIELD", message)
            return _compared(org, found, sign, values)


def _compared(org: Org, found: Found, sign: str, values: Sequence[soql.Value]) -> Test:
    get = found.get
    if sign == "LIKE":
        pattern = _pattern(_text(found.column, values[0]))
        return lambda row: bool(pattern.fullmatch(str(get(row) or "")))
    spans = [_span(found.column, value, org.clock.now()) for value in values]
    if sign == "IN":
        return _among(found, spans)
    span = spans[0]
    if sign in ("=", "!="):
        return lambda row: _inside(_key(found.column, get(row)), span) == (sign == "=")
    if span is None:
        raise refused("MALFORMED_QUERY", f"null can not be compared with {sign}")
    low, high = span
    return lambda row: _beside(_key(found.column, get(row)), sign, low, high)


def _among(found: Found, spans: Sequence[tuple[Any, Any] | None]) -> Test:
    get, column = found.get, found.column
    single = {None if span is None else span[0] for span in spans if span is None or span[0] == span[1]}
    wide = [span for span in spans if span is not None and span[0] != span[1]]

    def among(row: Record) -> bool:
        value = _key(column, get(row))
        return value in single or any(_inside(value, span) for span in wide)

    return among


def _inside(value: Any, span: tuple[Any, Any] | None) -> bool:
    if value is None or span is None:
        return value is None and span is None
    return bool(span[0] <= value <= span[1])


def _beside(value: Any, sign: str, low: Any, high: Any) -> bool:
    if value is None:
        return False
    match sign:
        case "<":
            return bool(value < low)
        case "<=":
            return bool(value <= high)
        case ">":
            return bool(value > high)
    return bool(value >= low)


def _key(column: Column, value: Any) -> Any:
    return value if column.type in ("id", "reference") else folded(value)


def _span(column: Column, value: soql.Value, now: datetime) -> tuple[Any, Any] | None:
    """The first and last value the literal stands for, as the column holds them; None for null."""
    if value.kind == "null":
        return None
    if column.type in NUMBERS:
        number = float(_of_kind(column, value, "number"))
        return number, number
    if column.type == "boolean":
        flag = _of_kind(column, value, "boolean") == "TRUE"
        return flag, flag
    if column.type in ("date", "datetime"):
        return _days(column, value, now)
    text = _text(column, value)
    if column.type in ("id", "reference"):
        text = full_id(text) if len(text) == 15 else text
        if len(text) != 18:
            raise refused("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}")
        return text, text
    return text.casefold(), text.casefold()


def _days(column: Column, value: soql.Value, now: datetime) -> tuple[str, str]:
    if value.kind == "days":
        first, last = _named_days(value.text, now.astimezone(UTC).date())
        if column.type == "date":
            return first.isoformat(), last.isoformat()
        return f"{first.isoformat()}T00:00:00.000+0000", f"{last.isoformat()}T23:59:59.999+0000"
    text = _of_kind(column, value, column.type)
    if column.type == "datetime":
        text = stamped(datetime.fromisoformat(text))
    return text, text


def _named_days(name: str, today: date) -> tuple[date, date]:
    word, _, number = name.partition(":")
    match word:
        case "LAST_N_DAYS":
            return today - timedelta(days=int(number)), today
        case "NEXT_N_DAYS":
            return today + timedelta(days=1), today + timedelta(days=int(number))
    day = today + timedelta(days={"YESTERDAY": -1, "TOMORROW": 1}.get(word, 0))
    return day, day


def _of_kind(column: Column, value: soql.Value, kind: str) -> str:
    if value.kind != kind:
        raise _criterion(column, "should not be enclosed in quotes")
    return value.text


def _text(column: Column, value: soql.Value) -> str:
    if value.kind != "text":
        raise _criterion(column, "should be enclosed in quotes")
    return value.text


def _criterion(column: Column, quotes: str) -> Refused:
    message = f"value of filter criterion for field '{column.name}' must be of type {column.type} and {quotes}"
    return refused("INVALID_FIELD", message)


def _pattern(like: str) -> re.Pattern[str]:
    parts = (".*" if letter == "%" else "." if letter == "_" else re.escape(letter) for letter in like)
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def folded(value: Any) -> Any:
    """Text without regard to case."""
    return value.casefold() if isinstance(value, str) else value

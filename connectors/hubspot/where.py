"""The small language of `accounts.where` for HubSpot: `property = value and property in (a, b)`.

HubSpot has no query language. Its search is fed by an index that lags behind, stops at 10,000 companies and hands out
twice what changes meanwhile, so companies are listed, which is none of these, and the condition is judged here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from connectors.errors import SettingsWrong
from connectors.hubspot.settings import is_name

PLACE = "accounts.where"
EXAMPLE = "write for example: lifecyclestage = customer and country in (Germany, France)"
_TOKEN = re.compile(r"""\s*(?:(?P<sign>[=(),])|'(?P<one>[^']*)'|"(?P<two>[^"]*)"|(?P<word>[^\s=(),'"]+))""")


class Condition(NamedTuple):
    """The property has one of these values."""

    property: str
    values: tuple[str, ...]

    def meets(self, properties: Mapping[str, Any]) -> bool:
        return str(properties.get(self.property) or "") in self.values

    def as_filter(self) -> dict[str, Any]:
        """The same in the words of the search API."""
        if len(self.values) == 1:
            return {"propertyName": self.property, "operator": "EQ", "value": self.values[0]}
        return {"propertyName": self.property, "operator": "IN", "values": list(self.values)}


class _Token(NamedTuple):
    text: str
    quoted: bool

    def says(self, word: str) -> bool:
        return not self.quoted and self.text.lower() == word


def parse(where: str) -> tuple[Condition, ...]:
    """The conditions, all of which must hold; none for an empty text. Raises `SettingsWrong`."""
    tokens = _tokens(where)
    conditions = []
    while tokens:
        conditions.append(_condition(tokens))
        if tokens and not (tokens.pop(0).says("and") and tokens):
            raise _wrong("conditions are joined by `and`")
    return tuple(conditions)


def _tokens(where: str) -> list[_Token]:
    tokens, position = [], 0
    text = where.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            raise _wrong("a quote is not closed")
        quoted = found["one"] if found["one"] is not None else found["two"]
        tokens.append(_Token(found["sign"] or found["word"] or "" if quoted is None else quoted, quoted is not None))
        position = found.end()
    return tokens


def _condition(tokens: list[_Token]) -> Condition:
    name = tokens.pop(0)
    if name.quoted or not is_name(name.text):
        raise _wrong("a condition begins with the internal name of a property")
    if tokens and tokens[0].says("="):
        tokens.pop(0)
        return Condition(name.text, (_value(tokens),))
    if tokens and tokens[0].says("in"):
        tokens.pop(0)
        return Condition(name.text, tuple(_list(tokens)))
    raise _wrong("a property is followed by `=` or `in`")


def _list(tokens: list[_Token]) -> list[str]:
    if not (tokens and tokens.pop(0).says("(")):
        raise _wrong("`in` is followed by a list in brackets")
    values = [_value(tokens)]
    while tokens and tokens[0].says(","):
        tokens.pop(0)
        values.append(_value(tokens))
    if not (tokens and tokens.pop(0).says(")")):
        raise _wrong("a bracket is not closed")
    return values


def _value(tokens: list[_Token]) -> str:
    """A quoted value, or words up to the next sign or `and`."""
    if tokens and tokens[0].quoted:
        return tokens.pop(0).text
    words = []
    while tokens and not tokens[0].quoted and tokens[0].text not in "=(),":
        if tokens[0].says("and"):
            break
        words.append(tokens.pop(0).text)
    if not words:
        raise _wrong("a value is missing")
    return " ".join(words)


def _wrong(what: str) -> SettingsWrong:
    return SettingsWrong(f"{what}; {EXAMPLE}", place=PLACE)

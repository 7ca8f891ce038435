"""Small changes to what is right: odd values at any place of a document, and damage to bytes."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

ODD_TEXTS = (
    *("", " ", "\0", "\ud83d", "\U0001f600", "\u202eoops", "\x1b[31m", "x" * 300, "null", "NaN", "-0", "1e400", "=1+1"),
    *(
        "1",
        "-1",
        "0.1",
        "1e300",
        "Infinity",
        "2026-13-45",
        "2026-02-30T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "0001-01-01",
    ),
    *("2026-03-01T00:00:00+14:00", "1583020800000", "true", "a,b", 'a"b', "a\nb", "'", "--", "${HOME}", "[1]", "{}"),
)
ODD: tuple[Any, ...] = (None, True, False, 0, -1, 2**63, 10**30, 1e308, -0.0, [], {}, [[]], {"a": None}, *ODD_TEXTS)
ODD_BYTES = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b'"',
    b"'",
    b"\n",
    b"\r",
    b",",
    b"\\",
    b"\\ud800",
    b"{",
    b"]",
    b"\t",
    b"%",
)


def document(random: Random, right: Any) -> Any:
    """A copy with one to four places changed: another value, a key gone or called otherwise, an item twice."""
    changed = deepcopy(right)
    for _ in range(random.randint(1, 4)):
        places = list(_places(changed))
        if not places:
            return odd(random)
        holder, key = random.choice(places)
        _change(random, holder, key)
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield value, key
        yield from _places(part)


def _change(random: Random, holder: Any, key: Any) -> None:
    kind = random.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, deepcopy(holder[key]))
    elif kind == 1:
        holder[random.choice(ODD_TEXTS)] = holder.pop(key)
    elif kind == 2 and isinstance(holder[key], str):
        holder[key] = text(random, holder[key])
    else:
        holder[key] = odd(random)


def odd(random: Random) -> Any:
    """A value that few expect."""
    return deepcopy(random.choice(ODD))


def text(random: Random, right: str) -> str:
    """A text with something put in, or a part of it taken out."""
    start = random.randint(0, len(right))
    return right[:start] + random.choice(ODD_TEXTS) + right[start + random.randint(0, 3) :]


def damaged(random: Random, raw: bytes) -> bytes:
    """Bytes that were cut, torn, doubled or changed on their way."""
    for _ in range(random.randint(1, 3)):
        start, length = random.randint(0, len(raw)), random.randint(1, 12)
        end, kind = start + length, random.randrange(5)
        if kind == 0:
            raw = raw[:start]
        elif kind == 1:
            raw = raw[:start] + random.choice(ODD_BYTES) + raw[start:]
        elif kind == 2:
            raw = raw[:start] + raw[end:]
        elif kind == 3:
            raw = raw[:end] + raw[start:]
        elif raw:
            place = random.randrange(len(raw))
            raw = raw[:place] + bytes([random.randrange(256)]) + raw[place + 1 :]
    return raw

"""Ids of Salesforce records: 15 characters in which case matters, or the same and 3 more that spell the case out."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ID = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")


def whole(told: object) -> str:
    """The id that was told; nothing where it is none."""
    return told if isinstance(told, str) and _ID.fullmatch(told) else ""


def short(id: str) -> str:
    """The 15 characters that tell the record from all others, however the id is written."""
    return id[:15]


def distinct(ids: Iterable[str]) -> list[str]:
    """Each record once, by its 15 characters; what is no id is left out."""
    return list(dict.fromkeys(short(id) for id in ids if _ID.fullmatch(id)))


def listed(ids: Iterable[str]) -> str:
    """As SOQL lists them."""
    return ", ".join(f"'{id}'" for id in ids)

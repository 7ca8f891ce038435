"""Fields that are not as they were made: when that is too much to go on, and whether they are others than before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.base import Drift
from connectors.errors import SettingsWrong


def checked(found: Sequence[Drift], names: Mapping[str, str], *, place: str) -> Sequence[Drift]:
    """`found` as it is. Raises `SettingsWrong` when not one of the fields in `names` can be written."""
    out = [one for one in found if one.effect == "left out"]
    if names and len(out) == len(names):
        words = f"none of the {len(out)} fields can be written; {out[0].message}; {out[0].remedy}"
        raise SettingsWrong(words, place=place)
    return found


def without(found: Sequence[Drift], names: Mapping[str, str]) -> dict[str, str]:
    """`names` of the fields that are not left out of what is written."""
    out = {one.field for one in found if one.effect == "left out"}
    return {key: name for key, name in names.items() if key not in out}


def fingerprint(names: Mapping[str, str], tiers: Mapping[str, str], described: Mapping[str, Any]) -> str:
    """Another one whenever a name in the settings or a description is another. `described`: by our field."""
    text = json.dumps([dict(names), dict(tiers), dict(described)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

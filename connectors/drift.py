"""Fields that are not as they were made: when that is too much to go on, and whether they are others than before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from connectors.base import Drift, Field, FieldKind
from connectors.errors import SettingsWrong

Described = Mapping[str, Any]  # what a CRM says of one of its fields
Seen = Mapping[str, Described]  # of all it shows, by their names in lower case


class Judge(NamedTuple):
    """How a CRM's fields are judged: the types that can hold ours, what is said of one that is not there, and of one
    that is, with the tiers.
    """

    types: Mapping[FieldKind, Sequence[str]]
    missing: Drift
    changed: Callable[[Field, Described, Mapping[str, str]], Drift | None]

    def drifts(
        self, fields: Mapping[str, Field], names: Mapping[str, str], tiers: Mapping[str, str], seen: Seen
    ) -> list[Drift]:
        """Our fields that are not as they were made. `fields`, and `names` of those that are used, by our name."""
        ours = {name.lower() for name in names.values()}
        others = [one for name, one in seen.items() if name not in ours and one.get("custom", True)]
        found = []
        for key, name in names.items():
            field, described = fields[key], seen.get(name.lower())
            one = self._gone(field, others) if described is None else self.changed(field, described, tiers)
            if one:
                found.append(one._replace(field=key, message=f"{name} {one.message}"))
        return found

    def _gone(self, field: Field, others: Iterable[Described]) -> Drift:
        for other in others:
            if other.get("label") == field.label and other.get("type") in self.types[field.kind]:
                words = f"is gone, while {other['name']} has its label {field.label!r}"
                remedy = f"if that is meant, set fields: {{{field.key}: {other['name']}}}"
                return Drift("", words, f"{remedy}; otherwise {self.missing.remedy}", "left out", True)
        return self.missing


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

"""What has become of our fields on Account since they were made, as one describe tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from connectors.base import Drift, Field, FieldKind

Described = Mapping[str, Any]

# The kinds of field that can hold ours; the first is the one `provision` creates.
TYPES: Mapping[FieldKind, tuple[str, ...]] = MappingProxyType(
    {
        "number": ("double", "int", "percent", "currency"),
        "tier": ("picklist", "string"),
        "text": ("string", "textarea"),
        "date": ("date", "datetime"),
        "datetime": ("datetime", "date"),
    }
)
PROVISION = "run `bellwether provision --apply`, or ask an administrator"
DIGITS = 3  # before the decimal point: scores reach 100


def drifts(
    fields: Mapping[str, Field], names: Mapping[str, str], tiers: Mapping[str, str], seen: Mapping[str, Described]
) -> Iterator[Drift]:
    """`fields`, and `names` of those that are used, by our name; `seen`: by the org's name in lower case."""
    ours = {name.lower() for name in names.values()}
    for key, name in names.items():
        described = seen.get(name.lower())
        found = (
            _gone(fields[key], name, (one for lower, one in seen.items() if lower not in ours))
            if described is None
            else _changed(fields[key], described, tiers)
        )
        if found:
            message, remedy, effect = found
            yield Drift(key, f"{name} {message}", remedy, effect)


def lacking(described: Described, tiers: Mapping[str, str]) -> list[str]:
    """Tier values that a picklist does not offer, or offers no more."""
    if described.get("type") != "picklist":
        return []
    options = described.get("picklistValues") or ()
    active = {option.get("value") for option in options if option.get("active", True)}
    return [value for value in tiers.values() if value not in active]


def restricted(described: Described) -> bool:
    """Whether a picklist refuses values that it does not offer."""
    return described.get("type") == "picklist" and bool(described.get("restrictedPicklist", True))


_Found = tuple[str, str, Any]


def _gone(field: Field, name: str, others: Iterator[Described]) -> _Found:
    for other in others:
        if other.get("label") == field.label and other.get("type") in TYPES[field.kind] and other.get("custom"):
            remedy = f"if it was renamed, set fields: {{{field.key}: {other['name']}}}; otherwise {PROVISION}"
            return f"is gone, while {other['name']} has its label {field.label!r}", remedy, "left out"
    return "is missing, or hidden from the integration user", PROVISION, "left out"


def _changed(field: Field, described: Described, tiers: Mapping[str, str]) -> _Found | None:
    kind, wanted = described.get("type"), TYPES[field.kind][0]
    if described.get("calculated"):
        return "is a formula, which nobody can write to", "name another field in `fields`", "left out"
    if kind not in TYPES[field.kind]:
        remedy = f"make a new field of type {wanted}, or name another field in `fields`"
        return f"is of type {kind}, not {wanted}", remedy, "left out"
    if not described.get("updateable"):
        return "cannot be edited", f"give the integration user edit access to it; {PROVISION}", "left out"
    return _smaller(field, described) or (_poorer(described, tiers) if field.kind == "tier" else None)


def _smaller(field: Field, described: Described) -> _Found | None:
    length, scale = int(described.get("length") or 0), int(described.get("scale") or 0)
    precision = int(described.get("precision") or 0)
    if field.kind == "number" and 0 < precision < DIGITS + scale:
        remedy = f"give it {DIGITS} digits before the decimal point"
        return f"is too small for 100: {precision} digits, {scale} of them decimals", remedy, "left out"
    if field.kind == "number" and scale < field.scale:
        return f"has {scale} decimals where {field.scale} are worked out", "give it more, or leave it so", "cut"
    if field.kind == "text" and 0 < length < field.length:
        return f"holds {length} characters where {field.length} are meant", "make it longer, or leave it so", "cut"
    return None


def _poorer(described: Described, tiers: Mapping[str, str]) -> _Found | None:
    values = lacking(described, tiers)
    if not values:
        return None
    remedy = f"{PROVISION} to add it to the picklist; or rename it in tier_values"
    return f"lacks the value {', '.join(values)}", remedy, "blank" if restricted(described) else "cut"

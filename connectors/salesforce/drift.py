"""What has become of our fields on Account since they were made, as one describe tells it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from connectors.base import Drift, Field, FieldKind
from connectors.drift import Described, Judge

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


def _changed(field: Field, described: Described, tiers: Mapping[str, str]) -> Drift | None:
    kind, wanted = described.get("type"), TYPES[field.kind][0]
    if described.get("calculated"):
        return Drift("", "is a formula, which nobody can write to", "name another field in `fields`", "left out", True)
    if kind not in TYPES[field.kind]:
        remedy = f"make a new field of type {wanted}, or name another field in `fields`"
        return Drift("", f"is of type {kind}, not {wanted}", remedy, "left out", True)
    if not described.get("updateable"):
        return Drift("", "cannot be edited", f"give the integration user edit access to it; {PROVISION}", "left out")
    return _smaller(field, described) or (_poorer(described, tiers) if field.kind == "tier" else None)


def _smaller(field: Field, described: Described) -> Drift | None:
    length, scale = int(described.get("length") or 0), int(described.get("scale") or 0)
    precision = int(described.get("precision") or 0)
    if field.kind == "number" and 0 < precision < DIGITS + scale:
        words = f"is too small for 100: {precision} digits, {scale} of them decimals"
        return Drift("", words, f"give it {DIGITS} digits before the decimal point", "left out", True)
    if field.kind == "number" and scale < field.scale:
        words = f"has {scale} decimals where {field.scale} are worked out"
        return Drift("", words, "give it more, or leave it so", "cut", True)
    if field.kind == "text" and 0 < length < field.length:
        words = f"holds {length} characters where {field.length} are meant"
        return Drift("", words, "make it longer, or leave it so", "cut", True)
    return None


def _poorer(described: Described, tiers: Mapping[str, str]) -> Drift | None:
    values = lacking(described, tiers)
    if not values:
        return None
    remedy = f"{PROVISION} to add it to the picklist; or rename it in tier_values"
    return Drift("", f"lacks the value {', '.join(values)}", remedy, "blank" if restricted(described) else "cut")


JUDGE = Judge(TYPES, Drift("", "is missing, or hidden from the integration user", PROVISION, "left out"), _changed)

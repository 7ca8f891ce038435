"""What has become of our company properties since they were made, as one list of definitions tells it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from connectors.base import Drift, Field, FieldKind
from connectors.drift import Described, Judge

# The property types that can hold ours; the first is the one `provision` creates.
TYPES: Mapping[FieldKind, tuple[str, ...]] = MappingProxyType(
    {
        "number": ("number",),
        "tier": ("enumeration", "string"),
        "text": ("string",),
        "date": ("date",),
        "datetime": ("datetime",),
    }
)
PROVISION = "run `bellwether provision --apply`, or create it by hand"


def lacking(described: Described, tiers: Mapping[str, str]) -> list[str]:
    """Tier values that a list property does not offer."""
    if described.get("type") != "enumeration":
        return []
    offered = {option.get("value") for option in described.get("options") or ()}
    return [value for value in tiers.values() if value not in offered]


def _changed(field: Field, described: Described, tiers: Mapping[str, str]) -> Drift | None:
    kind, wanted = described.get("type"), TYPES[field.kind][0]
    # "calculated" is told of HubSpot's own properties only
    if described.get("calculationFormula") or str(described.get("fieldType")).startswith("calculation"):
        words = "is a calculation, which nobody can write to"
        return Drift("", words, "name another property in `fields`", "left out", True)
    if kind not in TYPES[field.kind]:
        remedy = f"make a new property of type {wanted}, or name another one in `fields`"
        return Drift("", f"is of type {kind}, not {wanted}", remedy, "left out", True)
    rights = described.get("modificationMetadata") or {}
    if rights.get("readOnlyValue") or described.get("calculated"):
        return Drift("", "is read-only", "name another property in `fields`", "left out", True)
    values = lacking(described, tiers) if field.kind == "tier" else []
    if values:
        words = f"lacks the option {', '.join(values)}"
        return Drift("", words, f"{PROVISION}; or rename it in tier_values", "blank")
    return None


JUDGE = Judge(TYPES, Drift("", "does not exist", PROVISION, "left out"), _changed)

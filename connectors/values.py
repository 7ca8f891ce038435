"""Field values as a CRM holds them: the one canonical form of a number, tier, text, day and moment.

Wanted, confirmed and present values are compared in this form, so every rule here is idempotent:
`canonical(canonical(x)) == canonical(x)`. Days and moments are ISO 8601 text, which JSON can hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from connectors.base import FIELDS, Field, FieldKind, FieldValue
from connectors.errors import RowWrong

TIERS = ("green", "yellow", "red")
LONGEST_LABEL = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = 1e15  # beyond this a double has no decimal places worth rounding


def canonical(field: Field, value: FieldValue, *, tiers: Mapping[str, str]) -> FieldValue:
    """`value` as a field like `field` holds it. `tiers`: our tier -> the vendor's picklist value.

    Text that is not of the field's kind (a person's own words in a text field that should be a number) stays
    as it is. Raises `RowWrong` for a number that is not finite.
    """
    if isinstance(value, str):
        value = " ".join(value.split())
    if value is None or value == "":
        return None
    if field.kind == "tier":
        return _tier(str(value), tiers)
    if field.kind == "number":
        return _number(value, field.scale)
    if field.kind == "text":
        return cut(value if isinstance(value, str) else str(value), field.length)
    return _dated(value, field.kind)


def _tier(text: str, tiers: Mapping[str, str]) -> str:
    """The picklist value that a text stands for: one of them, or a tier of ours, or either in other letters.

    A field that takes any text holds what people type, and other systems carry labels about instead of values.
    """
    if text in tiers.values():
        return text
    if text in tiers:
        return tiers[text]
    meant = {name.casefold(): value for tier, value in tiers.items() for name in (tier, value)}
    values = {value.casefold(): value for value in tiers.values()}
    return {**meant, **values}.get(text.casefold(), text)


def _number(value: FieldValue, scale: int) -> FieldValue:
    if isinstance(value, str):
        parsed = as_number(value)
        return value if parsed is None else rounded(parsed, scale)
    if isinstance(value, float | int):
        return rounded(value, scale)
    return value


def rounded(value: float, scale: int) -> float:
    """Half away from zero on the decimal digits that people see, as CRMs do; never minus zero."""
    if not math.isfinite(value):
        raise RowWrong("a value is not a finite number", code="NOT_A_NUMBER")
    if abs(value) >= _WHOLE:
        return float(value)
    step = Decimal(1).scaleb(-scale)
    return float(Decimal(repr(float(value))).quantize(step, rounding=ROUND_HALF_UP)) + 0.0


def cut(text: str, length: int) -> str:
    """At most `length` characters, cut at the end of a word and closed with an ellipsis."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    if text[length - 1] != " " and " " in head:
        head = head.rsplit(" ", 1)[0]
    return head.rstrip(" ,;:") + "…"


def _dated(value: FieldValue, kind: FieldKind) -> FieldValue:
    moment = as_moment(value)
    if moment is None:
        return value
    return moment.date().isoformat() if kind == "date" else utc_text(moment)


def utc_text(moment: datetime) -> str:
    """A moment in UTC, to the second: `2026-11-20T03:00:00Z`."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def as_moment(value: object) -> datetime | None:
    """A day, moment, ISO text or text of milliseconds since 1970 as a moment in UTC; else None."""
    try:
        if isinstance(value, str):
            if value.isascii() and value.lstrip("-").isdigit() and len(value) > 8:
                return _EPOCH + timedelta(milliseconds=int(value))
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return None


def as_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def day_number(value: object) -> float | None:
    """Days since 1970-01-01 of a day or moment; None when it is neither."""
    moment = as_moment(value)
    return None if moment is None else float((moment - _EPOCH).days)


def label(value: object) -> str | None:
    """A closed word for an event's label; None when blank."""
    return " ".join(str(value).split())[:LONGEST_LABEL].rstrip() or None


def known_fields(context: object) -> tuple[Field, ...]:
    """The fields that records have, where whoever validates settings hands them on as the context; else `FIELDS`."""
    return context if isinstance(context, tuple) else FIELDS


def field_names(
    fields: Iterable[Field],
    names: Mapping[str, str | None],
    *,
    default: Callable[[str], str],
    valid: Callable[[str], object],
) -> dict[str, str]:
    """Our field -> its name there, those set to None left out. Raises `ValueError` in plain words."""
    keys = [field.key for field in fields]
    unknown = sorted(set(names) - set(keys))
    if unknown:
        raise ValueError(f"there is no field {unknown[0][:40]!r} (there are: {', '.join(keys)})")
    chosen = {key: name for key in keys if (name := names.get(key, default(key))) is not None}
    for key, name in chosen.items():
        if not valid(name):
            raise ValueError(f"the name of {key} is not a field name of this CRM")
    if len({name.lower() for name in chosen.values()}) < len(chosen):
        raise ValueError("two of the fields have the same name; each needs its own")
    return chosen


def tier_names(values: Mapping[str, str]) -> dict[str, str]:
    """Our tier -> the picklist value, defaults filled in. Raises `ValueError` in words for a person."""
    unknown = sorted(set(values) - set(TIERS))
    if unknown:
        raise ValueError(f"there is no tier {unknown[0][:40]!r} (there are: {', '.join(TIERS)})")
    chosen = {tier: " ".join(values.get(tier, tier).split()) for tier in TIERS}
    if not all(chosen.values()) or len({value.lower() for value in chosen.values()}) < len(TIERS):
        raise ValueError("every tier needs a value of its own")
    for tier, value in chosen.items():
        if value in TIERS and value != tier:
            raise ValueError(f"calling {tier} {value!r} would be read as another tier")
    return chosen

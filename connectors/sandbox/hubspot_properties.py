"""Properties of the simulated HubSpot account: their definitions, and what a value becomes when it is held.

Every value is text; a blank one is unset. Details of a refused value travel as JSON inside the error's message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

TYPES = ("bool", "date", "datetime", "enumeration", "number", "phone_number", "string")
FIELD_TYPES = {
    "bool": ("booleancheckbox", "calculation_equation"),
    "date": ("date",),
    "datetime": ("date",),
    "enumeration": ("booleancheckbox", "checkbox", "radio", "select", "calculation_equation"),
    "number": ("number", "calculation_equation"),
    "phone_number": ("phonenumber",),
    "string": ("text", "textarea", "file", "html", "phonenumber", "calculation_equation"),
}
NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
LONGEST = 65_536
MIDNIGHT = 86_400_000


class ValueRefused(Exception):
    """A value this property cannot hold: the vendor's code and words."""

    def __init__(self, code: str, message: str, name: str) -> None:
        super().__init__(message)
        self.code, self.message, self.name = code, message, name

    def detail(self) -> dict[str, Any]:
        """One entry of the list inside the error's message."""
        return {
            "isValid": False,
            "message": self.message,
            "error": self.code,
            "name": self.name,
            "localizedErrorMessage": self.message,
        }


@dataclass(frozen=True)
class Property:
    """A property of companies. `options`: value and label. `external`: its options come from elsewhere."""

    name: str
    label: str
    type: str
    field_type: str
    group: str = "companyinformation"
    description: str = ""
    options: tuple[dict[str, Any], ...] = ()
    read_only: bool = False
    unique: bool = False
    external: bool = False
    built_in: bool = True
    made: datetime | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def stamped(moment: datetime) -> str:
    """A date and time as the API writes it: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def held(one: Property, value: Any) -> str:
    """The value as the account holds it ("" for unset); raises `ValueRefused`."""
    if one.read_only:
        message = f'"{one.name}" is a read only property; its value cannot be set.'
        raise ValueRefused("READ_ONLY_VALUE", message, one.name)
    if value is None or value == "":
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    match one.type:
        case "number":
            return _number(one, text)
        case "enumeration" | "bool":
            return _option(one, text)
        case "date" | "datetime":
            return _moment(one, text)
    if len(text) > LONGEST:
        raise ValueRefused("PROPERTY_VALUE_TOO_LONG", f"The value is longer than {LONGEST}.", one.name)
    return text


def _number(one: Property, text: str) -> str:
    try:
        finite = Decimal(text).is_finite()
    except InvalidOperation:
        finite = False
    if not finite or "_" in text:
        raise ValueRefused("INVALID_NUMBER", f"{text} was not a valid number.", one.name)
    return text.strip()


def _option(one: Property, text: str) -> str:
    if one.external and not one.options:
        return text
    allowed = ["true", "false"] if one.type == "bool" else [option["value"] for option in one.options]
    chosen = text.split(";") if one.field_type == "checkbox" else [text]
    for value in chosen:
        if value not in allowed:
            message = f"{value} was not one of the allowed options: [{', '.join(allowed)}]"
            raise ValueRefused("INVALID_OPTION", message, one.name)
    return text


def _moment(one: Property, text: str) -> str:
    """ISO 8601 or milliseconds since 1970; a date must be a midnight in UTC."""
    try:
        moment = _read(text)
    except (ValueError, OverflowError) as error:
        raise ValueRefused("INVALID_DATE", f"{text} was not a valid date.", one.name) from error
    if one.type == "datetime":
        return stamped(moment)
    if int(moment.timestamp() * 1000) % MIDNIGHT:
        raise ValueRefused("INVALID_DATE", f"{text} is at {moment:%H:%M:%S} UTC, not midnight!", one.name)
    return moment.date().isoformat()


def _read(text: str) -> datetime:
    if re.fullmatch(r"-?\d{6,}", text):
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def described(one: Property) -> dict[str, Any]:
    """The definition as the properties API writes it."""
    body: dict[str, Any] = {
        "name": one.name,
        "label": one.label,
        "type": one.type,
        "fieldType": one.field_type,
        "description": one.description,
        "groupName": one.group,
        "options": [dict(option) for option in one.options],
        "displayOrder": -1,
        "calculated": False,
        "externalOptions": one.external,
        "hasUniqueValue": one.unique,
        "hidden": False,
        "modificationMetadata": {
            "archivable": True,
            "readOnlyDefinition": one.built_in,
            "readOnlyValue": one.read_only,
        },
        "formField": False,
        "dataSensitivity": "non_sensitive",
    }
    if one.made is not None:
        body |= {"createdAt": stamped(one.made), "updatedAt": stamped(one.made), "archived": False}
    return body | ({"hubspotDefined": True} if one.built_in else {}) | dict(one.more)


def from_request(wanted: Mapping[str, Any], groups: Sequence[str], now: datetime) -> Property | str:
    """The property that a create request asks for, or what is wrong with it."""
    for name in ("name", "label", "type", "fieldType", "groupName"):
        if not isinstance(wanted.get(name), str) or not wanted[name]:
            return f"Required field '{name}' is missing"
    kind = wanted["type"]
    if not NAME.fullmatch(wanted["name"]):
        return f"Property name {wanted['name']} may hold lower-case letters, digits and underscores only"
    if kind not in TYPES or wanted["fieldType"] not in FIELD_TYPES[kind]:
        return f"Property type {kind} and fieldType {wanted['fieldType']} do not go together"
    if wanted["groupName"] not in groups:
        return f"Property group {wanted['groupName']} does not exist"
    wrong = wrong_options(wanted.get("options") or [])
    if wrong:
        return wrong
    return Property(
        wanted["name"],
        wanted["label"],
        kind,
        wanted["fieldType"],
        group=wanted["groupName"],
        description=wanted.get("description") or "",
        options=tuple(wanted.get("options") or ()),
        unique=bool(wanted.get("hasUniqueValue")),
        external=bool(wanted.get("externalOptions")),
        built_in=False,
        made=now,
        more={key: wanted[key] for key in ("formField", "hidden", "displayOrder") if key in wanted},
    )


def wrong_options(options: Any) -> str:
    """What is wrong with the options of a property ("" if nothing is)."""
    if not isinstance(options, list):
        return "options must be a list"
    values, labels = set(), set()
    for option in options:
        missing = [key for key in ("label", "value", "hidden") if key not in option]
        if missing:
            return f"Option is missing {missing[0]}"
        if option["value"] in values or option["label"] in labels:
            return f"Option {option['value']} is there twice"
        values.add(option["value"])
        labels.add(option["label"])
    return ""

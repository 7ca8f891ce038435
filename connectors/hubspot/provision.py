"""What has to be made in an account before scores can be written: a property group, properties, and tier options.

Nothing is ever deleted or renamed; an option that is missing is added to those that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from connectors.base import Change, Field
from connectors.hubspot.client import Client, Refused
from connectors.hubspot.drift import Described, lacking
from connectors.hubspot.fields import Fields
from connectors.hubspot.settings import Settings

ALREADY = ("CONFLICT", "OBJECT_ALREADY_EXISTS", "PROPERTY_EXISTS")
OPTION = ("label", "value", "displayOrder", "hidden", "description")
INPUTS = {"number": "number", "enumeration": "select", "string": "text", "date": "date", "datetime": "date"}


class Provision:
    """Compares an account with the settings and says what is missing."""

    def __init__(self, client: Client, fields: Fields, settings: Settings) -> None:
        self._client, self._fields, self._settings = client, fields, settings
        self._path = f"/crm/properties/{client.date}/companies"

    def plan(self) -> list[Change]:
        """The missing steps, in order; empty when every property of ours is there with its options."""
        described = self._fields.described(refresh=True)
        missing = [key for key, name in self._fields.names.items() if name not in described]
        changes = [*([self._group()] if missing and not self._has_group() else []), *map(self._creation, missing)]
        return [*changes, *self._options(described)]

    def _options(self, described: Mapping[str, Described]) -> Iterator[Change]:
        for key, name in self._fields.names.items():
            tier = described.get(name) if self._fields.by_key[key].kind == "tier" else None
            if tier and (values := lacking(tier, self._fields.tiers)):
                what = f"add the option{'s' * (len(values) > 1)} {', '.join(values)} to {name}"
                yield Change(what, partial(self._add_options, tier, values))

    def _has_group(self) -> bool:
        answer = self._client.get(f"{self._path}/groups", label="setup")
        return any(one.get("name") == self._settings.group for one in answer.get("results") or ())

    def _group(self) -> Change:
        body = {"name": self._settings.group, "label": self._settings.group_label, "displayOrder": -1}
        what = f"create the property group {self._settings.group_label} ({self._settings.group})"
        return Change(what, partial(self._make, f"{self._path}/groups", body))

    def _creation(self, key: str) -> Change:
        field, name = self._fields.by_key[key], self._fields.names[key]
        body = {"name": name, "groupName": self._settings.group, **definition(field, self._fields.tiers)}
        what = f"create the company property {name} ({field.label}: {body['type']})"
        return Change(what, partial(self._make, self._path, body))

    def _add_options(self, described: Described, values: list[str]) -> None:
        kept = [
            {name: value for name, value in option.items() if name in OPTION and value is not None}
            for option in described.get("options") or ()
        ]
        body = {"options": kept + options(values, first=len(kept))}
        self._client.patch(f"{self._path}/{described['name']}", body, label="setup")

    def _make(self, path: str, body: Mapping[str, Any]) -> None:
        """Create; what is there already (an answer was lost, another run was faster) is as good as made."""
        try:
            self._client.post(path, body, label="setup")
        except Refused as error:
            if error.code not in ALREADY:
                raise


def options(values: list[str], *, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"label": value[:1].upper() + value[1:], "value": value, "displayOrder": first + n, "hidden": False}
        for n, value in enumerate(values)
    ]


def definition(field: Field, tiers: Mapping[str, str]) -> dict[str, Any]:
    """A field of ours in the words of HubSpot's properties API."""
    kind = {"number": "number", "tier": "enumeration", "text": "string"}.get(field.kind, field.kind)
    common = {
        "label": field.label,
        "description": f"{field.help} Written by Bellwether.",
        "type": kind,
        "fieldType": INPUTS[kind],
        "hasUniqueValue": False,
        "formField": False,
    }
    return {**common, "options": options(list(tiers.values()))} if field.kind == "tier" else common

"""Our properties as the account describes them, and values in the form HubSpot holds and sends them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from connectors.base import FIELDS, Field, FieldKind, FieldValue
from connectors.errors import as_expected
from connectors.hubspot.client import Client
from connectors.hubspot.settings import Settings
from connectors.values import canonical

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
Described = Mapping[str, Any]


class Fields:
    """Property definitions are read once and again when asked; thread-safe."""

    def __init__(self, client: Client, settings: Settings, fields: Sequence[Field] = FIELDS) -> None:
        self._client, self.names, self.tiers = client, settings.names(fields), settings.tiers
        self.by_key: Mapping[str, Field] = {field.key: field for field in fields}
        self._described: Mapping[str, Described] | None = None
        self._lock = threading.Lock()

    def described(self, *, refresh: bool = False) -> Mapping[str, Described]:
        """The definitions of company properties by name."""
        with self._lock:
            if self._described is None or refresh:
                path = f"/crm/properties/{self._client.date}/companies"
                answer = self._client.get(path, label="read", query={"archived": "false"})
                with as_expected(self._client.place):
                    self._described = {str(one["name"]): one for one in answer.get("results") or ()}
            return self._described

    def canonical(self, key: str, value: FieldValue) -> FieldValue:
        """`value` as a company holds it; None for a field that the settings leave out."""
        return canonical(self.by_key[key], value, tiers=self.tiers) if key in self.names else None

    def record(self, values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
        """Canonical values of our fields, those that are left out of the settings dropped."""
        return {key: self.canonical(key, value) for key, value in values.items() if key in self.names}

    def present(self, properties: Mapping[str, Any]) -> dict[str, FieldValue]:
        """Canonical values of those of our properties that an answer holds."""
        held = {key: properties[name] for key, name in self.names.items() if name in properties}
        return {key: self.canonical(key, value) for key, value in held.items()}


def as_text(value: FieldValue) -> str:
    """A canonical value as the API takes it: always text, and empty to clear."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)

"""Our properties as the account describes them, and values in the form HubSpot holds and sends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from connectors.base import FIELDS, Drift, Field, FieldValue
from connectors.drift import Described, checked, fingerprint, without
from connectors.errors import as_expected
from connectors.hubspot.client import Client, results
from connectors.hubspot.drift import JUDGE, lacking
from connectors.hubspot.settings import Settings
from connectors.recent import Recent
from connectors.values import canonical


class _Known(NamedTuple):
    """Company properties by name, those of ours that are not as they should be, and the tiers our lists refuse."""

    described: Mapping[str, Described]
    drifts: Sequence[Drift]
    refused: Mapping[str, Sequence[str]]


class Fields:
    """Property definitions are read once and again when asked; thread-safe."""

    def __init__(self, client: Client, settings: Settings, fields: Sequence[Field] = FIELDS) -> None:
        self._client, self.names, self.tiers = client, settings.names(fields), settings.tiers
        self.by_key: Mapping[str, Field] = {field.key: field for field in fields}
        self._known = Recent(self._read, client.tools.clock)

    def _read(self) -> _Known:
        path = f"/crm/properties/{self._client.date}/companies"
        answer = self._client.get(path, label="read", query={"archived": "false"})
        with as_expected(self._client.place):
            described = {str(one["name"]): one for one in results(answer, self._client.place)}
            tiers = [key for key, name in self.names.items() if self.by_key[key].kind == "tier" and name in described]
            refused = {key: lacking(described[self.names[key]], self.tiers) for key in tiers}
            return _Known(described, JUDGE.drifts(self.by_key, self.names, self.tiers, described), refused)

    def described(self, *, refresh: bool = False) -> Mapping[str, Described]:
        """The definitions of company properties by name."""
        return self._known.get(refresh=refresh).described

    def shape(self) -> str:
        described = self.described()
        return fingerprint(self.names, self.tiers, {key: described.get(name) for key, name in self.names.items()})

    def drifts(self) -> Sequence[Drift]:
        """Our properties that are not as they should be."""
        return self._known.get().drifts

    def drift(self, *, since: datetime) -> Sequence[Drift]:
        """See `Destination.drift`."""
        return checked(self._known.get(since=since).drifts, self.names, place=self._client.place)

    def usable(self) -> dict[str, str]:
        """Our field -> its property, without those of which it is known that they cannot be written."""
        return without(self._known.last.drifts if self._known.last else (), self.names)

    def canonical(self, key: str, value: FieldValue) -> FieldValue:
        """`value` as a company holds it; None for a field that the settings leave out, and for a tier that the
        property is known to refuse.
        """
        if key not in self.names:
            return None
        found = canonical(self.by_key[key], value, tiers=self.tiers)
        known = self._known.last
        return None if known and found in known.refused.get(key, ()) else found

    def record(self, values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
        """Canonical values of our fields, those that are left out of the settings dropped."""
        return {key: self.canonical(key, value) for key, value in values.items() if key in self.names}

    def present(self, properties: Mapping[str, Any]) -> dict[str, FieldValue]:
        """Canonical values of those of our properties that an answer holds."""
        held = {key: properties[name] for key, name in self.usable().items() if name in properties}
        return {key: self.canonical(key, value) for key, value in held.items()}


def as_text(value: FieldValue) -> str:
    """A canonical value as the API takes it: always text, and empty to clear."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)

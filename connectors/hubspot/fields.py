"""Our properties as the account describes them, and values in the form HubSpot holds and sends them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.base import FIELDS, Drift, Field, FieldValue
from connectors.drift import fingerprint
from connectors.errors import as_expected
from connectors.hubspot.client import Client, results
from connectors.hubspot.drift import Described, drifts, lacking
from connectors.hubspot.settings import Settings
from connectors.values import canonical


class Fields:
    """Property definitions are read once and again when asked; thread-safe."""

    def __init__(self, client: Client, settings: Settings, fields: Sequence[Field] = FIELDS) -> None:
        self._client, self.names, self.tiers = client, settings.names(fields), settings.tiers
        self.by_key: Mapping[str, Field] = {field.key: field for field in fields}
        self._described: Mapping[str, Described] | None = None
        self._described_at: datetime | None = None
        self._drifts: Sequence[Drift] = ()
        self._refused: Mapping[str, Sequence[str]] = {}  # tier values that the account's lists would refuse
        self._lock = threading.Lock()

    def described(self, *, refresh: bool = False, since: datetime | None = None) -> Mapping[str, Described]:
        """The definitions of company properties by name.

        `refresh`: asked for anew; `since`: asked for anew unless it was since then.
        """
        with self._lock:
            stale = since is not None and (self._described_at is None or self._described_at < since)
            if self._described is None or refresh or stale:
                moment, path = self._client.tools.clock.now(), f"/crm/properties/{self._client.date}/companies"
                answer = self._client.get(path, label="read", query={"archived": "false"})
                with as_expected(self._client.place):
                    self._learn({str(one["name"]): one for one in results(answer, self._client.place)})
                self._described_at = moment
            return self._described or {}

    def _learn(self, described: Mapping[str, Described]) -> None:
        drifted = list(drifts(self.by_key, self.names, self.tiers, described))
        tiers = {key: name for key, name in self.names.items() if self.by_key[key].kind == "tier" and name in described}
        self._refused = {key: lacking(described[name], self.tiers) for key, name in tiers.items()}
        self._drifts, self._described = drifted, described

    def shape(self) -> str:
        described = self.described()
        return fingerprint(self.names, self.tiers, {key: described.get(name) for key, name in self.names.items()})

    def drifts(self, *, since: datetime | None = None, refresh: bool = False) -> Sequence[Drift]:
        """Our properties that are not as they should be."""
        self.described(since=since, refresh=refresh)
        return self._drifts

    def usable(self) -> dict[str, str]:
        """Our field -> its property, without those of which it is known that they cannot be written."""
        out = {one.field for one in self._drifts if one.effect == "left out"}
        return {key: name for key, name in self.names.items() if key not in out}

    def canonical(self, key: str, value: FieldValue) -> FieldValue:
        """`value` as a company holds it; None for a field that the settings leave out, and for a tier that the
        property is known to refuse.
        """
        if key not in self.names:
            return None
        found = canonical(self.by_key[key], value, tiers=self.tiers)
        return None if found in self._refused.get(key, ()) else found

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

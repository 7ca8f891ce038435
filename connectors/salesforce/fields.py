"""Our fields on Account as the org describes them, and values in the form the org holds them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from connectors.base import FIELDS, Drift, Field, FieldValue
from connectors.drift import fingerprint
from connectors.errors import as_expected
from connectors.salesforce.client import Client
from connectors.salesforce.drift import TYPES, Described, drifts, lacking, restricted
from connectors.salesforce.settings import Settings
from connectors.values import canonical

HISTORIES = "Histories"  # the history rows of an account, by what describe calls them


class Fields:
    """The describe of Account is read once and again with every reading of the accounts; thread-safe."""

    def __init__(self, client: Client, settings: Settings, fields: Sequence[Field] = FIELDS) -> None:
        self._client, self.names, self.tiers = client, settings.names(fields), settings.tiers
        self.by_key: Mapping[str, Field] = {field.key: field for field in fields}
        self._described: Mapping[str, Described] | None = None
        self._described_at: datetime | None = None
        self._held: Mapping[str, Field] = {}  # our fields as the org's own hold them
        self._drifts: Sequence[Drift] = ()
        self._refused: Mapping[str, Sequence[str]] = {}  # tier values that the org's picklists would refuse
        self._tracks = False
        self._lock = threading.Lock()

    def described(self, *, refresh: bool = False, since: datetime | None = None) -> Mapping[str, Described]:
        """What the integration user can see of Account, by field name in lower case.

        `refresh`: asked for anew; `since`: asked for anew unless it was since then.
        """
        with self._lock:
            stale = since is not None and (self._described_at is None or self._described_at < since)
            if self._described is None or refresh or stale:
                moment = self._client.tools.clock.now()
                answer = self._client.document("sobjects/Account/describe", label="read")
                with as_expected(self._client.place):
                    self._learn({str(field["name"]).lower(): field for field in answer.get("fields") or ()})
                    related = answer.get("childRelationships") or ()
                    self._tracks = any(one.get("relationshipName") == HISTORIES for one in related)
                self._described_at = moment
            return self._described or {}

    def _learn(self, described: Mapping[str, Described]) -> None:
        found = {key: described.get(name.lower()) for key, name in self.names.items()}
        held = {key: _held(self.by_key[key], one) for key, one in found.items()}
        drifted = list(drifts(self.by_key, self.names, self.tiers, described))
        self._refused = {key: lacking(one, self.tiers) for key, one in found.items() if one and restricted(one)}
        self._held, self._drifts, self._described = held, drifted, described

    def shape(self) -> str:
        described = self.described()
        return fingerprint(
            self.names, self.tiers, {key: described.get(name.lower()) for key, name in self.names.items()}
        )

    def drifts(self, *, since: datetime | None = None, refresh: bool = False) -> Sequence[Drift]:
        """Our fields that are not as they should be."""
        self.described(since=since, refresh=refresh)
        return self._drifts

    def usable(self, *, refresh: bool = False) -> dict[str, str]:
        """Our field -> its name, for those that can be seen and written."""
        self.described(refresh=refresh)
        out = {one.field for one in self._drifts if one.effect == "left out"}
        return {key: name for key, name in self.names.items() if key not in out}

    def tracks(self) -> bool:
        """Whether this org keeps a history of accounts that we may read."""
        self.described()
        return self._tracks

    def canonical(self, key: str, value: FieldValue) -> FieldValue:
        """`value` in the form the org's own field holds: its scale, length and kind of date.

        None for a field that the settings leave out, and for a tier that the picklist refuses: a record holds
        nothing of it.
        """
        if key not in self.names:
            return None
        if not self._held:
            self.described()
        found = canonical(self._held[key], value, tiers=self.tiers)
        return None if found in self._refused.get(key, ()) else found

    def means(self, key: str, value: FieldValue, present: FieldValue) -> bool:
        """Whether `value` stands for what the field holds: in a history, a picklist may be told by its label."""
        held = self.canonical(key, present)
        described = self.described().get(self.names[key].lower()) or {}
        labels = [one.get("label") for one in described.get("picklistValues") or () if one.get("value") == held]
        return any(self.canonical(key, one) == self.canonical(key, value) for one in [held, *labels])

    def record(self, values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
        """Canonical values of our fields, those that are left out of the settings dropped."""
        return {key: self.canonical(key, value) for key, value in values.items() if key in self.names}


def _held(field: Field, described: Described | None) -> Field:
    if described is None:
        return field
    kind = str(described.get("type"))
    if field.kind == "number" and kind in TYPES["number"]:
        return replace(field, scale=min(field.scale, int(described.get("scale") or 0)))
    if field.kind == "text" and described.get("length"):
        return replace(field, length=min(field.length, int(described["length"])))
    if field.kind in ("date", "datetime") and kind in ("date", "datetime"):
        return replace(field, kind="date" if kind == "date" else "datetime")
    return field

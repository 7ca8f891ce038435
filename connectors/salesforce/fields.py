"""Our fields on Account as the org describes them, and values in the form the org holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from connectors.base import FIELDS, Drift, Field, FieldValue
from connectors.drift import Described, checked, fingerprint, without
from connectors.errors import as_expected
from connectors.recent import Recent
from connectors.salesforce.client import Client
from connectors.salesforce.drift import JUDGE, TYPES, lacking, restricted
from connectors.salesforce.settings import Settings
from connectors.values import canonical

HISTORIES = "Histories"  # the history rows of an account, by what describe calls them


class _Known(NamedTuple):
    """What the integration user can see of Account, and what that means for our fields.

    `described`: by field name in lower case; `held`: our fields as the org's own hold them; `refused`: tier values that
    the org's picklists would refuse; `tracks`: whether there is a history of accounts that we may read.
    """

    described: Mapping[str, Described]
    held: Mapping[str, Field]
    drifts: Sequence[Drift]
    refused: Mapping[str, Sequence[str]]
    tracks: bool


class Fields:
    """The describe of Account is read once and again with every reading of the accounts; thread-safe."""

    def __init__(self, client: Client, settings: Settings, fields: Sequence[Field] = FIELDS) -> None:
        self._client, self.names, self.tiers = client, settings.names(fields), settings.tiers
        self.by_key: Mapping[str, Field] = {field.key: field for field in fields}
        self._known = Recent(self._read, client.tools.clock)

    def _read(self) -> _Known:
        answer = self._client.document("sobjects/Account/describe", label="read")
        with as_expected(self._client.place):
            described = {str(field["name"]).lower(): field for field in answer.get("fields") or ()}
            related = answer.get("childRelationships") or ()
            found = self._ours(described)
            return _Known(
                described,
                held={key: _held(self.by_key[key], one) for key, one in found.items()},
                drifts=JUDGE.drifts(self.by_key, self.names, self.tiers, described),
                refused={key: lacking(one, self.tiers) for key, one in found.items() if one and restricted(one)},
                tracks=any(one.get("relationshipName") == HISTORIES for one in related),
            )

    def _ours(self, described: Mapping[str, Described]) -> dict[str, Described | None]:
        return {key: described.get(name.lower()) for key, name in self.names.items()}

    def described(self, *, refresh: bool = False) -> Mapping[str, Described]:
        """What the integration user can see of Account, by field name in lower case."""
        return self._known.get(refresh=refresh).described

    def shape(self) -> str:
        return fingerprint(self.names, self.tiers, self._ours(self.described()))

    def drifts(self) -> Sequence[Drift]:
        """Our fields that are not as they should be."""
        return self._known.get().drifts

    def drift(self, *, since: datetime) -> Sequence[Drift]:
        """See `Destination.drift`."""
        return checked(self._known.get(since=since).drifts, self.names, place=self._client.place)

    def usable(self, *, refresh: bool = False) -> dict[str, str]:
        """Our field -> its name, for those that can be seen and written."""
        return without(self._known.get(refresh=refresh).drifts, self.names)

    def tracks(self) -> bool:
        """Whether this org keeps a history of accounts that we may read."""
        return self._known.get().tracks

    def canonical(self, key: str, value: FieldValue) -> FieldValue:
        """`value` in the form the org's own field holds: its scale, length and kind of date.

        None for a field that the settings leave out, and for a tier that the picklist refuses: a record holds
        nothing of it.
        """
        if key not in self.names:
            return None
        known = self._known.last or self._known.get()
        found = canonical(known.held[key], value, tiers=self.tiers)
        return None if found in known.refused.get(key, ()) else found

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

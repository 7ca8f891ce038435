"""One line for each thing that can be wrong with an org, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connectors.base import Finding
from connectors.drift import Described
from connectors.errors import ConnectorError
from connectors.findings import failed
from connectors.salesforce.client import Client
from connectors.salesforce.drift import PROVISION
from connectors.salesforce.fields import Fields
from connectors.salesforce.provision import Provision
from connectors.salesforce.settings import Settings, is_path

HIDDEN = "field-level security hides it from the integration user; " + PROVISION

TRACK = "switch its tracking on in Object Manager > Account > Fields & Relationships > Set History Tracking"


class Checks:
    """Looks and changes nothing; an error becomes a finding."""

    def __init__(self, client: Client, fields: Fields, provision: Provision, settings: Settings) -> None:
        self._client, self._fields, self._provision, self._settings = client, fields, provision, settings
        self._place = client.place

    def run(self, *, where: str, attributes: Mapping[str, str]) -> Iterator[Finding]:
        try:
            _ = self._client.user_id
        except ConnectorError as error:
            yield failed(f"{self._place}.credential", error, "correct the sign-in settings")
            return
        yield self._finding("credential", True, "signed in")
        try:
            seen = self._fields.described(refresh=True)
        except ConnectorError as error:
            yield failed(f"{self._place}.api_version", error, "check api_version and access to Account")
            return
        yield self._finding("api_version", True, f"the data API {self._settings.api_version} answers")
        yield from self._our_fields(seen)
        yield from self._tracked()
        yield from self._read_fields(seen, attributes)
        if where:
            yield self._members(where)

    def _our_fields(self, seen: Mapping[str, Described]) -> Iterator[Finding]:
        names, drifted = self._fields.names, {one.field: one for one in self._fields.drifts()}
        unseen = [key for key in drifted if names[key].lower() not in seen]
        existing = self._existing() if unseen else set()
        for key, name in names.items():
            found = drifted.get(key)
            if found is None:
                yield self._finding(f"fields.{key}", True, f"{name} can be written")
            elif key in unseen and existing is not None and name.lower() in existing:
                yield self._finding(f"fields.{key}", False, f"{name} is hidden", HIDDEN)
            else:
                yield self._finding(f"fields.{key}", found.effect == "cut", found.message, found.remedy)

    def _tracked(self) -> Iterator[Finding]:
        """A warning when Salesforce does not note down who sets the tier, as far as the user may look at setup."""
        name = self._fields.usable().get("tier")
        soql = "SELECT IsFieldHistoryTracked FROM FieldDefinition WHERE EntityDefinition.QualifiedApiName = 'Account'"
        try:
            pages = self._client.query(f"{soql} AND QualifiedApiName = '{name}'", label="setup", path="tooling/query")
            tracked = [one.get("IsFieldHistoryTracked") for page in pages for one in page] if name else []
        except ConnectorError:
            return
        if False in tracked:
            words = f"{name} has no history: who changes it by hand is told only where nobody changes the account after"
            yield self._finding("fields.tier", True, words, TRACK)

    def _existing(self) -> set[str] | None:
        """Fields that exist though hidden; None when the user may not look at the org's setup."""
        try:
            return self._provision.existing()
        except ConnectorError:
            return None

    def _read_fields(self, seen: Mapping[str, Described], attributes: Mapping[str, str]) -> Iterator[Finding]:
        wanted = {f"accounts.attributes.{event}": path for event, path in attributes.items()}
        if self._settings.external_id_field:
            wanted[f"{self._place}.external_id_field"] = self._settings.external_id_field
        for place, path in wanted.items():
            problem = self._unreadable(path, seen)
            remedy = f"correct the name, or {HIDDEN}" if problem else ""
            yield Finding(place, not problem, problem or f"{path} can be read", remedy)

    def _unreadable(self, path: str, seen: Mapping[str, Described]) -> str:
        if not is_path(path):
            return "this is not the name of a Salesforce field"
        if "." not in path:
            return "" if path.lower() in seen else f"{path} is missing, or hidden"
        try:
            soql = f"SELECT {path} FROM Account LIMIT 1"
            self._client.call("query", label="read", params={"q": soql})
        except ConnectorError as error:
            return error.words
        return ""

    def _members(self, where: str) -> Finding:
        try:
            count = self._client.count(where)
        except ConnectorError as error:
            return failed("accounts.where", error, "correct the condition")
        told = f"{count} account{'' if count == 1 else 's'} in Salesforce meet{'s' if count == 1 else ''} it"
        remedy = "" if count else "correct the condition, or give the integration user access to the accounts"
        return Finding("accounts.where", count > 0, told, remedy)

    def _finding(self, what: str, ok: bool, message: str, remedy: str = "") -> Finding:
        return Finding(f"{self._place}.{what}", ok, message, remedy)

"""One line for each thing that can be wrong with an account, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from connectors.base import Finding
from connectors.errors import ConnectorError, RowWrong
from connectors.findings import failed
from connectors.hubspot.client import Client
from connectors.hubspot.fields import TYPES, Described, Fields
from connectors.hubspot.provision import Provision
from connectors.hubspot.settings import Settings
from connectors.hubspot.where import parse

PROVISION = "run `bellwether provision --apply`, or create it by hand"


class Checks:
    """Looks and changes nothing; an error becomes a finding."""

    def __init__(self, client: Client, fields: Fields, provision: Provision, settings: Settings) -> None:
        self._client, self._fields, self._provision, self._settings = client, fields, provision, settings
        self._place = client.place

    def run(self, *, where: str, attributes: Mapping[str, str]) -> Iterator[Finding]:
        try:
            described = self._fields.described(refresh=True)
        except ConnectorError as error:
            yield failed(f"{self._place}.access_token", error, "correct access_token, its scopes or api_date")
            return
        yield self._finding("access_token", True, "signed in; company properties can be read")
        yield self._may("read companies", self._read_one)
        yield self._may("write companies", self._write_none)
        for key, name in self._fields.names.items():
            problem, remedy = self._problem(key, described.get(name))
            yield self._finding(f"fields.{key}", not problem, f"{name} {problem or 'can be written'}", remedy)
        yield from self._read_properties(described, attributes)
        if where:
            yield self._members(where, described)

    def _may(self, what: str, attempt: Callable[[], None]) -> Finding:
        try:
            attempt()
        except ConnectorError as error:
            return failed(f"{self._place}.scopes", error, f"let the app {what}")
        return self._finding("scopes", True, f"may {what}")

    def _read_one(self) -> None:
        self._client.get(f"/crm/objects/{self._client.date}/companies", label="read", query={"limit": 1})

    def _write_none(self) -> None:
        """An update of no company changes nothing; without the scope even that is forbidden."""
        try:
            path = f"/crm/objects/{self._client.date}/companies/batch/update"
            self._client.batch(path, {"inputs": []}, label="setup")
        except RowWrong:
            return

    def _problem(self, key: str, described: Described | None) -> tuple[str, str]:
        if described is None:
            return "does not exist", PROVISION
        kind = self._fields.by_key[key].kind
        if described.get("type") not in TYPES[kind]:
            wanted = TYPES[kind][0]
            remedy = f"make a new property of type {wanted}, or name another one in `fields`"
            return f"is of type {described.get('type')}, not {wanted}", remedy
        rights = described.get("modificationMetadata") or {}
        if rights.get("readOnlyValue") or described.get("calculated"):
            return "is read-only", "name another property in `fields`"
        lacking = self._provision.lacking_options(described) if kind == "tier" else []
        if lacking:
            return f"lacks the option {', '.join(lacking)}", f"{PROVISION}; or rename it in tier_values"
        return "", ""

    def _read_properties(self, described: Mapping[str, Described], attributes: Mapping[str, str]) -> Iterator[Finding]:
        wanted = {f"accounts.attributes.{event}": name for event, name in attributes.items()}
        if self._settings.external_id_field:
            wanted[f"{self._place}.external_id_field"] = self._settings.external_id_field
        for place, name in wanted.items():
            there = name in described
            words = f"{name} can be read" if there else f"companies have no property {name[:100]!r}"
            yield Finding(place, there, words, "" if there else "correct the name")

    def _members(self, where: str, described: Mapping[str, Described]) -> Finding:
        """Counted by search, whose index may lag by a few minutes; reading the accounts does not use it."""
        try:
            conditions = parse(where)
            for condition in conditions:
                if condition.property not in described:
                    words = f"companies have no property {condition.property!r}"
                    return Finding("accounts.where", False, words, "correct the name")
            body = {"filterGroups": [{"filters": [one.as_filter() for one in conditions]}], "limit": 1}
            path = f"/crm/objects/{self._client.date}/companies/search"
            count = int(self._client.post(path, body, label="read").get("total") or 0)
        except ConnectorError as error:
            return failed("accounts.where", error, "correct the condition")
        words = f"{count} {'company meets' if count == 1 else 'companies meet'} it"
        return Finding("accounts.where", count > 0, words, "" if count else "correct the condition")

    def _finding(self, what: str, ok: bool, message: str, remedy: str = "") -> Finding:
        return Finding(f"{self._place}.{what}", ok, message, remedy)

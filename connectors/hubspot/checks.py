"""One line for each thing that can be wrong with an account, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from connectors.base import Finding
from connectors.drift import Described
from connectors.errors import ConnectorError, RowWrong, as_expected
from connectors.findings import failed
from connectors.hubspot.client import Client
from connectors.hubspot.fields import Fields
from connectors.hubspot.mirrored import mirrored
from connectors.hubspot.settings import Settings
from connectors.hubspot.where import parse

UNMAP = (
    "two that write one property undo each other's work: in HubSpot under Settings > Integrations > Connected Apps > "
    "Salesforce > Company property mappings, choose Don't sync for it"
)


class Checks:
    """Looks and changes nothing; an error becomes a finding."""

    def __init__(self, client: Client, fields: Fields, settings: Settings) -> None:
        self._client, self._fields, self._settings = client, fields, settings
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
        yield from self._our_properties()
        yield from self._mirrored()
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

    def _our_properties(self) -> Iterator[Finding]:
        drifted = {one.field: one for one in self._fields.drifts()}
        for key, name in self._fields.names.items():
            found = drifted.get(key)
            if found is None:
                yield self._finding(f"fields.{key}", True, f"{name} can be written")
            else:
                yield self._finding(f"fields.{key}", found.effect == "cut", found.message, found.remedy)

    def _mirrored(self) -> Iterator[Finding]:
        ours = self._fields.usable()
        if "tier" not in ours:
            return
        try:
            companies, written = mirrored(self._client, ours, having=ours["tier"])
        except ConnectorError:  # what cannot be read has a finding of its own
            return
        for key, number in written.items():
            words = f"HubSpot's own sync with Salesforce wrote {ours[key]} on {number} of {companies} companies"
            yield self._finding(f"fields.{key}", True, words, UNMAP)

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
            answer = self._client.post(path, body, label="read")
            with as_expected(self._client.place):
                count = int(answer["total"])
        except ConnectorError as error:
            return failed("accounts.where", error, "correct the condition")
        words = f"{count} {'company meets' if count == 1 else 'companies meet'} it"
        return Finding("accounts.where", count > 0, words, "" if count else "correct the condition")

    def _finding(self, what: str, ok: bool, message: str, remedy: str = "") -> Finding:
        return Finding(f"{self._place}.{what}", ok, message, remedy)

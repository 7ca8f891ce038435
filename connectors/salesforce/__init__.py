"""Salesforce: its accounts as our accounts, and scores written onto them.

Signs in by OAuth (client credentials or JWT bearer) and calls the REST, composite, tooling and Bulk 2.0 APIs
through simple-salesforce. An org's allowance is about 100,000 calls in 24 hours, shared with every other
integration. https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from connectors.base import Account, Allowance, Author, Change, Drift, FieldValue, Finding, Outcome, Tools, Write
from connectors.salesforce.accounts import Accounts
from connectors.salesforce.authors import Authors
from connectors.salesforce.checks import Checks
from connectors.salesforce.client import Client
from connectors.salesforce.fields import Fields
from connectors.salesforce.provision import Provision
from connectors.salesforce.prune import Prune
from connectors.salesforce.settings import Settings
from connectors.salesforce.setup import Setup
from connectors.salesforce.survivors import survivors
from connectors.salesforce.writer import Writer

__all__ = ["Salesforce", "Settings"]


class Salesforce:
    """A destination, and a directory whose accounts can be the home of all; thread-safe."""

    def __init__(self, name: str, settings: Settings, tools: Tools) -> None:
        self.name, self.address = name, settings.base_url
        self._client = Client(settings, place=f"destinations.{name}", tools=tools)
        self._fields = Fields(self._client, settings, tools.fields)
        external = settings.external_id_field
        self._accounts = Accounts(self._client, self._fields, external_id_field=external)
        self._writer = Writer(self._client, self._fields, bulk_above=settings.bulk_above)
        self._authors = Authors(self._client, self._fields, named=settings.integration_users)
        setup = Setup(self._client)
        self._provision = Provision(setup, self._fields, settings, place=self._client.place)
        self._prune = Prune(setup, self._fields, self._provision)
        self._checks = Checks(self._client, self._fields, self._provision, settings)

    def accounts(
        self, *, where: str, attributes: Mapping[str, str], limit: int | None = None
    ) -> Iterator[Sequence[Account]]:
        return self._accounts.pages(where=where, attributes=attributes, limit=limit)

    @property
    def left_out(self) -> str:
        return self._accounts.left_out

    def check(self, *, where: str, attributes: Mapping[str, str]) -> Iterator[Finding]:
        return self._checks.run(where=where, attributes=attributes)

    def plan(self, *, prune: bool = False) -> Sequence[Change]:
        return self._prune.plan() if prune else self._provision.plan()

    def drift(self, *, since: datetime) -> Sequence[Drift]:
        return self._fields.drift(since=since)

    def shape(self) -> str:
        return self._fields.shape()

    def canonical(self, field: str, value: FieldValue) -> FieldValue:
        return self._fields.canonical(field, value)

    def read(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        return self._writer.read(ids)

    def write(self, writes: Sequence[Write]) -> Iterator[Outcome]:
        return self._writer.write(writes)

    def authors(self, field: str, ids: Sequence[str]) -> Mapping[str, Author]:
        return self._authors.of(field, ids)

    def survivors(self, ids: Sequence[str]) -> Mapping[str, str | None]:
        return survivors(self._client, ids)

    def cost(self, records: int) -> int:
        return self._writer.cost(records)

    def allowance(self) -> Allowance | None:
        return self._client.allowance()

    def midnight(self) -> ZoneInfo | None:
        """Salesforce counts the calls of the last 24 hours."""
        return None

    def ration(self, calls: int | None) -> None:
        self._client.allow(calls)

    @property
    def calls(self) -> Mapping[str, int]:
        return dict(self._client.calls)

    def close(self) -> None:
        self._client.close()

"""HubSpot: its companies as accounts or as a directory, and scores written onto them.

A bearer token of a service key or private app with the scopes crm.objects.companies.read and .write and
crm.schemas.companies.read and .write, on the dated paths of the API. About 190 calls in ten seconds are allowed
(100 on the smaller plans), and 250,000 or more a day, shared with every other app of the account.
https://developers.hubspot.com/docs/api-reference/crm-companies-v3/guide
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from connectors.base import Account, Allowance, Author, Change, Drift, FieldValue, Finding, Outcome, Tools, Write
from connectors.hubspot import daily
from connectors.hubspot.accounts import Accounts
from connectors.hubspot.authors import Authors
from connectors.hubspot.checks import Checks
from connectors.hubspot.client import Client
from connectors.hubspot.fields import Fields
from connectors.hubspot.provision import Provision
from connectors.hubspot.prune import Prune
from connectors.hubspot.settings import Settings
from connectors.hubspot.setup import Setup
from connectors.hubspot.survivors import survivors
from connectors.hubspot.writer import Writer

__all__ = ["HubSpot", "Settings"]


class HubSpot:
    """A destination, and a directory whose companies can be the home of all; thread-safe."""

    def __init__(self, name: str, settings: Settings, tools: Tools) -> None:
        self.name, self.address = name, settings.base_url
        self._client = Client(settings, place=f"destinations.{name}", tools=tools)
        self._fields = Fields(self._client, settings, tools.fields)
        self._accounts = Accounts(self._client, self._fields, settings)
        self._writer = Writer(self._client, self._fields)
        self._authors = Authors(self._client, self._fields)
        setup = Setup(self._client)
        self._provision = Provision(setup, self._fields, settings)
        self._prune = Prune(setup, self._fields, settings)
        self._checks = Checks(self._client, self._fields, settings)

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
        return daily.allowance(self._client)

    def midnight(self) -> ZoneInfo | None:
        return daily.midnight(self._client)

    def ration(self, calls: int | None) -> None:
        self._client.allow(calls)

    @property
    def calls(self) -> Mapping[str, int]:
        return dict(self._client.calls)

    def close(self) -> None:
        self._client.close()

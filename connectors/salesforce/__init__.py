"""Salesforce: its accounts as our accounts, and scores written onto them.

Signs in by OAuth (client credentials or JWT bearer) and calls the REST, composite, tooling and Bulk 2.0 APIs
through simple-salesforce. An org's allowance is about 100,000 calls in 24 hours, shared with every other
integration. https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from zoneinfo import ZoneInfo

from connectors.base import Change, Destination, Tools
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
        self._client = client = Client(settings, place=f"destinations.{name}", tools=tools)
        self._fields = fields = Fields(client, settings, tools.fields)
        self._accounts = Accounts(client, fields, external_id_field=settings.external_id_field)
        writer, setup = Writer(client, fields, bulk_above=settings.bulk_above), Setup(client)
        self._provision = Provision(setup, fields, settings, place=client.place)
        self._prune = Prune(setup, fields, self._provision)
        # What a `Destination` does is done by its parts.
        self.accounts, self.check = self._accounts.pages, Checks(client, fields, self._provision, settings).run
        self.read, self.write, self.cost = writer.read, writer.write, writer.cost
        self.canonical, self.drift, self.shape = fields.canonical, fields.drift, fields.shape
        self.authors = Authors(client, fields, named=settings.integration_users).of
        self.survivors = partial(survivors, client)
        self.allowance, self.ration, self.close = client.allowance, client.allow, client.close

    @property
    def left_out(self) -> str:
        return self._accounts.left_out

    @property
    def calls(self) -> Mapping[str, int]:
        return dict(self._client.calls)

    def plan(self, *, prune: bool = False) -> Sequence[Change]:
        return self._prune.plan() if prune else self._provision.plan()

    def midnight(self) -> ZoneInfo | None:
        """Salesforce counts the calls of the last 24 hours."""
        return None


_: Callable[[str, Settings, Tools], Destination] = Salesforce  # mypy holds it to the protocol

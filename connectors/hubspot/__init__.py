"""HubSpot: its companies as accounts or as a directory, and scores written onto them.

A bearer token of a service key or private app with the scopes crm.objects.companies.read and .write and
crm.schemas.companies.read and .write, on the dated paths of the API. About 190 calls in ten seconds are allowed
(100 on the smaller plans), and 250,000 or more a day, shared with every other app of the account.
https://developers.hubspot.com/docs/api-reference/crm-companies-v3/guide
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from connectors.base import Change, Destination, Tools
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
        self._client = client = Client(settings, place=f"destinations.{name}", tools=tools)
        self._fields = fields = Fields(client, settings, tools.fields)
        self._accounts, writer, setup = Accounts(client, fields, settings), Writer(client, fields), Setup(client)
        self._provision, self._prune = Provision(setup, fields, settings), Prune(setup, fields, settings)
        # What a `Destination` does is done by its parts.
        self.accounts, self.check = self._accounts.pages, Checks(client, fields, settings).run
        self.read, self.write, self.cost = writer.read, writer.write, writer.cost
        self.canonical, self.drift, self.shape = fields.canonical, fields.drift, fields.shape
        self.authors, self.survivors = Authors(client, fields).of, partial(survivors, client)
        self.allowance, self.midnight = partial(daily.allowance, client), partial(daily.midnight, client)
        self.ration, self.close = client.allow, client.close

    @property
    def left_out(self) -> str:
        return self._accounts.left_out

    @property
    def calls(self) -> Mapping[str, int]:
        return dict(self._client.calls)

    def plan(self, *, prune: bool = False) -> Sequence[Change]:
        return self._prune.plan() if prune else self._provision.plan()


_: Callable[[str, Settings, Tools], Destination] = HubSpot  # mypy holds it to the protocol

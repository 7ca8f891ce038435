"""The outside world: one vendor a file, or a folder when it reads and writes.

The registry below is all that the rest of the house knows of which vendors there are. Nothing is imported until it is
asked for, so that a command line that only prints its help loads no SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """Where a connector lives: its module, its class, and its settings model."""

    module: str
    connector: str
    settings: str = "Settings"

    def load(self) -> tuple[type[Any], type[Any]]:
        """The connector's class and its settings model."""
        module = import_module(self.module)
        return getattr(module, self.connector), getattr(module, self.settings)


SOURCES: dict[str, Kind] = {
    "file": Kind("connectors.file", "FileSource", "SourceSettings"),
    "mixpanel": Kind("connectors.mixpanel", "Mixpanel"),
    "zendesk": Kind("connectors.zendesk", "Zendesk"),
}

DESTINATIONS: dict[str, Kind] = {
    "file": Kind("connectors.file", "FileDestination", "DestinationSettings"),
    "hubspot": Kind("connectors.hubspot", "HubSpot"),
    "salesforce": Kind("connectors.salesforce", "Salesforce"),
}

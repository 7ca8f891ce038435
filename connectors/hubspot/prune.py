"""Removing what provisioning made in an account, and nothing else: the way out.

Ours is what carries our mark: the description of a property, the name and the filter of the list. A property is put
into the recycling bin, from which HubSpot lets people restore it for 90 days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from connectors.base import Change
from connectors.drift import Described
from connectors.hubspot.fields import Fields
from connectors.hubspot.provision import MARK
from connectors.hubspot.settings import Settings
from connectors.hubspot.setup import Setup


class Prune:
    """The list goes first, as it uses the tier; the group last, once it is empty."""

    def __init__(self, setup: Setup, fields: Fields, settings: Settings) -> None:
        self._setup, self._fields, self._settings = setup, fields, settings

    def plan(self) -> list[Change]:
        described = self._fields.described(refresh=True)
        return [*self._list(), *self._properties(described), *self._group(described)]

    def _list(self) -> Iterator[Change]:
        name = self._settings.active_list
        found = self._setup.list(name) if name is not None else None
        if found is None:
            return
        if found.properties == {self._fields.names.get("tier")}:
            there = partial(self._setup.has_list, str(name))
            remove = partial(self._setup.remove, f"{self._setup.lists}/{found.id}", there=there)
            yield Change(f"delete the list {name!r}", remove)
        else:
            yield Change(f"keep the list {name!r}: it was not made by Bellwether", None)

    def _properties(self, described: Mapping[str, Described]) -> Iterator[Change]:
        for name in self._fields.names.values():
            if name in described and _ours(described[name]):
                there = partial(self._has, name)
                remove = partial(self._setup.remove, f"{self._setup.properties}/{name}", there=there)
                yield Change(f"archive the company property {name}", remove)
            elif name in described:
                yield Change(f"keep the company property {name}: it was not made by Bellwether", None)

    def _has(self, name: str) -> bool:
        return name in self._fields.described(refresh=True)

    def _group(self, described: Mapping[str, Described]) -> Iterator[Change]:
        group = self._settings.group
        names = self._fields.names.values()
        others = [
            name
            for name, one in described.items()
            if one.get("groupName") == group and not (name in names and _ours(one))
        ]
        if not self._setup.has_group(group):
            return
        if others:
            yield Change(f"keep the property group {group}: {others[0]} is in it", None)
        else:
            there = partial(self._setup.has_group, group)
            remove = partial(self._setup.remove, f"{self._setup.groups}/{group}", there=there)
            yield Change(f"archive the property group {group}", remove)


def _ours(described: Described) -> bool:
    return str(described.get("description") or "").endswith(MARK)

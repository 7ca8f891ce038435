"""What has to be made in an account before scores can be written: a property group, properties, and tier options.

Besides, where the settings name one, an active list of the companies in the lowest tier. What is there is added to,
never changed otherwise; only `prune` plans to remove anything, and nothing but what was made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from connectors.base import Change, Field
from connectors.drift import Described
from connectors.hubspot.drift import lacking
from connectors.hubspot.fields import Fields
from connectors.hubspot.settings import Settings
from connectors.hubspot.setup import COMPANIES, Setup

MARK = "Written by Bellwether."  # how the description of every property of ours ends
OPTION = ("label", "value", "displayOrder", "hidden", "description")
INPUTS = {"number": "number", "enumeration": "select", "string": "text", "date": "date", "datetime": "date"}


class Provision:
    """Compares an account with the settings and says what is missing."""

    def __init__(self, setup: Setup, fields: Fields, settings: Settings) -> None:
        self._setup, self._fields, self._settings = setup, fields, settings

    def plan(self) -> list[Change]:
        """The missing steps, in order; empty when every property of ours is there with its options."""
        described = self._fields.described(refresh=True)
        by_hand = [one for one in self._fields.drifts() if one.by_hand and one.effect == "left out"]
        missing = {key: name for key, name in self._fields.names.items() if name not in described}
        archived = self._setup.archived() if missing else set()
        wanted = [key for key, name in missing.items() if name not in archived]
        return [
            *(Change(f"{one.message}: {one.remedy}", None) for one in by_hand),
            *(_restoration(name) for name in missing.values() if name in archived),
            *([self._group()] if wanted and not self._setup.has_group(self._settings.group) else ()),
            *map(self._creation, wanted),
            *self._options(described),
            *self._list(),
        ]

    def _options(self, described: Mapping[str, Described]) -> Iterator[Change]:
        for key, name in self._fields.names.items():
            tier = described.get(name) if self._fields.by_key[key].kind == "tier" else None
            if tier and (values := lacking(tier, self._fields.tiers)):
                what = f"add the option{'s' * (len(values) > 1)} {', '.join(values)} to {name}"
                yield Change(what, partial(self._add_options, tier, values))

    def _group(self) -> Change:
        body = {"name": self._settings.group, "label": self._settings.group_label, "displayOrder": -1}
        what = f"create the property group {self._settings.group_label} ({self._settings.group})"
        return Change(what, partial(self._setup.make, self._setup.groups, body))

    def _creation(self, key: str) -> Change:
        field, name = self._fields.by_key[key], self._fields.names[key]
        body = {"name": name, "groupName": self._settings.group, **definition(field, self._fields.tiers)}
        what = f"create the company property {name} ({field.label}: {body['type']})"
        return Change(what, partial(self._setup.make, self._setup.properties, body))

    def _add_options(self, described: Described, values: list[str]) -> None:
        kept = [
            {name: value for name, value in option.items() if name in OPTION and value is not None}
            for option in described.get("options") or ()
        ]
        body = {"options": kept + options(values, first=len(kept))}
        self._setup.change(f"{self._setup.properties}/{described['name']}", body)

    def _list(self) -> Iterator[Change]:
        name, tier = self._settings.active_list, self._fields.names.get("tier")
        if name is None or tier is None or self._setup.has_list(name):
            return
        body = active_list(name, tier, self._fields.tiers["red"])
        make = partial(self._setup.make, self._setup.lists, body, there=partial(self._setup.has_list, name))
        yield Change(f"create the active list {name!r}", make)


def _restoration(name: str) -> Change:
    """An archived name is taken, and only people can bring a property back."""
    words = "it is under Settings > Properties > Archived, and until then its name is taken"
    return Change(f"restore the company property {name} by hand: {words}", None)


def active_list(name: str, tier: str, red: str) -> dict[str, Any]:
    """A list that always holds the companies in one tier. Its root must be an OR of ANDs."""
    operation = {
        "operationType": "ENUMERATION",
        "operator": "IS_ANY_OF",
        "values": [red],
        "includeObjectsWithNoValueSet": False,
    }
    condition = {"filterType": "PROPERTY", "property": tier, "operation": operation}
    return {
        "name": name,
        "objectTypeId": COMPANIES,
        "processingType": "DYNAMIC",
        "filterBranch": _branch("OR", branches=[_branch("AND", filters=[condition])]),
    }


def _branch(kind: str, *, branches: list[Any] | None = None, filters: list[Any] | None = None) -> dict[str, Any]:
    return {
        "filterBranchType": kind,
        "filterBranchOperator": kind,
        "filterBranches": branches or [],
        "filters": filters or [],
    }


def options(values: list[str], *, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"label": value[:1].upper() + value[1:], "value": value, "displayOrder": first + n, "hidden": False}
        for n, value in enumerate(values)
    ]


def definition(field: Field, tiers: Mapping[str, str]) -> dict[str, Any]:
    """A field of ours in the words of HubSpot's properties API."""
    kind = {"number": "number", "tier": "enumeration", "text": "string"}.get(field.kind, field.kind)
    common = {
        "label": field.label,
        "description": f"{field.help} {MARK}",
        "type": kind,
        "fieldType": INPUTS[kind],
        "hasUniqueValue": False,
        "formField": False,
    }
    return {**common, "options": options(list(tiers.values()))} if field.kind == "tier" else common

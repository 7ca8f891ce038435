"""What has to be made in an org before scores can be written: fields, the right to see them, and a list view.

A field made through the API is hidden from everybody, its maker and administrators included, until a permission set
(or a profile) shows it; so a permission set of our own does. What is there is added to, never changed otherwise;
only `prune` plans to remove anything, and nothing but what was made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from connectors.base import Change, Field
from connectors.drift import Described
from connectors.errors import SettingsWrong
from connectors.salesforce.drift import lacking
from connectors.salesforce.fields import Fields
from connectors.salesforce.settings import Settings
from connectors.salesforce.setup import FIELD, LIST, Setup, quoted

PERMISSION_SET = "Bellwether"
LIST_VIEW = "Bellwether_Red_Accounts"
LISTS_SINCE = 61.0  # the API version that can make list views
MARK = "Written by Bellwether."  # how the description of every field of ours begins
PERMITS = "Sees and edits health scores."  # the permission set's description
DIGITS = 4  # before the decimal point: scores reach 100, changes -100


class Provision:
    """Compares an org with the settings and says what is missing."""

    def __init__(self, setup: Setup, fields: Fields, settings: Settings, *, place: str) -> None:
        self._setup, self._fields, self._settings, self._place = setup, fields, settings, place

    def plan(self) -> list[Change]:
        """The missing steps, in order; empty when every field of ours can be seen and edited."""
        seen = self._fields.described(refresh=True)
        by_hand = [one for one in self._fields.drifts() if one.by_hand and one.effect == "left out"]
        names = self._fields.names
        found = {key: seen.get(name.lower()) for key, name in names.items()}
        hidden = {key: name for key, name in names.items() if not _writable(found[key])}
        poor = {key: values for key, one in found.items() if one and (values := self._lacking(key, one))}
        existing = self._setup.fields() if hidden or poor else {}
        return [
            *(Change(f"{one.message}: {one.remedy}", None) for one in by_hand),
            *(self._creation(key) for key, name in hidden.items() if name.lower() not in existing),
            *(self._addition(names[key], values, existing) for key, values in poor.items()),
            *(self._permissions(hidden) if hidden else ()),
            *self._profiles(),
            *self._list_view(seen),
        ]

    def existing(self) -> set[str]:
        """Custom fields of Account in lower case, hidden ones too."""
        return set(self._setup.fields())

    def _lacking(self, key: str, described: Described) -> list[str]:
        return lacking(described, self._fields.tiers) if self._fields.by_key[key].kind == "tier" else []

    def _creation(self, key: str) -> Change:
        field, name = self._fields.by_key[key], self._fields.names[key]
        if not name.endswith("__c"):
            raise SettingsWrong(f"{name} does not exist and is not a custom field's name", place=self._place)
        described = metadata(field, self._fields.tiers)
        body = {"FullName": f"Account.{name}", "Metadata": described}
        what = f"create the field Account.{name} ({field.label}: {described['type']})"
        return Change(what, partial(self._setup.make, FIELD, body))

    def _addition(self, name: str, values: Sequence[str], existing: Mapping[str, str]) -> Change:
        what = f"add the value{'s' * (len(values) > 1)} {', '.join(values)} to the picklist Account.{name}"
        id = existing.get(name.lower())
        if id is None:
            return Change(f"{what} by hand: it is no custom field", None)
        shared = (self._setup.metadata(id).get("valueSet") or {}).get("valueSetName")
        if shared:
            return Change(f"{what} by hand: it takes its values from the global value set {shared}", None)
        return Change(what, partial(self._add_values, name, id, values))

    def _add_values(self, name: str, id: str, values: Sequence[str]) -> None:
        """All that is written down of the field goes back with the new values: what an update leaves out is lost."""
        held = self._setup.metadata(id)
        value_set = held.get("valueSet") or {}
        definition = value_set.get("valueSetDefinition") or {}
        listed = with_values(definition.get("value") or (), values)
        held["valueSet"] = {**value_set, "valueSetDefinition": {**definition, "value": listed}}
        body = {"FullName": f"Account.{name}", "Metadata": {k: v for k, v in held.items() if v is not None}}
        self._setup.change(f"{FIELD}/{id}", body)

    def _permissions(self, hidden: Mapping[str, str]) -> Iterator[Change]:
        id = self._own()
        if id is None:
            body = {"Name": PERMISSION_SET, "Label": PERMISSION_SET, "Description": PERMITS}
            what = f"create the permission set {PERMISSION_SET}"
            yield Change(what, partial(self._setup.make, "sobjects/PermissionSet", body))
        granted = self._granted([id], "PermissionsEdit") if id else set()
        for name in hidden.values():
            if (id, f"account.{name}".lower()) not in granted:
                what = f"let the permission set {PERMISSION_SET} see and edit Account.{name}"
                yield Change(what, partial(self._grant, [name], None, edit=True))
        user = self._setup.user_id
        if user and not (id and self._assigned(id, user)):
            what = f"give the permission set {PERMISSION_SET} to the integration user"
            yield Change(what, partial(self._assign, user))

    def _granted(self, parents: Sequence[str], right: str) -> set[tuple[str, str]]:
        """(permission set, field in lower case) for every field of Account that these sets grant the right to."""
        where = f"ParentId IN ({quoted(parents)}) AND SobjectType = 'Account' AND {right} = true"
        return {(id, field.lower()) for id, field in self._setup.found("FieldPermissions", where, "ParentId, Field")}

    def _assigned(self, id: str, user: str) -> bool:
        where = f"PermissionSetId = '{id}' AND AssigneeId = '{user}'"
        return bool(self._setup.found("PermissionSetAssignment", where))

    def _grant(self, names: Sequence[str], parent: str | None, *, edit: bool) -> None:
        """To our own permission set, unless `parent` is another."""
        own = parent or self._own()
        for name in names:
            body = {
                "ParentId": own,
                "SobjectType": "Account",
                "Field": f"Account.{name}",
                "PermissionsRead": True,
                "PermissionsEdit": edit,
            }
            self._setup.make("sobjects/FieldPermissions", body)

    def _assign(self, user: str) -> None:
        body = {"PermissionSetId": self._own(), "AssigneeId": user}
        self._setup.make("sobjects/PermissionSetAssignment", body)

    def _own(self) -> str | None:
        """The id of our permission set, which an earlier step has made."""
        found = self._setup.permission_set(PERMISSION_SET)
        return found.id if found else None

    def _profiles(self) -> Iterator[Change]:
        """Each profile has a permission set behind it, which takes what a profile itself does not."""
        wanted = self._settings.show_to_profiles
        if not wanted:
            return
        where = f"IsOwnedByProfile = true AND Profile.Name IN ({quoted(wanted)})"
        behind = {name: id for id, name in self._setup.found("PermissionSet", where, "Id, Profile.Name")}
        unknown = [name for name in wanted if name not in behind]
        if unknown:
            place = f"{self._place}.show_to_profiles"
            raise SettingsWrong(f"there is no profile {unknown[0][:80]!r}; take its name from Setup", place=place)
        granted = self._granted(list(behind.values()), "PermissionsRead")
        ours = [name for name in self._fields.names.values() if name.endswith("__c")]
        for profile, id in behind.items():
            names = [name for name in ours if (id, f"account.{name}".lower()) not in granted]
            if names:
                what = f"let the profile {profile} see {', '.join(names)}"
                yield Change(what, partial(self._grant, names, id, edit=False))

    def _list_view(self, seen: Mapping[str, Described]) -> Iterator[Change]:
        label, tier = self._settings.list_view, self._fields.names.get("tier")
        if label is None or tier is None or self.has_list_view():
            return
        if float(self._settings.api_version) < LISTS_SINCE:
            yield Change(f"make a list view of red accounts by hand: that takes api_version {LISTS_SINCE}", None)
            return
        body = list_view(label, self._fields.names, _label(self._fields.tiers["red"], seen.get(tier.lower())))
        what = f"create the list view {label!r} for everybody"
        yield Change(what, partial(self._setup.make, LIST, body, there=self.has_list_view))

    def has_list_view(self) -> bool:
        return bool(self._setup.found("ListView", f"SobjectType = 'Account' AND DeveloperName = '{LIST_VIEW}'"))


def _writable(described: Described | None) -> bool:
    """Whether it can be edited, or is of a kind that no permission makes editable."""
    return described is not None and bool(described.get("updateable") or described.get("calculated"))


def _label(value: str, described: Described | None) -> str:
    """What people read for a picklist's value."""
    options = (described or {}).get("picklistValues") or ()
    labels = (one.get("label") for one in options if one.get("value") == value)
    return str(next(labels, None) or _capital(value))


def _capital(value: str) -> str:
    return value[:1].upper() + value[1:]


def list_view(label: str, names: Mapping[str, str], red: str) -> dict[str, Any]:
    """A list view of the accounts in the tier that is labelled `red`."""
    ours = [names[key] for key in ("tier", "score", "change", "reason", "next_action") if key in names]
    return {
        "listViewApiName": LIST_VIEW,
        "label": label,
        "displayColumns": ["Name", *ours],
        "filteredByInfo": [{"fieldApiName": names["tier"], "operator": "Equals", "operandLabels": [red]}],
        "scope": {"apiName": "everything"},
        "visibility": "Public",
    }


def with_values(held: Sequence[Mapping[str, Any]], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """The values of a picklist, all that were there and in their order, with these active."""
    kept = [{**one, "isActive": True} if _named(one) in wanted else dict(one) for one in held]
    names = {_named(one) for one in kept}
    key = "fullName" if kept and "valueName" not in kept[0] else "valueName"
    return kept + [
        {key: value, "label": _capital(value), "default": False, "isActive": True}
        for value in wanted
        if value not in names
    ]


def _named(value: Mapping[str, Any]) -> object:
    return value.get("valueName") or value.get("fullName")


def metadata(field: Field, tiers: Mapping[str, str]) -> dict[str, Any]:
    """A field of ours in the words of Salesforce's Metadata API."""
    common = {
        "label": field.label,
        "inlineHelpText": field.help,
        "description": f"{MARK} {field.help}",
    }
    if field.kind == "number":
        return {**common, "type": "Number", "precision": DIGITS + field.scale, "scale": field.scale}
    if field.kind == "text":
        return {**common, "type": "Text", "length": field.length}
    if field.kind == "tier":
        values = [{"fullName": value, "label": _capital(value), "default": False} for value in tiers.values()]
        definition = {"sorted": False, "value": values}
        return {
            **common,
            "type": "Picklist",
            "valueSet": {"restricted": True, "valueSetDefinition": definition},
        }
    return {**common, "type": "Date" if field.kind == "date" else "DateTime"}

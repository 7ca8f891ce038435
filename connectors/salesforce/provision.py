"""What has to be made in an org before scores can be written: fields, and the right to see them.

A field made through the API is hidden from everybody, its maker and administrators included, until a
permission set (or a person) shows it; so a permission set of our own does. Nothing is ever deleted or
changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from connectors.base import Change, Field
from connectors.errors import RowWrong, SettingsWrong
from connectors.salesforce.client import Client
from connectors.salesforce.fields import Fields

PERMISSION_SET = "Bellwether"
ALREADY = ("DUPLICATE_DEVELOPER_NAME", "DUPLICATE_VALUE")
DIGITS = 4  # before the decimal point: scores reach 100, changes -100


class Provision:
    """Compares an org with the settings and says what is missing."""

    def __init__(self, client: Client, fields: Fields) -> None:
        self._client, self._fields = client, fields

    def plan(self) -> list[Change]:
        """The missing steps, in order; empty when every field of ours can be seen and edited."""
        seen = self._fields.described(refresh=True)
        lacking = {
            key: name for key, name in self._fields.names.items() if not seen.get(name.lower(), {}).get("updateable")
        }
        if not lacking:
            return []
        existing = self.existing()
        missing = [key for key, name in lacking.items() if name.lower() not in existing]
        return [*map(self._creation, missing), *self._permissions(lacking)]

    def existing(self) -> set[str]:
        """Custom fields of Account in lower case, hidden ones too."""
        soql = "SELECT DeveloperName, NamespacePrefix FROM CustomField WHERE TableEnumOrId = 'Account'"
        names = set()
        for page in self._client.query(soql, label="setup", path="tooling/query"):
            for record in page:
                prefix = f"{record['NamespacePrefix']}__" if record.get("NamespacePrefix") else ""
                names.add(f"{prefix}{record['DeveloperName']}__c".lower())
        return names

    def _creation(self, key: str) -> Change:
        field, name = self._fields.by_key[key], self._fields.names[key]
        if not name.endswith("__c"):
            raise SettingsWrong(f"{name} does not exist and is not a custom field's name", place=self._client.place)
        described = metadata(field, self._fields.tiers)
        body = {"FullName": f"Account.{name}", "Metadata": described}
        what = f"create the field Account.{name} ({field.label}: {described['type']})"
        return Change(what, partial(self._make, "tooling/sobjects/CustomField", body))

    def _permissions(self, lacking: Mapping[str, str]) -> list[Change]:
        id = self._permission_set()
        held = self._held(id) if id else set()
        changes = []
        if id is None:
            what = f"create the permission set {PERMISSION_SET}"
            body = {
                "Name": PERMISSION_SET,
                "Label": PERMISSION_SET,
                "Description": "Sees and edits health scores.",
            }
            changes.append(Change(what, partial(self._make, "sobjects/PermissionSet", body)))
        for name in lacking.values():
            if f"account.{name}".lower() not in held:
                what = f"let the permission set {PERMISSION_SET} see and edit Account.{name}"
                changes.append(Change(what, partial(self._grant, name)))
        user = self._client.user_id
        if user and not (id and self._assigned(id, user)):
            what = f"give the permission set {PERMISSION_SET} to the integration user"
            changes.append(Change(what, partial(self._assign, user)))
        return changes

    def _held(self, id: str) -> set[str]:
        where = f"ParentId = '{id}' AND SobjectType = 'Account' AND PermissionsEdit = true"
        return {str(record["Field"]).lower() for record in self._found("FieldPermissions", where, "Field")}

    def _assigned(self, id: str, user: str) -> bool:
        where = f"PermissionSetId = '{id}' AND AssigneeId = '{user}'"
        return bool(self._found("PermissionSetAssignment", where))

    def _grant(self, name: str) -> None:
        body = {
            "ParentId": self._permission_set(),
            "SobjectType": "Account",
            "Field": f"Account.{name}",
            "PermissionsRead": True,
            "PermissionsEdit": True,
        }
        self._make("sobjects/FieldPermissions", body)

    def _assign(self, user: str) -> None:
        body = {"PermissionSetId": self._permission_set(), "AssigneeId": user}
        self._make("sobjects/PermissionSetAssignment", body)

    def _permission_set(self) -> str | None:
        found = self._found("PermissionSet", f"Name = '{PERMISSION_SET}'")
        return str(found[0]["Id"]) if found else None

    def _found(self, table: str, where: str, column: str = "Id") -> Sequence[Mapping[str, Any]]:
        soql = f"SELECT {column} FROM {table} WHERE {where}"
        return [record for page in self._client.query(soql, label="setup") for record in page]

    def _make(self, path: str, body: Mapping[str, Any]) -> None:
        """Create; what is there already (an answer was lost, another run was faster) is as good as made."""
        try:
            self._client.call(path, method="POST", label="setup", json=body)
        except RowWrong as error:
            if error.code not in ALREADY:
                raise SettingsWrong(str(error), place=self._client.place) from None


def metadata(field: Field, tiers: Mapping[str, str]) -> dict[str, Any]:
    """A field of ours in the words of Salesforce's Metadata API."""
    common = {
        "label": field.label,
        "inlineHelpText": field.help,
        "description": f"Written by Bellwether. {field.help}",
    }
    if field.kind == "number":
        return {**common, "type": "Number", "precision": DIGITS + field.scale, "scale": field.scale}
    if field.kind == "text":
        return {**common, "type": "Text", "length": field.length}
    if field.kind == "tier":
        values = [
            {"fullName": value, "label": value[:1].upper() + value[1:], "default": False} for value in tiers.values()
        ]
        definition = {"sorted": False, "value": values}
        return {
            **common,
            "type": "Picklist",
            "valueSet": {"restricted": True, "valueSetDefinition": definition},
        }
    return {**common, "type": "Date" if field.kind == "date" else "DateTime"}

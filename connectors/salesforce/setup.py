"""An org's setup: its custom fields, who may see them, and list views; read, made, changed and removed.

Whatever was asked for and stands there already is as good as done: an answer was lost, or somebody was faster.
https://developer.salesforce.com/docs/atlas.en-us.api_tooling.meta/api_tooling/tooling_api_objects_customfield.htm
https://developer.salesforce.com/docs/atlas.en-us.uiapi.meta/uiapi/ui_api_resources_lists_object_post.htm
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from connectors.errors import AgainNow, RowWrong, SettingsWrong, as_expected
from connectors.salesforce.client import Client

Record = Mapping[str, Any]
ALREADY = ("DUPLICATE_DEVELOPER_NAME", "DUPLICATE_VALUE")
FIELD = "tooling/sobjects/CustomField"
LIST = "ui-api/list-info/Account"


class PermissionSet(NamedTuple):
    id: str
    description: str


class Setup:
    """Calls that need an administrator's rights."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def user_id(self) -> str | None:
        return self._client.user_id

    def fields(self) -> dict[str, str]:
        """Id of each custom field of Account by its name in lower case, hidden ones too."""
        soql = "SELECT Id, DeveloperName, NamespacePrefix FROM CustomField WHERE TableEnumOrId = 'Account'"
        names = {}
        with as_expected(self._client.place):
            for page in self._client.query(soql, label="setup", path="tooling/query"):
                for record in page:
                    prefix = f"{record['NamespacePrefix']}__" if record.get("NamespacePrefix") else ""
                    names[f"{prefix}{record['DeveloperName']}__c".lower()] = str(record.get("Id") or "")
        return names

    def metadata(self, field: str) -> dict[str, Any]:
        """All that the org has written down of a custom field; it can be read only one field at a time."""
        answer = self._client.document(f"{FIELD}/{field}", label="setup")
        with as_expected(self._client.place):
            return dict(answer["Metadata"])

    def permission_set(self, name: str) -> PermissionSet | None:
        found = self.found("PermissionSet", f"Name = '{name}'", "Id, Description")
        return PermissionSet(*found[0]) if found else None

    def found(self, table: str, where: str, columns: str = "Id") -> list[tuple[str, ...]]:
        """The values of these columns as texts, row by row."""
        soql, names = f"SELECT {columns} FROM {table} WHERE {where}", columns.split(", ")
        with as_expected(self._client.place):
            pages = self._client.query(soql, label="setup")
            return [tuple(_value(record, name) for name in names) for page in pages for record in page]

    def make(self, path: str, body: Mapping[str, Any], *, there: Callable[[], bool] = lambda: False) -> None:
        try:
            self._done(self._client.document(path, method="POST", label="setup", json=body))
        except (RowWrong, SettingsWrong) as error:
            if not (isinstance(error, RowWrong) and error.code in ALREADY) and not there():
                raise self._said(error) from None

    def change(self, path: str, body: Mapping[str, Any]) -> None:
        try:
            self._done(self._client.call(path, method="PATCH", label="setup", json=body))
        except RowWrong as error:
            raise self._said(error) from None

    def remove(self, path: str, *, there: Callable[[], bool]) -> None:
        try:
            self._done(self._client.call(path, method="DELETE", label="setup"))
        except (RowWrong, SettingsWrong) as error:
            if there():
                raise self._said(error) from None

    def _done(self, answer: object) -> None:
        """What is made is told of as a success, or as a list view; what is changed or removed mostly with nothing."""
        said: Record = answer if isinstance(answer, Mapping) else {}
        if answer is not None and said.get("success") is not True and "listReference" not in said:
            raise AgainNow("Salesforce answered an error as a success", place=self._client.place, unanswered=True)

    def _said(self, error: RowWrong | SettingsWrong) -> SettingsWrong:
        return error if isinstance(error, SettingsWrong) else SettingsWrong(error.words, place=error.place)


def _value(record: Record, path: str) -> str:
    """What stands at a dotted path; `LookupError` or `TypeError` where there is no such place."""
    return str(reduce(lambda held, name: held[name], path.split("."), record))


def quoted(words: Sequence[str]) -> str:
    """Texts as a list of SOQL literals."""
    escaped = (word.replace("\\", "\\\\").replace("'", "\\'") for word in words)
    return ", ".join(f"'{word}'" for word in escaped)

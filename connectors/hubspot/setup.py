"""An account's setup: property groups, properties and one active list; read, made and removed.

Whatever was asked for and stands there already is as good as done: an answer was lost, or somebody was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from connectors.errors import AgainNow, SettingsWrong, as_expected
from connectors.hubspot.client import Client, Refused, results

ALREADY = ("CONFLICT", "OBJECT_ALREADY_EXISTS", "PROPERTY_EXISTS")
GONE = ("OBJECT_NOT_FOUND", "NOT_FOUND")
COMPANIES = "0-2"


class List(NamedTuple):
    """A list, and the properties that it goes by."""

    id: str
    properties: frozenset[str]


class Setup:
    """Calls that need more than the daily run's scopes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.properties = f"/crm/properties/{client.date}/companies"
        self.groups = f"{self.properties}/groups"
        self.lists = f"/crm/lists/{client.date}"

    def has_group(self, name: str) -> bool:
        answer = self._client.get(self.groups, label="setup")
        with as_expected(self._client.place):
            return any(one["name"] == name for one in results(answer, self._client.place))

    def archived(self) -> set[str]:
        """Names of properties that are in the recycling bin; nothing else can have such a name."""
        answer = self._client.get(self.properties, label="setup", query={"archived": "true"})
        with as_expected(self._client.place):
            return {str(one["name"]) for one in results(answer, self._client.place)}

    def list(self, name: str) -> List | None:
        """The company list of this name."""
        path = f"{self.lists}/object-type-id/{COMPANIES}/name/{quote(name, safe='')}"
        try:
            answer = self._client.get(path, label="setup", query={"includeFilters": "true"})
        except Refused as error:
            if error.code in GONE:
                return None
            raise
        with as_expected(self._client.place):
            found = answer["list"]
            return List(str(found["listId"]), frozenset(_filtered(found.get("filterBranch") or {})))

    def has_list(self, name: str) -> bool:
        return self.list(name) is not None

    def make(self, path: str, body: Mapping[str, Any], *, there: Callable[[], bool] = lambda: False) -> None:
        try:
            self._made(self._client.post(path, body, label="setup"))
        except Refused as error:
            if error.code not in ALREADY and not there():
                raise self._said(error, "the account does not take it; its plan may not have it") from None

    def change(self, path: str, body: Mapping[str, Any]) -> None:
        try:
            self._made(self._client.patch(path, body, label="setup"))
        except Refused as error:
            raise self._said(error, "the account does not take it") from None

    def remove(self, path: str, *, there: Callable[[], bool]) -> None:
        try:
            self._client.delete(path, label="setup")
        except SettingsWrong as error:
            if not there():
                return
            if not isinstance(error, Refused):
                raise
            raise self._said(error, "something uses it: look at 'Used in' there, and take it out first") from None

    def _made(self, answer: Mapping[str, Any]) -> None:
        if not (answer.get("name") or answer.get("list")):
            raise AgainNow("HubSpot answered without what was made", place=self._client.place, unanswered=True)

    def _said(self, error: Refused, words: str) -> SettingsWrong:
        return SettingsWrong(f"HubSpot answered {error.code}: {words}", place=self._client.place)


def _filtered(branch: Mapping[str, Any]) -> Iterator[str]:
    for one in branch.get("filters") or ():
        yield str(one.get("property"))
    for inner in branch.get("filterBranches") or ():
        yield from _filtered(inner)

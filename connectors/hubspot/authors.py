"""Who last set a property. HubSpot keeps every value a property had, when it was set and by what.

What set it is a `sourceType`, one of about 120 words of which HubSpot's specifications list the names (`PropertyValue`
of its marketing events and imports) and its help explains some. Those that are told apart here:

| by | words | and then |
|---|---|---|
| person | CRM_UI, CRM_UI_BULK_ACTION, MOBILE_IOS, MOBILE_ANDROID | `sourceId` is `userId:` and the user's number |
| us | INTEGRATION | `sourceId` is the number of our own app |
| machine | INTEGRATION | `sourceId` is the number of another app |
| machine | API, INTEGRATIONS_PLATFORM, INTEGRATIONS_SYNC, PORTAL_OBJECT_SYNC, SALESFORCE | HubSpot's own syncs |
| machine | AUTOMATION_PLATFORM, AUTOMATION_JOURNEY, WORKFLOWS, TASK, CALCULATED | workflows and background tasks |
| machine | IMPORT, MIGRATION | files, and other systems taken over |

The rest tells nothing. BATCH_UPDATE is among it: by HubSpot's own words that is a person's bulk edit or an integration.
https://knowledge.hubspot.com/properties/hubspots-change-sources-in-property-history
https://developers.hubspot.com/changelog/crm-property-change-source-will-show-owner-id-instead-of-owner-email
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from connectors.base import Author
from connectors.batches import abreast, batches, halved
from connectors.errors import RowWrong, SettingsWrong, as_expected
from connectors.hubspot.client import IN_FLIGHT, Client, results
from connectors.hubspot.fields import Fields
from connectors.values import as_moment

BATCH = 50  # of companies whose histories are read
APP = "INTEGRATION"
PEOPLE = frozenset({"CRM_UI", "CRM_UI_BULK_ACTION", "MOBILE_IOS", "MOBILE_ANDROID"})
MACHINES = frozenset(
    {
        "API",
        "AUTOMATION_JOURNEY",
        "AUTOMATION_PLATFORM",
        "CALCULATED",
        "IMPORT",
        "INTEGRATIONS_PLATFORM",
        "INTEGRATIONS_SYNC",
        "MIGRATION",
        "PORTAL_OBJECT_SYNC",
        "SALESFORCE",
        "TASK",
        "WORKFLOWS",
    }
)
_USER = re.compile(r"userId:([0-9]{1,18})")
_NEVER = datetime.min.replace(tzinfo=UTC)

Entry = Mapping[str, Any]


class Authors:
    """Reads histories of our properties. What a person or app is called is asked once and kept; thread-safe."""

    def __init__(self, client: Client, fields: Fields) -> None:
        self._client, self._fields = client, fields
        self._path = f"/crm/objects/{client.date}/companies/batch/read"
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def of(self, field: str, ids: Sequence[str]) -> dict[str, Author]:
        """By company id; a company that is not there, or of which HubSpot does not tell, is left out."""
        name = self._fields.names.get(field)
        if name is None:
            return {}
        parts = batches(list(dict.fromkeys(ids)), BATCH)
        newest = dict(abreast(parts, partial(self._newest, name), width=IN_FLIGHT))
        found = {id: self._author(entry) for id, entry in newest.items()}
        return {id: author for id, author in found.items() if author}

    def _newest(self, name: str, ids: Sequence[str]) -> Iterator[tuple[str, Entry]]:
        for part, answer in halved(ids, partial(self._histories, name)):
            if not isinstance(answer, RowWrong):
                yield from ((id, answer[id]) for id in part if id in answer)

    def _histories(self, name: str, ids: Sequence[str]) -> dict[str, Entry]:
        body = {"inputs": [{"id": id} for id in ids], "properties": [name], "propertiesWithHistory": [name]}
        answer = self._client.batch(self._path, body, label="read")
        with as_expected(self._client.place):
            histories = {
                str(one["id"]): (one.get("propertiesWithHistory") or {}).get(name)
                for one in results(answer, self._client.place)
            }
            return {id: max(history, key=_when) for id, history in histories.items() if history}

    def _author(self, entry: Entry) -> Author | None:
        source, at = str(entry.get("sourceType")), as_moment(entry.get("timestamp"))
        if source in PEOPLE:
            return Author("person", self._person(entry), at)
        if source == APP and str(entry.get("sourceId")) == self._client.app_id:
            return Author("us", at=at)
        if source == APP or source in MACHINES:
            label = entry.get("sourceLabel")
            return Author("machine", label if isinstance(label, str) and label else source, at)
        return None

    def _person(self, entry: Entry) -> str:
        """The user's name if the token may read owners, else the number, by which HubSpot finds the user."""
        by_source = _USER.fullmatch(str(entry.get("sourceId")))
        user = by_source[1] if by_source else str(entry.get("updatedByUserId") or "")
        if not user.isdigit():
            return ""
        with self._lock:
            if user not in self._names:
                self._names[user] = self._owner(user) or f"HubSpot user {user}"
            return self._names[user]

    def _owner(self, user: str) -> str:
        try:
            path = f"/crm/owners/{self._client.date}/{user}"
            found = self._client.get(path, label="read", query={"idProperty": "userId"})
        except SettingsWrong:  # no owner of records, or the token lacks crm.objects.owners.read: a name is a nicety
            return ""
        return " ".join(str(found.get(part) or "") for part in ("firstName", "lastName")).strip()


def _when(entry: Entry) -> datetime:
    return as_moment(entry.get("timestamp")) or _NEVER

"""Who last set a field of an account, read in one query with the account's newest history row of that field.

Salesforce notes that down only for fields with history tracking. Of others it tells just who changed the record last,
which says something of the field only when that was no person. Users that are no people: those of the types
AutomatedProcess and CloudIntegrationUser, those with the licence made for integrations, and those the settings name.
https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_associated_objects_history.htm
https://help.salesforce.com/s/articleView?id=platform.integration_user.htm
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from connectors.base import Author
from connectors.batches import batches
from connectors.errors import SettingsWrong, as_expected
from connectors.salesforce.accounts import at_path
from connectors.salesforce.client import Client
from connectors.salesforce.fields import HISTORIES, Fields
from connectors.salesforce.ids import distinct, listed, short
from connectors.values import as_moment

BATCH = 300  # ids in one query, whose address may have 16,384 characters
NOT_PEOPLE = ("AutomatedProcess", "CloudIntegrationUser")
LICENSE = "Salesforce Integration"

Record = Mapping[str, Any]


class User(NamedTuple):
    by: Literal["us", "machine", "person"]
    name: str


class Authors:
    """Who a user is, is asked once and kept; thread-safe. `named`: usernames and ids of users that are no people."""

    def __init__(self, client: Client, fields: Fields, *, named: Sequence[str]) -> None:
        self._client, self._fields = client, fields
        self._named = {one.lower() for one in named if "@" in one} | {short(one) for one in named if "@" not in one}
        self._users: dict[str, User] = {}
        self._lock = threading.Lock()

    def of(self, field: str, ids: Sequence[str]) -> dict[str, Author]:
        """By account id, as it was given; an account that is not there, or of which nothing is told, is left out."""
        name = self._fields.usable().get(field)
        if name is None:
            return {}
        with as_expected(self._client.place):
            told = {short(str(one["Id"])): self._told(field, name, one) for one in self._records(name, distinct(ids))}
            users = self._known(distinct(user for user, _, _ in told.values()))
        found: dict[str, Author] = {}
        for id in ids:
            user, at, of_field = told.get(short(id), ("", None, False))
            who = users.get(user)
            if who and (of_field or who.by != "person"):
                found[id] = Author(who.by, who.name, as_moment(at))
        return found

    def _records(self, name: str, ids: Sequence[str]) -> Iterator[Record]:
        rows = f"SELECT CreatedById, CreatedDate, NewValue FROM {HISTORIES} WHERE Field = '{name}'"
        history = f", ({rows} ORDER BY CreatedDate DESC, Id DESC LIMIT 1)" if self._fields.tracks() else ""
        columns = f"Id, {name}, LastModifiedById, LastModifiedDate{history}"
        for part in batches(ids, BATCH):
            soql = f"SELECT {columns} FROM Account WHERE Id IN ({listed(part)})"
            for page in self._client.query(soql, label="read"):
                yield from page

    def _told(self, field: str, name: str, record: Record) -> tuple[str, object, bool]:
        """A user, a moment, and whether it is told of the field or only of the record."""
        present = at_path(record, name)
        for row in (record.get(HISTORIES) or {}).get("records") or ():
            # Tracking may have been switched off since: a row of another value tells nothing of this one.
            if self._fields.means(field, row.get("NewValue"), present):
                return short(str(row.get("CreatedById"))), row.get("CreatedDate"), True
        return short(str(record.get("LastModifiedById"))), record.get("LastModifiedDate"), False

    def _known(self, ids: Sequence[str]) -> Mapping[str, User]:
        with self._lock:
            for part in batches([id for id in ids if id not in self._users], BATCH):
                for record in self._asked(part):
                    self._users[short(str(record["Id"]))] = self._user(record)
            return dict(self._users)

    def _asked(self, ids: Sequence[str]) -> list[Record]:
        columns, where = "Id, Name, Username, UserType", f"FROM User WHERE Id IN ({listed(ids)})"
        try:
            pages = [*self._client.query(f"SELECT {columns}, Profile.UserLicense.Name {where}", label="read")]
        except SettingsWrong:  # who may not look at setup sees no licences: the settings have to name such users
            pages = [*self._client.query(f"SELECT {columns} {where}", label="read")]
        return [record for page in pages for record in page]

    def _user(self, record: Record) -> User:
        id, name = short(str(record["Id"])), str(record.get("Name") or "")
        if id == short(self._client.user_id or ""):
            return User("us", name)
        named = {id, str(record.get("Username")).lower()} & self._named
        licensed = at_path(record, "Profile.UserLicense.Name") == LICENSE
        return User("machine" if named or licensed or record.get("UserType") in NOT_PEOPLE else "person", name)

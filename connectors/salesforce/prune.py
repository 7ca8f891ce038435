"""Removing what provisioning made in an org, and nothing else: the way out.

Ours is what carries our mark: the description of a field and of the permission set, the API name of the list view.
A field goes with its values and with everybody's access to it; Salesforce keeps it for 15 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from connectors.base import Change
from connectors.salesforce.fields import Fields
from connectors.salesforce.provision import LIST_VIEW, MARK, PERMISSION_SET, PERMITS, Provision
from connectors.salesforce.setup import FIELD, LIST, Setup


class Prune:
    """The list view goes first, as it uses the tier; the permission set last, as nobody misses it before."""

    def __init__(self, setup: Setup, fields: Fields, provision: Provision) -> None:
        self._setup, self._fields, self._provision = setup, fields, provision

    def plan(self) -> list[Change]:
        return [*self._list_view(), *self._our_fields(), *self._permission_set()]

    def _list_view(self) -> Iterator[Change]:
        if self._provision.has_list_view():
            path = f"{LIST}/{LIST_VIEW}"
            remove = partial(self._setup.remove, path, there=self._provision.has_list_view)
            yield Change(f"delete the list view {LIST_VIEW}", remove)

    def _our_fields(self) -> Iterator[Change]:
        existing = self._setup.fields()
        for name in self._fields.names.values():
            id = existing.get(name.lower())
            if id is None:
                continue
            if str(self._setup.metadata(id).get("description") or "").startswith(MARK):
                yield Change(f"delete the field Account.{name} with its values", partial(self._remove_field, name, id))
            else:
                yield Change(f"keep the field Account.{name}: it was not made by Bellwether", None)

    def _remove_field(self, name: str, id: str) -> None:
        self._setup.remove(f"{FIELD}/{id}", there=lambda: name.lower() in self._setup.fields())

    def _permission_set(self) -> Iterator[Change]:
        found = self._setup.permission_set(PERMISSION_SET)
        if found is None:
            return
        if found.description == PERMITS:
            users = len(self._assignments(found.id))
            what = f"delete the permission set {PERMISSION_SET}, which {users} user{' has' if users == 1 else 's have'}"
            yield Change(what, partial(self._remove_permission_set, found.id))
        else:
            yield Change(f"keep the permission set {PERMISSION_SET}: it was not made by Bellwether", None)

    def _assignments(self, id: str) -> list[str]:
        return [one for (one,) in self._setup.found("PermissionSetAssignment", f"PermissionSetId = '{id}'")]

    def _remove_permission_set(self, id: str) -> None:
        for one in self._assignments(id):
            self._setup.remove(f"sobjects/PermissionSetAssignment/{one}", there=partial(self._has, id, one))
        self._setup.remove(
            f"sobjects/PermissionSet/{id}", there=lambda: self._setup.permission_set(PERMISSION_SET) is not None
        )

    def _has(self, id: str, assignment: str) -> bool:
        return assignment in self._assignments(id)

"""Who must not come back: customers that were erased, known by keyed hashes of their ids and keys.

An erased customer may still be in the CRM and in the sources, and the next reading would bring everything back. So
state keeps hashes, made under the salt: enough to know the customer when it comes, nothing to read or to guess from.
They are looked at only where something comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from connectors.base import Account, Cursor, Page

if TYPE_CHECKING:
    from sync.worker import Worker

META = "erased"
ACCOUNT = "account"  # beside the names of systems; it is none of them, because they are all looked up by key

_Told = Mapping[str, Sequence[str]]  # hashes of what an account is known by, under its own


class Erased:
    """The erased customers as state knows them now. True when there are any."""

    def __init__(self, hashed: Callable[[str], str], told: _Told) -> None:
        self._hashed, self._told = hashed, told
        self._all = frozenset(one for many in told.values() for one in many)

    def __len__(self) -> int:
        return len(self._told)

    def holds(self, system: str, key: str) -> bool:
        """Whether a key of a source, or a record of a destination, is an erased customer's."""
        return self._hash(system, key) in self._all

    def keys_of(self, source: str) -> Callable[[str], bool] | None:
        """What the log is to leave out of a source's page; None when there is nothing."""
        return partial(self.holds, source) if self else None

    def account(self, account: str) -> bool:
        """Whether the account of this id was erased."""
        return self._hash(ACCOUNT, account) in self._told

    def records(self, system: str, accounts: Sequence[Account]) -> list[Account]:
        """A directory's page without the erased."""
        return [account for account in accounts if not self.holds(system, account.id)]

    def page(self, source: str, page: Page) -> Page:
        """A source's page whose keys and cursor do not name the erased; the log leaves their facts out itself."""
        keys = [key for key in page.keys if not self.holds(source, key.key)]
        return replace(page, keys=keys, cursor=self.cursor(source, page.cursor))

    def cursor(self, source: str, cursor: Cursor | None) -> Cursor | None:
        """A source's cursor without what names the erased."""
        found: Cursor | None = without(cursor, lambda text: self._names(source, text))
        return found

    def _names(self, source: str, text: str) -> bool:
        """Whether a text of a cursor is an erased key, or has one among its words."""
        return any(self.holds(source, word) for word in {text, *text.split()})

    def _hash(self, system: str, key: str) -> str:
        return self._hashed(f"erased\0{system}\0{key}")

    def with_account(self, account: str, keys: Iterable[tuple[str, str]]) -> _Told:
        """What state should keep once this account is erased too."""
        name = self._hash(ACCOUNT, account)
        return {**self._told, name: sorted({*self._told.get(name, ()), *(self._hash(*key) for key in keys)})}

    def without_account(self, account: str) -> _Told:
        """What state should keep once this account may come again."""
        return {name: keys for name, keys in self._told.items() if name != self._hash(ACCOUNT, account)}


def erased_of(worker: Worker) -> Erased:
    """Read from state every time: an erasing between two passes of a daemon counts at once."""
    return Erased(worker.salted, worker.state.meta(META) or {})


def without(document: Any, names: Callable[[str], bool]) -> Any:
    """A JSON document without what names somebody: from mappings go members, from lists texts and whole records."""
    if isinstance(document, Mapping):
        kept = {key: value for key, value in document.items() if not (names(key) or _says(value, names))}
        return {key: without(value, names) for key, value in kept.items()}
    if isinstance(document, list | tuple):
        return [without(value, names) for value in document if not _tells_of(value, names)]
    return document


def _says(value: Any, names: Callable[[str], bool]) -> bool:
    return isinstance(value, str) and names(value)


def _tells_of(value: Any, names: Callable[[str], bool]) -> bool:
    members = value.values() if isinstance(value, Mapping) else (value,)
    return any(_says(member, names) for member in members)

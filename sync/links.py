"""Links: which key of which source is which account, worked out afresh each time so that a correction repairs history.

From certain to guessed: the explicit map in the settings, a CRM id held in the source, a shared external id, a domain.
The first kind of evidence that finds any account decides. A key that points to two accounts links to none and is
reported. Similar names are only ever proposed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from connectors.base import Key, KeyIs

FREE_MAIL = frozenset(
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com ymail.com icloud.com me.com mac.com "
    "aol.com gmx.com gmx.net "
    "gmx.de web.de t-online.de mail.com mail.ru yandex.ru proton.me protonmail.com fastmail.com "
    "zoho.com qq.com 163.com 126.com orange.fr free.fr laposte.net libero.it btinternet.com comcast.net".split()
)
SIMILAR = 90.0  # of 100, on names without their legal form; below it proposals are mostly noise
_SHORT = re.compile(r"[A-Za-z0-9]{15}")
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"  # by the bits of which of five letters are


class Link(NamedTuple):
    """`key` of `source` is `account`; `how` says on what evidence."""

    source: str
    key: str
    account: str
    how: str


@dataclass(frozen=True)
class Linked:
    """Links that are worked out as they are read, each time afresh: there are several times as many as accounts."""

    read: Callable[[], Iterator[Link]]

    def __iter__(self) -> Iterator[Link]:
        return self.read()


class Unsure(NamedTuple):
    """A key that could not be linked, why, and what would fix it."""

    source: str
    key: str
    name: str
    why: str
    fix: str
    accounts: tuple[str, ...] = ()


class Customer(Protocol):
    """What matching needs to know of an account."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def domains(self) -> Sequence[str]: ...
    @property
    def refs(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Links:
    """All links, and the keys that could not be linked."""

    linked: tuple[Link, ...]
    ambiguous: tuple[Unsure, ...]
    unmatched: tuple[Unsure, ...]

    def of(self, source: str) -> dict[str, str]:
        """key -> account for one source."""
        return {link.key: link.account for link in self.linked if link.source == source}


@dataclass(frozen=True)
class _Index:
    """Accounts by each kind of evidence."""

    crm_id: Mapping[str, list[str]]
    external_id: Mapping[str, list[str]]
    domain: Mapping[str, list[str]]


def worked_out(
    accounts: Sequence[Customer],
    keys: Iterable[Key],
    *,
    key_is: Mapping[str, KeyIs],
    explicit: Mapping[str, Mapping[str, str]] | None = None,
    shared_domains: Iterable[str] = (),
    merged: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Link | Unsure]:
    """Link every key to at most one account, one after another.

    `keys` holds each key once. `merged`: by the id of an account that is no more, the one that it went into, whose keys
    its keys are now. `key_is` says per source what its keys are. Where a key *is* the account's own id, external id or
    domain, each account that carries one is linked even if no key was ever seen, so that "never logged in" is a true
    zero.
    """
    index, said = _index(accounts, frozenset(shared_domains) | FREE_MAIL, merged), explicit or {}
    for source, pairs in said.items():
        for named, account in pairs.items():
            meant = account if account in index.crm_id else _spelled_out(account)
            yield Link(source, named, merged.get(meant, meant), "settings")
    for found in _carried(index, key_is):
        if found.key.key not in said.get(found.key.source, ()):
            yield _verdict(found)
    for key in keys:
        kind = key_is.get(key.source, "own")
        if key.key not in said.get(key.source, ()) and key.key not in _by(index, kind):
            yield _verdict(_evidence(key, index, kind))


def gathered(found: Iterable[Link | Unsure]) -> Links:
    """All of it at once."""
    results = [*found]
    unsure = [item for item in results if isinstance(item, Unsure)]
    return Links(
        tuple(item for item in results if isinstance(item, Link)),
        tuple(item for item in unsure if item.accounts),
        tuple(item for item in unsure if not item.accounts),
    )


def propose(unmatched: Sequence[Unsure], accounts: Sequence[Customer]) -> dict[tuple[str, str], tuple[str, float]]:
    """For unmatched keys with a name, the account with the most similar one and how similar (0-100). Never applied."""
    from rapidfuzz import fuzz, process

    names = {account.id: _plain(account.name) for account in accounts}
    proposals = {}
    for item in unmatched:
        found = item.name and process.extractOne(
            _plain(item.name), names, scorer=fuzz.token_sort_ratio, score_cutoff=SIMILAR
        )
        if found:
            proposals[item.source, item.key] = (found[2], found[1])
    return proposals


class _Found(NamedTuple):
    key: Key
    accounts: tuple[str, ...]
    how: str


def _index(accounts: Sequence[Customer], shared: frozenset[str], merged: Mapping[str, str]) -> _Index:
    external: defaultdict[str, list[str]] = defaultdict(list)
    domain: defaultdict[str, list[str]] = defaultdict(list)
    for account in accounts:
        if account.refs.get("external_id"):
            external[account.refs["external_id"]].append(account.id)
        for name in dict.fromkeys(account.domains):
            if name not in shared:
                domain[name].append(account.id)
    own = {account.id: [account.id] for account in accounts}
    by_crm_id: defaultdict[str, list[str]] = defaultdict(list, own)
    for gone, survivor in merged.items():
        if survivor in own and gone not in own:
            by_crm_id[gone].append(survivor)
    for account in accounts:
        if account.refs.get("crm_id"):
            by_crm_id[account.refs["crm_id"]].append(account.id)
    return _Index(by_crm_id, external, domain)


def _carried(index: _Index, key_is: Mapping[str, KeyIs]) -> Iterator[_Found]:
    for source, kind in key_is.items():
        for value, accounts in _by(index, kind).items():
            yield _Found(Key(source, value, None), tuple(dict.fromkeys(accounts)), kind)


def _by(index: _Index, kind: KeyIs) -> Mapping[str, list[str]]:
    return {"crm_id": index.crm_id, "external_id": index.external_id, "domain": index.domain}.get(kind, {})


def _evidence(key: Key, index: _Index, kind: KeyIs) -> _Found:
    looks = [
        ("crm_id", index.crm_id, [key.refs.get("crm_id", "")]),
        ("external_id", index.external_id, [key.refs.get("external_id", "")]),
        ("domain", index.domain, list(key.domains)),
    ]
    if kind != "own":
        looks.insert(0, (kind, _by(index, kind), [key.key]))
    for how, table, values in looks:
        accounts = tuple(dict.fromkeys(account for value in values for account in _at(table, value)))
        if accounts:
            return _Found(key, accounts, how)
    return _Found(key, (), "")


def _at(table: Mapping[str, list[str]], value: str) -> Sequence[str]:
    return table[value] if value in table else table.get(_spelled_out(value), ())


def _spelled_out(id: str) -> str:
    """A Salesforce id of 15 characters with the 3 more that tell which letters are capitals; all else as it is.

    Salesforce's API tells all 18; its reports, and what people copied from them, have 15.
    """
    if not _SHORT.fullmatch(id):
        return id
    fives = (id[first : first + 5] for first in (0, 5, 10))
    return id + "".join(_CAPITALS[sum(one.isupper() << n for n, one in enumerate(five))] for five in fives)


def _verdict(found: _Found) -> Link | Unsure:
    key = found.key
    if len(found.accounts) == 1:
        return Link(key.source, key.key, found.accounts[0], found.how)
    name = key.name or ""
    if not found.accounts:
        return Unsure(key.source, key.key, name, _why(key), _fix(key))
    ids = ", ".join(found.accounts[:5])
    why = f"its {found.how.replace('_', ' ')} belongs to {len(found.accounts)} accounts: {ids}"
    return Unsure(key.source, key.key, name, why, _fix(key), found.accounts)


def _why(key: Key) -> str:
    held = [word for word in ("crm_id", "external_id") if key.refs.get(word)]
    if held:
        return f"its {' and '.join(word.replace('_', ' ') for word in held)} is no account's"
    if key.domains:
        return f"no account has the domain {key.domains[0]}"
    return "it holds no id or domain that an account has"


def _fix(key: Key) -> str:
    return f"put the account's id into it, or add links.map.{key.source}: {{'{key.key}': ACCOUNT_ID}}"


def _plain(name: str) -> str:
    legal = {
        "inc",
        "llc",
        "ltd",
        "gmbh",
        "ag",
        "sa",
        "bv",
        "plc",
        "co",
        "corp",
        "corporation",
        "company",
        "limited",
    }
    words = "".join(letter if letter.isalnum() else " " for letter in name.casefold()).split()
    return " ".join(word for word in words if word not in legal) or name.casefold()

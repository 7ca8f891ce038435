"""The match report: what of each source is linked to an account, what is not, and what would fix the busiest of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from sync.links import Links, Unsure, propose
from sync.rows import AccountRow
from sync.worker import Worker

MOST = 20


@dataclass(frozen=True)
class Loose:
    """A key without an account: how many facts it holds, why, what would fix it, and an account of a similar name."""

    source: str
    key: str
    name: str
    facts: int
    why: str
    fix: str
    similar: str


@dataclass(frozen=True)
class Matched:
    """One source: how its keys were linked, how many accounts that covers, and how many keys were not."""

    source: str
    how: Mapping[str, int]
    accounts: int
    ambiguous: int
    unmatched: int


@dataclass(frozen=True)
class MatchReport:
    """Every source's matching, and the keys without an account that have the most facts."""

    accounts: int
    sources: Sequence[Matched]
    busiest: Sequence[Loose]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def match_report(worker: Worker) -> MatchReport:
    """Work the links out now and weigh what is not linked by the facts it holds; an empty key is only counted."""
    accounts = worker.state.accounts.members()
    links = worker.links(accounts)
    activity = _activity(worker)
    names = [*worker.sources, *(name for name in worker.destinations if name != worker.settings.home)]
    unsure = {name: _unsure(name, links, activity) for name in names}
    matched = [_matched(name, links, activity, unsure[name]) for name in names]
    telling = (item for items in unsure.values() for item in items if item.accounts or _facts(item, activity))
    loose = sorted(telling, key=lambda item: (-_facts(item, activity), item))
    return MatchReport(len(accounts), matched, _busiest(loose[:MOST], accounts, activity))


def _activity(worker: Worker) -> dict[tuple[str, str], int]:
    with closing(worker.log.connect(spill=worker.spill)) as connection:
        rows = connection.execute(
            "select source, account_key, count(*) from events where source <> ? group by all",
            [worker.settings.home],
        ).fetchall()
    return {(source, key): count for source, key, count in rows}


def _facts(item: Unsure, activity: Mapping[tuple[str, str], int]) -> int:
    return activity.get((item.source, item.key), 0)


def _unsure(name: str, links: Links, activity: Mapping[tuple[str, str], int]) -> list[Unsure]:
    """Keys of one source without an account: those of its directory, and those that only stand in facts."""
    listed = [item for item in (*links.ambiguous, *links.unmatched) if item.source == name]
    known = {item.key for item in listed} | set(links.of(name))
    stray = sorted(key for source, key in activity if source == name and key not in known)
    fix = f"put it on the account's record, or add links.map.{name}: {{KEY: ACCOUNT_ID}}"
    return [*listed, *(Unsure(name, key, "", "no account carries this key", fix) for key in stray)]


def _matched(name: str, links: Links, activity: Mapping[tuple[str, str], int], unsure: Sequence[Unsure]) -> Matched:
    own = [link for link in links.linked if link.source == name]
    ambiguous = sum(1 for item in unsure if item.accounts)
    how = Counter(link.how for link in own)
    return Matched(name, dict(how), len({link.account for link in own}), ambiguous, len(unsure) - ambiguous)


def _busiest(
    loose: Sequence[Unsure], accounts: Sequence[AccountRow], activity: Mapping[tuple[str, str], int]
) -> list[Loose]:
    similar = propose(loose, accounts)
    return [
        Loose(
            item.source,
            item.key,
            item.name,
            _facts(item, activity),
            item.why,
            item.fix,
            similar.get((item.source, item.key), ("", 0.0))[0],
        )
        for item in loose
    ]

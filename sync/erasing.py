"""Takes one customer out of everything that is kept.

The order makes a kill harmless: first the customer is barred from coming in again, then log and history lose it, and
only then the state by which it is found. Whoever begins again, with the account's id, goes on where it ended.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.base import Key
from sync import pulses, spare
from sync.budget import by_hand
from sync.deliveries import Delivered, Round, clearing, deliver
from sync.drift import Watch
from sync.erased import META, erased_of, without
from sync.links import FREE_MAIL, Link, Links, Unsure
from sync.rows import AccountRow, Delivery
from sync.traces import Looked, Words, look
from sync.worker import Worker

SCRATCH = ("spool", "spill")  # exports in flight and what did not fit into memory: nothing is lost with them
Pair = tuple[str, str]  # a system and a key of it


@dataclass(frozen=True)
class Doomed:
    """What will be removed of an account. `keys`: its own. `facts`: how many by source. `files`: left of exports.

    `shared`: keys that belong to other accounts as much as to this one, and how many facts they have; they stay.
    `words`: what the customer is known by. `accounts`: the account, and those of records that were merged into its own.
    """

    account: AccountRow
    accounts: frozenset[str]
    keys: frozenset[Pair]
    links: Sequence[Link]
    facts: Mapping[str, int]
    days: int
    deliveries: Sequence[Delivery]
    judgements: int
    files: Sequence[Path]
    shared: Sequence[tuple[Unsure, int]]
    words: Words


def doomed(worker: Worker, account: AccountRow) -> Doomed:
    """What there is of an account, and of those that went into it."""
    rows = [account, *(row for row in worker.state.accounts.all() if row.id != account.id)]
    accounts = frozenset({account.id, *_merged(worker, account.id, rows)})
    own, others = [row for row in rows if row.id in accounts], [row for row in rows if row.id not in accounts]
    links = worker.links([account, *(row for row in others if row.left_at is None)], removed=True)
    keys = frozenset(_keys(worker, own, others, links) | _records(worker, accounts))
    shared = [item for item in links.ambiguous if account.id in item.accounts]
    facts: Counter[str] = Counter()
    for (source, _), count in worker.log.counted(_by_system(keys)).items():
        facts[source] += count
    unsure = worker.log.counted(_by_system((item.source, item.key) for item in shared))
    return Doomed(
        account=account,
        accounts=accounts,
        keys=keys,
        links=[link for link in links.linked if link.account == account.id and link.source != worker.settings.home],
        facts=dict(sorted(facts.items())),
        days=worker.history.days_of(accounts),
        deliveries=_deliveries(worker, accounts, keys),
        judgements=sum(len(worker.state.judgements.all(one)) for one in accounts),
        files=[path for name in SCRATCH for path in (worker.settings.data / name).rglob("*")],
        shared=[(item, unsure.get((item.source, item.key), 0)) for item in shared],
        words=_words(worker, own, keys, others),
    )


def _merged(worker: Worker, account: str, rows: Iterable[AccountRow]) -> set[str]:
    """The accounts that went into this one; not one whose record was restored since, which is a customer by itself."""
    into = worker.state.deliveries.merged(worker.settings.home)
    gone = {record for record, survivor in into.items() if survivor == account}
    return gone - {row.id for row in rows if row.left_at is None}


def clear_records(worker: Worker, what: Doomed) -> Delivered:
    """Empty our fields on the customer's records in the CRMs. A field that is gone there needs no emptying.

    Raises `ConnectorError`.
    """
    now, result = worker.clock.now(), Delivered()
    today = worker.settings.day(now)
    open_ = [row for row in what.deliveries if row.status != "closed" and row.destination in worker.destinations]
    names = sorted({row.destination for row in open_})
    with by_hand(worker, names):
        for name in names:
            round_ = Round(worker.destinations[name], worker.settings.delivery, now, today, eager=True)
            _clear(worker, round_, [row for row in open_ if row.destination == name], result)
    return result


def _clear(worker: Worker, round_: Round, rows: Sequence[Delivery], result: Delivered) -> None:
    watch = Watch(worker, round_)
    watch.look()
    out = {one.field: one.message for one in watch.found if one.effect == "left out"}
    present = round_.destination.read([row.record_id for row in rows]) if out else {}
    held = {id: key for id, fields in present.items() for key in out if fields.get(key) is not None}
    planned = clearing(round_, [row for row in rows if row.record_id not in held])
    deliver(round_, watch.usable(planned), result, save=worker.state.deliveries.save)
    result.failed += len(held)
    result.named += [{"record": id, "code": "FIELD", "message": out[key]} for id, key in held.items()]


def erase(worker: Worker, what: Doomed, *, beat: Callable[[], None]) -> None:
    """Remove it all; harmless when some or all of it is gone already. The caller holds the lease."""
    state = worker.state
    spare.recall(worker)  # a file that state does not know would bring back what is erased here
    state.deliveries.recall_doubts()  # it names records
    state.set_meta(META, erased_of(worker).with_account(what.account.id, what.keys))
    beat()
    worker.log.erase(_by_system(what.keys))
    beat()
    worker.history.erase(what.accounts)
    for folder in (worker.settings.data / name for name in SCRATCH):
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
    beat()
    erased = erased_of(worker)
    cursors = {row.source: erased.cursor(row.source, row.cursor) for row in state.readings.all()}
    state.erase(what.accounts, what.keys, cursors, lambda report: without(report, what.words.mentioned))
    spare.keep(worker)
    state.vacuum()


def readmit(worker: Worker, account: str) -> bool:
    """Let an erased customer come in again; whether it was one. The caller holds the lease.

    Sources are read again from the start: what they were read for before is no zero of a customer who was left out.
    """
    erased = erased_of(worker)
    if not erased.account(account):
        return False
    worker.state.readings.forget_cursors(tuple(worker.sources))
    worker.state.set_meta(META, erased.without_account(account))
    spare.keep(worker)
    return True


def search(worker: Worker, what: Doomed) -> Looked:
    """Look for what is left of it."""
    return look(worker.settings.data, worker.state, what.words, spill=worker.spill)


def _records(worker: Worker, accounts: Iterable[str]) -> set[Pair]:
    """What accounts themselves are called: at home, and where people judge them."""
    return {(system, account) for system in (worker.settings.home, pulses.SOURCE) for account in accounts}


def _keys(worker: Worker, rows: Sequence[AccountRow], others: Sequence[AccountRow], links: Links) -> set[Pair]:
    """Its keys: those linked, and what sources would call it.

    A source that is no longer in the settings cannot say what its keys are: whatever the account is known by counts.
    """
    known = _known_by(others) | {*FREE_MAIL, *worker.settings.links.shared_domains}
    own = _known_by(rows) - known
    removed = worker.log.sources() - {*worker.sources, *worker.destinations, pulses.SOURCE}
    guessed = {(source, word) for source in removed for word in own}
    guessed |= {(source, f"domain:{word}") for source in {*removed, *worker.sources} for word in own}
    linked = {(link.source, link.key): link.account for link in links.linked}
    ids = {row.id for row in rows}
    taken = {pair for pair, to in linked.items() if to not in ids} | {(one.source, one.key) for one in links.ambiguous}
    return {pair for pair, to in linked.items() if to in ids} | (guessed - taken)


def _known_by(rows: Iterable[AccountRow]) -> set[str]:
    return {word for row in rows for word in (row.id, *row.refs.values(), *row.domains)}


def _by_system(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for system, key in sorted(pairs):
        found.setdefault(system, []).append(key)
    return found


def _deliveries(worker: Worker, accounts: Collection[str], keys: frozenset[Pair]) -> list[Delivery]:
    """Also to records that were its own once; of destinations in the settings, for of others nothing can be asked."""
    kept, records = worker.state.deliveries, _by_system(keys)
    rows = [row for name in worker.destinations for row in kept.of(name, records.get(name, ())).values()]
    rows += [row for row in kept.of_accounts(accounts) if row.destination in worker.destinations]
    return list({(row.destination, row.record_id): row for row in rows}.values())


def _words(worker: Worker, rows: Sequence[AccountRow], keys: frozenset[Pair], others: Sequence[AccountRow]) -> Words:
    """What the accounts of these rows and their keys are called, apart from what others are called."""
    directory: Sequence[Key] = worker.state.keys.all()
    own = [entry for entry in directory if (entry.source, entry.key) in keys]
    foreign = [entry for entry in directory if (entry.source, entry.key) not in keys]
    common = {*FREE_MAIL, *worker.settings.links.shared_domains}
    ids = _known_by(rows) | {key for _, key in keys}
    ids |= {word for key in own for word in (key.key, *key.domains, *key.refs.values())}
    names = {*(row.name for row in rows), *(key.name for key in own if key.name)}
    strangers = [word for row in others for word in (row.id, row.name, *row.domains, *row.refs.values())]
    strangers += [word for key in foreign for word in (key.key, key.name or "", *key.domains, *key.refs.values())]
    return Words.of(ids - common, names, strangers)

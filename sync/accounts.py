"""Reading the directories: the home's customers with their attributes, and other destinations' companies as keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

from connectors.base import Account, Event, Page
from connectors.errors import SettingsWrong
from sync.erased import erased_of
from sync.merged import pass_on
from sync.scores import midnight, within
from sync.worker import Worker, as_key

Levels = Callable[[Sequence[str]], Mapping[tuple[str, str], tuple[Any, int]]]
Look = Callable[[str, Sequence[Account]], None]

GRAIN = 1024  # the log keeps numbers to this fraction; what is compared with it has to be on the same grid
BLANK = "none"  # the label of an attribute that was emptied: a fact of its own, not a retraction of the past


def read_home(worker: Worker, *, now: datetime, seen_by: Look) -> dict[str, int]:
    """Read the records that are customers, and their attributes as level facts; how many were read and have left.

    `seen_by` is shown every page.
    """
    home, rules = worker.home, worker.settings.accounts
    last = worker.state.readings.of(home.name)
    seen: set[str] = set()
    facts = 0
    erased = erased_of(worker)
    with _levels(worker, home.name) as levels:
        for page in home.accounts(where=rules.where, attributes=rules.attributes):
            accounts = erased.records(home.name, page)
            events = _changed(levels, home.name, accounts, now)
            facts += worker.log.append(home.name, Page(events=events)).written
            # last: one that is known without its attributes would be scored by another scorecard
            worker.state.accounts.save(accounts, now=now)
            seen.update(account.id for account in accounts)
            seen_by(home.name, accounts)
    if not seen and worker.state.accounts.members():
        raise SettingsWrong(
            "no record meets accounts.where any more; the accounts known so far are kept", place=home.name
        )
    pass_on(
        worker,
        home.name,
        {row.id for row in worker.state.accounts.members()} - seen,
        today=worker.settings.day(now),
    )
    # a record that could not be used may be any of those that were not seen
    left = [] if home.left_out else worker.state.accounts.close_missing(seen, now=now)
    worker.state.readings.save(
        home.name,
        cursor=None,
        since=last.since if last and last.since else _today(worker, now),
        through=now + timedelta(microseconds=1),
        names=frozenset(rules.attributes),
    )
    return {"read": len(seen), "left": len(left), "facts": facts}


def read_companies(worker: Worker, name: str, *, now: datetime, seen_by: Look) -> int:
    """Read another destination's companies as keys, to be linked by the same rules as any source's; how many."""
    seen: set[str] = set()
    erased = erased_of(worker)
    for page in worker.destinations[name].accounts(where="", attributes={}):
        companies = erased.records(name, page)
        worker.state.keys.save([as_key(name, company) for company in companies], now=now)
        seen_by(name, companies)
        seen.update(company.id for company in companies)
    open_ = {record for record, row in worker.state.deliveries.standings(name).items() if row.status != "closed"}
    pass_on(worker, name, open_ - seen, today=worker.settings.day(now))
    if not worker.destinations[name].left_out:
        worker.state.keys.forget(name, before=now)
    return len(seen)


def _today(worker: Worker, now: datetime) -> datetime:
    """The day's beginning: a level seen in the course of a day is that day's level."""
    zone = worker.settings.timezone
    return midnight(now.astimezone(zone).date(), zone)


def _changed(levels: Levels, home: str, accounts: Sequence[Account], now: datetime) -> list[Event]:
    """A level fact for each attribute whose value is not the last one known, dated when we first saw it."""
    known = levels([account.id for account in accounts])
    events = []
    for account in accounts:
        for name, value in account.attributes.items():
            last, number = known.get((account.id, name), (None, 0))
            number_value, label = _as_fact(value)
            if (number_value, label) != last and (last is not None or value is not None):
                fact = f"{account.id}/{name}/{number + 1}"
                events.append(Event(home, fact, account.id, None, name, now, number_value, label))
    return events


def _as_fact(value: float | str | None) -> tuple[float | None, str | None]:
    if value is None:
        return None, BLANK
    if isinstance(value, str):
        return None, value[:64]
    return math.floor(value * GRAIN + 0.5) / GRAIN, None


@contextmanager
def _levels(worker: Worker, home: str) -> Iterator[Levels]:
    """By account and attribute the last value, and how many there have been; the log is read once for all pages."""
    with closing(worker.log.connect(spill=worker.spill)) as connection:
        connection.execute(
            "create temp table levels as select account_key, name, max(number) as number,"
            " max_by(struct_pack(v := value, l := label), number) as last from ("
            "  select account_key, name, value, label, cast(regexp_extract(id, '[0-9]+$') as integer) as number"
            "  from events where source = ?) group by account_key, name",
            [home],
        )

        def levels(ids: Sequence[str]) -> dict[tuple[str, str], tuple[Any, int]]:
            among, values = within("account_key", ids)
            query = f"select account_key, name, last.v, last.l, number from levels where true{among}"
            rows = connection.execute(query, values).fetchall()
            return {(key, name): ((value, label), number) for key, name, value, label, number in rows}

        yield levels

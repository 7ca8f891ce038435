"""Stand-ins that live in memory: a source that yields given pages, and a CRM that holds records."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from connectors.base import (
    Account,
    Allowance,
    Author,
    Change,
    Cursor,
    Drift,
    FieldValue,
    Finding,
    KeyIs,
    Outcome,
    Page,
    Write,
)
from connectors.clock import SteppedClock
from sync.history import History
from sync.loading import load
from sync.log import Log
from sync.salt import hashed_under
from sync.settings import Connector, Delivery
from sync.state import State
from sync.worker import Worker
from tests.postgres import migrated


class FakeSource:
    """Yields the pages it was given, once each; the cursor counts them."""

    address = ""

    def __init__(self, name: str, pages: Sequence[Page], *, names: tuple[str, ...], key_is: KeyIs = "crm_id") -> None:
        self.name, self.pages, self.names, self.key_is = name, list(pages), names, key_is
        self.fail: Exception | None = None

    def pull(self, cursor: Cursor | None, *, start: datetime, now: datetime) -> Iterator[Page]:
        done = cursor["page"] if cursor else 0
        for number, page in enumerate(self.pages[done:], start=done + 1):
            yield Page(
                events=page.events, keys=page.keys, cursor={"page": number}, through=page.through, since=page.since
            )
        if self.fail:
            raise self.fail

    def check(self) -> Iterator[Finding]:
        yield Finding(self.name, True, "well")

    def close(self) -> None:
        pass


class FakeCrm:
    """Holds records by id. `refuse`: record id -> the outcome its next writes get instead. `set_by`: record id -> who
    last set its fields, where the vendor tells. `gone`: id that is not there -> the record it was merged into, or None.
    """

    address = ""

    def __init__(self, name: str, accounts: Iterable[Account]) -> None:
        self.name = name
        self.records = {account.id: account for account in accounts}
        self.present: dict[str, dict[str, FieldValue]] = {id: {} for id in self.records}
        self.refuse: dict[str, Outcome] = {}
        self.set_by: dict[str, Author] = {}
        self.gone: dict[str, str | None] = {}
        self.calls: Counter[str] = Counter()
        self.left_out = ""
        self.drifts: list[Drift] = []
        self.described = ""
        self.written: list[Write] = []
        self.day: Allowance | None = None
        self.rationed: list[int | None] = []

    def accounts(
        self, *, where: str, attributes: Mapping[str, str], limit: int | None = None
    ) -> Iterator[Sequence[Account]]:
        self.calls["read"] += 1
        yield [replace(account, present=dict(self.present.get(id, {}))) for id, account in self.records.items()]

    def check(self, *, where: str, attributes: Mapping[str, str]) -> Iterator[Finding]:
        yield Finding(self.name, True, "well")

    def plan(self, *, prune: bool = False) -> Sequence[Change]:
        return ()

    def drift(self, *, since: datetime) -> Sequence[Drift]:
        self.calls["described"] += bool(self.drifts)
        return self.drifts

    def shape(self) -> str:
        return self.described

    def canonical(self, field: str, value: FieldValue) -> FieldValue:
        return round(value, 1) if isinstance(value, float) else value

    def read(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        self.calls["read"] += 1
        return {id: dict(self.present[id]) for id in ids if id in self.present}

    def write(self, writes: Sequence[Write]) -> Iterator[Outcome]:
        self.calls["write"] += 1
        for write in writes:
            if write.id in self.refuse:
                yield self.refuse[write.id]
                continue
            values = {key: self.canonical(key, value) for key, value in write.fields.items()}
            self.present[write.id].update(values)
            self.written.append(write)
            yield Outcome(write.id, True, confirmed=values)

    def authors(self, field: str, ids: Sequence[str]) -> Mapping[str, Author]:
        self.calls["read"] += 1
        return {id: self.set_by[id] for id in ids if id in self.set_by}

    def survivors(self, ids: Sequence[str]) -> Mapping[str, str | None]:
        self.calls["read"] += 1
        return {id: self.gone[id] for id in ids if id in self.gone}

    def cost(self, records: int) -> int:
        return 2 if records else 0

    def allowance(self) -> Allowance | None:
        return self.day

    def midnight(self) -> ZoneInfo | None:
        return None

    def ration(self, calls: int | None) -> None:
        self.rationed.append(calls)

    def close(self) -> None:
        pass


@contextmanager
def a_worker(
    folder: Path,
    *,
    home: FakeCrm,
    sources: Sequence[FakeSource] = (),
    others: Sequence[FakeCrm] = (),
    clock: SteppedClock,
    extra: str = "",
    state_url: str | None = None,
) -> Iterator[Worker]:
    """A worker with real log, state, history and scoring, whose vendors live in memory."""
    (folder / "card.yaml").write_text(CARD)
    (folder / "bellwether.yaml").write_text(
        f"home: {home.name}\nscorecard: card.yaml\n"
        f"destinations: {{{home.name}: {{kind: hubspot, access_token: x}}}}\n"
        f"accounts: {{where: all, attributes: {{seats: seats}}}}\n{extra}"
    )
    settings = load(folder / "bellwether.yaml")
    hour, month, nothing = timedelta(hours=1), timedelta(days=90), Delivery.model_validate({})
    connectors = {s.name: Connector(s.name, "fake", FakeSource, nothing, hour, month) for s in sources}
    further = {crm.name: Connector(crm.name, "fake", FakeCrm, nothing) for crm in others}
    data = settings.data
    data.mkdir(exist_ok=True)
    state = State(state_url or migrated(data / "state.db"))
    try:
        yield Worker(
            replace(settings, sources=connectors, destinations={**settings.destinations, **further}),
            clock,
            threading.Event(),
            state,
            Log(data / "log", timezone=settings.timezone, clock=clock, guard=state.holding),
            History(data / "history", guard=state.holding),
            {source.name: source for source in sources},
            {crm.name: crm for crm in (home, *others)},
            hashed_under(b"salt of the tests"),
        )
    finally:
        state.close()


CARD = """\
name: test card
dimensions:
  usage: {weight: 60, measures: {active: 1}}
  support: {weight: 40, measures: {tickets: 1}}
measures:
  active:
    {events: login, take: active_days, window: 10d, over: 10, absent: 0, points: {0: 0, 1: 100},
     label: Days with a login, unit: "%", action: Call them.}
  tickets:
    {events: ticket.created, take: count, window: 30d, absent: 100, points: {0: 100, 5: 0},
     label: Tickets in 30 days, action: Solve them.}
  seats: {events: seats, take: last}
"""

"""A company of any size for whole passes: its CRM in memory, its sources in a log that is filled beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb

from benchmarks import scoring_data as data
from connectors.base import Account, Change, Cursor, Event, FieldValue, Finding, Key, KeyIs, Outcome, Page, Write
from connectors.clock import SteppedClock
from sync.loading import load
from sync.settings import Connector, Delivery
from sync.worker import Worker, opened

HOME = "crm"
KEY_IS: Mapping[str, KeyIs] = {"mixpanel": "external_id", "surveys": "crm_id", "zendesk": "own"}
PAGE = 2_000
_SETTINGS = """\
home: crm
accounts: {where: all, attributes: {seats: seats, arr: arr}}
destinations: {crm: {kind: hubspot, access_token: bench}}
scorecard: card.yaml
"""


class Crm:
    """Holds what is written to it."""

    name, address, left_out = HOME, "", ""

    def __init__(self, accounts: int) -> None:
        self._accounts = accounts
        self.present: dict[str, Mapping[str, FieldValue]] = {}
        self.calls: Counter[str] = Counter()

    def accounts(
        self, *, where: str, attributes: Mapping[str, str], limit: int | None = None
    ) -> Iterator[Sequence[Account]]:
        for first in range(0, self._accounts, PAGE):
            yield [_account(n) for n in range(first, min(first + PAGE, self._accounts))]

    def check(self, *, where: str, attributes: Mapping[str, str]) -> Iterator[Finding]:
        yield Finding(self.name, True, "well")

    def plan(self) -> Sequence[Change]:
        return ()

    def canonical(self, field: str, value: FieldValue) -> FieldValue:
        return round(value, 1) if isinstance(value, float) else value

    def read(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        self.calls["read"] += 1
        return {id: self.present.get(id, {}) for id in ids}

    def write(self, writes: Sequence[Write]) -> Iterator[Outcome]:
        self.calls["write"] += 1
        for write in writes:
            values = {key: self.canonical(key, value) for key, value in write.fields.items()}
            self.present[write.id] = values
            yield Outcome(write.id, True, confirmed=values)

    def close(self) -> None:
        pass


class Source:
    """Has told all that is in the log; then whatever is put into `news`. Its directory comes with its first page."""

    address = ""

    def __init__(self, name: str, accounts: int) -> None:
        self.name, self.names, self.key_is = name, data.NAMES[name], KEY_IS[name]
        self.through = data.NOW
        self.news: list[Event] = []
        self._directory = accounts if self.key_is == "own" else 0

    def pull(self, cursor: Cursor | None, *, start: object, now: object) -> Iterator[Page]:
        for first in range(0, 0 if cursor else self._directory, PAGE):
            numbers = range(first, min(first + PAGE, self._directory))
            keys = [
                Key(self.name, f"{n}", f"Customer {n}", (), {"crm_id": data.KEYS["crm"].format(n)}) for n in numbers
            ]
            yield Page(keys=keys, since=data.midnight(data.start()))
        yield Page(events=self.news, cursor={"read": True}, since=data.midnight(data.start()), through=self.through)
        self.news = []

    def check(self) -> Iterator[Finding]:
        yield Finding(self.name, True, "well")

    def close(self) -> None:
        pass


@contextmanager
def working(folder: Path, accounts: int) -> Iterator[tuple[Worker, Crm, Mapping[str, Source], SteppedClock]]:
    """A worker with real log, state, history and scoring, whose vendors live in memory."""
    (folder / "card.yaml").write_bytes((data.HERE / "scorecard.yaml").read_bytes())
    (folder / "bellwether.yaml").write_text(_SETTINGS, encoding="utf-8")
    crm, sources, clock = Crm(accounts), {name: Source(name, accounts) for name in KEY_IS}, SteppedClock(data.NOW)
    hour, year = timedelta(hours=1), timedelta(days=365)
    rules = {name: Connector(name, "bench", Source, Delivery.model_validate({}), hour, year) for name in sources}
    with opened(load(folder / "bellwether.yaml"), clock=clock) as worker:
        settings = replace(worker.settings, sources=rules)
        yield replace(worker, settings=settings, sources=sources, destinations={HOME: crm}), crm, sources, clock


def fill(folder: Path, accounts: int) -> int:
    """Put three months of the sources' facts into the log of this folder, settled; how many."""
    spill = str(folder / "spill")
    with duckdb.connect(config={"threads": 2, "memory_limit": "4GB", "temp_directory": spill}) as facts:
        data.make_facts(facts, accounts)
        facts.execute(f"delete from facts where source = '{HOME}'")  # these the pass itself reads from the CRM
        data.fill(facts, data.open_log(folder / "bellwether-data" / "log"), KEY_IS)
        [(count,)] = facts.execute("select count(*) from facts").fetchall()
    return int(count)


def news(numbers: Iterable[int], day: int) -> list[Event]:
    """Something telling about each of these accounts: four urgent tickets on a day that many after the last."""
    moment = data.midnight(data.LAST) + timedelta(days=day, hours=9)
    return [
        Event("zendesk", f"new{n}/{day}/{k}/{name}", f"{n}", None, name, moment, 4.0, None)
        for n in numbers
        for k in range(4)
        for name in ("ticket.created", "ticket.severity")
    ]


def _account(n: int) -> Account:
    refs = {"external_id": data.KEYS["mixpanel"].format(n)}
    attributes: dict[str, float | str | None] = {"seats": 2.0 + n % 30, "arr": 500.0 + n * 7919 % 80000}
    id = data.KEYS[HOME].format(n)
    return Account(
        id, f"Customer {n}", (f"customer{n}.example",), refs, "owner", data.midnight(data.start()), attributes
    )

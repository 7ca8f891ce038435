"""Stand-ins that live in memory: a source that yields given pages, and a CRM that holds records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from connectors.base import Account, Change, Cursor, FieldValue, Finding, KeyIs, Outcome, Page, Write


class FakeSource:
    """Yields the pages it was given, once each; the cursor counts them."""

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
    """Holds records by id. `refuse`: record id -> the outcome its next writes get instead."""

    def __init__(self, name: str, accounts: Iterable[Account]) -> None:
        self.name = name
        self.records = {account.id: account for account in accounts}
        self.present: dict[str, dict[str, FieldValue]] = {id: {} for id in self.records}
        self.refuse: dict[str, Outcome] = {}
        self.calls: Counter[str] = Counter()
        self.written: list[Write] = []

    def accounts(
        self, *, where: str, attributes: Mapping[str, str], limit: int | None = None
    ) -> Iterator[Sequence[Account]]:
        self.calls["read"] += 1
        yield list(self.records.values())

    def check(self, *, where: str, attributes: Mapping[str, str]) -> Iterator[Finding]:
        yield Finding(self.name, True, "well")

    def plan(self) -> Sequence[Change]:
        return ()

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

    def close(self) -> None:
        pass

"""A machine's clock that is days wrong: real passes, beside a twin whose clock never was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from connectors.clock import SteppedClock
from connectors.moments import told_time
from connectors.sandbox import Sandbox
from sync import clocks
from sync.check import _clock
from sync.errors import StateError
from sync.loading import load
from sync.run import run_once
from sync.worker import Worker, opened
from tests.loopback import Answer, Loopback
from tests.postgres import migrated
from tests.served import carry_out

T = TypeVar("T")
START = datetime(2026, 11, 3, 6, tzinfo=UTC)
DAY = timedelta(days=1)
FACTS = "select source, id, account_key, name, day, value, label from events order by source, id"
CARD = """\
name: size
dimensions:
  size: {weight: 60, measures: {seats: 1}}
  support: {weight: 40, measures: {tickets: 1}}
measures:
  seats: {events: seats, take: last, points: {0: 0, 400: 100}, label: Seats, action: Sell some.}
  tickets:
    {events: ticket.created, take: count, window: 30d, absent: 100, points: {0: 100, 5: 0},
     label: Tickets in 30 days, action: Solve them.}
"""
SETTINGS = """\
home: crm
scorecard: card.yaml
accounts: {{where: "Type = 'Customer'", attributes: {{seats: Seats__c}}}}
sources: {{desk: {{kind: zendesk, base_url: "{zendesk}", client_id: sandbox, client_secret: sandbox-zendesk}}}}
destinations:
  crm: {{kind: salesforce, base_url: "{salesforce}", client_id: sandbox, client_secret: sandbox-salesforce}}
"""


class Wrong:
    """A clock that is wrong by so much."""

    def __init__(self, right: SteppedClock) -> None:
        self._right, self.by = right, timedelta()

    def now(self) -> datetime:
        return self._right.now() + self.by

    def sleep(self, seconds: float, stop: threading.Event) -> bool:
        return self._right.sleep(seconds, stop)


class Company:
    """A simulated company and its worker, which is opened anew for each pass."""

    def __init__(self, folder: Path, urls: Mapping[str, str], clock: SteppedClock) -> None:
        self.clock, self._own = clock, Wrong(clock)
        (folder / "bellwether-data").mkdir(parents=True)
        migrated(folder / "bellwether-data" / "state.db")
        (folder / "card.yaml").write_text(CARD)
        (folder / "bellwether.yaml").write_text(SETTINGS.format(**urls))
        self._settings = load(folder / "bellwether.yaml")

    def once(self, what: Callable[[Worker], T], by: timedelta = timedelta()) -> T:
        """What comes of something done by a clock that is wrong by so much."""
        self._own.by = by
        with opened(self._settings, clock=self._own) as worker:
            return what(worker)

    def next_day(self, org: Any) -> None:
        """Everybody has other seats."""
        self.clock.advance_to(START + DAY)
        for number, record in enumerate(sorted(org.live())):
            org.set_field(record, "Seats__c", 10 + 60 * number)


@contextmanager
def _company(folder: Path) -> Iterator[tuple[Company, Any]]:
    """One that has had its first pass, and what is behind its CRM."""
    clock = SteppedClock(START)
    vendors = ["salesforce", "zendesk"]
    with Sandbox(accounts=5, seed=5, clock=clock, vendors=vendors, history_days=20) as box:
        company = Company(folder, box.urls, clock)
        company.once(lambda worker: carry_out(worker.home.plan()))
        assert company.once(run_once).status == "done"
        yield company, box.crm["salesforce"]


def _seen(worker: Worker) -> Mapping[str, Any]:
    """What the worker knows and what the CRM holds, but for the moment of scoring."""
    with worker.log.connect(spill=worker.spill) as connection:
        facts = connection.execute(FACTS).fetchall()
    days, history = worker.history.days(final_only=True), worker.history
    scores = {day: (history.scores_on(day), history.standings_on(day)) for day in sorted(days)}
    held = worker.home.read(list(worker.state.deliveries.of("crm")))
    records = {id: {key: value for key, value in of.items() if key != "scored_at"} for id, of in held.items()}
    return {"facts": facts, "scores": scores, "records": records}


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Company, Mapping[str, Any]]]:
    """One by a clock that was right, and what there is after two days."""
    with _company(tmp_path_factory.mktemp("twin") / "twin") as (company, org):
        company.next_day(org)
        assert company.once(run_once).problems == []
        yield company, company.once(_seen)


def test_a_pass_whose_clock_is_days_wrong_is_refused_before_it_keeps_anything(
    twin: tuple[Company, Mapping[str, Any]],
) -> None:
    company, seen = twin
    before = company.once(_state)
    for by in (10 * DAY, -10 * DAY):
        with pytest.raises(
            StateError, match=r"clock: it is .* UTC by this .* 2026-11-04 06:\d\d by that of .*; set it"
        ):
            company.once(run_once, by=by)
    assert (company.once(_state), company.once(_seen)) == (before, seen)


def test_what_a_clock_that_was_ahead_has_dated_is_dated_anew_once_a_vendor_says_what_time_it_is(
    tmp_path: Path, twin: tuple[Company, Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with _company(tmp_path / "one") as (company, org):
        company.next_day(org)
        with monkeypatch.context() as patched:
            patched.setattr(clocks, "told_time", lambda address: None)
            company.once(run_once, by=10 * DAY)
            assert _days(company)[-1] > date(2026, 11, 10)
            with pytest.raises(StateError, match="the last pass was made at 2026-11-14"):
                company.once(lambda worker: run_once(worker, due_only=True))
        assert company.once(lambda worker: run_once(worker, due_only=True)).problems == []
        seen, wanted = dict(company.once(_seen)), dict(twin[1])
        assert _but("tier_since", seen.pop("records")) == _but("tier_since", wanted.pop("records"))
        assert seen == wanted
        assert company.once(_latest) <= company.clock.now() + DAY  # refused rows may have to wait that long


def _days(company: Company) -> list[date]:
    return sorted(company.once(lambda worker: worker.history.days(final_only=True)))


def _but(name: str, records: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {id: {key: value for key, value in of.items() if key != name} for id, of in records.items()}


def _state(worker: Worker) -> list[Any]:
    """All that is kept in state, but for whose turn it is."""
    return [rows for rows in worker.state.rows() if rows[0] != "lease"]


def _latest(worker: Worker) -> datetime:
    """The latest of all moments in state, but for those of runs."""
    rows = (row for table, rows in worker.state.rows() if table not in ("lease", "runs") for row in rows)
    return max(value for row in rows for value in row.values() if isinstance(value, datetime))


def test_one_vendor_that_agrees_is_enough_and_is_not_asked_again_within_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, asked = {"https://crm.example": START + DAY, "https://desk.example": START}, list[str]()
    company = Company(
        tmp_path, {"salesforce": "https://crm.example", "zendesk": "https://desk.example"}, SteppedClock(START)
    )

    def tells(address: str) -> datetime:
        asked.append(address)
        return told[address]

    monkeypatch.setattr(clocks, "told_time", tells)
    for _ in range(2):
        assert company.once(lambda worker: clocks.agrees(worker, worker.clock.now()))
    assert asked == list(told)
    monkeypatch.setattr(clocks, "told_time", lambda address: None)
    company.clock.advance_to(START + timedelta(hours=1))
    assert not company.once(lambda worker: clocks.agrees(worker, worker.clock.now()))


def test_check_names_a_clock_that_no_vendor_agrees_with(twin: tuple[Company, Mapping[str, Any]]) -> None:
    [found] = twin[0].once(lambda worker: list(_clock(worker)), by=10 * DAY)
    assert (found.place, found.ok) == ("clock", False)
    assert "2026-11-14 06:" in found.message
    assert twin[0].once(lambda worker: list(_clock(worker))) == []


@pytest.mark.parametrize(
    ("header", "moment"),
    [
        ({"Date": "Tue, 03 Nov 2026 06:00:00 GMT"}, START),
        ({"Date": "Tue, 03 Nov 2026 06:00:00 -0000"}, START),
        ({"Date": "yesterday"}, None),
        ({}, None),
    ],
)
def test_the_time_is_what_any_answer_is_dated(header: Mapping[str, str], moment: datetime | None) -> None:
    with Loopback(lambda _: Answer()) as vendor:
        vendor.heads = header
        assert told_time(vendor.url) == moment
    assert told_time(vendor.url) is None  # nobody is there

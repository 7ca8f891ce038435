"""The calls of a vendor's day: how many a pass may make, what is left to later ones, and in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Account, Allowance, Event, FieldValue, Outcome, Page, Write
from connectors.clock import SteppedClock
from connectors.errors import WaitUntil
from connectors.hubspot import HubSpot
from connectors.hubspot import Settings as HubSpotSettings
from connectors.salesforce import Salesforce
from connectors.salesforce import Settings as SalesforceSettings
from connectors.sandbox import Sandbox
from sync.budget import DAY, QUARTER, Book, Budget, by_hand
from sync.deliveries import Delivered, Round, deliver, planned_for, worthwhile
from sync.health import Health
from sync.rows import Judgement
from sync.run import run_once
from sync.settings import Accounts, Share
from sync.settings import Delivery as Rules
from sync.show import show_report
from sync.state import State
from sync.urgency import in_order
from sync.verdicts import Verdict
from sync.worker import Worker
from tests.fakes import FakeCrm, FakeSource, a_worker
from tests.postgres import ASKED
from tests.served import tools

START = datetime(2026, 11, 3, 6, tzinfo=UTC)
BORN = datetime(2025, 1, 1, tzinfo=UTC)
NOTE = Judgement(0, "note", "a000", "Ann", "Why", START.date(), START.date(), None, None, None, False, START)
EASTERN = ZoneInfo("America/New_York")


class Metered(FakeCrm):
    """Ten records a call; the vendor counts what everybody calls in a day, and holds to the ration."""

    limit, others = 100, 0
    zone: ZoneInfo | None = None

    def __init__(self, name: str, accounts: Sequence[Account]) -> None:
        super().__init__(name, accounts)
        self.made = 0
        self.ration_left: int | None = None

    def call(self, purpose: str) -> None:
        if self.ration_left is not None:
            if self.ration_left <= 0:
                raise WaitUntil("used up", seconds=0, place=self.name, quota=True)
            self.ration_left -= 1
        self.calls[purpose] += 1
        self.made += 1

    def accounts(self, **asked: Any) -> Iterator[Sequence[Account]]:
        self.call("read")
        yield list(self.records.values())

    def read(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        for _ in range(0, len(ids), 10):
            self.call("read")
        return {id: dict(self.present[id]) for id in ids}

    def write(self, writes: Sequence[Write]) -> Iterator[Outcome]:
        for start in range(0, len(writes), 10):
            self.call("write")
            yield from super().write(writes[start : start + 10])
            self.calls["write"] -= 1  # counted above

    def cost(self, records: int) -> int:
        return 2 * -(-records // 10)

    def allowance(self) -> Allowance | None:
        return Allowance(self.limit, max(0, self.limit - self.others - self.made))

    def midnight(self) -> ZoneInfo | None:
        return self.zone

    def ration(self, calls: int | None) -> None:
        self.ration_left = calls


def _crm(records: int = 100) -> Metered:
    return Metered("crm", [Account(f"a{n:03}", f"A{n}", since=BORN, attributes={"seats": 5.0}) for n in range(records)])


def _budget(state: State, crm: Metered, now: datetime = START, *, share: float = 0.5, leave: float = 0.1) -> Budget:
    return Budget(state, crm, Share(share, leave), now)


def _spend(state: State, crm: Metered, calls: int, now: datetime) -> int:
    """How many of so many calls a pass could make."""
    budget, before = _budget(state, crm, now), crm.made
    budget.fitting(["row"])
    try:
        while crm.made - before < calls:
            crm.call("write")
            budget.note()
    except WaitUntil:
        assert crm.ration_left == 0
    finally:
        budget.note(all=True)
    return crm.made - before


def test_only_so_many_rows_are_taken_as_there_are_calls_for(state: State) -> None:
    crm = _crm()
    budget = _budget(state, crm, share=0.13)
    assert len(budget.fitting(range(100))) == 60  # 13 calls: six to read them again, six to write them
    assert budget.told() | {"listing": 0} == {
        "limit": 100, "left": 100, "used": 0, "share": 13, "kept": 10, "listing": 0,
        "records": 100, "forecast": 20, "fitting": 60,
    }  # fmt: skip
    with pytest.raises(
        WaitUntil, match="40 of 100 records, the least urgent, are left to later passes: of its share of"
    ):
        budget.refuse()


def test_what_others_used_up_is_left_alone_though_the_share_is_whole(state: State) -> None:
    crm = _crm()
    crm.others = 80
    budget = _budget(state, crm)
    assert len(budget.fitting(range(100))) == 50
    assert budget.rest == 3600
    with pytest.raises(WaitUntil, match="20 of the day's 100 calls are left at crm and 10 are kept for other integrat"):
        budget.refuse()


def test_everything_fits_where_there_is_no_daily_limit(state: State) -> None:
    budget = Budget(state, FakeCrm("crm", []), Share(0.01, 0.9), START)
    assert len(budget.fitting(range(100))) == 100
    budget.note(all=True)
    assert state.meta("calls:crm") is None
    assert budget.told() == {"listing": 0, "records": 100, "forecast": 2, "fitting": 100}


def test_the_share_is_kept_over_restarts_and_a_kill_forgets_but_a_few_calls(state: State) -> None:
    crm = _crm()
    assert _spend(state, crm, 30, START) == 30
    killed = _budget(state, crm, START + timedelta(hours=1))
    killed.fitting(["row"])
    for _ in range(15):
        crm.call("write")
    assert _spend(state, crm, 30, START + timedelta(hours=2)) == 20  # the killed one's 15 had not been written down
    assert _spend(state, crm, 1, START + timedelta(hours=3)) == 0


def test_a_call_beyond_the_forecast_is_not_made(state: State) -> None:
    crm = _crm()
    budget = _budget(state, crm, share=0.2)
    assert len(budget.fitting(["row"])) == 1
    with pytest.raises(WaitUntil):
        list(iter(lambda: crm.call("write"), "never"))  # tried again and again
    assert crm.made == 20


def test_what_others_use_meanwhile_shrinks_the_ration(state: State) -> None:
    crm = _crm()
    budget = _budget(state, crm)
    budget.fitting(range(10))
    for _ in range(20):
        crm.call("write")
    crm.others = 65
    budget.note()
    assert crm.ration_left == 5


def test_a_share_that_is_used_up_is_known_without_asking(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    crm = _crm()
    _spend(state, crm, 60, START)
    monkeypatch.setattr(crm, "allowance", lambda: pytest.fail("asked"))
    budget = _budget(state, crm, START + timedelta(hours=5))
    assert list(budget.fitting(["row"])) == []
    assert crm.ration_left == 0
    assert budget.rest == timedelta(hours=19).total_seconds()


def test_a_nightly_run_at_the_same_minute_finds_its_share_whole(state: State) -> None:
    crm = _crm()
    at = START + timedelta(minutes=7, seconds=3)
    for night in range(3):
        crm.made = 0
        assert _spend(state, crm, 60, at + night * DAY) == 50


def test_hubspots_day_ends_at_the_accounts_own_midnight_also_when_clocks_change(state: State) -> None:
    crm = _crm()
    crm.zone = EASTERN
    spent: list[int] = []
    for local in ("2026-10-31 22:00", "2026-10-31 23:50", "2026-11-01 00:05", "2026-11-01 23:50", "2026-11-02 00:05"):
        now = datetime.fromisoformat(local).replace(tzinfo=EASTERN).astimezone(UTC)
        crm.made = 0
        if not spent:
            _budget(state, crm, now).listed(lambda: crm.call("read"))  # which says when the day ends
        spent.append(_spend(state, crm, 60, now))
    assert spent == [49, 0, 50, 0, 50]


def test_a_directory_is_not_begun_that_cannot_be_read_to_its_end(state: State) -> None:
    crm = _crm()

    def reading() -> str:
        for _ in range(30):
            crm.call("read")
        return "read"

    assert _budget(state, crm).listed(reading) == "read"
    with pytest.raises(
        WaitUntil, match=r"crm: its directory is not read, which takes about 30 calls: of its share of 50"
    ):
        _budget(state, crm).listed(reading)
    assert crm.made == 30


_day = st.integers(0, 3 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))


@given(
    st.dictionaries(_day, st.integers(1, 9), max_size=20),
    _day,
    st.sampled_from([None, EASTERN, ZoneInfo("Asia/Kathmandu")]),
)
def test_calls_count_for_the_vendors_day_to_a_quarter_of_an_hour(
    made: dict[datetime, int], now: datetime, zone: ZoneInfo | None
) -> None:
    calls, made = dict[str, int](), {moment: count for moment, count in made.items() if moment <= now}
    for moment, count in made.items():
        quarter = moment.replace(minute=moment.minute // 15 * 15).isoformat()
        calls[quarter] = calls.get(quarter, 0) + count
    local = now.astimezone(zone) if zone else now
    began = local.replace(hour=0, minute=0, second=0, microsecond=0) if zone else now - DAY
    book = Book(calls, zone.key if zone else None)
    slack = timedelta() if zone else QUARTER
    at_least = sum(count for moment, count in made.items() if moment >= began + slack)
    at_most = sum(count for moment, count in made.items() if moment >= began)
    assert at_least <= book.used(now) <= at_most
    if book.used(now):
        assert book.used(book.back(now)) < book.used(now) or zone
        assert now < book.back(now) <= now + DAY


@pytest.mark.parametrize("url", [ASKED], indirect=True)
def test_a_tenth_of_the_calls_a_day_is_enough_in_ten_days_and_the_worst_do_not_wait(state: State) -> None:
    """A thousand changed records; every day one more becomes the worst of all."""
    crm, written = _crm(1000), list[list[str]]()
    crm.limit = 40
    scores = {account: 30.0 + number / 20 for number, account in enumerate(crm.records)}
    for day in range(10):
        scores[f"a{990 + day}"] = 1.0
        now, crm.made, before = START + day * DAY, 0, len(crm.written)
        _deliver(state, crm, scores, now)
        written.append([write.id for write in crm.written[before:]])
        assert crm.made <= 20
    assert [len(rows) for rows in written] == [100] * 10
    assert sorted(chain.from_iterable(written)) == sorted(scores)
    assert all(f"a{990 + day}" in rows for day, rows in enumerate(written))
    assert sum(account < "a091" for account in written[0]) == 91  # nine in ten are the worst, one has waited longest
    _deliver(state, crm, scores, START + 10 * DAY)
    assert len(crm.written) == 1000


def _deliver(state: State, crm: Metered, scores: Mapping[str, float], now: datetime) -> None:
    round_, result = Round(crm, Rules.model_validate({"refresh": "90d"}), now, now.date()), Delivered()
    verdicts = {one: Verdict(one, {"score": score, "tier": "red"}, "red", "") for one, score in scores.items()}
    known = state.deliveries.of("crm")
    picked = worthwhile(round_, verdicts, [(one, one) for one in verdicts], known, result)
    planned, budget = in_order(round_, planned_for(picked, verdicts, known)), _budget(state, crm, now, leave=0)
    deliver(round_, budget.fitting(planned), result, save=state.deliveries.save)
    budget.note(all=True)


def _logins(account: str, days: int) -> list[Event]:
    return [
        Event("product", f"{account}/u/{day}/login", account, "u", "login", START - timedelta(days=day, hours=6), 1.0)
        for day in range(1, days + 1)
    ]


@contextmanager
def _at_work(folder: Path, crm: Metered, *, delivery: str) -> Iterator[tuple[Worker, SteppedClock]]:
    """Accounts whose ids end in 0 are the worst, in 9 the best."""
    facts = [event for account in crm.records for event in _logins(account, int(account[-1]) + 1)]
    source = FakeSource("product", [Page(events=facts, through=START.replace(hour=0))], names=("login",))
    clock = SteppedClock(START)
    with a_worker(folder, home=crm, sources=[source], clock=clock, extra=f"delivery: {delivery}\n") as worker:
        yield worker, clock


def _a_day_later(crm: Metered, clock: SteppedClock) -> None:
    clock.advance_to(clock.now() + DAY)
    crm.made = 0


def test_a_pass_that_leaves_records_is_partial_and_says_why_in_one_line(tmp_path: Path) -> None:
    crm = _crm(30)
    with _at_work(tmp_path, crm, delivery="{share: 0.03, leave: 0}") as (worker, clock):
        report = run_once(worker)
        assert report.status == "partial"
        assert [str(problem) for problem in report.problems] == [
            "crm: 20 of 30 records, the least urgent, are left to later passes: of its share of 3 calls a day this"
            " worker has made 3; raise delivery.share"
        ]
        assert report.budget["crm"]["forecast"] == 6
        health = Health(clock)
        health.note(report, [], clock.now())
        value = health.registry.get_sample_value
        assert value("bellwether_rows_left", {"destination": "crm"}) == 20
        assert value("bellwether_day_calls", {"destination": "crm", "what": "used"}) == 3


def test_a_daemon_comes_back_when_its_calls_do(tmp_path: Path) -> None:
    crm = _crm(30)
    with _at_work(tmp_path, crm, delivery="{share: 0.05, leave: 0}") as (worker, clock):
        assert run_once(worker, due_only=True).delivered["crm"]["left"] == 10
        clock.advance_to(START + timedelta(hours=23))
        assert "left alone until 06:00 UTC" in run_once(worker, due_only=True).problems[0].message
        assert crm.made == 5
        clock.advance_to(START + DAY)
        crm.made = 0
        report = run_once(worker, due_only=True)
        assert (report.status, report.delivered["crm"]["left"]) == ("done", 0)


def test_a_rehearsal_says_what_would_be_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crm = _crm(30)
    with _at_work(tmp_path, crm, delivery="{share: 0.05, leave: 0}") as (worker, _):
        report = run_once(worker, dry_run=True)
    assert crm.written == []
    show_report(replace(report, differences=[]), dry_run=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "crm: about 6 calls for 30 records, 1 for reading its directory; 96 of the day's 100 are left" in said
    assert "this worker has made 4 of its 5: 10 records would be left to later passes" in said


@contextmanager
def _simulated(vendor: str, folder: Path, *, spare: int, state: str) -> Iterator[tuple[Worker, Any, SteppedClock]]:
    """A worker whose home is a CRM over HTTP, of whose calls others use up four fifths a day; it may make `spare`."""
    clock, limit = SteppedClock(START), 1000
    with Sandbox(accounts=300, seed=5, clock=clock, vendors=[vendor]) as box:
        store = box.crm[vendor]
        store.daily.most, store.calls_left = limit, limit // 5
        made = _connected(vendor, box.urls[vendor], folder, clock)
        for change in made.plan():
            change.apply()
        where = "Type = 'Customer'" if vendor == "salesforce" else "lifecyclestage = customer"
        source = FakeSource("product", [_activity(made, where)], names=("login",))
        store.calls_left = limit // 5
        leave = f"delivery: {{share: 1, leave: {0.2 - spare / limit:.3f}, refresh: 90d}}\n"
        with a_worker(folder, home=made, sources=[source], clock=clock, extra=leave, state_url=state) as worker:
            accounts = Accounts.model_validate({"where": where})
            yield replace(worker, settings=replace(worker.settings, accounts=accounts)), store, clock


def _connected(vendor: str, url: str, folder: Path, clock: SteppedClock) -> Any:
    handed = tools(folder, clock)
    if vendor == "hubspot":
        given = {"base_url": url, "access_token": "sandbox-hubspot"}
        return HubSpot("crm", HubSpotSettings.model_validate(given), handed)
    given = {"base_url": url, "client_id": "sandbox", "client_secret": "sandbox-salesforce"}
    return Salesforce("crm", SalesforceSettings.model_validate(given), handed)


def _activity(crm: Any, where: str) -> Page:
    """The accounts were there on a tenth of the days, two tenths, and so on."""
    ids = [account.id for page in crm.accounts(where=where, attributes={}) for account in page]
    facts = [event for number, id in enumerate(ids) for event in _logins(id, number % 10 + 1)]
    return Page(events=facts, through=START.replace(hour=0))


@pytest.mark.parametrize("url", [ASKED], indirect=True)
@pytest.mark.parametrize(("vendor", "spare"), [("salesforce", 5), ("hubspot", 11)])
def test_with_four_fifths_of_the_day_gone_a_run_stops_inside_its_share_and_goes_on_the_next_day(
    tmp_path: Path, url: str, vendor: str, spare: int
) -> None:
    with _simulated(vendor, tmp_path, spare=spare, state=url) as (worker, store, clock):
        first = run_once(worker)
        told = {written.record for written in store.writes if written.by == "api"}
        assert (first.delivered["crm"]["left"], len(told)) == (100, 200)
        assert store.calls_left >= 200 - spare
        scores = {account: total.score or 0 for account, total in worker.state.totals.all().items()}
        worst = sorted(scores.values())[179]
        assert sum(scores[account] <= worst for account in told) >= 180
        clock.advance_to(clock.now() + DAY)
        store.calls_left = 200
        second = run_once(worker)
        assert store.calls_left >= 200 - spare
        assert (second.delivered["crm"]["left"], second.problems) == (0, [])
        assert {row.status for row in worker.state.deliveries.of("crm").values()} == {"confirmed"}
        assert len(worker.state.deliveries.of("crm")) == 300


def test_what_a_person_asks_for_counts_and_goes_beyond_the_share_and_stops_at_what_others_keep(tmp_path: Path) -> None:
    crm = _crm(10)
    with _at_work(tmp_path, crm, delivery="{share: 0.05, leave: 0.8}") as (worker, clock):
        with by_hand(worker) as calls:
            for _ in range(8):
                crm.call("read")
        assert calls == {"crm": "8 calls; 92 of the day's 100 are left"}
        with pytest.raises(WaitUntil), by_hand(worker) as calls:
            deque(iter(lambda: crm.call("read"), "never"))
        assert calls == {"crm": "12 calls; 80 of the day's 100 are left"}
        assert Book.of(worker.state, "crm").used(clock.now()) == 20
        assert "this worker has made 20" in str(run_once(worker).problems[0])
        assert crm.made == 20


def test_calls_of_a_person_are_not_lost_in_those_of_a_pass_that_is_under_way(state: State) -> None:
    crm, worker = _crm(), SimpleNamespace(state=state, clock=SteppedClock(START))
    worker.destinations, worker.settings = {"crm": crm}, SimpleNamespace(share=lambda name: Share(0.5, 0.1))
    budget = _budget(state, crm)
    budget.fitting(["row"])
    with by_hand(worker):  # type: ignore[arg-type]
        crm.call("read")
    crm.call("write")
    budget.note(all=True)
    assert sum(Book.of(state, "crm").asked.values()) == 1


def test_a_daemon_that_has_no_calls_left_scores_no_more_until_it_has_or_there_is_something_new(tmp_path: Path) -> None:
    crm = _crm(30)
    with _at_work(tmp_path, crm, delivery="{share: 0.05, leave: 0}") as (worker, clock):
        scored = []
        for minutes in (0, 5, 10, 15):
            clock.advance_to(START + timedelta(minutes=minutes))
            report = run_once(worker, due_only=True)
            scored.append(bool(report.scored))
            assert "left" in report.problems[0].message
        assert scored == [True, False, False, False]
        worker.state.judgements.add(NOTE)
        assert run_once(worker, due_only=True).scored
        clock.advance_to(START + DAY)
        assert run_once(worker, due_only=True).delivered["crm"]["written"]

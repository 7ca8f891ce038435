"""What people change in the CRMs: it becomes a judgement and stays, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import FIELDS, Account, Author, FieldValue, Outcome, Write
from connectors.clock import SteppedClock
from connectors.errors import AgainNow
from connectors.values import canonical
from sync.rows import Delivery, Judgement
from sync.run import run_once
from sync.worker import Worker
from tests.edits import Company, main
from tests.fakes import FakeCrm, a_worker

MONDAY = datetime(2026, 11, 2, 9, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BY_KEY = {one.key: one for one in FIELDS}
AMBER = {"green": "green", "yellow": "Amber", "red": "red"}


class Living(FakeCrm):
    """A CRM in which others work, too. `tells`: it says who set a field. `next_write`: what becomes of it."""

    def __init__(self, name: str, records: Sequence[str], tiers: Mapping[str, str]) -> None:
        super().__init__(name, [Account(record, record) for record in records])
        self.tiers, self.tells = tiers, True
        self.next_write: Literal["lost", "unsaid", "refused", "killed", ""] = ""
        self.left: dict[str, FieldValue] = {}  # the tier that we wrote last
        self.now = MONDAY

    def canonical(self, field: str, value: FieldValue) -> FieldValue:
        return canonical(BY_KEY[field], value, tiers=self.tiers)

    def read(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        found = super().read(ids)
        return {id: {key: self.canonical(key, value) for key, value in held.items()} for id, held in found.items()}

    def write(self, writes: Sequence[Write]) -> Iterator[Outcome]:
        how, self.next_write = self.next_write, ""
        if how == "killed":
            raise KeyboardInterrupt
        if how == "refused":
            raise AgainNow("did not answer", place=self.name)
        for outcome in super().write(writes):
            self.set_by[outcome.id] = Author("us", at=self.now)
            self.left[outcome.id] = self.present[outcome.id].get("tier")
            if how == "lost":
                raise AgainNow("the answer was lost", place=self.name)
            yield Outcome(outcome.id, False, None, "NO_RESULT", "", "again") if how == "unsaid" else outcome

    def authors(self, field: str, ids: Sequence[str]) -> Mapping[str, Author]:
        return super().authors(field, ids) if self.tells else {}

    def set(
        self, record: str, tier: str | None, by: Literal["person", "machine"] = "person", name: str = "Ann"
    ) -> None:
        """Somebody sets the tier; a minute passes."""
        self.now += timedelta(minutes=1)
        self.present[record]["tier"] = tier
        self.set_by[record] = Author(by, name, self.now)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    home = Living("crm", (), AMBER)
    with a_worker(tmp_path_factory.mktemp("edits"), home=home, clock=SteppedClock(MONDAY)) as opened:
        yield opened


_numbers = iter(range(10**6))


class Two:
    """One account, its record in each of two CRMs, and the days that go by."""

    def __init__(self, worker: Worker) -> None:
        self.account = self.record = f"a{next(_numbers)}"
        crms = [Living("crm", [self.record], dict(zip(*2 * [AMBER], strict=True))), Living("hub", [self.record], AMBER)]
        crms[0].tiers = {tier: tier for tier in AMBER}
        self.crms = {crm.name: crm for crm in crms}
        self.worker = replace(worker, destinations=self.crms)
        worker.state.accounts.save([Account(self.account, "Alder")], now=MONDAY)
        records = {name: {self.record: self.account} for name in self.crms}
        self.company = Company(self.worker, {self.account: "green"}, records)
        self.now = MONDAY

    def a_pass(self, *, whole: bool = True) -> None:
        for crm in self.crms.values():
            crm.now = max(crm.now, self.now)
        self.company.a_pass(self.now, whole=whole)
        self.now += HOUR

    def held(self) -> tuple[Any, Any]:
        words: dict[FieldValue, str] = {value: tier for tier, value in AMBER.items()}
        tiers = (crm.canonical("tier", crm.present[self.record].get("tier")) for crm in self.crms.values())
        crm, hub = tiers
        return crm, words.get(hub, hub)

    def judgements(self) -> list[Judgement]:
        return self.worker.state.judgements.all(self.account)

    def rows(self) -> list[Delivery]:
        return [self.worker.state.deliveries.of(name)[self.record] for name in self.crms]


@pytest.fixture
def two(worker: Worker) -> Two:
    """An account of which both CRMs have been told."""
    two = Two(worker)
    two.a_pass()
    return two


def test_what_a_person_sets_back_to_sundays_tier_stays_and_is_told_in_both_crms(two: Two) -> None:
    two.company.tiers[two.account] = "yellow"
    two.a_pass()
    assert two.held() == ("yellow", "yellow")
    two.crms["crm"].set(two.record, "green")
    two.a_pass()
    assert two.held() == ("green", "green")
    [said] = two.judgements()
    assert (said.tier, said.author, said.reason) == ("green", "Ann", "set to green in crm")
    assert (said.day, said.until) == (MONDAY.date(), MONDAY.date() + timedelta(days=30))
    assert said.made_at == MONDAY + timedelta(hours=1, minutes=1)
    assert "Set to green by Ann until 2026-12-02 (the score says yellow)" in str(two.crms["hub"].present[two.record])
    [edit] = two.company.results["crm"].edits
    assert (edit["from"], edit["to"], edit["by"], edit["until"]) == ("yellow", "green", "Ann", "2026-12-02")
    two.now += timedelta(days=30)
    two.a_pass()
    assert two.held() == ("green", "green")  # its last day
    two.now += DAY
    two.a_pass()
    assert (two.held(), len(two.judgements())) == (("yellow", "yellow"), 1)


def test_the_vendors_word_decides_between_an_echo_and_an_edit(worker: Worker) -> None:
    """A machine that says again what we once said is written over; one that says something new is not."""
    for by, tells, tier, stays in (
        ("machine", True, "green", False),
        ("machine", True, "red", True),
        ("person", True, "green", True),
        ("machine", False, "green", True),
    ):
        two = Two(worker)
        two.a_pass()
        two.company.tiers[two.account] = "yellow"
        two.a_pass()
        two.crms["hub"].tells = tells
        two.crms["hub"].set(two.record, tier, by)  # type: ignore[arg-type]
        two.a_pass()
        assert two.held() == (tier, tier) if stays else ("yellow", "yellow")
        assert len(two.judgements()) == stays


def test_what_we_wrote_ourselves_is_no_edit_even_if_state_has_forgotten_it(worker: Worker, two: Two) -> None:
    old = two.rows()
    two.company.tiers[two.account] = "red"
    two.a_pass()
    two.company.tiers[two.account] = "yellow"
    worker.state.deliveries.save(old)  # as it stood in yesterday's backup
    two.a_pass()
    assert (two.held(), two.judgements()) == (("yellow", "yellow"), [])


def test_one_edit_that_a_sync_carries_over_is_one_judgement_by_the_person(two: Two) -> None:
    two.crms["hub"].set(two.record, "Amber")
    two.crms["crm"].set(two.record, "Yellow ", "machine", "CRM Sync")
    two.a_pass()
    assert [(said.author, said.tier) for said in two.judgements()] == [("Ann", "yellow")]
    two.a_pass()
    two.a_pass()
    assert len(two.judgements()) == 1


def test_of_two_edits_the_newest_wins_and_both_are_kept(two: Two) -> None:
    two.crms["crm"].now += HOUR
    two.crms["crm"].set(two.record, "red", name="Ben")
    two.crms["hub"].set(two.record, "Amber")
    two.now += DAY
    two.a_pass()
    assert [(said.author, said.tier) for said in two.judgements()] == [("Ann", "yellow"), ("Ben", "red")]
    two.a_pass()
    assert two.held() == ("red", "red")


def test_a_word_given_since_is_newer_than_an_edit_that_is_found_late(worker: Worker, two: Two) -> None:
    two.crms["crm"].set(two.record, "red")
    last = MONDAY.date() + timedelta(days=9)
    word = Judgement(0, "override", two.account, "Ben", "why", MONDAY.date(), last, "yellow", None, None, False, MONDAY)
    worker.state.judgements.add(replace(word, made_at=MONDAY + HOUR / 2))
    two.a_pass()
    assert two.held() == ("yellow", "yellow")
    assert [(said.author, said.tier) for said in two.judgements()] == [("Ben", "yellow"), ("Ann", "red")]


def test_a_second_edit_supersedes_the_first_also_back_to_what_the_score_says(two: Two) -> None:
    for tier in ("red", "green"):
        two.crms["crm"].set(two.record, tier)
        two.a_pass()
        two.a_pass()
        assert two.held() == (tier, tier)
    two.company.tiers[two.account] = "yellow"
    two.a_pass()
    assert two.held() == ("green", "green")


def test_an_edit_that_was_withdrawn_is_not_taken_again(worker: Worker, two: Two) -> None:
    two.crms["crm"].set(two.record, "red")
    two.a_pass()
    [said] = two.judgements()
    worker.state.judgements.withdraw(said.id, "Ben", now=two.now, day=two.now.date())
    two.a_pass()
    assert two.held() == ("green", "green")
    two.crms["crm"].present[two.record]["tier"] = "red"  # restored by the vendor, who tells of the same edit
    two.crms["crm"].set_by[two.record] = Author("person", "Ann", said.made_at)
    two.a_pass()
    two.a_pass()
    assert (two.held(), len(two.judgements())) == (("green", "green"), 1)


def test_right_before_a_write_an_edit_is_found_too_and_the_account_is_left_alone_for_that_pass(two: Two) -> None:
    two.crms["crm"].set(two.record, "red")
    two.company.tiers[two.account] = "yellow"
    two.a_pass(whole=False)
    assert two.held() == ("red", "green")
    assert two.company.results["hub"].waiting == 1
    two.a_pass(whole=False)
    assert two.held() == ("red", "red")


def test_what_was_wanted_yesterday_and_never_told_is_an_edit_if_it_is_not_wanted_today(worker: Worker) -> None:
    for today, judgements in (("green", 1), ("yellow", 0)):
        two = Two(worker)
        two.a_pass()
        two.company.tiers[two.account] = "yellow"
        two.crms["crm"].next_write = "killed"
        with pytest.raises(KeyboardInterrupt):
            two.a_pass()
        two.company.tiers[two.account] = today
        two.crms["hub"].set(two.record, "Amber")
        two.a_pass()
        two.a_pass()
        assert (two.held(), len(two.judgements())) == (("yellow", "yellow"), judgements)


def test_after_a_lost_answer_what_a_person_sets_back_is_told_from_what_was_never_written(worker: Worker) -> None:
    for how in ("lost", "refused"):
        two = Two(worker)
        two.a_pass()
        two.crms["crm"].set_by[two.record] = Author("person", "Ann", MONDAY - DAY)  # what we want is what she said
        two.company.tiers[two.account] = "yellow"
        two.crms["crm"].next_write = how
        with pytest.raises(AgainNow):
            two.a_pass()
        two.now += HOUR
        if how == "lost":
            two.crms["crm"].set(two.record, "green")
        two.crms["crm"].now = two.now
        two.a_pass()
        two.a_pass()
        assert two.held() == (("green", "green") if how == "lost" else ("yellow", "yellow"))
        assert len(two.judgements()) == (how == "lost")


@pytest.mark.parametrize("how", ["lost", "unsaid"])
def test_what_a_person_sets_back_after_a_lost_answer_is_told_in_every_crm_by_the_next_pass(
    two: Two, how: Literal["lost", "unsaid"]
) -> None:
    two.crms["crm"].set(two.record, "yellow")
    two.crms["hub"].next_write = how  # of the tier alone: the score is what it was
    with pytest.raises(AgainNow) if how == "lost" else nullcontext():
        two.a_pass()
    two.now += HOUR
    two.crms["hub"].now = two.now
    two.crms["hub"].set(two.record, AMBER["green"])
    two.a_pass()
    assert (two.held(), len(two.judgements())) == (("green", "green"), 2)


def test_on_a_record_that_was_never_told_anything_only_a_known_person_is_believed(worker: Worker) -> None:
    for by, tells, held in (("person", True, "red"), ("person", False, "green"), ("machine", True, "green")):
        two = Two(worker)
        two.crms["crm"].tells = tells
        two.crms["crm"].set(two.record, "red", by)  # type: ignore[arg-type]
        two.a_pass()
        two.a_pass()
        assert two.held() == (held, held)


def test_a_tier_that_was_emptied_comes_back_with_the_next_reading_and_so_does_one_that_is_none(worker: Worker) -> None:
    for value in (None, "", "at risk"):
        two = Two(worker)
        two.a_pass()
        two.crms["crm"].set(two.record, value)
        two.a_pass()
        assert (two.held(), two.judgements()) == (("green", "green"), [])
        assert [edit["until"] for edit in two.company.results["crm"].edits] == [None] * (value == "at risk")


def test_other_fields_are_ours_and_an_empty_one_is_filled_with_the_next_reading(two: Two) -> None:
    two.crms["crm"].present[two.record] |= {"score": 12.0, "reason": ""}
    two.a_pass()
    assert two.crms["crm"].present[two.record]["score"] == 82.3
    assert str(two.crms["crm"].present[two.record]["reason"]).startswith("Logins & tickets")
    assert two.judgements() == []


@pytest.mark.parametrize(("score", "tier"), [(70.0, "green"), (69.9, "yellow"), (39.9, "red")])
def test_where_the_settings_say_so_an_edited_score_sets_the_tier_in_which_it_lies(
    worker: Worker, score: float, tier: str
) -> None:
    two = Two(worker)
    rules = replace(
        two.worker.settings, judgements=two.worker.settings.judgements.model_copy(update={"edited_score": True})
    )
    two.company.worker = replace(two.worker, settings=rules)
    two.company.tiers[two.account] = "red" if tier != "red" else "green"
    two.a_pass()
    two.crms["crm"].set(two.record, two.company.tiers[two.account])
    two.crms["crm"].present[two.record]["score"] = score
    two.a_pass()
    assert two.held() == (tier, tier)
    assert [said.reason for said in two.judgements()] == [f"set to a score of {score:g} in crm"]


def test_a_pass_takes_an_edit_in_before_it_scores_and_the_report_names_it(tmp_path: Path) -> None:
    crm, clock = Living("crm", ["a"], dict(AMBER)), SteppedClock(MONDAY)
    crm.records["a"] = Account("a", "Alder", since=MONDAY - timedelta(days=300))
    with a_worker(tmp_path, home=crm, clock=clock) as worker:
        run_once(worker)
        crm.set("a", "red")
        clock.advance_to(MONDAY + HOUR)
        report = run_once(worker)
        assert report.delivered["crm"]["edits"][0].items() >= {"account": "a", "to": "red", "by": "Ann"}.items()
        assert worker.state.runs.last(1, kind="pass")[0].report["delivered"]["crm"]["edits"]
        [kept] = worker.state.runs.since(MONDAY, kind="edits")  # what `status` tells of
        assert kept.report["edits"] == [{"destination": "crm", **report.delivered["crm"]["edits"][0]}]
        assert str(crm.present["a"]["reason"]).startswith("Set to red by Ann until 2026-12-02 (it is unscored)")
        assert run_once(worker).delivered["crm"]["edits"] == []


def test_among_mirrored_rounded_emptied_and_unanswered_values_no_edit_is_lost_and_none_made_up() -> None:
    said: list[str] = []
    assert main(150, edits=20, say=said.append) == 0, said
    assert "20 became judgements, 0 lost, 0 made up, 0 accounts apart" in said[0]


# -- a record's life at random ---------------------------------------------------------------------------------

names = st.sampled_from(["crm", "hub"])
tiers = st.sampled_from(["green", "yellow", "red"])
happenings = st.one_of(
    st.tuples(st.just("person"), names, tiers),
    st.tuples(st.just("person"), names, tiers),
    st.tuples(st.just("carried"), names),
    st.tuples(st.just("echo"), names, st.integers(0, 3)),
    st.tuples(st.just("emptied"), names),
    st.tuples(st.just("scored"), tiers),
    st.tuples(st.just("trouble"), names, st.sampled_from(["lost", "refused", "killed"])),
    st.tuples(st.just("days"), st.sampled_from([1, 7, 31])),
    st.tuples(st.just("pass"), st.booleans()),
)


class Life(Two):
    """Does to the account what happens to it, and keeps what people did as the obvious reference."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker)
        self.done: list[tuple[str, str, datetime]] = []
        self.open: dict[str, tuple[str, datetime]] = {}  # by CRM: a person's tier that no pass has seen yet
        self.a_pass()

    def person(self, name: str, tier: str) -> None:
        crm = self.crms[name]
        crm.now = max(other.now for other in self.crms.values())
        same = crm.canonical("tier", crm.present[self.record].get("tier")) == crm.canonical("tier", tier)
        if not same:  # nobody can save what stands there already
            crm.set(self.record, crm.tiers[tier])
            self.done.append((name, tier, crm.now))
            self._open(name, tier, crm.now)

    def _open(self, name: str, tier: str, at: datetime) -> None:
        """Whoever brings back what we left there has done nothing that can be seen."""
        crm, row = self.crms[name], self.worker.state.deliveries.of(name)[self.record]
        left = crm.left.get(self.record) if row.status == "pending" else (row.confirmed or {}).get("tier")
        self.open[name] = (tier, at)
        if crm.tiers[tier] == left:
            del self.open[name]

    def carried(self, name: str) -> None:
        """The CRMs' own sync copies the other's tier into this one: a person's word is one here, too, but no newer."""
        other = "hub" if name == "crm" else "crm"
        words = {value: tier for tier, value in self.crms[other].tiers.items()}
        tier = words.get(str(self.crms[other].present[self.record].get("tier")))
        if tier is not None and self._machine(name, tier) and other in self.open:
            self.done.append((name, tier, self.crms[name].now))
            self._open(name, tier, self.open[other][1])

    def echo(self, name: str, back: int) -> None:
        """A sync that is late says a tier that we told some time ago."""
        past = self.worker.state.deliveries.of(name)[self.record].past
        self._machine(name, past[back % len(past)])

    def _machine(self, name: str, tier: str) -> bool:
        """Whether that changes anything."""
        crm = self.crms[name]
        if crm.canonical("tier", crm.present[self.record].get("tier")) == crm.tiers[tier]:
            return False
        crm.now = max(other.now for other in self.crms.values())
        crm.set(self.record, crm.tiers[tier], "machine", "Sync")
        self.open.pop(name, None)
        return True

    def emptied(self, name: str) -> None:
        self.crms[name].set(self.record, None)
        self.open.pop(name, None)

    def scored(self, tier: str) -> None:
        self.company.tiers[self.account] = tier

    def trouble(self, name: str, how: Any) -> None:
        self.crms[name].next_write = how

    def days(self, n: int) -> None:
        self.now += n * DAY

    def happen(self, what: str, *how: Any) -> None:
        if what == "pass":
            self._pass(whole=how[0])
        else:
            getattr(self, what)(*how)

    def _pass(self, *, whole: bool) -> None:
        try:
            self.a_pass(whole=whole)
        except (AgainNow, KeyboardInterrupt):
            self.now += HOUR
        told, kept = self.company.told(self.account, self.now - HOUR), {row.made_at for row in self.judgements()}
        if whole and self.open:
            tier, at = max(self.open.values(), key=itemgetter(1))
            assert told == tier or max(kept, default=at) > at  # none is lost but to a newer one
        self.open = {n: (t, at) for n, (t, at) in self.open.items() if not whole and at not in kept and t != told}

    def settle(self) -> None:
        for crm in self.crms.values():
            crm.next_write = ""
        for _ in range(3):
            self._pass(whole=True)


@settings(max_examples=30)
@given(st.lists(happenings, max_size=14))
def test_no_edit_is_lost_none_is_made_up_and_both_crms_come_to_agree(
    worker: Worker, happened: list[tuple[Any, ...]]
) -> None:
    life = Life(worker)
    for happening in happened:
        life.happen(*happening)
    life.settle()
    found = [(row.origin["destination"], row.tier, row.made_at) for row in life.judgements() if row.origin]
    assert len(set(found)) == len(found) == len(life.judgements())
    assert set(found) <= set(life.done)  # none is made up
    told = life.company.told(life.account, life.now - HOUR)
    assert life.held() == (told, told)
    assert [row.status for row in life.rows()] == ["confirmed", "confirmed"]

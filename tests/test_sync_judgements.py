"""A person's word about an account: which one counts on which day, and pulses from the command line to the score."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Account, Event, Page
from connectors.clock import SteppedClock
from scoring import Scorecard, Segment
from sync.evaluate import unrecorded
from sync.judgements import expired, in_force, notes_on, standing, tally
from sync.pulses import aged
from sync.rows import Judgement
from sync.run import run_once
from sync.scores import Scored, fetch, scored
from sync.worker import Worker
from tests.command import exit_code
from tests.fakes import CARD, FakeCrm, FakeSource, a_worker

Judge = Callable[..., tuple[int, str, str]]

START = datetime(2026, 10, 20, 6, tzinfo=UTC)
DAY = START.date()


def _day(n: int) -> date:
    return DAY + timedelta(days=n)


def _override(account: str = "a", tier: str = "green", *, until: int = 0, day: int = 0, id: int = 0) -> Judgement:
    last = _day(until)
    return Judgement(id, "override", account, "Ann", "why", _day(day), last, tier, None, None, False, START)


def _pulse(account: str = "a", value: float = 10.0, *, day: int = 0, id: int = 0, name: str = "csm.pulse") -> Judgement:
    return Judgement(id, "pulse", account, "Ann", "why", _day(day), None, None, name, value, False, START)


def _note(account: str = "a", *, until: int = 0, silence: bool = False) -> Judgement:
    return Judgement(0, "note", account, "Ann", "why", DAY, _day(until), None, None, None, silence, START)


# -- which one counts ------------------------------------------------------------------------------------------


@st.composite
def _judgements(draw: st.DrawFn) -> list[Judgement]:
    """Overrides, notes and pulses of three accounts within a fortnight, some withdrawn, in any order."""
    rows = []
    for id in range(draw(st.integers(0, 12))):
        first = draw(st.integers(0, 10))
        made = draw(st.sampled_from([_override(), _note(), _pulse()]))
        last = None if made.until is None else _day(first + draw(st.integers(0, 5)))
        taken = draw(st.none() | st.integers(first, 14))
        row = replace(made, id=id, account=draw(st.sampled_from("abc")), day=_day(first), until=last)
        row = replace(row, silence=draw(st.booleans()) and made.kind == "note")
        rows.append(replace(row, withdrawn_on=None if taken is None else _day(taken)))
    return draw(st.permutations(rows))


def _days_of(row: Judgement) -> set[date]:
    """Every day a judgement counts, one by one."""
    days, day = set(), row.day
    while row.until is not None and day <= row.until and day != row.withdrawn_on:
        days.add(day)
        day += timedelta(days=1)
    return days


def _newest(rows: Sequence[Judgement], kind: str, account: str, day: date) -> list[Judgement]:
    counting = [row for row in rows if (row.kind, row.account) == (kind, account) and day in _days_of(row)]
    return sorted(counting, key=lambda row: row.id)


@settings(max_examples=60)
@given(_judgements(), st.integers(-1, 16))
def test_of_the_judgements_that_count_on_a_day_the_newest_wins(rows: list[Judgement], n: int) -> None:
    day = _day(n)
    overrides, notes = in_force(rows, day), notes_on(rows, day)
    for account in "abc":
        counting = _newest(rows, "override", account, day)
        assert (overrides[account].id if account in overrides else None) == (counting[-1].id if counting else None)
        said = _newest(rows, "note", account, day)
        found = notes.get(account)
        assert (found and (found.id, found.silence)) == (
            (said[-1].id, any(row.silence for row in said)) if said else None
        )
    assert set(overrides) | set(notes) <= set("abc")
    listed = {row.id for row in rows if row.kind == "override" and standing(rows, day)[row.id] == "in force"}
    assert listed == {one.id for one in overrides.values()}


@settings(max_examples=60)
@given(_judgements(), st.integers(0, 8), st.integers(0, 8))
def test_what_expired_is_what_was_in_force_on_a_last_day_that_is_over(
    rows: list[Judgement], since: int, later: int
) -> None:
    today = _day(since + later)
    ended = [
        row
        for row in rows
        for account, last in [(row.account, row.until)]
        if row.kind == "override" and last is not None and _day(since) <= last < today
        if _newest(rows, "override", account, last)[-1:] == [row]
    ]
    assert {one.id for one in expired(rows, since=_day(since), today=today)} == {row.id for row in ended}


def test_an_override_that_was_withdrawn_lets_the_older_one_count_again() -> None:
    older, newer = _override(tier="green", until=9, id=1), _override(tier="red", until=5, id=2)
    assert in_force([older, newer], _day(5))["a"].tier == "red"
    assert in_force([older, newer], _day(6))["a"].tier == "green"
    taken = replace(newer, withdrawn_on=_day(2))
    assert [in_force([older, taken], _day(n))["a"].tier for n in (1, 2)] == ["red", "green"]
    assert in_force([replace(older, withdrawn_on=DAY)], DAY) == {}


def test_judgements_are_counted_and_of_pulses_the_latest_is_told_apart() -> None:
    rows = [
        *(_override(account, until=until) for account, until in (("a", 0), ("b", 7), ("c", 8))),
        *(_pulse(account, day=day) for account, day in (("c", -2), ("c", -36), ("b", -90))),
        replace(_pulse("d", day=-90), withdrawn_on=DAY),
        _note("a", until=3),
    ]
    rows = [replace(row, id=id) for id, row in enumerate(rows)]
    assert tally(rows, DAY) == {"overrides": 3, "ending": 2, "notes": 1}
    assert list(standing(rows, DAY).values())[3:7] == ["latest", "earlier", "latest", "withdrawn"]


# -- pulses in the score ---------------------------------------------------------------------------------------

WEIGHED = CARD.replace(
    "\nmeasures:\n",
    "\n  people: {weight: 100, measures: {pulse: 1}}\nmeasures:\n"
    "  pulse: {events: csm.pulse, take: last, max_age: 35d, points: {1: 0, 10: 100}}\n",
)


@contextmanager
def _company(folder: Path) -> Iterator[tuple[Worker, SteppedClock]]:
    """Two accounts with everything well but their use, which is nought: without a pulse they have 40 points."""
    crm = FakeCrm("crm", [Account(name, name.title(), since=START - timedelta(days=300)) for name in ("a", "b")])
    told = Event("product", "a/1", "a", "u", "login", START - timedelta(days=90), 1.0)
    page = Page(events=[told], through=START.replace(hour=0), since=START - timedelta(days=400))
    source, clock = FakeSource("product", [page], names=("login", "ticket.created")), SteppedClock(START)
    with a_worker(folder, home=crm, sources=[source], clock=clock) as worker:
        worker.state.accounts.save(list(crm.records.values()), now=START)
        card = Scorecard.model_validate(yaml.safe_load(WEIGHED))
        yield replace(worker, settings=replace(worker.settings, segments=(Segment(card),))), clock


def _scores(worker: Worker, day: date = DAY) -> dict[str, Scored]:
    accounts = worker.state.accounts.members()
    with scored(worker.log, worker.basis(accounts, worker.linked(accounts)), spill=worker.spill) as on:
        return {row.account: row for row in fetch(on(day))}


def _keep(worker: Worker, row: Judgement) -> int:
    id = worker.state.judgements.add(replace(row, made_at=worker.clock.now()))
    assert id is not None
    return id


def _pulled(worker: Worker) -> Any:
    report = run_once(worker, only="pull")
    assert report.problems == []
    return report


def test_a_pulse_moves_the_score_and_a_withdrawn_one_never_was(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, _):
        _pulled(worker)
        before = _scores(worker)
        assert [part.state for part in before["a"].parts if part.measure == "pulse"] == ["missing"]
        assert (before["a"].score, before["a"].coverage) == (40.0, 0.5)
        id = _keep(worker, _pulse("a", 10.0))
        assert _scores(worker) == before  # state has it, the log has it with the next pass
        _pulled(worker)
        after = _scores(worker)
        assert (after["a"].score, after["a"].coverage) == (70.0, 1.0)
        assert after["b"] == before["b"]  # missing, not zero
        worker.state.judgements.withdraw(id, "Ben", now=worker.clock.now(), day=DAY)
        _pulled(worker)
        assert _scores(worker) == before


def test_a_pulse_counts_from_its_day_until_it_is_too_old_and_the_newest_of_a_day_is_its_last(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, clock):
        for n in range(11):  # the tenth would come before the second, if they were told apart as words
            _keep(worker, _pulse("a", float(n == 10) * 9 + 1, day=-35))
        _keep(worker, _pulse("a", 5.5, day=-40))
        _pulled(worker)
        clock.advance_to(START + timedelta(days=1))
        values = {day: _pulse_of(_scores(worker, _day(day))["a"]) for day in (-41, -36, -35, 0, 1)}
        assert values == {-41: None, -36: 5.5, -35: 10.0, 0: 10.0, 1: None}


def _pulse_of(row: Scored) -> float | None:
    return next(part.value for part in row.parts if part.measure == "pulse")


def test_pulses_never_hold_a_day_back_and_are_never_behind(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, clock):
        _keep(worker, _pulse("a", 10.0))
        _pulled(worker)
        worker.state.readings.save(
            "product", cursor={"page": 1}, since=None, through=START + timedelta(days=19), names=["login"]
        )
        worker.state.readings.save("crm", cursor=None, since=None, through=START + timedelta(days=19), names=[])
        clock.advance_to(START + timedelta(days=20))
        assert max(unrecorded(worker, _day(20))) == _day(18)  # as far as the product has been read
        row = _scores(worker, _day(20))["a"]
        assert [part.state for part in row.parts if part.measure == "pulse"] == ["live"]


def test_where_no_measure_weighs_pulses_no_account_is_linked_for_them(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, _):
        accounts = worker.state.accounts.members()
        plain = Scorecard.model_validate(yaml.safe_load(CARD))
        other = replace(worker, settings=replace(worker.settings, segments=(Segment(plain),)))
        links = worker.linked(accounts)
        assert {link.source for link in worker.basis(accounts, links).links} == {"product", "crm", "judgements"}
        assert [*other.basis(accounts, links).links] == [*links]
        assert "csm.pulse" in other.basis(accounts, links).names["judgements"]  # a linter knows that there is a source


@pytest.mark.parametrize(
    ("measure", "days", "stale"),
    [
        ("take: last, max_age: 35d", 35, False),
        ("take: last, max_age: 35d", 36, True),
        ("take: mean, window: 30d", 29, False),
        ("take: mean, window: 30d", 30, True),
        ("take: last", 900, False),
    ],
)
def test_a_pulse_is_stale_once_no_measure_reaches_it(measure: str, days: int, stale: bool) -> None:
    words = WEIGHED.replace("take: last, max_age: 35d", measure)
    card = Scorecard.model_validate(yaml.safe_load(words))
    assert aged(_pulse(day=-days), [card], DAY) == {"age_days": days, "stale": stale}
    assert aged(_pulse(day=-days, name="other"), [card], DAY)["stale"] is False


# -- in a pass -------------------------------------------------------------------------------------------------


def test_a_pass_tells_once_which_overrides_ended(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, clock):
        _keep(worker, _override("a", until=1))
        _keep(worker, _override("b", "red", until=1))
        _keep(worker, _override("b", "yellow", until=5))  # newer, and lasting
        told: list[list[tuple[str | None, ...]]] = []
        for day, rehearsal in ((0, False), (1, False), (2, True), (2, False), (2, False), (3, False)):
            clock.advance_to(START + timedelta(days=day, hours=len(told)))
            report = run_once(worker, dry_run=rehearsal)
            told.append([(one.account, one.name, one.tier, one.until) for one in report.expired])
        ended = [("a", "A", "green", f"{_day(1)}")]
        assert told == [[], [], ended, ended, [], []]  # a rehearsal uses nothing up


def test_a_judgement_gives_the_next_pass_of_a_daemon_something_to_do_also_one_made_during_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _company(tmp_path) as (worker, _):
        given: list[int] = []

        def deliver(*_: Any, **__: Any) -> None:
            """Somebody judges while the first pass delivers."""
            if not given:
                given.append(_keep(worker, _override("a", until=9)))

        monkeypatch.setattr("sync.run.Dispatch.carry_out", deliver)
        worked = [bool(run_once(worker, due_only=True).scored) for _ in range(3)]
        worker.state.judgements.withdraw(given[0], "Ben", now=START, day=DAY)
        worked += [bool(run_once(worker, due_only=True).scored) for _ in range(2)]
        assert worked == [True, True, False, True, False]


# -- the commands ----------------------------------------------------------------------------------------------

SETTINGS = """\
home: customers
clock: {start: 2026-10-20T06:00:00Z, speed: 0.001, epoch: EPOCH}
timezone: America/New_York
sources:
  product: {kind: file, path: events.csv, columns: {account: account, event: event, at: at}}
destinations:
  customers: {kind: file, accounts: accounts.csv, scores: scores.csv}
judgements: {longest: 60d, default: 10d, authors: [Ann, Ben Holm]}
"""
TODAY = date(2026, 10, 20)
BY = ("--by", "Ann", "--reason", "renewal is signed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files that have been read once. It is early on 20 October in New York, and stays so."""
    folder = tmp_path_factory.mktemp("company")
    (folder / "bellwether.yaml").write_text(SETTINGS.replace("EPOCH", f"{time.time():.0f}"))
    (folder / "accounts.csv").write_text("id,name,since\na1,Alder,2025-01-01\nb2,Birch,2025-01-01\n")
    (folder / "events.csv").write_text("account,event,at\na1,login,2026-10-18T08:00:00Z\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert exit_code("run", "--only", "pull") == 0
    return folder


@pytest.fixture
def judge(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Judge:
    """`bellwether judge WORDS`: exit code, standard output, standard error."""
    monkeypatch.chdir(folder)

    def call(*words: str) -> tuple[int, str, str]:
        code = exit_code(*words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def _document(judge: Judge, *words: str) -> Any:
    code, out, err = judge(*words, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["override", "a1", *BY], "--tier: '' is no tier; write green, yellow or red"),
        (["override", "a1", "--tier", "unscored", *BY], "--tier: 'unscored' is no tier"),
        (["override", "nobody", "--tier", "red", *BY], "no account has the id or name 'nobody'"),
        (["note", "a1", "--reason", "x"], "--by: is missing; a judgement says who made it and why"),
        (["note", "a1", "--by", "Ann"], "--reason: is missing; a judgement says who made it and why"),
        (["note", "a1", "--by", " \t ", "--reason", "x"], "--by: is missing"),
        (["note", "a1", "--by", "Ann", "--reason", "a\nb"], "--reason: holds a control or an invisible character"),
        (["note", "a1", "--by", "A\u202enn", "--reason", "x"], "--by: holds a control or an invisible character"),
        (["note", "a1", "--by", "Ann", "--reason", "x" * 201], "--reason: has 201 characters; 200 are the most"),
        (["note", "a1", "--by", "x" * 81, "--reason", "x"], "--by: has 81 characters; 80 are the most"),
        (
            ["note", "a1", "--by", "ann", "--reason", "x"],
            "--by: 'ann' is not in judgements.authors in bellwether.yaml; add the name there, or write one of: Ann,",
        ),
        (["note", "a1", *BY, "--until", "soon"], "--until: 'soon' is not a day; write it as 2026-01-31"),
        (["note", "a1", *BY, "--until", "2026-10-19"], "--until: 2026-10-19 is over; today is 2026-10-20"),
        (
            ["note", "a1", *BY, "--until", "2026-12-20"],
            "--until: 60 days ahead are the most; write 2026-12-19 or earlier, or raise judgements.longest",
        ),
        (["override", "a1", "--tier", "red", *BY, "--until", "9999-12-31"], "--until: 60 days ahead are the most"),
        *(
            (
                ["pulse", "a1", *BY, "--value", value],
                f"--value: {value!r} is not on the scale; write a number from 1 to",
            )
            for value in ("", "0.9", "10.1", "nan")
        ),
        (["pulse", "a1", *BY, "--value", "7", "--on", "2026-10-21"], "--on: 2026-10-21 is still to come"),
        (["pulse", "a1", *BY, "--value", "7", "--on", "2026-08-20"], "--on: 2026-08-20 is too long ago"),
        (["pulse", "a1", *BY, "--value", "7", "--name", "Pulse!"], "--name: 'Pulse!' is no name for a pulse"),
        (["pulse", "a1", *BY, "--value", "7", "--name", "login"], "--name: facts of product are called login"),
        (["withdraw", "9²", "--by", "Ann"], "no judgement has the number '9²'"),
        (["withdraw", "1"], "--by: is missing"),
        (["list", "nobody"], "no account has the id or name 'nobody'"),
    ],
)
def test_what_cannot_be_kept_is_one_line_and_nothing_is_kept(judge: Judge, words: list[str], line: str) -> None:
    before = _kept()
    code, out, err = judge("judge", *words)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert _kept() == before


def _kept() -> list[Any]:
    with closing(sqlite3.connect("bellwether-data/state.db")) as connection:
        return connection.execute("select * from judgements").fetchall()


def test_a_judgement_is_kept_listed_and_withdrawn(judge: Judge) -> None:
    override = _document(judge, "judge", "override", "alder", "--tier", "amber", *BY)
    until = f"{TODAY + timedelta(days=10)}"
    assert override.items() >= {"kind": "override", "account": "a1", "tier": "yellow", "until": until}.items()
    assert override.items() >= {"author": "Ann", "reason": "renewal is signed", "day": f"{TODAY}"}.items()
    pulse = _document(judge, "judge", "pulse", "a1", "--value", "7.5", "--by", "Ben Holm", "--reason", "they smiled ☃")
    earlier = _document(judge, "judge", "pulse", "a1", "--value", "3", "--on", "2026-09-01", *BY)
    note = _document(judge, "judge", "note", "Birch", "--silence", *BY, "--until", f"{TODAY}")
    listed = _document(judge, "judge", "list")
    assert [(row["id"], row["state"]) for row in listed] == [
        (override["id"], "in force"), (pulse["id"], "latest"), (note["id"], "in force"),
    ]  # fmt: skip
    code, out, err = judge("judge", "withdraw", f"{override['id']}", "--by", "Ben Holm")
    assert code == 0, err
    assert out == (f"withdrawn: override {override['id']} on a1: yellow until {until}, by Ann: renewal is signed\n")
    code, _, err = judge("judge", "withdraw", f"{override['id']}", "--by", "Ann")
    assert (code, "has been withdrawn before" in err) == (2, True)
    states = {row["id"]: row["state"] for row in _document(judge, "judge", "list", "Alder", "--all")}
    assert states == {override["id"]: "withdrawn", pulse["id"]: "latest", earlier["id"]: "earlier"}
    code, out, _ = judge("judge", "list", "--all")
    assert "they smiled ☃" in out
    assert "withdrawn" in out


def test_explain_and_status_show_what_counts(judge: Judge) -> None:
    for words in (
        ["override", "b2", "--tier", "red", *BY, "--until", "2026-10-22"],
        ["pulse", "b2", "--value", "4", "--on", "2026-09-10", *BY],
    ):
        assert judge("judge", *words)[0] == 0
    code, out, err = judge("explain", "b2")
    assert code == 0, err
    assert "red until 2026-10-22, by Ann: renewal is signed" in out
    assert "csm.pulse 4 on 2026-09-10 (40 days ago), by Ann: renewal is signed" in out
    assert [row["kind"] for row in _document(judge, "explain", "b2")["judgements"]][:2] == ["pulse", "override"]
    counts = _document(judge, "status")["judgements"]
    assert (counts["ending"] >= 1, counts["old_pulses"]) == (True, 1)
    assert "accounts whose latest pulse is over 35 days old: 1; ask for a new one" in judge("status")[1]

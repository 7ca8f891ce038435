"""Erasing a customer: gone from every file and table, and kept out; nobody else goes with it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from connectors.base import Account, Drift, Event, Key, Outcome, Page
from connectors.clock import SteppedClock
from sync import delta, settling, spare
from sync.deliveries import Delivered
from sync.erased import erased_of, without
from sync.erasing import Doomed, clear_records, doomed, erase, readmit, search
from sync.lease import leased
from sync.rows import AccountRow, Judgement
from sync.run import run_once
from sync.traces import Words, look
from sync.worker import Worker
from tests.command import exit_code
from tests.fakes import FakeCrm, FakeSource, a_worker

START = datetime(2026, 10, 20, 6, tzinfo=UTC)
BORN = datetime(2025, 1, 1, tzinfo=UTC)
ALDER, BIRCH = "0015000000Alder", "0015000000Birch"
ORGANIZATION = "45000000000017"


def _accounts() -> list[Account]:
    levels = {"seats": 5.0}
    return [
        Account(ALDER, "Alder Tools", ("alder.example",), {"external_id": "ext-4711"}, None, BORN, levels),
        Account(BIRCH, "Birch Foods", ("birch.example",), {"external_id": "ext-4712"}, None, BORN, levels),
    ]


def _event(source: str, subject: str, key: str, name: str, days: int) -> Event:
    return Event(source, subject, key, "u", name, START - timedelta(days=days), 1.0)


def _logins(key: str) -> list[Event]:
    return [_event("product", f"{key}/u/{day}/login", key, "login", day) for day in range(1, 9)]


def _product() -> FakeSource:
    pages = [Page(events=[*_logins("ext-4711"), *_logins("ext-4712")], through=START.replace(hour=0))]
    return FakeSource("product", pages, names=("login",), key_is="external_id")


def _desk() -> FakeSource:
    keys = [
        Key("desk", ORGANIZATION, "Alder Tools GmbH", ("alder.example",)),
        Key("desk", "45000000000018", "Birch", ("birch.example",)),
    ]
    events = [_event("desk", f"{n}/created", key.key, "ticket.created", n) for n, key in enumerate(keys, start=3)]
    return FakeSource("desk", [Page(events=events, keys=keys, through=START)], names=("ticket.*",), key_is="own")


LATER = Page(events=[_event("desk", "9/created", ORGANIZATION, "ticket.created", 0)])


def _judge(worker: Worker) -> None:
    """A pulse, which goes into the log, and a note for both; the other's note names the one that will be erased."""
    first = START.date()
    for account, about in ((ALDER, "their shop is small"), (BIRCH, "they share a desk with Alder Tools")):
        pulse = Judgement(0, "pulse", account, "Ann", "they smiled", first, None, None, "csm.pulse", 8.0, False, START)
        worker.state.judgements.add(pulse)
        worker.state.judgements.add(replace(pulse, kind="note", reason=about, until=first, name=None, value=None))


class Company(NamedTuple):
    worker: Worker
    crm: FakeCrm
    clock: SteppedClock


@contextmanager
def _company(folder: Path, *, state_url: str | None = None) -> Iterator[Company]:
    """Two customers after two days of passes, so that there is a history and an unsettled tail."""
    crm, clock, sources = FakeCrm("crm", _accounts()), SteppedClock(START), [_product(), _desk()]
    with a_worker(folder, home=crm, sources=sources, clock=clock, state_url=state_url) as worker:
        run_once(worker)
        _judge(worker)
        clock.advance_to(START + timedelta(days=1))
        sources[1].pages.append(LATER)
        assert run_once(worker).problems == []
        yield Company(worker, crm, clock)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FakeCrm]:
    """Such a company's folder, and its CRM."""
    folder = tmp_path_factory.mktemp("company")
    with _company(folder) as company:
        return folder, company.crm


@pytest.fixture
def company(lived: tuple[Path, FakeCrm], tmp_path: Path) -> Iterator[Company]:
    """A copy of the company for one test."""
    folder, crm = lived
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    clock, sources = SteppedClock(START + timedelta(days=1)), [_product(), _desk()]
    sources[1].pages.append(LATER)
    mine = deepcopy(crm)
    with a_worker(tmp_path, home=mine, sources=sources, clock=clock) as worker:
        yield Company(worker, mine, clock)


def _row(worker: Worker, account: str = ALDER) -> AccountRow:
    (row,) = [row for row in worker.state.accounts.all() if row.id == account]
    return row


def _erase(worker: Worker, account: str = ALDER) -> Doomed:
    with leased(worker.state) as beat:
        what = doomed(worker, _row(worker, account))
        erase(worker, what, beat=beat)
    return what


def _facts(worker: Worker) -> dict[tuple[str, str], int]:
    with worker.log.connect(spill=worker.spill) as connection:
        rows = connection.execute("select source, account_key, count(*) from events group by all").fetchall()
    return {(source, key): count for source, key, count in rows}


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres_state"))


def test_nothing_is_left_of_the_customer_and_everything_of_the_others(tmp_path: Path, state_url: str | None) -> None:
    with _company(tmp_path, state_url=state_url) as (worker, _, _):
        day = max(worker.history.days())
        before, birch = _facts(worker), worker.history.scores_on(day)[BIRCH]
        what = doomed(worker, _row(worker))
        assert what.facts == {"crm": 1, "desk": 2, "judgements": 1, "product": 8}
        assert what.judgements == 2
        assert (what.days, len(what.links), len(what.deliveries), what.shared) == (3, 2, 1, [])
        assert search(worker, what).places  # the search sees what is there
        _erase(worker)
        looked = search(worker, what)
        assert looked.places == []
        assert looked.files > 5 < looked.rows
        own = {("crm", ALDER), ("desk", ORGANIZATION), ("judgements", ALDER), ("product", "ext-4711")}
        assert _facts(worker) == {pair: count for pair, count in before.items() if pair not in own}
        assert worker.history.scores_on(day) == {BIRCH: birch}
        assert [row.id for row in worker.state.accounts.all()] == [BIRCH]
        told = [(row.account, row.reason) for row in worker.state.judgements.all()]
        assert told == [(BIRCH, "they smiled"), (BIRCH, "(it named a customer who was erased)")]
        assert list(worker.state.totals.all()) == list(worker.state.deliveries.of("crm")) == [BIRCH]


def test_the_next_passes_do_not_bring_it_back(company: Company) -> None:
    worker, crm, clock = company
    what = _erase(worker)
    desk = worker.sources["desk"]
    assert isinstance(desk, FakeSource)
    told = Key("desk", ORGANIZATION, "Alder Tools GmbH", ("alder.example",))
    odd = _event("desk", f"{ORGANIZATION}/odd", ORGANIZATION, "ticket.created", 0)._replace(label="x" * 65)
    events = [_event("desk", "10/created", ORGANIZATION, "ticket.created", 0), odd]
    desk.pages.append(Page(events=events, keys=[told], through=clock.now()))
    clock.advance_to(START + timedelta(days=2))
    assert run_once(worker).problems == []
    assert search(worker, what).places == []
    assert not [write for write in crm.written[3:] if write.id == ALDER]


def test_a_customer_may_be_let_in_again_and_sources_are_then_read_from_the_start(company: Company) -> None:
    worker, crm, clock = company
    before = _facts(worker)
    _erase(worker)
    assert not readmit(worker, BIRCH)
    assert readmit(worker, ALDER)
    clock.advance_to(START + timedelta(days=2))
    run_once(worker)
    assert _facts(worker) == {pair: count for pair, count in before.items() if pair != ("judgements", ALDER)}
    assert crm.present[ALDER]["tier"] == crm.present[BIRCH]["tier"]


def test_a_key_that_others_carry_too_stays_and_is_named(company: Company) -> None:
    worker, crm, clock = company
    crm.records[BIRCH] = crm.records[BIRCH].__class__(BIRCH, "Birch Foods", ("birch.example", "alder.example"))
    clock.advance_to(START + timedelta(days=2))
    run_once(worker)
    what = _erase(worker)
    ((unsure, facts),) = what.shared
    assert (unsure.key, facts) == (ORGANIZATION, 2)
    assert what.words.shared == {"alder.example", "Alder Tools"}  # the organization is called so, and it stays
    assert _facts(worker)["desk", ORGANIZATION] == 2
    assert search(worker, what).places == []


def test_facts_of_a_removed_source_go_too_and_no_older_row_comes_to_light(company: Company) -> None:
    worker, _, _ = company
    worker.log.append("desk", Page(events=[_event("desk", "7/created", "45000000000018", "ticket.created", 5)]))
    worker.log.settle()
    worker.log.append("desk", Page(events=[_event("desk", "7/created", ORGANIZATION, "ticket.created", 5)]))
    old = [_event("old", f"{key}/1", key, "login", 3) for key in ("ext-4711", ALDER, "domain:alder.example", "x-1")]
    worker.log.append("old", Page(events=old))
    assert _erase(worker).facts["old"] == 3
    facts = _facts(worker)
    assert {key for source, key in facts if source == "old"} == {"x-1"}
    assert facts["desk", "45000000000018"] == 1  # only its own ticket


def test_exports_in_flight_runs_and_cursors_forget_it(company: Company) -> None:
    worker, _, _ = company
    spooled = worker.settings.data / "spool" / "product" / "export.ndjson.gz"
    spooled.parent.mkdir(parents=True)
    spooled.write_bytes(b"compressed")
    marks = {"7": f"urgent 0   {ORGANIZATION}", "8": "low 1   45000000000018"}
    names: frozenset[str] = frozenset()
    worker.state.readings.save("desk", cursor={"marks": marks}, since=None, through=None, names=names)
    run = worker.state.runs.start("pass", START)
    moved = [{"account": id, "name": name} for id, name in ((ALDER, "Alder Tools"), (BIRCH, "Birch Foods"))]
    reasons = ["row 1: no id", "ext-4711/u/1: too long"]
    worker.state.runs.finish(run, "done", {"moved": moved, "pulled": {"product": {"reasons": reasons}}}, START)
    what = _erase(worker)
    assert len(what.files) == 2
    assert not spooled.exists()
    reading = worker.state.readings.of("desk")
    assert reading is not None
    assert reading.cursor == {"marks": {"8": "low 1   45000000000018"}}
    runs = {row.id: row.report for row in worker.state.runs.last(20)}
    assert runs[run] == {"moved": [moved[1]], "pulled": {"product": {"reasons": reasons[:1]}}}


def test_records_are_emptied_first_and_one_that_refuses_is_told(company: Company) -> None:
    worker, crm, _ = company
    what = doomed(worker, _row(worker))
    crm.refuse[ALDER] = Outcome(ALDER, False, code="LOCKED", message="locked", remedy="again")
    refused: Delivered = clear_records(worker, what)
    assert (refused.failed, refused.named[0]["code"]) == (1, "LOCKED")
    crm.refuse.clear()
    assert clear_records(worker, doomed(worker, _row(worker))).written == 1
    assert set(crm.present[ALDER].values()) == {None}
    assert crm.present[BIRCH]["tier"] is not None


def test_a_field_that_is_gone_from_the_crm_keeps_no_other_from_being_emptied(company: Company) -> None:
    worker, crm, _ = company
    crm.drifts.append(Drift("reason", "Health_Reason__c is read-only", "give access to it", "left out"))
    for _ in range(2):  # what it holds would stay
        told = clear_records(worker, doomed(worker, _row(worker)))
        assert (told.failed, told.named[0]["message"]) == (1, "Health_Reason__c is read-only")
    del crm.present[ALDER]["reason"]
    assert clear_records(worker, doomed(worker, _row(worker))).failed == 0
    assert set(crm.present[ALDER].values()) == {None}
    assert "reason" not in crm.present[ALDER]


def test_a_spare_that_a_kill_left_unknown_to_state_brings_nothing_back(company: Company) -> None:
    worker, _, _ = company
    spare.keep(worker)
    worker.state.set_meta(spare.KNOWN, "the one before")
    what = _erase(worker)
    assert (worker.state.judgements.all(ALDER), search(worker, what).places) == ([], [])


class Killed(BaseException):
    """The process is no more."""


def _die_at(patch: pytest.MonkeyPatch, owner: Any, name: str, nth: int) -> None:
    """Let the process die just before the `nth` call of a function."""
    real, calls = getattr(owner, name), count(1)

    def call(*arguments: Any, **more: Any) -> Any:
        if next(calls) == nth:
            raise Killed
        return real(*arguments, **more)

    patch.setattr(owner, name, call)


def test_killed_at_any_moment_the_next_attempt_goes_on(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, _, _ = company
    (worker.settings.data / "spool").mkdir(exist_ok=True)
    before, row, what = _facts(worker), _row(worker), doomed(worker, _row(worker))
    moments = [
        *((worker.state, "set_meta", 1), (settling, "_merge", 1), (delta, "swap", 1)),  # barred; the tail settled
        *((delta, "swap", 2), (delta, "purge", 1)),  # the log; what was done before is not done again
        *((delta, "swap", 1), (delta, "purge", 2), (delta, "swap", 1), (delta, "purge", 3)),  # scores, parts
        *((shutil, "rmtree", 1), (worker.state, "erase", 1), (worker.state, "vacuum", 1)),
    ]
    for owner, name, nth in moments:
        with monkeypatch.context() as patch:
            _die_at(patch, owner, name, nth)
            with pytest.raises(Killed):
                _attempt(worker, row)
    assert worker.state.accounts.all()[0].id == BIRCH  # now only the id is known
    _attempt(worker, AccountRow(ALDER, ALDER, None, (), {}, None, START, START, None))
    assert search(worker, what).places == []
    assert len(erased_of(worker)) == 1
    assert _facts(worker) == {pair: facts for pair, facts in before.items() if pair not in what.keys}


def _attempt(worker: Worker, row: AccountRow) -> None:
    with leased(worker.state) as beat:
        erase(worker, doomed(worker, row), beat=beat)


# -- the search ------------------------------------------------------------------------------------------------


def _words(*ids: str, name: str = "Alder Tools", others: tuple[str, ...] = ()) -> Words:
    return Words.of(ids, [name], others)


def _plant_text(worker: Worker) -> None:
    (worker.settings.data / "note.txt").write_text("seen: ext-4711\n")


def _plant_json(worker: Worker) -> None:
    (worker.settings.data / "log").mkdir()
    (worker.settings.data / "log" / "x.json").write_text(json.dumps({"stats": '{"min":"a1"}'}))


def _plant_state(worker: Worker) -> None:
    worker.state.set_meta("odd", {"deep": [{"er": "a1"}]})


def _plant_name(worker: Worker) -> None:
    worker.state.keys.save([Key("desk", "1", "Ol\u00e9", ())], now=START)


def _plant_label(worker: Worker) -> None:
    fact = Event("crm", "parent/1", BIRCH, None, "parent", START, None, "Alder Tools (EU)")
    worker.log.append("crm", Page(events=[fact]))


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        (_plant_text, "note.txt"),
        (_plant_json, "log/x.json"),
        (_plant_state, "meta.value"),
        (_plant_name, "keys.name"),
        (_plant_label, "(label)"),
    ],
)
def test_whatever_is_left_is_found(tmp_path: Path, plant: Callable[[Worker], None], place: str) -> None:
    with a_worker(tmp_path, home=FakeCrm("crm", []), clock=SteppedClock(START)) as worker:
        words = Words.of(["a1", "ext-4711"], ["Alder Tools", "Ol\u00e9"], [])
        assert look(worker.settings.data, worker.state, words, spill=worker.spill).places == []
        plant(worker)
        places = look(worker.settings.data, worker.state, words, spill=worker.spill).places
        assert any(place in found for found in places), places


def test_free_pages_and_the_write_ahead_log_are_searched_and_cleaned(tmp_path: Path) -> None:
    with a_worker(tmp_path, home=FakeCrm("crm", []), clock=SteppedClock(START)) as worker:
        words = _words("ext-4711")
        path = str(worker.settings.data / "state.db")
        worker.state.set_meta("odd", "ext-4711")
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("delete from meta where key = 'odd'")
        other.close()
        places = look(worker.settings.data, worker.state, words, spill=worker.spill).places
        assert "state.db-wal" in places
        worker.state.vacuum()
        assert look(worker.settings.data, worker.state, words, spill=worker.spill).places == []


def test_a_word_that_others_are_known_by_is_not_looked_for_and_said() -> None:
    words = _words("ext-4711", "a1", "10010", name="Alder", others=("Alder Inc", "110010", "b2"))
    assert words.shared == {"Alder"}
    assert words.ids == {"ext-4711", "a1", "10010"}
    assert words.pattern() is not None
    assert not words.mentioned("Alder and 110010")
    assert words.mentioned("row a1: bad")


def test_a_number_that_looks_like_an_id_is_nobody(tmp_path: Path) -> None:
    with a_worker(tmp_path, home=FakeCrm("crm", []), clock=SteppedClock(START)) as worker:
        assert [worker.state.runs.start("pass", START) for _ in range(2)] == [1, 2]
        words = Words.of(["1", "2"], [], [])
        assert look(worker.settings.data, worker.state, words, spill=worker.spill).places == []
        worker.state.set_meta("odd", "2")
        assert look(worker.settings.data, worker.state, words, spill=worker.spill).places == ["meta.value"]


def test_many_keys_among_many_others_are_compared_in_time() -> None:
    others = [f"{number:018d} Birch {number}" for number in range(20_000)]
    began = time.process_time()
    assert Words.of((f"ext-{number}" for number in range(1000)), [], others).shared == frozenset()
    assert time.process_time() - began < 10  # a minute, if each key were looked for as an expression


def test_what_names_somebody_goes_from_a_document_and_the_rest_stays() -> None:
    document = {
        "ours": 1,
        "list": ["keep", "acme 1"],
        "rows": [{"id": "acme", "n": 1}, {"id": "b", "n": 2}],
        "by": {"acme": 3, "b": {"x": "acme"}, "c": {"x": ["acme"]}, "d": {"1": "low acme", "2": "low"}},
    }
    kept = {
        "ours": 1,
        "list": ["keep"],
        "rows": [{"id": "b", "n": 2}],
        "by": {"b": {}, "c": {"x": []}, "d": {"2": "low"}},
    }
    assert without(document, lambda text: "acme" in text) == kept


# -- the command -----------------------------------------------------------------------------------------------

SETTINGS = """\
home: customers
accounts: {attributes: {seats: seats}}
sources:
  product: {kind: file, path: events.csv, columns: {account: account, event: event, at: at}}
destinations:
  customers: {kind: file, accounts: accounts.csv, scores: scores.csv}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bellwether.yaml").write_text(SETTINGS)
    (tmp_path / "accounts.csv").write_text("id,name,seats\ncust-4711,Alder Tools,4\ncust-4712,Birch Foods,10\n")
    rows = [f"cust-{n},login,2026-11-{day:02}" for n in (4711, 4712) for day in range(1, 20)]
    (tmp_path / "events.csv").write_text("\n".join(["account,event,at", *rows]) + "\n")
    return tmp_path


def _call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code(*words)
    said = capsys.readouterr()
    return code, said.out, " ".join(said.err.split())


def test_the_command_shows_erases_looks_and_lets_in_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _call(capsys, "run")
    code, out, err = _call(capsys, "erase", "alder tools", "--yes", "--clear-crm")
    assert (code, err) == (0, "")
    assert "facts: 20 (customers 1, product 19)" in out
    assert "rows: nothing is left of it" in out
    assert "\ncust-4711,,,,,,,,,\n" in (folder / "scores.csv").read_text()
    assert _call(capsys, "run")[0] == 0
    assert "Alder" not in _call(capsys, "scores")[1]
    assert json.loads(_call(capsys, "status", "--json")[1])["erased"] == 1
    code, out, _ = _call(capsys, "erase", "cust-4711", "--yes", "--json")
    assert (code, json.loads(out)["looked"]["places"]) == (0, [])
    (folder / "bellwether-data" / "copy.csv").write_text("cust-4711,login\n")
    code, out, err = _call(capsys, "erase", "cust-4711", "--yes")
    assert (code, err, "something is left in 1 place" in out) == (1, "found in copy.csv", True)
    assert _call(capsys, "erase", "cust-4712", "--readmit")[0] == 2
    assert _call(capsys, "erase", "cust-4711", "--readmit")[0] == 0
    assert "product: 19 facts new or changed, 19 unchanged" in _call(capsys, "run", "--only", "pull")[1]


def test_a_customer_called_like_a_word_of_reports_leaves_them_readable(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "accounts.csv").write_text("id,name,seats\nmessage,Alder Tools,4\ncust-4712,Birch Foods,10\n")
    _call(capsys, "run")
    (folder / "events.csv").unlink()
    _call(capsys, "run")
    _call(capsys, "erase", "message", "--yes", "--clear-crm")
    code, out, _ = _call(capsys, "status", "--json")
    assert (code, json.loads(out)["runs"][0]["problems"]) == (0, "product")


def test_erasing_unasked_beside_a_worker_or_whom_nobody_knows_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(capsys, "erase", "cust-4711", "--yes")[0] == 2  # nothing was ever read
    assert not (folder / "bellwether-data").exists()
    _call(capsys, "run")
    code, _, err = _call(capsys, "erase", "cust-4711")
    assert (code, "--yes erases without asking" in err) == (2, True)
    code, _, err = _call(capsys, "erase", "cust-1", "--yes")
    assert (code, "no account has the id, name or record" in err) == (2, True)
    with sqlite3.connect(folder / "bellwether-data" / "state.db") as other:
        other.execute("update lease set holder = 'elsewhere:1:x', expires_at = '2999-01-01 00:00:00'")
    other.close()
    code, _, err = _call(capsys, "erase", "cust-4711", "--yes")
    assert (code, "another worker is at work on this state" in err) == (1, True)
    assert len(json.loads(_call(capsys, "scores", "--json")[1])) == 2

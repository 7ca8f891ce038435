"""Days lived once more: what the nightly runs kept, what another scorecard would have told, and at what cost."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import FIELDS, Account, Event, FieldValue, Page
from connectors.clock import SteppedClock
from connectors.values import canonical
from scoring import Scorecard, Segment
from scoring.printer import on_grid
from sync import delta
from sync.deliveries import Delivered, Round, deliver, planned_for, worthwhile
from sync.errors import UsageError
from sync.history import BEGINNING, History
from sync.replay import Wanted, csv_file, replayed, span_of
from sync.replayed import replay_document
from sync.rows import Delivery
from sync.run import run_once
from sync.settings import Delivery as Rules
from sync.verdicts import Told, Verdict
from sync.worker import Worker
from sync.writes import TOLD_SCORE, Written
from tests.command import exit_code
from tests.fakes import CARD, FakeCrm, FakeSource, a_worker

START = datetime(2026, 10, 30, 9, tzinfo=UTC)  # the days lie in two months
PASSES = (0, 1, 2, 6, 7)  # days on which the worker was on
FIRST, LAST = date(2026, 10, 30), date(2026, 11, 5)  # what they kept as final, but for the day before the first
NAMES = [f"a{n}" for n in range(9)]
MEASURES = "  more_tickets: {of: tickets, against: previous}\n"
RULES = """
settle: {band: 5, dwell: 2d}
caps:
  idle: {when: active <= 0.2, tier: yellow, reason: hardly any login}
  asks: {when: more_tickets > 0.4, tier: red, reason: many more tickets, lasts: 4d}
watch:
  quiet: {when: active < 0.95, reason: fewer logins}
"""
OURS = Scorecard.model_validate(yaml.safe_load(CARD + MEASURES + RULES))
STRICT = Scorecard.model_validate(yaml.safe_load(CARD + "tiers: {green: 95, yellow: 80}\nsettle: {band: 0, dwell: 1d}"))


class Company(NamedTuple):
    worker: Worker
    crm: FakeCrm
    folder: Path


def _events(day: int, random: Random) -> list[Event]:
    """A day's logins and tickets; some accounts fall silent, some begin to ask."""
    at = START + timedelta(days=day - 1)
    events = []
    for n, name in enumerate(NAMES):
        if random.random() < (0.95, 0.7, 0.4)[n % 3] and not (n > 5 and day > 2):
            events.append(Event("product", f"{name}/l{day}", name, "u", "login", at, 1.0, None))
        if random.random() < (0.0, 0.1, 0.2)[n % 3] + (0.6 if n == 3 and day > 1 else 0):
            events.append(Event("product", f"{name}/t{day}", name, None, "ticket.created", at, 1.0, None))
    return events


def _page(day: int, events: list[Event]) -> Page:
    through = (START + timedelta(days=day)).replace(hour=0)
    return Page(events=events, through=through, since=START - timedelta(days=70))


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company that was scored nightly for a week, but for three days that the worker was off."""
    folder, random = tmp_path_factory.mktemp("company"), Random(4)
    crm = FakeCrm("crm", [Account(name, name.upper(), since=START - timedelta(days=200)) for name in NAMES])
    crm.records["a8"] = replace(crm.records["a8"], since=START + timedelta(days=3))
    whole = _page(-1, [event for day in range(-69, 0) for event in _events(day, random)])
    source, clock = FakeSource("product", [whole], names=("login", "ticket.created")), SteppedClock(START)
    with a_worker(folder, home=crm, sources=[source], clock=clock) as worker:
        worker = replace(worker, settings=replace(worker.settings, segments=(Segment(OURS),)))
        for day in range(PASSES[-1] + 1):
            source.pages.append(_page(day, _events(day, random)))
            clock.advance_to(START + timedelta(days=day))
            if day in PASSES:
                assert not run_once(worker).problems
        yield Company(worker, crm, folder)


def _hashed(folder: Path) -> dict[str, str]:
    """All files but the one that SQLite's readers share while they read."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.endswith("-shm"))
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _kept(worker: Worker, table: str) -> str:
    """SQL that reads what the history has of the days."""
    path = worker.history.path / table
    rows = delta.scan(path, delta.data_files(delta.open_table(path)), mixed=True)
    return f"select * from {rows} where as_of between date '{FIRST}' and date '{LAST}'"


def test_a_replay_comes_to_what_the_nightly_runs_kept_byte_for_byte(company: Company, tmp_path: Path) -> None:
    worker = company.worker
    assert worker.history.days(final_only=True) == {FIRST + timedelta(n) for n in range(-1, 7)}
    before = _hashed(company.folder)
    span = span_of(worker, f"{FIRST}", f"{LAST}")
    for parts, table, by in (
        (False, "scores", "account, as_of"),
        (True, "parts", "account, as_of, dimension, measure"),
    ):
        with csv_file(tmp_path / "again.csv") as file:
            found = replayed(worker, span, None, Wanted(parts=parts, csv=file))
        again = (tmp_path / "again.csv").read_text()
        columns = again.partition("\n")[0]
        duckdb.sql(f"copy (select {columns} from ({_kept(worker, table)}) order by {by}) to '{tmp_path}/kept.csv'")
        assert again == (tmp_path / "kept.csv").read_text()
        assert again.count("\n") > 50
    assert _hashed(company.folder) == before
    assert {one.name for one in tmp_path.iterdir()} == {"again.csv", "kept.csv"}
    assert found.before
    assert found.before.last == found.after.last
    assert not found.moved
    said = str(duckdb.execute(_kept(worker, "scores")).fetchall())  # there was something to be the same about
    assert all(word in said for word in ("cap=", "watch:", "toward=", "green", "yellow", "red"))


def test_days_that_no_run_kept_are_worked_out_from_the_last_that_was(company: Company, tmp_path: Path) -> None:
    span = span_of(company.worker, f"{LAST}", None)
    assert span == (LAST, LAST)
    worker = replace(company.worker, history=_Shorter(company.worker, FIRST + timedelta(1)))
    assert worker.history.last_before(LAST) == FIRST + timedelta(1)
    for one in (company.worker, worker):
        with csv_file(tmp_path / f"{one is worker}.csv") as file:
            replayed(one, span, None, Wanted(csv=file))
    assert (tmp_path / "True.csv").read_text() == (tmp_path / "False.csv").read_text()


class _Shorter(History):
    """A history that ends earlier."""

    def __init__(self, worker: Worker, last: date) -> None:
        super().__init__(worker.history.path)
        self._last = last

    def days(self, *, final_only: bool = False, since: date = BEGINNING) -> set[date]:
        return {day for day in super().days(final_only=final_only, since=since) if day <= self._last}


def test_another_scorecard_in_their_place_says_who_would_have_changed_tier(company: Company) -> None:
    worker, span = company.worker, span_of(company.worker, f"{FIRST}", f"{LAST}")
    found = replayed(worker, span, STRICT)
    ours = {account: told[1] for account, told in worker.history.scores_on(LAST).items()}
    theirs = {account: _tier(told.score) for account, told in found.after.last.items()}
    wanted = {account: (tier, theirs[account]) for account, tier in ours.items() if tier != theirs[account]}
    assert {account: (was.tier, now.tier) for account, was, now in found.moved} == wanted
    assert 2 < len(wanted) < len(NAMES)
    told = replay_document(found)
    assert told["before"]["told"] == "from the history"
    assert told["before"]["scorecards"] == [{"name": "test card", "version": OURS.version}]
    assert told["after"]["scorecards"] == [{"name": "test card", "version": STRICT.version}]
    assert sum(told["after"]["tiers"].values()) == len(NAMES)
    assert [move["account"] for move in told["moved"]] == sorted(wanted)


def _tier(score: float | None) -> str:
    return "unscored" if score is None else "green" if score >= 95 else "yellow" if score >= 80 else "red"


def test_where_the_last_day_was_not_kept_the_settings_scorecard_stands_in_for_it(company: Company) -> None:
    span = span_of(company.worker, f"{FIRST + timedelta(2)}", f"{LAST}")
    worker = replace(company.worker, history=_Shorter(company.worker, LAST - timedelta(1)))
    found = replayed(worker, span, STRICT)
    assert found.before
    assert not found.before.kept
    alone = replayed(worker, span)
    assert alone.before is None
    assert not alone.moved
    assert found.before == alone.after
    assert found.before.changes != found.after.changes


def test_of_one_account_every_day_is_told(company: Company) -> None:
    worker, span = company.worker, span_of(company.worker, f"{FIRST}", f"{LAST}")
    only = next(row for row in worker.state.accounts.members() if row.id == "a8")  # it began in the middle
    found = replayed(worker, span, None, Wanted(only, parts=True))
    assert [day["as_of"] for day in found.days] == [FIRST + timedelta(n) for n in range(3, 7)]
    for day in found.days:
        assert sum(part["contribution"] for part in day["parts"]) == day["score"]
    assert list(found.after.last) == ["a8"]
    assert found.after.writes["crm"][0].changed == 1  # a record that was never written
    with pytest.raises(UsageError, match="a8 has no score until 2026-10-31: its record was created later"):
        replayed(worker, span_of(worker, f"{FIRST}", f"{FIRST + timedelta(1)}"), None, Wanted(only))


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-11-03", "2026-11-02", "--from: 2026-11-03 comes after 2026-11-02"),
        ("2026-11-03", "2026-11-20", "--to: 2026-11-20 is still to come; today is 2026-11-06"),
        ("2026-11-03", "2026-11-06", "--to: 2026-11-06 is not final yet; 2026-11-05 is the last day that is over and"),
        ("2026-11-20", None, "--from: 2026-11-20 is still to come; today is 2026-11-06"),
        ("2016-01-01", "2026-11-02", "are 3,959 days; 3,660 at most"),
        ("2026-08-20", None, "no facts of 2026-08-20 yet: product is read from 2026-08-22 on; `backfill`"),
        ("yesterday", None, "--from: 'yesterday' is not a day; write it as 2026-01-31"),
    ],
)
def test_a_range_that_cannot_be_is_one_line(company: Company, first: str, last: str | None, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        span_of(company.worker, first, last)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--to 2026-11-01", "--to: goes with --from"),
        ("--scorecard saas", "--scorecard: goes with --from"),
        ("--parts", "--parts: goes with --from"),
        ("--csv rows.csv", "--csv: goes with --from"),
        ("--from 2026-11-01 --as-of 2026-11-01", "--as-of: is about one day"),
        ("--from 2026-11-01 --sql", "--sql: is about one day"),
        ("--told", "--told: goes with --as-of"),
        ("--from 2026-11-01 --scorecard nowhere", "'nowhere' is no file, no preset"),
        ("--from 2026-11-01 --csv /nowhere/rows.csv", "--csv: /nowhere/rows.csv cannot be written (No such file"),
        ("--from 2026-11-01 --account nobody", "no account has the id or name 'nobody'"),
        ("--as-of 2026-01-01 --told", "--told: 2026-01-01 was not kept (the days that were begin with 2026-10-29"),
        ("--as-of 2026-11-01 --told --account a8", "a8 was told nothing on 2026-11-01: it came later"),
    ],
)
def test_options_that_do_not_fit_are_one_line_and_exit_code_2(
    company: Company, capsys: pytest.CaptureFixture[str], options: str, words: str
) -> None:
    assert exit_code("scores", "--config", str(company.folder / "bellwether.yaml"), *options.split()) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert (said.err.count("\n"), said.out) == (1, "")


def test_what_was_told_on_a_day_stays_whatever_the_scorecard_says_now(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(company.folder / "bellwether.yaml")
    assert exit_code("scores", "--config", config, "--as-of", f"{LAST}", "--told", "--json") == 0
    told = {row["account"]: row for row in json.loads(capsys.readouterr().out)}
    assert {
        a: (row["score"], row["tier"], row["version"]) for a, row in told.items()
    } == company.worker.history.scores_on(LAST)
    assert {row["version"] for row in told.values()} == {OURS.version}  # the file says something else by now
    assert all(sum(part["contribution"] for part in row["parts"]) == row["score"] for row in told.values())
    for words, shown in (((), "A3"), (("--account", "a3"), "A3 on 2026-11-05, as it was told")):
        assert exit_code("scores", "--config", config, "--as-of", f"{LAST}", "--told", *words) == 0
        assert shown in capsys.readouterr().out


def test_the_same_day_asked_twice_gives_the_same_bytes(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    answers = set()
    for _ in range(2):
        words = ("scores", "--config", str(company.folder / "bellwether.yaml"), "--as-of", f"{LAST}", "--json")
        assert exit_code(*words) == 0
        answers.add(capsys.readouterr().out)
    (answer,) = answers
    assert len(json.loads(answer)) == len(NAMES)


def test_a_file_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("of before")
    with pytest.raises(KeyboardInterrupt), csv_file(path), duckdb.connect():
        raise KeyboardInterrupt
    assert [one.read_text() for one in tmp_path.iterdir()] == ["of before"]


def test_the_page_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", _doc("scorecards"), re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    (shown,) = re.findall(r"^```\n(\$ .*?)^```", _doc("replay"), re.MULTILINE | re.DOTALL)
    for line in shown.splitlines():
        if line.startswith("$ bellwether"):
            capsys.readouterr()
            assert exit_code(*line.split()[2:]) == 0
        elif line.startswith("$ "):
            subprocess.run(line[2:], shell=True, check=True)
    said = shown.partition("kinder.yaml\n2026")[2]
    assert _lines(capsys.readouterr().out) == _lines("2026" + said)


def _doc(name: str) -> str:
    return (Path(__file__).parent.parent / "docs" / f"{name}.md").read_text()


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


SAID = st.tuples(
    st.sampled_from(["green", "yellow", "yellow cap:x"]),
    st.one_of(st.none(), st.sampled_from([70.25, 71.25, 70.75]), st.floats(69, 73).map(on_grid)),
)


@settings(max_examples=40)
@given(
    st.lists(SAID, min_size=1, max_size=20),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from(["1d", "7d"]),
    st.sampled_from("abcdefg"),
)
def test_writes_are_those_that_deliveries_would_make(
    days: list[tuple[str, float | None]], dead_band: float, refresh: str, record: str
) -> None:
    rules = Rules.model_validate({"dead_band": dead_band, "refresh": refresh})
    span = [FIRST - timedelta(1) + timedelta(n) for n in range(len(days) + 1)]
    told = [(day, *said) for day, said in zip(span[1:], days, strict=True)]
    written = Written(span, rules)
    written.count(record, [text for text, _ in days], _as_held([score for _, score in days]))
    assert [cost.day for cost in written.costs(FakeCrm("crm", []))] == _delivered(record, told, rules)


def _as_held(scores: list[float | None]) -> list[float | None]:
    """What SQL makes of these scores, and what a record would hold."""
    held = duckdb.execute(f"select {TOLD_SCORE} from (select unnest($1::double[]) as score)", [scores]).fetchall()
    assert [score for (score,) in held] == [_Crm("crm", []).canonical("score", score) for score in scores]
    return [score for (score,) in held]


class _Crm(FakeCrm):
    def canonical(self, field: str, value: FieldValue) -> FieldValue:
        return canonical(next(one for one in FIELDS if one.key == field), value, tiers={})


def _delivered(record: str, days: list[tuple[date, str, float | None]], rules: Rules) -> list[date]:
    """The days on which a CRM is written when one pass a day delivers."""
    crm, known, written = _Crm("crm", [Account(record, "x")]), dict[str, Delivery](), []
    for day, deciding, score in days:
        now, result = datetime(day.year, day.month, day.day, tzinfo=UTC), Delivered()
        round_ = Round(crm, rules, now, day)
        picked = worthwhile(round_, {record: Told(deciding, score, {})}, [(record, record)], known, result)
        fields = {"reason": f"{day}"} | ({} if score is None else {"score": score})
        planned = planned_for(picked, {record: Verdict(record, fields, deciding, "")}, known)
        deliver(round_, planned, result, save=lambda rows: known.update({row.record_id: row for row in rows}))
        if result.written:
            written.append(day)
    return written


def test_a_record_is_taken_to_hold_what_the_first_day_says() -> None:
    days = [FIRST + timedelta(n) for n in range(21)]
    for lived, changed, refreshed in ((21, 0, 3), (14, 1, 2)):
        written = Written(days, Rules.model_validate({}))
        written.count("r", ["green"] * lived, [80.0] * lived)
        assert (sum(written.changed), sum(written.refreshed)) == (changed, refreshed)
        assert {cost.calls for cost in written.costs(FakeCrm("crm", []))} == {2}

"""The change ledger, from facts to lines: what was told stays told, and every cause is called what it is."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Account, Event, Page
from connectors.clock import SteppedClock
from scoring import Scorecard, Segment
from sync.ledger import Ledger, ledger
from sync.rows import Judgement
from sync.run import run_once
from sync.scores import alone, fetch, scored
from sync.show import ledger_document, show_ledger
from sync.worker import Worker
from tests.command import exit_code
from tests.fakes import FakeCrm, FakeSource, a_worker

DOCS = Path(__file__).parent.parent / "docs"
START = datetime(2026, 11, 2, 9, tzinfo=UTC)
SINCE = START - timedelta(days=400)
SUPPORT: Mapping[str, Any] = {
    "dimensions": {
        "usage": {"weight": 20, "measures": {"active": 1}},
        "support": {"weight": 80, "measures": {"tickets": 1}},
    }
}


def _blocks(page: str) -> list[tuple[str, str]]:
    """The commands a page shows, and what they are said to print."""
    text = "\n".join(re.findall(r"^```\n(\$ .*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL))
    starts = [found.start() for found in re.finditer(r"^\$ ", text, re.MULTILINE)] + [len(text)]
    pieces = [text[start:end].removeprefix("$ ").partition("\n") for start, end in pairwise(starts)]
    return [(command, said) for command, _, said in pieces]


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the small example, in the folder that commands are run in."""
    page = (DOCS / "scorecards.md").read_text()
    for name, text in re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_prints_what_the_page_says_and_its_causes_add_up(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _blocks("changes.md")
    assert len(shown) == 4
    for command, said in shown:
        words = shlex.split(command)
        if words[0] == "touch":
            moment = datetime.fromisoformat(words[2]).timestamp()
            os.utime(words[3], (moment, moment))
            continue
        assert exit_code(*words[1:]) == 0
        printed = capsys.readouterr().out
        assert not said or _lines(printed) == _lines(said), command
    exit_code("explain", "a1", "--since", "2026-03-31", "--until", "2026-04-26", "--json")
    found = json.loads(capsys.readouterr().out)
    assert [cause["change"] for cause in found["causes"]] == [-42.0, 6.75, 2.25]
    assert sum(cause["change"] for cause in found["causes"]) == found["change"]
    refused = {
        ("--since", "2026-04-01", "--until", "2026-03-31"): "--since: 2026-04-01 has to be before 2026-03-31",
        ("--until", "2026-03-31"): "--until: goes with --since",
        ("--since", "yesterday"): "--since: 'yesterday' is not a day; write it as 2026-01-31",
        ("--since", "2026-03-01", "--until", "2999-01-01"): "--until: 2999-01-01 is still to come",
        (
            "--since",
            "2025-03-01",
            "--until",
            "2026-03-01",
        ): "a1 has no score on 2025-03-01: its record was created later",
    }
    for options, why in refused.items():
        assert exit_code("explain", "a1", *options) == 2
        assert why in capsys.readouterr().err


# a worker that lives some days


def _facts(name: str, *days: int, account: str = "a1", value: float = 1.0) -> list[Event]:
    """A fact of this name on each of these days before the start."""
    moments = [(day, START - timedelta(days=day)) for day in days]
    return [Event("product", f"{account}/{name}/{day}", account, "u", name, at, value, None) for day, at in moments]


def _saying(worker: Worker, words: Mapping[str, Any]) -> Worker:
    """The worker with these words in its scorecard."""
    content = _content(worker.settings.scorecard) | words
    return replace(worker, settings=replace(worker.settings, segments=(Segment(Scorecard.model_validate(content)),)))


def _content(card: Scorecard) -> dict[str, Any]:
    return card.model_dump(mode="json", by_alias=True, exclude_defaults=True)


@contextmanager
def _company(folder: Path, *events: Event, **words: Any) -> Iterator[tuple[Worker, SteppedClock, FakeSource]]:
    """One day after the start, with yesterday in the history; `words` go into the scorecard."""
    crm = FakeCrm("crm", [Account(name, name.upper(), since=SINCE) for name in ("a1", "b2")])
    clock = SteppedClock(START)
    source = FakeSource("product", [_page(START, *events)], names=("login", "ticket.created"))
    with a_worker(folder, home=crm, sources=[source], clock=clock) as plain:
        worker = _saying(plain, words)
        _live(worker, clock, source, 1)
        yield worker, clock, source


def _page(now: datetime, *events: Event) -> Page:
    midnight = now.replace(hour=0, minute=0)
    return Page(events=list(events), through=midnight, since=SINCE)


def _live(worker: Worker, clock: SteppedClock, source: FakeSource, days: int, *events: Event) -> None:
    """So many days later one pass takes these facts in; the days between go into the history."""
    clock.advance_to(clock.now() + timedelta(days=days))
    source.pages.append(_page(clock.now(), *events))
    assert not run_once(worker).problems


def _ledger(worker: Worker, back: int, *, until: int = 0, account: str = "a1") -> Ledger:
    """Between two days, so many before today."""
    row = next(row for row in worker.state.accounts() if row.id == account)
    today = worker.clock.now().date()
    found = ledger(worker, row, (today - timedelta(days=back), today - timedelta(days=until)))
    if found.change is not None:
        assert sum(line.change or 0.0 for line in found.lines) == found.change
    return found


def _said(found: Ledger) -> dict[tuple[str, str], float | None]:
    return {(line.kind, line.measure): line.change for line in found.lines}


def test_what_was_told_stays_told_and_what_came_in_late_is_a_cause_of_its_own(tmp_path: Path) -> None:
    with _company(tmp_path, *_facts("login", *range(10))) as (worker, clock, source):
        _live(worker, clock, source, 2)
        _live(worker, clock, source, 1, *_facts("ticket.created", -1))  # dated the day before yesterday
        found = _ledger(worker, 4, until=2)
        assert (found.before.kept, found.after.kept, found.notes) == (True, True, ())
        assert (found.before.score, found.after.score) == (100.0, 88.0)
        assert _said(found) == {("ageing", "active"): -12.0, ("new data", "tickets"): -8.0, ("corrected", ""): 8.0}
        assert [line.words for line in found.lines if line.kind == "corrected"] == [
            "Tickets in 30 days 1 on 2026-11-04, told as 0"
        ]
        today = _ledger(worker, 4)
        assert ("corrected", "") not in _said(today)
        assert today.notes == ("2026-11-06 is not over, so its score is provisional",)


def test_a_line_counts_the_new_facts_of_its_own_account_that_still_count(tmp_path: Path) -> None:
    with _company(tmp_path, *_facts("login", 0, 1)) as (worker, clock, source):
        news = [*_facts("login", -1), *_facts("login", -1, account="b2"), *_facts("ticket.created", -1, account="b2")]
        clock.advance_to(clock.now() + timedelta(days=12))
        source.pages.append(_page(clock.now(), *news))
        run_once(worker, only="pull")
        (line,) = _ledger(worker, 13, until=12).lines
        assert (line.kind, line.change, line.new) == ("new data", 6.0, {"login": 1})
        assert line.words == "Days with a login 30%, was 20% (new: 1 login)"
        (line,) = _ledger(worker, 13, until=1).lines  # by now the new login is too old as well
        assert (line.kind, line.change, line.new) == ("ageing", -12.0, {})


def test_another_scorecard_is_never_mixed_into_behaviour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights change from 60 and 40 to 20 and 80 after the first day in the history; use fades meanwhile."""
    with _company(tmp_path, *_facts("login", *range(10)), *_facts("ticket.created", 1)) as (first, clock, source):
        old = first.settings.scorecard
        first.state.save_scorecard(old.version, old.name, _content(old), clock.now())
        worker = _saying(first, SUPPORT)
        _live(worker, clock, source, 2)
        found = _ledger(worker, 3, until=1)
        assert (found.before.score, found.after.score) == (92.0, 80.0)
        assert _said(found) == {("ageing", "active"): -8.0, ("scorecard", ""): -4.0}
        assert found.lines[1].words == f"test card {old.version} became test card {worker.settings.scorecard.version}"

        monkeypatch.setattr(worker.state, "scorecard", lambda _version: None)
        found = _ledger(worker, 3, until=1)  # what use did is then told by the weights that are left
        assert _said(found) == {("scorecard", ""): -8.0, ("ageing", "active"): -4.0}
        assert found.notes[0].startswith(f"{old.version} is no longer kept")


def test_an_account_that_comes_to_another_scorecard_is_told_so(tmp_path: Path) -> None:
    with _company(tmp_path, *_facts("login", *range(10)), *_facts("ticket.created", 1)) as (worker, clock, _source):
        large = _saying(worker, {**SUPPORT, "name": "large"}).settings.scorecard
        segments = (Segment(large, "seats >= 500"), *worker.settings.segments)
        grown = Event("crm", "a1/seats/now", "a1", None, "seats", clock.now(), 700.0, None)
        worker.log.append("crm", Page(events=[grown]))
        (line,) = _ledger(replace(worker, settings=replace(worker.settings, segments=segments)), 1).lines
        assert (line.kind, line.change) == ("scorecard", -8.0)
        assert line.words == f"test card {worker.settings.scorecard.version} became large {large.version}"


def test_an_unscored_day_has_no_change_to_split_but_what_moved_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _company(tmp_path, *_facts("login", *range(10))) as (worker, clock, _source):
        clock.advance_to(clock.now() + timedelta(days=10))
        found = _ledger(worker, 11)
        assert found.change is None
        assert _said(found) == {("missing", "active"): None, ("missing", "tickets"): None}
        assert ledger_document(found)["causes"][0]["before"]["value"] == 1.0
        show_ledger(found)
        said = capsys.readouterr().out
        assert "Days with a login too old to count, was 100% at 60% of the score" in said
        assert "2026-11-13 is unscored, so there is no change to split" in said


def test_an_account_by_itself_scores_as_it_does_among_all(tmp_path: Path) -> None:
    events = [*_facts("login", 0, 3, 5), *_facts("login", 0, 1, account="b2"), *_facts("ticket.created", 2)]
    with _company(tmp_path, *events) as (worker, clock, _source):
        accounts = worker.state.accounts()
        basis = worker.basis(accounts, worker.links(accounts))
        with scored(worker.log, basis, spill=worker.spill) as on:
            among_all = list(fetch(on(clock.now().date())))
        for row, expected in zip(accounts, among_all, strict=True):
            with scored(worker.log, alone(basis, row), spill=worker.spill, few=True) as on:
                assert list(fetch(on(clock.now().date()))) == [expected]


def test_what_moved_the_tier_and_not_the_score_is_listed(tmp_path: Path) -> None:
    cap = {"when": "active <= 0.8", "tier": "red", "reason": "use fades"}
    with _company(tmp_path, *_facts("login", *range(10)), caps={"fading": cap}) as (worker, clock, source):
        _live(worker, clock, source, 3)
        kept, today = _ledger(worker, 4, until=1), _ledger(worker, 4)
        for found in (kept, today):
            assert (found.before.tier, found.after.tier, found.after.raw_tier) == ("green", "red", "green")
            assert found.tier == (("cap begun", "at most red: use fades (since 2026-11-04)"),)
        assert ledger_document(today)["tier"][0]["what"] == "cap begun"
        assert _ledger(worker, 2, until=1).tier == ()


def _word(now: datetime, **given: Any) -> Judgement:
    told = {"id": 0, "account": "a1", "author": "Ann", "reason": "met them", "day": now.date(), "until": None}
    rest = dict.fromkeys(("tier", "name", "value")) | {"silence": False, "made_at": now}
    return Judgement(**(told | rest | given))


def test_what_people_say_is_told_apart_from_what_customers_do(tmp_path: Path) -> None:
    pulse = {"events": "csm.pulse", "take": "last", "max_age": "2d", "points": {1: 0, 10: 50}, "label": "Pulse"}
    active = {"events": "login", "take": "active_days", "window": "10d", "points": {0: 0, 10: 100}}
    card: dict[str, Any] = {
        "dimensions": {"all": {"weight": 1, "measures": {"active": 60, "pulse": 40}}},
        "measures": {"active": active, "pulse": pulse},
    }
    with _company(tmp_path, *_facts("login", *range(10)), **card) as (worker, clock, source):
        now, ends = clock.now(), clock.now().date() + timedelta(days=1)
        worker.state.add_judgement(_word(now, kind="pulse", name="csm.pulse", value=10.0))
        worker.state.add_judgement(_word(now, kind="override", tier="red", until=ends))
        _live(worker, clock, source, 1)
        given = _ledger(worker, 2)
        assert ("judgement", "pulse") in _said(given)
        assert given.tier == (("override", f"red from {now.date()} until {ends}, by Ann: met them"),)
        clock.advance_to(clock.now() + timedelta(days=2))
        ended = _ledger(worker, 2)
        assert ("judgement", "pulse") in _said(ended)  # it is too old now, and nobody renewed it
        assert [what for what, _ in ended.tier] == ["override over"]

"""The change ledger, from facts to lines: what was told stays told, and every cause is called what it is."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
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


def _facts(name: str, *days: int, account: str = "a1") -> list[Event]:
    """A fact of this name on each of these days before the start."""
    moments = [(day, START - timedelta(days=day)) for day in days]
    return [Event("product", f"{account}/{name}/{day}", account, "u", name, at, 1.0, None) for day, at in moments]


def _saying(worker: Worker, words: Mapping[str, Any]) -> Worker:
    """The worker with these words in its scorecard."""
    content = worker.settings.scorecard.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    segment = Segment(Scorecard.model_validate({**content, **words}))
    return replace(worker, settings=replace(worker.settings, segments=(segment,)))


@contextmanager
def _company(folder: Path, **words: Any) -> Iterator[tuple[Worker, FakeSource]]:
    """The day after the start; customers logged in on each of ten days up to it. `words` go into the scorecard."""
    crm = FakeCrm("crm", [Account(name, name.upper(), since=SINCE) for name in ("a1", "b2")])
    source = FakeSource("product", [], names=("login", "ticket.created"))
    with a_worker(folder, home=crm, sources=[source], clock=SteppedClock(START)) as plain:
        worker = _saying(plain, words)
        _live(worker, source, 1, *_facts("login", *range(10)), *_facts("login", *range(4), account="b2"))
        yield worker, source


def _live(worker: Worker, source: FakeSource, days: int, *events: Event) -> None:
    """So many days later one pass takes these facts in; the days between go into the history."""
    assert isinstance(worker.clock, SteppedClock)
    worker.clock.advance_to(worker.clock.now() + timedelta(days=days))
    midnight = worker.clock.now().replace(hour=0, minute=0)
    source.pages.append(Page(events=list(events), through=midnight, since=SINCE))
    assert not run_once(worker).problems


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """On 6 November the days from the 2nd are in the history. Nobody logged in since, so that use fades by a tenth of
    itself a day, and on the 4th a cap began; of two tickets of the 3rd nobody heard before today.
    """
    cap = {"when": "active <= 0.8", "tier": "red", "reason": "use fades"}
    with _company(tmp_path_factory.mktemp("lived"), caps={"fading": cap}) as (worker, source):
        _live(worker, source, 2)
        late = [*_facts("ticket.created", -1), *_facts("ticket.created", -1, account="b2")]
        _live(worker, source, 1, *late)
        grown = Event("crm", "a1/seats/now", "a1", None, "seats", worker.clock.now(), 700.0, None)
        worker.log.append("crm", Page(events=[grown]))
        yield worker


def _ledger(worker: Worker, first: int, last: int) -> Ledger:
    """Of two days of November."""
    row = next(row for row in worker.state.accounts.members() if row.id == "a1")
    found = ledger(worker, row, (date(2026, 11, first), date(2026, 11, last)))
    if found.change is not None:
        assert sum(line.change or 0.0 for line in found.lines) == found.change
    return found


def _said(found: Ledger) -> dict[str, float | None]:
    return {f"{line.kind} {line.measure}".rstrip(): line.change for line in found.lines}


def test_what_was_told_stays_told_and_what_came_in_late_is_a_cause_of_its_own(lived: Worker) -> None:
    found = _ledger(lived, 2, 4)
    assert (found.before.kept, found.after.kept, found.notes) == (True, True, ())
    assert (found.before.score, found.after.score) == (100.0, 88.0)
    assert _said(found) == {"ageing active": -12.0, "new data tickets": -8.0, "corrected": 8.0}
    lines = {line.kind: line for line in found.lines}
    assert lines["corrected"].words == "Tickets in 30 days 1 on 2026-11-04, told as 0"
    assert lines["new data"].words == "Tickets in 30 days 1, was 0 (new: 1 ticket.created)"  # the other is another's
    assert lines["ageing"].words == "Days with a login 80%, was 100%"
    today = _ledger(lived, 2, 6)
    assert _said(today) == {"ageing active": -18.0, "new data tickets": -8.0}
    assert today.notes == ("2026-11-06 is not over, so its score is provisional",)


def test_what_moved_the_tier_and_not_the_score_is_listed(lived: Worker) -> None:
    for last in (4, 6):
        found = _ledger(lived, 2, last)
        assert found.tier == (("cap begun", "at most red: use fades (since 2026-11-04)"),)
        days = [ledger_document(found)[side] for side in ("before", "after")]
        assert [(day["tier"], day["raw_tier"]) for day in days] == [("green", "green"), ("red", "green")]
    assert _ledger(lived, 4, 5).tier == ()


def test_another_scorecard_is_never_mixed_into_behaviour(lived: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 60 for use and 40 for tickets to 20 and 80; what was told of the 4th did not know of the ticket."""
    worker, old = _saying(lived, SUPPORT), lived.settings.scorecard.version
    found = _ledger(worker, 4, 6)
    assert (found.before.score, found.after.score) == (88.0, 78.0)
    assert _said(found) == {"corrected": -8.0, "ageing active": -4.0, "scorecard": 2.0}
    assert found.lines[2].words == f"test card {old} became test card {worker.settings.scorecard.version}"

    monkeypatch.setattr(worker.state.scorecards, "find", lambda _version: None)
    found = _ledger(worker, 4, 6)  # what use did is then told by the weights that are left
    assert _said(found) == {"scorecard": -8.0, "ageing active": -2.0}
    assert found.notes[1].startswith(f"{old} is no longer kept")


def test_an_account_that_comes_to_another_scorecard_is_told_so(lived: Worker) -> None:
    large = _saying(lived, {**SUPPORT, "name": "large"}).settings.scorecard
    segments = (Segment(large, "seats >= 500"), *lived.settings.segments)
    found = _ledger(replace(lived, settings=replace(lived.settings, segments=segments)), 5, 6)
    words = [line.words for line in found.lines if line.kind == "scorecard"]
    assert words == [f"test card {lived.settings.scorecard.version} became large {large.version}"]


def test_an_unscored_day_has_no_change_to_split_but_what_moved_is_said(
    lived: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _ledger(replace(lived, clock=SteppedClock(START + timedelta(days=14))), 2, 16)
    assert found.change is None
    assert _said(found) == {"missing active": None, "missing tickets": None}
    assert ledger_document(found)["causes"][0]["before"]["value"] == 1.0
    show_ledger(found)
    said = capsys.readouterr().out
    assert "Days with a login too old to count, was 100% at 60% of the score" in said
    assert "unscored, so there is no change to split, only what moved: 2026-11-16" in said


def test_an_account_by_itself_scores_as_it_does_among_all(lived: Worker) -> None:
    day, accounts = date(2026, 11, 4), lived.state.accounts.members()
    basis = lived.basis(accounts, lived.linked(accounts))
    with scored(lived.log, basis, spill=lived.spill) as on:
        among_all = list(fetch(on(day)))
    assert len({row.score for row in among_all}) == 2
    for row, expected in zip(accounts, among_all, strict=True):
        with scored(lived.log, alone(basis, row), spill=lived.spill, few=True) as on:
            assert list(fetch(on(day))) == [expected]


def _word(now: datetime, **given: Any) -> Judgement:
    told = {"id": 0, "account": "a1", "author": "Ann", "reason": "met them", "day": now.date(), "until": None}
    rest: dict[str, Any] = {"tier": None, "name": None, "value": None, "silence": False, "made_at": now}
    return Judgement(**(rest | told | given))


def test_what_people_say_is_told_apart_from_what_customers_do(tmp_path: Path) -> None:
    pulse = {"events": "csm.pulse", "take": "last", "max_age": "2d", "points": {1: 0, 10: 50}, "label": "Pulse"}
    active = {"events": "login", "take": "active_days", "window": "10d", "points": {0: 0, 10: 100}}
    dimensions = {"all": {"weight": 1, "measures": {"active": 60, "pulse": 40}}}
    with _company(tmp_path, dimensions=dimensions, measures={"active": active, "pulse": pulse}) as (worker, source):
        now, ends = worker.clock.now(), worker.clock.now().date() + timedelta(days=1)
        worker.state.judgements.add(_word(now, kind="pulse", name="csm.pulse", value=10.0))
        worker.state.judgements.add(_word(now, kind="override", tier="red", until=ends))
        _live(worker, source, 1)
        given = _ledger(worker, 2, 4)
        assert _said(given)["judgement pulse"] == 0.4 * (50 - 95)  # its points, and the mean of those of use
        assert given.tier == (("override", f"red from {now.date()} until {ends}, by Ann: met them"),)
        later = replace(worker, clock=SteppedClock(worker.clock.now() + timedelta(days=2)))
        ended = _ledger(later, 4, 6)
        assert list(_said(ended)) == ["judgement pulse"]  # it is too old now, and nobody renewed it
        assert [what for what, _ in ended.tier] == ["override over"]

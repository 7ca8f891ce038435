"""What a pass works for: accounts whose numbers changed are decided upon, those that are told are put into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.base import Account, Event, Page
from connectors.clock import SteppedClock
from scoring import Scorecard, Segment, decision, reason
from sync.evaluate import evaluated
from sync.progress import Quiet
from sync.rows import Decision, Judgement, JudgementKind
from sync.run import run_once
from sync.tables import TOTALS
from sync.worker import Worker
from tests.fakes import FakeCrm, FakeSource, a_worker

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
THROUGH = datetime(2026, 11, 3, tzinfo=UTC)
NAMES = [f"a{n}" for n in range(6)]


def _told(account: str, days: int, tickets: int = 0) -> Page:
    """Logins on so many days, and tickets, up to the day of the pass."""
    moments = [START - timedelta(days=n) for n in range(days)]
    logins = [Event("product", f"{account}/{at.date()}", account, "u", "login", at, 1.0, None) for at in moments]
    asked = [
        Event("product", f"{account}/t{n}", account, None, "ticket.created", START, 1.0, None) for n in range(tickets)
    ]
    return Page(events=[*logins, *asked], through=THROUGH, since=START - timedelta(days=400))


@contextmanager
def _company(folder: Path) -> Iterator[tuple[Worker, FakeCrm, FakeSource]]:
    crm = FakeCrm("crm", [Account(name, name.upper(), since=START - timedelta(days=300)) for name in NAMES])
    pages = [_told(name, 2 * n) for n, name in enumerate(NAMES)]
    source = FakeSource("product", pages, names=("login", "ticket.created"))
    with a_worker(folder, home=crm, sources=[source], clock=SteppedClock(START)) as worker:
        yield worker, crm, source


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many accounts have been decided upon and put into words."""
    done: Counter[str] = Counter()

    def counted(name: str, function: object) -> None:
        monkeypatch.setattr(f"sync.verdicts.{name}", lambda *a: (done.update([name]), function(*a))[1])  # type: ignore[operator]

    counted("decision", decision)
    counted("reason", reason)
    return done


def test_an_account_with_the_numbers_of_the_last_pass_costs_neither_a_decision_nor_a_word(
    tmp_path: Path, work: Counter[str]
) -> None:
    with _company(tmp_path) as (worker, crm, source):
        assert run_once(worker).delivered["crm"]["written"] == len(NAMES)
        assert work == {"decision": len(NAMES), "reason": len(NAMES)}
        work.clear()
        assert run_once(worker).delivered["crm"]["unchanged"] == len(NAMES)
        assert work == {}
        source.pages.append(_told("a2", 4, tickets=4))
        crm.written.clear()
        run_once(worker)
        assert [write.id for write in crm.written] == ["a2"]
        assert work["decision"] == 1


def test_what_is_kept_of_a_decision_is_what_working_it_out_again_gives(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, _crm, source):
        for n in (3, 1, 5, 3):
            run_once(worker)
            source.pages.append(_told(NAMES[n], 10, tickets=n))
        run_once(worker)
        kept = worker.state.totals.decisions()
        with worker.state.change() as connection:
            connection.execute(TOTALS.delete())
        assert _judged(_decisions(worker)) == _judged(kept)
        assert len({decision.digest for decision in kept.values()}) > 3


def test_another_scorecard_decides_upon_everybody_again(tmp_path: Path, work: Counter[str]) -> None:
    with _company(tmp_path) as (worker, _crm, _source):
        run_once(worker)
        work.clear()
        card = worker.settings.scorecard.model_dump(by_alias=True, exclude_none=True)
        card["measures"]["active"]["action"] = "Write to them."
        other = replace(worker, settings=replace(worker.settings, segments=(Segment(Scorecard.model_validate(card)),)))
        assert {row.version for row in _decisions(other).values()} == {other.settings.scorecard.version}
        assert work["decision"] == len(NAMES)
        assert any("Write to them." in row.deciding for row in _decisions(other).values())


def _decisions(worker: Worker) -> dict[str, Decision]:
    with evaluated(worker, now=worker.clock.now(), keep=False, progress=Quiet()) as found:
        return found.decisions


def _judged(decisions: dict[str, Decision]) -> dict[str, tuple[object, ...]]:
    return {name: (row.version, row.digest, row.score, row.tier, row.deciding) for name, row in decisions.items()}


def _says(worker: Worker, kind: JudgementKind, account: str, *, tier: str | None = None, silence: bool = False) -> None:
    """What `bellwether judge` keeps."""
    today, why = worker.clock.now().date(), "their sponsor told me so"
    until = today + timedelta(days=1)
    said = Judgement(0, kind, account, "Anna Berg", why, today, until, tier, None, None, silence, worker.clock.now())
    assert worker.state.judgements.add(said)


def test_a_persons_tier_stands_beside_the_models_score_until_its_last_day(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, crm, _source):
        run_once(worker)
        score = crm.present["a5"]["score"]
        assert crm.present["a5"]["tier"] == "green"
        _says(worker, "override", "a5", tier="red")
        moved = run_once(worker).moved
        assert [(move.account, move.before, move.after, move.score) for move in moved] == [
            ("a5", "green", "red", score)
        ]
        assert (crm.present["a5"]["tier"], crm.present["a5"]["score"]) == ("red", score)
        said = str(crm.present["a5"]["reason"])
        assert said.startswith(
            "Set to red by Anna Berg until 2026-11-03 (the score says green): their sponsor told me so"
        )
        assert moved[0].reason == said
        assert "Days with a login" in said
        crm.written.clear()
        assert run_once(worker).delivered["crm"]["unchanged"] == len(NAMES)
        assert crm.written == []

        worker.clock.advance_to(START + timedelta(days=2))  # type: ignore[attr-defined]
        assert [(move.account, move.after) for move in run_once(worker).moved] == [("a5", "green")]
        assert crm.present["a5"]["tier"] == "green"
        assert "Anna" not in str(crm.present["a5"]["reason"])


def _saying(worker: Worker, **words: object) -> Worker:
    """The worker with these words in its scorecard."""
    content = worker.settings.scorecard.model_dump(by_alias=True, exclude_defaults=True) | words
    return replace(worker, settings=replace(worker.settings, segments=(Segment(Scorecard.model_validate(content)),)))


def test_a_change_is_told_between_scores_of_one_scorecard(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, crm, _source):
        run_once(worker)
        assert (crm.present["a5"]["score"], crm.present["a5"]["change"]) == (100.0, 60.0)
        use = {"weight": 90, "measures": {"active": 1}}
        support = {"weight": 10, "measures": {"tickets": 1}}
        other = _saying(worker, dimensions={"usage": use, "support": support})
        run_once(other)
        assert crm.present["a2"]["change"] == 36.0  # (0.4 - 0) of 90; against the score of then, 46 - 40 = 6


def test_a_note_labels_the_reason_or_keeps_a_move_silent_and_changes_no_number(tmp_path: Path) -> None:
    with _company(tmp_path) as (first, crm, source):
        worker = _saying(first, settle={"dwell": "1d"})
        run_once(worker)
        before = {name: dict(crm.present[name]) for name in ("a2", "a5")}
        worker.clock.advance_to(START + timedelta(days=1))  # type: ignore[attr-defined]
        _says(worker, "note", "a2")
        _says(worker, "note", "a5", silence=True)
        source.pages += [_told("a2", 20), _told("a5", 0, tickets=20)]
        report = run_once(worker)
        assert [move.account for move in report.moved] == ["a2"]
        assert report.silenced == 1
        for name in before:
            assert str(crm.present[name]["reason"]).startswith("Note by Anna Berg until 2026-11-04: their sponsor")
            assert crm.present[name]["tier"] != before[name]["tier"]
        assert crm.present["a2"]["score"] == worker.state.totals.all()["a2"].score == 100.0


def test_a_person_can_set_the_tier_of_an_account_without_a_score(tmp_path: Path) -> None:
    with _company(tmp_path) as (first, crm, _source):
        asked = {"events": "nowhere", "take": "last", "points": {0: 0, 9: 9}}
        used = {"events": "login", "take": "count", "window": "9d", "points": {0: 0, 9: 9}}
        dimensions = {"use": {"weight": 1, "measures": {"used": 1, "asked": 1}}}
        worker = _saying(first, coverage_floor=1, dimensions=dimensions, measures={"used": used, "asked": asked})
        run_once(worker)
        assert "tier" not in crm.present["a5"]
        _says(worker, "override", "a5", tier="red")
        run_once(worker)
        assert crm.present["a5"]["tier"] == "red"
        assert "score" not in crm.present["a5"]
        assert str(crm.present["a5"]["reason"]).startswith("Set to red by Anna Berg until 2026-11-03 (it is unscored)")
        worker.clock.advance_to(START + timedelta(days=2))  # type: ignore[attr-defined]
        run_once(worker)
        left = crm.present["a5"]
        assert left["tier"] is None
        assert "Anna" not in str(left["reason"])
        assert run_once(worker).delivered["crm"]["unchanged"] == len(NAMES)


def test_a_persons_tier_on_a_record_that_was_told_no_score_is_written_once(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, crm, _source):
        run_once(worker, only="pull")
        run_once(worker, only="score")
        assert worker.state.totals.all()["a5"].score == 100.0
        worker.clock.advance_to(START + timedelta(days=12))  # type: ignore[attr-defined]
        _says(worker, "override", "a5", tier="red")
        run_once(worker)
        assert (crm.present["a5"]["tier"], "score" in crm.present["a5"]) == ("red", False)
        assert run_once(worker).delivered["crm"]["unchanged"] == len(NAMES)


def test_after_days_off_a_rehearsal_and_the_pass_tell_the_tier_that_those_days_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = 10
    monkeypatch.setattr("sync.history.LONGEST_GAP", off + 1)
    crm, clock = FakeCrm("crm", [Account("a", "A", since=START - timedelta(days=300))]), SteppedClock(START)
    source = FakeSource("product", [_told("a", 10)], names=("login", "ticket.created"))
    with a_worker(tmp_path, home=crm, sources=[source], clock=clock) as worker:
        run_once(worker)
        assert crm.present["a"]["tier"] == "green"
        clock.advance_to(START + timedelta(days=off))  # nobody logs in any more
        source.pages.append(Page(events=(), through=START + timedelta(days=off)))
        run_once(worker, only="pull")
        assert _decisions(worker)["a"].tier == "yellow"
        run_once(worker)
        assert crm.present["a"]["tier"] == "yellow"
        assert len(worker.history.days(final_only=True)) == 1 + off


def test_a_rehearsal_of_the_first_pass_tells_the_tier_that_the_pass_will(tmp_path: Path) -> None:
    crm = FakeCrm("crm", [Account("a", "A", since=START - timedelta(days=300))])
    source = FakeSource("product", [_told("a", 5)], names=("login", "ticket.created"))
    with a_worker(tmp_path, home=crm, sources=[source], clock=SteppedClock(START)) as worker:
        run_once(worker, only="pull")
        rehearsed = _decisions(worker)["a"]
        run_once(worker)
        assert crm.present["a"]["tier"] == rehearsed.tier == "yellow"  # from yesterday; today alone would be green
        assert rehearsed.score == 70

"""Several scorecards: each account by the first whose rule its attributes meet on the day, the rest by the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from connectors.base import Account, Event, Page
from connectors.clock import SteppedClock
from scoring import Scorecard, Segment
from sync.errors import SettingsError
from sync.evaluate import as_of
from sync.loading import load
from sync.run import run_once
from sync.scores import fetch, scored
from sync.worker import Worker
from tests.fakes import CARD, FakeCrm, FakeSource, a_worker

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
SEEN = START - timedelta(days=300)
ATTRIBUTES: Mapping[str, Mapping[str, float | str | None]] = {
    "big": {"seats": 900},
    "small": {"seats": 20},
    "free": {"seats": 900, "Plan": "free"},
    "blank": {},
}


@contextmanager
def _company(folder: Path) -> Iterator[tuple[Worker, FakeCrm, SteppedClock]]:
    crm = FakeCrm("crm", [Account(name, name, since=SEEN, attributes=told) for name, told in ATTRIBUTES.items()])
    tickets = [Event("product", f"{name}/t", name, None, "ticket.created", START, 1.0, None) for name in ATTRIBUTES]
    page = Page(events=tickets, through=START + timedelta(days=5), since=SEEN)
    source = FakeSource("product", [page], names=("login", "ticket.created"))
    clock = SteppedClock(START)
    with a_worker(folder, home=crm, sources=[source], clock=clock) as worker:
        strict = worker.settings.scorecard.model_copy(update={"name": "strict"})
        free = worker.settings.scorecard.model_copy(update={"name": "free"})
        segments = (
            Segment(_version(free), "plan in ('free', 'trial')"),
            Segment(_version(strict), "seats >= 500 and not (plan = 'free')"),
            Segment(_version(strict.model_copy(update={"name": "many", "hold": 5})), "500 <= seats"),
            Segment(worker.settings.scorecard),
        )
        accounts = worker.settings.accounts.model_copy(update={"attributes": {"seats": "Seats", "Plan": "Plan__c"}})
        yield replace(worker, settings=replace(worker.settings, segments=segments, accounts=accounts)), crm, clock


def _version(card: Scorecard) -> Scorecard:
    return Scorecard.model_validate(card.model_dump(by_alias=True, exclude_defaults=True))


def _by(worker: Worker, day: date) -> dict[str, str]:
    """The scorecard that each account is scored by on a day."""
    accounts = worker.state.accounts.members()
    basis = worker.basis(accounts, worker.linked(accounts))
    cards = worker.settings.cards
    with scored(worker.log, basis, spill=worker.spill, also=[worker.history.path]) as on:
        return {row.account: cards[row.version].name for row in fetch(as_of(worker, on, day))}


def test_each_account_is_scored_by_one_scorecard_as_of_the_day(tmp_path: Path) -> None:
    with _company(tmp_path) as (worker, crm, clock):
        report = run_once(worker)
        assert not report.problems
        assert report.by_scorecard == {"free": 1, "many": 1, "test card": 2}
        # a rule over an attribute that is not known does not hold: who has no plan is not known to have no free one
        assert _by(worker, START.date()) == {"big": "many", "blank": "test card", "free": "free", "small": "test card"}
        told = {record: str(fields["version"]).rpartition(" ")[0] for record, fields in crm.present.items()}
        assert told == _by(worker, START.date())

        crm.records["small"] = replace(crm.records["small"], attributes={"seats": 700, "Plan": "pro"})
        clock.advance_to(START + timedelta(days=2))
        run_once(worker)
        assert _by(worker, clock.now().date())["small"] == "strict"
        assert _by(worker, START.date())["small"] == "test card"
        assert crm.present["small"]["change"] is None  # by another scorecard than thirty days before
        assert worker.state.totals.all()["small"].version == worker.settings.segments[1].card.version
        kept = worker.history.scores_on(START.date())
        assert kept["small"][2] == worker.settings.scorecard.version != kept["big"][2]


def test_a_name_alone_stands_for_a_scorecard_in_the_list_too(tmp_path: Path) -> None:
    path = tmp_path / "bellwether.yaml"
    path.write_text(
        "home: crm\nscorecard: [{use: smb, when: seats < 50}, saas]\n"
        "destinations: {crm: {kind: hubspot, access_token: x}}\naccounts: {where: all, attributes: {seats: Seats}}\n"
    )
    assert [(segment.card.name, segment.when) for segment in load(path).segments] == [
        ("smb", "seats < 50"),
        ("saas", ""),
    ]


@pytest.mark.parametrize(
    ("scorecard", "line"),
    [
        ("[{use: saas, when: seats > 1}]", "bellwether.yaml:2 scorecard.0.when: the last scorecard is for all other"),
        ("[{use: saas}, {use: mid_market}]", "scorecard.0.when: say which accounts it is for, like when: seats >= 500"),
        ("[{use: saas, when: arr > 1}, {use: saas}]", "knows only seats, not 'arr'"),
        ("[{use: saas, when: seats}, {use: saas}]", "has to be a test"),
        ("[{use: saas, when: 1 = 1}, {use: saas}]", "reads no attribute; compare one, like seats >= 500"),
        ("[{use: saas, when: not seats}, {use: saas}]", "uses a name where a test is needed: seats"),
        ("[{use: saas, when: seats > 1}, {use: mine.yaml}]", "scorecard.1: is called saas like a scorecard before it"),
        ("[{use: saas, when: seats > 1 and 'x'}, {use: saas}]", "uses a word where a test is needed"),
        ("[{use: nowhere.yaml, when: seats > 1}, {use: saas}]", "'nowhere.yaml' is neither a file nor a preset"),
        ("[]", "scorecard"),
        ("[{when: seats > 1}, {use: saas}]", "bellwether.yaml:2 scorecard.0.use: is missing"),
        ("[{use: saas, wenn: seats > 1}, {use: saas}]", "scorecard.0.wenn: there is no such setting"),
    ],
)
def test_a_mistake_in_the_list_is_named_with_its_line(tmp_path: Path, scorecard: str, line: str) -> None:
    path = tmp_path / "bellwether.yaml"
    (tmp_path / "mine.yaml").write_text(CARD.replace("test card", "saas"))
    path.write_text(
        f"home: crm\nscorecard: {scorecard}\ndestinations: {{crm: {{kind: hubspot, access_token: x}}}}\n"
        "accounts: {where: all, attributes: {seats: Seats}}\n"
    )
    with pytest.raises(SettingsError) as refused:
        load(path)
    assert any(line in said for said in refused.value.lines), refused.value.lines

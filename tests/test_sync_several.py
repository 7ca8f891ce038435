"""Several scores per account: each by its own scorecard, with its own steady tier and history, told in one write."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Account, Event, Page, fields_of
from connectors.clock import SteppedClock
from sync.cards import reread
from sync.deliveries import Delivered, Round, deliver, planned_for, worthwhile
from sync.erasing import doomed, erase, search
from sync.errors import SettingsError
from sync.lease import leased
from sync.loading import load
from sync.rows import Delivery
from sync.run import run_once
from sync.settings import Delivery as Rules
from sync.settings import Settings
from sync.verdicts import Verdict
from sync.worker import Worker
from tests.command import exit_code
from tests.fakes import FakeCrm, FakeSource, a_worker

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
SEEN = START - timedelta(days=300)
MORE = """\
name: room to grow
dimensions: {wishes: {weight: 1, measures: {wish: 1, want: 1}}}
measures:
  wish: {events: wish, take: last, max_age: 3d, points: {0: 0, 10: 100}, label: Wish for more, action: Offer it.}
  want: {events: wish, take: last, max_age: 3d, points: {0: 0, 10: 100}, label: Want of more}
"""
MANY = MORE.replace("room to grow", "many seats").replace("10: 100", "20: 100")


class Company(NamedTuple):
    worker: Worker
    crm: FakeCrm
    clock: SteppedClock
    source: FakeSource

    def tell(self, *facts: tuple[str, str, float], on: datetime = START) -> None:
        """Facts (account, name, value) of a day, and that the source is read through it."""
        events = [_event(account, name, value, on, n) for n, (account, name, value) in enumerate(facts)]
        self.source.pages.append(Page(events=events, through=on + timedelta(hours=15), since=SEEN))

    def present(self, account: str) -> tuple[object, ...]:
        return tuple(self.crm.present[account].get(key) for key in ("score", "expansion_score", "expansion_tier"))


def _event(account: str, name: str, value: float, on: datetime, n: int = 0) -> Event:
    return Event("product", f"{account}/{name}/{on.date()}/{n}", account, "ann", name, on, value, None)


@contextmanager
def _company(
    folder: Path, *, scores: str = "{expansion: more.yaml}", state_url: str | None = None
) -> Iterator[Company]:
    """Two customers who come every day; one of them wishes a little more."""
    (folder / "more.yaml").write_text(MORE)
    (folder / "many.yaml").write_text(MANY)
    told = {"since": SEEN, "attributes": {"seats": 9}}
    crm = FakeCrm("crm", [Account(name, name.upper(), **told) for name in ("ash", "birch")])  # type: ignore[arg-type]
    days = [START - timedelta(days=n) for n in range(10)]
    logins = [_event(account, "login", 1.0, day) for account in crm.records for day in days]
    first = Page(events=[*logins, _event("ash", "wish", 2.0, START)], through=START + timedelta(hours=15), since=SEEN)
    source, clock = FakeSource("product", [first], names=("login", "ticket.created", "wish")), SteppedClock(START)
    given = {"home": crm, "sources": [source], "clock": clock, "state_url": state_url}
    with a_worker(folder, **given, extra=f"scores: {scores}\n") as worker:  # type: ignore[arg-type]
        yield Company(worker, crm, clock, source)


def test_one_score_goes_up_while_the_other_goes_down_and_one_write_tells_both(tmp_path: Path) -> None:
    with _company(tmp_path) as company:
        worker, crm, _, _ = company
        report = run_once(worker)
        counts = {"expansion": {"red": 1, "unscored": 1}}
        assert (report.problems, report.scored, report.further) == ([], {"green": 2}, counts)
        assert company.present("ash") == (100.0, 20.0, "red")
        assert company.present("birch") == (100.0, None, None)
        assert crm.present["ash"]["expansion_reason"] == "Want of more 2; Wish for more 2"
        assert "Not scored: 0% of the scorecard" in str(crm.present["birch"]["expansion_reason"])
        assert len(crm.written) == 2

        calls = crm.calls["write"]
        company.tell(*[("ash", "ticket.created", 1.0)] * 4, ("ash", "wish", 6.0))
        again = run_once(worker).delivered["crm"]
        assert (again["written"], again["unchanged"], crm.calls["write"]) == (1, 1, calls + 1)
        assert company.present("ash") == (68.0, 60.0, "yellow")

        company.tell(("ash", "wish", 6.05))  # within the dead-band
        assert run_once(worker).delivered["crm"]["unchanged"] == 2
        assert run_once(worker, due_only=True).scored == {}  # there is nothing new at all
        assert [write.id for write in crm.written] == ["ash", "birch", "ash"]


def test_each_score_has_a_steady_tier_and_a_history_of_its_own_with_the_days_off_filled_in(tmp_path: Path) -> None:
    with _company(tmp_path) as company:
        worker, crm, clock, _ = company
        company.tell(("birch", "wish", 2.0))
        run_once(worker)
        for n in range(1, 6):
            company.tell(("ash", "wish", 9.0), ("ash", "login", 1.0), on=START + timedelta(days=n))
        clock.advance_to(START + timedelta(days=5))
        assert run_once(worker).further == {"expansion": {"green": 1, "unscored": 1}}
        kept = worker.history.of("expansion")
        final = kept.days(final_only=True)
        assert final == worker.history.days(final_only=True)
        assert [kept.scores_on(day)["ash"][1] for day in sorted(final)] == [
            "unscored",
            "red",
            "red",
            "red",
            "green",
            "green",
        ]
        assert {worker.history.scores_on(day)["ash"][1] for day in final} == {"green"}
        assert worker.state.totals.all("expansion")["ash"].tier_since == clock.now().date()
        # what is no longer scored keeps its values, and the reason says so
        assert company.present("birch")[1:] == (20.0, "red")
        assert "Not scored" in str(crm.present["birch"]["expansion_reason"])


def test_every_score_may_have_a_scorecard_for_each_kind_of_customer(tmp_path: Path, postgres_state: str) -> None:
    cards = "{expansion: [{use: many.yaml, when: seats >= 500}, more.yaml], risk: {use: more.yaml}}"
    with _company(tmp_path, scores=cards, state_url=postgres_state) as company:
        crm = company.crm
        crm.records["ash"] = replace(crm.records["ash"], attributes={"seats": 900})
        assert run_once(company.worker).problems == []
        assert (crm.present["ash"]["expansion_score"], crm.present["ash"]["risk_score"]) == (10.0, 20.0)
        assert len(crm.written) == 2
        assert run_once(company.worker).delivered["crm"]["unchanged"] == 2
        assert {total.score_name for total in company.worker.state.totals.all("risk").values()} == {"risk"}


def test_a_customer_who_leaves_or_is_erased_takes_all_scores_along(tmp_path: Path) -> None:
    with _company(tmp_path) as company:
        worker, crm, clock, _ = company
        run_once(worker)
        (row,) = [one for one in worker.state.accounts.members() if one.id == "ash"]
        dropped = replace(worker, settings=replace(worker.settings, further={}))  # its history is there all the same
        with leased(worker.state) as beat:
            what = doomed(dropped, row)
            assert any("history/expansion" in place for place in search(dropped, what).places)
            erase(dropped, what, beat=beat)
        assert search(dropped, what).places == []
        assert list(worker.state.totals.all("expansion")) == ["birch"]
        assert list(worker.history.of("expansion").scores_on(START.date() - timedelta(days=1))) == ["birch"]

        del crm.records["birch"]
        crm.records["cedar"] = Account("cedar", "Cedar", since=SEEN)
        clock.advance_to(START + timedelta(days=2))
        assert run_once(worker).problems == []
        assert set(crm.present["birch"].values()) == {None}
        assert "expansion_reason" in crm.present["birch"]


ARR = MORE.replace("room to grow", "money").replace("wish,", "arr,").replace("Wish for more", "Revenue")
SEATS = MORE.replace("wish,", "seats,").replace(", max_age: 3d", "")
FILES = """\
home: customers
scorecard: arr.yaml
destinations: {customers: {kind: file, accounts: accounts.csv, scores: scores.csv}}
accounts: {attributes: {seats: seats, arr: arr}}
"""


def _rows(folder: Path) -> dict[str, tuple[str, ...]]:
    with (folder / "scores.csv").open(newline="") as file:
        keys = ("score", "tier", "expansion_score", "expansion_tier")
        return {row["account"]: tuple(row[key] for key in keys) for row in csv.DictReader(file)}


def test_commands_and_the_scores_file_show_every_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert exit_code(*words) == code
        return "".join(capsys.readouterr())

    monkeypatch.chdir(tmp_path)
    (tmp_path / "arr.yaml").write_text(ARR)
    (tmp_path / "seats.yaml").write_text(SEATS)
    (tmp_path / "bellwether.yaml").write_text(f"{FILES}scores: {{expansion: seats.yaml}}\n")
    (tmp_path / "accounts.csv").write_text("id,name,seats,arr\na1,Alder,2,9\nb2,Birch,,8\n")
    assert "room to grow" in said("check")
    assert "expansion: 1 red, 1 unscored" in said("run")
    assert _rows(tmp_path) == {"a1": ("90.0", "green", "20.0", "red"), "b2": ("80.0", "green", "", "")}

    rows = json.loads(said("scores", "--score", "expansion", "--json"))
    told = [(row["account"], row["score"], row["tier"]) for row in rows]
    assert told == [("a1", 20.0, "red"), ("b2", None, "unscored")]
    assert "expansion: 20.0 red (100% of the scorecard has data). Want of more 2" in said("explain", "a1")
    document = json.loads(said("explain", "a1", "--score", "expansion", "--json"))
    assert [part["measure"] for part in document["parts"]] == ["want", "wish"]
    assert (document["scorecard"], document["next_action"]) == ("room to grow", "Offer it.")
    assert "-- room to grow" in said("scores", "--score", "expansion", "--sql")
    assert "no score 'growth' (there are: health, expansion)" in said("explain", "a1", "--score", "growth", code=2)
    assert "of health only" in said("explain", "a1", "--score", "expansion", "--since", "2026-01-01", code=2)
    shown = said("scorecard", "show")
    assert "expansion: room to grow" in shown
    assert "others" not in shown
    versions = {row["name"]: row["accounts"] for row in json.loads(said("scorecard", "history", "--json"))["versions"]}
    assert versions == {"money": 2, "room to grow": 2}

    (tmp_path / "bellwether.yaml").write_text(FILES)
    (tmp_path / "accounts.csv").write_text("id,name,seats,arr\na1,Alder,9,3\n")
    said("run")  # a score that was taken away keeps its columns; a customer who left keeps nothing
    assert _rows(tmp_path) == {"a1": ("30.0", "red", "20.0", "red"), "b2": ("", "", "", "")}


# -- settings ------------------------------------------------------------------------------------------------


def _settings(folder: Path, scores: str, destination: str = "") -> Settings:
    (folder / "bellwether.yaml").write_text(
        f"home: crm\nscores: {scores}\n"
        f"destinations: {{crm: {{kind: hubspot, access_token: x{destination}}}}}\naccounts: {{where: all}}\n"
    )
    return load(folder / "bellwether.yaml")


@pytest.mark.parametrize(
    ("scores", "destination", "line"),
    [
        ("{Growth: saas}", "", "bellwether.yaml:2 scores.Growth: a score is called by at most 20 of a-z, 0-9 and"),
        ("{a__b: saas}", "", "scores.a__b: a score is called by"),
        ("{this_is_longer_than_20: saas}", "", "a score is called by"),
        ("{health: saas}", "", "scores.health: health is a word of ours; call the score otherwise"),
        ("{parts: saas}", "", "parts is a word of ours"),
        ("{growth: nowhere}", "", "scores.growth: 'nowhere' is neither a file nor a preset"),
        ("{growth: [{use: saas, when: seats > 1}]}", "", "scores.growth.0.when: the last scorecard is for all other"),
        ("{growth: {wenn: x, use: saas}}", "", "scores.growth.wenn: there is no such setting"),
        ("{growth: []}", "", "scores.growth"),
        (
            "{growth: own.yaml}",
            "",
            "scores.growth: is called saas like a scorecard before it; give it a name",
        ),
        ("{growth: saas}", ", fields: {expansion_score: a}", "there is no field 'expansion_score' (there are: score,"),
        ("{growth: saas}", ", fields: {growth_score: health_score}", "two of the fields have the same name"),
    ],
)
def test_a_mistake_in_the_scores_is_named(tmp_path: Path, scores: str, destination: str, line: str) -> None:
    (tmp_path / "own.yaml").write_text(MORE.replace("room to grow", "saas"))
    with pytest.raises(SettingsError) as refused:
        _settings(tmp_path, scores, destination)
    assert any(line in said for said in refused.value.lines), refused.value.lines


def test_a_further_scores_fields_can_be_named_like_all_others(tmp_path: Path) -> None:
    found = _settings(tmp_path, "{growth: saas}", ", fields: {growth_score: upsell, growth_tier: null}")
    names = found.destinations["crm"].settings.names(found.fields)  # type: ignore[attr-defined]
    assert {key: name for key, name in names.items() if key.startswith("growth")} == {
        "growth_score": "upsell",
        "growth_reason": "growth_reason",
    }


def test_where_a_scorecard_cannot_be_used_commands_that_need_none_still_know_its_fields(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: 7")
    text = "home: crm\nscores: {growth: bad.yaml}\ndestinations: {crm: {kind: hubspot, access_token: x, "
    (tmp_path / "bellwether.yaml").write_text(f"{text}fields: {{growth_score: upsell}}}}}}\naccounts: {{where: all}}\n")
    found = load(tmp_path / "bellwether.yaml", regardless=True)
    assert len(found.refused) == 1
    assert found.fields == fields_of(["growth"])


def test_a_further_scorecard_that_can_no_longer_be_used_leaves_the_last_good_one(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(MORE)
    first = _settings(tmp_path, "{growth: own.yaml}")
    (tmp_path / "own.yaml").write_text("name: 7")
    again = reread(first)
    assert len(again.refused) == 1
    assert "until that is mended room to grow" in again.refused[0]
    assert again.further == first.further
    (tmp_path / "own.yaml").write_text(MORE.replace("10: 100", "9: 100"))
    assert reread(again).further["growth"].segments[0].card.version != first.further["growth"].segments[0].card.version


# -- the dead-band -------------------------------------------------------------------------------------------

tenths = st.integers(0, 40).map(lambda n: 40 + n / 10)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(tenths, tenths | st.none()), min_size=1, max_size=8))
def test_a_record_is_written_when_any_score_is_the_dead_band_from_what_it_holds(
    steps: list[tuple[float, float | None]],
) -> None:
    crm, known = FakeCrm("crm", [Account("a", "A")]), dict[str, Delivery]()
    held: dict[str, float] = {}
    for own, other in steps:
        fields = {"score": own} | ({} if other is None else {"growth_score": other})
        said = {"a": Verdict("a", fields, "same", "")}
        expected = not known or any(abs(held.get(key, -99) - told) >= 1 for key, told in fields.items())
        round_, result = Round(crm, Rules.model_validate({}), START, START.date()), Delivered()
        picked = worthwhile(round_, said, [("a", "a")], known, result)
        deliver(
            round_,
            planned_for(picked, said, known),
            result,
            save=lambda rows: known.update({row.record_id: row for row in rows}),
        )
        assert result.written + result.adopted == expected
        held |= fields if expected else {}
        assert known["a"].further == ({"growth_score": held["growth_score"]} if "growth_score" in held else None)

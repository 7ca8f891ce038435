"""Scorecards over time: one that is edited under a running daemon, and what is kept and told of each version."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from structlog.testing import capture_logs

import config
from config.loader import LARGEST
from connectors.base import Account, Event, Page
from connectors.clock import SteppedClock, SystemClock
from scoring import Scorecard
from scoring.describe import content as kept
from sync.cards import load_scorecard, reread
from sync.child import Answer, Memory
from sync.daemon import Passes
from sync.errors import SettingsError
from sync.health import Health, serving
from sync.loading import load
from sync.report import Report
from sync.run import run_once
from sync.scorecards import as_file
from sync.settings import Settings
from sync.state import State
from tests.cards import cards
from tests.command import exit_code
from tests.fakes import CARD, FakeCrm, FakeSource, a_worker

NOW = datetime(2026, 10, 20, 6, tzinfo=UTC)
MIDNIGHT = NOW.replace(hour=0)
SETTINGS = """\
home: customers
scorecard: card.yaml
destinations: {customers: {kind: file, accounts: accounts.csv, scores: scores.csv}}
"""
OTHER = CARD.replace("weight: 60", "weight: 50")


def _lay_out(folder: Path) -> Path:
    (folder / "bellwether.yaml").write_text(SETTINGS)
    (folder / "card.yaml").write_text(CARD)
    (folder / "accounts.csv").write_text("id,name\na1,Alder\nb2,Birch\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return _lay_out(tmp_path)


# under a running daemon


class Daemon:
    """What a daemon does between its passes; the settings that each pass was given."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.health = Health(SystemClock())
        self.given: list[Settings] = []
        self._passes = Passes(settings, self.health, threading.Event())
        monkeypatch.setattr("sync.daemon.in_child", self._in_child)

    def _in_child(self, settings: Settings, _memory: Memory, _lifeline: int) -> Answer:
        self.given.append(settings)
        return Answer(Report())

    def one_pass(self) -> tuple[Settings, list[Mapping[str, object]]]:
        """The settings of the pass, and what was logged of scorecards."""
        with capture_logs() as logs:
            self._passes.knock()
        return self.given[-1], [line for line in logs if str(line["event"]).startswith("scorecard")]


def test_an_edited_scorecard_is_used_from_the_next_pass_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(folder / "bellwether.yaml")
    daemon = Daemon(settings, monkeypatch)
    assert daemon.one_pass() == (settings, [])
    (folder / "card.yaml").write_text(f"# only a comment\n{CARD}")
    assert daemon.one_pass() == (settings, [])
    (folder / "card.yaml").write_text(OTHER)
    used, said = daemon.one_pass()
    assert used == replace(settings, segments=load(folder / "bellwether.yaml").segments)
    assert used.scorecard.dimensions["usage"].weight == 50
    assert [(line["event"], line["version"], line["before"]) for line in said] == [
        ("scorecard changed", used.scorecard.version, settings.scorecard.version)
    ]
    assert daemon.one_pass() == (used, [])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (Path.unlink, "card.yaml is not there; put it back"),
        (_folder, "card.yaml is not there; put it back"),
        (lambda path: path.write_text(""), "card.yaml:1 name: is missing; add it"),
        (lambda path: path.write_text(CARD[: len(CARD) // 2]), "card.yaml:"),
        (lambda path: path.write_text("name: ["), "card.yaml:1 is not valid YAML"),
        (lambda path: path.write_bytes(b"name: \xff"), "card.yaml:1 is not UTF-8"),
        (lambda path: path.write_text(f"{CARD}  - &a x\n"), "card.yaml:"),
        (lambda path: path.write_text(CARD + "x: &a 1\ny: *a\n"), "aliases (*name) are not used here"),
        (lambda path: path.write_text(CARD + "#" * LARGEST), "card.yaml: larger than"),
        (
            lambda path: path.write_text(CARD.replace("60", "lots")),
            "card.yaml:3 dimensions.usage.weight: needs a number, without a unit or %",
        ),
        (
            lambda path: path.write_text(CARD.replace("take: count,", "take: count, where: now() > 1,")),
            "measures.tickets.where",
        ),
    ],
)
def test_one_that_cannot_be_used_is_refused_loudly_and_the_last_good_one_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object], place: str
) -> None:
    settings = load(folder / "bellwether.yaml")
    daemon = Daemon(settings, monkeypatch)
    spoil(folder / "card.yaml")
    for _ in range(2):
        used, said = daemon.one_pass()
        (why,) = used.refused
        assert used == replace(settings, refused=(why,))
        assert place in why
        assert why.endswith(f"; until that is mended test card {settings.scorecard.version} goes on")
        assert [(line["log_level"], line["why"]) for line in said] == [("warning", why)]
    assert daemon.health.registry.get_sample_value("bellwether_scorecards_refused") == 1
    shutil.rmtree(folder / "card.yaml", ignore_errors=True)
    (folder / "card.yaml").write_text(CARD)
    assert daemon.one_pass() == (settings, [])
    assert daemon.health.registry.get_sample_value("bellwether_scorecards_refused") == 0


def test_a_daemon_that_goes_on_with_the_last_good_one_is_ready_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(load(folder / "bellwether.yaml"), monkeypatch)
    (folder / "card.yaml").write_text("name: [")
    used, _ = daemon.one_pass()
    with serving(daemon.health, "127.0.0.1", 0, None) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz")
        (folder / "card.yaml").write_text(CARD)
        daemon.one_pass()
        mended = httpx.get(f"http://127.0.0.1:{port}/readyz")
    assert (answer.status_code, answer.text) == (200, f"ready\nscorecard refused: {used.refused[0]}\n")
    assert (mended.status_code, mended.text) == (200, "ready\n")


def test_many_mistakes_are_one_sentence_a_pass(folder: Path) -> None:
    settings = load(folder / "bellwether.yaml")
    (folder / "card.yaml").write_text(CARD.replace("weight: 60", "weight: lots").replace("weight: 40", "weight: -1"))
    (why,) = reread(settings).refused
    assert "without a unit or % (and 1 more: `bellwether check` names them); until that is mended" in why


def test_a_preset_is_not_looked_for_again(folder: Path) -> None:
    (folder / "bellwether.yaml").write_text(SETTINGS.replace("card.yaml", "saas"))
    settings = load(folder / "bellwether.yaml")
    (folder / "saas").write_text("nothing of the kind")
    assert reread(settings) is settings


def test_a_daemon_does_not_begin_with_a_scorecard_that_cannot_be_used(folder: Path) -> None:
    (folder / "card.yaml").write_text(CARD.replace("60", "lots"))
    with pytest.raises(
        SettingsError, match=r"card.yaml:3 dimensions.usage.weight: needs a number, without a unit or %"
    ):
        load(folder / "bellwether.yaml")
    assert exit_code("daemon") == 2


def test_status_works_beside_a_scorecard_that_cannot_be_used_and_says_so(
    used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (used / "card.yaml").write_text(CARD.replace("60", "lots"))
    assert exit_code("status") == 0
    assert capsys.readouterr().out.startswith(
        "scorecard refused: card.yaml:3 dimensions.usage.weight: needs a number, without a unit or %\n"
    )
    assert exit_code("scores") == 2


# versions that were used


def _read(text: str) -> Scorecard:
    return Scorecard.model_validate(config.parse(text.encode(), name="card.yaml").values)


@given(cards())
@hypothesis_settings(max_examples=25)
def test_what_is_kept_of_a_version_and_what_is_printed_as_a_file_are_read_as_that_version(
    content: dict[str, Any],
) -> None:
    card = Scorecard.model_validate(content)
    assert Scorecard.model_validate(json.loads(json.dumps(kept(card)))).version == card.version
    assert _read(as_file(card)).version == card.version


def test_a_curve_is_written_as_people_write_it(folder: Path) -> None:
    card = load(folder / "bellwether.yaml").scorecard
    assert "points: {0: 0, 1: 100}\n" in as_file(card)
    assert "events: login\n" in as_file(card)


def _logins(account: str) -> FakeSource:
    days = [MIDNIGHT - timedelta(days=n) for n in range(1, 9)]
    events = [Event("product", f"{account}/{day:%j}", account, "u", "login", day, 1.0) for day in days]
    return FakeSource("product", [Page(events=events, through=MIDNIGHT)], names=("login", "ticket.*"))


def test_an_edited_card_scores_though_no_fact_is_new_and_each_version_is_kept_and_stands_on_what_it_scored(
    tmp_path: Path,
) -> None:
    later = NOW + timedelta(days=2)
    crm = FakeCrm("crm", [Account("busy", "Busy", since=NOW - timedelta(days=400), attributes={"seats": 5.0})])
    with a_worker(tmp_path, home=crm, sources=[_logins("busy")], clock=SteppedClock(NOW)) as worker:
        first = worker.settings.scorecard
        assert run_once(worker, due_only=True).scored
        day = max(worker.history.days(final_only=True))
        assert {version for *_, version in worker.history.scores_on(day).values()} == {first.version}
        assert crm.present["busy"]["version"] == f"test card {first.version}"
        assert run_once(worker, due_only=True).scored == {}

        (tmp_path / "card.yaml").write_text(CARD.replace("1: 100", "2: 100"))
        edited = replace(worker, settings=reread(worker.settings))
        second = edited.settings.scorecard
        assert run_once(edited, due_only=True).scored
        assert crm.present["busy"]["version"] == f"test card {second.version}"
        assert worker.history.last_day() == (day, {first.version: 1})

        (tmp_path / "card.yaml").write_text("name: [")
        refusing = replace(edited, settings=reread(edited.settings), clock=SteppedClock(later))
        report = run_once(refusing, due_only=True)
        assert (report.status, report.scored) == ("partial", {"yellow": 1})
        assert [str(problem) for problem in report.problems] == [f"scorecard: {refusing.settings.refused[0]}"]
        assert worker.history.last_day() == (NOW.date(), {second.version: 1})
        rows = worker.state.scorecards.all()
    assert [Scorecard.model_validate(row.content) for row in rows] == [first, second]
    assert [(row.version, row.name) for row in rows] == [(card.version, "test card") for card in (first, second)]
    assert [(row.first_used_at, row.last_used_at) for row in rows] == [(NOW, NOW), (NOW, later)]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = _lay_out(tmp_path_factory.mktemp("company"))
    assert exit_code("run", "--config", str(folder / "bellwether.yaml")) == 0
    return folder


@pytest.fixture
def used(company: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a pass was made by one scorecard, and the file says another since."""
    shutil.copytree(company, tmp_path, dirs_exist_ok=True)
    (tmp_path / "card.yaml").write_text(f"# heavier\n{OTHER}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = exit_code("scorecard", *words)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def _versions() -> tuple[str, str]:
    return _read(CARD).version, _read(OTHER).version


def test_diff_tells_what_the_next_pass_would_take_up(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = _versions()
    assert _said(capsys, "diff").splitlines() == [
        f"test card {before} -> test card {after}",
        "  weight of dimension usage: 60% -> 55.6%",
        "  weight of dimension support: 40% -> 44.4%",
    ]
    assert json.loads(_said(capsys, "diff", "--json")) == [
        {
            "old": {"name": "test card", "version": before},
            "new": {"name": "test card", "version": after},
            "changes": [
                {"what": "weight of dimension usage", "before": "60%", "after": "55.6%"},
                {"what": "weight of dimension support", "before": "40%", "after": "44.4%"},
            ],
        }
    ]
    (used / "card.yaml").write_text(f"# only this comment\n{CARD}")
    assert _said(capsys, "diff").splitlines()[1:] == ["  both say the same"]
    assert json.loads(_said(capsys, "diff", "--json"))[0]["changes"] == []


def test_diff_takes_files_presets_and_versions(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = _versions()
    forth, back = _said(capsys, "diff", before[:5], "card.yaml"), _said(capsys, "diff", "card.yaml", before)
    assert f"test card {before} -> test card {after}\n" in forth
    assert f"test card {after} -> test card {before}\n" in back
    assert "name: test card -> saas" in _said(capsys, "diff", before, "saas")


def test_show_tells_what_the_settings_a_version_or_a_file_say(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = _versions()
    assert _said(capsys, "show").startswith(f"test card {after}\ngreen from 70")
    assert "\nusage 60%\n" in _said(capsys, "show", before)
    assert _read(_said(capsys, "show", before, "--yaml")).version == before
    (shown,) = json.loads(_said(capsys, "show", "card.yaml", "--json"))
    assert (shown["name"], shown["version"]) == ("test card", after)
    assert Scorecard.model_validate(shown["scorecard"]).version == after
    assert [part["measure"] for part in shown["weights"]] == ["active", "tickets"]
    (used / "bellwether.yaml").unlink()
    assert _said(capsys, "show", "saas").startswith("saas ")


def test_of_several_scorecards_each_is_shown_and_compared_with_itself(
    used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = _versions()
    several = "scorecard: [{use: saas, when: seats >= 500}, {use: card.yaml}]\naccounts: {attributes: {seats: seats}}\n"
    (used / "bellwether.yaml").write_text(SETTINGS.replace("scorecard: card.yaml\n", several))
    titles = [line for line in _said(capsys, "show").splitlines() if ", for " in line and not line.startswith(" ")]
    saas = titles[0].split()[1].removesuffix(",")
    assert titles == [
        f"saas {saas}, for accounts with seats >= 500",
        f"test card {after}, for all other accounts",
    ]
    assert [card["when"] for card in json.loads(_said(capsys, "show", "--json"))] == ["seats >= 500", ""]
    told = _said(capsys, "diff").splitlines()
    assert told[:2] == [f"saas {saas}: not used yet", f"test card {before} -> test card {after}"]
    assert json.loads(_said(capsys, "diff", "--json"))[0]["old"] is None
    assert f"test card {before} -> test card {after}" in _said(capsys, "diff", before)
    assert exit_code("scorecard", "show", "--yaml") == 2
    assert f"there are 2 scorecards; name one by its file, preset or version: {saas}" in capsys.readouterr().err


def test_history_lists_versions_their_accounts_and_what_each_changed(
    used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = _versions()
    assert exit_code("run") in (0, 1)
    capsys.readouterr()
    told = json.loads(_said(capsys, "history", "--json"))
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    assert told["day"] == yesterday.isoformat()
    assert [(row["version"], row["accounts"]) for row in told["versions"]] == [(before, 2), (after, 0)]
    assert told["versions"][0]["changes"] is None
    assert told["versions"][1]["changes"][0] == "weight of dimension usage: 60% -> 55.6%"
    (used / "card.yaml").write_text("name: [")  # what was used is told whatever the file says now
    lines = _said(capsys, "history").splitlines()
    assert lines[0].split() == f"version name first used last used accounts on {yesterday} what changed".split()
    assert [line.split()[0] for line in lines if "test card" in line] == [before, after]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["show", "0000"],
            f"'0000' is no file, no preset ({', '.join(config.presets())}) and no version that was used",
        ),
        (["show", "nope.yaml"], "'nope.yaml' is no file, no preset"),
        (["show", "x" * 300], f"'{'x' * 40}' cannot be looked for (File name too long); give this user access"),
        (["diff", "card.yaml", "broken.yaml"], "broken.yaml:1 is not valid YAML"),
        (["diff", "broken.yaml"], "broken.yaml:1 is not valid YAML"),
    ],
)
def test_a_scorecard_that_cannot_be_found_or_read_is_one_line(
    used: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    (used / "broken.yaml").write_text("name: [")
    assert exit_code("scorecard", *words) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(line)


def test_a_version_in_words_of_another_bellwether_is_said_to_be_so(
    used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(State(load(used / "bellwether.yaml").state.get_secret_value())) as state:
        state.scorecards.save("abcdef012345", "test card", {"name": "test card", "weighing": 1}, NOW)
    assert exit_code("scorecard", "show", "abcd") == 2
    assert "abcdef012345 is in words that this version of Bellwether does not know" in capsys.readouterr().err
    assert "does not know" in _said(capsys, "history")


def test_before_the_first_pass_there_is_nothing_to_compare_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("scorecard", "diff") == 2
    assert "begin with `bellwether run`" in capsys.readouterr().err
    assert exit_code("run", "--dry-run") == 0
    capsys.readouterr()
    assert _said(capsys, "history") == "no scorecard has been used yet; `bellwether run` keeps the first\n"
    assert exit_code("scorecard", "diff") == 2
    assert capsys.readouterr().err.startswith("no scorecard has been used yet; `bellwether run` keeps the first")


# mistakes

WHOLE = """\
name: small
tiers: {green: 70, yellow: 40}
dimensions:
  usage: {weight: 70, measures: {active: 1}}
  support: {weight: 30, measures: {tickets: 1}}
measures:
  active: {events: login, take: distinct_users, window: 7d, over: seats, points: {0: 0, 0.7: 100}}
  seats: {events: seats, take: last}
  tickets: {events: ticket.created, take: count, window: 28d, points: {0: 100, 10: 0}}
  trend: {of: active, against: previous}
  plan: {events: plan, take: last, map: {free: 20, pro: 70}}
caps:
  fell: {when: trend <= -0.3, tier: yellow, lasts: 30d, reason: use fell}
watch:
  quiet: {when: tickets > 5, reason: many tickets}
"""
RULE = "when: trend <= -0.3"
UNKNOWN = "knows only active, plan, seats, tickets, trend, not"


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ("name: small", "name small", "2 is not valid YAML: mapping values are not allowed here; there is a colon"),
        ("  usage:", "\tusage:", "4 is not valid YAML: found character '\\t' that cannot start any token; write"),
        ("{tickets: 1}}", "{tickets: 1}", "6 is not valid YAML: expected ',' or '}', but got '<scalar>'; a bracket"),
        ("caps:", "---\ncaps:", "12 is not valid YAML: but found another document; take out the line ---"),
        ("reason: use fell", 'reason: "use', "16 is not valid YAML: found unexpected end of stream; a quote is not"),
        ("weight: 70", "weight: @", "4 is not valid YAML: found character '@' that cannot start any token; put the"),
        ("  seats:", " seats:", "8 is not valid YAML: expected <block end>, but found '<block mapping start>'; it is"),
        ("  seats:", "  tickets:", "9 measures.tickets stands twice (first on line 8); keep one"),
        ("{free: 20,", "{yes: 20,", "11 measures.plan.map has the key yes; put it in quotes"),
        ("name: small", "name: ${NAME}", "1 name is a reference, which stands only in the settings file; write the"),
        ("name: small", "name:", "1 name: is empty; write a value, or take the key out"),
        ("name: small", "name: a/b", "1 name: write a letter and then at most 39 letters, digits, spaces, dots, _"),
        ("dimensions:", "dimension:", "3 dimension: there is no such setting; did you mean dimensions?"),
        ("window: 7d", "windows: 7d", "7 measures.active.windows: there is no such setting; did you mean window?"),
        ("window: 7d", "window: 1w", "7 measures.active.window: write whole days from 1d to 3660d, like 28d"),
        ("take: count", "take: average", "9 measures.tickets.take: has to be 'count', 'sum', 'mean', 'median',"),
        ("events: plan", "events: 3", "11 measures.plan.events: needs a word, or a list like [a, b]"),
        ("events: plan", "events: a plan", "11 measures.plan.events: write a name of events like feature.export; *"),
        ("{0: 100, 10: 0}", "{10: 0, 0: 100}", "9 measures.tickets.points: write the breakpoints in rising order"),
        ("{0: 100, 10: 0}", "{0: 100, 10: -5}", "9 measures.tickets.points.10: has to be greater than or equal to 0"),
        ("weight: 70", "weight: 70%", "4 dimensions.usage.weight: needs a number, without a unit or %"),
        ("weight: 70", "weight: 0", "4 dimensions.usage.weight: has to be greater than 0"),
        ("{tickets: 1}", "{tickts: 1}", "5 dimensions.support.measures.tickts: there is no measure called tickts;"),
        ("{tickets: 1}", "[tickets]", "5 dimensions.support.measures: needs keys with values below it"),
        ("over: seats", "over: seat", "7 measures.active.over: there is no measure called seat; add it under measures"),
        ("over: seats", "over: active", "7 measures.active.over: leads back to itself or is too long a chain; name"),
        ("  seats: {", "  Seats: {", "8 measures.Seats: a name is at most 40 of a-z, 0-9 and single _ between them,"),
        ("green: 70", "green: 30", "2 tiers: green has to begin above yellow"),
        ("tier: yellow", "tier: green", "13 caps.fell.tier: has to be 'yellow' or 'red'"),
        ("reason: use fell", "action: Call", "13 caps.fell.reason: is missing; add it"),
        ("reason: use fell", 'reason: "a\\nb"', "13 caps.fell.reason: has to be one line"),
        ("reason: use fell", f"reason: {'x' * 121}", "13 caps.fell.reason: has to have at most 120 characters"),
        ("quiet:", "fell:", "15 watch.fell: is the name of a cap too; call one of them otherwise"),
        (RULE, "when: trned < 0", f"13 caps.fell.when: {UNKNOWN} 'trned'; words are written in single quotes, like"),
        (RULE, "when: plan = free", f"13 caps.fell.when: {UNKNOWN} 'free'; words are written in single quotes, like"),
        (RULE, 'when: plan = "free"', "13 caps.fell.when: holds \"free\"; names stand without quotes, and words in"),
        (RULE, "when: plan > 3", "13 caps.fell.when: uses a number where a word is needed: 3"),
        (RULE, "when: trend < -30%", "13 caps.fell.when: holds %, which no rule does; write rules like value >= 3,"),
        (RULE, "when: abs(trend) > 1", "13 caps.fell.when: may hold only comparisons, and/or/not, in (...), + - * / ,"),
        (RULE, "when: trend", "13 caps.fell.when: has to be a test, like value >= 3"),
        (RULE, "when: ''", "13 caps.fell.when: is empty; write something there"),
        (RULE, "when:", "13 caps.fell.when: is empty; write a value, or take the key out"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_line_and_what_to_write(tmp_path: Path, right: str, wrong: str, line: str) -> None:
    assert right in WHOLE
    (tmp_path / "card.yaml").write_text(WHOLE.replace(right, wrong, 1))
    with pytest.raises(SettingsError) as refused:
        load_scorecard("card.yaml", tmp_path)
    assert f"card.yaml:{line}" in str(refused.value)

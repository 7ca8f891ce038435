"""The signals people ask for, as the page of signals has them: every row from its events to its points."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from scoring import Scorecard, compile
from tests.scoring_world import LONG_AGO, TODAY, Scored, World, card, connect, plain, run

PAGE = Path(__file__).resolve().parent.parent / "docs" / "signals.md"


class Row(NamedTuple):
    """One row of the page. `needs`: event names. `words`: of the measure, with its curve as `points`."""

    signal: str
    needs: set[str]
    words: dict[str, Any]


def _rows() -> dict[str, Row]:
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or len(cells) < 3 or not re.match(r"`\w+: \{", cells[2]):
            continue
        ((name, words),) = yaml.safe_load(cells[2].strip("`")).items()
        curve = cells[3].strip("`") if len(cells) > 3 else ""
        points = {"points": yaml.safe_load(curve)} if curve.startswith("{") else {}
        assert name not in found, f"{name} stands twice"
        found[name] = Row(cells[0], set(re.findall(r"`([^`]+)`", cells[1])), {**words, **points})
    return found


ROWS = _rows()
SIGNALS = [name for name, row in ROWS.items() if {"points", "map"} & set(row.words)]
ANCHOR = {"events": "anchor", "take": "last", "points": {0: 0, 100: 100}}  # known of every account, and worth 60


def signals() -> Scorecard:
    """All rows of the page with equal weights, beside one measure that is known of every account."""
    measures = {"anchor": ANCHOR} | {name: row.words for name, row in ROWS.items()}
    weights = dict.fromkeys(["anchor", *SIGNALS], 1)
    return card(coverage_floor=0, measures=measures, dimensions={"all": {"weight": 1, "measures": weights}})


def on(day: int, name: str, **given: Any) -> tuple[int, str, dict[str, Any]]:
    return day, name, given


RENEWAL = (TODAY.toordinal() - 719163) + 30  # a day number, thirty days ahead

CASES: list[tuple[str, list[tuple[int, str, dict[str, Any]]], float]] = [
    ("logins_per_user", [on(0, "login", actor="a", value=4), on(1, "login", actor="b", value=2)], 3),
    ("daily_users", [on(day, "login", actor="a") for day in range(28)], 1),
    ("weekly_active", [on(0, "login", actor="a"), on(99, "seats", value=4)], 0.25),
    ("active_users", [on(0, "login", actor="a"), on(9, "login", actor="a"), on(3, "login", actor="b")], 2),
    ("several_users", [on(0, "login", actor="a"), on(0, "login", actor="b"), on(30, "login", actor="c")], 2),
    ("consistency", [on(day, "login") for day in (0, 0, 5, 31)], 2 / 30),
    ("minutes_per_user", [on(0, "session", value=90), on(0, "login", actor="a"), on(0, "login", actor="b")], 45),
    ("depth", [on(0, "feature.a", value=6), on(1, "login", value=3)], 2),
    ("breadth", [on(0, "feature.a"), on(1, "feature.b"), on(2, "feature.b")], 2 / 12),
    ("advanced", [on(0, "feature.api"), on(0, "feature.sso"), on(1, "feature.a")], 1),
    ("completion", [on(0, "flow.done"), on(0, "flow.started"), on(2, "flow.started")], 0.5),
    ("depth_trend", [on(1, "feature.a", value=6), on(1, "login"), on(31, "feature.a", value=8), on(31, "login")],
     -0.25),
    ("momentum", [on(0, "login", actor=who) for who in "abc"] + [on(31, "login", actor=who) for who in "ab"], 0.5),
    ("daily_change", [on(day, "login", actor=who) for day in range(28) for who in "abcd" if day > 6 or who < "d"],
     -0.125),
    ("to_limit", [on(0, "usage.level", value=80), on(9, "usage.level", value=1), on(9, "plan.limit", value=100)], 0.8),
    ("integrations", [on(9, "integration.crm"), on(8, "integration.sso"), on(1, "integration.sso", value=0)], 1),
    ("export_spike", [on(0, "feature.export")] * 18 + [on(day, "feature.export") for day in range(7, 90)], 11 / 7),
    ("tickets_per_seat", [on(0, "ticket.created"), on(9, "seats", value=4)], 0.25),
    ("severe", [on(0, "ticket.severity", value=4), on(0, "ticket.severity", value=2)], 1),
    ("sentiment", [on(0, "ticket.sentiment", value=-1), on(14, "ticket.sentiment", value=0.5)], -0.5),
    ("hours_to_solve", [on(day, "ticket.solved", value=12 * day) for day in (2, 4, 9, 50)], 78),
    ("reopen_rate", [on(0, "ticket.reopened"), *(on(day, "ticket.solved") for day in range(4))], 0.25),
    ("escalations", [on(0, "ticket.escalated"), on(89, "ticket.escalated"), on(90, "ticket.escalated")], 2),
    ("open_age", [on(9, "ticket.created", id="1/created"), on(5, "ticket.created", id="2/created"),
                  on(1, "ticket.solved", id="1/solved/1")], 5),
    ("nps", [on(9, "nps.response", value=8), on(20, "nps.response", value=2)], 8),
    ("csat", [on(9, "csat.response", value=100), on(20, "csat.response", value=60)], 80),
    ("theme_price", [on(0, "nps.theme.pricing"), on(0, "nps.theme.quality")], 1),
    ("text_sentiment", [on(0, "email.sentiment", value=0.5), on(0, "call.sentiment", value=-0.25)], 0.125),
    ("pulse", [on(35, "csm.pulse", value=7), on(36, "csm.pulse", value=2)], 7),
    ("open_rate", [on(0, "email.opened"), on(0, "email.sent"), *(on(day, "email.sent") for day in range(3))], 0.25),
    ("replies", [on(0, "email.replied"), *(on(day, "csm.email") for day in range(4))], 0.25),
    ("events_attended", [on(0, "event.attended"), on(150, "event.attended")], 2),
    ("webinars", [on(0, "webinar.attended"), on(89, "webinar.attended"), on(90, "webinar.attended")], 2),
    ("community", [on(0, "community.post")], 1),
    ("checkins", [on(0, "checkin", value=1), on(9, "checkin", value=0)], 0.5),
    ("qbr_attended", [on(9, "qbr", value=1), on(99, "qbr", value=0)], 1),
    ("executives", [on(9, "meeting.executive"), on(99, "outreach.executive")], 2),
    ("exec_silence", [on(41, "meeting.executive"), on(99, "meeting.executive")], 41),
    ("champion_left", [on(3, "champion.left")], 1),
    ("cancelled", [on(3, "meeting.cancelled"), on(30, "meeting.cancelled")], 1),
    ("advocacy", [on(0, "referral"), on(300, "review")], 2),
    ("days_late", [on(3, "invoice.paid", value=5), on(30, "invoice.paid", value=-1)], 2),
    ("open_invoices", [on(3, "invoice.sent", id="7/sent"), on(2, "invoice.sent", id="8/sent"),
                       on(1, "invoice.paid", id="8/paid")], 1),
    ("seats_change", [on(200, "seats", value=10), on(90, "seats", value=9)], -0.1),
    ("arr_change", [on(365, "arr", value=100), on(2, "arr", value=110)], 0.1),
    ("renewal_in", [on(9, "renewal_date", value=RENEWAL)], 30),
    ("expansion", [on(0, "opportunity.open", value=5000)], 5000),
    ("milestones", [on(9, "milestone.a"), on(5, "milestone.b"), on(99, "milestones_planned", value=4)], 0.5),
    ("ttfv", [on(20, "onboarding.started"), on(8, "feature.key"), on(2, "feature.key")], 12),
    ("trained", [on(700, "certified", actor="a"), on(1, "certified", actor="b")], 2),
    ("resources", [on(0, "resource.video")], 1),
]  # fmt: skip
LABELS = {"pro": ("pro", 70), "bespoke": ("bespoke", None)}
STRANGER, SILENT = "stranger", "silent"


def _world() -> World:
    """Every case is an account of its own; of one of the others nothing is on record, one is linked to no facts."""
    told = {name: events for name, events, _ in CASES}
    told |= {name: [on(9, "account.plan", label="free"), on(2, "account.plan", label=name)] for name in LABELS}
    told[SILENT] = []
    world = plain("*")
    world.sources = {"facts": sorted({name for row in ROWS.values() for name in row.needs}), "known": ["anchor"]}
    world.reads["known"] = (LONG_AGO, TODAY)
    world.accounts = dict.fromkeys([*told, STRANGER])
    world.links = {("facts", name): name for name in told} | {("known", name): name for name in world.accounts}
    for name, events in told.items():
        for number, (ago, event, given) in enumerate(events):
            world.add(event, ago=ago, key=name, **{"id": f"{number}/{event}", **given})
    for name in world.accounts:
        world.add("anchor", source="known", key=name, value=60)
    world.facts = [fact._replace(id=f"{fact.account_key}.{fact.id}") for fact in world.facts]
    return world


@pytest.fixture(scope="module")
def found() -> Scored:
    """All accounts scored in one go."""
    return run(signals(), _world(), connect())


def _on_curve(value: float, curve: dict[float, float]) -> float:
    """Straight lines between breakpoints, flat beyond the ends."""
    first, last = min(curve), max(curve)
    for (x0, y0), (x1, y1) in pairwise(curve.items()):
        if x0 <= value < x1:
            return y0 + (value - x0) / (x1 - x0) * (y1 - y0)
    return curve[first if value < first else last]


@pytest.mark.parametrize(("name", "expected"), [(name, expected) for name, _, expected in CASES])
def test_a_signal_goes_from_its_events_to_its_points_and_its_share_of_the_score(
    found: Scored, name: str, expected: float
) -> None:
    part, total = found.part(name, name), found.score(name)
    assert part.value == pytest.approx(expected, abs=2e-5)
    assert part.state == "live"
    assert part.points == pytest.approx(_on_curve(expected, ROWS[name].words["points"]), abs=1e-3)
    assert part.weight > 0
    assert part.contribution == pytest.approx(part.weight * (part.points or 0), abs=1e-4)
    assert sum(part.contribution or 0 for part in found.parts[name, TODAY]) == total.score


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_without_a_source_is_missing_and_not_zero(found: Scored, name: str) -> None:
    part = found.part(name, STRANGER)
    assert (part.value, part.points, part.contribution, part.weight) == (None, None, None, 0)
    assert part.state == "missing"


def test_what_is_missing_takes_nothing_off_the_score(found: Scored) -> None:
    total = found.score(STRANGER)
    assert total.score == 60
    assert total.coverage == pytest.approx(1 / (1 + len(SIGNALS)), abs=1e-6)


@pytest.mark.parametrize(("account", "points"), LABELS.values())
def test_a_label_has_points_of_its_own_and_another_label_none(
    found: Scored, account: str, points: float | None
) -> None:
    part = found.part("plan", account)
    assert (part.points, part.state) == (points, "missing" if points is None else "live")


def test_every_row_has_a_case_that_moves_it_off_nothing(found: Scored) -> None:
    assert sorted([*(name for name, _, _ in CASES), "plan"]) == sorted(SIGNALS)
    for name, _, _ in CASES:
        assert found.part(name, name).value != found.part(name, SILENT).value, name


@pytest.mark.parametrize("name", ROWS)
def test_a_row_names_the_events_it_needs(name: str) -> None:
    def needed(measure: str) -> set[str]:
        words = signals().measures[measure]
        own = {*(words.events or ()), *(words.opens or ()), *(words.closes or ()), *(words.from_ or ())}
        inner = [target for target in (words.over, words.of) if isinstance(target, str)]
        return own.union(words.to or (), *map(needed, inner))

    assert ROWS[name].needs == needed(name)


# nothing happened

COUNTING = "count sum distinct_users user_days active_days distinct_names"
ANSWERING = "mean median min max last first days_since days_until names_on"
RISING = {-1: 0, 0: 20, 10: 100}


def _take(take: str, **more: Any) -> dict[str, Any]:
    windowed = {} if take in ("last", "first", "days_since", "days_until", "names_on") else {"window": "7d"}
    return {"events": "use", "take": take, **windowed, **more}


def _bare() -> dict[str, dict[str, Any]]:
    measures = {take: _take(take) for take in f"{COUNTING} {ANSWERING}".split()}
    measures["open"] = {"take": "open", "opens": "use", "closes": "end"}
    measures["days_between"] = {"take": "days_between", "from": "use", "to": "end"}
    measures |= {f"{take}_over": _take(take, over="base") for take in ("count", "mean")}
    measures |= {
        f"change_{kind}": {"of": "count", "against": against}
        for kind, against in (("previous", "previous"), ("shift", {"shift": "7d"}), ("longer", {"longer": "28d"}))
    }
    return measures


def _pairs() -> Scorecard:
    """Every take, ratio and comparison twice: without `absent`, and with 33 points for it."""
    measures: dict[str, Any] = {"base": {"events": "base", "take": "last"}}
    for name, words in _bare().items():
        measures |= {name: words | {"points": RISING}, f"{name}_absent": words | {"points": RISING, "absent": 33}}
    weighted = {name: 1 for name in measures if name != "base"}
    return card(coverage_floor=0, measures=measures, dimensions={"all": {"weight": 1, "measures": weighted}})


# account: what happened. The measures are looked at 7 days long, beside the 7 before or the 21 before.
NOTHING = {
    "silent": [],
    "zero_base": [on(0, "base", value=0)],
    "stopped": [on(8, "use", value=2)],
    "started": [on(1, "use", value=2)],
    "started_zero_base": [on(1, "use", value=2), on(0, "base", value=0)],
    "level_zero": [on(1, "use", value=0)],
}


@pytest.fixture(scope="module")
def nothing() -> Scored:
    world = plain("use", "end", "base")
    world.accounts = dict.fromkeys(NOTHING)
    world.links = {("facts", name): name for name in NOTHING}
    for name, events in NOTHING.items():
        for ago, event, given in events:
            world.add(event, ago=ago, key=name, id=f"{name}.{event}", **given)
    return run(_pairs(), world)


def _told(found: Scored, measure: str, account: str) -> tuple[float | None, float | None]:
    """Points without and with `absent`; what is missing has none and says so."""
    parts = [found.part(name, account) for name in (measure, f"{measure}_absent")]
    assert all((part.state == "missing") is (part.points is None) for part in parts)
    return parts[0].points, parts[1].points


@pytest.mark.parametrize("take", [*COUNTING.split(), "open"])
def test_what_counts_is_zero_where_nothing_happened(nothing: Scored, take: str) -> None:
    assert nothing.part(take, "silent").value == 0
    assert _told(nothing, take, "silent") == (20, 33)


@pytest.mark.parametrize("take", [*ANSWERING.split(), "days_between"])
def test_what_needs_an_answer_is_missing_or_absent(nothing: Scored, take: str) -> None:
    assert nothing.part(take, "silent").value is None
    assert _told(nothing, take, "silent") == (None, 33)


@pytest.mark.parametrize(
    ("measure", "account", "points"),
    [
        ("count_over", "silent", (20, 33)),
        ("count_over", "zero_base", (20, 33)),
        ("count_over", "started", (None, None)),
        ("count_over", "started_zero_base", (None, None)),
        ("mean_over", "silent", (None, 33)),
        ("mean_over", "zero_base", (None, 33)),
        ("mean_over", "level_zero", (None, 33)),
        ("mean_over", "started", (None, None)),
        ("mean_over", "started_zero_base", (None, None)),
        *((f"change_{kind}", "silent", (None, 33)) for kind in ("previous", "shift", "longer")),
        *((f"change_{kind}", "stopped", (0, 0)) for kind in ("previous", "shift", "longer")),
        *((f"change_{kind}", "started", (None, None)) for kind in ("previous", "shift", "longer")),
    ],
)
def test_a_ratio_or_comparison_with_nothing(
    nothing: Scored, measure: str, account: str, points: tuple[float | None, float | None]
) -> None:
    assert _told(nothing, measure, account) == points


# the SQL


def test_a_scorecard_of_all_signals_stays_readable() -> None:
    text = compile(signals(), {"one": ["*"], "two": ["ticket.*", "email.*"]}).sql()
    assert max(len(line) for line in text.splitlines()) <= 160
    assert all(f"{name}__" in text for name in signals().measures)


def test_sources_that_yield_nothing_of_interest_are_no_trouble() -> None:
    total = run(signals(), World({"other": ["unrelated"]}, reads={}, links={})).score()
    assert (total.score, total.tier, total.coverage, total.low, total.high) == (None, "unscored", 0, 0, 100)

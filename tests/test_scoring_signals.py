"""The signals people ask for, each from its events to its points."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from scoring import Scorecard, compile
from tests.scoring_world import TODAY, Scored, World, card, connect, plain, run

SIGNALS = """
logins: {events: login, take: sum, window: 30d}
logins_per_user: {events: login, take: sum, window: 30d, over: active_users, absent: 0}
active_users: {events: login, take: distinct_users, window: 30d, absent: 0}
dau: {events: login, take: user_days, window: 14d, over: 14, absent: 0}
dau_change: {of: dau, against: previous}
weekly_active: {events: login, take: distinct_users, window: 7d, over: seats}
seats: {events: seats, take: last, max_age: 400d}
consistency: {events: login, take: active_days, window: 30d, over: 30, absent: 0}
depth: {events: feature.*, take: sum, window: 30d, over: logins}
breadth: {events: feature.*, take: distinct_names, window: 30d, over: 12}
advanced: {events: [feature.api, feature.sso], take: active_days, window: 30d}
minutes: {events: session, take: sum, window: 30d, over: active_users}
completion: {events: flow.done, take: count, window: 30d, over: flows_started}
flows_started: {events: flow.started, take: count, window: 30d}
trend_30: {of: depth, against: previous}
momentum: {of: active_users, against: previous}
to_limit: {events: usage.level, take: last, over: plan_limit}
plan_limit: {events: plan.limit, take: last}
tickets_per_seat: {events: ticket.created, take: count, window: 60d, over: seats, absent: 100}
severe: {events: ticket.severity, where: "value >= 3", take: count, window: 60d, absent: 100}
sentiment: {events: ticket.sentiment, take: mean, window: 90d, half_life: 14d}
hours_to_solve: {events: ticket.solved, take: median, window: 60d}
open_age: {take: open, opens: ticket.created, closes: ticket.solved, as: oldest_days, absent: 100}
reopen_rate: {events: ticket.reopened, take: count, window: 90d, over: solved, absent: 100}
solved: {events: ticket.solved, take: count, window: 90d}
escalations: {events: ticket.escalated, take: count, window: 90d, absent: 100}
nps: {events: nps.response, take: last, max_age: 180d}
theme_price: {events: nps.theme.pricing, take: count, window: 180d}
open_rate: {events: email.opened, take: count, window: 90d, over: emails_sent}
emails_sent: {events: email.sent, take: count, window: 90d}
attended: {events: [webinar, event], take: count, window: 90d, absent: 40}
qbr: {events: qbr, take: last, max_age: 200d}
exec_silence: {events: meeting.executive, take: days_since, absent: 0}
champion_left: {events: champion.left, take: count, window: 90d, absent: 100}
days_late: {events: invoice.paid, take: median, window: 365d}
open_invoices: {take: open, opens: invoice.sent, closes: invoice.paid, absent: 100}
arr: {events: arr, take: last}
arr_change: {of: arr, against: {shift: 365d}}
renewal_in: {events: renewal_date, take: days_until}
milestones: {events: milestone.*, take: names_on, over: milestones_planned}
milestones_planned: {events: milestones_planned, take: last}
ttfv: {from: onboarding.started, to: feature.key, take: days_between}
trained: {events: certified, take: distinct_users, window: 730d}
exports_7d: {events: feature.export, take: count, window: 7d}
export_spike: {of: exports_7d, against: {longer: 90d}}
integrations: {events: integration.*, take: names_on}
plan: {events: account.plan, take: last, map: {free: 20, pro: 70, enterprise: 90}}
pulse: {events: csm.pulse, take: last, max_age: 35d}
community: {events: community.*, take: count, window: 90d, absent: 40}
replies: {events: email.replied, take: count, window: 60d, over: csm_emails}
csm_emails: {events: csm.email, take: count, window: 60d}
checkins: {events: checkin, take: mean, window: 90d}
expansion: {events: opportunity.open, take: last, max_age: 90d}
resources: {events: resource.*, take: count, window: 60d, absent: 40}
advocacy: {events: [referral, reference, review], take: count, window: 365d, absent: 40}
text_sentiment: {events: [ticket.sentiment, email.sentiment, call.sentiment], take: mean, window: 90d, half_life: 14d}
"""

LINE = {-1_000_000: 0, 1_000_000: 100}  # every number finds a place on it


def signals() -> Scorecard:
    measures: dict[str, Any] = yaml.safe_load(SIGNALS)
    for measure in measures.values():
        if "map" not in measure:
            measure["points"] = LINE
    return card(measures=measures, dimensions={"all": {"weight": 1, "measures": dict.fromkeys(measures, 1)}})


def on(day: int, name: str, **given: Any) -> tuple[int, str, dict[str, Any]]:
    return day, name, given


RENEWAL = (TODAY.toordinal() - 719163) + 30  # a day number, thirty days ahead

CASES: list[tuple[str, list[tuple[int, str, dict[str, Any]]], float]] = [
    ("logins", [on(0, "login", value=4), on(29, "login", value=3), on(30, "login", value=9)], 7),
    ("logins_per_user", [on(0, "login", actor="a", value=4), on(1, "login", actor="b", value=2)], 3),
    ("active_users", [on(0, "login", actor="a"), on(9, "login", actor="a"), on(3, "login", actor="b")], 2),
    ("dau", [on(day, "login", actor="a") for day in range(28)], 1),
    ("dau_change", [on(day, "login", actor=who) for day in range(28) for who in "ab" if day > 6 or who == "a"], -0.25),
    ("weekly_active", [on(0, "login", actor="a"), on(99, "seats", value=4)], 0.25),
    ("consistency", [on(day, "login") for day in (0, 0, 5, 31)], 2 / 30),
    ("depth", [on(0, "feature.a", value=6), on(1, "login", value=3)], 2),
    ("breadth", [on(0, "feature.a"), on(1, "feature.b"), on(2, "feature.b")], 2 / 12),
    ("advanced", [on(0, "feature.api"), on(0, "feature.sso"), on(1, "feature.a")], 1),
    ("minutes", [on(0, "session", value=90), on(0, "login", actor="a"), on(0, "login", actor="b")], 45),
    ("completion", [on(0, "flow.done"), on(0, "flow.started"), on(2, "flow.started")], 0.5),
    ("trend_30", [on(1, "feature.a", value=4), on(1, "login"), on(31, "feature.a", value=8), on(31, "login")], -0.5),
    ("momentum", [on(0, "login", actor="a"), on(0, "login", actor="b"), on(31, "login", actor="a")], 1),
    ("to_limit", [on(0, "usage.level", value=80), on(9, "usage.level", value=1), on(9, "plan.limit", value=100)], 0.8),
    ("tickets_per_seat", [on(0, "ticket.created"), on(9, "seats", value=4)], 0.25),
    ("severe", [on(0, "ticket.severity", value=4), on(0, "ticket.severity", value=2)], 1),
    ("sentiment", [on(0, "ticket.sentiment", value=-1), on(14, "ticket.sentiment", value=0.5)], -0.5),
    ("hours_to_solve", [on(day, "ticket.solved", value=day) for day in (2, 4, 9, 50)], 6.5),
    ("open_age", [on(9, "ticket.created", id="1/created"), on(5, "ticket.created", id="2/created"),
                  on(1, "ticket.solved", id="1/solved/1")], 5),
    ("reopen_rate", [on(0, "ticket.reopened"), on(1, "ticket.solved"), on(2, "ticket.solved")], 0.5),
    ("escalations", [on(0, "ticket.escalated"), on(89, "ticket.escalated"), on(90, "ticket.escalated")], 2),
    ("nps", [on(9, "nps.response", value=8), on(20, "nps.response", value=2)], 8),
    ("theme_price", [on(0, "nps.theme.pricing")], 1),
    ("open_rate", [on(0, "email.opened"), on(0, "email.sent"), on(1, "email.sent")], 0.5),
    ("attended", [on(0, "webinar"), on(1, "event")], 2),
    ("qbr", [on(9, "qbr", value=0), on(99, "qbr", value=1)], 0),
    ("exec_silence", [on(41, "meeting.executive"), on(99, "meeting.executive")], 41),
    ("champion_left", [on(3, "champion.left")], 1),
    ("days_late", [on(3, "invoice.paid", value=5), on(30, "invoice.paid", value=-1)], 2),
    ("open_invoices", [on(3, "invoice.sent", id="7/sent"), on(2, "invoice.sent", id="8/sent"),
                       on(1, "invoice.paid", id="8/paid")], 1),
    ("arr_change", [on(365, "arr", value=100), on(2, "arr", value=120)], 0.2),
    ("renewal_in", [on(9, "renewal_date", value=RENEWAL)], 30),
    ("milestones", [on(9, "milestone.a"), on(5, "milestone.b"), on(99, "milestones_planned", value=4)], 0.5),
    ("ttfv", [on(20, "onboarding.started"), on(8, "feature.key"), on(2, "feature.key")], 12),
    ("trained", [on(700, "certified", actor="a"), on(1, "certified", actor="b")], 2),
    ("export_spike", [on(0, "feature.export")] * 2 + [on(day, "feature.export") for day in range(7, 90)], -5 / 7),
    ("integrations", [on(9, "integration.crm"), on(8, "integration.sso"), on(1, "integration.sso", value=0)], 1),
    ("pulse", [on(35, "csm.pulse", value=3)], 3),
    ("community", [on(0, "community.post")], 1),
    ("replies", [on(0, "email.replied"), on(0, "csm.email"), on(1, "csm.email")], 0.5),
    ("checkins", [on(0, "checkin", value=1), on(9, "checkin", value=0)], 0.5),
    ("expansion", [on(0, "opportunity.open", value=5000)], 5000),
    ("resources", [on(0, "resource.video")], 1),
    ("advocacy", [on(0, "referral"), on(300, "review")], 2),
    ("text_sentiment", [on(0, "email.sentiment", value=0.5), on(0, "call.sentiment", value=-0.25)], 0.125),
]  # fmt: skip


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Every case is an account of its own, all scored in one go."""
    world = plain("*")
    world.accounts = dict.fromkeys(name for name, _, _ in CASES)
    world.links = {("facts", name): name for name in world.accounts}
    for name, events, _ in CASES:
        for number, (ago, event, given) in enumerate(events):
            world.add(event, ago=ago, key=name, **{"id": f"{number}/{event}", **given})
    world.facts = [fact._replace(id=f"{fact.account_key}.{fact.id}") for fact in world.facts]
    scored = run(signals(), world, connect())
    return {name: scored.part(name, name) for name in world.accounts}


@pytest.mark.parametrize(("name", "expected"), [(name, expected) for name, _, expected in CASES])
def test_signal(found: dict[str, Any], name: str, expected: float) -> None:
    part = found[name]
    assert part.value == pytest.approx(expected, abs=2e-5)
    assert part.state == "live"


@pytest.fixture(scope="module")
def silent() -> Scored:
    """An account of which nothing is on record, though everything was read."""
    return run(signals(), plain("*"))


def test_every_signal_has_a_case_or_serves_one() -> None:
    serving = {
        "seats",
        "flows_started",
        "plan_limit",
        "solved",
        "emails_sent",
        "arr",
        "milestones_planned",
        "exports_7d",
    }
    tested = {name for name, _, _ in CASES} | {"plan", "csm_emails"}
    assert set(signals().measures) - serving == tested - serving


def test_a_label_has_points_of_its_own() -> None:
    world = plain("*")
    world.add("account.plan", ago=9, label="free")
    world.add("account.plan", ago=2, label="pro")
    assert run(signals(), world).part("plan").points == 70


def test_a_label_without_points_is_missing() -> None:
    world = plain("*")
    world.add("account.plan", label="bespoke")
    assert run(signals(), world).part("plan").state == "missing"


@pytest.mark.parametrize(
    ("name", "points"),
    [("severe", 100), ("exec_silence", 0), ("attended", 40), ("dau", 0), ("tickets_per_seat", 100), ("open_age", 100)],
)
def test_nothing_happened_has_the_points_of_absent(silent: Scored, name: str, points: float) -> None:
    part = silent.part(name)
    assert (part.points, part.state) == (points, "live")


@pytest.mark.parametrize("name", ["sentiment", "nps", "arr_change", "renewal_in", "ttfv", "trend_30", "integrations"])
def test_nothing_known_is_missing(silent: Scored, name: str) -> None:
    assert silent.part(name).state == "missing"


def test_a_scorecard_of_all_signals_stays_readable() -> None:
    text = compile(signals(), {"one": ["*"], "two": ["ticket.*", "email.*"]}).sql()
    assert max(len(line) for line in text.splitlines()) <= 160
    assert all(f"{name}__" in text for name in signals().measures)


def test_sources_that_yield_nothing_of_interest_are_no_trouble() -> None:
    world = World({"other": ["unrelated"]}, reads={}, links={})
    total = run(signals(), world).score()
    assert (total.score, total.tier, total.coverage, total.low, total.high) == (None, "unscored", 0, 0, 100)

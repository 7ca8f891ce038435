"""The shipped scorecards, from raw events to the total."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib.resources import files

import pytest
import yaml

from scoring import Part, Scorecard, compile, reason
from tests.scoring_world import LONG_AGO, TODAY, Scored, World, asked, connect, fill, run

PRESETS = ("mid_market", "saas", "usage_sentiment")
SOURCES = {
    "product": ["login", "feature.*", "flow.started", "flow.done", "session"],
    "desk": ["ticket.*", "csat.response"],
    "crm": ["seats", "arr", "renewal_date", "account.plan", "milestones_planned"],
    "team": ["milestone.*", "certified", "csm.email", "email.replied", "qbr", "meeting.executive"],
}


def preset(name: str) -> Scorecard:
    return Scorecard.model_validate(yaml.safe_load(files("config").joinpath("presets", f"{name}.yaml").read_text()))


def world(*sources: str) -> World:
    chosen = sources or tuple(SOURCES)
    return World(
        SOURCES,
        links={(source, "acme"): "acme" for source in chosen},
        reads=dict.fromkeys(chosen, (LONG_AGO, TODAY)),
    )


def worked_example() -> World:
    """Seven of ten seats active each week, stable; five minor tickets solved within hours; no executive in sight."""
    facts = world()
    facts.add("seats", ago=300, source="crm", value=10)
    for week in range(8):
        for user in range(7):
            facts.add("login", ago=7 * week + user, source="product", actor=f"user{user}", value=3)
    for ticket in range(5):
        facts.add("ticket.created", ago=10 * ticket + 1, source="desk", id=f"{ticket}/created")
        facts.add(
            "ticket.severity", ago=10 * ticket + 1, source="desk", value=1, label="low", id=f"{ticket}/severity/1"
        )
        facts.add("ticket.solved", ago=10 * ticket, source="desk", value=4.5, id=f"{ticket}/solved/1")
    for number in range(4):
        facts.add(f"milestone.step{number}", ago=200 - number, source="team")
    facts.add("milestones_planned", ago=300, source="crm", value=4)
    for champion in ("ann", "bob"):
        facts.add("certified", ago=150, source="team", actor=champion)
    for mail in range(4):
        facts.add("csm.email", ago=14 * mail + 2, source="team")
        facts.add("email.replied", ago=14 * mail + 1, source="team")
    facts.add("qbr", ago=40, source="team", value=1)
    return facts


def by_dimension(parts: list[Part]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for part in parts:
        sums[part.dimension] = sums.get(part.dimension, 0.0) + (part.contribution or 0.0)
    return sums


def test_the_mid_market_example_gives_18_22_23_16_and_79_green() -> None:
    found = run(preset("mid_market"), worked_example())
    parts = found.parts["acme", TODAY]
    assert {name: round(points, 4) for name, points in by_dimension(parts).items()} == {
        "product_usage": 18,
        "support_experience": 22,
        "onboarding_adoption": 23,
        "engagement_relationship": 16,
    }
    assert (found.score().score, found.score().tier, found.score().coverage) == (79.0, "green", 1.0)
    assert sum(part.contribution or 0 for part in parts) == 79.0


def test_the_mid_market_example_points_at_the_executive() -> None:
    card = preset("mid_market")
    said = reason(card, run(card, worked_example()).parts["acme", TODAY], None)
    assert said.text.startswith("Executive engagement: none on record")
    assert said.causes[0] == "executive-"
    assert said.next_action == "Invite a business stakeholder to a roadmap preview or a renewal planning session."


def test_usage_and_sentiment_weighs_40_20_20_20() -> None:
    facts = world()
    facts.add("ticket.sentiment", ago=3, source="desk", value=0.25)
    facts.add("meeting.executive", ago=3, source="team")
    parts = run(preset("usage_sentiment"), facts).parts["acme", TODAY]
    shares = {part.measure: round(100 * part.weight, 3) for part in parts}
    assert shares == {"daily_active": 40, "sentiment": 20, "breadth": 20, "exec_silence": 20}


def test_in_the_default_scorecard_use_carries_most_weight() -> None:
    weights = {name: group.weight for name, group in preset("saas").dimensions.items()}
    assert max(weights, key=lambda name: weights[name]) == "product_usage"
    assert weights["product_usage"] > sum(weights.values()) / 2


@pytest.mark.parametrize("lacking", ["csat.response", "seats"])
def test_the_default_scorecard_scores_without_surveys_or_attributes(lacking: str) -> None:
    facts = busy()
    facts.facts = [fact for fact in facts.facts if fact.name != lacking]
    total = run(preset("saas"), facts).score()
    assert total.score is not None
    assert 0.5 <= total.coverage < 1


def test_the_default_scorecard_tells_a_busy_account_from_a_silent_one() -> None:
    busy_total, silent_total = run(preset("saas"), busy()).score(), run(preset("saas"), world()).score()
    assert (busy_total.tier, busy_total.coverage) == ("green", 1.0)
    assert silent_total.score is not None
    assert silent_total.tier == "red"


def test_bought_and_never_signed_in_is_no_use_rather_than_no_data() -> None:
    part = run(preset("saas"), world("product")).part("weekly_active")
    assert (part.value, part.points, part.state) == (0.0, 0.0, "live")


def busy() -> World:
    facts = world()
    facts.add("seats", ago=300, source="crm", value=10)
    for day in range(56):
        for user in range(8):
            facts.add("login", ago=day, source="product", actor=f"user{user}")
        facts.add(f"feature.f{day % 6}", ago=day, source="product", actor="user1")
        facts.add("flow.started", ago=day, source="product")
        facts.add("flow.done", ago=day, source="product")
    facts.add("ticket.created", ago=9, source="desk")
    facts.add("ticket.sentiment", ago=9, source="desk", value=0.5)
    facts.add("csat.response", ago=9, source="desk", value=100, label="good")
    return facts


@pytest.mark.parametrize("name", PRESETS)
def test_every_weighted_measure_speaks_to_a_person(name: str) -> None:
    card = preset(name)
    assert card.name == name
    for group in card.dimensions.values():
        for measure in group.measures:
            words = card.measures[measure]
            assert words.label
            assert words.action
            assert words.action.endswith(".")
            assert words.action.count(".") == 1


@pytest.mark.parametrize("name", PRESETS)
def test_every_line_of_the_sql_is_short_and_names_its_measures(name: str) -> None:
    text = compile(preset(name), SOURCES).sql()
    assert max(len(line) for line in text.splitlines()) <= 160
    assert all(f"{measure}__" in text for measure in preset(name).measures)


@pytest.fixture(scope="module")
def scored() -> Iterator[Scored]:
    with connect() as connection:
        yield run(preset("saas"), busy(), connection)


def test_the_script_is_what_was_run(scored: Scored) -> None:
    facts = busy()
    with connect() as connection:
        fill(connection, facts)
        last = None
        for statement in compile(preset("saas"), SOURCES, asked(facts)).sql().split(";\n"):
            if statement.strip():
                last = connection.execute(statement)
        assert last is not None
        rows = [Part(*row[2:]) for row in last.fetchall()]
    assert rows == scored.parts["acme", TODAY]


def test_many_days_at_once_are_the_days_one_by_one(scored: Scored) -> None:
    facts = busy()
    facts.days = tuple(TODAY - timedelta(days=ago) for ago in (0, 1, 17))
    together = run(preset("saas"), facts)
    assert together.parts["acme", TODAY] == scored.parts["acme", TODAY]
    for day in facts.days:
        alone = busy()
        alone.days = (day,)
        assert run(preset("saas"), alone).score(day=day) == together.score(day=day)

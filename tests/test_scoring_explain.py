"""The reason of a score: true causes first, whole phrases, figures with units, and what to do."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scoring import Part, Scorecard, movement, reason
from tests.scoring_world import card

CURVE = {0: 0, 1: 100}
SHARE = {"events": "a", "take": "mean", "window": "7d", "points": CURVE, "unit": "% of seats"}


def scorecard(**measures: Any) -> Scorecard:
    base = {
        "weekly_active": SHARE | {"label": "Weekly active users", "action": "Train the idle teams."},
        "escalations": {
            "events": "b", "take": "count", "window": "7d", "points": {0: 100, 9: 0},
            "unit": "open escalations", "action": "Call them.",
        },
        "executive": {"events": "c", "take": "days_since", "points": {0: 100, 90: 0}, "label": "Executive meeting"},
        "trend": {"of": "weekly_active", "against": "previous", "points": {-1: 0, 0: 100}, "label": "Use", "unit": "%"},
    }  # fmt: skip
    return card(
        measures=base | measures,
        dimensions={"all": {"weight": 1, "measures": dict.fromkeys(base | measures, 1)}},
    )


def part(measure: str, value: float | None, points: float | None, state: str = "live") -> Part:
    weight = 0.25 if points is not None else 0.0
    return Part("all", measure, value, points, weight, None if points is None else weight * points, state)


STRONG = [part("executive", 3, 97), part("trend", 0.0, 100)]


def test_names_what_costs_most_with_figures_units_and_movement() -> None:
    parts = [part("weekly_active", 0.41, 20), part("escalations", 3, 60), *STRONG]
    said = reason(scorecard(), parts, {"weekly_active": part("weekly_active", 0.63, 60)})
    assert said.text == "Weekly active users 41% of seats, down 22 pts in 30 days; 3 open escalations"
    assert said.causes == ("weekly_active-", "escalations-")
    assert said.next_action == "Train the idle teams."


def test_begins_with_a_letter_when_a_figure_comes_first() -> None:
    said = reason(scorecard(), [part("weekly_active", 0.9, 90), part("escalations", 8, 10), *STRONG], None)
    assert said.text.startswith("With 8 open escalations")
    assert said.next_action == "Call them."


def test_a_healthy_account_is_told_its_strengths() -> None:
    said = reason(scorecard(), [part("weekly_active", 0.95, 95), part("escalations", 0, 100), *STRONG], None)
    assert said.causes == ("escalations+", "trend+", "executive+")
    assert said.next_action


def test_a_change_reads_as_up_or_down() -> None:
    parts = [part("trend", -0.22, 10), part("weekly_active", 0.9, 90), part("escalations", 0, 100), STRONG[0]]
    assert reason(scorecard(), parts, None).text.startswith("Use down 22%")


def test_nothing_on_record_is_said_as_such() -> None:
    parts = [part("executive", None, 0), part("weekly_active", 0.9, 90), part("escalations", 0, 100), STRONG[1]]
    assert reason(scorecard(), parts, None).text.startswith("Executive meeting: none on record")


def test_held_and_stale_are_said() -> None:
    parts = [
        part("weekly_active", 0.2, 20, "held"),
        part("escalations", 1, 88),
        part("executive", 9, None, "stale"),
        STRONG[1],
    ]
    text = reason(scorecard(), parts, None).text
    assert "data too old for Executive meeting" in text
    assert "last known figures for Weekly active users" in text


def test_too_little_data_is_a_reason_of_its_own() -> None:
    parts = [part("weekly_active", 0.2, 20), *(part(name, None, None, "missing") for name in ("escalations", "trend"))]
    said = reason(scorecard(), parts, None)
    assert said.text.startswith("Not enough data to score: 25% of the scorecard; no data for")
    assert said.causes == ("unscored",)


def test_as_much_data_as_is_needed_is_enough_whatever_the_shares() -> None:
    """2.4 of 3 parts are a hair under 0.8 as doubles, while the engine, which rounds, calls the account scored."""
    weights = {"weekly_active": 0.3, "escalations": 0.6, "executive": 2.0, "trend": 0.1}
    odd = card(
        coverage_floor=0.8,
        measures=scorecard().model_dump(by_alias=True, exclude_none=True)["measures"],
        dimensions={"all": {"weight": 1, "measures": weights}},
    )
    parts = [part("trend", 0.1, 50), part("executive", 50, 50), part("weekly_active", 0.5, 50)]
    said = reason(odd, [*parts, part("escalations", None, None, "missing")], None)
    assert said.causes == ("executive-", "trend-", "weekly_active-")


def test_causes_stand_still_while_figures_move_a_little() -> None:
    one = [part("weekly_active", 0.41, 41.0), part("escalations", 3, 41.4), *STRONG]
    two = [part("weekly_active", 0.414, 41.4), part("escalations", 3, 41.0), *STRONG]
    assert reason(scorecard(), one, None).causes == reason(scorecard(), two, None).causes


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1e6, 1e6)), min_size=4, max_size=4), st.text("ab ", min_size=1))
def test_never_longer_than_a_field_and_never_cut_inside_a_phrase(numbers: list[tuple[float, float]], word: str) -> None:
    long = {"label": "Long " + (word.strip() or "a") * 20}
    spoken = scorecard(weekly_active=SHARE | {"label": long["label"][:120].strip()})
    names = ("weekly_active", "escalations", "executive", "trend")
    parts = [part(name, value, points) for name, (points, value) in zip(names, numbers, strict=True)]
    text = reason(spoken, parts, None).text
    assert 0 < len(text) <= 255
    assert text[0].isalpha()
    assert not text.endswith((";", " "))


def test_a_label_too_long_for_the_field_is_still_said_in_part() -> None:
    many = {f"m{number}": SHARE | {"label": f"Measure {number} " + "x" * 100} for number in range(4)}
    spoken = card(measures=many, dimensions={"all": {"weight": 1, "measures": dict.fromkeys(many, 1)}})
    text = reason(spoken, [part(name, 0.1, 10) for name in many], None).text
    assert len(text) <= 255
    assert text.count(";") == 1


def _moved(measure: str, value: float, points: float) -> Part:
    return Part("d", measure, value, points, 0.5, points / 2, "live")


def test_a_move_is_told_by_what_moved_that_way_most_first() -> None:
    scorecard = Scorecard.model_validate(
        {
            "name": "moves",
            "dimensions": {"d": {"weight": 1, "measures": {"active": 1, "tickets": 1, "trend": 1}}},
            "measures": {
                "active": _counted("login", "Active users"),
                "tickets": _counted("ticket.created", "Tickets"),
                "logins": {"events": "login", "take": "count", "window": "7d"},
                "trend": {
                    "of": "logins",
                    "against": "previous",
                    "points": {-1: 0, 1: 100},
                    "label": "Use",
                    "unit": "%",
                },
            },
        }
    )
    then = [_moved("active", 8, 80), _moved("tickets", 1, 90), _moved("trend", -0.4, 30)]
    now = [_moved("active", 2, 20), _moved("tickets", 3, 70), _moved("trend", -0.1, 45)]
    before = {part.measure: part for part in then}
    assert movement(scorecard, now, before, up=False) == "Active users 2, down 6 in 30 days; Tickets 3, up 2"
    assert movement(scorecard, now, before, up=True) == "Use down 10%, was down 40% 30 days before"
    assert movement(scorecard, now, {}, up=True) == ""


def _counted(events: str, label: str) -> dict[str, Any]:
    return {"events": events, "take": "count", "window": "7d", "points": {0: 0, 10: 100}, "label": label}

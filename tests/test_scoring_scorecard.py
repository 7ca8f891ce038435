"""What a scorecard may say, and what a wrong one is told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from scoring import Scorecard
from scoring.patterns import overlap
from scoring.rules import rebuild

LOGINS = {"events": "login", "take": "count", "window": "28d", "points": {0: 0, 10: 100}}
TICKETS = {"events": "ticket.created", "take": "count", "window": "28d", "points": {0: 100, 10: 0}}


def content(**changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": "small",
        "dimensions": {
            "use": {"weight": 60, "measures": {"logins": 1}},
            "support": {"weight": 40, "measures": {"tickets": 1}},
        },
        "measures": {"logins": LOGINS, "tickets": TICKETS},
    }
    return given | changed


def with_measure(**words: Any) -> dict[str, Any]:
    return content(measures={"logins": LOGINS, "tickets": TICKETS, "extra": words})


def wrong(given: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Scorecard.model_validate(given)
    return [(".".join(str(step) for step in error["loc"]), error["msg"]) for error in caught.value.errors()]


def test_a_small_scorecard_gets_the_defaults() -> None:
    card = Scorecard.model_validate(content())
    assert (card.tiers.green, card.tiers.yellow, card.hold, card.coverage_floor) == (70, 40, 7, 0.5)


def test_amber_is_yellow() -> None:
    assert Scorecard.model_validate(content(tiers={"green": 80, "amber": 50})).tiers.yellow == 50
    assert "one tier" in wrong(content(tiers={"amber": 50, "yellow": 50}))[0][1]


def test_the_version_is_the_content_and_not_its_order() -> None:
    one = Scorecard.model_validate(content())
    turned = {key: content()[key] for key in reversed(content())}
    assert Scorecard.model_validate(turned | {"hold": "7d"}).version == one.version
    assert len(one.version) == 12
    assert Scorecard.model_validate(content(hold="8d")).version != one.version


def test_a_dump_reads_back_as_the_same_scorecard() -> None:
    card = Scorecard.model_validate(with_measure(of="logins", against={"longer": "90d"}))
    again = Scorecard.model_validate(card.model_dump(mode="json", by_alias=True))
    assert again.version == card.version


@pytest.mark.parametrize(
    ("given", "place", "remedy"),
    [
        (content(colour="red"), "colour", "not permitted"),
        (with_measure(events="x", take="count", window="7d", weight=3), "measures.extra.weight", "not permitted"),
        (with_measure(events="x", take="average", window="7d"), "measures.extra.take", "'mean'"),
        (with_measure(events="x", take="count", window=7), "measures.extra.window", "like 28d"),
        (with_measure(events="x", take="count"), "measures.extra", "`window` is needed by take: count"),
        (with_measure(take="count", window="7d"), "measures.extra", "`events` is needed"),
        (with_measure(events="x", take="open", opens="x", closes="y"), "measures.extra", "`events` is not used"),
        (with_measure(events="x", take="median", window="7d", half_life="2d"), "measures.extra", "half_life"),
        (with_measure(events="x", take="count", window="7d", max_age="9d"), "measures.extra", "max_age"),
        (with_measure(of="logins"), "measures.extra", "`against` goes with `of`"),
        (with_measure(of="nobody", against="previous"), "measures.extra.of", "no measure called nobody"),
        (with_measure(of="logins", against={"shift": "7d", "longer": "90d"}), "measures.extra.against", "one of"),
        (with_measure(of="logins", against={"longer": "7d"}), "measures.extra.against", "longer than the window"),
        (with_measure(events="x", take="last", over="extra"), "measures.extra.over", "leads back to itself"),
        (with_measure(events="x", take="last", over=0), "measures.extra.over", "above zero"),
        (with_measure(events="x", take="last", points={1: 0, 0: 5}), "measures.extra.points", "rising order"),
        (with_measure(events="x", take="last", points={0: 0, 1: 101}), "measures.extra.points.1", "100"),
        (with_measure(events="x", take="last", points={float("nan"): 0, 1: 1}), "measures.extra.points", "finite"),
        (with_measure(events="x; drop", take="last"), "measures.extra.events.0", "a name of events like"),
        (with_measure(events="x", take="last", where="value >"), "measures.extra.where", "value >= 3"),
        (content(tiers={"green": 40, "yellow": 70}), "tiers", "green has to begin above yellow"),
        (content(measures={"logins": LOGINS}), "dimensions.support.measures.tickets", "add it under measures"),
        (content(measures={"logins": LOGINS, "tickets": TICKETS | {"points": None}}), "measures.tickets", "points"),
        (content(dimensions={"use": {"weight": 1, "measures": {"logins": 1}}}), "dimensions", "two weighted"),
    ],
)
def test_a_mistake_is_named_by_its_place_and_its_remedy(given: dict[str, Any], place: str, remedy: str) -> None:
    errors = wrong(given)
    assert any(where.startswith(place) and remedy in said for where, said in errors), errors


CAP = {"when": "logins < 3", "tier": "amber", "reason": "hardly any logins"}


@pytest.mark.parametrize(
    ("given", "place", "remedy"),
    [
        ({"caps": {"low": CAP | {"when": "nobody < 3"}}}, "caps.low.when", "knows only logins, tickets"),
        ({"caps": {"low": CAP | {"when": "logins < (select 1)"}}}, "caps.low.when", "comparisons"),
        ({"caps": {"low": CAP | {"when": "logins = 'few'"}}}, "caps.low.when", "where a number is needed"),
        ({"caps": {"low": CAP | {"when": "logins"}}}, "caps.low.when", "has to be a test"),
        ({"caps": {"low": CAP | {"tier": "green"}}}, "caps.low.tier", "yellow"),
        ({"caps": {"low": CAP | {"lasts": 30}}}, "caps.low.lasts", "whole days"),
        ({"caps": {"low": {"when": "logins < 3"}}}, "caps.low.reason", "required"),
        ({"caps": {"low": CAP}, "watch": {"low": CAP}}, "watch.low.tier", "not permitted"),
        ({"caps": {"low": CAP}, "watch": {"low": {"when": "logins < 3", "reason": "r"}}}, "watch.low", "otherwise"),
        ({"settle": {"band": -1}}, "settle.band", "greater than"),
        ({"settle": {"dwell": "31d"}}, "settle.dwell", "less than"),
    ],
)
def test_a_mistake_in_a_rule_is_named_too(given: dict[str, Any], place: str, remedy: str) -> None:
    errors = wrong(content(**given))
    assert any(where.startswith(place) and remedy in said for where, said in errors), errors


def test_a_cap_over_a_comparison_lasts_thirty_days_unless_said_otherwise() -> None:
    trend = {"of": "logins", "against": "previous"}
    measures = {"logins": LOGINS, "tickets": TICKETS, "trend": trend}
    fell = CAP | {"when": "logins > 0 and trend <= -0.3"}
    caps = {"low": CAP, "fell": fell, "soon": fell | {"lasts": "5d"}, "long": CAP | {"lasts": "9d"}}
    made = Scorecard.model_validate(content(measures=measures, caps=caps))
    assert {name: limit.lasts for name, limit in made.limits.items()} == {"low": 0, "fell": 30, "soon": 5, "long": 9}
    assert made.limits["fell"].compared == "trend"
    assert made.limits["low"].compared is None
    assert made.caps["low"].tier == "yellow"


def test_a_cycle_through_two_measures_is_refused() -> None:
    one = {"events": "a", "take": "last", "over": "two"}
    two = {"events": "b", "take": "last", "over": "one"}
    errors = wrong(content(measures={"logins": LOGINS, "tickets": TICKETS, "one": one, "two": two}))
    assert [place for place, _ in errors] == ["measures.one.over", "measures.two.over"]


def test_a_measure_belongs_to_one_dimension() -> None:
    both = {
        "use": {"weight": 1, "measures": {"logins": 1}},
        "support": {"weight": 1, "measures": {"logins": 1, "tickets": 1}},
    }
    assert wrong(content(dimensions=both))[0][0] == "dimensions.support.measures.logins"


def test_the_place_survives_inside_a_larger_model() -> None:
    class Settings(BaseModel):
        scorecard: Scorecard

    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"scorecard": content(measures={"logins": LOGINS})})
    assert caught.value.errors()[0]["loc"] == ("scorecard", "dimensions", "support", "measures", "tickets")


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("value >= 3", "value >= 3"),
        ("VALUE > 0.5 and label <> 'spam'", "(value > 0.5 and label <> 'spam')"),
        ("not (value < -1 or label in ('a', 'b'))", "(not (value < (- 1) or label in ('a', 'b')))"),
        ("label = 'it''s -- so'", "label = 'it''s -- so'"),
        ("value * 2 + 1 > 7 / 2", "((value * 2) + 1) > (7 / 2.0)"),  # 3.5 in every engine
    ],
)
def test_a_rule_is_rebuilt(text: str, sql: str) -> None:
    assert rebuild(text) == sql


@pytest.mark.parametrize(
    "text",
    [
        "value",
        "1",
        "name = 'x'",
        "e.value > 1",
        '"value" > 1',
        "label = urgent",
        "label > 3",
        "value = 'x'",
        "value + label > 1",
        "value > 1 and 2",
        "(value > 1) = (value > 2)",
        "value / 0 > 1",
        "1 / value > 1",
        "value > 1; drop table events",
        "value in (select 1)",
        "value > (select max(value) from events)",
        "exists (select 1)",
        "lower(label) = 'x'",
        "read_text('/etc/passwd') = 'x'",
        "label like '%x%'",
        "value is null",
        "cast(label as int) > 1",
        "case when value > 1 then true end",
        "value > 1e999",
        "value between 1 and 2",
        "select 1",
        "from 'x.csv'",
        "'unclosed",
        "",
        "(" * 21 + "value > 1" + ")" * 21,
        "not " * 100 + "value > 1",
        "value > 1" + " or value > 1" * 60,
    ],
)
def test_a_rule_with_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        rebuild(text)


@pytest.mark.parametrize(
    ("one", "other", "met"),
    [
        ("login", "login", True),
        ("login", "logins", False),
        ("feature.*", "feature.export", True),
        ("feature.export", "*", True),
        ("feature.*", "*.export", True),
        ("a*c", "ab*", True),
        ("a.*", "b.*", False),
        ("*", "", True),
        ("a*", "", False),
    ],
)
def test_patterns_meet_when_a_name_fits_both(one: str, other: str, met: bool) -> None:
    assert overlap(one, other) is met
    assert overlap(other, one) is met

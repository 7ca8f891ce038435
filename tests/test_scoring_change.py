"""The causes of a change: they add up to it with `==`, and neither their order nor anybody's else matters."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import duckdb
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from scoring import Part, Scorecard
from scoring.change import Cause, View, causes, kinds, reads, worth
from scoring.printer import on_grid
from tests.scoring_world import card

Points = Mapping[str, float | None]

NAMES = ("a", "b", "c", "d", "e", "f")
COUNTED = {"events": "login", "take": "count", "window": "7d", "points": {0: 0, 10: 100}}
ULP = Fraction(1, 2**20)
FEWER = settings(max_examples=35)


def weighing(dimensions: Mapping[str, Mapping[str, float]], outer: Mapping[str, float] | None = None) -> Scorecard:
    """A scorecard with these weights of measures in their dimensions."""
    weights = outer or dict.fromkeys(dimensions, 1)
    return card(
        dimensions={name: {"weight": weights[name], "measures": dict(group)} for name, group in dimensions.items()},
        measures={name: COUNTED for group in dimensions.values() for name in group},
    )


def parts(points: Points) -> dict[str, Part]:
    state = {True: "missing", False: "live"}
    return {name: Part("", name, known, known, 0.0, None, state[known is None]) for name, known in points.items()}


def view(scorecard: Scorecard, before: Points, after: Points, **kinds: Any) -> View:
    named = dict.fromkeys(scorecard.measures, "new data") | kinds
    return View(scorecard, parts(before), parts(after), named)


def swapped(views: list[View]) -> list[View]:
    return [View(v.card, v.after, v.before, v.kinds) for v in reversed(views)]


# the reference: what a share is, word for word, and the midpoint by its definition


def shares(scorecard: Scorecard, points: Points) -> dict[str, Fraction]:
    found = {}
    alive = {n: [m for m in g.measures if points.get(m) is not None] for n, g in scorecard.dimensions.items()}
    whole = sum(Fraction(scorecard.dimensions[name].weight) for name, live in alive.items() if live)
    for name, live in alive.items():
        group = scorecard.dimensions[name]
        for measure in live:
            inside = Fraction(group.measures[measure]) / sum(Fraction(group.measures[other]) for other in live)
            found[measure] = Fraction(group.weight) / whole * inside
    return found


def score(scorecard: Scorecard, points: Points) -> Fraction:
    return sum((share * Fraction(points[m] or 0) for m, share in shares(scorecard, points).items()), Fraction())


def told(scorecard: Scorecard, points: Points) -> float:
    return on_grid(float(score(scorecard, points)))


def midpoint(scorecard: Scorecard, before: Points, after: Points) -> tuple[dict[str, Fraction], Fraction]:
    """Points moved at mean weight by measure, and the sum of weight moved at mean points."""
    one, other = shares(scorecard, before), shares(scorecard, after)
    points, weight = dict[str, Fraction](), Fraction()
    for name in {*one, *other}:
        was, now = (Fraction(day[name]) if day[name] is not None else None for day in (before, after))  # type: ignore[arg-type]
        known = [value for value in (was, now) if value is not None]
        weight += (other.get(name, 0) - one.get(name, 0)) * sum(known, Fraction()) / len(known)
        if was is not None and now is not None and was != now:
            points[name] = (now - was) * (one[name] + other[name]) / 2
    return points, weight


# random scorecards and days

weights = st.one_of(st.integers(1, 9).map(float), st.sampled_from([0.1, 0.3, 0.7, 1 / 3, 1e-3, 1e6]))
some_points = st.one_of(st.none(), st.sampled_from([0.0, 50.0, 70.0, 100.0]), st.floats(0, 100).map(on_grid))


@st.composite
def scorecards(draw: st.DrawFn) -> Scorecard:
    names = list(NAMES[: draw(st.integers(2, 6))])
    homes = [draw(st.sampled_from(("x", "y", "z"))) for _ in names]
    groups: dict[str, dict[str, float]] = {}
    for name, home in zip(names, homes, strict=True):
        groups.setdefault(home, {})[name] = draw(weights)
    return weighing(groups, {name: draw(weights) for name in groups})


@st.composite
def days(draw: st.DrawFn) -> dict[str, float | None]:
    points = {name: draw(some_points) for name in NAMES}
    points[draw(st.sampled_from(NAMES[:2]))] = draw(st.floats(0, 100).map(on_grid))  # something is always known
    return points


def of(scorecard: Scorecard, points: Points) -> dict[str, float | None]:
    return {name: points.get(name) for group in scorecard.dimensions.values() for name in group.measures}


@given(scorecards(), days(), days())
@example(weighing({"x": {"a": 1, "b": 1}}), {"a": 1.0, "b": None}, {"a": None, "b": 3.0})
def test_causes_sum_to_the_change_and_are_the_midpoint_of_its_definition(
    scorecard: Scorecard, before: Points, after: Points
) -> None:
    before, after = of(scorecard, before), of(scorecard, after)
    change = told(scorecard, after) - told(scorecard, before)
    found = causes(change, [view(scorecard, before, after)])
    assert sum(cause.change for cause in found) == change
    assert sum(cause.change for cause in reversed(found)) == change
    points, weight = midpoint(scorecard, before, after)
    moved = {cause.measure: Fraction(cause.change) for cause in found if cause.kind == "new data"}
    near = ULP * (len(NAMES) + 2)
    assert all(abs(moved.get(name, Fraction()) - points.get(name, 0)) <= near for name in {*moved, *points})
    assert abs(sum(Fraction(cause.change) for cause in found if cause.kind == "missing") - weight) <= near
    assert {cause.kind for cause in found} <= {"new data", "missing"}
    assert list(found) == sorted(found, key=lambda cause: -abs(cause.change))


@FEWER
@given(scorecards(), scorecards(), days(), days())
def test_there_and_back_again_is_the_same_with_the_other_sign(
    old: Scorecard, new: Scorecard, before: Points, after: Points
) -> None:
    views = [view(one, of(one, before), of(one, after)) for one in (old, new)]
    change = told(new, of(new, after)) - told(old, of(old, before))
    there, back = causes(change, views), causes(-change, swapped(views))
    assert [(*cause[:2], -cause.change) for cause in there] == [tuple(cause) for cause in back]
    assert sum(cause.change for cause in there) == change


@FEWER
@given(scorecards(), days(), days(), st.randoms())
def test_no_order_matters(scorecard: Scorecard, before: Points, after: Points, chance: Any) -> None:
    def shuffled(things: Mapping[str, Any]) -> dict[str, Any]:
        return dict(chance.sample(list(things.items()), len(things)))

    groups = {name: shuffled(group.measures) for name, group in shuffled(scorecard.dimensions).items()}
    other = weighing(groups, {name: scorecard.dimensions[name].weight for name in groups})
    before, after = of(scorecard, before), of(scorecard, after)
    change = told(scorecard, after) - told(scorecard, before)
    one = causes(change, [view(scorecard, before, after)])
    assert causes(change, [view(other, shuffled(before), shuffled(after))]) == one


@FEWER
@given(scorecards(), days())
def test_nothing_moved_has_no_cause(scorecard: Scorecard, points: Points) -> None:
    points = of(scorecard, points)
    assert causes(0.0, [view(scorecard, points, points)]) == ()
    with pytest.raises(ValueError, match="do not differ"):
        causes(1.0, [view(scorecard, points, points)])


@FEWER
@given(scorecards(), scorecards(), days())
def test_another_scorecard_over_the_same_facts_is_one_cause(old: Scorecard, new: Scorecard, points: Points) -> None:
    views = [view(one, of(one, points), of(one, points)) for one in (old, new)]
    change = told(new, of(new, points)) - told(old, of(old, points))
    assert causes(change, views) == ((Cause("scorecard", "", change),) if change else ())


@FEWER
@given(scorecards(), days(), st.data())
def test_one_measure_gone_missing_is_one_cause_with_all_weight_it_moved(
    scorecard: Scorecard, points: Points, data: st.DataObject
) -> None:
    before = of(scorecard, points)
    known = sorted(name for name, value in before.items() if value is not None)
    assume(len(known) > 1)
    gone = data.draw(st.sampled_from(known))
    after = before | {gone: None}
    change = told(scorecard, after) - told(scorecard, before)
    assert causes(change, [view(scorecard, before, after)]) == ((Cause("missing", gone, change),) if change else ())


@FEWER
@given(days(), days(), st.lists(weights, min_size=6, max_size=6))
def test_of_several_each_answers_for_its_share_at_the_distance_from_those_that_stayed(
    before: Points, after: Points, given_weights: list[float]
) -> None:
    """In one dimension: had its points been the mean of those that stayed, its going would have moved nothing."""
    scorecard = weighing({"x": dict(zip(NAMES, given_weights, strict=True))})
    stayed = [name for name in NAMES if before[name] is not None and after[name] is not None]
    assume(stayed)
    still = {name: before[name] for name in stayed}
    before, after = {**before, **still}, {**after, **still}
    middle = score(scorecard, still)
    found = causes(told(scorecard, after) - told(scorecard, before), [view(scorecard, before, after)])
    amounts = {cause.measure: Fraction(cause.change) for cause in found}
    one, other = shares(scorecard, before), shares(scorecard, after)
    for name in {*one, *other} - {*stayed}:
        points = before[name] if before[name] is not None else after[name]
        expected = (other.get(name, Fraction()) - one.get(name, Fraction())) * (Fraction(points or 0) - middle)
        assert abs(amounts.get(name, Fraction()) - expected) <= 8 * ULP


@FEWER
@given(scorecards(), scorecards(), days(), days())
def test_two_scorecards_are_the_mean_over_both_orders(
    old: Scorecard, new: Scorecard, before: Points, after: Points
) -> None:
    views = [view(one, of(one, before), of(one, after)) for one in (old, new)]
    found = causes(told(new, of(new, after)) - told(old, of(old, before)), views)
    moved = {cause.measure: Fraction(cause.change) for cause in found if cause.kind in ("scorecard", "new data")}
    steps = [score(new, of(new, day)) - score(old, of(old, day)) for day in (before, after)]
    halves = [midpoint(one, of(one, before), of(one, after))[0] for one in (old, new)]
    expected = {name: sum((half.get(name, Fraction()) for half in halves), Fraction()) / 2 for name in NAMES}
    for name, amount in (expected | {"": sum(steps, Fraction()) / 2}).items():
        assert abs(moved.get(name, Fraction()) - amount) <= 2 * ULP * len(NAMES)


def test_a_whole_dimension_that_went_missing_is_told_measure_by_measure() -> None:
    """Half of the score at 80 and 60 goes to a dimension at 40: 0.25 x (40 - 80) and 0.25 x (40 - 60)."""
    scorecard = weighing({"x": {"a": 1, "b": 1}, "y": {"c": 1}})
    before = {"a": 80.0, "b": 60.0, "c": 40.0}
    found = causes(-15.0, [view(scorecard, before, {"a": None, "b": None, "c": 40.0})])
    assert found == (Cause("missing", "a", -10.0), Cause("missing", "b", -5.0))


def test_nothing_in_common_between_the_days_is_halfway_to_each() -> None:
    scorecard = weighing({"x": {"a": 1, "b": 1}, "y": {"c": 1}})
    found = causes(40.0, [view(scorecard, {"a": 20.0}, {"c": 60.0})])
    assert found == (Cause("missing", "a", 20.0), Cause("missing", "c", 20.0))
    found = causes(40.0, [view(scorecard, {"a": 20.0}, {"b": 60.0})])
    assert found == (Cause("missing", "a", 20.0), Cause("missing", "b", 20.0))


def test_a_scorecard_that_knows_nothing_of_one_day_is_changed_on_the_other() -> None:
    """Facts first is then the only order there is; where there is none, all of it is the scorecard's."""
    old, new = weighing({"x": {"a": 1, "b": 1}}), weighing({"x": {"c": 1, "d": 1}})
    first, last = view(old, {"a": 50.0}, {"a": 60.0}), view(new, {}, {"c": 90.0})
    assert causes(40.0, [first, last]) == (Cause("scorecard", "", 30.0), Cause("new data", "a", 10.0))
    assert causes(40.0, [view(old, {"a": 50.0}, {}), last]) == (Cause("scorecard", "", 40.0),)


def test_the_last_by_name_takes_what_rounding_leaves_over() -> None:
    scorecard = weighing({"x": {"a": 1, "b": 1, "c": 1}})
    before, after = dict.fromkeys("abc", 0.0), dict.fromkeys("abc", 10.0)
    third = round(Fraction(10, 3) * 2**20) / 2**20
    found = {cause.measure: cause.change for cause in causes(10.0, [view(scorecard, before, after)])}
    assert found == {"a": third, "b": third, "c": 10 - 2 * third}


def test_a_persons_word_is_a_judgement_also_when_it_is_the_first_or_has_lapsed() -> None:
    scorecard = weighing({"x": {"a": 1, "b": 1}})
    views = [view(scorecard, {"a": 50.0}, {"a": 50.0, "b": 70.0}, b="judgement")]
    assert causes(10.0, views) == (Cause("judgement", "b", 10.0),)


def test_points_are_worth_a_score_however_little_they_cover() -> None:
    scorecard = weighing({"x": {"a": 1, "b": 1}, "y": {"c": 8}})
    assert worth(scorecard, parts({"a": 30.0, "b": None, "c": None})) == 30.0
    assert worth(scorecard, parts({"a": None})) is None


# what a measure reads, and what moves it


def measuring(**measures: Any) -> Scorecard:
    helpers = {name: measures.pop(name) for name in ("seats", "logins") if name in measures}
    return card(
        dimensions={"all": {"weight": 1, "measures": dict.fromkeys(measures, 1)}},
        measures={name: {"points": {0: 0, 10: 100}} | measure for name, measure in measures.items()} | helpers,
    )


READING = measuring(
    active={"events": "login", "take": "distinct_users", "window": "7d", "over": "seats"},
    trend={"of": "logins", "against": "previous"},
    big={"events": "order.*", "take": "count", "window": "7d", "where": "value >= 3"},
    backlog={"take": "open", "opens": "ticket.created", "closes": "ticket.solved", "where": "label = 'urgent'"},
    meeting={"events": "meeting", "take": "days_since"},
    waiting={"take": "open", "as": "oldest_days", "opens": "ticket.created", "closes": "ticket.solved"},
    nothing={"events": "unheard", "take": "count", "window": "7d"},
    seats={"events": "seats", "take": "last"},
    logins={"events": "login", "take": "count", "window": "7d"},
)
SOURCES = {"product": ("login", "order.*", "meeting"), "help": ("ticket.*", "login"), "crm": ("seats",)}


@pytest.mark.parametrize(
    ("fact", "read_by"),
    [
        (("product", "login", 1, None, 0), {"active", "trend"}),
        (("help", "login", 1, None, 6), {"active", "trend"}),
        (("help", "login", 1, None, 7), {"trend"}),
        (("help", "login", 1, None, 14), set()),
        (("crm", "login", 1, None, 0), set()),
        (("crm", "seats", 9, None, 99), {"active"}),
        (("product", "order.new", 3, None, 0), {"big"}),
        (("product", "order.new", 2, None, 0), set()),
        (("help", "ticket.created", None, "urgent", 0), {"backlog", "waiting"}),
        (("help", "ticket.created", None, "low", 0), {"waiting"}),
        (("help", "ticket.solved", 1, None, 0), {"backlog", "waiting"}),
        (("product", "meeting", 1, None, 0), {"meeting"}),
    ],
)
def test_a_fact_is_new_to_what_reads_it_by_itself_or_through_another(fact: tuple[Any, ...], read_by: set[str]) -> None:
    tests = reads(READING, SOURCES)
    columns = ", ".join(f"({test}) as {name}" for name, test in tests.items())
    with duckdb.connect() as connection:
        row = "select ? as source, ? as name, ?::double as value, ?::varchar as label, ?::integer as age"
        asked = connection.execute(f"select {columns} from ({row}) f", fact)
        names = [column[0] for column in asked.description or ()]
        assert {name for name, yes in zip(names, asked.fetchone() or (), strict=True) if yes} == read_by


def test_what_moves_is_a_persons_word_new_facts_the_calendar_or_windows_that_slid() -> None:
    sources = {**SOURCES, "people": ("unheard",)}
    assert kinds(READING, sources, {"active", "meeting", "nothing"}, judges="people") == {
        "active": "new data",
        "meeting": "new data",
        "nothing": "judgement",
        "waiting": "calendar",
        "backlog": "ageing",
        "trend": "ageing",
        "big": "ageing",
    }
    assert kinds(READING, sources, ())["meeting"] == "calendar"

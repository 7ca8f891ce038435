"""From points to the score and the parts it is made of.

Measures of a dimension that the same sources tell are behind together: they are a group, whose weight and weighted
points count as a whole or, once a source is behind for longer than the hold, are stale as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scoring.plan import Plan, Scored
from scoring.printer import (
    Step,
    double,
    filled,
    grid,
    nested,
    number,
    of_source,
    on_grid,
    quoted,
    select,
    times,
)

TOTALS = (
    "account",
    "as_of",
    "live_score",
    "coverage",
    "low",
    "high",
    "best",
    "tier",
    "held",
)  # what scores are made of
FRESH = 1  # a source may speak for yesterday and still be called live


class _Group(NamedTuple):
    """`place`: what its columns end with, like weight_2."""

    place: int
    dimension: str
    sources: tuple[str, ...]
    items: tuple[Scored, ...]


def steps(wanted: Plan, kept: Sequence[str]) -> Iterator[Step]:
    """The last of them is `scored`, the row that scores and parts are read from, with the columns `kept` besides."""
    yield Step("weighed", _weighed(wanted))
    yield Step("dimensions", _dimensions(wanted))
    yield Step("totals", _totals(wanted))
    yield Step("rounded", _rounded(wanted))
    yield Step("scored", _scored(wanted, kept))


def _groups(wanted: Plan) -> list[_Group]:
    found: dict[tuple[str, tuple[str, ...]], list[Scored]] = {}
    for item in wanted.scored:
        found.setdefault((item.dimension, item.node.sources), []).append(item)
    return [_Group(place, *key, tuple(items)) for place, (key, items) in enumerate(sorted(found.items()), 1)]


def _weights(wanted: Plan) -> list[tuple[str, float]]:
    return [(name, group.weight) for name, group in sorted(wanted.card.dimensions.items())]


def _behind(sources: Sequence[str]) -> str:
    columns = [of_source(source, "behind") for source in sources] or ["0"]
    return columns[0] if len(columns) == 1 else f"greatest({', '.join(columns)})"


def _weighed(wanted: Plan) -> str:
    """Per group: the weight that has points, the weighted points, and whether they count (1, or null)."""
    columns = []
    for place, _, sources, items in _groups(wanted):
        weights = [f"coalesce({number(item.weight)} + 0 * {item.name}__points, 0)" for item in items]
        terms = [f"coalesce({times(item.weight, f'{item.name}__points')}, 0)" for item in items]
        columns.append(f"{' + '.join(weights)} as weight_{place}")
        columns.append(f"{' + '.join(terms)} as points_{place}")
        columns.append(f"{_behind(sources)} as behind_{place}")
        columns.append(f"case when {_behind(sources)} <= {wanted.card.hold} then 1 end as fresh_{place}")
    return select(filled(["*", *columns]), "from pointed")


def _dimensions(wanted: Plan) -> str:
    """Per dimension: weight and weighted points, live, and with stale ones at their last."""
    columns = []
    for name in sorted(wanted.card.dimensions):
        places = [group.place for group in _groups(wanted) if group.dimension == name]
        for column in ("weight", "points"):
            live = " + ".join(f"coalesce(fresh_{place} * {column}_{place}, 0)" for place in places)
            last = " + ".join(f"{column}_{place}" for place in places)
            for kind, told in (("live", live), ("last", last)):
                columns.append(f"{f'nullif({told}, 0)' if column == 'weight' else told} as {name}__{kind}_{column}")
    return select(filled(["*", *columns]), "from weighed")


def _totals(wanted: Plan) -> str:
    """The weight of the dimensions that have points; what share of the scorecard is there, and brings points."""
    columns = []
    for kind in ("live", "last"):
        present = [
            f"case when {name}__{kind}_weight > 0 then {number(weight)} else 0 end" for name, weight in _weights(wanted)
        ]
        columns.append(f"nullif({double(' + '.join(present))}, 0) as {kind}_weight")
    columns += [
        f"{_static(wanted, f'live_{column}')} as {name}" for column, name in (("weight", "there"), ("points", "sure"))
    ]
    return select(filled(["*", *columns]), "from dimensions")


def _rounded(wanted: Plan) -> str:
    weights = dict(_weights(wanted))
    columns = []
    for kind in ("live", "last"):
        means = [
            f"coalesce({times(weight, f'{name}__{kind}_points')} / {name}__{kind}_weight, 0)"
            for name, weight in weights.items()
        ]
        columns.append(f"{grid('(' + ' + '.join(means) + f') / {kind}_weight')} as {kind}_score")
    columns += [
        f"{grid(sql)} as {name}"
        for name, sql in (("coverage", "there"), ("low", "sure"), ("high", "sure + 100 * (1 - there)"))
    ]
    for place, name, *_ in _groups(wanted):
        share = f"{number(weights[name])} / {name}__live_weight / live_weight"
        columns.append(f"{share} * 1048576 * fresh_{place} as unit_{place}")
    return select(filled(["*", *columns]), "from totals")


def _static(wanted: Plan, column: str) -> str:
    """What dimensions have of something, each by its share of the whole scorecard's weight."""
    inside = {name: sum(group.measures.values()) for name, group in wanted.card.dimensions.items()}
    terms = [
        f"coalesce({times(weight, f'{name}__{column}')}, 0) / {number(inside[name])}"
        for name, weight in _weights(wanted)
    ]
    return f"({' + '.join(terms)}) / {number(sum(group.weight for group in wanted.card.dimensions.values()))}"


def _scored(wanted: Plan, kept: Sequence[str]) -> str:
    """What is kept of it all."""
    items, groups = wanted.scored, _groups(wanted)
    unit = {item: f"unit_{group.place}" for group in groups for item in group.items}
    last = " ".join(
        f"when {unit[item]} * {item.name}__points is not null then {place}"
        for place, item in sorted(enumerate(items, 1), reverse=True)
    )
    terms = [f"coalesce(floor({unit[item]} * {_weighted(item)} + 0.5), 0)" for item in items]
    columns = [
        "account, as_of, live_score, coverage, low, high",
        "case when last_score > live_score then last_score else live_score end as best",
        f"{_tier(wanted)} as tier",
        f"{_held(groups)} as held",
        f"case {last} end as last_part",
        f"({' + '.join(terms)}) / 1048576 as all_parts",
        *(f"{item.name}__{column}" for item in items for column in ("value", "points")),
        *(f"{column}_{group.place}" for group in groups for column in ("unit", "behind")),
    ]
    return select(filled(dict.fromkeys([*columns, *kept])), "from rounded")


def _tier(wanted: Plan) -> str:
    """The better of the two tiers, so that a source that stopped never worsens one."""
    card = wanted.card
    green, yellow = (
        " or ".join(f"{kind}_score >= {number(on_grid(limit))}" for kind in ("live", "last"))
        for limit in (card.tiers.green, card.tiers.yellow)
    )
    return (
        f"case when live_score is null or coverage < {number(on_grid(card.coverage_floor))} then 'unscored'"
        f" when {green} then 'green' when {yellow} then 'yellow' else 'red' end"
    )


def _held(groups: Sequence[_Group]) -> str:
    held = [f"(behind_{g.place} > {FRESH} and fresh_{g.place} * weight_{g.place} > 0)" for g in groups]
    return f"coalesce({' or '.join(held)}, false)"


def _weighted(item: Scored) -> str:
    points = f"{item.name}__points"
    return points if item.weight == 1 else f"({times(item.weight, points)})"


def parts(wanted: Plan) -> str:
    """The wide row as one row per measure; the last that is there takes what rounding left over."""
    brought = "floor(unit * (weight * known) + 0.5) / 1048576"
    left = "case when place = last_part then live_score - all_parts else 0 end"
    columns = [
        "account, as_of, dimension, measure, value",
        "case when unit is not null then known end as points",
        "case when unit * known is null then 0 else floor(unit * weight + 0.5) / 1048576 end as weight",
        f"case when tier <> 'unscored' then {brought} + {left} end as contribution",
        "case when known is null then 'missing' when unit is null then 'stale'"
        f" when behind > {FRESH} then 'held' else 'live' end as state",
    ]
    return select(filled(columns), f"from {nested(_long(wanted), 'p')}")


def _long(wanted: Plan) -> str:
    """`known`: the last points; `unit`: what a point of one weight brings to the score, null where it is stale."""
    groups = _groups(wanted)
    told = {item: group.place for group in groups for item in group.items}
    units = " ".join(f"when {place} then unit_{place}" for place, *_ in groups)
    behind = " ".join(f"when {place} then behind_{place}" for place, *_ in groups)
    columns = [
        "account, as_of, tier, live_score, last_part, all_parts, m.place, m.dimension, m.measure",
        f"{double('m.weight')} as weight, case m.told {units} end as unit, case m.told {behind} end as behind",
    ]
    for column, name in (("value", "value"), ("points", "known")):
        cases = " ".join(f"when {place} then {item.name}__{column}" for place, item in enumerate(wanted.scored, 1))
        columns.append(f"case m.place {cases} end as {name}")
    rows = filled(
        f"({place}, {quoted(item.dimension)}, {quoted(item.name)}, {number(item.weight)}, {told[item]})"
        for place, item in enumerate(wanted.scored, 1)
    )
    table = f"(values\n  {rows})\nas m(place, dimension, measure, weight, told)"
    return select(filled(columns), f"from scored cross join {table}")

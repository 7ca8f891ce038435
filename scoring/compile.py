"""From a scorecard to SQL: numbers, points, shares, the score, and the parts it is made of.

One row per account and day all the way, a column or two per measure, so that nothing has to be joined back together;
only `parts` turns the finished row into one row per measure. Terms that are added up are rounded to 2^-20, and the
last part that is there, by name, takes what rounding left over, so contributions add up to the score exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scoring import sums
from scoring.plan import Node, Plan, Scored, plan
from scoring.printer import (
    Step,
    double,
    filled,
    grid,
    listed,
    nested,
    number,
    of_source,
    on_grid,
    quoted,
    select,
    times,
    with_steps,
    wrapped,
)
from scoring.scorecard import Scorecard

FRESH = 1  # a source may speak for yesterday and still be called live


@dataclass(frozen=True)
class Compiled:
    """`steps` in order, the last being the wide row; `scored` is all of them as one select.

    `scores` and `parts` read a table `scored` that holds what the select `scored` gives.
    """

    steps: tuple[Step, ...]
    scored: str
    scores: str
    parts: str

    def sql(self) -> str:
        """The whole as a script to read and run, over events, links, accounts, reads and days."""
        return (
            f"create temp table scored as\n{self.scored};\n\n"
            f"-- one row per account and day\n{self.scores};\n\n"
            f"-- one row per account, day and measure\n{self.parts};\n"
        )


def compile(scorecard: Scorecard, sources: Mapping[str, Sequence[str]]) -> Compiled:
    """`sources`: the event names, or patterns, that each source can yield."""
    wanted = plan(scorecard, sources)
    facts = sums.told(wanted)
    steps = (
        *_grid(wanted),
        *facts.steps,
        *_values(wanted, facts),
        Step("pointed", _pointed(wanted, max(node.level for node in wanted.nodes))),
        Step("present", _present(wanted)),
        Step("weighed", _weighed(wanted)),
        Step("totals", _totals(wanted)),
        Step("rounded", _rounded(wanted)),
        Step("scored", _scored(wanted)),
    )
    return Compiled(steps, with_steps(steps), _scores(wanted), _parts(wanted))


# accounts, days, and how far each source has read


def _grid(wanted: Plan) -> Iterator[Step]:
    clock = "case when r.through < d.as_of then r.through else d.as_of end"
    yield Step(
        "clocks",
        f"select r.source, d.as_of, r.since, {clock} as clock\n"
        "from reads r cross join days d\nwhere r.since is not null and r.through is not null",
    )
    if not wanted.sources:
        yield Step("grid", select("a.account, d.as_of", _ACCOUNTS.format(joins="")))
        return
    yield Step("reading", select(listed(["as_of", *_reading(wanted)]), "from clocks group by as_of"))
    flags = [
        f"max(case when source = {quoted(source)} then 1 end) as {of_source(source, 'linked')}"
        for source in wanted.sources
    ]
    yield Step("linked", select(listed(["account", *flags]), "from links group by account"))
    columns = [
        column
        for source in wanted.sources
        for column in (
            f"case when {of_source(source, 'linked')} = 1 then coalesce(r.{of_source(source, 'days')}, 0) end"
            f" as {of_source(source, 'days')}",
            f"case when {of_source(source, 'linked')} = 1 then coalesce(r.{of_source(source, 'behind')}, 0) else 0 end"
            f" as {of_source(source, 'behind')}",
        )
    ]
    joins = "left join linked l on l.account = a.account\nleft join reading r on r.as_of = d.as_of"
    yield Step("grid", select(listed(["a.account, d.as_of", *columns]), _ACCOUNTS.format(joins=f"\n{joins}")))


_ACCOUNTS = "from accounts a cross join days d{joins}\nwhere a.since is null or a.since <= d.as_of"


def _reading(wanted: Plan) -> Iterator[str]:
    for source in wanted.sources:
        mine = f"max(case when source = {quoted(source)} then"
        yield f"{mine} datediff('day', since, clock) + 1 end) as {of_source(source, 'days')}"
        yield f"{mine} datediff('day', clock, as_of) end) as {of_source(source, 'behind')}"


# measures


def _values(wanted: Plan, facts: sums.Told) -> Iterator[Step]:
    columns = [column for node in wanted.level(0) for column in _first(node, facts)]
    columns += [column for node in wanted.nodes if node.level and not node.now for column in _first(node, facts)]
    joins = "".join(f"\nleft join {step} using (account, as_of)" for step in facts.joins)
    last = "measures_0"
    yield Step(last, select(listed(["grid.*", *columns]), f"from grid{joins}"))
    for level in range(1, 1 + max(node.level for node in wanted.nodes)):
        made = [f"{_later(node)} as {node.value}" for node in wanted.level(level)]
        yield Step(f"measures_{level}", select(listed(["*", *made]), f"from {last}"))
        last = f"measures_{level}"


def _first(node: Node, facts: sums.Told) -> Iterator[str]:
    """The number as events tell it, null where its sources cannot know."""
    if not node.own:
        yield f"{double('null')} as {node.top}"
    else:
        found = facts.results[node.stem]
        over = node.measure.over
        if isinstance(over, float):
            found = f"{found} / {number(over)}"
        yield f"case when {node.known} then {found} end as {node.top}"
    if node.measure.map:
        word = f"case when {node.known} then {facts.labels[node.stem]} end" if node.own else "cast(null as varchar)"
        yield f"{word} as {node.stem}__label"


def _later(node: Node) -> str:
    if node.over:
        ratio = f"{node.top} / nullif({node.over.value}, 0)"
        return f"case when {node.top} = 0 then 0 else {ratio} end" if node.measure.counting else ratio
    now, before = (f"{other.value}{_per_day(node, other)}" for other in node.inner)
    return f"{now} / nullif({before}, 0) - 1"


def _per_day(node: Node, other: Node) -> str:
    longer = node.measure.against and node.measure.against.longer
    return f" / {other.window}" if longer else ""


# points


def _pointed(wanted: Plan, level: int) -> str:
    points = [f"{grid(_points(item.node))} as {item.name}__points" for item in wanted.scored]
    return select(listed(["*", *points]), f"from measures_{level}")


def _points(node: Node) -> str:
    measure = node.measure
    cases = [] if measure.absent is None else [f"when {node.empty} then {number(measure.absent)}"]
    if measure.map:
        told = f"{node.stem}__label"
        cases += [f"when {told} = {quoted(word)} then {number(points)}" for word, points in sorted(measure.map.items())]
        return double(f"case {' '.join(cases)} end")
    curve = list((measure.points or {}).items())
    cases.append(f"when {node.value} <= {number(curve[0][0])} then {number(curve[0][1])}")
    for (left, low), (right, high) in pairwise(curve):
        cases.append(f"when {node.value} < {number(right)} then {_line(node.value, left, low, right, high)}")
    cases.append(f"when {node.value} >= {number(curve[-1][0])} then {number(curve[-1][1])}")
    return f"case {' '.join(cases)} end"


def _line(value: str, left: float, low: float, right: float, high: float) -> str:
    """Between two breakpoints; a flat piece is its number."""
    if low == high:
        return number(low)
    run = f"({value} - {number(left)})" if left else value
    rise = f"{run} * {number(high - low)} / {number(right - left)}"
    return f"{number(low)} + {rise}" if low else rise


def _behind(node: Node) -> str:
    columns = [of_source(source, "behind") for source in node.sources] or ["0"]
    return columns[0] if len(columns) == 1 else f"greatest({', '.join(columns)})"


# the score


def _present(wanted: Plan) -> str:
    hold = wanted.card.hold
    live = [f"case when {_behind(i.node)} <= {hold} then {i.name}__points end as {i.name}__live" for i in wanted.scored]
    return select(filled(["*", *live]), "from pointed")


def _groups(wanted: Plan) -> Iterator[tuple[str, float, list[Scored]]]:
    for name, group in sorted(wanted.card.dimensions.items()):
        yield name, group.weight, [item for item in wanted.scored if item.dimension == name]


def _weighed(wanted: Plan) -> str:
    """Per dimension: the weight that has points, and the weighted points; live, and with stale ones at their last."""
    columns = []
    for name, _, items in _groups(wanted):
        for kind, points in (("live", "live"), ("last", "points")):
            weights = [f"case when {i.name}__{points} is null then 0 else {number(i.weight)} end" for i in items]
            terms = [f"coalesce({times(i.weight, f'{i.name}__{points}')}, 0)" for i in items]
            columns.append(f"nullif({double(' + '.join(weights))}, 0) as {name}__{kind}_weight")
            columns.append(f"{' + '.join(terms)} as {name}__{kind}_points")
    return select(listed(["*", *columns]), "from present")


def _totals(wanted: Plan) -> str:
    columns = []
    for kind in ("live", "last"):
        present = [
            f"case when {name}__{kind}_weight > 0 then {number(weight)} else 0 end"
            for name, weight, _ in _groups(wanted)
        ]
        columns.append(f"nullif({double(' + '.join(present))}, 0) as {kind}_weight")
    return select(listed(["*", *columns]), "from weighed")


def _rounded(wanted: Plan) -> str:
    groups = list(_groups(wanted))
    whole = number(sum(weight for _, weight, _ in groups))
    columns = []
    for kind in ("live", "last"):
        means = [
            f"coalesce({times(weight, f'{name}__{kind}_points')} / {name}__{kind}_weight, 0)"
            for name, weight, _ in groups
        ]
        columns.append(f"{grid('(' + ' + '.join(means) + f') / {kind}_weight')} as {kind}_score")
    weight, points = (_static(groups, column) for column in ("live_weight", "live_points"))
    columns.append(f"{grid(f'({weight}) / {whole}')} as coverage")
    columns.append(f"{grid(f'({points}) / {whole}')} as low")
    columns.append(f"{grid(f'({points} + 100 * ({whole} - ({weight}))) / {whole}')} as high")
    return select(listed(["*", *columns]), "from totals")


def _static(groups: Iterable[tuple[str, float, list[Scored]]], column: str) -> str:
    """What dimensions have of something, each by its share of the whole scorecard's weight."""
    return " + ".join(
        f"coalesce({times(weight, f'{name}__{column}')}, 0) / {number(sum(item.weight for item in items))}"
        for name, weight, items in groups
    )


def _scored(wanted: Plan) -> str:
    """What is kept of it all; the better of the two tiers, so that a source that stopped never worsens one."""
    card, items = wanted.card, wanted.scored
    best = "case when last_score > live_score then last_score else live_score end"
    tier = (
        f"case when live_score is null or coverage < {number(on_grid(card.coverage_floor))} then 'unscored'"
        f" when {best} >= {number(on_grid(card.tiers.green))} then 'green'"
        f" when {best} >= {number(on_grid(card.tiers.yellow))} then 'yellow' else 'red' end as tier"
    )
    last = " ".join(f"when {item.name}__live is not null then {quoted(item.name)}" for item in reversed(items))
    kept = [f"{item.name}__{column}" for item in items for column in ("value", "points", "live")]
    kept += [f"{name}__live_weight" for name, _, _ in _groups(wanted)]
    kept += [of_source(source, "behind") for source in wanted.sources]
    parts = [f"{grid(f'{_share(wanted, item)} * {item.name}__live')} as {item.name}__part" for item in items]
    top = ["account, as_of, live_score, live_weight, coverage, low, high", tier, f"case {last} end as last_part"]
    return select(f"{listed(top)},\n  {filled(kept)},\n  {listed(parts)}", "from rounded")


def _share(wanted: Plan, item: Scored) -> str:
    whole = number(wanted.card.dimensions[item.dimension].weight)
    return f"{number(item.weight)} / {item.dimension}__live_weight * {whole} / live_weight"


def _scores(wanted: Plan) -> str:
    behind = [f"({i.name}__live is not null and {_behind(i.node)} > {FRESH})" for i in wanted.scored]
    columns = [
        "account, as_of",
        "case when tier <> 'unscored' then live_score end as score",
        "tier, coverage",
        "case when live_score < low then live_score else low end as low",
        "case when live_score > high then live_score else high end as high",
        f"{' or '.join(behind)} as held",
    ]
    return select(listed(columns), "from scored\norder by account, as_of")


def _parts(wanted: Plan) -> str:
    """The wide row as one row per measure."""
    items = wanted.scored

    def pick(columns: Iterable[str], name: str) -> str:
        cases = " ".join(f"when {quoted(i.name)} then {column}" for i, column in zip(items, columns, strict=True))
        return f"case m.measure {cases} end as {name}"

    inner = [
        "account, as_of, m.dimension, m.measure, tier, live_score, last_part",
        pick((f"{item.name}__value" for item in items), "value"),
        pick((f"{item.name}__points" for item in items), "last_points"),
        pick((f"{item.name}__live" for item in items), "points"),
        pick((_share(wanted, item) for item in items), "share"),
        pick((f"{item.name}__part" for item in items), "part"),
        pick((_behind(item.node) for item in items), "behind"),
        f"{' + '.join(f'coalesce({item.name}__part, 0)' for item in items)} as all_parts",
    ]
    rows = ", ".join(f"({quoted(item.dimension)}, {quoted(item.name)})" for item in items)
    values = wrapped(f"cross join (values {rows}) as m(dimension, measure)", 0)
    left = "part + case when measure = last_part then live_score - all_parts else 0 end"
    outer = [
        "account, as_of, dimension, measure, value, points",
        f"case when points is null then 0 else {grid('share')} end as weight",
        f"case when tier <> 'unscored' then {left} end as contribution",
        "case when last_points is null then 'missing' when points is null then 'stale'"
        f" when behind > {FRESH} then 'held' else 'live' end as state",
    ]
    inside = nested(select(listed(inner), f"from scored\n{values}"), "p")
    return select(listed(outer), f"from {inside}\norder by account, as_of, dimension, measure")

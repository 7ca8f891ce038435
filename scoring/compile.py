"""From a scorecard to SQL: numbers, points, shares, the score, and the parts it is made of.

One row per account and day all the way, a column or two per measure, so that nothing has to be joined back together;
only `parts` turns the finished row into one row per measure. Terms that are added up are rounded to 2^-20, and the
last part that is there, by name, takes what rounding left over, so contributions add up to the score exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scoring import sums
from scoring.plan import Node, Plan, Scored, plan
from scoring.printer import (
    Step, double, filled, grid, listed, number, of_source, on_grid, quoted, select, with_steps, wrapped,
)  # fmt: skip
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
        Step("pointed", _pointed(wanted)),
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
        yield Step("grid", select("a.account, d.as_of", _ACCOUNTS.format(joins='')))
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
            f"case when {of_source(source, 'linked')} = 1 then r.{of_source(source, 'behind')} end"
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
    yield Step("numbers", select(listed(["grid.*", *columns]), f"from grid{joins}"))
    last = "numbers"
    for level in range(1, 1 + max(node.level for node in wanted.nodes)):
        made = [f"{_later(node)} as {node.value}" for node in wanted.level(level)]
        yield Step(f"ratios_{level}", select(listed(["*", *made]), f"from {last}"))
        last = f"ratios_{level}"
    yield Step("measures", f"select * from {last}")


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
    if node.now and node.before:
        now, before = node.now.value, node.before.value
        if node.measure.against and node.measure.against.longer:
            now, before = f"({now} / {node.now.window})", f"({before} / {node.before.window})"
        return f"{now} / nullif({before}, 0) - 1"
    assert node.over is not None  # noqa: S101  (levels above 0 divide or compare)
    ratio = f"{node.top} / nullif({node.over.value}, 0)"
    return f"case when {node.top} = 0 then 0 else {ratio} end" if node.measure.counting else ratio


# points


def _pointed(wanted: Plan) -> str:
    points = [f"{grid(_points(item.node))} as {item.name}__points" for item in wanted.scored]
    behind = [f"{_behind(item.node)} as {item.name}__behind" for item in wanted.scored]
    return select(f"*,\n  {filled(behind)},\n  {listed(points)}", "from measures")


def _points(node: Node) -> str:
    measure = node.measure
    cases = [] if measure.absent is None else [f"when {node.empty} then {number(measure.absent)}"]
    if measure.map:
        told = f"{node.stem}__label"
        cases += [f"when {told} = {quoted(word)} then {number(points)}" for word, points in sorted(measure.map.items())]
        return double(f"case {' '.join(cases)} end")
    curve = list((measure.points or {}).items())
    cases.append(f"when {node.value} <= {number(curve[0][0])} then {number(curve[0][1])}")
    for (left, low), (right, high) in zip(curve, curve[1:], strict=False):
        cases.append(f"when {node.value} < {number(right)} then {_line(node.value, left, low, right, high)}")
    cases.append(f"when {node.value} is not null then {number(curve[-1][1])}")
    return f"case {' '.join(cases)} end"


def _line(value: str, left: float, low: float, right: float, high: float) -> str:
    """Between two breakpoints; a flat piece is its number."""
    if low == high:
        return number(low)
    run = f"{value} - {number(left)}" if left else value
    return f"{number(low)} + ({run}) * {number(high - low)} / {number(right - left)}"


def _behind(node: Node) -> str:
    columns = [f"coalesce({of_source(source, 'behind')}, 0)" for source in node.sources] or ["0"]
    return columns[0] if len(columns) == 1 else f"greatest({', '.join(columns)})"


# the score


def _present(wanted: Plan) -> str:
    hold = max(wanted.card.hold, FRESH)
    live = [f"case when {item.name}__behind <= {hold} then {item.name}__points end as {item.name}__live" for item in wanted.scored]
    states = [
        f"case when {item.name}__points is null then 'missing' when {item.name}__behind > {hold} then 'stale'"
        f" when {item.name}__behind > {FRESH} then 'held' else 'live' end as {item.name}__state"
        for item in wanted.scored
    ]
    return select(listed(["*", *live, *states]), "from pointed")


def _groups(wanted: Plan) -> Iterator[tuple[str, float, list[Scored]]]:
    for name, group in sorted(wanted.card.dimensions.items()):
        yield name, group.weight, [item for item in wanted.scored if item.dimension == name]


def _weighed(wanted: Plan) -> str:
    """Per dimension: the weight that has points, and the weighted points; live, and with stale ones at their last."""
    columns = []
    for name, _, items in _groups(wanted):
        for kind, points in (("live", "live"), ("last", "points")):
            weights = [f"case when {i.name}__{points} is null then 0 else {number(i.weight)} end" for i in items]
            terms = [f"coalesce({number(i.weight)} * {i.name}__{points}, 0)" for i in items]
            columns.append(f"{double(' + '.join(weights))} as {name}__{kind}_weight")
            columns.append(f"{' + '.join(terms)} as {name}__{kind}_points")
    return select(listed(["*", *columns]), "from present")


def _totals(wanted: Plan) -> str:
    columns = []
    for kind in ("live", "last"):
        present = [
            f"case when {name}__{kind}_weight > 0 then {number(weight)} else 0 end" for name, weight, _ in _groups(wanted)
        ]
        columns.append(f"{double(' + '.join(present))} as {kind}_weight")
    return select(listed(["*", *columns]), "from weighed")


def _rounded(wanted: Plan) -> str:
    groups = list(_groups(wanted))
    whole = number(sum(weight for _, weight, _ in groups))
    columns = []
    for kind in ("live", "last"):
        means = [
            f"coalesce({number(weight)} * {name}__{kind}_points / nullif({name}__{kind}_weight, 0), 0)"
            for name, weight, _ in groups
        ]
        columns.append(f"{grid('(' + ' + '.join(means) + f') / nullif({kind}_weight, 0)')} as {kind}_score")
    for kind, column in (("coverage", "live_weight"), ("low", "live_points")):
        terms = [
            f"{number(weight)} * {name}__{column} / {number(sum(item.weight for item in items))}"
            for name, weight, items in groups
        ]
        columns.append(f"{grid('(' + ' + '.join(terms) + f') / {whole}')} as {kind}")
    for item in wanted.scored:
        weight = number(wanted.card.dimensions[item.dimension].weight)
        share = f"{number(item.weight)} / {item.dimension}__live_weight * {weight} / live_weight"
        columns.append(f"case when {item.name}__live is null then 0 else {share} end as {item.name}__share")
    return select(listed(["*", *columns]), "from totals")


def _scored(wanted: Plan) -> str:
    """What is kept of it all; the better of the two tiers, so that a source that stopped never worsens one."""
    card, items = wanted.card, wanted.scored
    best = "case when last_score > live_score then last_score else live_score end"
    tier = (
        f"case when live_score is null or coverage < {number(on_grid(card.coverage_floor))} then 'unscored'"
        f" when {best} >= {number(on_grid(card.tiers.green))} then 'green'"
        f" when {best} >= {number(on_grid(card.tiers.yellow))} then 'yellow' else 'red' end"
    )
    held = " or ".join(f"{item.name}__state = 'held'" for item in items)
    last = " ".join(f"when {item.name}__live is not null then {quoted(item.name)}" for item in reversed(items))
    parts = [f"{grid(f'{item.name}__share * {item.name}__live')} as {item.name}__part" for item in items]
    kept = [f"{item.name}__{part}" for item in items for part in ("value", "live", "state", "share")]
    top = ["account, as_of, live_score, coverage, low", f"{tier} as tier", f"{held} as held", f"case {last} end as last_part"]
    return select(f"{listed(top)},\n  {filled(kept)},\n  {listed(parts)}", "from rounded")


def _scores(wanted: Plan) -> str:
    high = grid("low + 100 * (1 - coverage)")
    columns = [
        "account, as_of",
        "case when tier <> 'unscored' then live_score end as score",
        "tier, coverage",
        "case when live_score < low then live_score else low end as low",
        f"case when live_score > {high} then live_score else {high} end as high",
        "held",
    ]
    return select(listed(columns), "from scored\norder by account, as_of")


def _parts(wanted: Plan) -> str:
    items = wanted.scored
    rest = " + ".join(f"coalesce({item.name}__part, 0)" for item in items)

    def pick(column: str) -> str:
        return f"case m.measure {' '.join(f'when {quoted(i.name)} then {i.name}__{column}' for i in items)} end"

    inner = [
        "account, as_of, m.dimension, m.measure, tier, live_score, last_part",
        *(f"{pick(column)} as {name}" for column, name in _PART_COLUMNS.items()),
        f"{rest} as all_parts",
    ]
    rows = ", ".join(f"({quoted(item.dimension)}, {quoted(item.name)})" for item in items)
    left = "part + case when measure = last_part then live_score - all_parts else 0 end"
    outer = [
        "account, as_of, dimension, measure, value, points",
        f"{grid('share')} as weight",
        f"case when tier <> 'unscored' then {left} end as contribution",
        "state",
    ]
    values = wrapped(f"(values {rows}) as m(dimension, measure)", 2)
    inside = select(listed(inner), f"from scored cross join\n  {values}").replace("\n", "\n  ")
    return select(listed(outer), f"from (\n  {inside}\n) p\norder by account, as_of, dimension, measure")


_PART_COLUMNS = {"value": "value", "live": "points", "share": "share", "part": "part", "state": "state"}

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
    yield Step("reading", select(filled(["as_of", *_reading(wanted)]), "from clocks group by as_of"))
    flags = [
        f"max(case when source = {quoted(source)} then 1 end) as {of_source(source, 'linked')}"
        for source in wanted.sources
    ]
    yield Step("linked", select(filled(["account", *flags]), "from links group by account"))
    columns = [column for source in wanted.sources for column in _told_by(source, wanted.card.hold)]
    joins = "left join linked l on l.account = a.account\nleft join reading r on r.as_of = d.as_of"
    yield Step("grid", select(filled(["a.account", "d.as_of", *columns]), _ACCOUNTS.format(joins=f"\n{joins}")))


def _told_by(source: str, hold: int) -> Iterator[str]:
    """What a source is to an account: days read, days behind, and 1 while its numbers stand (null after)."""
    linked, days, behind = (of_source(source, column) for column in ("linked", "days", "behind"))
    yield f"case when {linked} = 1 then coalesce(r.{days}, 0) end as {days}"
    yield f"case when {linked} = 1 then coalesce(r.{behind}, 0) else 0 end as {behind}"
    yield f"case when {linked} = 1 and r.{behind} > {hold} then null else 1 end as {of_source(source, 'fresh')}"


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
    yield Step(last, select(filled(["grid.*", *columns]), f"from grid{joins}"))
    for level in range(1, 1 + max(node.level for node in wanted.nodes)):
        made = [f"{_later(node)} as {node.value}" for node in wanted.level(level)]
        yield Step(f"measures_{level}", select(filled(["*", *made]), f"from {last}"))
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
    return select(filled(["*", *points]), f"from measures_{level}")


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


# the score


def _present(wanted: Plan) -> str:
    """Points that count: null once a source they come from is behind for longer than the hold."""
    fresh = {item: [of_source(source, "fresh") for source in item.node.sources] for item in wanted.scored}
    live = [f"{' * '.join([f'{item.name}__points', *fresh[item]])} as {item.name}__live" for item in wanted.scored]
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
    return select(filled(["*", *columns]), "from present")


def _totals(wanted: Plan) -> str:
    columns = []
    for kind in ("live", "last"):
        present = [
            f"case when {name}__{kind}_weight > 0 then {number(weight)} else 0 end"
            for name, weight, _ in _groups(wanted)
        ]
        columns.append(f"nullif({double(' + '.join(present))}, 0) as {kind}_weight")
    return select(filled(["*", *columns]), "from weighed")


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
    weights, points = (_static(groups, column) for column in ("live_weight", "live_points"))
    columns.append(f"{grid(f'({weights}) / {whole}')} as coverage")
    columns.append(f"{grid(f'({points}) / {whole}')} as low")
    columns.append(f"{grid(f'({points} + 100 * ({whole} - ({weights}))) / {whole}')} as high")
    columns += [f"{number(weight)} / {name}__live_weight / live_weight as {name}__share" for name, weight, _ in groups]
    return select(filled(["*", *columns]), "from totals")


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
    terms = [f"coalesce(floor({_part(item)} * 1048576 + 0.5), 0)" for item in items]
    kept = [f"{item.name}__{column}" for item in items for column in ("value", "points")]
    kept += [f"{name}__share" for name, _, _ in _groups(wanted)]
    kept += [of_source(source, "behind") for source in wanted.sources]
    top = [
        "account, as_of, live_score, coverage, low, high",
        tier,
        f"{_held(wanted)} as held",
        f"case {last} end as last_part",
        f"({' + '.join(terms)}) / 1048576 as all_parts",
    ]
    return select(f"{listed(top)},\n  {filled(kept)}", "from rounded")


def _part(item: Scored) -> str:
    live = f"{item.name}__live"
    return f"{item.dimension}__share * {live if item.weight == 1 else f'({times(item.weight, live)})'}"


def _by_sources(wanted: Plan) -> dict[tuple[str, ...], list[Scored]]:
    """The measures by the sources that tell them: they are behind together."""
    groups: dict[tuple[str, ...], list[Scored]] = {}
    for item in wanted.scored:
        groups.setdefault(item.node.sources, []).append(item)
    return groups


def _behind(sources: tuple[str, ...]) -> str:
    columns = [of_source(source, "behind") for source in sources] or ["0"]
    return columns[0] if len(columns) == 1 else f"greatest({', '.join(columns)})"


def _held(wanted: Plan) -> str:
    return " or ".join(
        f"({_behind(sources)} > {FRESH} and coalesce({', '.join(f'{item.name}__live' for item in items)}) is not null)"
        for sources, items in _by_sources(wanted).items()
    )


def _scores(wanted: Plan) -> str:
    columns = [
        "account, as_of",
        "case when tier <> 'unscored' then live_score end as score",
        "tier, coverage",
        "case when live_score < low then live_score else low end as low",
        "case when live_score > high then live_score else high end as high",
        "held",
    ]
    return select(listed(columns), "from scored\norder by account, as_of")


def _parts(wanted: Plan) -> str:
    """The wide row as one row per measure; the last that is there takes what rounding left over."""
    items, groups = wanted.scored, _by_sources(wanted)
    places = {item.name: place for place, group in enumerate(groups.values()) for item in group}
    rows = [f"({quoted(i.dimension)}, {quoted(i.name)}, {number(i.weight)}, {places[i.name]})" for i in items]
    picked = [
        "account, as_of, m.dimension, m.measure, m.weight, tier, live_score, last_part, all_parts",
        _pick("measure", {quoted(item.name): f"{item.name}__value" for item in items}, "value"),
        _pick("measure", {quoted(item.name): f"{item.name}__points" for item in items}, "last_points"),
        _pick("dimension", {quoted(name): f"{name}__share" for name, _, _ in _groups(wanted)}, "share"),
        _pick("told_by", {str(place): _behind(sources) for place, sources in enumerate(groups)}, "behind"),
    ]
    values = wrapped(f"cross join (values {', '.join(rows)}) as m(dimension, measure, weight, told_by)", 0)
    wide = nested(select(listed(picked), f"from scored\n{values}"), "w")
    live = f"case when behind <= {wanted.card.hold} then last_points end as points"
    long = nested(f"select *, {live}\nfrom {wide}", "p")
    left = "case when measure = last_part then live_score - all_parts else 0 end"
    columns = [
        "account, as_of, dimension, measure, value, points",
        f"case when points is null then 0 else {grid('share * weight')} end as weight",
        f"case when tier <> 'unscored' then {grid('share * (weight * points)')} + {left} end as contribution",
        "case when last_points is null then 'missing' when points is null then 'stale'"
        f" when behind > {FRESH} then 'held' else 'live' end as state",
    ]
    return select(listed(columns), f"from {long}\norder by account, as_of, dimension, measure")


def _pick(by: str, columns: Mapping[str, str], name: str) -> str:
    cases = " ".join(f"when {key} then {column}" for key, column in columns.items())
    return f"case m.{by} {cases} end as {name}"

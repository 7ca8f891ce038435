"""The wide row up to its points: accounts and days, how far sources have read, numbers, ratios, points."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from scoring import sums, takes
from scoring.plan import Node, Plan
from scoring.printer import Step, double, filled, grid, nine, number, of_source, quoted, select
from scoring.rows import Told


def told(wanted: Plan) -> Told:
    """The stages that read events, and what the numbers are made of."""
    facts = Told(wanted.asked)
    base = [node for node in wanted.nodes if not node.now and node.own]
    sums.add(facts, [node for node in base if node.measure.take in sums.TAKES], wanted.sources)
    takes.add(facts, base)
    return facts


def clocks() -> Step:
    clock = "case when r.through < d.as_of then r.through else d.as_of end"
    return Step(
        "clocks",
        f"select r.source, d.as_of, r.since, {clock} as clock\n"
        "from reads r cross join days d\nwhere r.since is not null and r.through is not null",
    )


def steps(wanted: Plan, facts: Told) -> Iterator[Step]:
    """The last of them gives each weighted measure a column of points."""
    yield from _grid(wanted)
    yield from _values(wanted, facts)
    yield Step("pointed", _pointed(wanted, max(node.level for node in wanted.nodes)))


def _grid(wanted: Plan) -> Iterator[Step]:
    if not wanted.sources:
        yield Step("grid", select("a.account, a.as_of", "from scope a"))
        return
    yield Step("reading", select(filled(["as_of", *_reading(wanted)]), "from clocks group by as_of"))
    flags = [
        f"max(case when source = {quoted(source)} then 1 end) as {of_source(source, 'linked')}"
        for source in wanted.sources
    ]
    yield Step("linked", select(filled(["account", *flags]), "from links group by account"))
    columns = [column for source in wanted.sources for column in _told_by(source, wanted.card.hold)]
    joins = "left join linked l on l.account = a.account\nleft join reading r on r.as_of = a.as_of"
    yield Step("grid", select(filled(["a.account", "a.as_of", *columns]), f"from scope a\n{joins}"))


def _told_by(source: str, hold: int) -> Iterator[str]:
    """What a source is to an account: days read, days behind, and 1 while its numbers stand (null after)."""
    linked, days, behind = (of_source(source, column) for column in ("linked", "days", "behind"))
    yield f"case when {linked} = 1 then coalesce(r.{days}, 0) end as {days}"
    yield f"case when {linked} = 1 then coalesce(r.{behind}, 0) else 0 end as {behind}"
    yield f"case when {linked} = 1 and r.{behind} > {hold} then null else 1 end as {of_source(source, 'fresh')}"


def _reading(wanted: Plan) -> Iterator[str]:
    for source in wanted.sources:
        mine = f"max(case when source = {quoted(source)} then"
        yield f"{mine} datediff('day', since, clock) + 1 end) as {of_source(source, 'days')}"
        yield f"{mine} datediff('day', clock, as_of) end) as {of_source(source, 'behind')}"


# measures


def _values(wanted: Plan, facts: Told) -> Iterator[Step]:
    columns = [column for node in wanted.level(0) for column in _first(node, facts)]
    columns += [column for node in wanted.nodes if node.level and not node.now for column in _first(node, facts)]
    joins = "".join(f"\nleft join {stage[-1].name} using ({facts.dated('account')})" for stage in facts.stages)
    last = "measures_0"
    yield Step(last, select(filled(["grid.*", *columns]), f"from grid{joins}"))
    for level in range(1, 1 + max(node.level for node in wanted.nodes)):
        made = [f"{_later(node)} as {node.value}" for node in wanted.level(level)]
        yield Step(f"measures_{level}", select(filled(["*", *made]), f"from {last}"))
        last = f"measures_{level}"


def _first(node: Node, facts: Told) -> Iterator[str]:
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
    now, before = node.pair
    return nine(f"{now} / nullif({before}, 0) - 1")  # a fall of exactly 30 % is -0.3, not a hair less


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

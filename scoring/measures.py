"""The wide row up to its numbers: accounts and days, how far sources have read, numbers, ratios, comparisons."""

from __future__ import annotations

from collections.abc import Iterator

from scoring import sums, takes
from scoring.plan import Node, Plan
from scoring.printer import Step, double, filled, nested, nine, number, of_source, quoted, select
from scoring.rows import Told


def told(wanted: Plan) -> Told:
    """The stages that read events, and what the numbers are made of."""
    facts = Told(wanted.asked)
    base = [node for node in wanted.nodes if not node.now and node.own]
    sums.add(facts, [node for node in base if node.measure.take in sums.TAKES], wanted.sources)
    takes.add(facts, base)
    return facts


def clocks() -> Step:
    """Per source and day: the day its numbers are of, how many days it has read up to there, how many it is behind."""
    clock = "case when r.through < d.as_of then r.through else d.as_of end as clock"
    known = "where r.since is not null and r.through is not null"
    read = select(f"r.source, d.as_of, r.since, {clock}", "from reads r cross join days d", known)
    columns = "source, as_of, clock, datediff('day', since, clock) + 1 as days, datediff('day', clock, as_of) as behind"
    return Step("clocks", select(columns, f"from {nested(read, 'r')}"))


def steps(wanted: Plan, facts: Told) -> Iterator[Step]:
    """The last of them has every number."""
    yield from _grid(wanted)
    yield from _values(wanted, facts)


def _grid(wanted: Plan) -> Iterator[Step]:
    if not wanted.sources:
        yield Step("grid", select("a.account, a.as_of", "from scope a"))
        return
    reading, linked, behind = zip(*map(_told_by, wanted.sources), strict=True)
    yield Step("reading", select(filled(["as_of", *reading]), "from clocks group by as_of"))
    yield Step("linked", select(filled(["account", *linked]), "from links group by account"))
    read = {node.read: node.known for node in _from_events(wanted) if node.own}
    tests = [f"{known} as {column}" for column, known in sorted(read.items())]
    joins = ("left join linked l on l.account = a.account", "left join reading r on r.as_of = a.as_of")
    yield Step("grid", select(filled(["a.account, a.as_of", *behind, *tests]), "from scope a", *joins))


def _told_by(source: str) -> tuple[str, str, str]:
    """How far a source is, whether an account is linked to it, and how many days it is behind for the account."""
    linked, days, behind = (of_source(source, column) for column in ("linked", "days", "behind"))
    mine = f"max(case when source = {quoted(source)} then"
    return (
        f"{mine} days end) as {days}, {mine} behind end) as {behind}",
        f"{mine} {double('1')} end) as {linked}",
        f"coalesce({linked} * r.{behind}, 0) as {behind}",
    )


def _from_events(wanted: Plan) -> list[Node]:
    """Numbers that events tell, whether they are divided afterwards or not."""
    return [*wanted.level(0), *(node for node in wanted.nodes if node.level and not node.now)]


# measures


def _values(wanted: Plan, facts: Told) -> Iterator[Step]:
    told = [column for node in _from_events(wanted) for column in _first(node, facts)]
    joins = [f"left join {stage[-1].name} using ({facts.dated('account')})" for stage in facts.stages]
    last = "measures_0"
    yield Step(last, select(filled(["grid.*", *told]), "from grid", *joins))
    for level in range(1, 1 + max(node.level for node in wanted.nodes)):
        made = [f"{_later(node)} as {node.value}" for node in wanted.level(level)]
        yield Step(f"measures_{level}", select(filled(["*", *made]), f"from {last}"))
        last = f"measures_{level}"


def _first(node: Node, facts: Told) -> Iterator[str]:
    """The number as events tell it, null where its sources cannot know."""
    if not node.own:
        yield f"{double('null')} as {node.top}"
    else:
        over = node.measure.over
        divided = f" / {number(over)}" if isinstance(over, float) else ""
        yield f"{node.read} * {facts.results[node.stem]}{divided} as {node.top}"
    if node.measure.map:
        word = f"case when {node.read} = 1 then {facts.labels[node.stem]} end" if node.own else "cast(null as varchar)"
        yield f"{word} as {node.stem}__label"


def _later(node: Node) -> str:
    if node.over:
        ratio = f"{node.top} / nullif({node.over.value}, 0)"
        return f"case when {node.top} = 0 then 0 else {ratio} end" if node.measure.counting else ratio
    now, before = node.pair
    return nine(f"{now} / nullif({before}, 0) - 1")  # a fall of exactly 30 % is -0.3, not a hair less

"""Numbers that add up over keys: counts, sums, means, extremes.

They are summed by the source's own key and linked afterwards: joining a hundred million events to links first costs
twice as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from scoring import ranged, rows
from scoring.plan import Node, Range
from scoring.printer import Step, double, filled, grid, of_source, quoted, select
from scoring.ranged import Sum
from scoring.rows import Told

Test = Callable[[Iterable[str] | None], str]

TAKES = ("count", "sum", "mean", "min", "max", "days_since", "days_between")


def add(out: Told, nodes: Sequence[Node], sources: Sequence[str]) -> None:
    for source in sources:
        mine = [node for node in nodes if source in node.own]
        moving = [node for node in mine if isinstance(out.asked, Range) and not node.measure.half_life]
        if moving and isinstance(out.asked, Range):
            sums = {node: _by_day(node) for node in moving}
            out.stages.append(ranged.summed(out.asked, source, sums))
        if others := [node for node in mine if node not in moving]:
            out.stages.append(tuple(_summed(out, source, others)))
    for node in nodes:
        merged = {
            one.column: _merge(one.how, [_column(out, source, node, one.column) for source in node.own])
            for one in _sums(node, lambda names: "")
        }
        out.results[node.stem] = _result(node, merged)


def _stage(out: Told, node: Node) -> str:
    """What fades is worked out day by day, beside what windows can move over."""
    return "fading" if isinstance(out.asked, Range) and node.measure.half_life else "sums"


def _summed(out: Told, source: str, nodes: Sequence[Node]) -> Iterator[Step]:
    def test(node: Node) -> Test:
        return lambda names: rows.counts(node, nodes, names=names)

    stage = _stage(out, nodes[0])
    name, by_key = of_source(source, stage), of_source(source, f"{stage}_by_key")
    parts = [one._replace(column=f"{node.stem}__{one.column}") for node in nodes for one in _sums(node, test(node))]
    columns = ["account_key", "name", "day", "value", *(["label"] if any(node.measure.where for node in nodes) else [])]
    keys, linked = out.dated("account_key"), out.dated("l.account", of="k.")
    keyed = filled([keys, *(f"{one.sql} as {one.column}" for one in parts)])
    yield Step(by_key, select(keyed, f"from {out.facts(columns, nodes, (source,))}", f"group by {keys}"))
    merged = filled([linked, *(f"{one.how}({one.column}) as {one.column}" for one in parts)])
    links = f"join links l on l.source = {quoted(source)} and l.account_key = k.account_key"
    yield Step(name, select(merged, f"from {by_key} k", links, f"group by {linked}"))


def _by_day(node: Node) -> list[Sum]:
    """What to sum of the events of a day, which windows then move over; an age is told from the day it began."""
    found = _sums(node, lambda names: rows.meant(node, names=names))
    if node.measure.take == "days_since":
        found = [Sum("age", f"max(case when {rows.meant(node)} then day end)", "max")]
    return [one._replace(column=f"{node.stem}__{one.column}") for one in found]


def _sums(node: Node, test: Test) -> list[Sum]:
    """What to sum of the events for a number; `test` tells which of them count, by other names than its own too."""
    take, counts = node.measure.take, test(None)
    if take == "count":
        how = f"sum({_one(counts, _fading(node))})" if node.measure.half_life else f"count({_one(counts)})"
        return [Sum("n", how, "sum")]
    if take in ("sum", "mean"):
        return [Sum("sum", f"sum({_one(counts, _term(node))})", "sum"), *_mean_count(node, counts)]
    if take == "days_since":
        return [Sum("age", f"min({_one(counts, 'age')})", "min")]
    if take == "days_between":
        first, then = test(node.measure.from_), test(node.measure.to)
        return [Sum("from", f"min({_one(first, 'day')})", "min"), Sum("to", f"min({_one(then, 'day')})", "min")]
    return [Sum(str(take), f"{take}({_one(counts, 'value')})", str(take))]


def _one(test: str, then: str = "1") -> str:
    return f"case when {test} then {then} end"


def _mean_count(node: Node, test: str) -> list[Sum]:
    if node.measure.take == "sum":
        return []
    if node.measure.half_life:
        return [Sum("n", f"sum({_one(f'{test} and value is not null', _fading(node))})", "sum")]
    return [Sum("n", f"count({_one(test, 'value')})", "sum")]


def _fading(node: Node) -> str:
    return grid(_power(node))


def _term(node: Node) -> str:
    return grid(f"value * {_power(node)}") if node.measure.half_life else "value"


def _power(node: Node) -> str:
    age = f"(age - {node.shift})" if node.shift else "age"
    return f"power({double('0.5')}, {age} / {double(str(node.measure.half_life))})"


def _column(out: Told, source: str, node: Node, column: str) -> str:
    """A column of the sums of a source; with its table where several have one of that name."""
    table = f"{of_source(source, _stage(out, node))}." if len(node.own) > 1 else ""
    return f"{table}{node.stem}__{column}"


def _merge(how: str, columns: Sequence[str]) -> str:
    """One number from those of several sources; none of them may be known."""
    if how == "sum":
        return columns[0] if len(columns) == 1 else f"({' + '.join(f'coalesce({column}, 0)' for column in columns)})"
    merged, sign = columns[0], "<=" if how == "min" else ">="
    for column in columns[1:]:
        merged = f"case when {column} is null or {merged} {sign} {column} then {merged} else {column} end"
    return merged


def _result(node: Node, merged: dict[str, str]) -> str:
    """A number for the day; it is multiplied by 1 as a double where it is known, so it need not be one."""
    take = node.measure.take
    if take == "mean":
        return f"{merged['sum']} / nullif({merged['n']}, 0)"
    if take == "days_since":
        return f"({merged['age']} - {node.shift})" if node.shift else merged["age"]
    if take == "days_between":
        return f"datediff('day', {merged['from']}, {merged['to']})"
    if take in ("count", "sum"):
        return f"coalesce({next(iter(merged.values()))}, 0)"
    return next(iter(merged.values()))

"""Numbers that add up over keys: counts, sums, means, extremes.

They are summed by the source's own key and linked afterwards: joining a hundred million events to links first costs
twice as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scoring import rows
from scoring.plan import Node
from scoring.printer import Step, double, filled, grid, of_source, quoted, select
from scoring.rows import Told

TAKES = ("count", "sum", "mean", "min", "max", "days_since", "days_between")


def add(out: Told, nodes: Sequence[Node], sources: Sequence[str]) -> None:
    for source in sources:
        mine = [node for node in nodes if source in node.own]
        if mine:
            out.stages.append(tuple(_summed(out, source, mine)))
    for node in nodes:
        merged = {
            part: _merge(how, [_column(source, f"{node.stem}__{part}", node) for source in node.own])
            for part, _, how in _parts(node, nodes)
        }
        out.results[node.stem] = _result(node, merged)


def _summed(out: Told, source: str, nodes: Sequence[Node]) -> Iterator[Step]:
    parts = [(f"{node.stem}__{part}", sql, how) for node in nodes for part, sql, how in _parts(node, nodes)]
    columns = ["account_key", "name", "day", "value", *(["label"] if any(node.measure.where for node in nodes) else [])]
    keys, linked = out.dated("account_key"), out.dated("l.account", of="k.")
    keyed = filled([keys, *(f"{sql} as {column}" for column, sql, _ in parts)])
    yield Step(
        of_source(source, "sums_by_key"),
        select(keyed, f"from {out.facts(columns, nodes, (source,))}", f"group by {keys}"),
    )
    merged = filled([linked, *(f"{how}({column}) as {column}" for column, _, how in parts)])
    read = f"from {of_source(source, 'sums_by_key')} k"
    links = f"join links l on l.source = {quoted(source)} and l.account_key = k.account_key"
    yield Step(of_source(source, "sums"), select(merged, read, links, f"group by {linked}"))


def _parts(node: Node, nodes: Sequence[Node]) -> list[tuple[str, str, str]]:
    """What to sum of the events: (column, expression over rows, how results of several keys are merged)."""
    take, test = node.measure.take, rows.counts(node, nodes)
    if take == "count":
        how = f"sum(case when {test} then {_fading(node)} end)" if node.measure.half_life else f"count({_one(test)})"
        return [("n", how, "sum")]
    if take in ("sum", "mean"):
        return [("sum", f"sum(case when {test} then {_term(node)} end)", "sum"), *_mean_count(node, test)]
    if take == "days_since":
        return [("age", f"min(case when {test} then age end)", "min")]
    if take == "days_between":
        first, then = (rows.counts(node, nodes, names=names) for names in (node.measure.from_, node.measure.to))
        return [
            ("from", f"min(case when {first} then day end)", "min"),
            ("to", f"min(case when {then} then day end)", "min"),
        ]
    return [(str(take), f"{take}(case when {test} then value end)", str(take))]


def _one(test: str, then: str = "1") -> str:
    return f"case when {test} then {then} end"


def _mean_count(node: Node, test: str) -> list[tuple[str, str, str]]:
    if node.measure.take == "sum":
        return []
    if node.measure.half_life:
        return [("n", f"sum(case when {test} and value is not null then {_fading(node)} end)", "sum")]
    return [("n", f"count(case when {test} then value end)", "sum")]


def _fading(node: Node) -> str:
    return grid(_power(node))


def _term(node: Node) -> str:
    return grid(f"value * {_power(node)}") if node.measure.half_life else "value"


def _power(node: Node) -> str:
    age = f"(age - {node.shift})" if node.shift else "age"
    return f"power({double('0.5')}, {age} / {double(str(node.measure.half_life))})"


def _column(source: str, column: str, node: Node) -> str:
    """A column of the sums of a source; with its table where several have one of that name."""
    return f"{of_source(source, 'sums')}.{column}" if len(node.own) > 1 else column


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

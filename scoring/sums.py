"""The first steps: from events to a few numbers per account, by the cheapest way each take allows.

What adds up over a source's keys (counts, sums, means, extremes) is summed by the source's own key and linked
afterwards: joining a hundred million events to links first costs twice as much. What does not add up (distinct users,
medians, the last of several) has a step of its own, over the rows concerned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scoring import patterns, rules
from scoring.plan import Node, Plan
from scoring.printer import Step, double, either, filled, grid, listed, nested, of_source, quoted, select, wrapped

SUMMED = ("count", "sum", "mean", "min", "max", "days_since", "days_between")
DISTINCT = {
    "distinct_users": ("users", ("actor",)),
    "user_days": ("user_days", ("actor", "day")),
    "active_days": ("active_days", ("day",)),
    "distinct_names": ("names", ("name",)),
}
RANKED = {"last": "latest", "days_until": "latest", "first": "earliest", "names_on": "switches"}
LINKED = "join links l on l.source = f.source and l.account_key = f.account_key"
EPOCH = "date '1970-01-01'"


@dataclass(frozen=True)
class Told:
    """What the first steps give: steps, the joins that bring them together, and an expression per number."""

    steps: list[Step]
    joins: list[str]
    results: dict[str, str]
    labels: dict[str, str]


def told(plan: Plan) -> Told:
    out = Told([], [], {}, {})
    base = [node for node in plan.nodes if not node.now and node.own]
    _sums(out, [node for node in base if node.measure.take in SUMMED], plan.sources)
    for take in DISTINCT:
        _distinct(out, take, [node for node in base if node.measure.take == take])
    for name in dict.fromkeys(RANKED.values()):
        _ranked(out, name, [node for node in base if RANKED.get(str(node.measure.take)) == name])
    _medians(out, [node for node in base if node.measure.take == "median"])
    for node in base:
        if node.measure.take == "open":
            _open(out, node)
    return out


# what a row of events has to be


def _test(node: Node, names: Iterable[str] | None = None, among: Sequence[str] = ()) -> str:
    """The test that an event counts for a number; `among` are the sources the step reads."""
    measure, first = node.measure, node.shift
    tests = [patterns.condition(names or measure.events or ())]
    tests += [either(node.own, "f.source")] if len(node.own) < len(among) else []
    tests += [f"age >= {first}"] if first else []
    tests += [f"age < {first + node.window}"] if node.window else []
    tests += [f"age <= {first + measure.max_age}"] if measure.max_age else []
    if measure.where:
        tests.append(rules.rebuild(measure.where, {"value": "number", "label": "word"}))
    return " and ".join(tests)


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    found: set[str] = set()
    for node in nodes:
        measure = node.measure
        for names in (measure.events, measure.opens, measure.closes, measure.from_, measure.to):
            found.update(names or ())
    return tuple(sorted(found))


def _sources(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted({source for node in nodes for source in node.own}))


def _facts(columns: Sequence[str], nodes: Sequence[Node], sources: Sequence[str]) -> str:
    """The events these numbers need, with their age on their source's clock day; later ones are not seen."""
    wanted = ", ".join(f"e.{column}" for column in columns)
    names = patterns.condition(_names(nodes), "e.name")
    age = "datediff('day', e.day, c.clock)"
    reach = [node.shift + node.window for node in nodes if node.window]
    recent = f" and {age} < {max(reach)}" if len(reach) == len(nodes) else ""
    where = wrapped(f"where {either(sources, 'e.source')} and e.day <= c.clock{recent} and {names}", 0)
    return nested(
        f"select {wanted}, c.as_of, {age} as age\nfrom events e join clocks c on c.source = e.source\n{where}",
        "f",
    )


# what adds up


def _sums(out: Told, nodes: Sequence[Node], sources: Sequence[str]) -> None:
    for source in sources:
        mine = [node for node in nodes if source in node.own]
        if mine:
            out.steps.extend(_summed_step(source, mine))
            out.joins.append(of_source(source, "sums"))
    for node in nodes:
        merged = {
            part: _merge(how, [f"{of_source(source, 'sums')}.{node.stem}__{part}" for source in node.own])
            for part, _, how in _parts(node)
        }
        out.results[node.stem] = _result(node, merged)


def _summed_step(source: str, nodes: Sequence[Node]) -> Iterator[Step]:
    parts = [(f"{node.stem}__{part}", sql, how) for node in nodes for part, sql, how in _parts(node)]
    columns = ["account_key", "name", "day", "value", "label"]
    keyed = filled(["account_key", "as_of", *(f"{sql} as {column}" for column, sql, _ in parts)])
    yield Step(
        of_source(source, "sums_by_key"),
        select(keyed, f"from {_facts(columns, nodes, (source,))}\ngroup by account_key, as_of"),
    )
    merged = filled(["l.account", "k.as_of", *(f"{how}(k.{column}) as {column}" for column, _, how in parts)])
    keys = f"from {of_source(source, 'sums_by_key')} k"
    links = f"{keys} join links l on l.source = {quoted(source)} and l.account_key = k.account_key"
    yield Step(of_source(source, "sums"), select(merged, f"{links}\ngroup by l.account, k.as_of"))


def _parts(node: Node) -> list[tuple[str, str, str]]:
    """What to sum of the events: (column, expression over rows, how results of several keys are merged)."""
    take, test = node.measure.take, _test(node)
    if take == "count":
        how = f"sum(case when {test} then {_fading(node)} end)" if node.measure.half_life else f"count({_one(test)})"
        return [("n", how, "sum")]
    if take in ("sum", "mean"):
        return [("sum", f"sum(case when {test} then {_term(node)} end)", "sum"), *_mean_count(node, test)]
    if take == "days_since":
        return [("age", f"min(case when {test} then age end)", "min")]
    if take == "days_between":
        first, then = _test(node, node.measure.from_), _test(node, node.measure.to)
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


def _merge(how: str, columns: Sequence[str]) -> str:
    """One number from those of several sources; none of them may be known."""
    if how == "sum":
        return columns[0] if len(columns) == 1 else " + ".join(f"coalesce({column}, 0)" for column in columns)
    merged, sign = columns[0], "<=" if how == "min" else ">="
    for column in columns[1:]:
        merged = f"case when {column} is null or {merged} {sign} {column} then {merged} else {column} end"
    return merged


def _result(node: Node, merged: dict[str, str]) -> str:
    take = node.measure.take
    if take == "mean":
        return f"{double(merged['sum'])} / nullif({merged['n']}, 0)"
    if take == "days_since":
        return double(f"{merged['age']} - {node.shift}" if node.shift else merged["age"])
    if take == "days_between":
        return double(f"datediff('day', {merged['from']}, {merged['to']})")
    if take in ("count", "sum"):
        return f"coalesce({double(next(iter(merged.values())))}, 0)"
    return double(next(iter(merged.values())))


# what has to be told apart first


def _distinct(out: Told, take: str, nodes: Sequence[Node]) -> None:
    """Linked first: the same user, day or name under two keys of an account counts once."""
    if not nodes:
        return
    name, keys = DISTINCT[take]
    sources, each = _sources(nodes), ", ".join(f"f.{key}" for key in keys)
    columns = ["source", "account_key", *dict.fromkeys([*keys, "name", "value", "label"])]
    flags = [f"max(case when {_test(node, among=sources)} then 1 end) as {node.stem}__raw" for node in nodes]
    seen = "\nwhere f.actor is not null" if "actor" in keys else ""
    rows = f"from {_facts(columns, nodes, sources)}\n{LINKED}{seen}\ngroup by l.account, f.as_of, {each}"
    counts = filled(["account", "as_of", *(f"count({node.stem}__raw) as {node.stem}__raw" for node in nodes)])
    out.steps.append(Step(f"{name}__each", select(filled([f"l.account, f.as_of, {each}", *flags]), rows)))
    out.steps.append(Step(name, select(counts, f"from {name}__each group by account, as_of")))
    out.joins.append(name)
    for node in nodes:
        out.results[node.stem] = f"coalesce({double(f'{name}.{node.stem}__raw')}, 0)"


def _ranked(out: Told, name: str, nodes: Sequence[Node]) -> None:
    """The last (or first) event of each number, by a total order: when it happened, then source and id."""
    if not nodes:
        return
    sources = _sources(nodes)
    columns = ["source", "account_key", "id", "name", "day", "occurred_at", "value", "label"]
    each = ", name" if name == "switches" else ""
    way = "" if name == "earliest" else " desc"
    tests = wrapped(" ".join(f"when {quoted(n.stem)} then {_test(n, among=sources)}" for n in nodes), 2)
    rows = (
        f"select l.account, f.as_of, f.name, f.day, f.age, f.value, f.label, m.measure,\n"
        f"  row_number() over (partition by l.account, f.as_of, m.measure{each.replace(' ', ' f.')}\n"
        f"    order by f.occurred_at{way}, f.source{way}, f.id{way}) as place\n"
        f"from {_facts(columns, nodes, sources)}\n"
        f"{LINKED}\n"
        f"{wrapped('cross join (values ' + ', '.join(f'({quoted(n.stem)})' for n in nodes) + ') as m(measure)', 0)}\n"
        f"where case m.measure\n    {tests} end"
    )
    picked = filled(["account", "as_of", *(column for node in nodes for column in _picked(node))])
    out.steps.append(Step(f"{name}__rows", rows))
    out.steps.append(Step(name, select(picked, f"from {name}__rows where place = 1\ngroup by account, as_of")))
    out.joins.append(name)
    for node in nodes:
        out.results[node.stem] = double(f"{name}.{node.stem}__raw")
        if node.measure.map:
            out.labels[node.stem] = f"{name}.{node.stem}__word"


def _picked(node: Node) -> Iterator[str]:
    mine = f"measure = {quoted(node.stem)}"
    if node.measure.take == "names_on":
        # the sum is null where there is no row at all: nothing is known to be on or off
        yield f"sum(case when {mine} then case when value <> 0 then 1 else 0 end end) as {node.stem}__raw"
        return
    value = "value"
    if node.measure.take == "days_until":
        back = f" - {node.shift}" if node.shift else ""
        value = f"value - (datediff('day', {EPOCH}, day) + age{back})"
    yield f"max(case when {mine} then {value} end) as {node.stem}__raw"
    if node.measure.map:
        yield f"max(case when {mine} then label end) as {node.stem}__word"


def _medians(out: Told, nodes: Sequence[Node]) -> None:
    if not nodes:
        return
    sources = _sources(nodes)
    tests = [(node.stem, _test(node, among=sources)) for node in nodes]
    half = "percentile_cont(0.5) within group"
    halves = [f"{half} (order by case when {test} then value end) as {stem}__raw" for stem, test in tests]
    facts = _facts(["source", "account_key", "name", "value", "label"], nodes, sources)
    rows = f"from {facts}\n{LINKED}\ngroup by account, as_of"
    out.steps.append(Step("medians", select(listed(["account, as_of", *halves]), rows)))
    out.joins.append("medians")
    for node in nodes:
        out.results[node.stem] = double(f"medians.{node.stem}__raw")


def _open(out: Told, node: Node) -> None:
    """Subjects opened and not closed since; what closes at the moment it opens is closed."""
    opens, closes = _test(node, node.measure.opens), patterns.condition(node.measure.closes or ())
    closes += f" and age >= {node.shift}" if node.shift else ""
    columns = ["source", "account_key", "id", "name", "occurred_at", "value", "label"]
    partition = "partition by source, split_part(id, '/', 1), as_of"
    rows = (
        f"select source, account_key, as_of, age, split_part(id, '/', 1) as subject, occurred_at,\n"
        f"  {filled([f'case when {opens} then 1 end as opens'])},\n"
        f"  {filled([f'max(case when {closes} then occurred_at end) over ({partition}) as closed_at'])}\n"
        f"from {_facts(columns, [node], node.own)}"
    )
    count = "count(distinct r.source || '/' || r.subject)"
    value = f"max(r.age) - {node.shift}" if node.measure.as_ == "oldest_days" else count
    still = (
        f"select l.account, r.as_of, {value} as {node.stem}__raw\n"
        f"from {node.stem}__opened r join links l on l.source = r.source and l.account_key = r.account_key\n"
        f"where r.opens = 1 and (r.closed_at is null or r.occurred_at > r.closed_at)\n"
        f"group by l.account, r.as_of"
    )
    step = f"{node.stem}__open"
    out.steps.extend([Step(f"{node.stem}__opened", rows), Step(step, still)])
    out.joins.append(step)
    out.results[node.stem] = f"coalesce({double(f'{step}.{node.stem}__raw')}, 0)"

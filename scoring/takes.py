"""Numbers that do not add up over keys: distinct things, the last of several, medians, what is still open.

Each kind has a step of its own that reads the rows concerned and links them before anything is told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scoring import patterns, rows
from scoring.plan import Node
from scoring.printer import Step, double, filled, listed, quoted, select, wrapped
from scoring.rows import LINKED, Told

DISTINCT = {
    "distinct_users": ("users", ("actor",)),
    "user_days": ("user_days", ("actor", "day")),
    "active_days": ("active_days", ("day",)),
    "distinct_names": ("names", ("name",)),
}
RANKED = {"last": "latest", "days_until": "latest", "first": "earliest", "names_on": "switches"}
EPOCH = "date '1970-01-01'"


def add(out: Told, nodes: Sequence[Node]) -> None:
    for take in DISTINCT:
        _distinct(out, take, [node for node in nodes if node.measure.take == take])
    for name in dict.fromkeys(RANKED.values()):
        _ranked(out, name, [node for node in nodes if RANKED.get(str(node.measure.take)) == name])
    _medians(out, [node for node in nodes if node.measure.take == "median"])
    for node in nodes:
        if node.measure.take == "open":
            _open(out, node)


def _distinct(out: Told, take: str, nodes: Sequence[Node]) -> None:
    """Linked first: the same user, day or name under two keys of an account counts once."""
    if not nodes:
        return
    name, keys = DISTINCT[take]
    sources, each = rows.sources(nodes), ", ".join(f"f.{key}" for key in keys)
    columns = ["source", "account_key", *dict.fromkeys([*keys, "name", "value", "label"])]
    flags = [f"max(case when {rows.counts(node, among=sources)} then 1 end) as {node.stem}__raw" for node in nodes]
    seen = "\nwhere f.actor is not null" if "actor" in keys else ""
    read = f"from {rows.facts(columns, nodes, sources)}\n{LINKED}{seen}\ngroup by l.account, f.as_of, {each}"
    counts = filled(["account", "as_of", *(f"count({node.stem}__raw) as {node.stem}__raw" for node in nodes)])
    out.steps.append(Step(f"{name}__each", select(filled([f"l.account, f.as_of, {each}", *flags]), read)))
    out.steps.append(Step(name, select(counts, f"from {name}__each group by account, as_of")))
    out.joins.append(name)
    for node in nodes:
        out.results[node.stem] = f"coalesce({double(f'{name}.{node.stem}__raw')}, 0)"


def _ranked(out: Told, name: str, nodes: Sequence[Node]) -> None:
    """The last (or first) event of each number, by a total order: when it happened, then source and id."""
    if not nodes:
        return
    sources = rows.sources(nodes)
    columns = ["source", "account_key", "id", "name", "day", "occurred_at", "value", "label"]
    each = ", name" if name == "switches" else ""
    way = "" if name == "earliest" else " desc"
    tests = wrapped(" ".join(f"when {quoted(n.stem)} then {rows.counts(n, among=sources)}" for n in nodes), 2)
    read = (
        f"select l.account, f.as_of, f.name, f.day, f.age, f.value, f.label, m.measure,\n"
        f"  row_number() over (partition by l.account, f.as_of, m.measure{each.replace(' ', ' f.')}\n"
        f"    order by f.occurred_at{way}, f.source{way}, f.id{way}) as place\n"
        f"from {rows.facts(columns, nodes, sources)}\n"
        f"{LINKED}\n"
        f"{wrapped('cross join (values ' + ', '.join(f'({quoted(n.stem)})' for n in nodes) + ') as m(measure)', 0)}\n"
        f"where case m.measure\n    {tests} end"
    )
    picked = filled(["account", "as_of", *(column for node in nodes for column in _picked(node))])
    out.steps.append(Step(f"{name}__rows", read))
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
    sources = rows.sources(nodes)
    tests = [(node.stem, rows.counts(node, among=sources)) for node in nodes]
    half = "percentile_cont(0.5) within group"
    halves = [f"{half} (order by case when {test} then value end) as {stem}__raw" for stem, test in tests]
    facts = rows.facts(["source", "account_key", "name", "value", "label"], nodes, sources)
    read = f"from {facts}\n{LINKED}\ngroup by account, as_of"
    out.steps.append(Step("medians", select(listed(["account, as_of", *halves]), read)))
    out.joins.append("medians")
    for node in nodes:
        out.results[node.stem] = double(f"medians.{node.stem}__raw")


def _open(out: Told, node: Node) -> None:
    """Subjects opened and not closed since; what closes at the moment it opens is closed."""
    opens, closes = rows.counts(node, node.measure.opens), patterns.condition(node.measure.closes or ())
    closes += f" and age >= {node.shift}" if node.shift else ""
    columns = ["source", "account_key", "id", "name", "occurred_at", "value", "label"]
    partition = "partition by source, split_part(id, '/', 1), as_of"
    read = (
        f"select source, account_key, as_of, age, split_part(id, '/', 1) as subject, occurred_at,\n"
        f"  {filled([f'case when {opens} then 1 end as opens'])},\n"
        f"  {filled([f'max(case when {closes} then occurred_at end) over ({partition}) as closed_at'])}\n"
        f"from {rows.facts(columns, [node], node.own)}"
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
    out.steps.extend([Step(f"{node.stem}__opened", read), Step(step, still)])
    out.joins.append(step)
    out.results[node.stem] = f"coalesce({double(f'{step}.{node.stem}__raw')}, 0)"

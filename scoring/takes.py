"""Numbers that do not add up over keys: distinct things, the last of several, medians, what is still open.

Each kind has a step of its own that reads the rows concerned and links them before anything is told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scoring import patterns, ranged, rows
from scoring.plan import Node, Range
from scoring.printer import Step, filled, listed, quoted, select, wrapped
from scoring.rows import Told, linked

DISTINCT = {
    "distinct_users": ("people", ("actor",)),
    "active_days": ("people", ("day",)),
    "user_days": ("people", ("actor", "day")),
    "distinct_names": ("names", ("name",)),
}
RANKED = {"last": "latest", "days_until": "latest", "first": "earliest", "names_on": "switches"}
BY_MOMENT = (*RANKED, "open")
EPOCH = "date '1970-01-01'"
BITS = 62  # days that a number holds as its bits


def add(out: Told, nodes: Sequence[Node]) -> None:
    kinds = {
        name: [node for node in nodes if DISTINCT.get(str(node.measure.take), ("",))[0] == name]
        for name in ("people", "names")
    }
    kinds = {name: some for name, some in kinds.items() if some}
    out.results.update({node.stem: f"coalesce({node.stem}__raw, 0)" for some in kinds.values() for node in some})
    if kinds and isinstance(out.asked, Range):
        keys = {name: {node: _keys(node) for node in some} for name, some in kinds.items()}
        out.stages.append(ranged.covered(out.asked, keys))
    else:
        for name, some in kinds.items():
            tell = _by_bits if name == "people" and _fits(some) else _distinct
            tell(out, name, some)
    for name in dict.fromkeys(RANKED.values()):
        _ranked(out, name, [node for node in nodes if RANKED.get(str(node.measure.take)) == name])
    _medians(out, [node for node in nodes if node.measure.take == "median"])
    for node in nodes:
        if node.measure.take == "open":
            _open(out, node)


def _distinct(out: Told, name: str, nodes: Sequence[Node]) -> None:
    """Linked first: the same user, day or name under two keys of an account counts once. Users and days are read
    together, since reading who it was costs more than counting.
    """
    things = _Things.of(nodes)
    facts = out.facts(["account_key", *things.read], nodes, things.sources)
    keys = out.dated("l.account", *(f"f.{key}" for key in things.keys), of="f.")
    flags = [f"max(case when {test} then 1 end) as {flag}" for test, flag in things.flags.items()]
    known = ["where f.actor is not null"] if all("actor" in _keys(node) for node in nodes) else []
    clauses = [f"from {facts}", linked(things.sources), *known, f"group by {keys}"]
    each = Step(f"{name}__each", select(filled([keys, *flags]), *clauses))
    per = out.dated("account")
    counts = filled([per, *(f"{things.count(node)} as {node.stem}__raw" for node in nodes)])
    out.stages.append((each, Step(name, select(counts, f"from {name}__each group by {per}"))))


def _fits(nodes: Sequence[Node]) -> bool:
    """Whether the days that these numbers reach back to are few enough to be bits; sources have clocks of their own."""
    return len(rows.sources(nodes)) == 1 and (rows.reach(nodes) or BITS + 1) <= BITS


def _by_bits(out: Told, name: str, nodes: Sequence[Node]) -> None:
    """A row for each user, whose days are the bits of a number, today the lowest: half the work of a row a day.

    Linked first, as above.
    """
    tests = dict.fromkeys(rows.meant(node) for node in nodes)
    days = {test: f"days_{place}" for place, test in enumerate(tests)}
    actor = ["actor"] if any("actor" in _keys(node) for node in nodes) else []
    tested = ["name", "value", "label"] if _several(nodes) else []
    facts = out.facts(["account_key", *tested, *actor], nodes, rows.sources(nodes))
    bit = "cast(1 as bigint) << cast(f.age as integer)"
    masks = (f"bit_or({_where([test] if tested else [], bit)}) as {column}" for test, column in days.items())
    keys = out.dated("l.account", *(f"f.{key}" for key in actor), of="f.")
    clauses = (f"from {facts}", linked(rows.sources(nodes)), f"group by {keys}")
    each = Step(f"{name}__each", select(filled([keys, *masks]), *clauses))
    per = out.dated("account")
    counts = (f"{_bits(node, days[rows.meant(node)], nodes)} as {node.stem}__raw" for node in nodes)
    out.stages.append((each, Step(name, select(filled([per, *counts]), f"from {name}__each group by {per}"))))


def _several(nodes: Sequence[Node]) -> bool:
    """Whether not all that is read for these numbers counts for each of them."""
    return len({rows.meant(node) for node in nodes}) > 1 or nodes[0].measure.where is not None


def _bits(node: Node, days: str, nodes: Sequence[Node]) -> str:
    """How many there are of what this number asks for, of rows with these bits for the days of each user."""
    first, last = node.shift, node.shift + (node.window or 0)
    mine = "" if (first, last) == (0, rows.reach(nodes)) else f" & {2**last - 2**first}"
    if node.measure.take == "distinct_users":
        return f"count(case when ({days}{mine}) <> 0 then actor end)"
    if node.measure.take == "active_days":
        return f"bit_count(cast(bit_or({days}){mine} as bit(64)))"
    return f"sum(case when actor is not null then bit_count(cast({days}{mine} as bit(64))) end)"


def _keys(node: Node) -> tuple[str, ...]:
    return DISTINCT[str(node.measure.take)][1]


@dataclass(frozen=True)
class _Things:
    """What is told apart, and which of it counts for which number.

    Of one source, days are told apart by their age: then windows can wait until things are counted, and numbers that
    differ in nothing else need no flags.
    """

    nodes: Sequence[Node]
    sources: tuple[str, ...]
    keys: tuple[str, ...]
    flags: Mapping[str, str]

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> _Things:
        sources, keys = rows.sources(nodes), sorted({key for node in nodes for key in _keys(node)})
        if len(sources) == 1:
            keys = ["age" if key == "day" else key for key in keys]
        found = cls(nodes, sources, tuple(keys), {})
        tests = dict.fromkeys(found._test(node) for node in nodes)
        first = nodes[0].measure
        if len(tests) == 1 and not (first.where or first.max_age or nodes[0].shift):
            return found  # all that is read counts
        return replace(found, flags={test: f"flag_{place}" for place, test in enumerate(tests)})

    @property
    def read(self) -> list[str]:
        """The columns besides the key: the source where there are several, what tests are about, what is told apart."""
        tested = ["name", "value", "label"] if self.flags else []
        return list(dict.fromkeys(["source"] * (len(self.sources) > 1) + tested + [k for k in self.keys if k != "age"]))

    def _test(self, node: Node) -> str:
        if "age" in self.keys:
            return rows.meant(node)
        return rows.counts(node, self.nodes, among=self.sources)

    def count(self, node: Node) -> str:
        """How many there are of what this number asks for, of rows that may be told apart by more."""
        own = ["age" if key == "day" and "age" in self.keys else key for key in _keys(node)]
        tests = [f"{self.flags[self._test(node)]} = 1"] if self.flags else []
        tests += rows.ages(node, self.nodes) if "age" in self.keys else []
        if len(own) < len(self.keys):
            return f"count(distinct {_where(tests, own[0])})"
        return f"count({_where(tests, 'actor' if 'actor' in own else '1')})"


def _where(tests: Sequence[str], then: str) -> str:
    return f"case when {' and '.join(tests)} then {then} end" if tests else then


def _ranked(out: Told, name: str, nodes: Sequence[Node]) -> None:
    """The last (or first) event of each number, by a total order: when it happened, then source and id."""
    if not nodes:
        return
    way, by_name = "asc" if name == "earliest" else "desc", name == "switches"
    if isinstance(out.asked, Range):
        read = ranged.placed(out.asked, nodes, way=way, by_name=by_name)
    else:
        read = _placed(out, nodes, way=way, by_name=by_name)
    per = out.dated("account")
    picked = filled([per, *(column for node in nodes for column in _picked(node))])
    placed = select(picked, f"from {name}__rows where place = 1", f"group by {per}")
    out.stages.append((Step(f"{name}__rows", read), Step(name, placed)))
    for node in nodes:
        out.results[node.stem] = f"{node.stem}__raw"
        if node.measure.map:
            out.labels[node.stem] = f"{node.stem}__word"


def _placed(out: Told, nodes: Sequence[Node], *, way: str, by_name: bool) -> str:
    sources = rows.sources(nodes)
    columns = ["source", "account_key", "id", "name", "day", "occurred_at", "value", "label"]
    tests = " ".join(f"when {quoted(n.stem)} then {rows.counts(n, nodes, among=sources)}" for n in nodes)
    account = out.dated("l.account", of="f.")
    partition = f"partition by {account}, m.measure{', f.name' if by_name else ''}"
    return select(
        f"{account}, f.name, f.day, f.age, f.value, f.label, m.measure,\n"
        f"  row_number() over ({partition} order by row(f.occurred_at, f.source, f.id) {way}) as place",
        f"from {out.facts(columns, nodes, sources)}",
        linked(sources),
        wrapped(f"cross join (values {', '.join(f'({quoted(n.stem)})' for n in nodes)}) as m(measure)"),
        wrapped(f"where case m.measure {tests} end"),
    )


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
    tests = [(node.stem, rows.counts(node, nodes, among=sources)) for node in nodes]
    half = "percentile_cont(0.5) within group"
    halves = [f"{half} (order by case when {test} then value end) as {stem}__raw" for stem, test in tests]
    facts = out.facts(["source", "account_key", "name", "value", "label"], nodes, sources)
    keys = out.dated("l.account", of="f.")
    clauses = (f"from {facts}", linked(sources), f"group by {keys}")
    out.stages.append((Step("medians", select(listed([keys, *halves]), *clauses)),))
    for node in nodes:
        out.results[node.stem] = f"{node.stem}__raw"


def _open(out: Told, node: Node) -> None:
    count = "count(distinct r.source || '/' || r.subject)"
    keys = out.dated("l.account", of="r.")
    value = f"max(r.age) - {node.shift}" if node.measure.as_ == "oldest_days" else count
    among = isinstance(out.asked, Range)
    still = select(
        f"{keys}, {value} as {node.stem}__raw",
        f"from {node.stem}__opened r join links l on l.source = r.source and l.account_key = r.account_key",
        *([] if among else ["where r.opens = 1 and (r.closed_at is null or r.occurred_at > r.closed_at)"]),
        f"group by {keys}",
    )
    read = ranged.opened(out.asked, node) if isinstance(out.asked, Range) else _opened(out, node)
    out.stages.append((Step(f"{node.stem}__opened", read), Step(f"{node.stem}__open", still)))
    out.results[node.stem] = f"coalesce({node.stem}__raw, 0)"


def _opened(out: Told, node: Node) -> str:
    """Subjects opened, and when they were last closed; what closes at the moment it opens is closed."""
    opens, closes = rows.counts(node, [node], names=node.measure.opens), patterns.condition(node.measure.closes or ())
    closes += f" and age >= {node.shift}" if node.shift else ""
    columns = ["source", "account_key", "id", "name", "occurred_at", "value", "label"]
    subject = "split_part(id, '/', 1)"
    told = [
        f"{out.dated('source', 'account_key')}, age, {subject} as subject, occurred_at",
        f"case when {opens} then 1 end as opens",
        f"max(case when {closes} then occurred_at end) over (partition by {out.dated('source', subject)}) as closed_at",
    ]
    return select(filled(told), f"from {out.facts(columns, [node], node.own)}")

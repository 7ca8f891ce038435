"""Which rows of events count for a number, and how they are read and linked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from scoring import patterns, rules
from scoring.plan import Asked, Node, Range
from scoring.printer import Stage, day, either, nested, quoted, select, wrapped


def linked(sources: Sequence[str]) -> str:
    """The join of facts `f` to accounts `l`; where there is one source, by its name alone."""
    source = quoted(sources[0]) if len(sources) == 1 else "f.source"
    return f"join links l on l.source = {source} and l.account_key = f.account_key"


def counts(
    node: Node, nodes: Sequence[Node] = (), *, names: Iterable[str] | None = None, among: Sequence[str] = ()
) -> str:
    """The test that an event counts for a number; `nodes`: all whose facts are read together, `among`: where."""
    return " and ".join([meant(node, names=names, among=among), *ages(node, nodes)])


def meant(node: Node, *, names: Iterable[str] | None = None, among: Sequence[str] = ()) -> str:
    """The part of that test which has nothing to do with days."""
    tests = [patterns.condition(names or node.measure.events or ())]
    tests += [either(node.own, "f.source")] if len(node.own) < len(among) else []
    if node.measure.where:
        tests.append(rules.rebuild(node.measure.where))
    return " and ".join(tests)


def ages(node: Node, nodes: Sequence[Node]) -> list[str]:
    """The part which has only to do with days; what is read goes back no further than the longest of the windows."""
    first, max_age = node.shift, node.measure.max_age
    last = first + node.window if node.window else None
    tests = [f"age >= {first}"] if first else []
    tests += [f"age < {last}"] if last and last != reach(nodes) else []
    return tests + ([f"age <= {first + max_age}"] if max_age else [])


def reach(nodes: Iterable[Node]) -> int | None:
    """How many days back these numbers read; None is all that there is."""
    lasts = [node.shift + node.window if node.window else None for node in nodes]
    return None if None in lasts else max((last for last in lasts if last), default=None)


def names(nodes: Iterable[Node]) -> tuple[str, ...]:
    found: set[str] = set()
    for node in nodes:
        measure = node.measure
        for names in (measure.events, measure.opens, measure.closes, measure.from_, measure.to):
            found.update(names or ())
    return tuple(sorted(found))


def sources(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted({source for node in nodes for source in node.own}))


@dataclass(frozen=True)
class Told:
    """What is told of the events, filled by each kind of number in turn: the stages that read them, and an expression
    per number (and per label) by its stem, over what the stages give.
    """

    asked: Asked | Range | None
    stages: list[Stage] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def dated(self, *keys: str, of: str = "") -> str:
        """What rows are grouped and joined by: these keys, and the day unless it is the same for all."""
        return ", ".join(keys if isinstance(self.asked, Asked) else [*keys, f"{of}as_of"])

    def facts(self, columns: Sequence[str], nodes: Sequence[Node], sources: Sequence[str]) -> str:
        """The events these numbers need, with their age on their source's clock day; later ones are not seen.

        Days known beforehand are written out: no engine passes over files and blocks of the log by what it joins.
        """
        clocks = {self.asked.clocks.get(source) for source in sources} if isinstance(self.asked, Asked) else {None}
        known = clocks.pop() if len(clocks) == 1 else None
        clock = day(known) if known else "c.clock"
        age = f"datediff('day', e.day, {clock})"
        tests = [either(sources, "e.source"), f"e.day <= {clock}"]
        if back := reach(nodes):
            tests.append(f"e.day > {day(known - timedelta(days=back))}" if known else f"{age} < {back}")
        where = wrapped(f"where {' and '.join(tests)} and {patterns.condition(names(nodes), 'e.name')}")
        wanted = self.dated(*(f"e.{column}" for column in columns), f"{age} as age", of="c.")
        clauses = ["from events e", where] if known else ["from events e join clocks c on c.source = e.source", where]
        return nested(select(wanted, *clauses), "f")

"""Which rows of events count for a number, and how they are read and linked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scoring import patterns, rules
from scoring.plan import Node
from scoring.printer import Step, either, nested, wrapped

LINKED = "join links l on l.source = f.source and l.account_key = f.account_key"


def counts(node: Node, names: Iterable[str] | None = None, among: Sequence[str] = ()) -> str:
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


def sources(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted({source for node in nodes for source in node.own}))


def facts(columns: Sequence[str], nodes: Sequence[Node], sources: Sequence[str]) -> str:
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


@dataclass(frozen=True)
class Told:
    """What the first steps give, filled by each in turn: the joins that bring them together, and an expression per
    number (and per label) by its stem.
    """

    steps: list[Step] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

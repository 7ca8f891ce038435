"""Which numbers a scorecard needs: each measure at each time it is asked for, and the sources that can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from scoring import patterns, rules
from scoring.printer import of_source
from scoring.scorecard import Against, Measure, Scorecard


class Asked(NamedTuple):
    """The one day to score, and where the clock of each source that was read stands on it."""

    day: date
    clocks: Mapping[str, date]


class Range(NamedTuple):
    """Every day from first to last, both scored, and the day each source that was read has been read through.

    `often`: about how many facts of an account a source has, where that is known; results do not depend on it.
    """

    first: date
    last: date
    through: Mapping[str, date]
    often: Mapping[str, float] = MappingProxyType({})

    def begins(self, sources: Sequence[str]) -> date:
        """The first day that a clock of these sources stands on."""
        return min([self.first, *(self.through[source] for source in sources if source in self.through)])


@dataclass(frozen=True)
class Node:
    """A measure at one time: `shift` days before the clock day, over `window` days (None: all that was read).

    `over` is the measure it is divided by; `now` and `before` are what a comparison compares.
    """

    name: str
    measure: Measure
    shift: int
    window: int | None
    own: tuple[str, ...]
    over: Node | None = None
    now: Node | None = None
    before: Node | None = None

    def __hash__(self) -> int:
        return hash(self.stem)

    @cached_property
    def stem(self) -> str:
        """What its columns begin with; no measure's name holds two underscores in a row."""
        if self.window == self.measure.window:
            return self.name if self.shift == 0 else f"{self.name}__ago_{self.shift}"
        return f"{self.name}__ago_{self.shift}_for_{self.window}"

    @property
    def value(self) -> str:
        return f"{self.stem}__value"

    @property
    def top(self) -> str:
        """The column of the number before it is divided by another measure."""
        return f"{self.stem}__top" if self.over else self.value

    @cached_property
    def level(self) -> int:
        """0 comes from events; n from numbers of the levels below."""
        return 1 + max((inner.level for inner in self.inner), default=-1)

    @property
    def inner(self) -> tuple[Node, ...]:
        return tuple(node for node in (self.over, self.now, self.before) if node)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Every source that has a say in it, through what it is divided by and compared with too."""
        return tuple(sorted({*self.own, *(source for node in self.inner for source in node.sources)}))

    @property
    def pair(self) -> tuple[str, str]:
        """What a comparison compares, as SQL: now and before, by the day where the windows differ."""
        longer = self.measure.against and self.measure.against.longer
        now, before = (f"{node.value} / {node.window}" if longer else node.value for node in self.inner)
        return now, before

    @property
    def read(self) -> str:
        """The column that is 1 where its sources have read all of its days, and null where it cannot be known."""
        return of_source("__and__".join(self.own), f"{self.shift + (self.window or 1)}d")

    @property
    def known(self) -> str:
        """What that column is made of: the account is linked to a source, and all such were read."""
        links = [of_source(source, "linked") for source in self.own]
        read = [f"{of_source(source, 'days')} >= {self.shift + (self.window or 1)}" for source in self.own]
        if len(self.own) == 1:
            return f"case when {read[0]} then {links[0]} end"
        each = " and ".join(f"({link} is null or {one})" for link, one in zip(links, read, strict=True))
        return f"case when {each} then coalesce({', '.join(links)}) end"

    @cached_property
    def empty(self) -> str:
        """The test that nothing happened, where `absent` speaks: a known nothing, or zero over nothing."""
        if self.now:
            idle = dict.fromkeys([f"{self.now.value} = 0", self.now.empty])
            return f"{self.value} is null and ({' or '.join(idle)})"
        if self.measure.counting:
            return f"{self.top} = 0"
        told = f"{self.stem}__label" if self.measure.map else self.top
        nothing = f"({self.read} = 1 and {told} is null)" if self.own else "false"
        if self.over:
            return f"({nothing} or ({self.top} = 0 and coalesce({self.over.value}, 0) = 0))"
        return nothing

    def walk(self) -> Iterator[Node]:
        yield self
        for node in self.inner:
            yield from node.walk()


@dataclass(frozen=True)
class Scored:
    """A weighted measure and its place in the scorecard."""

    node: Node
    dimension: str
    weight: float

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True)
class Plan:
    """`read`: by name, the measures that rules read."""

    card: Scorecard
    sources: tuple[str, ...]
    scored: tuple[Scored, ...]
    read: Mapping[str, Node]
    nodes: tuple[Node, ...]
    asked: Asked | Range | None

    def level(self, level: int) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.level == level)


def plan(card: Scorecard, sources: Mapping[str, Sequence[str]], asked: Asked | Range | None) -> Plan:
    """`sources`: what each source can yield, as event-name patterns."""
    builder = _Builder(card, sources)
    scored = tuple(
        Scored(builder.node(name, 0), dimension, weight)
        for name, dimension, weight in sorted(
            (name, dimension, weight)
            for dimension, group in card.dimensions.items()
            for name, weight in group.measures.items()
        )
    )
    named = sorted({name for rule in card.rules.values() for name in rules.names(rule.when)})
    read = {name: builder.node(name, 0) for name in named}
    needed = [*(item.node for item in scored), *read.values()]
    nodes = {node.stem: node for one in needed for node in one.walk()}
    told = {source for node in nodes.values() for source in node.own}
    return Plan(card, tuple(sorted(told)), scored, read, tuple(nodes[stem] for stem in sorted(nodes)), asked)


@dataclass(frozen=True)
class _Builder:
    card: Scorecard
    sources: Mapping[str, Sequence[str]]

    def node(self, name: str, shift: int) -> Node:
        measure = self.card.measures[name]
        if measure.of is not None and measure.against is not None:
            return self._comparison(name, measure, measure.of, measure.against, shift)
        over = self.node(measure.over, shift) if isinstance(measure.over, str) else None
        return Node(name, measure, shift, measure.window, self._own(measure), over=over)

    def _comparison(self, name: str, measure: Measure, of: str, against: Against, shift: int) -> Node:
        base, now = self.card.measures[of], self.node(of, shift)
        if against.longer is not None:
            short = base.window or 0
            before = replace(now, shift=shift + short, window=against.longer - short)
        else:
            before = self.node(of, shift + (against.shift or base.window or 0))
        return Node(name, measure, shift, None, (), now=now, before=before)

    def _own(self, measure: Measure) -> tuple[str, ...]:
        """The sources that can tell; of what is open, those that would also tell of its closing."""
        wanted = [measure.events or (measure.from_ or ()) + (measure.to or ())]
        if measure.opens and measure.closes:
            wanted = [measure.opens, measure.closes]
        return tuple(
            sorted(s for s, names in self.sources.items() if all(patterns.any_overlap(w, names) for w in wanted))
        )

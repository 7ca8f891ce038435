"""From a scorecard to SQL: numbers, points, shares, the score, and the parts it is made of.

One row per account and day all the way, a column or two per measure, so that nothing has to be joined back together;
only `parts` turns the finished row into one row per measure. Terms that are added up are rounded to 2^-20, and the
last part that is there, by name, takes what rounding left over, so contributions add up to the score exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scoring import measures, rules
from scoring.plan import Asked, Plan, Scored, plan
from scoring.printer import (
    Stage,
    Step,
    double,
    filled,
    grid,
    listed,
    nested,
    number,
    of_source,
    on_grid,
    quoted,
    select,
    times,
    with_steps,
)
from scoring.scorecard import Scorecard

SCORES_BY, PARTS_BY = "account, as_of", "account, as_of, dimension, measure"
FRESH = 1  # a source may speak for yesterday and still be called live


@dataclass(frozen=True)
class Compiled:
    """`stages` in order, each to be kept as a table for those after it, so that no two of them are in memory at once.

    The last is `scored`, the wide row. `scores`, `parts` and `rules` read it; `parts` goes through it once for each
    measure. They come in no order; SCORES_BY and PARTS_BY are the one for people.

    `rules` has, for each rule of the scorecard, `<rule>__holds` (null where it cannot be known), and for a cap over a
    comparison what was compared: `<cap>__now` and `<cap>__before`. It is empty where the scorecard has no rules.
    """

    stages: tuple[Stage, ...]
    scores: str
    parts: str
    rules: str

    @property
    def tables(self) -> Iterator[Step]:
        """Each stage as one statement."""
        return (Step(stage[-1].name, with_steps(stage)) for stage in self.stages)

    def sql(self) -> str:
        """The whole as a script to read and run, over events, links, reads, days and scope (account, as_of)."""
        tables = "".join(f"create temp table {name} as\n{sql};\n\n" for name, sql in self.tables)
        rules = f"\n-- caps and watch flags\n{self.rules}\norder by {SCORES_BY};\n" if self.rules else ""
        return (
            f"{tables}-- one row per account and day\n{self.scores}\norder by {SCORES_BY};\n\n"
            f"-- one row per account, day and measure\n{self.parts}\norder by {PARTS_BY};\n{rules}"
        )


def compile(scorecard: Scorecard, sources: Mapping[str, Sequence[str]], asked: Asked | None = None) -> Compiled:
    """`sources`: the event names, or patterns, that each source can yield.

    `asked`: the day, when `days` is known to hold that one alone; then nothing older than needed is read. What comes
    out is the same.
    """
    wanted = plan(scorecard, sources, asked)
    facts = measures.told(wanted)
    scored = (
        *measures.steps(wanted, facts),
        Step("present", _present(wanted)),
        Step("weighed", _weighed(wanted)),
        Step("totals", _totals(wanted)),
        Step("rounded", _rounded(wanted)),
        Step("scored", _scored(wanted)),
    )
    return Compiled(((measures.clocks(),), *facts.stages, scored), _scores(wanted), _parts(wanted), _rules(wanted))


def _present(wanted: Plan) -> str:
    """Points that count: null once a source they come from is behind for longer than the hold."""
    fresh = {item: [of_source(source, "fresh") for source in item.node.sources] for item in wanted.scored}
    live = [f"{' * '.join([f'{item.name}__points', *fresh[item]])} as {item.name}__live" for item in wanted.scored]
    return select(filled(["*", *live]), "from pointed")


def _groups(wanted: Plan) -> Iterator[tuple[str, float, list[Scored]]]:
    for name, group in sorted(wanted.card.dimensions.items()):
        yield name, group.weight, [item for item in wanted.scored if item.dimension == name]


def _weighed(wanted: Plan) -> str:
    """Per dimension: the weight that has points, and the weighted points; live, and with stale ones at their last."""
    columns = []
    for name, _, items in _groups(wanted):
        for kind, points in (("live", "live"), ("last", "points")):
            weights = [f"case when {i.name}__{points} is null then 0 else {number(i.weight)} end" for i in items]
            terms = [f"coalesce({times(i.weight, f'{i.name}__{points}')}, 0)" for i in items]
            columns.append(f"nullif({double(' + '.join(weights))}, 0) as {name}__{kind}_weight")
            columns.append(f"{' + '.join(terms)} as {name}__{kind}_points")
    return select(filled(["*", *columns]), "from present")


def _totals(wanted: Plan) -> str:
    columns = []
    for kind in ("live", "last"):
        present = [
            f"case when {name}__{kind}_weight > 0 then {number(weight)} else 0 end"
            for name, weight, _ in _groups(wanted)
        ]
        columns.append(f"nullif({double(' + '.join(present))}, 0) as {kind}_weight")
    return select(filled(["*", *columns]), "from weighed")


def _rounded(wanted: Plan) -> str:
    groups = list(_groups(wanted))
    whole = number(sum(weight for _, weight, _ in groups))
    columns = []
    for kind in ("live", "last"):
        means = [
            f"coalesce({times(weight, f'{name}__{kind}_points')} / {name}__{kind}_weight, 0)"
            for name, weight, _ in groups
        ]
        columns.append(f"{grid('(' + ' + '.join(means) + f') / {kind}_weight')} as {kind}_score")
    weights, points = (_static(groups, column) for column in ("live_weight", "live_points"))
    columns.append(f"{grid(f'({weights}) / {whole}')} as coverage")
    columns.append(f"{grid(f'({points}) / {whole}')} as low")
    columns.append(f"{grid(f'({points} + 100 * ({whole} - ({weights}))) / {whole}')} as high")
    columns += [f"{number(weight)} / {name}__live_weight / live_weight as {name}__share" for name, weight, _ in groups]
    return select(filled(["*", *columns]), "from totals")


def _static(groups: Iterable[tuple[str, float, list[Scored]]], column: str) -> str:
    """What dimensions have of something, each by its share of the whole scorecard's weight."""
    return " + ".join(
        f"coalesce({times(weight, f'{name}__{column}')}, 0) / {number(sum(item.weight for item in items))}"
        for name, weight, items in groups
    )


def _scored(wanted: Plan) -> str:
    """What is kept of it all; the better of the two tiers, so that a source that stopped never worsens one."""
    card, items = wanted.card, wanted.scored
    best = "case when last_score > live_score then last_score else live_score end"
    tier = (
        f"case when live_score is null or coverage < {number(on_grid(card.coverage_floor))} then 'unscored'"
        f" when {best} >= {number(on_grid(card.tiers.green))} then 'green'"
        f" when {best} >= {number(on_grid(card.tiers.yellow))} then 'yellow' else 'red' end as tier"
    )
    last = " ".join(f"when {item.name}__live is not null then {quoted(item.name)}" for item in reversed(items))
    terms = [f"coalesce(floor({_part(item)} * 1048576 + 0.5), 0)" for item in items]
    kept = [f"{item.name}__{column}" for item in items for column in ("value", "points", "live")]
    kept += [f"{name}__share" for name, _, _ in _groups(wanted)]
    kept += [of_source(source, "behind") for source in wanted.sources]
    kept += [column for column in _read(wanted) if column not in kept]
    top = [
        "account, as_of, live_score, coverage, low, high",
        tier,
        f"{best} as best",
        f"{_held(wanted)} as held",
        f"case {last} end as last_part",
        f"({' + '.join(terms)}) / 1048576 as all_parts",
    ]
    return select(f"{listed(top)},\n  {filled(kept)}", "from rounded")


def _part(item: Scored) -> str:
    live = f"{item.name}__live"
    return f"{item.dimension}__share * {live if item.weight == 1 else f'({times(item.weight, live)})'}"


def _by_sources(wanted: Plan) -> dict[tuple[str, ...], list[Scored]]:
    """The measures by the sources that tell them: they are behind together."""
    groups: dict[tuple[str, ...], list[Scored]] = {}
    for item in wanted.scored:
        groups.setdefault(item.node.sources, []).append(item)
    return groups


def _behind(sources: tuple[str, ...]) -> str:
    columns = [of_source(source, "behind") for source in sources] or ["0"]
    return columns[0] if len(columns) == 1 else f"greatest({', '.join(columns)})"


def _held(wanted: Plan) -> str:
    return " or ".join(
        f"({_behind(sources)} > {FRESH} and coalesce({', '.join(f'{item.name}__live' for item in items)}) is not null)"
        for sources, items in _by_sources(wanted).items()
    )


def _scores(wanted: Plan) -> str:
    columns = [
        "account, as_of",
        "case when tier <> 'unscored' then live_score end as score",
        "tier, case when tier <> 'unscored' then best end as tier_score, coverage",
        "case when live_score < low then live_score else low end as low",
        "case when live_score > high then live_score else high end as high",
        "held",
    ]
    return select(listed(columns), "from scored")


def _read(wanted: Plan) -> Iterator[str]:
    """The columns that rules read."""
    for node in wanted.read.values():
        yield f"{node.stem}__label" if node.measure.map else node.value
        yield from (inner.value for inner in node.inner if node.now)


def _rules(wanted: Plan) -> str:
    card = wanted.card
    if not card.rules:
        return ""
    known = {
        name: rules.Column(f"{node.stem}__label", "word") if node.measure.map else rules.Column(node.value, "number")
        for name, node in wanted.read.items()
    }
    columns = ["account, as_of"]
    for name, rule in card.rules.items():
        columns.append(f"{rules.rebuild(rule.when, known)} as {name}__holds")
        compared = card.limits[name].compared if name in card.caps else None
        if compared:
            now, before = wanted.read[compared].pair
            columns.append(f"{now} as {name}__now, {before} as {name}__before")
    return select(listed(columns), "from scored")


def _parts(wanted: Plan) -> str:
    """The wide row as one row per measure; the last that is there takes what rounding left over."""
    long = nested("\nunion all\n".join(_row(wanted, item) for item in wanted.scored), "p")
    left = "case when measure = last_part then live_score - all_parts else 0 end"
    columns = [
        "account, as_of, dimension, measure, value, points",
        f"case when points is null then 0 else {grid('share * weight')} end as weight",
        f"case when tier <> 'unscored' then {grid('share * (weight * points)')} + {left} end as contribution",
        "case when last_points is null then 'missing' when points is null then 'stale'"
        f" when behind > {FRESH} then 'held' else 'live' end as state",
    ]
    return select(listed(columns), f"from {long}")


def _row(wanted: Plan, item: Scored) -> str:
    name = item.name
    columns = [
        f"{quoted(item.dimension)} as dimension, {quoted(name)} as measure, {number(item.weight)} as weight",
        f"{name}__value as value, {name}__points as last_points, {name}__live as points",
        f"{item.dimension}__share as share, {_behind(item.node.sources)} as behind",
        "account, as_of, tier, live_score, last_part, all_parts",
    ]
    return f"select {filled(columns)} from scored"

"""From a scorecard to SQL: numbers, points, shares, the score, and the parts it is made of.

One row per account and day all the way, a column or two per measure, so that nothing has to be joined back together;
only `parts` turns the finished row into one row per measure. Terms that are added up are rounded to 2^-20, and the
last part that is there, by name, takes what rounding left over, so contributions add up to the score exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scoring import measures, points, rules, shares, takes
from scoring.plan import Asked, Plan, Range, plan
from scoring.printer import Stage, Step, filled, select, with_steps
from scoring.scorecard import Scorecard

SCORES_BY, PARTS_BY = "account, as_of", "account, as_of, dimension, measure"


@dataclass(frozen=True)
class Compiled:
    """`stages` in order, each to be kept as a table for those after it, so that no two of them are in memory at once.

    The last is `scored`, the wide row. `scores`, `parts` and `rules` read it. They come in no order; SCORES_BY and
    PARTS_BY are the one for people.

    `rules` has, for each rule of the scorecard, `<rule>__holds` (null where it cannot be known), and for a cap over a
    comparison what was compared: `<cap>__now` and `<cap>__before`. It is empty where the scorecard has no rules.

    `totals`: the columns of `scored` that `scores` and `rules` read; the others are there for the parts.
    """

    stages: tuple[Stage, ...]
    scores: str
    parts: str
    rules: str
    totals: tuple[str, ...]

    @property
    def tables(self) -> Iterator[Step]:
        """Each stage as one statement."""
        return (Step(stage[-1].name, with_steps(stage)) for stage in self.stages)

    def sql(self) -> str:
        """The whole as a script to read and run, over events, links, reads, days and scope (account, as_of)."""
        tables = "".join(f"create temp table {name} as {sql};\n\n" for name, sql in self.tables)
        rules = f"\n-- caps and watch flags\n{self.rules} order by {SCORES_BY};\n" if self.rules else ""
        return (
            f"{tables}-- one row per account and day\n{self.scores} order by {SCORES_BY};\n\n"
            f"-- one row per account, day and measure\n{self.parts} order by {PARTS_BY};\n{rules}"
        )


def compile(scorecard: Scorecard, sources: Mapping[str, Sequence[str]], asked: Asked | Range | None = None) -> Compiled:
    """`sources`: the event names, or patterns, that each source can yield.

    `asked`: the day, when `days` is known to hold that one alone; then nothing older than needed is read. Or the range,
    when `days` holds every day of it; then each fact is read once for all of them. What comes out is the same.
    """
    wanted = plan(scorecard, sources, asked)
    facts = measures.told(wanted)
    numbers = tuple(measures.steps(wanted, facts))
    read = tuple(dict.fromkeys(_read(wanted)))
    scored = (*numbers, *points.steps(wanted, numbers[-1].name), *shares.steps(wanted, read))
    stages = ((measures.clocks(),), *facts.stages, scored)
    return Compiled(stages, _scores(wanted), shares.parts(wanted), _rules(wanted), (*shares.TOTALS, *read))


def told_apart(scorecard: Scorecard, sources: Mapping[str, Sequence[str]]) -> set[str]:
    """The sources of whose facts the moment and the id are read, not the day alone."""
    nodes = plan(scorecard, sources, None).nodes
    return {source for node in nodes if node.measure.take in takes.BY_MOMENT for source in node.own}


def _scores(wanted: Plan) -> str:
    columns = [
        "account, as_of",
        "case when tier <> 'unscored' then live_score end as score",
        "tier, case when tier <> 'unscored' then best end as tier_score, coverage",
        "case when live_score < low then live_score else low end as low",
        "case when live_score > high then live_score else high end as high",
        "held",
    ]
    return select(filled(columns), "from scored")


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
    return select(filled(columns), "from scored")

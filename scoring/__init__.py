"""Pure arithmetic: a scorecard in, SQL out. No input, output, clock or log."""

from scoring.change import Cause, Kind, View, causes, kinds, largest_first, reads, worth
from scoring.compile import PARTS_BY, SCORES_BY, Compiled, compile, told_apart
from scoring.explain import TREND_DAYS, Part, Reason, decision, joined, label, movement, reason, stands
from scoring.moves import Side, measure_moved, tenths, tier_moved
from scoring.plan import Asked, Range
from scoring.printer import Step
from scoring.scorecard import Cap, Dimension, Measure, Rule, Scorecard, Settle, Tiers
from scoring.segments import Segment, assignment
from scoring.settle import Standing

__all__ = [
    "PARTS_BY",
    "SCORES_BY",
    "TREND_DAYS",
    "Asked",
    "Cap",
    "Cause",
    "Compiled",
    "Dimension",
    "Kind",
    "Measure",
    "Part",
    "Range",
    "Reason",
    "Rule",
    "Scorecard",
    "Segment",
    "Settle",
    "Side",
    "Standing",
    "Step",
    "Tiers",
    "View",
    "assignment",
    "causes",
    "compile",
    "decision",
    "joined",
    "kinds",
    "label",
    "largest_first",
    "measure_moved",
    "movement",
    "reads",
    "reason",
    "stands",
    "tenths",
    "tier_moved",
    "told_apart",
    "worth",
]

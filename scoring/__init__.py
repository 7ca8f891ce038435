"""Pure arithmetic: a scorecard in, SQL out. No input, output, clock or log."""

from scoring.compile import PARTS_BY, SCORES_BY, Compiled, compile
from scoring.explain import Part, Reason, decision, movement, reason
from scoring.plan import Asked
from scoring.printer import Step
from scoring.scorecard import Cap, Dimension, Measure, Rule, Scorecard, Settle, Tiers
from scoring.settle import Standing

__all__ = [
    "PARTS_BY", "SCORES_BY", "Asked", "Cap", "Compiled", "Dimension", "Measure", "Part", "Reason", "Rule", "Scorecard",
    "Settle", "Standing", "Step", "Tiers", "compile", "decision", "movement", "reason",
]  # fmt: skip

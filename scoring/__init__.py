"""Pure arithmetic: a scorecard in, SQL out. No input, output, clock or log."""

from scoring.compile import PARTS_BY, SCORES_BY, Compiled, compile
from scoring.explain import Part, Reason, decision, movement, reason
from scoring.plan import Asked
from scoring.printer import Step
from scoring.scorecard import Dimension, Measure, Scorecard, Tiers

__all__ = [
    "PARTS_BY", "SCORES_BY", "Asked", "Compiled", "Dimension", "Measure", "Part", "Reason", "Scorecard", "Step",
    "Tiers", "compile", "decision", "movement", "reason",
]  # fmt: skip

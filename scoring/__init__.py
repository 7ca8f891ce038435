"""Pure arithmetic: a scorecard in, SQL out. No input, output, clock or log."""

from scoring.compile import Compiled, compile
from scoring.explain import Part, Reason, decision, movement, reason
from scoring.printer import Step
from scoring.scorecard import Dimension, Measure, Scorecard, Tiers

__all__ = [
    "Compiled", "Dimension", "Measure", "Part", "Reason", "Scorecard", "Step", "Tiers", "compile", "decision",
    "movement", "reason",
]  # fmt: skip

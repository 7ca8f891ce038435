"""Pure arithmetic: a scorecard in, SQL out. No input, output, clock or log."""

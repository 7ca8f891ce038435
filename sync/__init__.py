"""Moves things: settings, log, links, run, deliveries, state, daemon, command line."""

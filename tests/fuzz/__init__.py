"""Mutated vendors' bodies, settings and files, by the million: `python -m tests.fuzz --inputs 1000000 --seed 1`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.fuzz import files, vendors, words
from tests.fuzz.vendors import Tally


class Target(NamedTuple):
    """Something that is fed: `make` makes some inputs, looks what becomes of them, and raises on what may not be."""

    name: str
    share: float
    make: Callable[[Random, Path], Tally]


def _without_files(make: Callable[[Random], Tally]) -> Callable[[Random, Path], Tally]:
    return lambda random, _: make(random)


TARGETS = (
    Target("zendesk tickets", 12, _without_files(vendors.zendesk_tickets)),
    Target("zendesk events", 8, _without_files(vendors.zendesk_events)),
    Target("mixpanel export", 8, files.mixpanel_lines),
    Target("hubspot companies", 8, _without_files(vendors.hubspot_companies)),
    Target("hubspot writes", 8, _without_files(vendors.hubspot_writes)),
    Target("hubspot errors", 4, _without_files(vendors.hubspot_errors)),
    Target("salesforce records", 8, _without_files(vendors.salesforce_records)),
    Target("salesforce writes", 8, _without_files(vendors.salesforce_writes)),
    Target("salesforce bulk", 8, _without_files(vendors.salesforce_bulk)),
    Target("salesforce errors", 4, _without_files(vendors.salesforce_errors)),
    Target("csv events", 6, files.csv_events),
    Target("csv bytes", 0.5, files.csv_bytes),
    Target("csv accounts", 1, files.csv_accounts),
    Target("parquet events", 2, files.parquet_events),
    Target("parquet bytes", 0.4, files.parquet_bytes),
    Target("log facts", 4, files.log_facts),
    Target("settings", 0.3, words.settings),
    Target("scorecards", 0.3, words.scorecard),
    Target("rules", 3, words.rule),
)

"""`bellwether check`: everything that has to be right before the first run, a line each, with the remedy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions

from connectors.base import Finding
from connectors.errors import ConnectorError
from scoring import Scorecard
from scoring.patterns import any_overlap
from sync.database import reach
from sync.errors import StateError
from sync.settings import Settings
from sync.worker import Worker

OURS = ("config", "connectors", "scoring", "sync")


def findings(worker: Worker) -> Iterator[Finding]:
    """Look at everything, one thing failing never hiding the next."""
    yield from _shadowed()
    rules = worker.settings.accounts
    for name, destination in worker.destinations.items():
        home = name == worker.settings.home
        yield from _careful(
            name,
            lambda destination=destination, home=home: destination.check(  # type: ignore[misc]
                where=rules.where if home else "", attributes=rules.attributes if home else {}
            ),
        )
    for name, source in worker.sources.items():
        yield from _careful(name, source.check)
    yield from _mapped(worker)
    yield from _unfed(worker)


def first_needs(settings: Settings) -> Iterator[Finding]:
    """Before the first run: what stands in the way of the data folder and the database it will make."""
    there = next(folder for folder in (settings.data, *settings.data.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        yield Finding("data", False, f"{settings.data} cannot be made", "set data: to a folder of yours")
    try:
        reach(settings.state.get_secret_value())
    except StateError as error:
        yield Finding("state", False, str(error).removeprefix("state: "))


def _mapped(worker: Worker) -> Iterator[Finding]:
    """Corrections in the settings that point to no account; only to be known once accounts have been read."""
    accounts = {row.id for row in worker.state.accounts()}
    pairs = [(name, key, to) for name, keys in worker.settings.links.map.items() for key, to in keys.items()]
    for name, key, account in pairs if accounts else ():
        if account not in accounts:
            remedy = "write the id of an account; `bellwether scores` lists them"
            yield Finding("links.map", False, f"{name} {key}: no account has the id {account}", remedy)


def _careful(place: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except ConnectorError as error:
        yield Finding(place, False, str(error).removeprefix(f"{place}: "))


def _shadowed() -> Iterator[Finding]:
    """Our package names are common words: another distribution with one of them would be imported in our place."""
    installed = packages_distributions()
    for package in OURS:
        others = sorted({name for name in installed.get(package, ()) if name != "bellwether"})
        if others:
            yield Finding(
                "installation",
                False,
                f"the package {package} of {', '.join(others)} stands in the way of ours",
                "install Bellwether into a virtual environment of its own",
            )


def _unfed(worker: Worker) -> Iterator[Finding]:
    """Measures whose events no source can yield: they will always be missing."""
    card = worker.settings.scorecard
    named = f"{card.name} {card.version}"
    names = worker.basis((), worker.links(())).names
    if not all(names[source] for source in worker.sources):
        yield Finding("scorecard", True, f"{named}: which measures have a source is known after the first run")
        return
    lacking = unfed(card, {pattern for patterns in names.values() for pattern in patterns})
    told = f"no source yields the events of {', '.join(lacking)}; they stay missing and their weight is shared out"
    yield Finding("scorecard", True, f"{named}: {told if lacking else 'every measure has a source'}")


def unfed(scorecard: Scorecard, patterns: set[str]) -> list[str]:
    """The measures whose own events meet none of these names and patterns."""
    return [
        name
        for name, measure in scorecard.measures.items()
        if any(
            wanted and not any_overlap(wanted, patterns)
            for wanted in (measure.events, measure.opens, measure.closes, measure.from_, measure.to)
        )
    ]

"""`bellwether check`: everything that has to be right before the first run, a line each, with the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions

from connectors.base import Finding
from connectors.errors import ConnectorError
from scoring import Scorecard
from scoring.patterns import any_overlap
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
    yield from _unfed(worker)


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
    accounts = worker.state.accounts()
    names = worker.basis(accounts, worker.links(accounts)).names
    yield from unfed(worker.settings.scorecard, {pattern for patterns in names.values() for pattern in patterns})


def unfed(scorecard: Scorecard, patterns: set[str]) -> Iterator[Finding]:
    """One finding for a scorecard: all its measures are fed, or which are not."""
    missing = [
        name
        for name, measure in scorecard.measures.items()
        for wanted in (measure.events, measure.opens, measure.closes, measure.from_, measure.to)
        if wanted and not any_overlap(wanted, patterns)
    ]
    if missing:
        named = ", ".join(dict.fromkeys(missing))
        yield Finding(
            "scorecard",
            True,
            f"no source yields the events of {named}: these stay missing and their weight is shared out",
            "add a source or an attribute for them, or take them out of the scorecard",
        )
    else:
        yield Finding("scorecard", True, f"{scorecard.name} {scorecard.version}: every measure has a source")

"""`bellwether check`: everything that has to be right before the first run, a line each, with the remedy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import config
from config.loader import ConfigError, Document
from connectors.base import Finding
from connectors.errors import ConnectorError
from scoring import Measure, Scorecard
from scoring.lint import lint
from scoring.patterns import condition
from scoring.reach import segments
from scoring.remarks import Remark
from scoring.rules import rebuild
from sync.clocks import compared
from sync.console import many
from sync.database import reach
from sync.delta import one_row
from sync.errors import StateError, UsageError
from sync.scores import first_day
from sync.settings import Settings
from sync.worker import Worker

OURS = ("config", "connectors", "scoring", "sync")
RECENT = 90  # days in which some event should have met a `where`


def findings(worker: Worker) -> Iterator[Finding]:
    """Look at everything, one thing failing never hiding the next."""
    yield from _shadowed()
    yield from _clock(worker)
    rules = worker.settings.accounts
    for name, destination in worker.destinations.items():
        home = name == worker.settings.home
        where, attributes = (rules.where, rules.attributes) if home else ("", {})
        yield from _careful(name, partial(destination.check, where=where, attributes=attributes))
    for name, source in worker.sources.items():
        yield from _careful(name, source.check)
    yield from _mapped(worker)
    yield from _careful("scorecard", lambda: _scorecard(worker))


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
    accounts = {row.id for row in worker.state.accounts.members()}
    pairs = [(name, key, to) for name, keys in worker.settings.links.map.items() for key, to in keys.items()]
    for name, key, account in pairs if accounts else ():
        if account not in accounts:
            remedy = "write the id of an account; `bellwether scores` lists them"
            yield Finding("links.map", False, f"{name} {key}: no account has the id {account}", remedy)


def _careful(place: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except (ConnectorError, ConfigError) as error:
        yield Finding(place, False, str(error).removeprefix(f"{place}: "))


def _clock(worker: Worker) -> Iterator[Finding]:
    """This machine's clock, where no vendor's agrees with it."""
    said = list(compared(worker))
    if said and not any(right for right, _ in said):
        yield Finding("clock", False, said[0][1], "set it right: a pass refuses to date anything by it")


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


def _scorecard(worker: Worker) -> Iterator[Finding]:
    """What the linter says of the scorecards, each warning where it stands; they fail no check."""
    names = worker.basis((), ()).names
    known = all(names[source] for source in worker.sources)
    document = config.load(worker.settings.path, environment={})
    yield from _said(document, segments(worker.settings.segments))
    for score, cards in worker.settings.further.items():
        yield from _said(document, segments(cards.segments, ("scores", score)))
    files = chain.from_iterable(zip(*cards, strict=True) for cards in worker.settings.by_score().values())
    for card, file in {segment.card.version: (segment.card, file) for segment, file in files}.values():
        yield from _linted(worker, card, file, names if known else None)


def _linted(
    worker: Worker, card: Scorecard, file: Path | None, names: Mapping[str, Sequence[str]] | None
) -> Iterator[Finding]:
    said = list(lint(card, names, days=_days_read(worker), unmatched=_unmatched(worker, card)))
    yield from _said(_document(card, file), said)
    warned = many(len(said), "warning") if said else "nothing to warn of"
    later = "" if names else "; which measures have a source is known after the first run"
    yield Finding("scorecard", True, f"{card.name} {card.version}: {warned}{later}")


def _said(document: Document, remarks: Iterable[Remark]) -> Iterator[Finding]:
    for remark in remarks:
        yield Finding(document.place(remark.place), True, remark.message, remark.remedy)


def _document(card: Scorecard, file: Path | None) -> Document:
    """A scorecard as it was written."""
    found = config.load(file) if file else config.preset(card.name)
    if found is None:
        raise UsageError(f"scorecard: there is no preset {card.name} any more; name another")
    return found


def _days_read(worker: Worker) -> dict[str, int]:
    """How many days every source has been, or is being, read for."""
    zone, today = worker.settings.timezone, worker.today()
    return {r.source: (today - first_day(r.since, zone)).days + 1 for r in worker.readings() if r.since}


def _unmatched(worker: Worker, card: Scorecard) -> list[str]:
    """Measures whose events there are, while none of the last 90 days meets their `where`."""
    tests = {name: _meant(measure) for name, measure in card.measures.items() if measure.where}
    if not tests:
        return []
    since = worker.today() - timedelta(days=RECENT)
    sums = [f"count(*) filter (where {test})" for pair in tests.values() for test in pair]
    with worker.log.connect(spill=worker.spill) as connection:
        found = one_row(connection, f"select {', '.join(sums)} from events where day > date '{since}'")
    return [name for name, told, met in zip(tests, found[::2], found[1::2], strict=True) if told and not met]


def _meant(measure: Measure) -> tuple[str, str]:
    """The SQL tests for the events of a measure, and for those that meet its `where`."""
    named = condition(measure.events or measure.opens or ())
    return named, f"{named} and {rebuild(measure.where or '')}"

"""Pulses as facts: judgements that a scorecard weighs, in the log under a source of their own.

State has the word, the log the fact. A pass, which holds the lease, brings into the log what was given or withdrawn
since the last one, so that a person who judges waits for no daemon.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from connectors.base import Event, Page
from scoring import Measure, Scorecard
from scoring.patterns import any_overlap
from sync.erased import erased_of
from sync.links import Link
from sync.rows import AccountRow, Judgement, Reading
from sync.scores import midnight

if TYPE_CHECKING:
    from sync.worker import Worker

SOURCE = "judgements"  # no source or destination in the settings may be called so
NAME = "csm.pulse"  # of a pulse that is given no other
LOWEST, HIGHEST = 1.0, 10.0
CHUNK = 10_000  # on their way into the log at a time


def tell_log(worker: Worker) -> None:
    """Bring pulses that were given or withdrawn since into the log. The caller holds the lease.

    The log first and the mark afterwards: what is told twice changes nothing.
    """
    erased = erased_of(worker).keys_of(SOURCE)
    while pulses := worker.state.judgements.unlogged_pulses(CHUNK):
        events = [_event(pulse, worker.settings.timezone) for pulse in pulses]
        worker.log.append(SOURCE, Page(events=events), erased=erased)
        worker.state.judgements.mark_logged(pulses)


def _event(pulse: Judgement, zone: ZoneInfo) -> Event:
    """Dated at the beginning of its day, and as many microseconds later as tell the newest of a day to be its last."""
    at = midnight(pulse.day, zone) + timedelta(microseconds=pulse.id)
    value = None if pulse.withdrawn_on else pulse.value
    return Event(SOURCE, str(pulse.id), pulse.account, None, pulse.name or NAME, at, value)


def reading(worker: Worker) -> Reading:
    """Since ever and through now: nobody else has them."""
    names = worker.state.judgements.pulse_names() | {NAME}
    return Reading(SOURCE, None, None, worker.clock.now() + timedelta(microseconds=1), names)


def links(cards: Iterable[Scorecard], names: Iterable[str], accounts: Iterable[AccountRow]) -> Iterator[Link]:
    """Every account is its own key; none where no scorecard weighs a pulse, because there are as many as accounts."""
    if any(_takes(measure, names) for card in cards for measure in card.measures.values()):
        for account in accounts:
            yield Link(SOURCE, account.id, account.id, "crm_id")


def _takes(measure: Measure, names: Iterable[str]) -> bool:
    told = (measure.events, measure.opens, measure.closes, measure.from_, measure.to)
    return any(any_overlap(patterns, names) for patterns in told if patterns)


def aged(pulse: Judgement, cards: Iterable[Scorecard], today: date) -> dict[str, Any]:
    """How old a pulse is, and whether it is too old for every measure that weighs it."""
    age = (today - pulse.day).days
    measures = [measure for card in cards for measure in card.measures.values()]
    weighing = [measure for measure in measures if _takes(measure, [pulse.name or NAME])]
    return {"age_days": age, "stale": bool(weighing) and not any(_reaches(measure, age) for measure in weighing)}


def _reaches(measure: Measure, age: int) -> bool:
    beyond_window = measure.window is not None and age >= measure.window
    return not beyond_window and (measure.max_age is None or age <= measure.max_age)

"""Before anything is written: which of a destination's fields are not as they should be, and which are again.

What was wrong is kept in state. So a field that is mended gets every record's value at once, and not as each of them
changes or is refreshed; a field that is out is told by every pass, whether or not that has something to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from connectors.base import Drift, Write
from connectors.errors import SettingsWrong
from sync.deliveries import Planned, Round
from sync.report import Problem
from sync.worker import Worker

RENEWED = timedelta(days=30)  # what is kept of a lasting drift is written again, as old runs are forgotten
MEANS = {
    "left out": "nothing is written to it until that is mended",
    "blank": "accounts with that value show none until it is mended",
}


class Watch:
    """One delivery's look at the fields of its destination."""

    def __init__(self, worker: Worker, round_: Round) -> None:
        self._worker, self._destination, self._now = worker, round_.destination, round_.now
        self._kind = f"fields:{round_.destination.name}"
        last = worker.state.runs.last_finished(self._kind)
        self._noted = frozenset(last.report.get("wrong", ())) if last else frozenset()
        self._old = last is not None and self._now - last.started_at > RENEWED
        self.found: Sequence[Drift] = ()
        self.mended = False
        if self._noted:
            self.look()
            self.mended = bool(self._noted - wrong(self.found))

    def look(self) -> None:
        """At most one call a pass. Raises `SettingsWrong` when none of the fields can be written.

        Records that were refused are due again once our fields are described or named otherwise than when last looked.
        """
        try:
            self.found = self._destination.drift(since=self._now)
        except SettingsWrong as error:
            self._note(self._noted | {str(error)})
            raise
        self._note(self._noted | wrong(self.found))
        state, kept, shape = self._worker.state, f"shape/{self._destination.name}", self._destination.shape()
        if state.meta(kept) != shape:
            state.deliveries.retry([self._destination.name], now=self._now)
            state.set_meta(kept, shape)

    def usable(self, planned: Iterable[Planned]) -> list[Planned]:
        """What is planned without the fields that are left out: what they are known to hold stays known."""
        out = {one.field for one in self.found if one.effect == "left out"}
        return [item._replace(write=_without(item.write, out)) for item in planned]

    def done(self) -> None:
        """Every record was looked at: what is mended need not be remembered any longer."""
        if self._noted != wrong(self.found):
            self._note(wrong(self.found))

    def _note(self, texts: frozenset[str]) -> None:
        if texts == self._noted and not self._old:
            return
        self._worker.state.runs.note(self._kind, {"wrong": sorted(texts)}, self._now)
        self._noted, self._old = texts, False


def wrong(found: Iterable[Drift]) -> frozenset[str]:
    """What keeps values from the records, in words."""
    return frozenset(one.message for one in found if one.effect != "cut")


def problems(name: str, found: Iterable[Drift]) -> list[Problem]:
    """A line for each field that is not as it should be: which, what it is now, what follows, and the remedy."""
    return [
        Problem(f"destinations.{name}.fields.{one.field}", f"{one.message}; {MEANS[one.effect]}; {one.remedy}")
        for one in found
        if one.effect in MEANS
    ]


def _without(write: Write, out: Iterable[str]) -> Write:
    return Write(write.id, {key: value for key, value in write.fields.items() if key not in out})

"""A company whose clock is set forward from portion to portion, and which workers in other processes share."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

from connectors.clock import FastClock
from connectors.sandbox.faults import Profile
from tests.soak.company import START, Company

SPEED = 20.0  # so that a vendor's minute is three seconds
PAUSE = timedelta(minutes=70)  # between two portions: everything is due again
HISTORY = 40  # days of the company's past
EVENING, MORNING = 20, 2  # no portion reaches over midnight: with the day, scores change though nobody told anything


class Leaping:
    """Time that runs fast, and leaps ahead when told to."""

    def __init__(self, start: datetime) -> None:
        self.leap(start)

    def leap(self, moment: datetime) -> None:
        self.start, self.epoch = moment, time.time()
        self._clock = FastClock(moment, SPEED, self.epoch)

    def now(self) -> datetime:
        return self._clock.now()

    def sleep(self, seconds: float, stop: Event) -> bool:
        return self._clock.sleep(seconds, stop)

    def line(self, wrong: timedelta = timedelta()) -> str:
        """The settings by which another process has the same time, or one that is wrong by so much."""
        return f"clock: {{start: {(self.start + wrong).isoformat()}, speed: {SPEED:g}, epoch: {self.epoch!r}}}\n"


class Leapt:
    """A company, its clock, and its portions; `moments` are those that began so far."""

    def __init__(
        self, folder: Path, *, accounts: int, seed: int, more: str = "", faults: str | Profile = "none"
    ) -> None:
        self.clock, self.moments = Leaping(START), list[datetime]()
        self.company = Company(
            folder, clock=self.clock, accounts=accounts, seed=seed, faults=faults, history=HISTORY, more=more
        )
        self._text = self.company.path.read_text(encoding="utf-8") + "daemon: {pull_budget: 5d}\n"
        self._write()

    @property
    def path(self) -> Path:
        return self.company.path

    def begin(self) -> None:
        """The next portion."""
        moment = max(self.moments[-1] + PAUSE, self.clock.now()) if self.moments else START
        if moment.hour >= EVENING or moment.hour < MORNING:
            moment = (moment + timedelta(hours=24 - EVENING)).replace(hour=MORNING, minute=0, second=0, microsecond=0)
        self.leap(moment)
        self.company.tell(moment)
        self.moments.append(moment)

    def leap(self, moment: datetime) -> None:
        """Set the clock, for the vendors and for the workers that begin from now on."""
        self.clock.leap(moment)
        self._write()

    def mistaken(self, by: timedelta) -> None:
        """The workers that begin from now on have a clock that is wrong by so much; the vendors do not."""
        self._write(by)

    def _write(self, wrong: timedelta = timedelta()) -> None:
        self.path.write_text(self._text + self.clock.line(wrong), encoding="utf-8")

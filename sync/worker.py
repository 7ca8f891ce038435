"""The composition root: everything a pass needs, built once from the settings and handed down."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from connectors.base import Account, Destination, Key, Source, Tools
from connectors.clock import Clock
from sync import pulses
from sync.errors import StateError, UsageError
from sync.history import History
from sync.links import Link, Linked, Links, Unsure, gathered, worked_out
from sync.log import Log
from sync.rows import AccountRow, Reading
from sync.salt import hashed_under, salt_of
from sync.scores import Basis
from sync.settings import Connector, Settings, clock_of
from sync.state import State


@dataclass(frozen=True)
class Worker:
    """The parts of one running worker. `stop` ends every wait; `home` is one of `destinations`.
    `salted` hashes a text under the salt.

    `stood_on`: what the last pass that went well was worked out from, so that the next can tell whether it is needed.
    `resting`: until when a daemon leaves a destination alone (`accounts:` before its name: reads no directory of it),
    since its allowance of calls is used up.
    """

    settings: Settings
    clock: Clock
    stop: threading.Event
    state: State
    log: Log
    history: History
    sources: Mapping[str, Source]
    destinations: Mapping[str, Destination]
    salted: Callable[[str], str]
    stood_on: dict[str, object] = field(default_factory=dict)
    resting: dict[str, datetime] = field(default_factory=dict)

    @property
    def home(self) -> Destination:
        return self.destinations[self.settings.home]

    @property
    def spill(self) -> Path:
        return self.settings.data / "spill"

    def today(self) -> date:
        """The day it is now, where the settings are."""
        return self.settings.day(self.clock.now())

    def links(self, accounts: Sequence[AccountRow], *, removed: bool = False) -> Links:
        """All links as of now, and what could not be linked, from what the directories last said.

        `removed`: also of sources that are no longer in the settings.
        """
        return gathered(self._worked_out(accounts, removed=removed))

    def linked(self, accounts: Sequence[AccountRow]) -> Linked:
        """All links as of now."""
        return Linked(lambda: (one for one in self._worked_out(accounts) if isinstance(one, Link)))

    def _worked_out(self, accounts: Sequence[AccountRow], *, removed: bool = False) -> Iterator[Link | Unsure]:
        key_is = {name: source.key_is for name, source in self.sources.items()}
        key_is |= {name: "own" for name in self.destinations if name != self.settings.home}
        key_is[self.settings.home] = "crm_id"
        merged = self.state.deliveries.merged(self.settings.home)
        found = worked_out(
            accounts,
            self.state.keys.all() if removed else (key for source in key_is for key in self.state.keys.all(source)),
            key_is=key_is,
            explicit=self._explicit(),
            shared_domains=self.settings.links.shared_domains,
            merged=merged,
        )
        # attributes are facts of one record: those of a record that is gone say nothing of the one that stayed
        gone = {(self.settings.home, key) for key in merged}
        return (one for one in found if isinstance(one, Unsure) or (one.source, one.key) not in gone)

    def _explicit(self) -> Mapping[str, Mapping[str, str]]:
        """The links that the settings name; of a company that was merged, also for the one that it went into."""
        named = self.settings.links.map
        merged = {name: self.state.deliveries.merged(name) for name in self.destinations.keys() & named.keys()}
        return {
            name: {**{into: pairs[gone] for gone, into in merged.get(name, {}).items() if gone in pairs}, **pairs}
            for name, pairs in named.items()
        }

    def readings(self) -> list[Reading]:
        """How far each configured system is read; one that was taken out of the settings no longer speaks."""
        return [
            reading for reading in self.state.readings.all() if reading.source in {*self.sources, self.settings.home}
        ]

    def basis(self, accounts: Sequence[AccountRow], links: Iterable[Link]) -> Basis:
        """What a scoring stands on now."""
        readings = self.readings()
        names = {reading.source: tuple(sorted(reading.names)) for reading in readings}
        for name, source in self.sources.items():
            names[name] = tuple(sorted({*source.names, *names.get(name, ())}))
        names[self.settings.home] = tuple(self.settings.accounts.attributes)
        judged, settings = pulses.reading(self), self.settings
        names[pulses.SOURCE] = tuple(sorted(judged.names))
        linked = Linked(lambda: chain(links, pulses.links(settings.cards.values(), judged.names, accounts)))
        further = {name: cards.segments for name, cards in settings.further.items()}
        read, zone = [*readings, judged], settings.timezone
        return Basis(settings.segments, settings.home, accounts, linked, read, names, zone, further)


@contextmanager
def opened(settings: Settings, *, clock: Clock | None = None, stop: threading.Event | None = None) -> Iterator[Worker]:
    """Build a worker and close it again. Raises `StateError` and `ConnectorError`."""
    with private(), _opened(settings, clock, stop) as worker:
        yield worker


@contextmanager
def _opened(settings: Settings, clock: Clock | None, stop: threading.Event | None) -> Iterator[Worker]:
    clock = clock or clock_of(settings)
    stop = stop or threading.Event()
    _make_folders(settings)
    state = State(settings.state.get_secret_value())
    made: list[Any] = [state]
    try:
        salted = hashed_under(salt_of(settings, state))
        tools = replace(_tools(settings, salted, clock, stop), stand=state.stand, notes=Notes(state))
        sources = {name: _build(entry, tools, made) for name, entry in settings.sources.items()}
        destinations = {name: _build(entry, tools, made) for name, entry in settings.destinations.items()}
        log = Log(settings.data / "log", timezone=settings.timezone, clock=clock, guard=state.holding)
        made.append(log)
        history = History(settings.data / "history", guard=state.holding)
        made.append(history)
        yield Worker(settings, clock, stop, state, log, history, sources, destinations, salted)
    finally:
        for part in reversed(made):
            part.close()


@contextmanager
def private() -> Iterator[None]:
    """Whatever is made meanwhile, by whichever library, is its owner's only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def begun_or_refused(settings: Settings) -> Settings:
    """The settings, if a run has ever begun; a command that only looks makes nothing. Raises `UsageError`."""
    if not begun(settings):
        raise UsageError(f"nothing has been read yet into {settings.data}; begin with `bellwether run`")
    return settings


def begun(settings: Settings) -> bool:
    """Whether a run has ever begun: there is something to look at."""
    url = settings.state.get_secret_value()
    if url.startswith("sqlite:"):
        return Path(url.removeprefix("sqlite:///")).is_file()
    return any((settings.data / name).exists() for name in ("log", "salt", "spool"))


def as_key(name: str, account: Account) -> Key:
    """A record of a destination that is not the home: an entry of another directory."""
    return Key(name, account.id, account.name, account.domains, account.refs)


def _make_folders(settings: Settings) -> None:
    for folder in (settings.data, settings.data / "spool", settings.data / "spill"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"{folder} cannot be made ({error.strerror}); set data: to a folder of yours") from None


def _build(entry: Connector, tools: Tools, made: list[Any]) -> Any:
    built = entry.cls(entry.name, entry.settings, tools)
    made.append(built)
    return built


class Notes:
    """What connectors remember, in state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, name: str, /) -> Any:
        return self._state.meta(f"notes.{name}")

    def __setitem__(self, name: str, value: Any, /) -> None:
        self._state.set_meta(f"notes.{name}", value)


def _tools(settings: Settings, salted: Callable[[str], str], clock: Clock, stop: threading.Event) -> Tools:
    return Tools(clock, stop, salted, settings.timezone, settings.data / "spool", settings.root, settings.fields)

"""What the worker is told: the form of every section of the settings file, and the whole of it once it was read.

Secrets are `SecretStr` here and in the connectors' own models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from connectors.base import FIELDS, fields_of
from connectors.base import Field as Ours
from connectors.clock import Clock, FastClock, SystemClock
from scoring import Scorecard, Segment
from sync.rows import HEALTH

_DURATION = re.compile(r"([0-9]{1,9})\s*([smhdw])\Z")
_LONGEST = timedelta(days=36_600)
LONGEST_AUTHOR = 80  # characters
MOST_SCORES = 10  # besides health
FASTEST = 1_000_000  # times as fast as real time that a simulated clock may go
DEFAULT_CARD = "saas"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(text: object) -> timedelta:
    """`15m`, `6h`, `7d`: a number and one of s, m, h, d, w."""
    found = _DURATION.match(str(text).strip())
    if not found:
        raise ValueError("write a number and a unit: 30s, 15m, 6h, 7d or 2w")
    length = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if length > _LONGEST:
        raise ValueError("must be at most a hundred years")
    return length


def _zone(name: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone; write a name such as UTC, Europe/Berlin or America/New_York") from None


def _positive(length: timedelta) -> timedelta:
    if not length:
        raise ValueError("must be longer than nothing")
    return length


Duration = Annotated[timedelta, BeforeValidator(duration), AfterValidator(_positive)]
Zone = Annotated[ZoneInfo, BeforeValidator(_zone)]
NAME = r"^[a-z0-9_]{1,32}$"
_TAKEN = {HEALTH, "account", "scores", "parts", *(field.key for field in FIELDS)}


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise ValueError("a name is at most 32 of a-z, 0-9 and _")
    return text


def score_name(text: str) -> str:
    """What a further score may be called: its fields in every CRM begin with it. Raises `ValueError`."""
    if len(text) > 20 or not re.fullmatch(r"[a-z](_?[a-z0-9])*", text):
        raise ValueError("a score is called by at most 20 of a-z, 0-9 and single _, beginning with a letter")
    if text in _TAKEN:
        raise ValueError(f"{text} is a word of ours; call the score otherwise")
    return text


Name = Annotated[str, AfterValidator(_name)]
ScoreName = Annotated[str, AfterValidator(score_name)]
Author = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_AUTHOR)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Accounts(_Model):
    """Which records of the home system are customers, and what else is read from them."""

    where: str = Field(default="", max_length=4000)
    attributes: dict[str, str] = {}
    every: Duration = timedelta(days=1)
    on_leave: Literal["clear", "keep"] = "clear"


class Links(_Model):
    """Corrections to the matching of keys to accounts."""

    map: dict[Name, dict[str, str]] = {}
    shared_domains: list[str] = []


class Delivery(_Model):
    """How scores reach the destinations. `limit`: write to this many accounts only, for a pilot.

    Of a vendor's daily limit of calls `share` is what this worker may use, and `leave` what it leaves to others.
    """

    limit: int | None = Field(default=None, ge=1)
    dead_band: float = Field(default=1.0, ge=0, le=100, allow_inf_nan=False)
    refresh: Duration = timedelta(days=7)
    attempts: int = Field(default=8, ge=1, le=100)
    share: float = Field(default=0.5, gt=0, le=1, allow_inf_nan=False)
    leave: float = Field(default=0.1, ge=0, lt=1, allow_inf_nan=False)


class Daemon(_Model):
    """How often the worker looks for something due, and where it answers questions about itself."""

    every: Duration = timedelta(minutes=5)
    pull_budget: Duration = timedelta(minutes=2)
    host: str = "127.0.0.1"
    port: int = Field(default=8787, ge=0, le=65535)
    token: SecretStr | None = None


class Simulated(_Model):
    """A simulated clock, shared with the sandbox: `speed` times as fast, from `start`, begun at `epoch`."""

    start: AwareDatetime
    speed: float = Field(gt=0, le=FASTEST)
    epoch: float = Field(ge=0, le=1e10)


class Entry(_Model):
    """What every source and destination may say; the rest belongs to its connector."""

    kind: str | None = None


class SourceEntry(Entry):
    """What every source may say besides."""

    every: Duration = timedelta(hours=1)
    backfill: Duration = timedelta(days=400)


class DestinationEntry(Entry):
    """What every destination may say besides; see `Delivery`."""

    share: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    leave: float | None = Field(default=None, ge=0, lt=1, allow_inf_nan=False)


class Judgements(_Model):
    """What a person may say of an account: for how long, and who (anybody where no `authors` are named).

    `edited_score`: a score that a person changes in a CRM counts as an override to the tier in which it lies.
    """

    longest: Duration = timedelta(days=365)
    default: Duration = timedelta(days=30)
    authors: list[Author] = []
    edited_score: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.default > self.longest:
            raise ValueError("default is longer than longest; make one of them fit the other")
        return self


class Card(_Model):
    """A scorecard, a preset or a file, and the accounts it is for; the last is for all others."""

    use: str
    when: str = ""


def _cards(given: Any) -> Any:
    """A name alone is a scorecard for everybody, or in a list one without a rule."""
    cards = [given] if isinstance(given, str | dict) else given
    return [{"use": card} if isinstance(card, str) else card for card in cards] if isinstance(cards, list) else cards


Cards = Annotated[tuple[Card, ...], BeforeValidator(_cards), Field(min_length=1, max_length=20)]


class File(_Model):
    timezone: Zone = ZoneInfo("UTC")
    data: str = "bellwether-data"
    state: SecretStr | None = None
    salt: SecretStr | None = None
    home: Name
    accounts: Accounts = Accounts()
    sources: dict[Name, dict[str, Any]] = {}
    destinations: dict[Name, dict[str, Any]] = {}
    scorecard: Cards = (Card(use=DEFAULT_CARD),)
    scores: Annotated[dict[ScoreName, Cards], Field(max_length=MOST_SCORES)] = {}
    links: Links = Links()
    delivery: Delivery = Delivery()
    judgements: Judgements = Judgements()
    daemon: Daemon = Daemon()
    clock: Simulated | None = None


@dataclass(frozen=True)
class Connector:
    """A configured source or destination: its connector's class and settings.

    How often a source is read, and how far back at first; a destination goes by `accounts.every`. `share` and `leave`
    of a destination go before those of all (see `Delivery`).
    """

    name: str
    kind: str
    cls: type[Any]
    settings: BaseModel
    every: timedelta = timedelta()
    backfill: timedelta = timedelta()
    share: float | None = None
    leave: float | None = None


class Share(NamedTuple):
    """Of a vendor's daily limit of calls: the part that this worker may use, and the part that it never touches."""

    share: float
    leave: float


class Cardset(NamedTuple):
    """The scorecards of one score, each for the accounts that meet its rule. `files`: as `Settings.card_files`."""

    segments: tuple[Segment, ...]
    files: tuple[Path | None, ...]


@dataclass(frozen=True)
class Settings:
    """Everything the worker is told. Paths are absolute.

    `segments`: the scorecards, each for the accounts that meet its rule. `card_files`: where each stands, None for a
    preset. `refused`: why one is not the one in use, a sentence a file; `load` refuses such settings, `reread` goes on
    with the last good one. `further`: the scorecards of other scores than health, by the score's name.
    """

    path: Path
    timezone: ZoneInfo
    data: Path
    state: SecretStr
    salt: SecretStr | None
    home: str
    accounts: Accounts
    sources: Mapping[str, Connector]
    destinations: Mapping[str, Connector]
    segments: tuple[Segment, ...]
    links: Links
    delivery: Delivery
    judgements: Judgements
    daemon: Daemon
    clock: Simulated | None
    card_files: tuple[Path | None, ...] = (None,)
    refused: tuple[str, ...] = ()
    further: Mapping[str, Cardset] = field(default_factory=dict)

    @property
    def scorecard(self) -> Scorecard:
        """The scorecard of all accounts that no rule gives to another."""
        return self.segments[-1].card

    @cached_property
    def cards(self) -> Mapping[str, Scorecard]:
        """The scorecards by version."""
        return {segment.card.version: segment.card for _, segment in self.used()}

    @property
    def fields(self) -> tuple[Ours, ...]:
        """The fields that records have."""
        return fields_of(self.further)

    def by_score(self) -> dict[str, Cardset]:
        """The scorecards of every score."""
        return {HEALTH: Cardset(self.segments, self.card_files), **self.further}

    def share(self, destination: str) -> Share:
        """What may be called of a destination in a day."""
        own, rules = self.destinations[destination], self.delivery
        return Share(rules.share if own.share is None else own.share, rules.leave if own.leave is None else own.leave)

    def used(self) -> Iterator[tuple[str, Segment]]:
        """Every scorecard with its score."""
        yield from ((score, segment) for score, cards in self.by_score().items() for segment in cards.segments)

    def day(self, moment: datetime) -> date:
        """The day of a moment, where the settings are."""
        return moment.astimezone(self.timezone).date()

    @property
    def root(self) -> Path:
        """The folder that relative paths in the settings start from."""
        return self.path.parent


def clock_of(settings: Settings) -> Clock:
    """The clock that the settings ask for: the machine's, or a simulated one that several processes share."""
    simulated = settings.clock
    return FastClock(simulated.start, simulated.speed, simulated.epoch) if simulated else SystemClock()


def moment(text: str, zone: ZoneInfo) -> datetime:
    """A day or a moment as a person writes it, in `zone` when it names none."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)

"""The settings file: what this room is told, and every connector's own part, put together.

A validation path becomes one line with file, line, key and what to do. Secrets are `SecretStr` in the connectors'
models; no message here repeats a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, get_args
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from rapidfuzz import process

import config
from config.loader import ConfigError, Document, Loc
from connectors import DESTINATIONS, SOURCES, Kind
from connectors.base import FIELDS, fields_of
from connectors.base import Field as Ours
from connectors.clock import Clock, FastClock, SystemClock
from scoring import Scorecard, Segment
from scoring.segments import check as check_rule
from sync import pulses
from sync.rows import HEALTH

_DURATION = re.compile(r"([0-9]{1,9})\s*([smhdw])\Z")
_LONGEST = timedelta(days=36_600)
LONGEST_AUTHOR = 80  # characters
MOST_SCORES = 10  # besides health
FASTEST = 1_000_000  # times as fast as real time that a simulated clock may go
DEFAULT_CARD = "saas"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class SettingsError(Exception):
    """The settings cannot be used; `lines` holds one sentence per mistake, with its place and remedy."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        super().__init__("\n".join(lines))


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
_NAME = r"^[a-z0-9_]{1,32}$"
_TAKEN = {HEALTH, "account", "scores", "parts", *(field.key for field in FIELDS)}


def _name(text: str) -> str:
    if not re.fullmatch(_NAME, text):
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
M = TypeVar("M", bound=BaseModel)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Accounts(_Model):
    """Which records of the home system are customers, and what else is read from them."""

    where: str = Field("", max_length=4000)
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

    limit: int | None = Field(None, ge=1)
    dead_band: float = Field(1.0, ge=0, le=100, allow_inf_nan=False)
    refresh: Duration = timedelta(days=7)
    attempts: int = Field(8, ge=1, le=100)
    share: float = Field(0.5, gt=0, le=1, allow_inf_nan=False)
    leave: float = Field(0.1, ge=0, lt=1, allow_inf_nan=False)


class Daemon(_Model):
    """How often the worker looks for something due, and where it answers questions about itself."""

    every: Duration = timedelta(minutes=5)
    pull_budget: Duration = timedelta(minutes=2)
    host: str = "127.0.0.1"
    port: int = Field(8787, ge=0, le=65535)
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

    share: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    leave: float | None = Field(None, ge=0, lt=1, allow_inf_nan=False)


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


class _File(_Model):
    timezone: Zone = ZoneInfo("UTC")
    data: str = "bellwether-data"
    state: SecretStr | None = None
    salt: SecretStr | None = None
    home: Name
    accounts: Accounts = Accounts()  # type: ignore[call-arg]
    sources: dict[Name, dict[str, Any]] = {}
    destinations: dict[Name, dict[str, Any]] = {}
    scorecard: Cards = (Card(use=DEFAULT_CARD),)
    scores: Annotated[dict[ScoreName, Cards], Field(max_length=MOST_SCORES)] = {}
    links: Links = Links()
    delivery: Delivery = Delivery()  # type: ignore[call-arg]
    judgements: Judgements = Judgements()
    daemon: Daemon = Daemon()  # type: ignore[call-arg]
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

    @property
    def root(self) -> Path:
        """The folder that relative paths in the settings start from."""
        return self.path.parent


def load(path: Path, *, regardless: bool = False) -> Settings:
    """Read and check a settings file with the environment and a `.env` beside it. Raises `SettingsError`.

    `regardless`: for what asks nothing of the scorecard. One that cannot be used is then only told of, in `refused`,
    and the default stands in its place.
    """
    if path.is_dir():
        raise SettingsError([f"{path} is a folder; name the settings file in it"])
    if not path.is_file():
        raise SettingsError([f"{path} is not there; `bellwether init` writes a starter settings file"])
    try:
        document = config.load(path, environment={**_dotenv(path.parent / ".env"), **os.environ})
    except ConfigError as error:
        raise SettingsError(str(error).split("\n")) from None
    return _assemble(path.resolve(), document, regardless=regardless)


def reread(settings: Settings) -> Settings:
    """The settings with the scorecards as their files say them now, or with the last good one and why in `refused`."""
    if not any(file for cards in settings.by_score().values() for file in cards.files):
        return settings
    refused: list[str] = []
    segments = _reread(Cardset(settings.segments, settings.card_files), refused).segments
    further = {name: _reread(cards, refused) for name, cards in settings.further.items()}
    return replace(settings, segments=segments, further=further, refused=tuple(refused))


def _reread(cards: Cardset, refused: list[str]) -> Cardset:
    segments = []
    for segment, file in zip(*cards, strict=True):
        card = segment.card
        try:
            card = _read_scorecard(file) if file else card
        except SettingsError as error:
            serving = f"{card.name} {card.version}"
            refused.append(f"{_in_short(error.lines)}; until that is mended {serving} goes on")
        segments.append(segment._replace(card=card))
    return Cardset(tuple(segments), cards.files)


def _in_short(mistakes: list[str]) -> str:
    more = len(mistakes) - 1
    return f"{mistakes[0]} (and {more} more: `bellwether check` names them)" if more else mistakes[0]


def clock_of(settings: Settings) -> Clock:
    """The clock that the settings ask for: the machine's, or a simulated one that several processes share."""
    simulated = settings.clock
    return FastClock(simulated.start, simulated.speed, simulated.epoch) if simulated else SystemClock()


def _dotenv(path: Path) -> dict[str, str]:
    try:
        return {key: value for key, value in dotenv_values(path).items() if value is not None}
    except OSError as error:
        raise SettingsError([f"{path} cannot be read ({error.strerror}); give this user access to it"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{path} is not UTF-8; save it as UTF-8"]) from None


def _assemble(path: Path, document: Document, *, regardless: bool) -> Settings:
    mistakes = list(document.missing.values())
    file = _valid(_File, document.values, (), document, mistakes)
    sources = _connectors("sources", SOURCES, SourceEntry, document, mistakes)
    destinations = _connectors("destinations", DESTINATIONS, DestinationEntry, document, mistakes)
    if file is not None:
        mistakes += _cross_checks(file, document, destinations)
    refused: list[str] = []
    cards, further = _scorecards(file, path, document, refused) if file else (Cardset((), ()), {})
    if not regardless:
        mistakes += refused
    if mistakes or file is None:
        raise SettingsError(mistakes)
    if refused:
        cards, _ = _scorecards(_File(home=file.home), path, document, [])
        further = dict.fromkeys(further, cards)
    data = (path.parent / file.data).resolve()
    return Settings(
        path=path,
        timezone=file.timezone,
        data=data,
        state=_state_url(file.state, path.parent, data),
        salt=file.salt,
        home=file.home,
        accounts=file.accounts,
        sources=sources,
        destinations=destinations,
        segments=cards.segments,
        links=file.links,
        delivery=file.delivery,
        judgements=file.judgements,
        daemon=file.daemon,
        clock=file.clock,
        card_files=cards.files,
        refused=(_in_short(refused),) if refused else (),
        further=further,
    )


def _state_url(given: SecretStr | None, folder: Path, data: Path) -> SecretStr:
    """Where state is kept; the path of an SQLite file starts from the settings' folder like every other."""
    url = given.get_secret_value() if given else f"sqlite:///{data / 'state.db'}"
    name = url.removeprefix("sqlite:///")
    return SecretStr(f"sqlite:///{(folder / name).resolve()}" if name != url and name else url)


def _connectors(
    section: str, registry: Mapping[str, Kind], model: type[Entry], document: Document, mistakes: list[str]
) -> dict[str, Connector]:
    """The connectors of a section, whatever else is wrong with the file: mistakes are told all at once."""
    built, fields = {}, fields_of(_scores(document.values))
    for name, given in _entries(document.values, section):
        here = (section, name)
        entry = _valid(model, {key: given[key] for key in given if key in model.model_fields}, here, document, mistakes)
        kind = str(given.get("kind") or name)
        if kind not in registry:
            known, place = ", ".join(registry), document.place((*here, "kind"))
            mistakes.append(f"{place}: there is no connector {_shown(kind)}; write kind: and one of {known}")
            continue
        cls, theirs = registry[kind].load()
        rest = {key: given[key] for key in given if key not in model.model_fields}
        settings = _valid(theirs, rest, here, document, mistakes, also=model, context=fields)
        if entry is not None and settings is not None:
            built[name] = Connector(name, kind, cls, settings, **entry.model_dump(exclude={"kind"}))
    return built


def _entries(values: Any, section: str) -> Iterator[tuple[str, dict[Any, Any]]]:
    """The entries of a section that are of the right form; the others are told of by the file's own model."""
    found = values.get(section) if isinstance(values, dict) else None
    for name, given in found.items() if isinstance(found, dict) else ():
        if isinstance(given, dict) and isinstance(name, str) and re.fullmatch(_NAME, name):
            yield name, given


def _scores(values: Any) -> list[str]:
    """The names of the further scores, whatever else is wrong with them."""
    found = values.get("scores") if isinstance(values, dict) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, dict) else []


def _valid(
    model: type[M],
    values: Any,
    loc: Loc,
    document: Document,
    mistakes: list[str],
    also: type[BaseModel] | None = None,
    context: tuple[Ours, ...] = FIELDS,
) -> M | None:
    """The model of these values; or None, with the reasons among the mistakes. `context`: the fields of records."""
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        mistakes += _lines(error, document, loc, model, also=also)
        return None


def _cross_checks(file: _File, document: Document, destinations: Mapping[str, Connector]) -> Iterator[str]:
    if file.home not in file.destinations:
        known = ", ".join(file.destinations) or "none yet"
        yield f"{document.place(('home',))}: no destination is called {file.home} (there are: {known})"
    elif file.home in destinations and destinations[file.home].kind != "file" and not file.accounts.where:
        yield (
            f"{document.place(('accounts', 'where'))}: say which records are customers, "
            'for example "Type = \'Customer\'" or "lifecyclestage = customer"'
        )
    for name in file.sources:
        if name in file.destinations:
            yield f"{document.place(('sources', name))}: a destination has this name too; call one of them otherwise"
    for section, names in (("sources", file.sources), ("destinations", file.destinations)):
        if pulses.SOURCE in names:
            yield f"{document.place((section, pulses.SOURCE))}: what people judge goes by this name; choose another"
    for name in file.links.map:
        if name not in file.sources and name not in file.destinations:
            yield f"{document.place(('links', 'map', name))}: no source or destination has this name"
    if "%" in file.data:
        yield f"{document.place(('data',))}: a folder with a % in its name cannot hold the log; choose another"
    loopback = file.daemon.host in ("127.0.0.1", "::1", "localhost")
    if not loopback and file.daemon.token is None:
        yield f"{document.place(('daemon', 'host'))}: answering beyond this machine needs daemon.token"


def _scorecards(file: _File, path: Path, document: Document, mistakes: list[str]) -> tuple[Cardset, dict[str, Cardset]]:
    """Those of health, and of every other score."""
    known: list[Scorecard] = []
    health = _cardset(file, ("scorecard",), path, document, mistakes, known)
    return health, {name: _cardset(file, ("scores", name), path, document, mistakes, known) for name in file.scores}


def _cardset(
    file: _File, at: Loc, path: Path, document: Document, mistakes: list[str], known: list[Scorecard]
) -> Cardset:
    """The scorecards that stand at a place: of health, or of another score. `known`: those before them, which grow."""
    cards = file.scorecard if at == ("scorecard",) else file.scores[str(at[-1])]
    segments = []
    for place, card in enumerate(cards):
        loc = (*at, place) if (*at, place) in document.lines else at
        wrong = _out_of_place(card, file, last=place == len(cards) - 1)
        mistakes += [f"{document.place((*loc, 'when'))}: {words}" for words in wrong]
        loaded = _scorecard(card.use, path, document.place(loc), mistakes)
        if loaded and any(one.name == loaded.name and one.version != loaded.version for one in known):
            words = f"is called {loaded.name} like a scorecard before it; give it a name of its own"
            mistakes.append(f"{document.place(loc)}: {words}")
        if loaded:
            known.append(loaded)
            segments.append(Segment(loaded, card.when))
    return Cardset(tuple(segments), tuple(scorecard_file(card.use, path.parent) for card in cards))


def _out_of_place(card: Card, file: _File, *, last: bool) -> Iterator[str]:
    """What is wrong with the rule of a scorecard, or with its lack of one."""
    if last and card.when:
        yield "the last scorecard is for all other accounts; take its `when` away, or add one without"
    elif not last and not card.when:
        yield "say which accounts it is for, like when: seats >= 500; only the last has no rule"
    elif not last:
        try:
            check_rule(card.when, tuple(file.accounts.attributes))
        except ValueError as error:
            yield f"{error}; a rule is over the attributes in accounts.attributes"


def _scorecard(name: str, path: Path, place: str, mistakes: list[str]) -> Scorecard | None:
    try:
        found = load_scorecard(name, path.parent)
    except SettingsError as error:
        mistakes += error.lines
        return None
    if found is None:
        presets = ", ".join(config.presets())
        mistakes.append(f"{place}: {_shown(name)} is neither a file nor a preset (presets: {presets})")
    return found


def load_scorecard(name: str, folder: Path) -> Scorecard | None:
    """A preset by its name, or a YAML file by its path from `folder`; None when there is neither."""
    path = scorecard_file(name, folder)
    if path is None:
        return _preset(name)
    return _read_scorecard(path) if _is_file(path) else None


@cache
def _preset(name: str) -> Scorecard | None:
    document = config.preset(name)
    return _read(document) if document else None


def scorecard_file(name: str, folder: Path) -> Path | None:
    """The file that a scorecard of this name is read from; None for a preset."""
    return None if name in config.presets() else folder / name


def _read_scorecard(path: Path) -> Scorecard:
    """Raises `SettingsError`."""
    if not _is_file(path):
        raise SettingsError([f"{path.name} is not there; put it back"])
    try:
        return _read(config.load(path))
    except ConfigError as error:
        raise SettingsError(str(error).split("\n")) from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # the name is too long, or the folder is closed to us
        why = f"cannot be looked for ({error.strerror}); give this user access to it, or name another one"
        raise SettingsError([f"{_shown(str(path))} {why}"]) from None


def _read(document: Document) -> Scorecard:
    mistakes = list(document.missing.values())
    card = _valid(Scorecard, document.values, (), document, mistakes)
    if mistakes or card is None:
        raise SettingsError(mistakes)
    return card


def _lines(
    error: ValidationError,
    document: Document,
    prefix: Loc,
    model: type[BaseModel],
    also: type[BaseModel] | None = None,
) -> Iterator[str]:
    for mistake in error.errors(include_url=False, include_input=False, include_context=False):
        loc = _known(prefix + mistake["loc"], document)
        if loc in document.missing:
            continue  # there is nothing to judge yet
        if mistake["type"] == "extra_forbidden" and loc[0] == "destinations" and loc[2:] in _OF_SOURCES:
            yield f"{document.place(loc)}: belongs to a source; a destination is read as often as accounts.every says"
        elif mistake["type"] == "extra_forbidden":
            yield f"{document.place(loc)}: there is no such setting{_nearest(mistake['loc'], model, also)}"
        elif _value(loc, document) is None:
            yield f"{document.place(loc)}: is empty; write a value, or take the key out"
        elif mistake["type"] == "missing":
            yield f"{document.place(loc)}: is missing; add it"
        else:
            yield f"{document.place(loc)}: {_in_words(mistake['type'], mistake['msg'])}"


def _value(loc: Loc, document: Document) -> Any:
    """What stands at a place, None where it is empty; something where the place is not there."""
    found = document.values
    for part in loc:
        if not isinstance(found, dict) or part not in found:
            return ...
        found = found[part]
    return found


def _known(loc: Loc, document: Document) -> Loc:
    """`loc` without what pydantic adds for unions, validators and a list of one, which stands in no file."""
    kept: Loc = ()
    for n, part in enumerate(loc):
        added = part == "[key]" or (isinstance(part, int) and isinstance(_value(kept, document), str))
        if (*kept, part) in document.lines or (n == len(loc) - 1 and not added):
            kept = (*kept, part)
    return kept


_OF_SOURCES = {(name,) for name in SourceEntry.model_fields if name not in Entry.model_fields}
_WORDS = {
    "dict_type": "needs keys with values below it",
    "model_type": "needs keys with values below it",
    "model_attributes_type": "needs keys with values below it",
    "list_type": "needs a list, like [a, b]",
    "tuple_type": "needs a word, or a list like [a, b]",
    "string_too_short": "is empty; write something there",
    "too_short": "is empty; write something there",
    "string_type": "needs a word; put it in quotes",
    "int_type": "needs a whole number",
    "int_parsing": "needs a whole number",
    "int_from_float": "needs a whole number",
    "float_type": "needs a number",
    "float_parsing": "needs a number, without a unit or %",
    "bool_type": "needs true or false",
    "bool_parsing": "needs true or false",
    "string_pattern_mismatch": "has a form that is not allowed here; the documentation of this setting says which is",
}


def _in_words(kind: str, message: str) -> str:
    text = _WORDS.get(kind) or message.removeprefix("Value error, ").replace("Input should be", "has to be")
    text = text.replace("String should have", "has to have")
    return f"{text[:1].lower()}{text[1:]}"


def _nearest(loc: Loc, model: type[BaseModel], also: type[BaseModel] | None) -> str:
    """The settings there are beside a wrong one, at its own depth."""
    word, inner = str(loc[-1]), _model_at(model, loc[:-1])
    fields = [field.alias or name for name, field in inner.model_fields.items()]
    if also and len(loc) == 1:
        fields += also.model_fields
    found = process.extractOne(word, fields, score_cutoff=70)
    return f"; did you mean {found[0]}?" if found else f" (there are: {', '.join(fields)})"


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel]:
    """The model that a path leads to, through fields, lists and mappings of models."""
    for part in loc:
        by_name = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        if part in by_name:
            model = next(_models_in(by_name[str(part)]), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _shown(text: str) -> str:
    """A word from the settings, safe to show: printable and short."""
    return repr(text[:40])


def moment(text: str, zone: ZoneInfo) -> datetime:
    """A day or a moment as a person writes it, in `zone` when it names none."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)

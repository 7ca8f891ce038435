"""Reads the settings file: what this room is told and every connector's own part, put together.

All that is wrong is told at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import SecretStr

import config
from config.loader import ConfigError, Document, Loc
from connectors import DESTINATIONS, SOURCES, Kind
from connectors.base import fields_of
from sync import pulses
from sync.cards import cards_of
from sync.errors import SettingsError
from sync.mistakes import Sheet, in_short, shown
from sync.settings import NAME, Cardset, Connector, DestinationEntry, Entry, File, Settings, SourceEntry


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


def _dotenv(path: Path) -> dict[str, str]:
    try:
        return {key: value for key, value in dotenv_values(path).items() if value is not None}
    except OSError as error:
        raise SettingsError([f"{path} cannot be read ({error.strerror}); give this user access to it"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{path} is not UTF-8; save it as UTF-8"]) from None


def _assemble(path: Path, document: Document, *, regardless: bool) -> Settings:
    sheet, of_cards = Sheet(document, list(document.missing.values())), Sheet(document)
    file = sheet.valid(File, document.values)
    sources = _connectors("sources", SOURCES, SourceEntry, sheet)
    destinations = _connectors("destinations", DESTINATIONS, DestinationEntry, sheet)
    for loc, words in _cross_checks(file, destinations) if file else ():
        sheet.wrong(loc, words)
    cards, further = cards_of(file, path.parent, of_cards) if file else (Cardset((), ()), {})
    mistakes, refused = sheet.mistakes, of_cards.mistakes
    if mistakes or file is None or (refused and not regardless):
        raise SettingsError(mistakes + ([] if regardless else refused))
    if refused:
        cards, _ = cards_of(File(home=file.home), path.parent, Sheet(document))
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
        refused=(in_short(refused),) if refused else (),
        further=further,
    )


def _state_url(given: SecretStr | None, folder: Path, data: Path) -> SecretStr:
    """Where state is kept; the path of an SQLite file starts from the settings' folder like every other."""
    url = given.get_secret_value() if given else f"sqlite:///{data / 'state.db'}"
    name = url.removeprefix("sqlite:///")
    return SecretStr(f"sqlite:///{(folder / name).resolve()}" if name != url and name else url)


def _connectors(section: str, registry: Mapping[str, Kind], model: type[Entry], sheet: Sheet) -> dict[str, Connector]:
    """The connectors of a section, whatever else is wrong with the file: mistakes are told all at once."""
    built, values = {}, sheet.document.values
    fields = fields_of(_scores(values))
    for name, given in _entries(values, section):
        here = (section, name)
        entry = sheet.valid(model, {key: given[key] for key in given if key in model.model_fields}, here)
        kind = str(given.get("kind") or name)
        if kind not in registry:
            known = ", ".join(registry)
            sheet.wrong((*here, "kind"), f"there is no connector {shown(kind)}; write kind: and one of {known}")
            continue
        cls, theirs = registry[kind].load()
        rest = {key: given[key] for key in given if key not in model.model_fields}
        settings = sheet.valid(theirs, rest, here, also=model, context=fields)
        if entry is not None and settings is not None:
            built[name] = Connector(name, kind, cls, settings, **entry.model_dump(exclude={"kind"}))
    return built


def _entries(values: Any, section: str) -> Iterator[tuple[str, dict[Any, Any]]]:
    """The entries of a section that are of the right form; the others are told of by the file's own model."""
    found = values.get(section) if isinstance(values, dict) else None
    for name, given in found.items() if isinstance(found, dict) else ():
        if isinstance(given, dict) and isinstance(name, str) and re.fullmatch(NAME, name):
            yield name, given


def _scores(values: Any) -> list[str]:
    """The names of the further scores, whatever else is wrong with them."""
    found = values.get("scores") if isinstance(values, dict) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, dict) else []


def _cross_checks(file: File, destinations: Mapping[str, Connector]) -> Iterator[tuple[Loc, str]]:
    """What does not fit together, and where."""
    if file.home not in file.destinations:
        known = ", ".join(file.destinations) or "none yet"
        yield ("home",), f"no destination is called {file.home} (there are: {known})"
    elif file.home in destinations and destinations[file.home].kind != "file" and not file.accounts.where:
        example = 'for example "Type = \'Customer\'" or "lifecyclestage = customer"'
        yield ("accounts", "where"), f"say which records are customers, {example}"
    for name in file.sources:
        if name in file.destinations:
            yield ("sources", name), "a destination has this name too; call one of them otherwise"
    for section, names in (("sources", file.sources), ("destinations", file.destinations)):
        if pulses.SOURCE in names:
            yield (section, pulses.SOURCE), "what people judge goes by this name; choose another"
    for name in file.links.map:
        if name not in file.sources and name not in file.destinations:
            yield ("links", "map", name), "no source or destination has this name"
    if "%" in file.data:
        yield ("data",), "a folder with a % in its name cannot hold the log; choose another"
    loopback = file.daemon.host in ("127.0.0.1", "::1", "localhost")
    if not loopback and file.daemon.token is None:
        yield ("daemon", "host"), "answering beyond this machine needs daemon.token"

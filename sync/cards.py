"""The scorecards that the settings name, presets and files: read at a start, and again before every pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import config
from config.loader import ConfigError, Document, Loc
from scoring import Scorecard, Segment
from scoring.segments import check as check_rule
from sync.errors import SettingsError
from sync.mistakes import Sheet, in_short, shown
from sync.settings import Card, Cardset, File, Settings


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
            refused.append(f"{in_short(error.lines)}; until that is mended {serving} goes on")
        segments.append(segment._replace(card=card))
    return Cardset(tuple(segments), cards.files)


def cards_of(file: File, folder: Path, sheet: Sheet) -> tuple[Cardset, dict[str, Cardset]]:
    """Those of health, and of every other score. `folder`: where their files are looked for."""
    reader = _Reader(file, folder, sheet)
    health = reader.cardset(("scorecard",), file.scorecard)
    return health, {name: reader.cardset(("scores", name), cards) for name, cards in file.scores.items()}


class _Reader:
    """Reads the scorecards of one settings file, no two of which may differ under one name."""

    def __init__(self, file: File, folder: Path, sheet: Sheet) -> None:
        self._file, self._folder, self._sheet = file, folder, sheet
        self._known: list[Scorecard] = []

    def cardset(self, at: Loc, cards: Sequence[Card]) -> Cardset:
        """The scorecards that stand at a place."""
        segments = []
        for place, card in enumerate(cards):
            loc = (*at, place) if (*at, place) in self._sheet.document.lines else at
            for words in _out_of_place(card, self._file, last=place == len(cards) - 1):
                self._sheet.wrong((*loc, "when"), words)
            if loaded := self._scorecard(card.use, loc):
                segments.append(Segment(loaded, card.when))
        return Cardset(tuple(segments), tuple(scorecard_file(card.use, self._folder) for card in cards))

    def _scorecard(self, name: str, loc: Loc) -> Scorecard | None:
        try:
            found = load_scorecard(name, self._folder)
        except SettingsError as error:
            self._sheet.mistakes += error.lines
            return None
        if found is None:
            presets = ", ".join(config.presets())
            self._sheet.wrong(loc, f"{shown(name)} is neither a file nor a preset (presets: {presets})")
            return None
        if any(one.name == found.name and one.version != found.version for one in self._known):
            self._sheet.wrong(loc, f"is called {found.name} like a scorecard before it; give it a name of its own")
        self._known.append(found)
        return found


def _out_of_place(card: Card, file: File, *, last: bool) -> Iterator[str]:
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


def load_scorecard(name: str, folder: Path) -> Scorecard | None:
    """A preset by its name, or a YAML file by its path from `folder`; None when there is neither."""
    path = scorecard_file(name, folder)
    if path is None:
        return _preset(name)
    return _read_scorecard(path) if _is_file(path) else None


def scorecard_file(name: str, folder: Path) -> Path | None:
    """The file that a scorecard of this name is read from; None for a preset."""
    return None if name in config.presets() else folder / name


@cache
def _preset(name: str) -> Scorecard | None:
    document = config.preset(name)
    return _read(document) if document else None


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
        raise SettingsError([f"{shown(str(path))} {why}"]) from None


def _read(document: Document) -> Scorecard:
    sheet = Sheet(document, list(document.missing.values()))
    card = sheet.valid(Scorecard, document.values)
    if sheet.mistakes or card is None:
        raise SettingsError(sheet.mistakes)
    return card

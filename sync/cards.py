"""The scorecards that the settings name, presets and files: read at a start, and again before every pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import config
from config.loader import ConfigError, Document, Loc
from scoring import Scorecard, Segment
from scoring.segments import check as check_rule
from sync.errors import SettingsError
from sync.mistakes import in_short, shown, valid
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


def cards_of(file: File, path: Path, document: Document, mistakes: list[str]) -> tuple[Cardset, dict[str, Cardset]]:
    """Those of health, and of every other score."""
    known: list[Scorecard] = []
    health = _cardset(file, ("scorecard",), path, document, mistakes, known)
    return health, {name: _cardset(file, ("scores", name), path, document, mistakes, known) for name in file.scores}


def _cardset(
    file: File, at: Loc, path: Path, document: Document, mistakes: list[str], known: list[Scorecard]
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


def _scorecard(name: str, path: Path, place: str, mistakes: list[str]) -> Scorecard | None:
    try:
        found = load_scorecard(name, path.parent)
    except SettingsError as error:
        mistakes += error.lines
        return None
    if found is None:
        presets = ", ".join(config.presets())
        mistakes.append(f"{place}: {shown(name)} is neither a file nor a preset (presets: {presets})")
    return found


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
    mistakes = list(document.missing.values())
    card = valid(Scorecard, document.values, (), document, mistakes)
    if mistakes or card is None:
        raise SettingsError(mistakes)
    return card

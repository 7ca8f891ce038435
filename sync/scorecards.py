"""Scorecards over time: every version that was used is kept, and can be shown, compared and listed."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import config
from scoring import Scorecard, Segment
from scoring.describe import content, described, shares
from scoring.differences import changes
from sync.cards import load_scorecard
from sync.console import clean, put_json, say, table
from sync.errors import UsageError
from sync.history import History
from sync.loading import load
from sync.rows import HEALTH, ScorecardRow
from sync.settings import Settings
from sync.state import State
from sync.worker import Worker, begun, begun_or_refused

VERSION = re.compile(r"[0-9a-f]{4,12}")  # or its beginning
NAMED = 3  # changes that one line of the history names


def keep(worker: Worker, now: datetime) -> None:
    """Keep what the scorecards say under their versions, before anything is scored by them."""
    for card in worker.settings.cards.values():
        worker.state.scorecards.save(card.version, card.name, content(card), now)


def show(path: Path, wanted: str | None, *, as_yaml: bool, as_json: bool) -> None:
    """Print scorecards: those of the settings, or one file, preset or version that was used."""
    shown = [(HEALTH, Segment(named(path, wanted)))] if wanted else list(load(path).used())
    if as_json:
        put_json([_document(segment, score) for score, segment in shown])
    elif as_yaml:
        sys.stdout.write(as_file(_only([segment for _, segment in shown])))
    else:
        for place, (score, segment) in enumerate(shown):
            _say_segment(segment, score, others=place > 0 and shown[place - 1][0] == score)


def _only(shown: Sequence[Segment]) -> Scorecard:
    if len(shown) > 1:
        known = ", ".join(f"{card.version} ({card.name})" for card, _ in shown)
        raise UsageError(f"there are {len(shown)} scorecards; name one by its file, preset or version: {known}")
    return shown[0].card


def _say_segment(segment: Segment, score: str, *, others: bool) -> None:
    title, *lines = described(segment.card)
    title = title if score == HEALTH else f"{score}: {title}"
    whose = f", for accounts with {segment.when}" if segment.when else ", for all other accounts" if others else ""
    say(f"{title}{whose}", "bold")
    for line in lines:
        say(line, "" if line.startswith("  ") else "bold")


def diff(path: Path, old: str | None, new: str | None, *, as_json: bool) -> None:
    """Print what one scorecard says otherwise than another: by default the settings' now than when last used."""
    pairs = _pairs(path, old, new)
    if as_json:
        put_json([_compared(before, after) for before, after in pairs])
        return
    for before, after in pairs:
        if before is None:
            say(f"{after.name} {after.version}: not used yet", "bold")
            continue
        say(f"{before.name} {before.version} -> {after.name} {after.version}", "bold")
        for change in map(str, changes(before, after) or ["both say the same"]):
            say(f"  {change}")


def _pairs(path: Path, old: str | None, new: str | None) -> list[tuple[Scorecard | None, Scorecard]]:
    """What to compare with what; None where a scorecard was never used."""
    if old is None:
        cards = load(path).cards.values()
        rows = _rows(path)
        return [(_last_used(rows, card, alone=len(cards) == 1), card) for card in cards]
    before = named(path, old)
    if new is not None:
        return [(before, named(path, new))]
    settings = load(path)
    return [(before, next((card for card in settings.cards.values() if card.name == before.name), settings.scorecard))]


def _compared(before: Scorecard | None, after: Scorecard) -> dict[str, Any]:
    found = changes(before, after) if before else ()
    return {
        "old": before and {"name": before.name, "version": before.version},
        "new": {"name": after.name, "version": after.version},
        "changes": [change._asdict() for change in found],
    }


def history(path: Path, *, as_json: bool) -> None:
    """Print every version that was used: when, for how many accounts, and what it changed."""
    settings = begun_or_refused(load(path, regardless=True))
    with _state(settings) as state:
        rows = state.scorecards.all()
    day, counts = _counted(settings)
    told = [{**_used(row), "accounts": counts.get(row.version, 0), "changes": _since(rows, row)} for row in rows]
    if as_json:
        put_json({"day": day, "versions": told})
        return
    if not rows:
        say("no scorecard has been used yet; `bellwether run` keeps the first")
        return
    heads = ("version", "name", "first used", "last used", f"accounts on {day}" if day else "accounts", "what changed")
    cells = (
        [row.version, row.name, *_minutes(row), line["accounts"], _brief(line["changes"])]
        for row, line in zip(rows, told, strict=True)
    )
    table("", heads, cells, numbers=(4,))


def as_file(card: Scorecard) -> str:
    """YAML that is read as the same version."""
    said = _written(card.model_dump(by_alias=True, exclude_defaults=True))
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def _written(value: Any) -> Any:
    """As people write it: numbers without an idle fraction, a list of one as what it holds, `against: previous`."""
    if isinstance(value, dict) and value.get("previous") is True:
        return "previous"
    if isinstance(value, dict):
        return {_written(key): _written(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        items = [_written(item) for item in value]
        return items[0] if len(items) == 1 else items
    whole = isinstance(value, float) and value.is_integer() and str(value) != "-0.0"
    return int(value) if whole else value


def named(path: Path, wanted: str) -> Scorecard:
    """A preset, a file by its path from here, or a version that was used. Raises `UsageError` and `SettingsError`."""
    found = load_scorecard(wanted, Path())
    if found is None and VERSION.fullmatch(wanted):
        found = _kept(path, wanted)
    if found is None:
        presets = ", ".join(config.presets())
        raise UsageError(
            f"{clean(wanted)[:60]!r} is no file, no preset ({presets}) and no version that was used;"
            " `bellwether scorecard history` lists those"
        )
    return found


def _kept(path: Path, version: str) -> Scorecard | None:
    settings = load(path, regardless=True)
    if not begun(settings):
        return None
    with _state(settings) as state:
        row = state.scorecards.find(version)
    return _read(row) if row else None


def _rows(path: Path) -> list[ScorecardRow]:
    """Every scorecard that was used, in the order of first use. Raises `UsageError` where none was."""
    with _state(begun_or_refused(load(path, regardless=True))) as state:
        rows = state.scorecards.all()
    if not rows:
        raise UsageError("no scorecard has been used yet; `bellwether run` keeps the first, or name two to compare")
    return rows


def _last_used(rows: Sequence[ScorecardRow], card: Scorecard, *, alone: bool) -> Scorecard | None:
    """The version used last of the scorecard of this name; of any, where there is but one, which was renamed."""
    found = [row for row in rows if alone or row.name == card.name]
    return _read(max(found, key=lambda row: (row.name == card.name, row.last_used_at))) if found else None


def _read(row: ScorecardRow) -> Scorecard:
    try:
        return Scorecard.model_validate(row.content)
    except ValidationError:
        raise UsageError(
            f"{row.name} {row.version} is in words that this version of Bellwether does not know"
        ) from None


@contextmanager
def _state(settings: Settings) -> Iterator[State]:
    state = State(settings.state.get_secret_value(), create=False)
    try:
        yield state
    finally:
        state.close()


def _document(segment: Segment, score: str) -> dict[str, Any]:
    card, when = segment
    weights = [share._asdict() for share in shares(card)]
    told = {"name": card.name, "version": card.version, "score": score, "when": when}
    return {**told, "scorecard": content(card), "weights": weights}


def _used(row: ScorecardRow) -> dict[str, Any]:
    first, last = (moment.isoformat(timespec="seconds") for moment in (row.first_used_at, row.last_used_at))
    return {"version": row.version, "name": row.name, "first_used": first, "last_used": last}


def _minutes(row: ScorecardRow) -> list[str]:
    return [f"{moment:%Y-%m-%d %H:%M} UTC" for moment in (row.first_used_at, row.last_used_at)]


def _since(rows: list[ScorecardRow], row: ScorecardRow) -> list[str] | None:
    """What a version changed against the one before of its name; None for the first."""
    earlier = [one for one in rows[: rows.index(row)] if one.name == row.name]
    try:
        return [str(change) for change in changes(_read(earlier[-1]), _read(row))] if earlier else None
    except UsageError as error:
        return [str(error)]


def _brief(changed: list[str] | None) -> str:
    if changed is None:
        return "the first"
    more = len(changed) - NAMED
    return "; ".join([*changed[:NAMED], *([f"and {more} more"] if more > 0 else [])])


def _counted(settings: Settings) -> tuple[date | None, dict[str, int]]:
    kept = History(settings.data / "history")
    try:
        day, counts = kept.last_day()
        more = [one.last_day() for one in kept.kept()[1:]]
    finally:
        kept.close()
    return day, dict(sum((Counter(found) for other, found in more if other == day), Counter(counts)))

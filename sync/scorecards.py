"""Scorecards over time: every version that was used is kept, and can be shown, compared and listed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import config
from scoring import Scorecard
from scoring.describe import content, described, shares
from scoring.differences import changes
from sync.console import clean, put_json, say, table
from sync.errors import UsageError
from sync.history import History
from sync.rows import ScorecardRow
from sync.settings import Settings, load, load_scorecard
from sync.state import State
from sync.worker import Worker, begun, begun_or_refused

VERSION = re.compile(r"[0-9a-f]{4,12}")  # or its beginning
NAMED = 3  # changes that one line of the history names


def keep(worker: Worker, now: datetime) -> None:
    """Keep what the scorecards say under their versions, before anything is scored by them."""
    for card in worker.settings.cards.values():
        worker.state.save_scorecard(card.version, card.name, content(card), now)


def show(path: Path, wanted: str | None, *, as_yaml: bool, as_json: bool) -> None:
    """Print a scorecard: of the settings, of a file or preset, or of a version that was used."""
    card = _named(path, wanted) if wanted else load(path).scorecard
    if as_json:
        put_json(_document(card))
    elif as_yaml:
        sys.stdout.write(as_file(card))
    else:
        for line in described(card):
            say(line, "" if line.startswith("  ") else "bold")


def diff(path: Path, old: str | None, new: str | None, *, as_json: bool) -> None:
    """Print what one scorecard says otherwise than another: by default the settings' now than the one used last."""
    after = _named(path, new) if new else load(path).scorecard
    before = _named(path, old) if old else _last_used(path, after)
    found = changes(before, after)
    if as_json:
        sides = {"old": before, "new": after}
        put_json(
            {
                **{side: {"name": card.name, "version": card.version} for side, card in sides.items()},
                "changes": [change._asdict() for change in found],
            }
        )
        return
    say(f"{before.name} {before.version} -> {after.name} {after.version}", "bold")
    for change in map(str, found or ["both say the same"]):
        say(f"  {change}")


def history(path: Path, *, as_json: bool) -> None:
    """Print every version that was used: when, for how many accounts, and what it changed."""
    settings = begun_or_refused(load(path, regardless=True))
    with _state(settings) as state:
        rows = state.scorecards()
    day, counts = _counted(settings)
    told = [{**_used(row), "accounts": counts.get(row.version, 0), "changes": _since(rows, row)} for row in rows]
    if as_json:
        put_json({"day": day, "versions": told})
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


def _named(path: Path, wanted: str) -> Scorecard:
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
        row = state.scorecard(version)
    return _read(row) if row else None


def _last_used(path: Path, card: Scorecard) -> Scorecard:
    """The version used last of the scorecard that is called so; of any, if it is a new one."""
    with _state(begun_or_refused(load(path, regardless=True))) as state:
        rows = state.scorecards()
    if not rows:
        raise UsageError("no scorecard has been used yet; `bellwether run` keeps the first, or name two to compare")
    return _read(max(rows, key=lambda row: (row.name == card.name, row.last_used_at)))


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


def _document(card: Scorecard) -> dict[str, Any]:
    weights = [share._asdict() for share in shares(card)]
    return {"name": card.name, "version": card.version, "scorecard": content(card), "weights": weights}


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
        return kept.last_day()
    finally:
        kept.close()

"""A replay, for people and for scripts: who is told another tier, how restless tiers are, and what writes they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.console import say, table
from sync.lived import Lived, Span, Told
from sync.writes import Cost

TIERS = ("green", "yellow", "red", "unscored")
MOST = 20  # accounts that a table names
RESTLESS = 10


@dataclass(frozen=True)
class Replay:
    """Both sides; `before` is None where nothing was kept of the last day and no other scorecard was asked for.

    `names` of all accounts. `overrides`: the tier that somebody set, by account, on the last day; either side leaves it
    out. `days`: the rows of the account that was asked for.
    """

    span: Span
    before: Lived | None
    after: Lived
    names: Mapping[str, str]
    overrides: Mapping[str, str]
    days: Sequence[Mapping[str, Any]]

    @property
    def sides(self) -> dict[str, Lived]:
        return {**({"before": self.before} if self.before else {}), "after": self.after}

    @property
    def moved(self) -> list[tuple[str, Told, Told]]:
        """The accounts that are told another tier on the last day, with what either side tells them."""
        before, after = self.before.last if self.before else {}, self.after.last
        both = ((account, before[account], after[account]) for account in sorted(before.keys() & after.keys()))
        return [(account, was, now) for account, was, now in both if was.tier != now.tier]


def replay_document(found: Replay) -> dict[str, Any]:
    """A replay as scripts read it."""
    return {
        "from": found.span.first,
        "to": found.span.last,
        **{side: _side(found, lived) for side, lived in found.sides.items()},
        "moved": [_moved(found, *move) for move in found.moved],
        **({"days": found.days} if found.days else {}),
    }


def _side(found: Replay, lived: Lived) -> dict[str, Any]:
    told = {
        "told": "from the history" if lived.kept else "worked out",
        "scorecards": [{"name": name, "version": version} for name, version in lived.cards],
        "tiers": _tiers(lived),
    }
    if lived.kept:
        return told
    restless = [{"account": a, "name": found.names[a], "changes": n} for a, n in _restless(lived)]
    changes = {"total": sum(lived.changes.values()), "accounts": dict(_times(lived)), "most": restless}
    return {**told, "changes": changes, "writes": [_written(name, costs) for name, costs in lived.writes.items()]}


def _moved(found: Replay, account: str, was: Told, now: Told) -> dict[str, Any]:
    sides = {"before": was._asdict(), "after": now._asdict()}
    return {"account": account, "name": found.names[account], **sides, "override": found.overrides.get(account)}


def _written(destination: str, costs: Sequence[Cost]) -> dict[str, Any]:
    totals = {key: sum(getattr(cost, key) for cost in costs) for key in ("changed", "refreshed", "calls")}
    return {"destination": destination, **totals, "days": [cost._asdict() for cost in costs]}


def _tiers(lived: Lived) -> dict[str, int]:
    counts = Counter(told.tier for told in lived.last.values())
    return {tier: counts[tier] for tier in TIERS}


def _times(lived: Lived) -> list[tuple[int, int]]:
    """How many accounts changed their tier so often, as (times, accounts)."""
    return sorted(Counter(lived.changes.values()).items())


def _restless(lived: Lived) -> list[tuple[str, int]]:
    """The accounts whose tier changed most often, and how often."""
    changed = ((account, often) for account, often in lived.changes.items() if often)
    return sorted(changed, key=lambda one: (-one[1], one[0]))[:RESTLESS]


def show_replay(found: Replay) -> None:
    """A replay in tables, a column or a line for each side."""
    span, sides = found.span, _titled(found)
    say(f"{span.first} to {span.last}, {len(span.days):,} days", "bold")
    for title, lived in sides.items():
        say(f"{title}: by {', '.join(f'{name} {version}'.strip() for name, version in lived.cards)}")
    cells = ([tier, *(_tiers(lived)[tier] for lived in sides.values())] for tier in TIERS)
    table("", (f"accounts on {span.last}", *sides), cells, numbers=(1, 2))
    _show_moved(found)
    lived_through = {title: lived for title, lived in sides.items() if not lived.kept}
    _show_changes(found, lived_through)
    _show_writes(lived_through)
    if found.days:
        cells = ([day["as_of"], day["score"], day["tier"], day["flags"]] for day in found.days)
        table("", ("day", "score", "tier", ""), cells, numbers=(1,))


def _titled(found: Replay) -> dict[str, Lived]:
    """The sides, by what they are called in words."""
    names = {"before": "told then" if found.before and found.before.kept else "as set", "after": "replayed"}
    return {names[side]: lived for side, lived in found.sides.items()}


def _show_moved(found: Replay) -> None:
    moved = found.moved
    if found.before is None:
        return
    if not moved:
        say(f"no account is told another tier on {found.span.last}")
        return
    whose = "one account is" if len(moved) == 1 else f"{len(moved):,} accounts are"
    say(f"{whose} told another tier on {found.span.last}:")
    cells = (
        [found.names[account], was.tier, now.tier, was.score, now.score, _set(found, account)]
        for account, was, now in moved[:MOST]
    )
    heads = ("account", *_titled(found), "score", "score replayed", "")
    table("", heads, cells, numbers=(3, 4))
    if len(moved) > MOST:
        say(f"and {len(moved) - MOST:,} more; --json names them all", "dim")


def _set(found: Replay, account: str) -> str:
    return f"set to {found.overrides[account]} by hand" if account in found.overrides else ""


def _show_changes(found: Replay, sides: Mapping[str, Lived]) -> None:
    for title, lived in sides.items():
        never = sum(not often for often in lived.changes.values())
        total = sum(lived.changes.values())
        say(f"{title}: {total:,} changes of tier; {never:,} of {len(lived.changes):,} accounts had none")
    restless = {account: None for lived in sides.values() for account, _ in _restless(lived)}
    cells = ([found.names[account], *(lived.changes[account] for lived in sides.values())] for account in restless)
    if restless:
        table("", ("the most restless", *sides), cells, numbers=(1, 2))


def _show_writes(sides: Mapping[str, Lived]) -> None:
    written = ((title, _written(name, costs)) for title, lived in sides.items() for name, costs in lived.writes.items())
    cells = ([one["destination"], title, one["changed"], one["refreshed"], one["calls"]] for title, one in written)
    heads = ("records written", "", "for a change", "to refresh", "calls")
    table("", heads, cells, numbers=(2, 3, 4))

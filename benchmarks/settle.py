"""What keeping tiers still saves and costs: `python -m benchmarks.settle [--accounts 150] [--days 365]`.

The sandbox's company lives a year, is read by the real sources and scored day by day by the default scorecard. The
scores are then folded with several bands and dwells, without caps, and counted on the customers whose story is known:
those who stay as they are should keep their tier, and of those who leave it should be told soon.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

from connectors.clock import SteppedClock
from connectors.sandbox import Sandbox
from connectors.sandbox.world import Company
from scoring import Scorecard
from scoring.settle import Day, Steady, settle
from sync.lived import Span
from sync.loading import load
from sync.rehearsal import HISTORY, settings_for
from sync.replay import lives
from sync.run import run_once
from sync.worker import Worker, opened

START = datetime(2025, 11, 3, 6, tzinfo=UTC)
SETTINGS = ((0, "1d"), (0, "3d"), (3, "1d"), (3, "3d"), (5, "5d"))
STILL, LEAVING = ("healthy", "noisy"), ("leaving", "champion_left")
WARNING = timedelta(days=20)  # a decline begins to show this long before its story turns
NEAR = 5  # points from a threshold
HEAD = ("band", "dwell", "changes a year", "near a threshold", "on the threshold", "told", "after the turn", "later")

Series = Sequence[tuple[date, float]]


class Declining(NamedTuple):
    """Scores of a customer who leaves, from shortly before the day on which its story turns."""

    scores: Series
    turn: date


def main() -> int:
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="bellwether-settle-") as folder:
        card, lived = year(Path(folder), asked.accounts, asked.days)
    still = [scores for company, scores in lived if company.story in STILL]
    declines = [one for company, scores in lived if (one := _declining(card, company, scores))]
    print(
        f"{len(still)} customers stay as they are; a day's score is {stray(still):.1f} points from the mean of its own"
    )
    print(f"{len(declines)} customers were green and leave")
    print(f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}", sep="\n")
    for row in rows(card, still, declines):
        print(f"| {' | '.join(row)} |")
    return 0


def year(folder: Path, accounts: int, days: int) -> tuple[Scorecard, list[tuple[Company, Series]]]:
    """The scores of every customer on each day that the simulated company lives, by the default scorecard."""
    clock = SteppedClock(START)
    with Sandbox(accounts=accounts, clock=clock, history_days=HISTORY) as box:
        path = folder / "bellwether.yaml"
        path.write_text(settings_for(box.urls), encoding="utf-8")
        with opened(load(path), clock=clock) as worker:
            for moment in (START, START + timedelta(days=days + 1)):
                clock.advance_to(moment)
                problems = run_once(worker, only="pull").problems
                assert not problems, problems
            companies = {company.external_id: company for company in box.world.customers}
            known = {row.id: companies[row.refs["external_id"]] for row in worker.state.accounts.members()}
            found = series(worker, Span(START.date(), (START + timedelta(days=days - 1)).date()))
            return worker.settings.scorecard, [(known[account], scores) for account, scores in found.items()]


def series(worker: Worker, span: Span) -> Mapping[str, Series]:
    """By account, each day with its score."""
    accounts = worker.state.accounts.members()
    basis, found = worker.basis(accounts, worker.linked(accounts)), dict[str, list[tuple[date, float]]]()
    query = "select account, as_of, tier_score from scores where tier_score is not null order by all"
    with lives(worker, basis, span) as chunks:
        for connection in chunks:
            for account, day, score in connection.execute(query).fetchall():
                found.setdefault(account, []).append((day, score))
    return found


def rows(card: Scorecard, still: Sequence[Series], declines: Sequence[Declining]) -> Iterator[list[str]]:
    """A line of the table for each band and dwell."""
    near = [
        one for one in still if min(abs(_mean(one) - edge) for edge in (card.tiers.green, card.tiers.yellow)) <= NEAR
    ]
    on = [[(day, score - _mean(one) + card.tiers.green) for day, score in one] for one in still]
    soonest = [_told(settled(card, 0, "1d"), one) for one in declines]
    for band, dwell in SETTINGS:
        other = settled(card, band, dwell)
        often = (_mean_of(changes(other, one) for one in some) for some in (still, near, on))
        told = [_told(other, one) for one in declines]
        both = [(now, first) for now, first in zip(told, soonest, strict=True) if now is not None and first is not None]
        days, later = median(now for now, _ in both), _mean_of(now - first for now, first in both)
        yield [f"{band}", dwell, *(f"{n:.2f}" for n in often), f"{len(both)}", f"{days:.0f} days", f"{later:.1f} days"]


def settled(card: Scorecard, band: float, dwell: str) -> Scorecard:
    """The scorecard with another band and dwell."""
    said = card.model_dump(by_alias=True, exclude_defaults=True)
    return Scorecard.model_validate({**said, "settle": {"band": band, "dwell": dwell}})


def told(card: Scorecard, scores: Series) -> list[tuple[date, str]]:
    """The steady tier of each day."""
    state: Steady | None = None
    found = []
    for day, score in scores:
        raw = next((tier for tier in ("green", "yellow") if score >= getattr(card.tiers, tier)), "red")
        state = settle(card, state, Day(day, raw, score, {}))
        assert state is not None
        found.append((day, state.tier))
    return found


def changes(card: Scorecard, scores: Series) -> float:
    """How often the steady tier of such scores changes in a year."""
    tiers = [tier for _, tier in told(card, scores)]
    return sum(before != after for before, after in pairwise(tiers)) * 365 / len(tiers)


def stray(still: Sequence[Series]) -> float:
    """The mean distance of a day's score from the account's own mean."""
    return mean(abs(score - _mean(one)) for one in still for _, score in one)


def _told(card: Scorecard, one: Declining) -> int | None:
    """Days from the turn to the first that is told below green; None where none is."""
    days = told(card, one.scores)
    return next(((day - one.turn).days for day, tier in days if tier != "green"), None)


def _declining(card: Scorecard, company: Company, scores: Series) -> Declining | None:
    """A customer's scores from shortly before its story turns, if it was green by then and well below green at last."""
    turn = (START - timedelta(days=HISTORY) + timedelta(days=company.turn)).date()
    since = [(day, score) for day, score in scores if day >= turn - WARNING]
    if company.story not in LEAVING or not since or since[0][0] > turn - WARNING or since[0][1] < card.tiers.green:
        return None
    return Declining(since, turn) if _mean(since[-30:]) < card.tiers.green - NEAR else None


def _mean(scores: Series) -> float:
    return mean(score for _, score in scores)


def _mean_of(numbers: Iterable[float]) -> float:
    return mean([*numbers] or [0.0])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.settle", description=__doc__)
    parser.add_argument("--accounts", type=int, default=150, help="customers of the simulated company")
    parser.add_argument("--days", type=int, default=365, help="how long it lives")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

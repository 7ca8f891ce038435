"""What a range of days came to: the tiers told, how restless they were, and what they would have cost in writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from scoring import Scorecard, Standing
from sync.dispatch import chosen_accounts
from sync.links import Links
from sync.rows import AccountRow
from sync.worker import Worker
from sync.writes import TOLD_SCORE, Cost, Written, by_account

if TYPE_CHECKING:
    import duckdb

CHUNK = 1_000  # accounts whose days are in memory at a time

_LIVES = """
select account, arg_max(score, as_of), list({told_score} order by as_of),
       list(case when flags = '' then tier
                 else concat_ws('|', tier, raw_tier, coalesce(split_part(fold, ' ', 1), ''), version, flags) end
            order by as_of)
from scores where as_of >= date '{span.first}' group by account
"""


class Span(NamedTuple):
    """Days that are final, both ends included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(n) for n in range((self.last - self.first).days + 1)]


class Told(NamedTuple):
    """What an account is told on a day."""

    tier: str
    score: float | None


@dataclass
class Lived:
    """What the days came to, by scorecards of these (name, version). `kept`: from the history, of the last day only.

    `last`: by account, of the last day. `changes`: how often the told tier changed; days without a score are no change.
    `writes`: by destination. What people say of accounts is left out: it is not the scorecard's doing.
    """

    cards: Sequence[tuple[str, str]]
    kept: bool = False
    last: dict[str, Told] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    writes: dict[str, list[Cost]] = field(default_factory=dict)


class Saying(NamedTuple):
    """A tier, and a text that tells two answers apart where that is worth a write. Causes are not worked out."""

    tier: str
    deciding: str


class Tally:
    """Counts what days come to, some accounts at a time."""

    def __init__(self, worker: Worker, links: Links, span: Span) -> None:
        self._worker, self._span = worker, span
        self._lived = Lived([(card.name, version) for version, card in worker.settings.cards.items()])
        self._sayings = _Sayings(worker.settings.cards)
        self._written = {name: Written(span.days, worker.settings.delivery) for name in worker.destinations}
        chosen = chosen_accounts(worker, [row.id for row in worker.state.accounts.members()])
        home = worker.settings.home
        self._records = {
            name: by_account({one: one for one in chosen} if name == home else links.of(name), chosen)
            for name in worker.destinations
        }

    def take(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Count the accounts of `scores` in, which has all of their days."""
        rows = connection.execute(_LIVES.format(span=self._span, told_score=TOLD_SCORE))
        while some := rows.fetchmany(CHUNK):
            for account, last, numbers, words in some:
                told = [self._sayings[text] for text in words]
                self._lived.last[account] = Told(told[-1].tier, last)
                self._lived.changes[account] = _changes(told)
                self._write(account, numbers, [said.deciding for said in told])

    def lived(self) -> Lived:
        """What all of them came to."""
        found, destinations = self._lived, self._worker.destinations
        found.writes = {name: written.costs(destinations[name]) for name, written in self._written.items()}
        return found

    def _write(self, account: str, scores: Sequence[float | None], deciding: Sequence[str]) -> None:
        for name, written in self._written.items():
            for record in self._records[name].get(account, ()):
                written.count(record, deciding, scores)


def _changes(told: Sequence[Saying]) -> int:
    """How often the tier is another than on the last day with a score before."""
    tiers = [said.tier for said in told if said.tier != "unscored"]
    return sum(before != after for before, after in pairwise(tiers)) if len({*tiers}) > 1 else 0


class _Sayings(dict[str, Saying]):
    """Sayings by the words of `_LIVES`, of which there are few."""

    def __init__(self, cards: Mapping[str, Scorecard]) -> None:
        super().__init__()
        self._cards = cards

    def __missing__(self, words: str) -> Saying:
        tier, *rest = words.split("|")
        self[words] = said = Saying(tier, " ".join([tier, *(self._flags(tier, *rest) if rest else [])]))
        return said

    def _flags(self, tier: str, raw_tier: str, steady: str, version: str, flags: str) -> list[str]:
        """The flags that are told: caps that limit the tier, and watch flags."""
        standing = Standing(tier, raw_tier, f"{steady} {version}" if steady else None, flags)
        return [*standing.limiting(self._cards[version]), *standing.watch]


def kept(worker: Worker, day: date, only: AccountRow | None = None) -> Lived | None:
    """What was told on a day, where it was kept as final."""
    if day not in worker.history.days(final_only=True, since=day):
        return None
    told = worker.history.scores_on(day, [only.id] if only else None)
    names = {row.version: row.name for row in worker.state.scorecards.all()}
    cards = [(names.get(version, ""), version) for version in sorted({version for _, _, version in told.values()})]
    return Lived(cards, kept=True, last={account: Told(tier, score) for account, (score, tier, _) in told.items()})

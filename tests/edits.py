"""A company whose tiers are given instead of scored, so that many passes over its CRMs cost little; and, run by itself,
two sandbox CRMs in which 200 people change tiers among everything else that changes values: no edit may be lost, none
may be made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sync.deliveries import Delivered, Round, deliver, planned_for, worthwhile
from sync.edits import Edits
from sync.judgements import NOTHING, Said, said_on
from sync.rows import Total
from sync.verdicts import Verdict
from sync.worker import Worker

SCORES = {"green": 82.25, "yellow": 55.5, "red": 20.05}


@dataclass
class Company:
    """`tiers`: what the score says, by account. `records`: by destination, record -> account."""

    worker: Worker
    tiers: dict[str, str]
    records: Mapping[str, Mapping[str, str]]
    where: str = ""
    results: dict[str, Delivered] = field(default_factory=dict)

    def a_pass(self, now: datetime, *, whole: bool = True) -> None:
        """Directories (if `whole`), decisions and deliveries, as `run_once` makes them."""
        self.results.clear()
        edits = Edits(self.worker, now=now, today=now.date())
        if whole:
            for name, destination in self.worker.destinations.items():
                where = self.where if name == self.worker.settings.home else ""
                for page in destination.accounts(where=where, attributes={}):
                    edits.seen(name, page)
                edits.look(name)
            edits.take()
        verdicts = self._verdicts(now)
        for name in self.worker.destinations:
            self.results[name] = Delivered(edits=edits.told[name])
            self._deliver(name, verdicts, edits, now)

    def told(self, account: str, now: datetime) -> str:
        """The tier that records of this account should hold."""
        return self._tier(account, self._said(now).get(account, NOTHING))

    def _tier(self, account: str, said: Said) -> str:
        return said.override.tier if said.override else self.tiers[account]

    def _said(self, now: datetime) -> dict[str, Said]:
        return said_on(self.worker.state.judgements(kinds=["override"], lasting=now.date()), now.date())

    def _verdicts(self, now: datetime) -> dict[str, Verdict]:
        said, verdicts, totals = self._said(now), {}, []
        for account, scored in self.tiers.items():
            words = said.get(account, NOTHING)
            tier, score, deciding = self._tier(account, words), SCORES[scored], f"{scored} {words.ids}"
            why = "; ".join([*words.words(scored), "  Logins & tickets <fell> by half,\n since three weeks " * 6])
            fields = {"score": score, "tier": tier, "change": -2.25, "reason": why, "coverage": 92.5}
            dated = {"tier_since": now.date(), "scored_at": now, "version": "card 1", "next_action": ""}
            verdicts[account] = Verdict(account, {**fields, **dated}, deciding, why)
            totals.append(Total(account, score, tier, now.date(), 1.0, now, (), "1", "", scored, deciding))
        self.worker.state.save_totals(totals)
        return verdicts

    def _deliver(self, name: str, verdicts: Mapping[str, Verdict], edits: Edits, now: datetime) -> None:
        state, destination, result = self.worker.state, self.worker.destinations[name], self.results[name]
        round_ = Round(destination, self.worker.settings.delivery, now, now.date())
        picked = worthwhile(round_, verdicts, self.records[name].items(), state.standings(name), result)
        planned = planned_for(picked, verdicts, state.deliveries(name, [record for record, _ in picked]))
        alone = partial(edits.before_write, destination)
        deliver(round_, planned, result, save=state.save_deliveries, alone=alone)

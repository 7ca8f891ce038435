"""A company whose tiers are given instead of scored, so that many passes over its CRMs cost little; and, run by itself,
two sandbox CRMs in which 200 people change tiers among everything else that changes values: no edit may be lost, none
may be made up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from connectors.base import Destination, FieldValue, Outcome, Write
from connectors.clock import SteppedClock
from connectors.errors import AgainNow
from connectors.hubspot import HubSpot
from connectors.hubspot import Settings as HubSpotSettings
from connectors.salesforce import Salesforce
from connectors.salesforce import Settings as SalesforceSettings
from connectors.sandbox.server import Sandbox
from sync.deliveries import Delivered, Round, deliver, planned_for, worthwhile
from sync.edits import Edits
from sync.judgements import NOTHING, Said, said_on
from sync.rows import Total
from sync.verdicts import Verdict
from sync.worker import Worker, as_key
from tests.fakes import FakeCrm, a_worker
from tests.served import carry_out, tools

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
        return said_on(self.worker.state.judgements.all(kinds=["override"], lasting=now.date()), now.date())

    def _verdicts(self, now: datetime) -> dict[str, Verdict]:
        said, verdicts, totals = self._said(now), {}, []
        for account, scored in self.tiers.items():
            words = said.get(account, NOTHING)
            tier, score, deciding = self._tier(account, words), SCORES[scored], f"{scored} {words.ids}"
            why = "; ".join([*words.words(scored), "  Logins & tickets <fell> by half,\n since three weeks " * 6])
            fields: dict[str, FieldValue] = {"score": score, "tier": tier, "change": -2.25, "reason": why}
            fields |= {
                "coverage": 92.5,
                "tier_since": now.date(),
                "scored_at": now,
                "version": "card 1",
                "next_action": "",
            }
            verdicts[account] = Verdict(account, fields, deciding, why)
            totals.append(Total(account, score, tier, now.date(), 1.0, now, (), "1", "", scored, deciding))
        self.worker.state.totals.save(totals)
        return verdicts

    def _deliver(self, name: str, verdicts: Mapping[str, Verdict], edits: Edits, now: datetime) -> None:
        state, destination, result = self.worker.state, self.worker.destinations[name], self.results[name]
        round_ = Round(destination, self.worker.settings.delivery, now, now.date())
        picked = worthwhile(round_, verdicts, self.records[name].items(), state.deliveries.standings(name), result)
        planned = planned_for(picked, verdicts, state.deliveries.of(name, [record for record, _ in picked]))
        alone = partial(edits.before_write, destination)
        deliver(round_, planned, result, save=state.deliveries.save, alone=alone)


# -- two sandbox CRMs ------------------------------------------------------------------------------------------

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
NAMES = {"salesforce": "Health_Tier__c", "hubspot": "health_tier"}
EDITS = 200


class Cut:
    """A destination of which, once, what is written after so many outcomes is carried out and never answered for."""

    def __init__(self, inner: Destination) -> None:
        self._inner, self.after = inner, 0
        self.how: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def cut(self, after: int, how: BaseException) -> None:
        self.after, self.how = after, how

    def write(self, writes: Sequence[Write]) -> Iterator[Outcome]:
        how, self.how = self.how, None
        for number, outcome in enumerate(self._inner.write(writes)):
            if how is None or number < self.after:
                yield outcome
        if how is not None:
            raise how


class Planted(NamedTuple):
    """A tier that a person set, where, and for which account."""

    destination: str
    account: str
    tier: str


@dataclass
class Figures:
    """What came of it. `apart`: accounts that do not have the tier that they should in both CRMs."""

    accounts: int
    planted: int
    judged: int = 0
    lost: int = 0
    made_up: int = 0
    apart: int = 0
    noise: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        others = ", ".join(f"{count:,} {what}" for what, count in self.noise.items())
        found = (
            f"{self.judged:,} became judgements, {self.lost} lost, {self.made_up} made up, {self.apart} accounts apart"
        )
        return f"{self.accounts:,} accounts in two CRMs, {self.planted} edits among {others}: {found}"


@dataclass
class World:
    """The sandbox, the company that Bellwether serves in it, and everybody else who works there."""

    sandbox: Sandbox
    company: Company
    clock: SteppedClock
    random: Random
    cuts: Mapping[str, Cut]
    figures: Figures
    records: dict[tuple[str, str], str] = field(default_factory=dict)  # by destination and account
    planted: list[Planted] = field(default_factory=list)

    def set(self, name: str, account: str, value: Any, by: str, field: str = "tier") -> None:
        told = NAMES[name].replace("Tier", field.title()).replace("tier", field)
        self.sandbox.crm[name].set_field(self.records[name, account], told, value, by=by)

    def tier(self, name: str, account: str) -> str:
        return str(self.sandbox.crm[name].records[self.records[name, account]].get(NAMES[name]))

    def passes(self, n: int = 1) -> None:
        for _ in range(n):
            self.clock.advance_to(self.clock.now() + timedelta(hours=6))
            try:
                self.company.a_pass(self.clock.now())
            except (AgainNow, KeyboardInterrupt):
                continue

    def noted(self, what: str) -> None:
        self.figures.noise[what] = self.figures.noise.get(what, 0) + 1


@contextmanager
def world(folder: Path, accounts: int, planted: int, url: str) -> Iterator[World]:
    """Salesforce is the home, with a score of no decimals and short texts; HubSpot's tier is a field for any text."""
    clock = SteppedClock(START)
    with Sandbox(accounts=accounts, clock=clock, vendors=("salesforce", "hubspot")) as sandbox:
        urls, handed = sandbox.urls, tools(folder, clock)
        people = {"integration_users": ["crm.sync@sandbox.test"], "external_id_field": "External_Id__c"}
        given = {
            "base_url": urls["salesforce"],
            "client_id": "sandbox",
            "client_secret": "sandbox-salesforce",
            **people,
        }
        home = Salesforce("salesforce", SalesforceSettings.model_validate(given), handed)
        given = {"base_url": urls["hubspot"], "access_token": "sandbox-hubspot", "external_id_field": "external_id"}
        hub = HubSpot("hubspot", HubSpotSettings.model_validate(given), handed)
        for crm in (home, hub):
            carry_out(crm.plan())
        _misshapen(sandbox)
        cuts = {"salesforce": Cut(home), "hubspot": Cut(hub)}
        try:
            with a_worker(folder, home=FakeCrm("salesforce", []), clock=clock, state_url=url) as worker:
                company = _company(replace(worker, destinations=cuts))
                made = World(sandbox, company, clock, Random(7), cuts, Figures(accounts, planted))
                made.records = {(name, to): one for name, of in company.records.items() for one, to in of.items()}
                yield made
        finally:
            home.close()
            hub.close()


def _misshapen(sandbox: Sandbox) -> None:
    org, portal = sandbox.crm["salesforce"], sandbox.crm["hubspot"]
    org.tracked.add(NAMES["salesforce"])
    org.columns["health_score__c"] = replace(org.columns["health_score__c"], scale=0)
    org.columns["health_reason__c"] = replace(org.columns["health_reason__c"], length=60)
    portal.properties["health_tier"] = replace(portal.properties["health_tier"], type="string", options=())


def _company(worker: Worker) -> Company:
    """Everybody who is a customer and has a company in HubSpot; the tiers are dealt out in turn."""
    where, state, now = "Type = 'Customer'", worker.state, worker.clock.now()
    for page in worker.home.accounts(where=where, attributes={}):
        state.accounts.save(page, now=now)
    for page in worker.destinations["hubspot"].accounts(where="", attributes={}):
        state.keys.save([as_key("hubspot", one) for one in page], now=now)
    accounts = state.accounts.members()
    linked = worker.links(accounts).of("hubspot")
    both = sorted({*linked.values()})
    tiers = {account: ("green", "yellow", "red")[number % 3] for number, account in enumerate(both)}
    one_each = {account: record for record, account in linked.items()}
    records = {"salesforce": {one: one for one in both}, "hubspot": {one_each[account]: account for account in both}}
    return Company(worker, tiers, records, where)


def _disturb(world: World, accounts: Sequence[str]) -> None:
    """What other systems do to records that nobody edits, one thing to each account in turn."""
    doings = (_echoed, _carried, _typed_by_machines, _emptied, _rounded, _cut_short, _dated)
    for number, account in enumerate(accounts):
        doings[number % len(doings)](world, account)


def _echoed(world: World, account: str) -> None:
    """The CRMs' sync says again a tier that was told before, where there was another."""
    for name in NAMES:
        past = world.company.worker.state.deliveries.of(name, [world.records[name, account]])
        for row in past.values():
            if len(row.past) > 1:
                world.set(name, account, row.past[-1], "sync")
                world.noted("tiers said again by a sync")


def _carried(world: World, account: str) -> None:
    """The sync carries our own fields from one CRM to the other, by their labels and in the other's forms."""
    world.set("hubspot", account, world.tier("salesforce", account).title(), "sync")
    score = world.sandbox.crm["salesforce"].records[world.records["salesforce", account]].get("Health_Score__c")
    world.set("hubspot", account, score, "sync", "score")
    world.noted("records mirrored with labels for values")


def _typed_by_machines(world: World, account: str) -> None:
    tier = world.tier("hubspot", account)
    world.set("hubspot", account, f" {tier.upper()} ", world.random.choice(["workflow", "import", "human"]))
    world.noted("tiers in other letters")


def _emptied(world: World, account: str) -> None:
    for name in NAMES:
        world.set(name, account, None, world.random.choice(["human", "workflow"]))
    world.noted("tiers emptied")


def _rounded(world: World, account: str) -> None:
    world.set("hubspot", account, "82", "workflow", "score")
    world.set("salesforce", account, 82.0, "human", "score")
    world.noted("scores rounded")


def _cut_short(world: World, account: str) -> None:
    for name in NAMES:
        world.set(name, account, "Logins & tickets <fell>", "human", "reason")
    world.noted("texts cut short")


def _dated(world: World, account: str) -> None:
    world.set("hubspot", account, "2026-11-01", "import", "tier_since")
    world.noted("dates in another form")


def _plant(world: World, accounts: Sequence[str]) -> None:
    """A person sets another tier than stands there and than should; every third is carried over by the sync."""
    now = world.clock.now()
    for number, account in enumerate(accounts):
        name, other = ("salesforce", "hubspot") if number % 2 else ("hubspot", "salesforce")
        held = world.tier(name, account), world.company.told(account, now)
        tier = world.random.choice([one for one in ("green", "yellow", "red") if one not in held])
        world.clock.advance_to(world.clock.now() + timedelta(seconds=1))
        world.set(name, account, tier.title() if name == "hubspot" and number % 4 == 0 else tier, "human")
        if number % 3 == 0:
            world.set(other, account, tier, "sync")
        world.planted.append(Planted(name, account, tier))


def _account_for(world: World) -> None:
    """Every edit is a judgement and stands in both CRMs, and nothing else is or does."""
    figures, now = world.figures, world.clock.now()
    rows = world.company.worker.state.judgements.all(kinds=["override"])
    judged = [Planted((row.origin or {}).get("destination", ""), row.account, row.tier or "") for row in rows]
    figures.judged = len(set(judged) & set(world.planted))
    figures.lost += sum(_differs(world, one.account, one.tier) for one in world.planted)
    figures.made_up += len(judged) - figures.judged
    figures.apart += sum(_differs(world, one, world.company.told(one, now)) for one in world.company.tiers)


def _differs(world: World, account: str, tier: str) -> bool:
    return any(world.tier(name, account).strip().casefold() != tier for name in NAMES)


def main(accounts: int = 10_000, *, edits: int = EDITS, url: str = "", say: Callable[[str], object] = print) -> int:
    """Live it through and say the figures; how many edits were lost or made up, and records that differ. `url`: of an
    empty database for the state; SQLite otherwise.
    """
    with TemporaryDirectory() as folder, world(Path(folder), accounts, edits, url) as made:
        company, everybody = made.company, sorted(made.company.tiers)
        made.passes()
        for account in everybody[::5]:
            company.tiers[account] = {"green": "yellow", "yellow": "red", "red": "green"}[company.tiers[account]]
        for cut, how in zip(made.cuts.values(), (KeyboardInterrupt(), AgainNow("lost", place="hubspot")), strict=True):
            cut.cut(len(everybody) // 20, how)
        made.passes()  # Salesforce is written, and the power is cut before it is known
        chosen = made.random.sample(everybody, edits)
        _plant(made, chosen[: edits // 2])
        made.passes()  # HubSpot's answer is lost
        _disturb(made, [account for account in everybody if account not in set(chosen)])
        _plant(made, chosen[edits // 2 :])
        made.passes(3)
        _account_for(made)
        say(str(made.figures))
        return made.figures.lost + made.figures.made_up + made.figures.apart


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 10_000))

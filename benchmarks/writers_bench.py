"""Deliveries of many changed, few changed and unchanged scores: how many calls, and how long HubSpot's take."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from benchmarks import crm_server as server
from benchmarks.measure import Row, Work, served, taken
from connectors.base import Destination, FieldValue, Tools
from connectors.clock import Clock, SteppedClock, SystemClock
from connectors.hubspot import HubSpot
from connectors.hubspot import Settings as HubSpotSettings
from connectors.salesforce import Salesforce
from connectors.salesforce import Settings as SalesforceSettings
from sync.deliveries import Delivered, Round, deliver, planned_for, worthwhile
from sync.rows import Delivery
from sync.settings import Delivery as Rules
from sync.verdicts import Verdict

CALLS = {"salesforce": (7, 5, 0), "hubspot": (1000, 10, 0)}  # writing calls: all changed, one in a hundred, none
AGAIN = {"salesforce": (50, 1, 0), "hubspot": (1000, 10, 0)}  # calls that read again what is about to be written
POLLS, WALL = 12, 1.3
TOLD = ("all changed", "1 % changed", "unchanged")
SHARES = (1, 100, 0)  # one in so many accounts has changed


def rows(folder: Path, *, small: bool) -> list[Row]:
    accounts = 5_000 if small else 100_000
    org = taken(to_salesforce, folder=str(folder), accounts=accounts).found
    org["steps"][0]["calls"] -= org["polls"]
    found = [_calls("salesforce", accounts, number, step) for number, step in enumerate(org["steps"])]
    found.insert(
        1,
        _row("salesforce, looks at how the bulk jobs are doing", f"{org['polls']}", f"{POLLS}", org["polls"] <= POLLS),
    )
    with served(server.serve_hubspot) as url:
        portal = taken(to_hubspot, folder=str(folder), accounts=accounts, url=url).found
    found += [_calls("hubspot", accounts, number, step) for number, step in enumerate(portal["steps"])]
    found.append(_wall(accounts, portal["steps"][0]))
    return found


def to_salesforce(folder: str, accounts: int) -> Work:
    clock = SteppedClock(server.now())

    def work() -> dict[str, Any]:
        org = server.Salesforce(clock)
        with server.started(org.answer) as url:
            org.url = url
            given = {"base_url": url, "client_id": "bench", "client_secret": "bench"}
            target = Salesforce("salesforce", SalesforceSettings.model_validate(given), _tools(folder, clock))
            return {"steps": [_step(*one) for one in _delivered(target, accounts, "001{:012d}AAA")], "polls": org.polls}

    return work


def to_hubspot(folder: str, accounts: int, url: str) -> Work:
    given = {"base_url": url, "access_token": "bench"}
    target = HubSpot("hubspot", HubSpotSettings.model_validate(given), _tools(folder, SystemClock()))

    def work() -> dict[str, Any]:
        steps = []
        for calls, result in _delivered(target, accounts, "{}"):
            steps.append({**_step(calls, result), **httpx.get(f"{url}/seen").json()})
        return {"steps": steps}

    return work


def _delivered(target: Destination, accounts: int, id: str) -> Iterable[tuple[dict[str, int], Delivered]]:
    """The calls and the result of each step; what a step has confirmed is known to the next."""
    known: dict[str, Delivery] = {}
    target.canonical("score", 50.0)  # the fields are described with the directory, and not counted here
    round_ = Round(target, Rules.model_validate({}), server.now(), server.now().date())

    def save(saved: Iterable[Delivery]) -> None:
        known.update((row.record_id, row) for row in saved)

    tiers = ["yellow"] * accounts
    for share in SHARES:
        for n in range(0, accounts, share) if share else ():
            tiers[n] = "red" if tiers[n] == "yellow" else "yellow"
        verdicts = {id.format(n): _verdict(id.format(n), n, tier) for n, tier in enumerate(tiers)}
        before, result = dict(target.calls), Delivered()
        picked = worthwhile(round_, verdicts, [(one, one) for one in verdicts], known, result)
        deliver(round_, planned_for(picked, verdicts, known), result, save=save)
        yield {what: calls - before.get(what, 0) for what, calls in target.calls.items()}, result


def _verdict(account: str, n: int, tier: str) -> Verdict:
    now = server.now()
    fields: dict[str, FieldValue] = {
        "score": 30.0 + n % 30,
        "tier": tier,
        "change": n % 11 - 5.0,
        "reason": f"Weekly active users {n % 70} % of seats, down from {n % 90} %; severe tickets per active user up",
        "next_action": "Find the teams with idle seats and offer them a short working session.",
        "coverage": 80.0 + n % 20,
        "tier_since": now.date(),
        "scored_at": now,
        "version": "saas 0123456789ab",
    }
    return Verdict(account, fields, tier, str(fields["reason"]))


def _step(calls: dict[str, int], result: Delivered) -> dict[str, Any]:
    made = {"calls": calls.get("write", 0), "again": calls.get("read", 0)}
    return {**made, "written": result.written, "failed": result.failed}


def _tools(folder: str, clock: Clock) -> Tools:
    return Tools(clock, threading.Event(), lambda user: user, ZoneInfo("UTC"), Path(folder), Path(folder))


def _calls(vendor: str, accounts: int, number: int, step: dict[str, Any]) -> Row:
    share = SHARES[number]
    due = -(-accounts // share) if share else 0
    bar, calls = CALLS[vendor][number], step["calls"]
    again, most = step["again"], AGAIN[vendor][number]
    whole = step["written"] == due and not step["failed"]
    work = f"{vendor}, {accounts:,} accounts, {TOLD[number]}: calls to read again, to write"
    figure = f"{again:,} + {calls:,} calls, {step['written']:,} written"
    return _row(work, figure, f"{most:,} + {bar:,}", calls <= bar and again <= most and whole)


def _row(work: str, figure: str, bar: str, holds: bool) -> Row:
    return Row(work, figure, "-", "-", bar, holds)


def _wall(accounts: int, step: dict[str, Any]) -> Row:
    bound = step["calls"] * server.SECONDS / server.CALLS
    found = step["seconds"] / bound
    return Row(
        f"hubspot, {accounts:,} changed: wall clock at {server.LATENCY * 1000:.0f} ms a call",
        f"{step['seconds']:.0f} s, {step['at_once']} at once, {step['lines']} connections, {step['refused']} refused",
        f"{bound:.0f} s by the limit",
        f"{found:.2f}",
        f"{WALL}",
        found <= WALL and step["lines"] < step["calls"],
    )

"""The CRMs' connectors on their stand-ins: signed in as these expect it, provisioned, written through and read back."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connectors import hubspot, salesforce
from connectors.base import Account, Change, Tools, Write
from connectors.clock import Clock, SteppedClock
from connectors.sandbox.server import Sandbox

STARTED = datetime(2026, 11, 20, tzinfo=UTC)
FIELDS = {
    "score": 82.44,
    "tier": "yellow",
    "reason": 'Weekly users, fell "a"',
    "coverage": 90.0,
    "change": None,
    "expansion_score": 61.26,
    "expansion_tier": "green",
    "expansion_reason": "Seats in use 91%",
}
_CONNECTORS: Mapping[str, tuple[Any, Any]] = {
    "hubspot": (hubspot.HubSpot, hubspot.Settings),
    "salesforce": (salesforce.Salesforce, salesforce.Settings),
}
_SIGN_IN = {
    "hubspot": {"access_token": "sandbox-hubspot"},
    "salesforce": {"client_id": "sandbox", "client_secret": "sandbox-salesforce"},
}


def tools(root: Path, clock: Clock | None = None, **otherwise: Any) -> Tools:
    clock = clock or SteppedClock(STARTED)
    made = Tools(clock, threading.Event(), lambda user: user, ZoneInfo("UTC"), root / "spool", root)
    return replace(made, **otherwise)


def hashed(user: str) -> str:
    """An actor as a worker makes it: nobody."""
    return hashlib.sha256(user.encode()).hexdigest()[:16]


def connected(sandbox: Sandbox, name: str, handed: Tools, **settings: object) -> Any:
    """The connector of this name with these settings, for the test to close."""
    kind, model = _CONNECTORS[name]
    given = {"base_url": sandbox.urls[name], **_SIGN_IN[name], **settings}
    return kind(name, model.model_validate(given), handed)


@contextmanager
def connecting(sandbox: Sandbox, name: str, root: Path, **settings: object) -> Iterator[Callable[..., Any]]:
    """Connects with these settings and more, as often as asked; all are closed at the end."""
    with ExitStack() as open_:
        yield lambda **more: open_.enter_context(closing(connected(sandbox, name, tools(root), **{**settings, **more})))


def next_minute(clock: SteppedClock) -> None:
    """On to a whole minute that has not begun yet."""
    clock.advance_to(clock.now().replace(second=0, microsecond=0) + timedelta(minutes=1))


def said(plan: Sequence[Change]) -> list[str]:
    return [change.what for change in plan]


def carry_out(plan: Sequence[Change]) -> None:
    for change in plan:
        assert change.apply is not None, change.what
        change.apply()


def made(crm: Any, *, where: str, attributes: Mapping[str, str]) -> list[str]:
    """What was planned, once it is carried out and leaves nothing to plan and nothing to mend."""
    plan = crm.plan()
    carry_out(plan)
    assert crm.plan() == []
    assert [one for one in crm.check(where=where, attributes=attributes) if not one.ok] == []
    return said(plan)


def written_and_read_back(crm: Any, accounts: Iterable[Account], fields: Mapping[str, Any], *, faulty: bool) -> None:
    """Every row has an outcome, only what may be tried again fails, and what is confirmed stands on the record."""
    wanted = [Write(account.id, fields) for account in accounts]
    outcomes = {one.id: one for one in crm.write(wanted)}
    assert set(outcomes) == {write.id for write in wanted}
    refused = [one for one in outcomes.values() if not one.ok]
    assert {one.remedy for one in refused} <= {"again"}
    assert faulty or refused == []
    held = crm.read(list(outcomes))
    confirmed = [(id, key, value) for id, one in outcomes.items() for key, value in (one.confirmed or {}).items()]
    assert confirmed
    for id, key, value in confirmed:
        assert held[id][key] == value == crm.canonical(key, fields[key])

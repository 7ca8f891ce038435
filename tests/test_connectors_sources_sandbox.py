"""The sources against the simulated vendors, over real HTTP: faults cost time, never a fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.base import Page, Source, Tools
from connectors.clock import SteppedClock
from connectors.mixpanel import Mixpanel
from connectors.mixpanel import Settings as MixpanelSettings
from connectors.sandbox.server import Sandbox
from connectors.zendesk import Settings as ZendeskSettings
from connectors.zendesk import Zendesk
from tests import served

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
START = NOON - timedelta(days=20)
USAGE: dict[str, Any] = {
    "service_account": "sandbox.sa",
    "secret": "sandbox-mixpanel",
    "project_id": 1000001,
    "account_key": {"property": "company_id", "is": "external_id"},
    "events": {"login": ["Logged In"], "session": {"events": ["Session Ended"], "value": "$duration"}},
}


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(NOON)


@pytest.fixture
def tools(tmp_path: Path, clock: SteppedClock) -> Tools:
    return served.tools(tmp_path, clock, actor=served.hashed)


@pytest.fixture(params=["none", "storm"])
def sandbox(request: pytest.FixtureRequest, clock: SteppedClock) -> Iterator[Sandbox]:
    with Sandbox(
        clock=clock, accounts=12, history_days=20, faults=request.param, vendors=("zendesk", "mixpanel")
    ) as one:
        yield one


def _zendesk(sandbox: Sandbox, tools: Tools) -> Zendesk:
    given = {"base_url": sandbox.urls["zendesk"], "client_id": "sandbox", "client_secret": "sandbox-zendesk"}
    return Zendesk("zendesk", ZendeskSettings.model_validate(given | {"sentiment": False}), tools)


def _mixpanel(sandbox: Sandbox, tools: Tools) -> Mixpanel:
    return Mixpanel("mixpanel", MixpanelSettings.model_validate(USAGE | {"base_url": sandbox.urls["mixpanel"]}), tools)


def _read(source: Source, cursor: dict[str, Any] | None, now: datetime) -> tuple[dict[str, Any], Counter[str], Page]:
    """The cursor, how often each fact was told, and the last page."""
    told: Counter[str] = Counter()
    last = Page(cursor=cursor)
    for page in source.pull(cursor, start=START, now=now):
        assert not page.rejected
        told.update(_ids(page))
        last = page
    source.close()
    return last.cursor or {}, told, last


def _ids(page: Page) -> list[str]:
    events = page.events
    if isinstance(events, list | tuple):
        return [event.id for event in events]

    class Stream:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return events.__arrow_c_stream__(requested_schema)  # type: ignore[union-attr]

    with duckdb.connect() as connection:
        connection.register("arrived", Stream())
        return [id for (id,) in connection.execute("select id from arrived").fetchall()]


def test_zendesk_tells_every_ticket_once_and_goes_on_where_it_was(
    sandbox: Sandbox, tools: Tools, clock: SteppedClock
) -> None:
    cursor, told, last = _read(_zendesk(sandbox, tools), None, clock.now())
    assert told
    assert max(told.values()) == 1
    assert last.through is not None

    clock.advance_to(clock.now() + timedelta(days=2))
    _, later, last = _read(_zendesk(sandbox, tools), cursor, clock.now())

    undated = {id for id in told if "/severity/" in id or "/escalated" in id or "/csat/" in id}
    assert undated
    assert not undated & set(later)
    assert {id.split("/")[0] for id in later} != {id.split("/")[0] for id in told}
    assert last.through is not None
    assert last.through >= NOON + timedelta(days=2) - timedelta(minutes=1)


def test_mixpanel_reads_whole_days_and_finds_late_events(sandbox: Sandbox, tools: Tools, clock: SteppedClock) -> None:
    cursor, told, last = _read(_mixpanel(sandbox, tools), None, clock.now())
    assert told
    assert max(told.values()) == 1
    assert last.through == datetime(2026, 3, 10, tzinfo=UTC)

    clock.advance_to(NOON + timedelta(days=1))
    _, later, last = _read(_mixpanel(sandbox, tools), cursor, clock.now())

    again = {id for id in told if id.split("/")[2] >= "2026-03-05"}
    assert again
    assert again <= set(later)
    assert last.replaces == (date(2026, 3, 5), date(2026, 3, 10))
    assert not list(tools.spool.iterdir())

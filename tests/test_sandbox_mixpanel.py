"""The stand-in for Mixpanel's export, over real HTTP, held against what the vendor was recorded to say."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.clock import SteppedClock
from connectors.sandbox import Sandbox
from connectors.sandbox.credentials import MIXPANEL_ACCOUNT, MIXPANEL_PROJECT

NOW = datetime(2026, 10, 29, 9, 30, tzinfo=UTC)
SHARED = Path(__file__).parents[2] / "shared"
ERRORS = SHARED / "recordings" / "documented_error_bodies.json"
REFUSED = SHARED / "recordings" / "mixpanel" / "events.test.json"


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(NOW)


@pytest.fixture
def sandbox(clock: SteppedClock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock, accounts=30, history_days=30, vendors=("mixpanel",)) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.urls["mixpanel"], auth=MIXPANEL_ACCOUNT, verify=False) as opened:
        yield opened


def export(client: httpx.Client, first: str, last: str, **more: str) -> httpx.Response:
    dates = {"project_id": MIXPANEL_PROJECT, "from_date": first, "to_date": last}
    return client.get("/api/2.0/export", params=dates | more)


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.content.split(b"\n") if line]


def test_both_dates_are_included(client: httpx.Client) -> None:
    found = events(export(client, "2026-10-05", "2026-10-06"))
    days = {datetime.fromtimestamp(e["properties"]["time"], UTC).date().isoformat() for e in found}
    assert days == {"2026-10-05", "2026-10-06"}


def test_an_event_has_the_properties_a_client_counts_by(client: httpx.Client) -> None:
    for event in events(export(client, "2026-10-05", "2026-10-05")):
        assert event["event"]
        assert {"time", "distinct_id", "$insert_id", "mp_processing_time_ms"} <= set(event["properties"])


def test_only_the_named_events_come_when_names_are_given(client: httpx.Client) -> None:
    found = events(export(client, "2026-10-05", "2026-10-05", event='["Logged In"]'))
    assert {event["event"] for event in found} == {"Logged In"}


def test_a_limit_ends_the_export(client: httpx.Client) -> None:
    assert len(events(export(client, "2026-10-05", "2026-10-07", limit="5"))) == 5


def test_a_day_before_the_history_is_empty_and_still_a_200(client: httpx.Client) -> None:
    answer = export(client, "2026-01-05", "2026-01-05")
    assert answer.status_code == 200
    assert answer.content == b""


def test_a_session_tells_its_duration(client: httpx.Client) -> None:
    found = events(export(client, "2026-10-05", "2026-10-05", event='["Session Ended"]'))
    assert found
    assert all(event["properties"]["$duration"] > 0 for event in found)


def test_an_event_shows_only_once_it_has_arrived(client: httpx.Client, clock: SteppedClock) -> None:
    early = len(events(export(client, "2026-10-29", "2026-10-29")))
    clock.advance_to(NOW + timedelta(hours=14))
    later = len(events(export(client, "2026-10-29", "2026-10-29")))
    assert 0 < early < later


def test_late_events_turn_up_days_after_their_date(client: httpx.Client, clock: SteppedClock) -> None:
    first = len(events(export(client, "2026-10-20", "2026-10-28")))
    clock.advance_to(NOW + timedelta(days=6))
    assert len(events(export(client, "2026-10-20", "2026-10-28"))) > first
    clock.advance_to(NOW + timedelta(days=8))
    settled = export(client, "2026-10-20", "2026-10-28").content
    clock.advance_to(NOW + timedelta(days=30))
    assert export(client, "2026-10-20", "2026-10-28").content == settled


def test_it_is_compressed_only_when_asked_for(client: httpx.Client) -> None:
    day = {"project_id": MIXPANEL_PROJECT, "from_date": "2026-10-05", "to_date": "2026-10-07"}
    with client.stream("GET", "/api/2.0/export", params=day, headers={"accept-encoding": "gzip"}) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        raw = b"".join(packed.iter_raw())
    plain = client.get("/api/2.0/export", params=day, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content


def test_a_small_answer_is_never_compressed(client: httpx.Client) -> None:
    answer = export(client, "2026-10-05", "2026-10-05", limit="2")
    assert 0 < len(answer.content) < 1400
    assert "content-encoding" not in answer.headers


def test_it_is_plain_text(client: httpx.Client) -> None:
    assert export(client, "2026-10-05", "2026-10-05").headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("auth", "project"),
    [(("sandbox.sa", "wrong"), MIXPANEL_PROJECT), (MIXPANEL_ACCOUNT, "7"), (("", ""), MIXPANEL_PROJECT)],
)
def test_a_stranger_is_told_so_with_a_400(client: httpx.Client, auth: tuple[str, str], project: str) -> None:
    day = {"project_id": project, "from_date": "2026-10-05", "to_date": "2026-10-05"}
    answer = client.get("/api/2.0/export", params=day, auth=auth)
    assert (answer.status_code, answer.text) == (400, "Unable to authenticate request\n")


@pytest.mark.skipif(not REFUSED.exists(), reason="no recordings beside this checkout")
def test_the_refusal_is_the_recorded_one(client: httpx.Client) -> None:
    recorded = json.loads(REFUSED.read_text())["api"]["get"]["/api/2.0/export"]
    day = {"project_id": "1", "from_date": "2026-10-05", "to_date": "2026-10-05"}
    answer = client.get("/api/2.0/export", params=day)
    assert answer.status_code == recorded["status"]
    assert answer.text == recorded["response"]
    assert answer.headers["content-type"] == recorded["headers"]["content-type"]


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-10-05", "2026-10-30", "to_date cannot be later than today"),
        ("2026-10-06", "2026-10-05", "to_date cannot be less than from_date"),
        ("yesterday", "2026-10-05", "from_date"),
    ],
)
def test_wrong_dates_are_a_400(client: httpx.Client, first: str, last: str, words: str) -> None:
    answer = export(client, first, last)
    assert answer.status_code == 400
    assert words in answer.text


@pytest.mark.parametrize("more", [{"event": "login"}, {"limit": "0"}, {"where": "true"}])
def test_what_it_does_not_understand_is_a_400_and_never_ignored(client: httpx.Client, more: dict[str, str]) -> None:
    assert export(client, "2026-10-05", "2026-10-05", **more).status_code == 400


def test_the_fourth_call_in_a_second_is_refused(client: httpx.Client, clock: SteppedClock) -> None:
    day = ("2026-01-05", "2026-01-05")
    assert [export(client, *day).status_code for _ in range(4)] == [200, 200, 200, 429]
    clock.advance_to(NOW + timedelta(seconds=1))
    assert export(client, *day).status_code == 200


def test_sixty_calls_an_hour_and_no_more(client: httpx.Client, clock: SteppedClock) -> None:
    day = ("2026-01-05", "2026-01-05")
    for number in range(60):
        clock.advance_to(NOW + timedelta(seconds=number))
        assert export(client, *day).status_code == 200
    clock.advance_to(NOW + timedelta(minutes=30))
    refused = export(client, *day)
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers
    clock.advance_to(NOW + timedelta(hours=1))
    assert export(client, *day).status_code == 200


@pytest.mark.skipif(not ERRORS.exists(), reason="no recordings beside this checkout")
def test_the_429_has_the_documented_members(client: httpx.Client) -> None:
    documented = json.loads(ERRORS.read_text())["mixpanel_query_429"]
    for _ in range(4):
        answer = export(client, "2026-01-05", "2026-01-05")
    assert answer.status_code == documented["status"]
    assert set(answer.json()) == set(documented["body"])


def test_an_export_that_breaks_off_does_so_inside_a_200(clock: SteppedClock) -> None:
    endings = []
    with (
        Sandbox(clock=clock, accounts=10, history_days=30, vendors=("mixpanel",), faults="storm") as stormy,
        httpx.Client(base_url=stormy.urls["mixpanel"], auth=MIXPANEL_ACCOUNT) as client,
    ):
        for _ in range(30):
            clock.advance_to(clock.now() + timedelta(minutes=1))
            try:
                answer = export(client, "2026-10-01", "2026-10-10")
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                endings.append(answer.content.rsplit(b"\n", 2)[-2])
    broken = [ending for ending in endings if ending == b"export terminated early"]
    assert 0 < len(broken) < len(endings)

"""The sandbox as a whole: where it listens, what goes wrong at its door, and that it leaves nothing behind."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.clock import SteppedClock
from connectors.sandbox import Sandbox
from connectors.sandbox.credentials import MIXPANEL_ACCOUNT, MIXPANEL_PROJECT, ZENDESK_CLIENT, ZENDESK_TOKEN
from connectors.sandbox.faults import PROFILES, SESSION, Profile, profile
from connectors.sandbox.refusals import refusal
from connectors.sandbox.server import VENDORS

NOW = datetime(2026, 10, 29, 9, 30, tzinfo=UTC)
ERRORS = Path(__file__).parents[2] / "shared" / "recordings" / "documented_error_bodies.json"
ME = "/api/v2/users/me.json"


def running(faults: str = "none", vendors: tuple[str, ...] = ("zendesk", "mixpanel")) -> Sandbox:
    return Sandbox(clock=SteppedClock(NOW), accounts=10, history_days=20, faults=faults, vendors=vendors)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(auth=ZENDESK_TOKEN) as client:
        yield client


def ask(http: httpx.Client, sandbox: Sandbox, **headers: str) -> httpx.Response:
    return http.get(sandbox.urls["zendesk"] + ME, headers=headers)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
def test_it_refuses_to_serve_anybody_but_this_machine(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Sandbox(clock=SteppedClock(NOW), accounts=10, host=host)


def test_all_four_vendors_answer_on_ports_of_their_own(http: httpx.Client) -> None:
    with running(vendors=VENDORS) as started:
        assert set(started.urls) == set(VENDORS)
        assert len(set(started.urls.values())) == len(VENDORS)
        for url in started.urls.values():
            assert http.get(url + "/nothing-here").status_code in (401, 403, 404)
        assert set(started.crm) == {"salesforce", "hubspot"}


def test_a_given_port_is_used_and_a_taken_one_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            Sandbox(clock=SteppedClock(NOW), accounts=10, vendors=("mixpanel",), ports=(port,))
    with Sandbox(clock=SteppedClock(NOW), accounts=10, vendors=("mixpanel",), ports=(port,)) as started:
        assert started.urls["mixpanel"] == f"http://127.0.0.1:{port}"


def test_it_leaves_no_thread_and_no_socket_behind() -> None:
    before = set(threading.enumerate())
    with running() as started, httpx.Client() as client:
        url = started.urls["zendesk"] + ME
        assert client.get(url, auth=ZENDESK_TOKEN).status_code == 200
        started.close()
        assert set(threading.enumerate()) == before
        with pytest.raises(httpx.TransportError):
            client.get(url, auth=ZENDESK_TOKEN)


def test_closing_twice_is_closing_once() -> None:
    started = running()
    started.close()
    started.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::", ""])
def test_a_request_under_another_hosts_name_is_turned_away(http: httpx.Client, sandbox: Sandbox, host: str) -> None:
    assert ask(http, sandbox, host=host).status_code in (400, 421)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost", "[::1]:80"])
def test_this_machines_own_names_come_in(http: httpx.Client, sandbox: Sandbox, host: str) -> None:
    assert ask(http, sandbox, host=host).status_code == 200


def test_calls_are_counted_by_vendor_and_by_what_they_were_for(http: httpx.Client) -> None:
    with running() as started:
        for _ in range(3):
            ask(http, started)
        http.get(started.urls["mixpanel"] + "/api/2.0/export")
        assert started.calls == {"zendesk": {"me": 3}, "mixpanel": {"export": 1}}


def test_the_none_profile_injects_nothing(http: httpx.Client) -> None:
    assert not any(profile("none").fault("zendesk", number) for number in range(10_000))
    with running() as started:
        assert {ask(http, started).status_code for _ in range(30)} == {200}


def test_an_unknown_profile_names_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match="none, mild, storm"):
        profile("hurricane")


@given(st.sampled_from(sorted(PROFILES)), st.integers(0, 1000), st.integers(1, 10_000))
def test_a_call_fails_alike_every_time_and_never_three_in_a_row(name: str, seed: int, number: int) -> None:
    chosen = profile(name, seed=seed)
    faults = [chosen.fault("hubspot", call) for call in range(number, number + 3)]
    assert faults == [profile(name, seed=seed).fault("hubspot", call) for call in range(number, number + 3)]
    assert None in faults


def test_a_storm_brings_every_kind_of_fault() -> None:
    kinds = Counter(profile("storm").fault("zendesk", number) for number in range(3000))
    assert set(kinds) == {None, "refused", "broken", "closed", "reset", "silent", "cut", "lost", "expired"}
    assert 0.1 < 1 - kinds[None] / 3000 < 0.3


def test_rows_fail_by_share_and_by_name() -> None:
    locked = Profile(locked=0.5)
    fates = {locked.happens(locked.locked, "row", number) for number in range(50)}
    assert fates == {True, False}
    assert not Profile().happens(0.0, "row", 1)


def outcome(http: httpx.Client, sandbox: Sandbox) -> str:
    try:
        answer = ask(http, sandbox)
    except httpx.TransportError as error:
        return type(error).__name__
    return str(answer.status_code)


def test_faults_reach_the_client_as_answers_resets_and_torn_bodies(http: httpx.Client) -> None:
    with running("storm") as started:
        seen = Counter(outcome(http, started) for _ in range(150))
        calls = dict(started.calls["zendesk"])
    assert {"200", "429", "500", "503"} <= set(seen)
    dropped = sum(calls.get(f"fault.{kind}", 0) for kind in ("reset", "silent", "lost", "cut"))
    assert dropped == sum(count for name, count in seen.items() if not name.isdigit()) > 0


def test_a_lost_answer_was_carried_out_all_the_same(http: httpx.Client) -> None:
    with running("storm") as started:
        answered = sum(outcome(http, started) == "200" for _ in range(150))
        calls = dict(started.calls["zendesk"])
    assert calls["me"] == answered + calls["fault.lost"] + calls.get("fault.cut", 0)
    assert calls["fault.lost"] > 0


def sign_in(http: httpx.Client, sandbox: Sandbox) -> str:
    """A new session's header; a call that fails on the way is made again."""
    body = {"grant_type": "client_credentials", "client_id": ZENDESK_CLIENT[0], "client_secret": ZENDESK_CLIENT[1]}
    for _ in range(3):
        try:
            answer = http.post(sandbox.urls["zendesk"] + "/oauth/tokens", json=body)
        except httpx.TransportError:
            continue
        if answer.is_success:
            return f"Bearer {answer.json()['access_token']}"
    raise AssertionError("three sign-ins in a row failed")


def test_a_session_ends_in_the_middle_of_the_work_and_the_next_one_lasts_a_while() -> None:
    with running("storm") as started, httpx.Client() as http:
        token, ended = sign_in(http, started), []
        for number in range(200):
            try:
                answer = http.get(started.urls["zendesk"] + ME, headers={"authorization": token})
            except httpx.TransportError:
                continue
            if answer.status_code == 401:
                ended.append(number)
                token = sign_in(http, started)
        assert len(ended) == started.faults["expired"] > 1
        assert min(later - first for first, later in pairwise(ended)) > SESSION - 3


def test_a_client_that_loses_patience_with_a_silent_vendor_is_counted() -> None:
    with Sandbox(
        clock=SteppedClock(NOW), accounts=10, history_days=20, faults="storm", vendors=("zendesk",), silence=30
    ) as started:
        with httpx.Client(auth=ZENDESK_TOKEN, timeout=0.2) as http:
            seen = Counter(outcome(http, started) for _ in range(60))
        assert seen["ReadTimeout"] == started.faults["silent"] == started.faults["given_up"] > 0


def test_what_the_sources_have_heard_of_can_stand_still_while_time_goes_on() -> None:
    clock, told = SteppedClock(NOW), SteppedClock(NOW)
    params = {"project_id": MIXPANEL_PROJECT, "from_date": "2026-10-29", "to_date": "2026-10-29"}

    def heard(http: httpx.Client, started: Sandbox) -> tuple[int, int]:
        export = http.get(started.urls["mixpanel"] + "/api/2.0/export", params=params, auth=MIXPANEL_ACCOUNT)
        tickets = http.get(
            started.urls["zendesk"] + "/api/v2/incremental/tickets/cursor.json",
            params={"start_time": 1_600_000_000},
            auth=ZENDESK_TOKEN,
        )
        return len(export.text.splitlines()), max(one["generated_timestamp"] for one in tickets.json()["tickets"])

    with Sandbox(clock=clock, told=told, accounts=40, history_days=20) as started, httpx.Client() as http:
        before = heard(http, started)
        clock.advance_to(NOW + timedelta(hours=12))
        assert heard(http, started) == before
        told.advance_to(clock.now())
        after = heard(http, started)
        assert after[0] > before[0]
        assert after[1] > before[1]


def test_calls_whose_answer_is_lost_are_known_to_the_crm() -> None:
    vendors = ("hubspot",)
    with running("storm", vendors) as started, httpx.Client() as http:
        portal = started.crm["hubspot"]
        record = next(portal.live())
        address = f"{started.urls['hubspot']}/crm/objects/2026-03/companies/{record}"
        answered = 0
        for number in range(150):
            with suppress(httpx.TransportError):
                answer = http.patch(
                    address,
                    json={"properties": {"city": f"{number}"}},
                    headers={"authorization": "Bearer sandbox-hubspot"},
                )
                answered += answer.is_success
        assert len(portal.writes) == portal.writing_calls == answered + len(portal.unanswered)
        assert len(portal.unanswered) > 0


def test_a_door_that_speaks_for_the_vendor_says_how_long_to_wait_where_the_vendor_would() -> None:
    assert "Retry-After" in refusal("zendesk", "refused").headers
    assert "Retry-After" not in refusal("hubspot", "refused").headers
    assert all("Retry-After" in refusal(vendor, "closed").headers for vendor in VENDORS)


@pytest.mark.skipif(not ERRORS.exists(), reason="no recordings beside this checkout")
@pytest.mark.parametrize(
    ("vendor", "name"), [("hubspot", "hubspot_429_ten_secondly"), ("mixpanel", "mixpanel_query_429")]
)
def test_a_refusal_has_the_documented_status_and_members(vendor: str, name: str) -> None:
    documented = json.loads(ERRORS.read_text())[name]
    said = refusal(vendor, "refused")
    assert said.status == documented["status"]
    assert json.loads(said.body).keys() <= documented["body"].keys()

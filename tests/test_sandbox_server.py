"""The sandbox as a whole: where it listens, what goes wrong at its door, and that it leaves nothing behind."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.clock import SteppedClock
from connectors.sandbox import Sandbox
from connectors.sandbox.credentials import ZENDESK_TOKEN
from connectors.sandbox.faults import PROFILES, Profile, profile
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
    assert set(kinds) == {None, "refused", "broken", "closed", "reset", "silent", "cut", "lost"}
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

"""What every source over HTTP must do, whatever its vendor: one test for each promise, over all of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from connectors import SOURCES
from connectors.base import Page, Tools
from connectors.clock import SteppedClock, SystemClock
from connectors.errors import AgainNow, SettingsWrong, Stopped
from tests import served

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
START = datetime(2026, 3, 8, tzinfo=UTC)
SECRET = "hush-hush-hush"
Answer = Callable[[httpx.Request], httpx.Response]


class Case(NamedTuple):
    """A source, settings that are enough for it, how it says "nothing", and how it refuses a credential."""

    kind: str
    settings: dict[str, Any]
    nothing: Answer
    refusal: int = 401


def _no_tickets(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/oauth/tokens":
        return httpx.Response(200, json={"access_token": SECRET, "expires_in": 7200})
    rows: dict[str, list[Any]] = {name: [] for name in ("tickets", "users", "organizations")}
    return httpx.Response(200, json={**rows, "end_of_stream": True, "after_cursor": "a"})


CASES = [
    Case("zendesk", {"subdomain": "acme", "client_id": "id", "client_secret": SECRET}, _no_tickets),
    Case(
        "mixpanel",
        {
            "service_account": "sa",
            "secret": SECRET,
            "project_id": 1,
            "account_key": {"property": "company_id"},
            "events": {"login": "Logged In"},
        },
        lambda _: httpx.Response(200, stream=httpx.ByteStream(b"")),
        400,
    ),
]
each = pytest.mark.parametrize("case", CASES, ids=[case.kind for case in CASES])


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return served.tools(tmp_path, SteppedClock(NOW))


def _settings(case: Case, **more: Any) -> BaseModel:
    found: BaseModel = SOURCES[case.kind].load()[1].model_validate(case.settings | more)
    return found


def _pages(case: Case, tools: Tools, answer: Answer) -> Iterator[Page]:
    source = SOURCES[case.kind].load()[0](case.kind, _settings(case), tools, transport=httpx.MockTransport(answer))
    yield from source.pull(None, start=START, now=NOW)
    source.close()


def test_every_source_over_http_is_here() -> None:
    assert {case.kind for case in CASES} == set(SOURCES) - {"file"}


@each
def test_unknown_settings_are_refused(case: Case) -> None:
    with pytest.raises(ValidationError, match="surprise"):
        _settings(case, surprise=1)


@each
def test_plain_http_to_another_machine_is_refused(case: Case, tools: Tools) -> None:
    settings = _settings(case, base_url="http://192.0.2.1")

    with pytest.raises(SettingsWrong, match=r"base_url.*https"):
        SOURCES[case.kind].load()[0](case.kind, settings, tools)


@each
def test_check_tells_a_dead_address_from_a_wrong_setting(case: Case, tools: Tools) -> None:
    def dead(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Name or service not known", request=request)

    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(case.refusal)

    build = SOURCES[case.kind].load()[0]
    [unreachable] = build(case.kind, _settings(case), tools, transport=httpx.MockTransport(dead)).check()
    [refused] = build(case.kind, _settings(case), tools, transport=httpx.MockTransport(refuse)).check()
    [busy] = build(case.kind, _settings(case), tools, transport=httpx.MockTransport(_busy)).check()
    [well] = build(case.kind, _settings(case), tools, transport=httpx.MockTransport(case.nothing)).check()

    place = f"sources.{case.kind}"
    assert unreachable == (
        place,
        False,
        "cannot be reached (ConnectError)",
        "check base_url, the network and DNS",
    )
    assert (refused.place, refused.ok) == (place, False)
    assert place not in refused.message
    assert refused.remedy.startswith("correct ")
    assert busy.remedy == "wait a little and check again"
    assert (well.ok, well.remedy) == (True, "")


def _busy(_: httpx.Request) -> httpx.Response:
    return httpx.Response(502)


@each
def test_a_refused_credential_asks_a_person_and_says_what_to_look_at(case: Case, tools: Tools) -> None:
    calls = []

    def refuse(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        return httpx.Response(case.refusal, text="no")

    with pytest.raises(SettingsWrong, match=rf"sources.{case.kind}.*check"):
        list(_pages(case, tools, refuse))

    assert len(calls) == 1


@each
def test_a_rate_limit_is_waited_out_for_as_long_as_it_says(case: Case, tools: Tools) -> None:
    waited: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if not waited:
            waited.append(1)
            return httpx.Response(429, headers={"Retry-After": "77"})
        return case.nothing(request)

    assert list(_pages(case, tools, answer))
    assert tools.clock.now() - NOW == timedelta(seconds=77)


@each
def test_a_server_that_stays_broken_is_given_up(case: Case, tools: Tools) -> None:
    calls = []

    def broken(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        return httpx.Response(500, text="words of the body")

    with pytest.raises(AgainNow) as caught:
        list(_pages(case, tools, broken))

    assert 2 <= len(calls) <= 10
    assert "words" not in str(caught.value)


@each
def test_nothing_new_ends(case: Case, tools: Tools) -> None:
    pages = list(_pages(case, tools, case.nothing))

    assert pages[-1].through
    assert pages[-1].cursor
    assert not [page for page in pages if page.keys or page.retracts]


@each
def test_a_cursor_is_kept_as_json_and_understood_again(case: Case, tools: Tools) -> None:
    cursor = [page.cursor for page in _pages(case, tools, case.nothing)][-1]
    source = SOURCES[case.kind].load()[0](
        case.kind, _settings(case), tools, transport=httpx.MockTransport(case.nothing)
    )
    later = NOW + timedelta(days=1)

    again = list(source.pull(json.loads(json.dumps(cursor)), start=START, now=later))

    assert again[-1].through
    assert again[-1].through > NOW


@each
def test_stop_ends_a_ten_minute_wait_at_once(case: Case, tools: Tools) -> None:
    stop = threading.Event()
    patient = replace(tools, clock=SystemClock(), stop=stop)

    def answer(_: httpx.Request) -> httpx.Response:
        threading.Timer(0.05, stop.set).start()
        return httpx.Response(429, headers={"Retry-After": "600"})

    begun = time.monotonic()
    with pytest.raises(Stopped):
        list(_pages(case, patient, answer))

    assert time.monotonic() - begun < 5


@each
def test_secrets_are_in_no_repr_and_no_error(case: Case, tools: Tools) -> None:
    source = SOURCES[case.kind].load()[0](case.kind, _settings(case), tools)
    seen = [repr(_settings(case)), repr(source), str(vars(source))]
    for status in (400, 401, 403, 404, 500):
        with pytest.raises((SettingsWrong, AgainNow)) as caught:
            list(_pages(case, tools, lambda _, status=status: httpx.Response(status, text=SECRET)))  # type: ignore[misc]
        seen.append(repr(caught.value))

    source.close()
    assert SECRET not in "".join(seen)


@each
def test_nothing_is_left_in_the_spool_folder(case: Case, tools: Tools) -> None:
    list(_pages(case, tools, case.nothing))

    assert not tools.spool.exists() or not list(tools.spool.iterdir())

"""HTTP: how long it waits, what it makes of a refusal, and where a credential never goes."""

from __future__ import annotations

import gzip
import http.server
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

from connectors.address import checked_base_url, same_origin
from connectors.base import Tools
from connectors.clock import SteppedClock, SystemClock
from connectors.errors import AgainNow, ConnectorError, SettingsWrong, SignInAgain, Stopped, Unreachable, WaitUntil
from connectors.patience import Pace, patiently
from connectors.rest import Rest, sorted_error
from connectors.signin import Basic, Token, Tokens
from tests import served

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
BASE = "https://api.example.com"
Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return served.tools(tmp_path, SteppedClock(NOW))


def rest(tools: Tools, answer: Answer, **more: Any) -> Rest:
    return Rest(BASE, tools=tools, place="sources.x", transport=httpx.MockTransport(answer), **more)


def in_turn(*answers: httpx.Response) -> Answer:
    waiting = iter(answers)
    return lambda _: next(waiting)


# --- addresses


@pytest.mark.parametrize(
    "url", ["https://api.example.com", "https://api.example.com/", "http://127.0.0.1:8080", "http://[::1]:1"]
)
def test_https_and_loopback_are_allowed(url: str) -> None:
    assert checked_base_url(url, "x") == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com.invalid",
        "http://10.0.0.1",
        "ftp://api.example.com",
        "api.example.com",
        "https://",
        "https://user:pass@api.example.com",
        "https://api.example.com?x=1",
        "https://api.example.com:port",
        "https://api.example.com\\@evil.example",
        "https://api.exa mple.com",
        "https://[::1",
    ],
)
def test_no_other_address_is_allowed(url: str) -> None:
    with pytest.raises(SettingsWrong):
        checked_base_url(url, "x")


@pytest.mark.parametrize("url", [f"{BASE}/next?a=1", f"{BASE}:443/next", "/next", "next"])
def test_an_address_on_the_same_host_is_followed(url: str) -> None:
    assert same_origin(BASE, url, "x").startswith(BASE)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/next",
        "http://api.example.com/next",
        "https://api.example.com:444/",
        "https://api.example.com.evil.example/",
        "https://api.example.com@evil.example/",
        "https://evil.example\\@api.example.com/",
        "//evil.example/next",
        "javascript:alert(1)",
        "https://api.example.com\n.evil.example/",
    ],
)
def test_an_address_on_another_host_is_refused(url: str) -> None:
    with pytest.raises(SettingsWrong):
        same_origin(BASE, url, "x")


@given(st.text(max_size=60))
def test_whatever_a_vendor_sends_stays_on_the_host_or_is_refused(url: str) -> None:
    try:
        whole = same_origin(BASE, url, "x")
    except SettingsWrong:
        return
    assert httpx.URL(whole).host == "api.example.com"
    assert httpx.URL(whole).scheme == "https"


# --- errors


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (401, {}, SignInAgain),
        (403, {}, SettingsWrong),
        (404, {}, SettingsWrong),
        (302, {"location": "https://evil.example"}, SettingsWrong),
        (400, {}, SettingsWrong),
        (408, {}, AgainNow),
        (423, {}, AgainNow),
        (425, {}, AgainNow),
        (429, {}, AgainNow),
        (429, {"retry-after": "nonsense"}, AgainNow),
        (429, {"retry-after": "7"}, WaitUntil),
        (503, {"Retry-After": "7"}, WaitUntil),
        (500, {"Retry-After": "7"}, AgainNow),
        (502, {}, AgainNow),
    ],
)
def test_each_status_has_a_remedy(status: int, headers: dict[str, str], kind: type[ConnectorError]) -> None:
    error = sorted_error(status, headers, "sources.x", NOW)

    assert type(error) is kind
    assert str(error).startswith("sources.x: ")


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("7", 7), ("0", 0), ("Tue, 10 Mar 2026 12:01:30 GMT", 90), ("Tue, 10 Mar 2026 11:00:00 GMT", 0)],
)
def test_retry_after_is_seconds_or_a_date(asked: str, seconds: float) -> None:
    error = sorted_error(429, {"retry-after": asked}, "x", NOW)

    assert isinstance(error, WaitUntil)
    assert error.seconds == seconds


@given(st.text(max_size=30))
def test_any_retry_after_is_understood_or_ignored(asked: str) -> None:
    error = sorted_error(429, {"retry-after": asked}, "x", NOW)

    assert isinstance(error, AgainNow) or (isinstance(error, WaitUntil) and error.seconds >= 0)


# --- patience


def test_waits_as_long_as_the_server_asks(tools: Tools) -> None:
    one = rest(tools, in_turn(httpx.Response(429, headers={"Retry-After": "93"}), httpx.Response(200, json=[1])))

    assert one.get_json("/a") == [1]
    assert tools.clock.now() - NOW == timedelta(seconds=93)


def test_waits_longer_each_time_when_the_server_does_not_say(tools: Tools) -> None:
    times = []

    def answer(_: httpx.Request) -> httpx.Response:
        times.append(tools.clock.now())
        return httpx.Response(500)

    with pytest.raises(AgainNow, match="answered 500"):
        rest(tools, answer).get_json("/a")

    waits = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert len(waits) == 5
    assert all(2**n <= wait <= 2**n + 1 for n, wait in enumerate(waits))


def test_a_wait_of_more_than_an_hour_is_left_to_a_later_run(tools: Tools) -> None:
    with pytest.raises(WaitUntil):
        rest(tools, lambda _: httpx.Response(429, headers={"Retry-After": "3601"})).get_json("/a")

    assert tools.clock.now() == NOW


def test_a_gone_quota_is_not_waited_for(tools: Tools) -> None:
    def attempt() -> None:
        raise WaitUntil("daily", seconds=10, quota=True)

    with pytest.raises(WaitUntil):
        patiently(attempt, tools=tools, place="x")

    assert tools.clock.now() == NOW


def test_stop_ends_a_ten_minute_wait_at_once(tools: Tools) -> None:
    stop = threading.Event()
    slow = Tools(SystemClock(), stop, tools.actor, tools.timezone, tools.spool, tools.root)

    def answer(_: httpx.Request) -> httpx.Response:
        threading.Timer(0.05, stop.set).start()
        return httpx.Response(429, headers={"Retry-After": "600"})

    begun = time.monotonic()
    with pytest.raises(Stopped):
        rest(slow, answer).get_json("/a")

    assert time.monotonic() - begun < 5


def test_a_burst_goes_at_once_and_more_wait_their_turn(tools: Tools) -> None:
    one = rest(tools, lambda _: httpx.Response(200, json={}), at_most=(3, 60.0))
    times = []
    for _ in range(7):
        one.get_json("/a")
        times.append((tools.clock.now() - NOW).total_seconds())

    assert times == [0, 0, 0, 60, 60, 60, 120]


SECONDS = st.floats(0, 30).map(lambda seconds: round(seconds, 3))


@given(calls=st.integers(1, 5), seconds=SECONDS, gaps=st.lists(SECONDS, max_size=30))
def test_no_stretch_of_time_holds_more_calls_than_are_allowed(calls: int, seconds: float, gaps: list[float]) -> None:
    clock = SteppedClock(NOW)
    pace, times = _pace(clock, calls, seconds), []
    for gap in gaps:
        clock.sleep(gap, threading.Event())
        pace.wait()
        times.append(clock.now())

    apart = zip(times, times[calls:], strict=False)
    assert all((later - earlier).total_seconds() >= seconds for earlier, later in apart)


def test_a_pace_changes_in_the_middle_and_what_was_called_still_counts() -> None:
    clock = SteppedClock(NOW)
    pace, times = _pace(clock, 2, 10), []
    for calls in (2, 2, 4, 4, 1, 1):
        pace.allow(calls, 10)
        pace.wait()
        times.append((clock.now() - NOW).total_seconds())

    assert times == [0, 0, 0, 0, 10, 20]


def test_while_one_waits_as_long_as_it_was_asked_to_all_of_its_pace_do() -> None:
    class Watched(SteppedClock):
        others: list[float] = []  # noqa: RUF012

        def sleep(self, seconds: float, stop: threading.Event) -> bool:
            if not self.others:
                self.others.append(-1)  # another thread that begins a call meanwhile
                pace.wait()
                self.others[0] = (self.now() - NOW).total_seconds()
            return super().sleep(0 if self.now() > NOW else seconds, stop)

    clock = Watched(NOW)
    pace = _pace(clock, 100, 10)
    answers = iter([WaitUntil("busy", seconds=7), None])

    def attempt() -> None:
        if error := next(answers):
            raise error

    patiently(attempt, tools=_with(clock), place="x", pace=pace)
    assert clock.others == [7]


def test_a_clock_that_is_set_back_keeps_nobody_waiting_for_it_to_come_round_again() -> None:
    class Backwards(SteppedClock):
        behind = timedelta()

        def now(self) -> datetime:
            return super().now() - self.behind

    clock = Backwards(NOW)
    pace = _pace(clock, 2, 10)
    for _ in range(2):
        pace.wait()
    pace.hold(5)
    clock.behind = timedelta(hours=3)
    pace.wait()

    assert clock.now() == NOW - timedelta(hours=3)


def _pace(clock: SteppedClock, calls: int, seconds: float) -> Pace:
    return Pace(calls, seconds, tools=_with(clock), place="x")


def _with(clock: SteppedClock) -> Tools:
    return Tools(clock, threading.Event(), lambda user: user, ZoneInfo("UTC"), Path(), Path())


# --- what comes back


@pytest.mark.parametrize("broken", [httpx.ReadTimeout("x"), httpx.ReadError("x"), httpx.RemoteProtocolError("x")])
def test_an_answer_that_never_came_may_have_been_carried_out(tools: Tools, broken: Exception) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise broken

    with pytest.raises(AgainNow) as caught:
        rest(tools, answer).get_json("/a")

    assert caught.value.unanswered


def test_a_host_out_of_reach_was_never_asked(tools: Tools) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    one = Rest(f"http://127.0.0.1:{port}", tools=tools, place="sources.x")

    with pytest.raises(AgainNow, match="cannot be reached") as caught:
        one.get_json("/a")

    one.close()
    assert not caught.value.unanswered


def test_a_redirect_is_never_followed(tools: Tools) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(302, headers={"Location": "https://evil.example/"})

    with pytest.raises(SettingsWrong, match="another address"):
        rest(tools, answer, auth=Basic("a", SecretStr("hush"))).get_json("/a")

    assert seen == ["api.example.com"]


def test_what_is_not_json_is_asked_for_again(tools: Tools) -> None:
    one = rest(tools, in_turn(httpx.Response(200, text="<html>"), httpx.Response(200, json={"a": 1})))

    assert one.get_json("/a") == {"a": 1}
    assert one.calls == {"read": 2}


def test_no_message_holds_a_secret_a_query_or_a_body(tools: Tools) -> None:
    for status in (400, 401, 403, 404, 429, 500):
        one = rest(
            tools,
            lambda _, status=status: httpx.Response(status, text="body-words"),  # type: ignore[misc]
            auth=Basic("me", SecretStr("hush")),
        )
        with pytest.raises(ConnectorError) as caught:
            one.get_json("/a", params={"key": "query-words"})
        for secret in ("hush", "query-words", "body-words"):
            assert secret not in f"{caught.value!r} {one!r} {vars(one)}"


# --- signing in


class Door:
    """A vendor whose newest token alone is good."""

    def __init__(self, life: float = 1000) -> None:
        self.made, self.life = 0, life

    def sign_in(self, clock: SteppedClock) -> Token:
        self.made += 1
        return Token(SecretStr(f"t{self.made}"), clock.now() + timedelta(seconds=self.life))

    def answer(self, request: httpx.Request) -> httpx.Response:
        good = request.headers["Authorization"] == f"Bearer t{self.made}"
        return httpx.Response(200 if good else 401, json={})


def test_a_refused_token_is_renewed_once_and_then_a_person_is_asked(tools: Tools) -> None:
    clock, made = tools.clock, []

    def sign_in() -> Token:
        made.append(1)
        return Token(SecretStr("never good"), clock.now() + timedelta(hours=1))

    one = rest(tools, lambda _: httpx.Response(401), auth=Tokens(sign_in, clock=clock), hint="check client_id")

    with pytest.raises(SettingsWrong, match="check client_id"):
        one.get_json("/a")

    assert len(made) == 2


def test_threads_with_the_same_old_token_share_one_renewal(tools: Tools) -> None:
    door, clock = Door(), SteppedClock(NOW)
    auth = Tokens(lambda: door.sign_in(clock), clock=clock)
    old = auth.header()
    door.made += 1  # somebody else signed in: t1 is dead, and t2 is not ours
    gate = threading.Barrier(8)
    headers = []

    def work() -> None:
        gate.wait()
        auth.renew(old)
        headers.append(auth.header())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert door.made == 3
    assert set(headers) == {"Bearer t3"}


def test_a_token_is_renewed_before_it_ends(tools: Tools) -> None:
    door, clock = Door(life=100), SteppedClock(NOW)
    one = rest(tools, door.answer, auth=Tokens(lambda: door.sign_in(clock), clock=clock))

    one.get_json("/a")
    one.get_json("/a")
    assert door.made == 1
    clock.sleep(100, tools.stop)
    one.get_json("/a")

    assert door.made == 2


# --- downloads, over a real connection


@pytest.fixture
def server() -> Iterator[tuple[str, list[bytes]]]:
    """Answers each GET with the next body of the list, raw; a body that begins with `!` breaks off."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies.pop(0)
            broken = body.startswith(b"!")
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body) + (10 if broken else 0)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listener = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{listener.server_port}", bodies
    listener.shutdown()
    thread.join()
    listener.server_close()


def test_a_download_is_kept_as_it_came_and_only_for_its_owner(
    tools: Tools, tmp_path: Path, server: tuple[str, list[bytes]]
) -> None:
    url, bodies = server
    packed = gzip.compress(b"words\n" * 1000)
    bodies += [b"!" + packed[:50], packed]
    one = Rest(url, tools=tools, place="sources.x")

    headers = one.download("/export", to=tmp_path / "body")

    one.close()
    assert (tmp_path / "body").read_bytes() == packed
    assert headers["content-encoding"] == "gzip"
    assert stat.S_IMODE((tmp_path / "body").stat().st_mode) == 0o600
    assert one.calls == {"read": 2}


def test_a_download_never_writes_through_a_symlink(
    tools: Tools, tmp_path: Path, server: tuple[str, list[bytes]]
) -> None:
    url, bodies = server
    bodies.append(gzip.compress(b"words"))
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "body").symlink_to(tmp_path / "target")
    one = Rest(url, tools=tools, place="sources.x")

    with pytest.raises(OSError, match="symbolic"):
        one.download("/export", to=tmp_path / "body")

    one.close()
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_a_long_wait_is_told_once_and_without_an_address(tools: Tools) -> None:
    answers = iter([11.4, 10.0, None])

    def attempt() -> None:
        if seconds := next(answers):
            raise WaitUntil("answered 429", seconds=seconds, place="sources.x")

    with capture_logs() as told:
        patiently(attempt, tools=tools, place="sources.x")

    assert told == [{"event": "waiting", "log_level": "info", "place": "sources.x", "seconds": 11}]


def test_an_address_where_nobody_answers_is_left_to_the_next_pass_after_a_few_seconds(tools: Tools) -> None:
    begun, tries = tools.clock.now(), []

    def attempt() -> None:
        tries.append(1)
        raise Unreachable("cannot be reached", place="vendor")

    with pytest.raises(Unreachable):
        patiently(attempt, tools=tools, place="vendor", attempts=6, first_wait=60)
    assert len(tries) == 3
    assert (tools.clock.now() - begun).total_seconds() < 5

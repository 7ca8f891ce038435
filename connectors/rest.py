"""HTTP as every connector that has no SDK makes it: signed, paced, retried, on one host.

A connector says what it wants and gets parsed JSON, or a file; or a `ConnectorError` named for its remedy.
Redirects are never followed and an address that a vendor sends must stay on the configured host, so that no
token travels anywhere else. Every wait goes through the clock and ends at once when asked to stop.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

import httpx
import orjson

from connectors.address import checked_base_url, not_reached, same_origin, through_proxy, trusted
from connectors.base import Tools
from connectors.errors import AgainNow, ConnectorError, SettingsWrong, SignInAgain, Stopped, WaitUntil
from connectors.patience import Pace, patiently
from connectors.signin import Auth, signed

T = TypeVar("T")

LARGEST_BODY = 256 * 1024 * 1024
PASSING = {408, 423, 425, 429}


def sorted_error(
    status: int,
    headers: Mapping[str, str],
    place: str,
    now: datetime,
    *,
    hint: str = "",
    refusals: Container[int] = (401, 403),
) -> ConnectorError:
    """The error whose remedy fits an HTTP status.

    `hint` says what a person should look at when the status is one of `refusals` of the credential. A 429
    or 503 that does not say how long to wait is `AgainNow`: the back-off decides.
    """
    seconds = _retry_after(headers, now)
    if status in (429, 503) and seconds is not None:
        return WaitUntil(f"answered {status} and asked for {seconds:g} s", seconds=seconds, place=place)
    if status in PASSING or status >= 500:
        return AgainNow(f"answered {status}", place=place)
    if status == 401:
        words = hint or "check the credential in the settings"
        return SignInAgain(f"answered 401: the credential was refused; {words}", place=place)
    words = hint if hint and status in refusals else _words(status)
    return SettingsWrong(f"answered {status}: {words}", place=place)


def _words(status: int) -> str:
    if 300 <= status < 400:
        return "it points to another address, which is never followed; check base_url"
    return {
        403: "the credential may not do this; give it the permission or scope it lacks",
        404: "nothing is there; check base_url and the names in the settings",
    }.get(status, "the request was refused; check the settings")


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    asked = (headers.get("retry-after") or headers.get("Retry-After") or "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked)
    try:
        moment = parsedate_to_datetime(asked)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


class _Call(NamedTuple):
    method: str
    url: str
    label: str
    signed: bool = True
    paced: bool = True
    params: Mapping[str, Any] | None = None
    content: bytes | None = None
    kind: str = "application/json"
    hint: str = ""


class Rest:
    """One vendor over HTTP, through one kept `httpx.Client`; thread-safe.

    `at_most` paces the calls: so many in so many seconds. `hint` is what a person reads when the vendor refuses the
    credential, which it does with one of the statuses `refusals`. `calls` counts requests by label.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tools: Tools,
        place: str,
        auth: Auth | None = None,
        at_most: tuple[int, float] | None = None,
        attempts: int = 6,
        first_wait: float = 1.0,
        read_timeout: float = 60.0,
        hint: str = "",
        refusals: Container[int] = (401, 403),
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = checked_base_url(base_url, f"{place}.base_url")
        self.place, self.auth, self.calls = place, auth, Counter[str]()
        self._tools, self._attempts, self._first_wait = tools, attempts, first_wait
        self._hint, self._refusals = hint, refusals
        self._pace = Pace(*at_most, tools=tools, place=place) if at_most else None
        self._lock = threading.Lock()
        with through_proxy(place):
            self._client = httpx.Client(
                verify=trusted(),
                timeout=httpx.Timeout(read_timeout, connect=5.0),
                follow_redirects=False,
                transport=transport,
                headers={"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "bellwether"},
            )

    def get_json(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        label: str = "read",
        paced: bool = True,
        parse: Callable[[bytes], T] = orjson.loads,
    ) -> T:
        """The parsed answer of a GET. `path` may be a whole address on the same host.

        `parse` raises `ValueError` (or runs into a depth that Python refuses) when the answer is not what it should be.
        """
        call = _Call("GET", self._whole(path), label, paced=paced, params=params)
        return self._ask(call, lambda response: self._parsed(response, parse))

    def sign_in(self, path: str, asked: Mapping[str, str], *, form: bool = False, hint: str = "") -> Any:
        """The parsed answer of a POST without Authorization header, as JSON or as a form.

        A sign-in happens inside the call that needs it, whose patience covers it, so it is tried once. `hint`: what a
        person reads when the vendor refuses it, with 400 too.
        """
        content = urlencode(asked).encode() if form else orjson.dumps(asked)
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        whole = self._whole(path)
        call = _Call("POST", whole, "sign_in", signed=False, paced=False, content=content, kind=kind, hint=hint)
        return self._ask(call, lambda response: self._parsed(response, orjson.loads))

    def download(
        self, path: str, *, to: Path, params: Mapping[str, Any] | None = None, label: str = "read"
    ) -> Mapping[str, str]:
        """Write the body, as it arrives (still compressed), to `to`, which only its owner can read.

        Returns the headers. A failed attempt begins again from nothing.
        """
        call = _Call("GET", self._whole(path), label, params=params)
        return self._ask(call, lambda response: self._spool(response, to))

    def close(self) -> None:
        self._client.close()

    def _whole(self, path: str) -> str:
        # A path hangs below base_url, which may have one of its own; a vendor's whole address stands alone.
        return same_origin(self.base_url, path if "://" in path else path.lstrip("/"), self.place)

    def _ask(self, call: _Call, read: Callable[[httpx.Response], T]) -> T:
        def attempt() -> T:
            if self.auth and call.signed:
                return signed(self.auth, lambda header: self._once(call, read, header))
            return self._once(call, read, None)

        try:
            return patiently(
                attempt,
                tools=self._tools,
                place=self.place,
                attempts=self._attempts if call.signed else 1,
                first_wait=self._first_wait,
            )
        except SignInAgain:
            words = call.hint or self._hint or "check the credential in the settings"
            raise SettingsWrong(f"the sign-in was refused; {words}", place=self.place) from None

    def _once(self, call: _Call, read: Callable[[httpx.Response], T], sent: str | None) -> T:
        if self._pace and call.paced:
            self._pace.wait()
        with self._lock:
            self.calls[call.label] += 1
        headers = {"Authorization": sent} if sent else {}
        if call.content is not None:
            headers["Content-Type"] = call.kind
        with self._answer(call, headers) as response:
            if response.is_success:
                return read(response)
            now = self._tools.clock.now()
            raise sorted_error(
                response.status_code,
                response.headers,
                self.place,
                now,
                hint=call.hint or self._hint,
                refusals=(400, 401, 403) if call.hint else self._refusals,
            )

    @contextmanager
    def _answer(self, call: _Call, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        try:
            with self._client.stream(
                call.method, call.url, params=call.params, content=call.content, headers=headers
            ) as response:
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise not_reached(error, self.place) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            words = f"the connection broke ({type(error).__name__})"
            raise AgainNow(words, place=self.place, unanswered=True) from None

    def _parsed(self, response: httpx.Response, parse: Callable[[bytes], T]) -> T:
        pieces, size = [], 0
        for piece in response.iter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_BODY:
                raise SettingsWrong("the answer is larger than any page should be", place=self.place)
        try:
            return parse(b"".join(pieces))
        except (ValueError, RecursionError):
            raise AgainNow("answered something that is not the JSON it should be", place=self.place) from None

    def _spool(self, response: httpx.Response, to: Path) -> Mapping[str, str]:
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for piece in response.iter_raw():
                if self._tools.stop.is_set():
                    raise Stopped("asked to stop", place=self.place)
                file.write(piece)
        return response.headers

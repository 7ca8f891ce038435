"""Calls to one HubSpot account, patient, paced and counted, through the SDK's `ApiClient`; connections are kept.

The SDK's typed calls only know paths that end in 2027, so the dated paths go through `call_api`. Left alone it has no
timeout, follows a redirect (so that records reach another host, whose answer passes for a success), and its exceptions
hold headers and body; all that ends here. It is imported late because that is slow.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import Any

from connectors.address import Proxy, checked_base_url, no_answer, proxy_for
from connectors.base import Allowance, Tools
from connectors.errors import AgainNow, ConnectorError, RowWrong, SettingsWrong, SignInAgain
from connectors.hubspot.remedies import sorted_call
from connectors.hubspot.settings import Settings
from connectors.hubspot.signin import OAuth
from connectors.patience import ATTEMPTS, Pace, Ration, patiently
from connectors.signin import Auth, Bearer, signed

WRITE = "write"  # calls that change records have this label
IN_FLIGHT = 4  # batches at once: 26 calls a second at 150 ms each, where 19 are allowed
AT_MOST = (180, 10.0)  # calls in so many seconds, until the account says what it allows
OF_LIMIT = 0.95  # of what it allows: its clock and ours do not cut time at the same moments
TIMEOUT = (3, 30)  # seconds to connect; of silence
ANY_SUCCESS = dict.fromkeys(range(200, 300), "object")
_FEW = re.compile(r"[1-9]\d{0,4}")
_MANY = re.compile(r"\d{1,9}")


class Client:
    """`calls` counts requests by label, retries included. `date` is the version in every path. Thread-safe."""

    def __init__(self, settings: Settings, *, place: str, tools: Tools) -> None:
        self.place, self.tools, self.calls = place, tools, Counter[str]()
        self.date = settings.api_date
        self._base_url = checked_base_url(settings.base_url, f"{place}.base_url")
        self._proxy = proxy_for(self._base_url, place)
        self._lock = threading.Lock()
        self._oauth: OAuth | None = None
        if settings.access_token:
            self._auth: Auth = Bearer(settings.access_token)
        else:
            self._oauth = OAuth(settings, place=place, tools=tools, count=self._count)
            self._auth = self._oauth.auth
        self._idle: list[Any] = []  # the SDK's clients that no thread is using
        self._pace = Pace(*AT_MOST, tools=tools, place=place)
        self._ration = Ration(place)
        self.allowance: Allowance | None = None  # as the last answer told
        self.told = False  # whether any answer has spoken of limits

    def get(self, path: str, *, label: str, query: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        return self._patiently("GET", path, label, query=query)

    def post(self, path: str, body: Mapping[str, Any], *, label: str) -> Mapping[str, Any]:
        return self._patiently("POST", path, label, body=body)

    def patch(self, path: str, body: Mapping[str, Any], *, label: str) -> Mapping[str, Any]:
        return self._patiently("PATCH", path, label, body=body)

    def delete(self, path: str, *, label: str) -> None:
        self._patiently("DELETE", path, label)

    def batch(self, path: str, body: Mapping[str, Any], *, label: str, attempts: int = ATTEMPTS) -> Mapping[str, Any]:
        """A POST for many records; raises `RowWrong` when one of them spoils it."""
        return self._patiently("POST", path, label, body=body, rows=True, attempts=attempts)

    @cached_property
    def app_id(self) -> str | None:
        """The number that HubSpot notes beside what this token writes; None where it does not say.

        Needs no scope. For the tokens of private apps it is no part of the dated API.
        """
        if self._oauth:
            return self._oauth.app_id()
        path, token = "/oauth/v2/private-apps/get/access-token-info", self._auth.header().removeprefix("Bearer ")
        try:
            return str(self.post(path, {"tokenKey": token}, label="read").get("appId") or "") or None
        except SettingsWrong:
            return None

    def allow(self, calls: int | None) -> None:
        """See `Destination.ration`."""
        self._ration.set(calls)
        if calls is None:
            self.allowance, self.told = None, False

    def close(self) -> None:
        with self._lock:
            lines, self._idle = self._idle, []
        for line in lines:
            line.rest_client.pool_manager.clear()
        if self._oauth:
            self._oauth.close()

    def _patiently(
        self, method: str, path: str, label: str, *, rows: bool = False, attempts: int = ATTEMPTS, **parts: Any
    ) -> Mapping[str, Any]:
        def attempt() -> Mapping[str, Any]:
            return signed(self._auth, lambda header: self._rationed(header, method, path, label, **parts))

        try:
            return patiently(attempt, tools=self.tools, place=self.place, attempts=attempts, pace=self._pace)
        except SignInAgain as error:
            raise SettingsWrong(error.words, place=error.place) from None
        except RowWrong as error:
            if rows:
                raise
            raise Refused(error) from None

    def _rationed(self, sent: str, method: str, path: str, label: str, **parts: Any) -> Mapping[str, Any]:
        with self._ration.call():
            self._pace.wait()
            if label == WRITE:
                self.tools.stand()
            self._count(label)
            return self._once(sent, method, path, **parts)

    def _count(self, label: str) -> None:
        with self._lock:
            self.calls[label] += 1

    def _once(
        self,
        sent: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        from urllib3.exceptions import HTTPError

        try:
            with self._line(sent) as line:
                answer, _, headers = line.call_api(
                    path,
                    method,
                    query_params=list((query or {}).items()),
                    body=body,
                    response_types_map=ANY_SUCCESS,
                    auth_settings=["oauth2"],
                    _request_timeout=TIMEOUT,
                )
            self._measure(headers)
        except _sdk().ApiException as error:
            raise self._sorted(error) from None
        except HTTPError as error:
            raise no_answer(error, "HubSpot", self.place) from None
        except (LookupError, RecursionError, ValueError):  # no text or no JSON, from something between HubSpot and us
            answer = False
        return {} if method == "DELETE" and answer in (None, "") else self._object(answer)  # 204: nothing to say

    def _object(self, answer: object) -> Mapping[str, Any]:
        if not isinstance(answer, dict):
            raise AgainNow("HubSpot answered something that is not JSON", place=self.place, unanswered=True)
        if answer.get("status") == "error":
            raise AgainNow("HubSpot answered an error as a success", place=self.place, unanswered=True)
        return answer

    def _sorted(self, error: Any) -> ConnectorError:
        try:
            body = json.loads(error.body or "")
        except ValueError:
            body = None
        headers = {str(name).lower(): str(value) for name, value in dict(error.headers or {}).items()}
        self._measure(headers)
        parsed = body if isinstance(body, dict) else {}
        return sorted_call(int(error.status or 0), parsed, headers, self.place)

    def _measure(self, headers: Mapping[str, str]) -> None:
        """Keep to what the account says it allows; answers of some paths (search) do not say."""
        said = {str(name).lower().removeprefix("x-hubspot-ratelimit-"): value for name, value in headers.items()}
        most, interval = (_FEW.fullmatch(said.get(name, "")) for name in ("max", "interval-milliseconds"))
        if most and interval:
            self._pace.allow(max(1, int(int(most[0]) * OF_LIMIT)), int(interval[0]) / 1000)
            self.told = True
        limit, left = (_MANY.fullmatch(said.get(name, "")) for name in ("daily", "daily-remaining"))
        if limit and left:
            self.allowance = Allowance(int(limit[0]), int(left[0]))

    @contextmanager
    def _line(self, sent: str) -> Iterator[Any]:
        """One of the SDK's clients, for one call at a time, as none of it says that threads may share one."""
        with self._lock:
            line = self._idle.pop() if self._idle else None
        line = line or _line(self._base_url, self._proxy)
        line.configuration.access_token = sent.removeprefix("Bearer ")
        try:
            yield line
        finally:
            with self._lock:
                self._idle.append(line)


class Refused(SettingsWrong):
    """A call that is not about records was refused; `code` is the vendor's word for it."""

    def __init__(self, error: RowWrong) -> None:
        self.code = error.code
        super().__init__(f"{error.words} ({error.code})", place=error.place)


def results(answer: Mapping[str, Any], place: str) -> list[Any]:
    """The rows of an answer. One without any has an empty list of them; one without the list is no answer."""
    found = answer.get("results")
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise AgainNow("HubSpot answered without results", place=place, unanswered=True)
    return found


def _sdk() -> Any:
    return import_module("hubspot.crm.companies")


def _line(base_url: str, proxy: Proxy | None) -> Any:
    from urllib3 import Retry, make_headers

    # At the level debug it would write whole answers into the log.
    logging.getLogger("hubspot").setLevel(logging.INFO)
    configuration = _sdk().Configuration(host=base_url)
    # No retry and no redirect of its own: a 302 comes back as the error it is.
    configuration.retries = Retry(total=0, redirect=0, raise_on_redirect=False)
    if proxy:  # which the SDK does not look for
        configuration.proxy = proxy.url
        configuration.proxy_headers = make_headers(proxy_basic_auth=proxy.user.get_secret_value() or None)
    return _sdk().ApiClient(configuration)

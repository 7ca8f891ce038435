"""Calls to one HubSpot account, patient and counted, through the SDK's `ApiClient` with one kept connection a thread.

The SDK's typed calls only know paths that end in 2027, so the dated paths go through `call_api`. Left alone it has no
timeout, follows a redirect (so that records reach another host, whose answer passes for a success), and its exceptions
hold headers and body; all that ends here. It is imported late because that is slow.
"""

from __future__ import annotations

import json
import threading
import weakref
from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from connectors.address import checked_base_url
from connectors.base import Tools
from connectors.errors import AgainNow, ConnectorError, RowWrong, SettingsWrong, Unreachable
from connectors.hubspot.remedies import sorted_call
from connectors.hubspot.settings import Settings
from connectors.rest import patiently

TIMEOUT = (3, 30)  # seconds to connect; of silence
ANY_SUCCESS = dict.fromkeys(range(200, 300), "object")


class Client:
    """`calls` counts requests by label, retries included. `date` is the version in every path."""

    def __init__(self, settings: Settings, *, place: str, tools: Tools) -> None:
        self.place, self.tools, self.calls = place, tools, Counter[str]()
        self.date = settings.api_date
        self._base_url = checked_base_url(settings.base_url, f"{place}.base_url")
        self._token = settings.access_token
        self._lock = threading.Lock()
        self._kept = threading.local()
        self._lines = weakref.WeakSet[Any]()  # a line goes when its thread does

    def get(self, path: str, *, label: str, query: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        return self._patiently("GET", path, label, query=query)

    def post(self, path: str, body: Mapping[str, Any], *, label: str) -> Mapping[str, Any]:
        return self._patiently("POST", path, label, body=body)

    def patch(self, path: str, body: Mapping[str, Any], *, label: str) -> Mapping[str, Any]:
        return self._patiently("PATCH", path, label, body=body)

    def batch(self, path: str, body: Mapping[str, Any], *, label: str) -> Mapping[str, Any]:
        """A POST for many records; raises `RowWrong` when one of them spoils it."""
        return self._patiently("POST", path, label, body=body, rows=True)

    def close(self) -> None:
        with self._lock:
            lines = list(self._lines)
            self._lines.clear()
        for line in lines:
            line.rest_client.pool_manager.clear()

    def _patiently(self, method: str, path: str, label: str, *, rows: bool = False, **parts: Any) -> Mapping[str, Any]:
        try:
            return patiently(lambda: self._once(method, path, label, **parts), tools=self.tools, place=self.place)
        except RowWrong as error:
            if rows:
                raise
            raise Refused(error) from None

    def _once(
        self,
        method: str,
        path: str,
        label: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

        with self._lock:
            self.calls[label] += 1
        try:
            answer = self._line().call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                body=body,
                response_types_map=ANY_SUCCESS,
                auth_settings=["oauth2"],
                _return_http_data_only=True,
                _request_timeout=TIMEOUT,
            )
        except _sdk().ApiException as error:
            raise self._sorted(error) from None
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, SSLError):
                words = "the certificate of this host is not valid; check base_url"
                raise SettingsWrong(words, place=self.place) from None
            if isinstance(reason, NewConnectionError | ConnectTimeoutError):
                words = f"HubSpot cannot be reached ({type(reason).__name__}); check base_url and the network"
                raise Unreachable(words, place=self.place) from None
            words = f"no answer from HubSpot ({type(reason).__name__})"
            raise AgainNow(words, place=self.place, unanswered=True) from None
        except ValueError:  # bytes that are not text, from something between HubSpot and us
            answer = None
        if isinstance(answer, dict):
            return answer
        raise AgainNow("HubSpot answered something that is not JSON", place=self.place, unanswered=True)

    def _sorted(self, error: Any) -> ConnectorError:
        try:
            body = json.loads(error.body or "")
        except ValueError:
            body = None
        headers = {str(name).lower(): str(value) for name, value in dict(error.headers or {}).items()}
        parsed = body if isinstance(body, dict) else {}
        return sorted_call(int(error.status or 0), parsed, headers, self.place)

    def _line(self) -> Any:
        line = getattr(self._kept, "line", None)
        if line is None:
            line = self._kept.line = _line(self._base_url, self._token.get_secret_value())
            with self._lock:
                self._lines.add(line)
        return line


class Refused(SettingsWrong):
    """A call that is not about records was refused; `code` is the vendor's word for it."""

    def __init__(self, error: RowWrong) -> None:
        self.code = error.code
        super().__init__(f"{error} ({error.code})")


def _sdk() -> Any:
    return import_module("hubspot.crm.companies")


def _line(base_url: str, token: str) -> Any:
    from urllib3 import Retry

    configuration = _sdk().Configuration(host=base_url)
    configuration.access_token = token
    # No retry and no redirect of its own: a 302 comes back as the error it is.
    configuration.retries = Retry(total=0, redirect=0, raise_on_redirect=False)
    return _sdk().ApiClient(configuration)

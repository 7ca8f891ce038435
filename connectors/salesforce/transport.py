"""One thread's line to Salesforce: simple-salesforce over a requests session that is kept on a short lead.

The SDK writes https:// before every host, sets no timeout and follows redirects (a PATCH as a GET, whose answer passes
for a success); the session here puts that right. Its exceptions hold the address and the body, so they end here.
Imported late: the SDK takes a fifth of a second and 40 MB.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import requests
from simple_salesforce.api import Salesforce as Sdk
from simple_salesforce.exceptions import SalesforceError

from connectors.address import no_answer
from connectors.errors import AgainNow
from connectors.salesforce.remedies import sorted_call
from connectors.salesforce.signin import Session

T = TypeVar("T")
Noted = Callable[[Mapping[str, str]], None]
TIMEOUT = (5.0, 120.0)  # seconds to connect; of silence
CSV = {"Content-Type": "text/csv; charset=UTF-8"}
PIECE = 65536


class _Requests(requests.Session):
    """A session that gives every call a timeout, follows no redirect and takes no credential from ~/.netrc.

    `plain`: https is turned back into the http that a loopback address was set to. `noted` is told the headers of every
    answer.
    """

    def __init__(self, noted: Noted, *, plain: bool) -> None:
        super().__init__()
        self._plain = plain
        self.hooks["response"].append(lambda response, **_: noted(response.headers))
        self.auth = lambda request: request

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        options["timeout"] = options.get("timeout") or TIMEOUT
        if self._plain:
            request.url = "http://" + str(request.url).removeprefix("https://")
            options["proxies"] = {}
        return super().send(request, **options)

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class Line:
    """A kept connection of one thread. `session` may change from call to call; the connection stays."""

    def __init__(self, *, version: str, place: str, noted: Noted) -> None:
        self._version, self._place, self._noted = version, place, noted
        self._session: Session | None = None
        self._sdk: Sdk | None = None
        self._requests: requests.Session | None = None

    def restful(self, session: Session, path: str, method: str, **options: Any) -> Any:
        """The parsed JSON of a call below /services/data/vNN.0/; None when there is none."""
        sdk = self._signed(session)
        try:
            return self._guarded(lambda: sdk.restful(path, method=method, **options))
        except TypeError:  # the SDK takes the length of whatever JSON there is
            words = "Salesforce answered something that is neither object nor list"
            raise AgainNow(words, place=self._place, unanswered=True) from None

    def upload(self, session: Session, path: str, data: bytearray) -> None:
        """PUT data as CSV, which the SDK's `restful` cannot send."""
        self._guarded(lambda: self._answered(session, "PUT", path, data=data).close())

    def rows(self, session: Session, path: str, read: Callable[[Iterator[list[str]]], T]) -> T:
        """What `read` makes of the rows of a CSV body, which may be larger than one wants to hold."""

        def call() -> T:
            with self._answered(session, "GET", path, stream=True) as response:
                lines = response.iter_lines(PIECE, delimiter=b"\n")
                return read(row for row in csv.reader(line.decode(errors="replace") for line in lines) if row)

        return self._guarded(call)

    def _answered(self, session: Session, method: str, path: str, **options: Any) -> requests.Response:
        sdk = self._signed(session)
        response: requests.Response = sdk.session.request(
            method, sdk.base_url + path, headers={**sdk.headers, **CSV}, **options
        )
        if response.status_code >= 300:
            raise sorted_call(response.status_code, _parsed(response), self._place)
        return response

    def close(self) -> None:
        if self._requests is not None:
            self._requests.close()

    def _signed(self, session: Session) -> Sdk:
        if self._sdk is None or self._session is not session:
            if self._requests is None:
                self._requests = _Requests(self._noted, plain=session.instance_url.startswith("http://"))
            self._sdk = Sdk(
                session_id=session.token,
                instance_url=session.instance_url,
                version=self._version,
                session=self._requests,
            )
            self._session = session
        return self._sdk

    def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except SalesforceError as error:
            raise sorted_call(error.status, error.content, self._place) from None
        except (csv.Error, RecursionError):
            raise AgainNow("Salesforce answered something that is neither JSON nor CSV", place=self._place) from None
        except requests.RequestException as error:
            raise no_answer(error, "Salesforce", self._place) from None


def _parsed(response: requests.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None

"""Calls to one Salesforce org: signed in, patient, counted, and one kept connection a thread."""

from __future__ import annotations

import re
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from connectors.address import same_origin
from connectors.base import Allowance, Tools
from connectors.errors import AgainNow, SettingsWrong, SignInAgain, as_expected
from connectors.patience import Ration, patiently
from connectors.salesforce.settings import Settings
from connectors.salesforce.signin import Session, SignIn

if TYPE_CHECKING:
    from connectors.salesforce.transport import Line

T = TypeVar("T")
WRITE = "write"  # calls that change records have this label
_USED = re.compile(r"api-usage=(\d{1,9})/(\d{1,9})")  # of the org, and of our app where the org limits it


class Client:
    """`calls` counts requests by label, retries included."""

    def __init__(self, settings: Settings, *, place: str, tools: Tools) -> None:
        self.place, self.tools, self.calls = place, tools, Counter[str]()
        self._ration = Ration(place)
        self._allowance: Allowance | None = None
        self._version = settings.api_version
        self._lock = threading.Lock()
        self._signin = SignIn(settings, place=place, tools=tools, count=self._count)
        self._kept = threading.local()
        self._lines = weakref.WeakSet["Line"]()  # a line goes when its thread does

    def call(self, path: str, *, method: str = "GET", label: str, attempts: int = 6, **options: Any) -> Any:
        """The parsed answer of a call below /services/data/vNN.0/. `options`: params, json, headers."""
        return self._patiently(lambda session: self._line().restful(session, path, method, **options), label, attempts)

    def document(self, path: str, *, method: str = "GET", label: str, **options: Any) -> Mapping[str, Any]:
        """A call whose answer must be an object."""
        answer = self.call(path, method=method, label=label, **options)
        if not isinstance(answer, Mapping):
            raise AgainNow("Salesforce answered something that is no object", place=self.place, unanswered=True)
        return answer

    def listed(self, path: str, *, method: str, label: str, **options: Any) -> list[Any]:
        """A call whose answer must be a list."""
        answer = self.call(path, method=method, label=label, **options)
        if answer is not None and not isinstance(answer, list):
            raise AgainNow("Salesforce answered something that is no list", place=self.place, unanswered=True)
        return answer or []

    def parting(self, path: str, *, method: str, label: str, **options: Any) -> None:
        """One call, tried once, that is made even when the worker has been asked to stop."""
        self._signed_in(lambda session: self._line().restful(session, path, method, **options), label)

    def upload(self, path: str, data: bytearray, *, label: str) -> None:
        """Send CSV. Tried once, because nobody can tell whether an upload without an answer arrived."""
        self._patiently(lambda session: self._line().upload(session, path, data), label, 1)

    def rows(self, path: str, read: Callable[[Iterator[list[str]]], T], *, label: str) -> T:
        """What `read` makes of the rows of a CSV answer as they arrive; every attempt begins again with the first."""
        return self._patiently(lambda session: self._line().rows(session, path, read), label, 6)

    def query(self, soql: str, *, label: str, path: str = "query") -> Iterator[list[Mapping[str, Any]]]:
        """The records of a query, page by page. `path`: `queryAll` finds deleted ones too, `tooling/query` setup."""
        answer, seen = self.document(path, label=label, params={"q": soql}), {""}
        while True:
            yield self._records(answer)
            if answer.get("done") is True:
                return
            address = str(answer.get("nextRecordsUrl") or "")
            if address in seen:  # whoever stands on the pages to come would seem to have left
                raise AgainNow("Salesforce told of more records, and not where they are", place=self.place)
            seen.add(address)
            answer = self.document(self._next(address), label=label)

    def _records(self, answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        records = answer.get("records")
        if not isinstance(records, list) or not all(isinstance(one, Mapping) for one in records):
            raise AgainNow("Salesforce answered something that is no page of records", place=self.place)
        return records

    def count(self, where: str) -> int:
        soql = f"SELECT COUNT() FROM Account WHERE ({where})"
        answer = self.document("query", label="read", params={"q": soql})
        with as_expected(self.place):
            return int(answer["totalSize"])

    def allowance(self) -> Allowance | None:
        """Calls of 24 hours, as the last answer told (Salesforce counts them some moments later), else asked for."""
        if self._allowance is None:
            try:
                answer = self.document("limits", label="limits")
            except SettingsWrong:  # a user who may not look at limits is told this one beside every answer
                return self._allowance
            with as_expected(self.place):
                told = answer["DailyApiRequests"]
                self._allowance = Allowance(int(told["Max"]), max(0, int(told["Remaining"])))
        return self._allowance

    def allow(self, calls: int | None) -> None:
        """See `Destination.ration`."""
        self._ration.set(calls)
        if calls is None:
            self._allowance = None

    def _note(self, headers: Mapping[str, str]) -> None:
        told = [(int(used), int(limit)) for used, limit in _USED.findall(headers.get("Sforce-Limit-Info", ""))]
        if told:
            self._allowance = Allowance(told[0][1], min(max(0, limit - used) for used, limit in told))

    @property
    def user_id(self) -> str | None:
        """The user we are signed in as, where Salesforce said so."""
        return self._with_session(lambda session: session.user_id)

    def close(self) -> None:
        with self._lock:
            lines = list(self._lines)
            self._lines.clear()
        for line in lines:
            line.close()

    def _next(self, address: str) -> str:
        base = self._with_session(lambda session: session.instance_url)
        path = urlsplit(same_origin(base, address, self.place)).path
        prefix = f"/services/data/v{self._version}/"
        if not path.startswith(prefix):
            raise SettingsWrong("Salesforce sent a next page outside its data API", place=self.place)
        return path.removeprefix(prefix)

    def _with_session(self, use: Callable[[Session], T]) -> T:
        return patiently(lambda: use(self._signin.session()), tools=self.tools, place=self.place)

    def _patiently(self, use: Callable[[Session], T], label: str, attempts: int) -> T:
        try:
            return patiently(lambda: self._signed_in(use, label), tools=self.tools, place=self.place, attempts=attempts)
        except SignInAgain:
            words = "Salesforce refuses a session it has just opened; check the app's and the user's policies"
            raise SettingsWrong(words, place=self.place) from None

    def _signed_in(self, use: Callable[[Session], T], label: str) -> T:
        session = self._signin.session()
        try:
            return self._counted(use, session, label)
        except SignInAgain:
            return self._counted(use, self._signin.renewed(session), label)

    def _counted(self, use: Callable[[Session], T], session: Session, label: str) -> T:
        if label == WRITE:
            self.tools.stand()
        with self._ration.call():
            self._count(label)
            return use(session)

    def _line(self) -> Line:
        line: Line | None = getattr(self._kept, "line", None)
        if line is None:
            from connectors.salesforce.transport import Line

            line = self._kept.line = Line(version=self._version, place=self.place, noted=self._note)
            with self._lock:
                self._lines.add(line)
        return line

    def _count(self, label: str) -> None:
        with self._lock:
            self.calls[label] += 1

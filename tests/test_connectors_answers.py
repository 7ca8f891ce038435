"""What vendors answer in place of an answer, to every kind of call.

None of it raises anything but our own errors, is taken for a success, or leads a token to another host.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from connectors import hubspot, mixpanel, salesforce, zendesk
from connectors.base import Tools, Write
from connectors.errors import AgainNow, ConnectorError
from tests import hubspot_stub, salesforce_stub
from tests.loopback import Answer, Asked, Loopback
from tests.served import tools

ID, OTHER = "001000000000001AAA", "001000000000002AAA"
HUSH = "hush-secret"
TOKENS = ("token-1", hubspot_stub.TOKEN, salesforce_stub.SECRET, HUSH)
JOBS, JOB = "jobs/ingest", "750000000000001AAA"

ROWS = {"records": [5, None], "results": [5, None], "fields": [5], "tickets": [5], "organizations": [5], "done": True}
BAD: dict[str, Answer] = {
    "half of it": Answer(body='{"results": [{'),
    "nothing": Answer(body=""),
    "a page": Answer(body=f"<html>{HUSH}</html>\n"),
    "a page of a proxy": Answer(503, f"<html>{HUSH}</html>"),
    "no text": Answer(body=b"\xff\xfe\x00"),
    "an empty object": Answer(body={}),
    "an empty list": Answer(body=[]),
    "null": Answer(body="null"),
    "a text": Answer(body=f'"{HUSH}"'),
    "numbers as lists": Answer(body=dict.fromkeys(ROWS, 5)),
    "numbers as rows": Answer(body=ROWS | {"total": "x", "totalSize": []}),
    "HubSpot's error": Answer(body={"status": "error", "category": "CONFLICT", "message": HUSH, "results": []}),
    "Salesforce's error": Answer(body=[{"errorCode": "INVALID_FIELD", "message": HUSH}]),
    "Zendesk's error": Answer(body={"error": "RecordInvalid", "description": HUSH}),
    "a failure": Answer(body={"success": False, "errors": [{"statusCode": HUSH}], "id": None}),
    "too deep": Answer(body="[" * 100_000),
    "no gzip": Answer(body="x", headers={"Content-Encoding": "gzip"}),
    "an unknown alphabet": Answer(body='{"id": "1"}', headers={"Content-Type": "application/json; charset=klingon"}),
}
REDIRECTS = {f"a redirect by {status}": Answer(status, HUSH) for status in (302, 307)}
HOLLOW = {"rows that hold nothing": Answer(body=ROWS | {"records": [{}], "results": [{}], "Metadata": 5, "list": {}})}
ALL = BAD | REDIRECTS | HOLLOW


class Call(NamedTuple):
    """One kind of call.

    `key`: which request is answered badly; `harmless`: what it may return, having learned nothing; `first`: answers of
    other requests that lead there; `only`: which bad answers it gets.
    """

    vendor: str
    key: str
    make: Callable[[Any], object]
    harmless: tuple[object, ...] = ()
    settings: Mapping[str, Any] = MappingProxyType({})
    first: Mapping[str, Any] = MappingProxyType({})
    only: tuple[str, ...] = (*BAD, *REDIRECTS)


def _write(crm: Any) -> object:
    return [one.id for one in crm.write([Write(ID, {"score": 82.4}), Write(OTHER, {"score": 11.0})]) if one.ok]


def _accounts(crm: Any) -> object:
    return [one.id for page in crm.accounts(where="", attributes={}) for one in page]


def _well(crm: Any) -> object:
    """The findings of a check that say how many records there are."""
    return [
        one.ok for one in crm.check(where="lifecyclestage = customer", attributes={}) if one.place == "accounts.where"
    ]


def _drift(crm: Any) -> object:
    return crm.drift(since=crm._client.tools.clock.now())


def _provision(crm: Any) -> object:
    return [
        one.apply() for one in crm.plan() if one.apply and one.what.startswith("create") and "score" in one.what.lower()
    ]


def _pulled(one: Any) -> object:
    now = one._tools.clock.now()
    return list(one.pull(None, start=now - timedelta(days=3), now=now))


# An export may be empty; and of these calls each answer is waited for or asked for again many times.
FEW = ("half of it", "a page", "an empty object", "Zendesk's error", "too deep", "no gzip", "a redirect by 302")
COMPANIES = "/crm/objects/2026-03/companies"
LIST = "GET /crm/lists/2026-03/object-type-id/0-2/name/Red"
FIELD = "GET tooling/sobjects/CustomField/00N"
OURS = {"records": [{"Id": "00N", "DeveloperName": "Health_Score", "NamespacePrefix": None}], "done": True}
CALLS = [
    Call("hubspot", "POST /oauth/2026-03/token", _write, settings={"refresh_token_file": "token"}),
    Call("hubspot", "POST /oauth/2026-03/token/introspect", lambda crm: crm._client.app_id, (None,),
         {"refresh_token_file": "token"}),
    Call("hubspot", "POST /oauth/v2/private-apps/get/access-token-info", lambda crm: crm._client.app_id, (None,)),
    Call("hubspot", "GET /crm/properties/2026-03/companies", _drift),
    Call("hubspot", f"GET {COMPANIES}", _accounts),
    Call("hubspot", f"POST {COMPANIES}/batch/read", lambda crm: crm.read(["1", "2"])),
    Call("hubspot", f"POST {COMPANIES}/batch/read", lambda crm: crm.authors("tier", ["1"])),
    Call("hubspot", f"POST {COMPANIES}/batch/read", lambda crm: crm.survivors(["1", "2"])),
    Call("hubspot", f"GET {COMPANIES}/1", lambda crm: crm.survivors(["1"]),
         first={f"POST {COMPANIES}/batch/read": {"results": []}}),
    Call("hubspot", f"POST {COMPANIES}/batch/update", _write, ([],)),
    Call("hubspot", f"POST {COMPANIES}/search", _well, ([False],)),
    Call("hubspot", "POST /crm/properties/2026-03/companies", _provision, first={"lacking": "score"}),
    Call("hubspot", "GET /account-info/2026-03/details", lambda crm: crm.midnight(), (None,)),
    Call("hubspot", "GET /account-info/2026-03/api-usage/daily/private-apps", lambda crm: crm.allowance(), (None,)),
    Call("salesforce", "POST /services/oauth2/token", _write),
    Call("salesforce", "GET sobjects/Account/describe", _drift),
    Call("salesforce", "GET query", _accounts),
    Call("salesforce", "GET query/next", _accounts,
         first={"GET query": {"done": False, "records": [], "nextRecordsUrl": f"{salesforce_stub.BASE}query/next"}}),
    Call("salesforce", "GET query", lambda crm: crm._client.count("x")),
    Call("salesforce", "GET query", lambda crm: crm.authors("tier", [ID]), ({},)),
    Call("salesforce", "GET queryAll", lambda crm: crm.survivors([ID])),
    Call("salesforce", "POST composite/sobjects/Account", lambda crm: crm.read([ID, OTHER])),
    Call("salesforce", "PATCH composite/sobjects", _write, ([],)),
    Call("salesforce", "GET limits", lambda crm: crm.allowance(), (None,)),
    Call("salesforce", "POST tooling/sobjects/CustomField", _provision, first={"lacking": "score"}),
    Call("salesforce", "GET tooling/query", lambda crm: crm.plan(), first={"lacking": "score"}),
    Call("salesforce", "GET query", lambda crm: crm.plan(), settings={"show_to_profiles": ["Sales"]}, only=(*ALL,)),
    Call("salesforce", "GET query", lambda crm: crm.plan(prune=True), settings={"list_view": None}, only=(*ALL,)),
    Call("salesforce", FIELD, lambda crm: crm.plan(prune=True), first={"GET tooling/query": OURS}, only=(*ALL,)),
    Call("hubspot", LIST, lambda crm: crm.plan(), settings={"active_list": "Red"}, only=(*ALL,)),
    Call("hubspot", LIST, lambda crm: crm.plan(prune=True), settings={"active_list": "Red"}, only=(*ALL,)),
    Call("hubspot", "GET /crm/properties/2026-03/companies/groups", lambda crm: crm.plan(prune=True), only=(*ALL,)),
    *(
        Call("salesforce", f"{method} {JOBS}{path}", _write, ([],), {"bulk_above": 1})
        for method, path in (("POST", ""), ("PUT", f"/{JOB}/batches"), ("GET", f"/{JOB}"),
                             ("GET", f"/{JOB}/successfulResults"), ("GET", f"/{JOB}/failedResults"),
                             ("GET", f"/{JOB}/unprocessedrecords"))
    ),
    Call("salesforce", f"PATCH {JOBS}/{JOB}", _write, ([],), {"bulk_above": 1},
         first={f"GET {JOBS}/{JOB}": {"id": JOB, "state": "Open"}}, only=FEW),
    Call("zendesk", "POST /oauth/tokens", lambda one: one._export("organizations", {}, "organizations")),
    Call("zendesk", "GET /api/v2/incremental/organizations.json",
         lambda one: [*next(iter(one._organizations({}, one._tools.clock.now()))).keys], ([],)),
    Call("zendesk", "GET /api/v2/tickets/show_many.json", lambda one: one._account_keys(["1"], []), ({},)),
    Call("mixpanel", "GET /api/2.0/export", _pulled, only=FEW),
]  # fmt: skip


class Right:
    """All four vendors, as they answer when nothing is wrong but `bad`, the answer to the requests called `key`."""

    def __init__(self, call: Call, bad: Answer) -> None:
        self._call, self._bad, self.url = call, bad, ""
        lacking = {name: None for name in [call.first.get("lacking")] if name}
        self._portal, self._org = hubspot_stub.Portal(), salesforce_stub.Org()
        self._portal.properties = hubspot_stub.defined(**lacking)
        self._org.fields = salesforce_stub.described(**lacking)
        page = {"records": [], "done": True, "totalSize": 0}
        closed = {"id": JOB, "state": "JobComplete"}
        self._first: dict[str, Any] = {
            "POST /oauth/2026-03/token": {"access_token": "token-1", "expires_in": 1800},
            "POST /oauth/tokens": {"access_token": "token-1", "expires_in": 1800},
            "GET query": page,
            "GET tooling/query": page,
            "POST jobs/ingest": {"id": JOB, "contentUrl": "http://127.0.0.1:9/x"},
            f"GET jobs/ingest/{JOB}": closed,
            f"PATCH jobs/ingest/{JOB}": closed,
            f"PUT jobs/ingest/{JOB}/batches": "",
            **{
                f"GET jobs/ingest/{JOB}/{which}": f"Id,sf__Error\n{ID},\n"
                for which in ("failedResults", "unprocessedrecords")
            },
            f"GET jobs/ingest/{JOB}/successfulResults": "Id\n",
            **call.first,
        }

    def __call__(self, asked: Asked) -> Answer:
        key = f"{asked.method} {asked.path.removeprefix(salesforce_stub.BASE)}"
        if key == self._call.key:
            return self._bad
        if key in self._first:
            return Answer(body=self._first[key])
        self._org.url = self.url
        return (self._org if asked.path.startswith("/services") else self._portal)(asked)


def _made(call: Call, url: str, handed: Tools) -> Any:
    app = {"base_url": url, "client_id": "app", "client_secret": HUSH}
    account = {"service_account": "sa", "secret": HUSH, "project_id": 1, "account_key": {"property": "c"}}
    match call.vendor:
        case "hubspot":
            own = app if "refresh_token_file" in call.settings else {"access_token": hubspot_stub.TOKEN}
            given = {"base_url": url, **own, **call.settings}
            return hubspot.HubSpot("crm", hubspot.Settings.model_validate(given), handed)
        case "salesforce":
            return salesforce.Salesforce("crm", salesforce.Settings.model_validate({**app, **call.settings}), handed)
        case "zendesk":
            return zendesk.Zendesk("help", zendesk.Settings.model_validate(app), handed)
    given = {"base_url": url, "events": {"login": ["Login"]}, **account}
    return mixpanel.Mixpanel("usage", mixpanel.Settings.model_validate(given), handed)


class Hosts:
    """The vendors' host, and another one that nobody has any business with."""

    def __init__(self, vendors: Loopback, elsewhere: Loopback) -> None:
        self.vendors, self.elsewhere = vendors, elsewhere
        self.says: Callable[[Asked], Answer] = lambda asked: Answer()


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    made: list[Hosts] = []
    with Loopback(lambda asked: made[0].says(asked)) as vendors, Loopback(lambda asked: Answer()) as elsewhere:
        made.append(Hosts(vendors, elsewhere))
        yield made[0]


def _called(call: Call, bad: Answer, hosts: Hosts, folder: Path) -> object:
    """What the call returns, or the error of ours that it raises."""
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text("refresh-0")
    hosts.says = right = Right(call, bad)
    right.url, asked = hosts.vendors.url, len(hosts.vendors.asked)
    made = _made(call, right.url, tools(folder))
    try:
        return call.make(made)
    except ConnectorError as error:
        return error
    finally:
        made.close()
        keys = {f"{one.method} {one.path.removeprefix(salesforce_stub.BASE)}" for one in hosts.vendors.asked[asked:]}
        assert call.key in keys, keys


each = pytest.mark.parametrize("call", CALLS, ids=[f"{call.vendor} {call.key} {n}" for n, call in enumerate(CALLS)])


@each
def test_no_such_answer_is_taken_for_one_or_raises_anything_but_our_errors(
    call: Call, hosts: Hosts, tmp_path: Path
) -> None:
    taken: dict[str, object] = {}
    to = {"Location": f"{hosts.elsewhere.url}/x"}
    for name in call.only:
        bad = replace(ALL[name], headers=to) if name in REDIRECTS else ALL[name]
        found = _called(call, bad, hosts, tmp_path)
        if isinstance(found, ConnectorError):
            assert not any(token in str(found) for token in TOKENS), name
        elif found not in call.harmless:
            taken[name] = found
    assert taken == {}
    assert hosts.elsewhere.asked == []


@each
def test_an_address_in_an_answer_leads_nowhere_else(call: Call, hosts: Hosts, tmp_path: Path) -> None:
    to = f"{hosts.elsewhere.url}{salesforce_stub.BASE}query/next"
    names = ("nextRecordsUrl", "contentUrl", "after_url", "next_page", "instance_url", "id_url", "next")
    rows = {name: [] for name in ROWS} | {"done": False, "id": JOB, "access_token": "token-1"}
    told = rows | dict.fromkeys(names, to) | {"paging": {"next": {"link": to, "after": None}}, "links": {"next": to}}
    _called(call, Answer(200, told, {"Link": f'<{to}>; rel="next"'}), hosts, tmp_path)
    assert hosts.elsewhere.asked == []


def test_a_next_page_on_another_host_is_told(hosts: Hosts, tmp_path: Path) -> None:
    (call,) = [one for one in CALLS if one.key == "GET query/next"]
    page = {"done": False, "records": [], "nextRecordsUrl": f"{hosts.elsewhere.url}{salesforce_stub.BASE}query/next"}
    found = _called(call, Answer(body=page), hosts, tmp_path)
    assert "another host" in str(found)


PAGES: list[dict[str, Any]] = [
    {"done": False, "records": []},
    {"records": []},
    {"done": True},
    {"done": False, "records": [], "nextRecordsUrl": f"{salesforce_stub.BASE}query/next"},  # itself
]


@pytest.mark.parametrize("page", PAGES, ids=json.dumps)
def test_a_listing_that_breaks_off_is_no_short_listing(page: dict[str, Any], hosts: Hosts, tmp_path: Path) -> None:
    """Whoever stood on the pages that did not come would else have left."""
    (call,) = [one for one in CALLS if one.key == "GET query/next"]
    assert isinstance(_called(call, Answer(body=page), hosts, tmp_path), AgainNow)


RESULTS: list[tuple[str, list[str], list[dict[str, Any]]]] = [
    ("in another order", [], [{"id": OTHER, "success": True}, {"id": ID, "success": True}]),
    ("fewer", [ID], [{"id": ID, "success": True}]),
    ("twice the same", [ID], [{"id": ID, "success": True}, {"id": ID, "success": True}]),
    ("of nobody", [], [{"success": True}, {"success": True}]),
    ("more", [ID, OTHER], [{"id": ID, "success": True}, {"id": OTHER[:15], "success": True}, {"id": "x"}]),
    ("half told", [ID], [{"id": ID, "success": True}, {"id": OTHER, "success": "yes"}]),
]


@pytest.mark.parametrize(("good", "results"), [one[1:] for one in RESULTS], ids=[one[0] for one in RESULTS])
def test_only_a_result_of_the_record_itself_confirms_it(
    good: list[str], results: list[dict[str, Any]], hosts: Hosts, tmp_path: Path
) -> None:
    (call,) = [one for one in CALLS if one.key == "PATCH composite/sobjects"]
    assert _called(call, Answer(body=results), hosts, tmp_path) == good


@pytest.mark.parametrize("records", [[], [{"Id": ID}], [None, None, None]])
def test_records_that_were_not_answered_for_are_not_gone(records: list[Any], hosts: Hosts, tmp_path: Path) -> None:
    (call,) = [one for one in CALLS if one.key == "POST composite/sobjects/Account"]
    assert isinstance(_called(call, Answer(body=records), hosts, tmp_path), AgainNow)
    assert _called(call, Answer(body=[{"Id": OTHER[:15]}, None]), hosts, tmp_path).keys() == {OTHER}  # type: ignore[attr-defined]

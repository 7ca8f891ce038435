"""A stand-in for one Salesforce org over the simulated world: OAuth, REST, Collections, Bulk 2.0, Tooling.

Written from the vendor's documentation and from recorded answers. Credentials are fixed: client `sandbox`,
secret `sandbox-salesforce`; JWT bearer for `integration@sandbox.test` with any RS256 key whose public half is
handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route

from connectors.clock import Clock
from connectors.sandbox import salesforce_custom, salesforce_lists, salesforce_setup, salesforce_write
from connectors.sandbox.crm import Call, Record, Refused, WithoutTrailingSlash, answer, served
from connectors.sandbox.faults import Profile
from connectors.sandbox.salesforce_auth import Desk
from connectors.sandbox.salesforce_bulk import Jobs
from connectors.sandbox.salesforce_fields import RowRefused, described
from connectors.sandbox.salesforce_org import Org
from connectors.sandbox.salesforce_paths import find, refused
from connectors.sandbox.salesforce_query import Queries, rendered
from connectors.sandbox.salesforce_tables import CHILDREN, Table
from connectors.sandbox.world import World

T = TypeVar("T")

VERSIONS = range(31, 68)  # older ones are retired
PAGE, SMALLEST_PAGE = 2000, 200
LONGEST_QUERY = 16_384
MOST_ROWS, MOST_IDS, MOST_CHUNKS = 200, 2000, 10
RESULTS = ("successfulResults", "failedResults", "unprocessedrecords")
CAN = [
    "compactLayoutable",
    "createable",
    "deletable",
    "feedEnabled",
    "layoutable",
    "mergeable",
    "mruEnabled",
    "queryable",
    "replicateable",
    "retrieveable",
    "searchLayoutable",
    "searchable",
    "triggerable",
    "undeletable",
    "updateable",
]
CANNOT = [
    "activateable",
    "custom",
    "customSetting",
    "deepCloneable",
    "deprecatedAndHidden",
    "hasSubtypes",
    "isInterface",
    "isSubtype",
]


def app(
    world: World,
    clock: Clock,
    faults: Profile,
    *,
    base_url: Callable[[], str],
    jwt_public_key: str | None = None,
) -> tuple[Starlette, Org]:
    """The application and the org behind it. `base_url`: where it is served, sent as `instance_url`."""
    org = Org(world, clock, faults)
    served_app = Starlette(
        routes=Front(org, Desk(org, base_url, jwt_public_key)).routes(),
        middleware=[Middleware(WithoutTrailingSlash)],
    )
    served_app.router.redirect_slashes = False
    served_app.state.expire = org.expire_sessions
    return served_app, org


class Front:
    """Every address of the org, one method each; a method's name is the label its calls are counted under."""

    def __init__(self, org: Org, desk: Desk) -> None:
        self._org, self._desk = org, desk
        self._queries, self._jobs = Queries(org), Jobs(org)

    def routes(self) -> list[Route]:
        data, jobs = "/services/data/{version}", "/services/data/{version}/jobs/ingest"
        listed: list[tuple[str, str, Callable[[Call], Response]]] = [
            ("GET", f"{data}/limits", self.limits),
            ("GET", f"{data}/query", self.query),
            ("GET", f"{data}/queryAll", self.query_all),
            ("GET", f"{data}/query/{{locator}}", self.query_more),
            ("GET", f"{data}/sobjects/Account/describe", self.describe),
            ("GET", f"{data}/sobjects/Account/{{id}}", self.read),
            ("PATCH", f"{data}/sobjects/Account/{{id}}", self.update),
            ("POST", f"{data}/sobjects/{{table}}", self.create_setup),
            ("PATCH", f"{data}/sobjects/{{table}}/{{id}}", self.change_setup),
            ("DELETE", f"{data}/sobjects/{{table}}/{{id}}", self.delete_setup),
            ("POST", f"{data}/ui-api/list-info/Account", self.create_list_view),
            ("GET", f"{data}/ui-api/list-info/Account/{{name}}", self.list_view),
            ("DELETE", f"{data}/ui-api/list-info/Account/{{name}}", self.delete_list_view),
            ("PATCH", f"{data}/composite/sobjects", self.update_many),
            ("POST", f"{data}/composite/sobjects/Account", self.read_many),
            ("POST", f"{data}/tooling/sobjects/CustomField", self.create_field),
            ("GET", f"{data}/tooling/sobjects/CustomField/{{id}}", self.field),
            ("PATCH", f"{data}/tooling/sobjects/CustomField/{{id}}", self.change_field),
            ("DELETE", f"{data}/tooling/sobjects/CustomField/{{id}}", self.delete_field),
            ("GET", f"{data}/tooling/query", self.query_tooling),
            ("POST", jobs, self.create_job),
            ("GET", jobs, self.list_jobs),
            ("GET", f"{jobs}/{{job}}", self.job),
            ("PATCH", f"{jobs}/{{job}}", self.change_job),
            ("DELETE", f"{jobs}/{{job}}", self.delete_job),
            ("PUT", f"{jobs}/{{job}}/batches", self.upload),
            ("GET", f"{jobs}/{{job}}/{{kind}}", self.job_results),
            ("GET", "/services/oauth2/userinfo", self.who),
            ("GET", "/id/{org}/{user}", self.who),
        ]
        inner = [self._route(*one, self._admit) for one in listed]
        return [
            self._route("POST", "/services/oauth2/token", self.sign_in, _anyone),
            self._route("GET", "/services/data", self.versions, _anyone),
            *inner,
            self._route("*", "/{rest:path}", self.nothing, self._admit),
        ]

    def _route(
        self, method: str, path: str, handler: Callable[[Call], Response], admit: Callable[[Call], None]
    ) -> Route:
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"] if method == "*" else [method]
        return Route(path, served(self._org, admit, handler, after=self._usage), methods=methods)

    def _admit(self, call: Call) -> None:
        """A living session, a version that is served, and a call left in the allowance."""
        self._jobs.catch_up()
        self._desk.check(call.request.headers.get("authorization", ""))
        if "ApiEnabled" in self._org.missing_scopes:
            raise refused("API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner", 403)
        if not self._org.daily.take(self._org.clock.now()):
            raise refused("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403)
        version = call.request.path_params.get("version")
        if version is not None:
            _check_version(str(version))

    def _usage(self, response: Response) -> None:
        daily = self._org.daily
        used = min(daily.most, daily.used(self._org.clock.now()))
        response.headers["Sforce-Limit-Info"] = f"api-usage={used}/{daily.most}"

    def sign_in(self, call: Call) -> Response:
        return answer(200, self._desk.sign_in(call))

    def who(self, call: Call) -> Response:
        return answer(200, self._desk.who())

    def nothing(self, call: Call) -> Response:
        raise refused("NOT_FOUND", "The requested resource does not exist", 404)

    def versions(self, call: Call) -> Response:
        listed = [
            {"label": f"Release {number}", "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
            for number in VERSIONS
        ]
        return answer(200, listed)

    def limits(self, call: Call) -> Response:
        daily = self._org.daily
        limits = {
            "DailyApiRequests": {"Max": daily.most, "Remaining": self._org.calls_left},
            "DailyBulkApiBatches": {"Max": 15_000, "Remaining": 15_000},
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": 10_000},
            "DataStorageMB": {"Max": 1024, "Remaining": 1000},
            "FileStorageMB": {"Max": 1024, "Remaining": 1000},
        }
        return answer(200, limits)

    def query(self, call: Call) -> Response:
        return self._first_page(call)

    def query_all(self, call: Call) -> Response:
        return self._first_page(call, every=True)

    def query_tooling(self, call: Call) -> Response:
        return self._first_page(call, tooling=True)

    def _first_page(self, call: Call, *, every: bool = False, tooling: bool = False) -> Response:
        if len(call.request.url.query) > LONGEST_QUERY:
            raise Refused(414, [{"message": "URI Too Long", "errorCode": "URI_TOO_LONG"}])
        version, size = call.path("version"), _page_size(call)
        return answer(200, self._queries.begin(call.query("q"), version, size, every=every, tooling=tooling))

    def query_more(self, call: Call) -> Response:
        return answer(200, self._queries.more(call.path("locator"), call.path("version"), _page_size(call)))

    def describe(self, call: Call) -> Response:
        org, version = self._org, call.path("version")
        fields = [described(one, updateable=org.editable(one)) for one in org.columns_seen().values()]
        return answer(200, _described_account(version, fields))

    def read(self, call: Call) -> Response:
        record = self._record(call.path("id"))
        names = [name.strip() for name in call.query("fields").split(",") if name.strip()]
        return answer(200, self._rendered(call.path("version"), record, names))

    def update(self, call: Call) -> Response:
        body = _object(call)
        self._record(call.path("id"))
        (outcome,) = salesforce_write.update(self._org, [{**body, "id": call.path("id")}])
        if outcome.error is not None:
            raise _row_error(outcome.error)
        return Response(status_code=204)

    def update_many(self, call: Call) -> Response:
        body = _object(call)
        records = body.get("records")
        if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
            raise refused("JSON_PARSER_ERROR", "records must be a list of objects")
        if len(records) > MOST_ROWS:
            message = f"record limit reached. cannot submit more than {MOST_ROWS} records in this call"
            raise refused("EXCEEDED_ID_LIMIT", message)
        for one in records:
            if (one.get("attributes") or {}).get("type") != "Account":
                raise refused("INVALID_TYPE", "each record must say in its attributes that it is an Account")
        every = bool(body.get("allOrNone", False))
        return answer(200, salesforce_write.listed(salesforce_write.update(self._org, records, every=every)))

    def read_many(self, call: Call) -> Response:
        body = _object(call)
        ids, names = body.get("ids"), body.get("fields")
        if not isinstance(ids, list) or not isinstance(names, list):
            raise refused("JSON_PARSER_ERROR", "ids and fields must be lists")
        if len(ids) > MOST_IDS:
            raise refused("EXCEEDED_ID_LIMIT", f"cannot retrieve more than {MOST_IDS} records in this call")
        version = call.path("version")
        return answer(200, [self._rendered(version, self._seen(one), names) for one in ids])

    def _seen(self, given: Any) -> str | None:
        try:
            record = self._org.resolved(given)
        except RowRefused:
            return None
        return record if self._org.here(record) else None

    def _record(self, given: str) -> str:
        record = self._seen(given)
        if record is not None:
            return record
        if given in self._org.deleted:
            raise refused("ENTITY_IS_DELETED", "entity is deleted", 404)
        raise refused("NOT_FOUND", "The requested resource does not exist", 404)

    def _rendered(self, version: str, record: str | None, names: list[str]) -> Record | None:
        org = self._org
        table = Table("Account", org.columns_seen(), org.records)
        wanted = [*names, "Id"] if names else [column.name for column in table.columns.values()]
        found = [find(org, table, name) for name in wanted]
        return None if record is None else rendered(version, "Account", found, org.records[record])

    def create_setup(self, call: Call) -> Response:
        made = _rows(lambda: salesforce_setup.create_row(self._org, _setup_table(call), _object(call)))
        return answer(201, {"id": made, "success": True, "errors": []})

    def change_setup(self, call: Call) -> Response:
        _rows(lambda: salesforce_setup.change_row(self._org, _setup_table(call), call.path("id"), _object(call)))
        return Response(status_code=204)

    def delete_setup(self, call: Call) -> Response:
        _rows(lambda: salesforce_setup.delete_row(self._org, _setup_table(call), call.path("id")))
        return Response(status_code=204)

    def create_list_view(self, call: Call) -> Response:
        return answer(201, salesforce_lists.create(self._org, _object(call)))

    def list_view(self, call: Call) -> Response:
        return answer(200, salesforce_lists.told(self._org, call.path("name")))

    def delete_list_view(self, call: Call) -> Response:
        salesforce_lists.delete(self._org, call.path("name"))
        return Response(status_code=204)

    def create_field(self, call: Call) -> Response:
        made = _rows(lambda: salesforce_custom.create_field(self._org, _object(call)))
        return answer(201, {"id": made, "success": True, "errors": [], "warnings": [], "infos": []})

    def field(self, call: Call) -> Response:
        return answer(200, _rows(lambda: salesforce_custom.told(self._org, call.path("id"))))

    def change_field(self, call: Call) -> Response:
        _rows(lambda: salesforce_custom.change_field(self._org, call.path("id"), _object(call)))
        return Response(status_code=204)

    def delete_field(self, call: Call) -> Response:
        _rows(lambda: salesforce_custom.delete_field(self._org, call.path("id")))
        return Response(status_code=204)

    def create_job(self, call: Call) -> Response:
        return answer(200, self._jobs.create(_object(call), call.path("version")))

    def list_jobs(self, call: Call) -> Response:
        return answer(200, self._jobs.listed())

    def job(self, call: Call) -> Response:
        return answer(200, self._jobs.told(self._jobs.found(call.path("job"))))

    def change_job(self, call: Call) -> Response:
        job = self._jobs.found(call.path("job"))
        return answer(200, self._jobs.change(job, _object(call).get("state")))

    def delete_job(self, call: Call) -> Response:
        self._jobs.delete(self._jobs.found(call.path("job")))
        return Response(status_code=204)

    def upload(self, call: Call) -> Response:
        if not call.request.headers.get("content-type", "").startswith("text/csv"):
            raise refused("INVALIDCONTENTTYPE", "the upload must be text/csv", 415)
        self._jobs.upload(self._jobs.found(call.path("job")), call.body)
        return Response(status_code=201)

    def job_results(self, call: Call) -> Response:
        if call.path("kind") not in RESULTS:
            raise refused("NOT_FOUND", "The requested resource does not exist", 404)
        job = self._jobs.found(call.path("job"))
        return Response(self._jobs.results(job, call.path("kind")), media_type="text/csv")


def _anyone(call: Call) -> None:
    """Some addresses ask for no session."""


def _check_version(version: str) -> None:
    number = re.fullmatch(r"v(\d+)\.0", version)
    if number is None or int(number[1]) >= VERSIONS.stop:
        raise refused("NOT_FOUND", "The requested resource does not exist", 404)
    if int(number[1]) < VERSIONS.start:
        raise refused("UNSUPPORTED_API_VERSION", "This API version is retired", 410)


def _page_size(call: Call) -> int:
    asked = re.search(r"batchSize=(\d+)", call.request.headers.get("sforce-query-options", ""))
    return max(SMALLEST_PAGE, min(PAGE, int(asked[1]))) if asked else PAGE


def _object(call: Call) -> dict[str, Any]:
    try:
        body = orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise refused("JSON_PARSER_ERROR", "the body is not JSON") from error
    if not isinstance(body, dict):
        raise refused("JSON_PARSER_ERROR", "the body is not an object")
    return body


def _setup_table(call: Call) -> str:
    table = call.path("table")
    if table not in salesforce_setup.PREFIXES:
        raise refused("NOT_FOUND", "The requested resource does not exist", 404)
    return table


def _rows(change: Callable[[], T]) -> T:
    """What the change answers with; a refused row ends the call."""
    try:
        return change()
    except RowRefused as error:
        raise _row_error(error) from error


def _row_error(error: RowRefused) -> Refused:
    status = {"ENTITY_IS_DELETED": 404, "NOT_FOUND": 404}.get(error.code, 400)
    return Refused(status, [{"message": error.message, "errorCode": error.code, "fields": error.fields}])


def _described_account(version: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    own = f"/services/data/{version}/sobjects/Account"
    return {
        **dict.fromkeys(CAN, True),
        **dict.fromkeys(CANNOT, False),
        "childRelationships": [
            {"childSObject": table, "field": key, "relationshipName": relation, "deprecatedAndHidden": False}
            for relation, table, key in CHILDREN.values()
        ],
        "fields": fields,
        "keyPrefix": "001",
        "label": "Account",
        "labelPlural": "Accounts",
        "name": "Account",
        "recordTypeInfos": [],
        "supportedScopes": [{"label": "All accounts", "name": "everything"}],
        "urls": {"sobject": own, "describe": f"{own}/describe", "rowTemplate": f"{own}/{{ID}}"},
    }

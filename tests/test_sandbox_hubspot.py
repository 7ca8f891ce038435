"""The HubSpot stand-in: against the vendor's specifications and recordings, and as the real client finds it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from hubspot import HubSpot
from hubspot.crm.companies import (
    BatchInputSimplePublicObjectBatchInput,
    BatchReadInputSimplePublicObjectId,
    PublicObjectSearchRequest,
)
from hubspot.crm.companies.exceptions import ApiException
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from connectors.clock import SteppedClock
from connectors.sandbox.credentials import HUBSPOT_CLIENT, HUBSPOT_REFRESH
from connectors.sandbox.faults import Profile
from connectors.sandbox.hubspot import app
from connectors.sandbox.hubspot_portal import Portal
from connectors.sandbox.hubspot_properties import Property, ValueRefused, held
from connectors.sandbox.world import World
from tests.loopback import Served

SHARED = Path(__file__).parents[2] / "shared"
START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=60)
COMPANIES = "/crm/objects/2026-03/companies"
PROPERTIES = "/crm/properties/2026-03/companies"

specified = pytest.mark.skipif(
    not (SHARED / "specs" / "hubspot").exists(), reason="the vendor's specifications are not on this machine"
)
recorded = pytest.mark.skipif(
    not (SHARED / "recordings" / "hubspot").exists(), reason="the recorded answers are not on this machine"
)


def recording(name: str) -> Any:
    text = (SHARED / "recordings" / "hubspot" / f"{name}.test.json").read_text()
    (methods,) = json.loads(text)["api"].values()
    return next(iter(methods.values()))["response"]


@cache
def specification(name: str) -> Any:
    """The official text, except where recordings prove it wrong: values of unset properties are null."""
    spec = deepcopy(json.loads((SHARED / "specs" / "hubspot" / f"{name}.json").read_text()))
    for schema in spec["components"]["schemas"].values():
        values = schema.get("properties", {}).get("properties", {}).get("additionalProperties")
        if values is not None:
            values["type"] = ["string", "null"]
    return spec


def conforms(body: Any, schema: str, spec: str = "companies-2026-03") -> None:
    known = specification(spec)
    whole = {"$ref": f"#/components/schemas/{schema}", "components": known["components"]}
    Draft202012Validator(whole).validate(body)


@dataclass
class Vendor:
    portal: Portal
    clock: SteppedClock
    http: httpx.Client
    url: str
    ids: list[str]

    def client(self, token: str = "sandbox-hubspot") -> Any:
        return HubSpot(access_token=token, host=self.url)

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds, threading.Event())

    def update(self, *inputs: dict[str, Any]) -> httpx.Response:
        return self.http.post(f"{COMPANIES}/batch/update", json={"inputs": list(inputs)})

    def found(self, **filters: Any) -> Any:
        wanted = {"filterGroups": [{"filters": [filters]}], "limit": 100}
        answer = self.http.post(f"{COMPANIES}/search", json=wanted)
        assert answer.status_code == 200, answer.text
        self.wait(1.1)
        return answer.json()

    def make(self, called: str, kind: str, field: str, **more: Any) -> httpx.Response:
        wanted = {"name": called, "label": called, "type": kind, "fieldType": field, "groupName": "companyinformation"}
        return self.http.post(PROPERTIES, json=wanted | more)


def traced(record: str, trace: str | None = None, **properties: Any) -> dict[str, Any]:
    return {"id": record, "objectWriteTraceId": trace or f"trace-{record}", "properties": properties}


def untraced(record: str, **properties: Any) -> dict[str, Any]:
    return {"id": record, "properties": properties}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Profile:
    return getattr(request, "param", Profile())


@pytest.fixture
def vendor(served: Served, faults: Profile) -> Iterator[Vendor]:
    clock = SteppedClock(NOW)
    world = World(accounts=30, seed=7, start=START)
    served.application, portal = app(world, clock, faults, base_url=lambda: served.url)
    with httpx.Client(base_url=served.url, headers={"Authorization": "Bearer sandbox-hubspot"}) as http:
        yield Vendor(portal, clock, http, served.url, portal.after(0, 1000))


# Who may call, and how often


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer guess"}, {"Authorization": "Basic c2FuZGJveA=="}])
def test_a_call_without_the_token_is_unauthorized(vendor: Vendor, header: dict[str, str]) -> None:
    answer = httpx.get(f"{vendor.url}{COMPANIES}", headers=header)
    assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")


def test_the_client_meets_an_expired_token(vendor: Vendor) -> None:
    vendor.portal.expired.add("sandbox-hubspot")
    with pytest.raises(ApiException) as refusal:
        vendor.client().crm.companies.basic_api.get_page()
    assert refusal.value.status == 401
    assert json.loads(refusal.value.body)["category"] == "EXPIRED_AUTHENTICATION"


def oauth(vendor: Vendor, path: str = "", **form: str) -> httpx.Response:
    client, secret = HUBSPOT_CLIENT
    return httpx.post(
        f"{vendor.url}/oauth/2026-03/token{path}", data={"client_id": client, "client_secret": secret, **form}
    )


@pytest.mark.parametrize("rotates", [False, True])
def test_an_app_refreshes_its_token_of_half_an_hour(vendor: Vendor, rotates: bool) -> None:
    vendor.portal.rotates = rotates
    first = oauth(vendor, grant_type="refresh_token", refresh_token=HUBSPOT_REFRESH).json()
    if (SHARED / "specs" / "hubspot").exists():
        conforms(first, "AccessTokenResponse", "oauth-2026-03")
    second = oauth(vendor, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert (first["refresh_token"] == second["refresh_token"] == HUBSPOT_REFRESH) is not rotates
    again = oauth(vendor, grant_type="refresh_token", refresh_token=HUBSPOT_REFRESH)
    assert again.status_code == (400 if rotates else 200)
    vendor.http.headers["Authorization"] = f"Bearer {second['access_token']}"
    assert vendor.http.get(COMPANIES).status_code == 200
    told = oauth(vendor, "/introspect", token=second["access_token"]).json()
    assert told.get("app_id") == (18221010 if rotates else None)  # the last one made
    vendor.wait(1800)
    assert vendor.http.get(COMPANIES).json()["category"] == "EXPIRED_AUTHENTICATION"


def test_client_credentials_and_strangers_get_no_token(vendor: Vendor) -> None:
    assert oauth(vendor, grant_type="client_credentials").status_code == 400
    assert oauth(vendor, client_secret="guess", grant_type="refresh_token").status_code == 401


@specified
def test_a_missing_scope_is_named(vendor: Vendor) -> None:
    vendor.portal.missing_scopes.add("crm.objects.companies.write")
    answer = vendor.update(traced(vendor.ids[0], name="New"))
    assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
    assert answer.json()["errors"][0]["context"]["requiredGranularScopes"] == ["crm.objects.companies.write"]
    conforms(answer.json(), "Error")
    assert vendor.http.get(COMPANIES).status_code == 200


def test_answers_carry_the_allowance_except_searches(vendor: Vendor) -> None:
    headers = vendor.http.get(COMPANIES).headers
    assert headers["x-hubspot-ratelimit-max"] == "190"
    assert headers["x-hubspot-ratelimit-remaining"] == "189"
    assert headers["x-hubspot-ratelimit-interval-milliseconds"] == "10000"
    assert headers["x-hubspot-ratelimit-daily"] == "650000"
    assert headers["x-hubspot-ratelimit-daily-remaining"] == "649999"
    searched = vendor.http.post(f"{COMPANIES}/search", json={}).headers
    assert not [name for name in searched if "ratelimit" in name]


def test_ten_seconds_hold_so_many_calls(vendor: Vendor) -> None:
    vendor.portal.rolling.most = 2
    answers = [vendor.http.get(COMPANIES) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert (answers[2].json()["errorType"], answers[2].json()["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    vendor.wait(10.1)
    assert vendor.http.get(COMPANIES).status_code == 200


def test_a_second_holds_five_searches(vendor: Vendor) -> None:
    answers = [vendor.http.post(f"{COMPANIES}/search", json={}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[5].json()["policyName"] == "SECONDLY"


def test_the_day_ends_at_midnight_where_the_account_is(vendor: Vendor) -> None:
    vendor.portal.calls_left = 1
    assert [vendor.http.get(COMPANIES).status_code for _ in range(2)] == [200, 429]
    assert vendor.http.get(COMPANIES).json()["policyName"] == "DAILY"
    vendor.wait(3 * 3600)  # it is eight in the evening there
    assert vendor.http.get(COMPANIES).status_code == 429
    vendor.wait(3600)
    assert vendor.http.get(COMPANIES).status_code == 200
    assert vendor.portal.calls_left == 649_999


@specified
def test_account_details_and_usage_are_as_specified(vendor: Vendor) -> None:
    vendor.http.get(COMPANIES)
    details = vendor.http.get("/account-info/2026-03/details").json()
    conforms(details, "PortalInformationResponse", "account_info-2026-03")
    assert (details["utcOffset"], details["utcOffsetMilliseconds"]) == ("-04:00", -14_400_000)
    usage = vendor.http.get("/account-info/2026-03/api-usage/daily/private-apps").json()
    conforms(usage, "CollectionResponseApiUsageNoPaging", "account_info-2026-03")
    assert usage["results"][0]["currentUsage"] == 3
    assert usage["results"][0]["resetsAt"] == "2026-04-30T04:00:00.000Z"


@recorded
def test_account_details_have_the_recorded_names(vendor: Vendor) -> None:
    want = recording("fetch-account-information")
    have = vendor.http.get("/account-info/v3/details").json()
    assert set(have) == set(want)
    assert {key: type(value) for key, value in have.items()} == {key: type(value) for key, value in want.items()}


# Reading


@specified
@pytest.mark.parametrize("base", ["/crm/objects/2026-03", "/crm/objects/2026-09", "/crm/v3/objects"])
def test_the_list_goes_page_by_page_under_every_version(vendor: Vendor, base: str) -> None:
    path, seen, after = f"{base}/companies", [], None
    while after != "end":
        params = {"limit": "7", "properties": "name,domain,city"} | ({"after": after} if after else {})
        page = vendor.http.get(path, params=params).json()
        conforms(page, "CollectionResponseSimplePublicObjectWithAssociationsForwardPaging")
        seen += [company["id"] for company in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after", "end")
    assert seen == vendor.ids
    assert len(seen) > 30


@recorded
def test_listed_companies_look_as_recorded(vendor: Vendor) -> None:
    want = recording("list-companies")["results"][0]
    names = "name,domain,city,website,createdate,hs_lastmodifieddate"
    have = vendor.http.get(COMPANIES, params={"limit": 1, "properties": names}).json()["results"][0]
    assert set(have) == set(want)
    assert set(have["properties"]) == {*names.split(","), "hs_object_id"} <= set(want["properties"])
    assert have["properties"]["city"] is None
    assert list(have["properties"]) == sorted(have["properties"])


def test_the_client_reads_every_company(vendor: Vendor) -> None:
    everyone = vendor.client().crm.companies.get_all(properties=["name", "external_id"])
    assert [company.id for company in everyone] == vendor.ids
    assert everyone[0].properties["external_id"] == "cust-0001"


def test_archived_and_future_companies_are_not_listed(vendor: Vendor) -> None:
    vendor.portal.delete(vendor.ids[0])
    vendor.portal.add("99999999999", {"name": "Tomorrow"}, created=NOW + timedelta(days=1))
    assert [one["id"] for one in vendor.http.get(COMPANIES, params={"limit": 100}).json()["results"]] == vendor.ids[1:]
    archived = vendor.http.get(COMPANIES, params={"archived": "true"}).json()["results"]
    assert [(one["id"], one["archived"]) for one in archived] == [(vendor.ids[0], True)]
    vendor.wait(86_400)
    assert vendor.http.get(f"{COMPANIES}/99999999999").status_code == 200


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"limit": "many"}, {"after": "somewhere"}])
def test_a_list_out_of_bounds_is_refused(vendor: Vendor, params: dict[str, Any]) -> None:
    answer = vendor.http.get(COMPANIES, params=params)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


@specified
def test_batch_reads_answer_the_ids_they_know(vendor: Vendor) -> None:
    wanted = {"properties": ["name", "nothing"], "propertiesWithHistory": [], "inputs": []}
    inputs = [{"id": record} for record in vendor.ids[:20]]
    whole = vendor.http.post(f"{COMPANIES}/batch/read", json={**wanted, "inputs": inputs})
    assert whole.status_code == 200
    conforms(whole.json(), "BatchResponseSimplePublicObject")
    order = [one["id"] for one in whole.json()["results"]]
    assert order != vendor.ids[:20]
    assert sorted(order) == vendor.ids[:20]
    assert "nothing" not in whole.json()["results"][0]["properties"]
    mixed = vendor.http.post(f"{COMPANIES}/batch/read", json={**wanted, "inputs": [*inputs, {"id": "404"}]})
    assert mixed.status_code == 207
    conforms(mixed.json(), "BatchResponseSimplePublicObjectWithErrors")
    (error,) = mixed.json()["errors"]
    assert (error["category"], error["context"]["ids"]) == ("OBJECT_NOT_FOUND", ["404"])


@specified
def test_property_history_says_who_wrote_what(vendor: Vendor) -> None:
    record = vendor.ids[0]
    vendor.update(traced(record, plan="free"))
    vendor.wait(60)
    vendor.portal.set_field(record, "plan", "enterprise")
    wanted = {"inputs": [{"id": record}], "properties": ["plan"], "propertiesWithHistory": ["plan"]}
    answer = vendor.http.post(f"{COMPANIES}/batch/read", json=wanted).json()
    conforms(answer, "BatchResponseSimplePublicObject")
    past = answer["results"][0]["propertiesWithHistory"]["plan"]
    assert [(one["value"], one["sourceType"]) for one in past[:2]] == [
        ("enterprise", "CRM_UI"),
        ("free", "INTEGRATION"),
    ]
    assert past[-1]["sourceType"] == "IMPORT"
    many = vendor.http.post(f"{COMPANIES}/batch/read", json={**wanted, "inputs": [{"id": record}] * 51})
    assert (many.status_code, many.json()["category"]) == (400, "VALIDATION_ERROR")


def test_a_private_app_may_ask_about_its_own_token(vendor: Vendor) -> None:
    path, record = "/oauth/v2/private-apps/get/access-token-info", vendor.ids[0]
    told = vendor.http.post(path, json={"tokenKey": "sandbox-hubspot"}).json()
    assert "crm.objects.companies.write" in told["scopes"]
    vendor.update(traced(record, plan="free"))
    wanted = {"inputs": [{"id": record}], "propertiesWithHistory": ["plan"]}
    (company,) = vendor.http.post(f"{COMPANIES}/batch/read", json=wanted).json()["results"]
    assert company["propertiesWithHistory"]["plan"][0]["sourceId"] == str(told["appId"])
    assert vendor.http.post(path, json={"tokenKey": "another"}).status_code == 404


def test_a_unique_property_finds_a_company(vendor: Vendor) -> None:
    wanted = {"idProperty": "external_id", "inputs": [{"id": "cust-0002"}], "properties": ["name"]}
    (one,) = vendor.http.post(f"{COMPANIES}/batch/read", json=wanted).json()["results"]
    assert vendor.portal.records[one["id"]]["external_id"] == "cust-0002"
    vendor.portal.set_field(one["id"], "external_id", "renamed")
    assert vendor.http.post(f"{COMPANIES}/batch/read", json=wanted).status_code == 207
    wanted["idProperty"] = "name"
    assert vendor.http.post(f"{COMPANIES}/batch/read", json=wanted).status_code == 400


# Writing


@recorded
@specified
def test_a_batch_update_answers_as_recorded(vendor: Vendor) -> None:
    answer = vendor.update(*(untraced(record, city="Boston") for record in vendor.ids[:3]))
    assert answer.status_code == 200
    conforms(answer.json(), "BatchResponseSimplePublicObject")
    want = recording("batch-update-companies")
    assert set(answer.json()) == set(want)
    assert set(answer.json()["results"][0]) == set(want["results"][0])
    assert {vendor.portal.records[record]["city"] for record in vendor.ids[:3]} == {"Boston"}
    assert (vendor.portal.writing_calls, vendor.portal.rows_written) == (1, 3)


def test_the_client_meets_partial_failure(vendor: Vendor) -> None:
    inputs = [traced(vendor.ids[0], plan="pro"), traced(vendor.ids[1], plan="gold"), traced("404", plan="pro")]
    wanted = BatchInputSimplePublicObjectBatchInput(inputs=inputs)
    answer = vendor.client().crm.companies.batch_api.update_with_http_info(wanted)
    body, status = answer[0], answer[1]
    assert status == 207
    assert [one.id for one in body.results] == [vendor.ids[0]]
    assert body.num_errors == 2
    assert {one.category for one in body.errors} == {"VALIDATION_ERROR", "OBJECT_NOT_FOUND"}


@specified
def test_with_a_trace_of_its_own_on_every_input_bad_rows_stand_alone(vendor: Vendor) -> None:
    answer = vendor.update(
        *(traced(record, plan="gold" if place == 2 else "pro") for place, record in enumerate(vendor.ids[:5]))
    )
    body = answer.json()
    assert (answer.status_code, body["status"], body["numErrors"], len(body["results"])) == (207, "COMPLETE", 1, 4)
    conforms(body, "BatchResponseSimplePublicObjectWithErrors")
    (error,) = body["errors"]
    assert error["context"] == {"ids": [vendor.ids[2]], "objectWriteTraceId": [f"trace-{vendor.ids[2]}"]}
    head, _, details = error["message"].partition(": ")
    assert head == "Property values were not valid"
    (detail,) = json.loads(details)
    assert (detail["error"], detail["name"], detail["isValid"]) == ("INVALID_OPTION", "plan", False)
    assert detail["message"] == "gold was not one of the allowed options: [free, pro, enterprise]"
    assert {one["objectWriteTraceId"] for one in body["results"]} == {
        f"trace-{record}" for record in vendor.ids[:5] if record != vendor.ids[2]
    }


@pytest.mark.parametrize("traces", [(None, None), ("same", "same"), ("one", None)])
def test_without_traces_of_their_own_one_bad_row_refuses_the_batch(
    vendor: Vendor, traces: tuple[str | None, ...]
) -> None:
    inputs = [
        {"id": record, "properties": {"plan": plan}} | ({"objectWriteTraceId": trace} if trace else {})
        for record, plan, trace in zip(vendor.ids[:2], ("pro", "gold"), traces, strict=True)
    ]
    answer = vendor.update(*inputs)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert not vendor.portal.writes


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"plan": "Pro"}, "INVALID_OPTION"),
        ({"arr": "1,000"}, "INVALID_NUMBER"),
        ({"arr": "NaN"}, "INVALID_NUMBER"),
        ({"nothing": "1"}, "PROPERTY_DOESNT_EXIST"),
        ({"createdate": "2026-01-01"}, "READ_ONLY_VALUE"),
        ({"renewal_date": "2026-01-01T10:00:00Z"}, "INVALID_DATE"),
        ({"renewal_date": "soon"}, "INVALID_DATE"),
        ({"external_id": "cust-0002"}, "CONFLICTING_UNIQUE_VALUE"),
        ({"name": "x" * 70_000}, "PROPERTY_VALUE_TOO_LONG"),
    ],
)
def test_a_bad_value_is_named_inside_the_message(vendor: Vendor, properties: dict[str, Any], code: str) -> None:
    body = vendor.update(traced(vendor.ids[0], **properties)).json()
    details = json.loads(body["errors"][0]["message"].partition(": ")[2])
    assert [detail["error"] for detail in details] == [code]
    alone = vendor.http.patch(f"{COMPANIES}/{vendor.ids[0]}", json={"properties": properties})
    assert (alone.status_code, alone.json()["category"]) == (400, "VALIDATION_ERROR")


def test_a_body_without_inputs_succeeds_and_does_nothing(vendor: Vendor) -> None:
    for wanted in ([untraced(vendor.ids[0], city="Boston")], {}, untraced(vendor.ids[0], city="Boston")):
        answer = vendor.http.post(f"{COMPANIES}/batch/update", json=wanted)
        assert (answer.status_code, answer.json()["status"], answer.json()["results"]) == (200, "COMPLETE", [])
    assert not vendor.portal.writes


@pytest.mark.parametrize("number", [101, 2])
def test_too_many_inputs_or_one_twice_refuse_the_batch(vendor: Vendor, number: int) -> None:
    inputs = [traced(vendor.ids[0], f"trace-{place}", city="Boston") for place in range(number)]
    answer = vendor.update(*inputs)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert not vendor.portal.writes


def test_values_are_text_and_blank_ones_are_unset(vendor: Vendor) -> None:
    record = vendor.ids[0]
    vendor.make("scored_at", "datetime", "date")
    vendor.update(traced(record, seats=12, scored_at="1777500000123", renewal_date="1798761600000", city="Boston"))
    shown = vendor.http.get(f"{COMPANIES}/{record}", params={"properties": "seats,scored_at,renewal_date"}).json()
    assert {name: shown["properties"][name] for name in ("seats", "scored_at", "renewal_date")} == {
        "seats": "12",
        "scored_at": "2026-04-29T22:00:00.123Z",
        "renewal_date": "2027-01-01",
    }
    (cleared,) = vendor.update(traced(record, city="", seats=None)).json()["results"]
    assert (cleared["properties"]["city"], cleared["properties"]["seats"]) == ("", None)
    again = vendor.http.get(f"{COMPANIES}/{record}", params={"properties": "city"}).json()
    assert again["properties"]["city"] is None


@recorded
def test_clearing_a_value_echoes_it_as_recorded(vendor: Vendor) -> None:
    wanted = {"properties": {"name": "Acme Corp", "description": ""}}
    have = vendor.http.patch(f"/crm/v3/objects/companies/{vendor.ids[0]}", json=wanted).json()
    want = recording("update-company-clear-fields")
    assert set(want) <= set(have)
    assert have["properties"]["description"] == want["properties"]["description"] == ""
    assert set(want["properties"]) <= set(have["properties"])


def test_rows_fail_as_a_test_asks(vendor: Vendor) -> None:
    vendor.portal.fail_rows[vendor.ids[0]] = "VALIDATION_ERROR"
    vendor.portal.delete(vendor.ids[1])
    body = vendor.update(*(traced(record, city="Boston") for record in vendor.ids[:4])).json()
    assert {one["id"] for one in body["results"]} == set(vendor.ids[2:4])
    assert body["numErrors"] == 2
    refused, gone = body["errors"]
    assert (refused["category"], refused["context"]["ids"]) == ("VALIDATION_ERROR", vendor.ids[:1])
    assert (gone["category"], gone["context"]["ids"]) == ("OBJECT_NOT_FOUND", vendor.ids[1:2])
    assert [written.record for written in vendor.portal.writes] == vendor.ids[2:4]


def test_two_merged_companies_lead_to_a_new_one(vendor: Vendor) -> None:
    loser, winner, third = vendor.ids[2:5]
    vendor.portal.set_field(loser, "city", "Boston")
    plan = vendor.portal.value(winner, "plan")
    made = vendor.portal.merge(third, vendor.portal.merge(loser, winner))
    for old in (loser, winner, third):
        answer = vendor.http.get(f"{COMPANIES}/{old}", params={"properties": "plan,city,hs_merged_object_ids"}).json()
        assert answer["id"] == made
    assert {loser, winner, third} < set(answer["properties"]["hs_merged_object_ids"].split(";"))
    assert (answer["properties"]["plan"], answer["properties"]["city"]) == (plan, "Boston")
    body = {"inputs": [{"id": loser}], "properties": ["plan"]}
    [read] = vendor.http.post(f"{COMPANIES}/batch/read", json=body).json()["results"]
    assert read["id"] == made
    assert vendor.update(traced(loser, city="Bern")).json()["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    listed = {one["id"] for one in vendor.http.get(COMPANIES, params={"limit": 100}).json()["results"]}
    assert made in listed
    assert not {loser, winner, third} & listed


@pytest.mark.parametrize("faults", [Profile(locked=0.5)], indirect=True)
def test_a_profile_locks_batches_now_and_then(vendor: Vendor) -> None:
    answers = {vendor.update(traced(vendor.ids[0], city="Boston")).status_code for _ in range(20)}
    assert answers == {200, 423}


@pytest.mark.parametrize("faults", [Profile(partial=0.5)], indirect=True)
def test_a_profile_refuses_rows_in_passing_and_writes_the_others(vendor: Vendor) -> None:
    answer = vendor.update(*(traced(record, record, city="Bern") for record in vendor.ids[:10]))
    refused = {error["context"]["ids"][0] for error in answer.json()["errors"]}
    assert answer.status_code == 207
    assert {error["category"] for error in answer.json()["errors"]} == {"INTERNAL_ERROR"}
    assert refused | {one.record for one in vendor.portal.writes} == set(vendor.ids[:10])
    assert vendor.portal.faults.struck["partial"] == len(refused)
    assert 0 < len(refused) < 10


def test_writes_remember_who_and_when(vendor: Vendor) -> None:
    vendor.update(traced(vendor.ids[0], plan="free"))
    vendor.portal.set_field(vendor.ids[0], "plan", "pro")
    assert [(one.by, one.fields, one.at) for one in vendor.portal.writes] == [
        ("api", {"plan": "free"}, NOW),
        ("human", {"plan": "pro"}, NOW),
    ]
    assert vendor.portal.rows_written == 1
    with pytest.raises(ValueRefused):
        vendor.portal.set_field(vendor.ids[0], "plan", "gold")


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_any_finite_number_is_held_as_it_was_written(number: Any) -> None:
    assert held(Property("arr", "ARR", "number", "number"), str(number)) == str(number)


# Searching


@specified
def test_a_search_counts_what_meets_the_filters(vendor: Vendor) -> None:
    body = vendor.found(propertyName="lifecyclestage", operator="EQ", value="customer")
    conforms(body, "CollectionResponseWithTotalSimplePublicObject")
    customers = [record for record in vendor.ids if vendor.portal.value(record, "lifecyclestage") == "customer"]
    assert body["total"] == len(customers) == len(body["results"])
    others = vendor.found(propertyName="lifecyclestage", operator="NEQ", value="customer")["total"]
    assert others == len(vendor.ids) - len(customers)
    linked = vendor.found(propertyName="salesforceaccountid", operator="HAS_PROPERTY")["total"]
    unlinked = vendor.found(propertyName="salesforceaccountid", operator="NOT_HAS_PROPERTY")["total"]
    assert 0 < linked < linked + unlinked == len(vendor.ids)
    small = vendor.found(propertyName="seats", operator="BETWEEN", value="0", highValue="9")["total"]
    assert small + vendor.found(propertyName="seats", operator="GTE", value="10")["total"] == len(vendor.ids)
    either = vendor.found(propertyName="plan", operator="IN", values=["pro", "free"])["total"]
    assert either + vendor.found(propertyName="plan", operator="EQ", value="enterprise")["total"] == len(vendor.ids)
    created = vendor.found(propertyName="createdate", operator="LT", value=str(int(NOW.timestamp() * 1000)))["total"]
    assert created == len(vendor.ids)


def test_the_client_pages_through_a_search(vendor: Vendor) -> None:
    api, seen, after = vendor.client().crm.companies.search_api, [], None
    sorts = [{"propertyName": "hs_object_id", "direction": "DESCENDING"}]
    while after != "end":
        page = api.do_search(PublicObjectSearchRequest(limit=20, after=after, sorts=sorts, properties=["name"]))
        seen += [one.id for one in page.results]
        after = page.paging.next.after if page.paging else "end"
    assert seen == vendor.ids[::-1]


@recorded
def test_a_search_answers_as_recorded(vendor: Vendor) -> None:
    want = recording("search-companies")
    have = vendor.found(propertyName="name", operator="CONTAINS_TOKEN", value="labs")
    assert set(have) == set(want)
    assert set(have["results"][0]) == set(want["results"][0])
    assert all("Labs" in one["properties"]["name"] for one in have["results"])


@pytest.mark.parametrize(
    "wanted",
    [
        {"limit": 201},
        {"after": "9999"},
        {"filterGroups": [{"filters": []}] * 6},
        {"filterGroups": [{"filters": [{"propertyName": "nothing", "operator": "EQ", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "name", "operator": "LIKE", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "name", "operator": "EQ"}]}]},
        {"sorts": [{"propertyName": "nothing"}]},
        {"query": "x" * 3001},
    ],
)
def test_a_search_out_of_bounds_is_refused(vendor: Vendor, wanted: dict[str, Any]) -> None:
    answer = vendor.http.post(f"{COMPANIES}/search", json=wanted)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_the_index_lags_behind_writes(vendor: Vendor) -> None:
    vendor.portal.search_lag = timedelta(seconds=20)
    vendor.update(traced(vendor.ids[0], city="Boston"))
    assert vendor.found(propertyName="city", operator="EQ", value="Boston")["total"] == 0
    vendor.wait(20)
    assert vendor.found(propertyName="city", operator="EQ", value="Boston")["total"] == 1


# Properties, groups, owners


@specified
def test_properties_are_listed_as_specified(vendor: Vendor) -> None:
    listed = vendor.http.get(PROPERTIES).json()
    conforms(listed, "CollectionResponsePropertyNoPaging", "properties-2026-03")
    assert {"name", "domain", "lifecyclestage", "external_id"} <= {one["name"] for one in listed["results"]}


@recorded
def test_known_properties_are_defined_as_recorded(vendor: Vendor) -> None:
    want = {one["name"]: one for one in recording("fetch-properties")["results"]}
    for one in vendor.http.get(PROPERTIES).json()["results"]:
        if one["name"] in want and one["name"] != "salesforceaccountid":
            keys = ("type", "fieldType", "groupName", "hasUniqueValue", "externalOptions", "hubspotDefined")
            expected = want[one["name"]]
            assert [one.get(key) for key in keys] == [expected.get(key) for key in keys], one["name"]
            assert one["modificationMetadata"]["readOnlyValue"] == expected["modificationMetadata"]["readOnlyValue"]


@specified
@recorded
def test_a_property_is_made_once_and_then_takes_its_options_only(vendor: Vendor) -> None:
    options = [
        {"label": label, "value": label.lower(), "displayOrder": place, "hidden": False}
        for place, label in enumerate(("Green", "Red"))
    ]
    made = vendor.make("health_tier", "enumeration", "select", options=options)
    assert made.status_code == 201
    conforms(made.json(), "Property", "properties-2026-03")
    created = recording("create-property")
    assert set(created) - set(made.json()) <= {"createdUserId", "updatedUserId"}
    again = vendor.make("health_tier", "string", "text")
    assert (again.status_code, again.json()["category"]) == (409, "OBJECT_ALREADY_EXISTS")
    conforms(again.json(), "Error", "properties-2026-03")
    amber = {"label": "Amber", "value": "amber", "displayOrder": 2, "hidden": False}
    assert vendor.update(traced(vendor.ids[0], health_tier="amber")).status_code == 207
    changed = vendor.http.patch(f"{PROPERTIES}/health_tier", json={"options": [*options, amber]})
    assert (changed.status_code, len(changed.json()["options"])) == (200, 3)
    assert vendor.update(traced(vendor.ids[0], health_tier="amber")).status_code == 200
    assert vendor.http.get(f"{PROPERTIES}/health_tier").json() == changed.json()


@pytest.mark.parametrize(
    ("kind", "field", "more"),
    [
        ("number", "text", {}),
        ("decimal", "number", {}),
        ("string", "text", {"name": "Health Score"}),
        ("string", "text", {"groupName": "nowhere"}),
        ("enumeration", "select", {"options": [{"label": "Green"}]}),
        ("string", "text", {"label": ""}),
    ],
)
def test_a_property_that_can_not_be_is_refused(vendor: Vendor, kind: str, field: str, more: dict[str, Any]) -> None:
    answer = vendor.make("health", kind, field, **more)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_the_name_of_an_archived_property_stays_taken(vendor: Vendor) -> None:
    vendor.make("health_score", "number", "number")
    assert vendor.http.delete(f"{PROPERTIES}/health_score").status_code == 204
    assert vendor.http.get(f"{PROPERTIES}/health_score").status_code == 404
    assert vendor.make("health_score", "number", "number").status_code == 409


@specified
def test_a_list_is_made_once_and_told_by_name(vendor: Vendor) -> None:
    operation = {"operationType": "ENUMERATION", "operator": "IS_ANY_OF", "includeObjectsWithNoValueSet": False}
    one = {"filterType": "PROPERTY", "property": "plan", "operation": operation | {"values": ["pro"]}}
    inner = {"filterBranchType": "AND", "filterBranchOperator": "AND", "filterBranches": [], "filters": [one]}
    root = {"filterBranchType": "OR", "filterBranchOperator": "OR", "filterBranches": [inner], "filters": []}
    wanted = {"name": "Pro / all", "objectTypeId": "0-2", "processingType": "DYNAMIC", "filterBranch": root}
    lists, named = "/crm/lists/2026-03", "/crm/lists/2026-03/object-type-id/0-2/name/pro%20%2F%20all"
    assert vendor.http.post(lists, json=wanted | {"filterBranch": inner}).status_code == 400
    made = vendor.http.post(lists, json=wanted)
    assert made.status_code == 200
    conforms(made.json(), "ListCreateResponse", "lists-2026-03")
    assert vendor.http.post(lists, json=wanted).json()["subCategory"] == "ILS.DUPLICATE_LIST_NAMES"
    assert "filterBranch" not in vendor.http.get(named).json()["list"]
    found = vendor.http.get(named, params={"includeFilters": "true"}).json()
    conforms(found, "ListFetchResponse", "lists-2026-03")
    assert found["list"]["filterBranch"] == root
    assert vendor.http.delete(f"{lists}/{found['list']['listId']}").status_code == 204
    assert vendor.http.get(named).status_code == 404


@specified
def test_groups_are_made_once(vendor: Vendor) -> None:
    made = vendor.http.post(f"{PROPERTIES}/groups", json={"name": "health", "label": "Health", "displayOrder": 1})
    assert made.status_code == 201
    conforms(made.json(), "PropertyGroup", "properties-2026-03")
    assert vendor.http.post(f"{PROPERTIES}/groups", json={"name": "health", "label": "H"}).status_code == 409
    assert vendor.http.get(f"{PROPERTIES}/groups/health").json() == made.json()
    listed = vendor.http.get(f"{PROPERTIES}/groups").json()
    conforms(listed, "CollectionResponsePropertyGroupNoPaging", "properties-2026-03")
    assert vendor.make("health_score", "number", "number", groupName="health").status_code == 201


@specified
@recorded
def test_owners_look_as_recorded(vendor: Vendor) -> None:
    body = vendor.http.get("/crm/owners/2026-03").json()
    conforms(body, "CollectionResponsePublicOwnerForwardPaging", "crm_owners-2026-03")
    assert set(body["results"][0]) == set(recording("owners")["results"][0])
    owner = vendor.http.get(f"/crm/v3/owners/{body['results'][0]['id']}").json()
    assert owner == body["results"][0]
    wanted = {vendor.portal.value(record, "hubspot_owner_id") for record in vendor.ids}
    assert wanted <= {one["id"] for one in body["results"]}


def test_the_client_reads_batches_and_properties(vendor: Vendor) -> None:
    client = vendor.client()
    wanted = BatchReadInputSimplePublicObjectId(
        inputs=[{"id": vendor.ids[0]}], properties=["name"], properties_with_history=[]
    )
    (one,) = client.crm.companies.batch_api.read(wanted).results
    assert one.properties["name"] == vendor.portal.value(vendor.ids[0], "name")
    assert client.crm.properties.core_api.get_by_name("companies", "plan").field_type == "select"


def test_what_is_not_there_is_not_found(vendor: Vendor) -> None:
    for path in ("/crm/objects/2026-03/llamas", f"{COMPANIES}/404", f"{PROPERTIES}/nothing"):
        answer = vendor.http.get(path)
        assert (answer.status_code, answer.json()["category"]) == (404, "OBJECT_NOT_FOUND")

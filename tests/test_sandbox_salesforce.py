"""The Salesforce stand-in: against recorded answers, and as the real client finds it over HTTP."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
)

from connectors.clock import SteppedClock
from connectors.sandbox import soql
from connectors.sandbox.crm import full_id, salesforce_id
from connectors.sandbox.faults import Profile
from connectors.sandbox.salesforce import app
from connectors.sandbox.salesforce_org import INTEGRATION_USER, PROFILE_SET, Org
from connectors.sandbox.world import World
from tests.loopback import Served

RECORDINGS = Path(__file__).parents[2] / "shared" / "recordings" / "salesforce"
START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=60)

recorded = pytest.mark.skipif(not RECORDINGS.exists(), reason="the recorded answers are not on this machine")


def recording(name: str) -> Any:
    (methods,) = json.loads((RECORDINGS / f"{name}.test.json").read_text())["api"].values()
    return next(iter(methods.values()))


class Loopback(HTTPAdapter):
    """Takes the https that the client insists on to plain HTTP on this machine."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, *args, **kwargs)


@dataclass
class Vendor:
    org: Org
    clock: SteppedClock
    url: str
    http: httpx.Client
    private_key: str
    ids: list[str]

    def account(self, number: int) -> str:
        """The id of the number-th account that was there at the beginning."""
        return self.ids[number - 1]

    def token(self, **form: str) -> httpx.Response:
        wanted = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-salesforce"}
        return httpx.post(f"{self.url}/services/oauth2/token", data=wanted | form)

    def client(self) -> Any:
        session = requests.Session()
        session.mount("https://", Loopback())
        token = self.token().json()["access_token"]
        return Salesforce(
            session_id=token, instance_url=self.url.replace("http:", "https:"), session=session, version="66.0"
        )

    def soql(self, query: str) -> list[Any]:
        answer = self.http.get("query", params={"q": query})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["records"])

    def count(self, where: str) -> int:
        return int(self.http.get("query", params={"q": f"SELECT COUNT() FROM Account {where}"}).json()["totalSize"])

    def refused(self, query: str) -> Any:
        answer = self.http.get("query", params={"q": query})
        assert answer.status_code == 400
        (error,) = answer.json()
        return error

    def patch(self, *rows: dict[str, Any], every: bool = False) -> list[Any]:
        records = [{"attributes": {"type": "Account"}, **row} for row in rows]
        answer = self.http.patch("composite/sobjects", json={"allOrNone": every, "records": records})
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def grant(self, name: str, *, edit: bool = True) -> None:
        row: dict[str, object] = {"ParentId": PROFILE_SET, "SobjectType": "Account", "Field": f"Account.{name}"}
        row |= {"PermissionsRead": True, "PermissionsEdit": edit}
        assert self.http.post("sobjects/FieldPermissions", json=row).status_code == 201

    def field(self, name: str, grant: bool = True, **metadata: Any) -> None:
        body = {"FullName": f"Account.{name}", "Metadata": {"label": name, **metadata}}
        assert self.http.post("tooling/sobjects/CustomField", json=body).status_code == 201
        if grant:
            self.grant(name)


@pytest.fixture(scope="module")
def keys() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Profile:
    return getattr(request, "param", Profile())


@pytest.fixture
def vendor(keys: tuple[str, str], served: Served, faults: Profile) -> Iterator[Vendor]:
    clock = SteppedClock(NOW)
    world = World(accounts=30, seed=7, start=START)
    served.application, org = app(world, clock, faults, base_url=lambda: served.url, jwt_public_key=keys[1])
    with httpx.Client(base_url=f"{served.url}/services/data/v66.0/") as http:
        vendor = Vendor(org, clock, served.url, http, keys[0], list(org.live()))
        http.headers["Authorization"] = f"Bearer {vendor.token().json()['access_token']}"
        yield vendor


# Signing in


def test_client_credentials_open_a_session(vendor: Vendor) -> None:
    body = vendor.token().json()
    assert set(body) == {"access_token", "instance_url", "id", "token_type", "issued_at", "signature", "scope"}
    assert body["instance_url"] == vendor.url
    assert body["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"client_id": "someone"}, "invalid_client_id"),
        ({"client_secret": "guess"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_are_refused_in_the_words_of_oauth(vendor: Vendor, form: dict[str, str], error: str) -> None:
    answer = vendor.token(**form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def assertion(vendor: Vendor, key: str | None = None, **claims: Any) -> dict[str, str]:
    wanted = {
        "iss": "sandbox",
        "sub": "integration@sandbox.test",
        "aud": "https://login.salesforce.com",
        "exp": int(vendor.clock.now().timestamp()) + 170,
    }
    signed = jwt.encode(wanted | claims, key or vendor.private_key, algorithm="RS256")
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}


def test_a_signed_assertion_opens_a_session(vendor: Vendor) -> None:
    assert vendor.token(**assertion(vendor)).status_code == 200
    assert vendor.token(**assertion(vendor, aud=vendor.url)).status_code == 200


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iss": "someone"}, "invalid_client_id"),
        ({"sub": "someone@sandbox.test"}, "invalid_grant"),
        ({"aud": "https://example.com"}, "invalid_grant"),
        ({"exp": 1_500_000_000}, "invalid_grant"),
        ({"exp": 4_000_000_000}, "invalid_grant"),
    ],
)
def test_an_assertion_that_says_something_else_is_refused(vendor: Vendor, claims: Any, error: str) -> None:
    answer = vendor.token(**assertion(vendor, **claims))
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_an_assertion_signed_with_another_key_is_refused(vendor: Vendor) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert vendor.token(**assertion(vendor, pem.decode())).json()["error"] == "invalid_grant"


def test_a_session_ends_when_unused_and_lives_on_while_used(vendor: Vendor) -> None:
    stop = threading.Event()
    for _ in range(3):
        vendor.clock.sleep(100 * 60, stop)
        assert vendor.http.get("limits").status_code == 200
    vendor.clock.sleep(121 * 60, stop)
    answer = vendor.http.get("limits")
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_sessions_can_be_ended_by_an_administrator(vendor: Vendor) -> None:
    client = vendor.client()
    vendor.org.expire_sessions()
    with pytest.raises(SalesforceExpiredSession):
        client.restful("limits")


# Limits and versions


def test_every_answer_says_what_is_used_up(vendor: Vendor) -> None:
    assert re.fullmatch(r"api-usage=\d+/100000", vendor.http.get("limits").headers["sforce-limit-info"])
    assert vendor.http.get("nowhere").status_code == 404
    assert vendor.http.get("nowhere").headers["sforce-limit-info"] == "api-usage=3/100000"


def test_the_daily_allowance_ends_and_comes_back_a_day_later(vendor: Vendor) -> None:
    client = vendor.client()
    vendor.org.calls_left = 2
    assert client.restful("limits")["DailyApiRequests"] == {"Max": 100_000, "Remaining": 1}
    client.restful("limits")
    with pytest.raises(SalesforceRefusedRequest, match=r"TotalRequests Limit exceeded.*REQUEST_LIMIT_EXCEEDED"):
        client.restful("limits")
    vendor.clock.sleep(24 * 3600 + 1, threading.Event())
    vendor.http.headers["Authorization"] = f"Bearer {vendor.token().json()['access_token']}"
    assert vendor.http.get("limits").status_code == 200


@pytest.mark.parametrize(("version", "status"), [("v30.0", 410), ("v31.0", 200), ("v67.0", 200), ("v99.0", 404)])
def test_retired_and_unknown_versions_are_gone(vendor: Vendor, version: str, status: int) -> None:
    assert vendor.http.get(f"{vendor.url}/services/data/{version}/limits").status_code == status


def test_versions_are_listed_without_a_session(vendor: Vendor) -> None:
    listed = httpx.get(f"{vendor.url}/services/data/").json()
    assert listed[-1]["url"] == "/services/data/v67.0"


# Reading


@recorded
def test_query_answers_have_the_recorded_shape(vendor: Vendor) -> None:
    want = recording("query-records")["response"]
    have = vendor.http.get("query", params={"q": "SELECT Id, Name FROM Account LIMIT 5"}).json()
    assert set(have) == set(want)
    assert (have["totalSize"], have["done"], len(have["records"])) == (5, True, 5)
    assert set(have["records"][0]) == set(want["records"][0])
    shape = r"/services/data/v\d\d\.0/sobjects/Account/001\w{15}"
    assert re.fullmatch(shape, have["records"][0]["attributes"]["url"])
    assert re.fullmatch(shape, want["records"][0]["attributes"]["url"])


@recorded
def test_describe_says_of_a_field_what_a_recorded_one_says(vendor: Vendor) -> None:
    want = recording("describe-sobject")["response"]
    have = vendor.http.get("sobjects/Account/describe").json()
    assert set(have) <= set(want)
    fields = {field["name"]: field for field in want["fields"]}
    for field in have["fields"]:
        assert set(field) == set(fields["Name"])
    known = ("type", "length", "precision", "scale", "updateable", "nillable", "soapType", "referenceTo")
    for field in have["fields"]:
        if field["name"] in fields and field["name"] not in ("Industry",):
            expected = fields[field["name"]]
            assert [field[key] for key in known] == [expected[key] for key in known], field["name"]


@recorded
def test_limits_have_the_recorded_names(vendor: Vendor) -> None:
    want = recording("get-limits")["response"]
    have = vendor.http.get("limits").json()
    assert set(have) <= set(want)
    assert set(have["DailyApiRequests"]) == set(want["DailyApiRequests"])


@recorded
def test_related_records_nest_and_dates_are_written_as_recorded(vendor: Vendor) -> None:
    want = recording("users")["response"]["records"]
    query = "SELECT Id, Username, ProfileId, Profile.Name, SystemModstamp FROM User ORDER BY SystemModstamp ASC"
    (have, *_) = vendor.soql(query)
    nested = next(user["Profile"] for user in want if user["Profile"])
    assert set(have["Profile"]) == set(nested)
    assert set(have["Profile"]["attributes"]) == set(nested["attributes"])
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000"
    assert re.fullmatch(stamp, have["SystemModstamp"])
    assert re.fullmatch(stamp, want[0]["SystemModstamp"])


def test_the_client_reads_every_page(vendor: Vendor) -> None:
    client = vendor.client()
    for number in range(1, 450):
        vendor.org.add(
            salesforce_id("001", 1000 + number),
            {"Id": salesforce_id("001", 1000 + number), "Name": "More"},
            created=START,
        )
    first = client.query("SELECT Id FROM Account", headers={"Sforce-Query-Options": "batchSize=200"})
    assert (len(first["records"]), first["done"]) == (200, False)
    assert re.fullmatch(r"/services/data/v66\.0/query/01g\w{15}-200", first["nextRecordsUrl"])
    pages = vendor.client().query_all_iter("SELECT Id, Owner.Name FROM Account ORDER BY Id")
    ids = [row["Id"] for row in pages]
    assert len(ids) == len(set(ids)) == first["totalSize"] > 449


def test_pages_are_two_thousand_rows_unless_asked_otherwise(vendor: Vendor) -> None:
    for number in range(2001):
        vendor.org.add(salesforce_id("001", 5000 + number), {"Id": salesforce_id("001", 5000 + number)}, created=START)
    page = vendor.http.get("query", params={"q": "SELECT Id FROM Account"}).json()
    assert len(page["records"]) == 2000
    rest = vendor.http.get(vendor.url + page["nextRecordsUrl"]).json()
    assert rest["done"]
    assert len(rest["records"]) == page["totalSize"] - 2000
    assert "nextRecordsUrl" not in rest


def test_conditions_choose_rows(vendor: Vendor) -> None:
    every = vendor.count("")
    customers = vendor.count("WHERE Type = 'customer'")
    assert 0 < customers < every
    assert vendor.count("WHERE Type != 'Customer'") == every - customers
    assert vendor.count("WHERE NOT Type = 'Customer'") == every - customers
    assert vendor.count("WHERE Type IN ('Customer', 'Prospect')") == every
    assert vendor.count("WHERE Type NOT IN ('Customer')") == every - customers
    assert vendor.count("WHERE Industry = null") == every
    assert vendor.count("WHERE Industry != null") == 0
    assert vendor.count("WHERE Type = 'Customer' AND (Seats__c >= 1 OR Plan__c = 'free')") == customers
    assert vendor.count("WHERE Seats__c > 10") + vendor.count("WHERE Seats__c <= 10") == every
    assert vendor.count("WHERE CreatedDate < 2026-03-01T00:00:00Z AND Renewal_Date__c > 2026-03-01") > 0
    assert vendor.count("WHERE CreatedDate > TODAY") == 0
    assert vendor.count("WHERE IsDeleted = FALSE") == every
    assert vendor.count("WHERE Website LIKE 'https://www.%.EXAMPLE'") == every
    assert vendor.count(f"WHERE Id = '{vendor.account(1)[:15]}'") == 1
    assert vendor.count("WHERE Owner.Name = 'nobody'") == 0


def test_text_may_hold_quotes_and_backslashes(vendor: Vendor) -> None:
    vendor.org.set_field(vendor.account(1), "Name", "O'Hara \\ Sons")
    assert vendor.count(r"WHERE Name = 'O\'Hara \\ Sons'") == 1


def test_order_limit_and_offset_are_kept(vendor: Vendor) -> None:
    rows = vendor.soql("SELECT Seats__c FROM Account ORDER BY Seats__c DESC NULLS LAST LIMIT 3 OFFSET 1")
    seats = sorted((company["Seats__c"] for company in vendor.org.records.values()), reverse=True)
    assert [row["Seats__c"] for row in rows] == seats[1:4]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Id Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'open", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account LIMIT many", "MALFORMED_QUERY"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Nothing__c FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Nothing.Name = 'a'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Seats__c = '5'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Description = 'long'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Id = 'short'", "INVALID_QUERY_FILTER_OPERATOR"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(vendor: Vendor, query: str, code: str) -> None:
    assert vendor.refused(query)["errorCode"] == code


def test_an_unknown_column_is_named_in_the_vendors_words(vendor: Vendor) -> None:
    assert (
        "No such column 'Nothing__c' on entity 'Account'" in vendor.refused("SELECT Nothing__c FROM Account")["message"]
    )


@given(st.text(max_size=20))
def test_any_text_survives_a_literal(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    where = soql.parse(f"SELECT Id FROM Account WHERE Name = '{quoted}'").where
    assert where == soql.Compare("Name", "=", (soql.Value("text", text),))


def test_deleted_and_future_accounts_are_hidden(vendor: Vendor) -> None:
    before = vendor.count("")
    vendor.org.delete(vendor.account(1))
    vendor.org.add(salesforce_id("001", 900), {"Id": salesforce_id("001", 900)}, created=NOW + timedelta(days=1))
    assert vendor.count("") == before - 1
    (gone,) = vendor.http.get("queryAll", params={"q": "SELECT Id FROM Account WHERE IsDeleted = TRUE"}).json()[
        "records"
    ]
    assert gone["Id"] == vendor.account(1)
    vendor.clock.sleep(86_401, threading.Event())
    vendor.http.headers["Authorization"] = f"Bearer {vendor.token().json()['access_token']}"
    assert vendor.count("") >= before


def test_many_records_are_read_in_the_order_asked_with_gaps(vendor: Vendor) -> None:
    vendor.org.delete(vendor.account(2))
    ids = [vendor.account(3), vendor.account(2), "001000000000000AAA", vendor.account(1)[:15]]
    body = vendor.client().restful("composite/sobjects/Account", method="POST", json={"ids": ids, "fields": ["Name"]})
    assert [row and row["Id"] for row in body] == [vendor.account(3), None, None, vendor.account(1)]
    assert set(body[0]) == {"attributes", "Name", "Id"}
    hidden = vendor.http.post("composite/sobjects/Account", json={"ids": ids, "fields": ["Nothing__c"]})
    assert (hidden.status_code, hidden.json()[0]["errorCode"]) == (400, "INVALID_FIELD")
    many = vendor.http.post("composite/sobjects/Account", json={"ids": ids * 501, "fields": ["Name"]})
    assert many.status_code == 400


# Writing


@recorded
def test_collections_answer_row_by_row_as_recorded(vendor: Vendor) -> None:
    good, bad = vendor.patch({"id": vendor.account(1), "Name": "New"}, {"id": "001xx000003DHP0AAO", "Name": "New"})
    assert [bad] == recording("update-sobject-collection")["response"]
    assert set(good) == set(recording("create-sobject-collection")["response"][0])
    assert good == {"id": vendor.account(1), "success": True, "errors": []}


def test_the_client_writes_a_collection(vendor: Vendor) -> None:
    records = [{"attributes": {"type": "Account"}, "id": vendor.account(n), "Seats__c": n} for n in (3, 1, 2)]
    results = vendor.client().restful(
        "composite/sobjects", method="PATCH", json={"allOrNone": False, "records": records}
    )
    assert [result["id"] for result in results] == [vendor.account(n) for n in (3, 1, 2)]
    assert [vendor.org.records[vendor.account(n)]["Seats__c"] for n in (1, 2, 3)] == [1.0, 2.0, 3.0]
    assert (vendor.org.writing_calls, vendor.org.rows_written) == (1, 3)
    assert vendor.org.writes[0].fields == {"Seats__c": 3.0}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Nothing__c": 1}, "INVALID_FIELD"),
        ({"CreatedDate": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Plan__c": "platinum"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Plan__c": "Pro"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Name": "x" * 256}, "STRING_TOO_LONG"),
        ({"Name": ""}, "REQUIRED_FIELD_MISSING"),
        ({"ARR__c": 10**17}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"ARR__c": "much"}, "JSON_PARSER_ERROR"),
        ({"ARR__c": True}, "JSON_PARSER_ERROR"),
        ({"Renewal_Date__c": "soon"}, "JSON_PARSER_ERROR"),
        ({"Name": 5}, "JSON_PARSER_ERROR"),
    ],
)
def test_a_bad_value_costs_its_own_row_only(vendor: Vendor, fields: dict[str, Any], code: str) -> None:
    bad, good = vendor.patch({"id": vendor.account(1), **fields}, {"id": vendor.account(2), "Name": "Fine"})
    assert bad["errors"][0]["statusCode"] == code
    assert "id" not in bad
    assert good["success"]
    assert [written.record for written in vendor.org.writes] == [vendor.account(2)]


def test_all_or_none_writes_nothing_when_a_row_is_bad(vendor: Vendor) -> None:
    rows = ({"id": vendor.account(1), "Name": ""}, {"id": vendor.account(2), "Name": "Fine"})
    bad, other = vendor.patch(*rows, every=True)
    assert bad["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert other["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert not vendor.org.writes


def test_values_are_held_as_the_field_holds_them(vendor: Vendor) -> None:
    vendor.field("Health_Score__c", type="Number", precision=4, scale=1)
    vendor.field("Health_Scored_At__c", type="DateTime")
    vendor.patch(
        {
            "id": vendor.account(1),
            "Health_Score__c": 82.25,
            "Health_Scored_At__c": "2026-04-30T08:15:30.987+02:00",
            "Website": "  ",
        }
    )
    (row,) = vendor.soql(
        f"SELECT Health_Score__c, Health_Scored_At__c, Website FROM Account WHERE Id = '{vendor.account(1)}'"
    )
    assert row["Health_Score__c"] == 82.3
    assert row["Health_Scored_At__c"] == "2026-04-30T06:15:30.000+0000"
    assert row["Website"] is None
    (refused,) = vendor.patch({"id": vendor.account(1), "Health_Score__c": 1000})
    assert refused["errors"][0]["fields"] == ["Health_Score__c"]


def test_a_call_takes_two_hundred_rows_at_most(vendor: Vendor) -> None:
    rows = [{"attributes": {"type": "Account"}, "id": vendor.account(1)}] * 201
    answer = vendor.http.patch("composite/sobjects", json={"records": rows})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    assert vendor.http.patch("composite/sobjects", json={"rows": []}).status_code == 400


def test_rows_fail_as_a_test_asks(vendor: Vendor) -> None:
    vendor.org.fail_rows[vendor.account(1)] = "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    vendor.org.lock_rows[vendor.account(2)] = 1
    vendor.org.delete(vendor.account(3))
    rows = [{"id": vendor.account(number), "Name": "New"} for number in (1, 2, 3, 4)]
    codes = [[error["statusCode"] for error in result["errors"]] for result in vendor.patch(*rows)]
    assert codes == [["FIELD_CUSTOM_VALIDATION_EXCEPTION"], ["UNABLE_TO_LOCK_ROW"], ["ENTITY_IS_DELETED"], []]
    assert vendor.patch(rows[1])[0]["success"]


@pytest.mark.parametrize("faults", [Profile(locked=0.3)], indirect=True)
def test_a_profile_locks_rows_now_and_then(vendor: Vendor) -> None:
    rows = [{"id": vendor.account(number), "Name": "New"} for number in range(1, 21)]
    refused = [result for result in vendor.patch(*rows) if not result["success"]]
    assert 0 < len(refused) < 20
    assert {result["errors"][0]["statusCode"] for result in refused} == {"UNABLE_TO_LOCK_ROW"}


def test_one_record_is_read_and_written_alone(vendor: Vendor) -> None:
    client = vendor.client()
    assert client.Account.update(vendor.account(1), {"Name": "Alone"}) == 204
    assert client.Account.get(vendor.account(1))["Name"] == "Alone"
    with pytest.raises(SalesforceMalformedRequest):
        client.Account.update(vendor.account(1), {"Plan__c": "platinum"})
    vendor.org.merge(vendor.account(2), vendor.account(1))
    answer = vendor.http.get(f"sobjects/Account/{vendor.account(2)}")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")


def test_the_record_says_whether_a_person_or_the_integration_changed_it(vendor: Vendor) -> None:
    query = f"SELECT LastModifiedById, LastModifiedDate FROM Account WHERE Id = '{vendor.account(1)}'"
    vendor.patch({"id": vendor.account(1), "Plan__c": "free"})
    (ours,) = vendor.soql(query)
    vendor.org.set_field(vendor.account(1), "Plan__c", "pro")
    (theirs,) = vendor.soql(query)
    assert ours["LastModifiedById"] == INTEGRATION_USER != theirs["LastModifiedById"]
    assert ours["LastModifiedDate"] == "2026-04-30T00:00:00.000+0000"
    assert [written.by for written in vendor.org.writes] == ["api", "human"]
    assert vendor.org.rows_written == 1


def test_the_history_of_a_tracked_field_is_read_with_its_account(vendor: Vendor) -> None:
    vendor.field("Health_Tier__c", type="Text", length=20)
    account, other = vendor.account(1), vendor.account(2)
    vendor.org.tracked = {"Health_Tier__c", "Description"}
    for tier, by in (("green", "api"), ("yellow", "human"), ("yellow", "sync"), ("red", "workflow")):
        vendor.org.set_field(account, "Health_Tier__c", tier, by=by)
        vendor.clock.advance_to(vendor.clock.now() + timedelta(minutes=1))
    vendor.org.set_field(account, "Description", "long", by="human")
    vendor.org.set_field(account, "Industry", "Shipping", by="human")
    history = "SELECT Field, OldValue, NewValue, CreatedBy.Name FROM Histories ORDER BY CreatedDate DESC"
    query = f"SELECT Id, ({history}) FROM Account WHERE Id IN ('{account}', '{other}') ORDER BY Id"
    first, second = vendor.soql(query)
    told = [(one["NewValue"], one["OldValue"], one["CreatedBy"]["Name"]) for one in first["Histories"]["records"]]
    assert told == [
        (None, None, "Robin Admin"),  # of long text only that it changed
        ("red", "yellow", "Automated Process"),
        ("yellow", "green", "Robin Admin"),  # set to what it was already, nothing is noted down
        ("green", None, "Sandbox Integration"),
    ]
    assert second["Histories"] is None
    (newest,) = vendor.soql(query.replace("DESC)", "DESC LIMIT 1)").replace(f", '{other}'", ""))
    assert newest["Histories"]["totalSize"] == 1
    assert vendor.refused("SELECT Id, (SELECT Id FROM Contacts) FROM Account")["errorCode"] == "INVALID_TYPE"
    assert vendor.refused("SELECT Id FROM AccountHistory WHERE NewValue = 'red'")["errorCode"] == "INVALID_FIELD"


def test_users_are_people_or_not_by_type_and_licence(vendor: Vendor) -> None:
    users = vendor.soql("SELECT Name, UserType, Profile.UserLicense.Name FROM User")
    kinds = {one["Name"]: (one["UserType"], one["Profile"] and one["Profile"]["UserLicense"]["Name"]) for one in users}
    assert kinds["Billing Integration"] == ("Standard", "Salesforce Integration")
    assert kinds["CRM Sync"] == kinds["Robin Admin"] == ("Standard", "Salesforce")
    assert kinds["Automated Process"] == ("AutomatedProcess", None)


def test_setup_says_which_fields_are_tracked(vendor: Vendor) -> None:
    vendor.org.tracked = {"Plan__c"}
    soql = "SELECT IsFieldHistoryTracked FROM FieldDefinition WHERE EntityDefinition.QualifiedApiName = 'Account'"
    for name in ("Plan__c", "Seats__c"):
        query = f"{soql} AND QualifiedApiName = '{name}'"
        (one,) = vendor.http.get("tooling/query", params={"q": query}).json()["records"]
        assert one["IsFieldHistoryTracked"] == (name == "Plan__c")


# Fields and who may see them


def test_a_new_field_is_invisible_until_it_is_granted(vendor: Vendor) -> None:
    vendor.field("Health_Tier__c", grant=False, type="Text", length=20)
    row = {"id": vendor.account(1), "Health_Tier__c": "green"}

    def seen() -> set[str]:
        return {field["name"] for field in vendor.http.get("sobjects/Account/describe").json()["fields"]}

    assert "Health_Tier__c" not in seen()
    assert vendor.refused("SELECT Health_Tier__c FROM Account")["errorCode"] == "INVALID_FIELD"
    assert vendor.patch(row)[0]["errors"][0]["statusCode"] == "INVALID_FIELD"
    vendor.grant("Health_Tier__c")
    assert "Health_Tier__c" in seen()
    assert vendor.patch(row)[0]["success"]


def test_a_field_granted_for_reading_only_can_not_be_written(vendor: Vendor) -> None:
    vendor.field("Health_Tier__c", grant=False, type="Text", length=20)
    vendor.grant("Health_Tier__c", edit=False)
    described = vendor.http.get("sobjects/Account/describe").json()["fields"]
    assert not next(field for field in described if field["name"] == "Health_Tier__c")["updateable"]
    (refused,) = vendor.patch({"id": vendor.account(1), "Health_Tier__c": "green"})
    assert refused["errors"][0]["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_a_permission_set_grants_once_it_is_assigned(vendor: Vendor) -> None:
    client = vendor.client()
    vendor.field("Health_Tier__c", grant=False, type="Text", length=20)
    made = client.PermissionSet.create({"Name": "Health", "Label": "Health"})["id"]
    client.FieldPermissions.create(
        {
            "ParentId": made,
            "SobjectType": "Account",
            "Field": "Account.Health_Tier__c",
            "PermissionsRead": True,
            "PermissionsEdit": True,
        }
    )
    assert vendor.refused("SELECT Health_Tier__c FROM Account")["errorCode"] == "INVALID_FIELD"
    client.PermissionSetAssignment.create({"AssigneeId": INTEGRATION_USER, "PermissionSetId": made})
    assert vendor.soql("SELECT Health_Tier__c FROM Account LIMIT 1")[0]["Health_Tier__c"] is None
    (assigned,) = vendor.soql(
        f"SELECT PermissionSet.Name, Assignee.Username FROM PermissionSetAssignment WHERE PermissionSetId = '{made}'"
    )
    assert assigned["PermissionSet"]["Name"] == "Health"
    assert assigned["Assignee"]["Username"] == "integration@sandbox.test"
    with pytest.raises(SalesforceMalformedRequest):
        client.PermissionSetAssignment.create({"AssigneeId": INTEGRATION_USER, "PermissionSetId": made})


def test_a_picklist_made_through_tooling_takes_its_values_only(vendor: Vendor) -> None:
    values = [{"fullName": "green", "label": "Green", "default": False}, {"fullName": "red", "label": "Red"}]
    vendor.field(
        "Health_Tier__c",
        type="Picklist",
        valueSet={"restricted": True, "valueSetDefinition": {"sorted": False, "value": values}},
    )
    described = vendor.http.get("sobjects/Account/describe").json()["fields"]
    field = next(field for field in described if field["name"] == "Health_Tier__c")
    assert field["restrictedPicklist"]
    assert [(one["value"], one["label"]) for one in field["picklistValues"]] == [("green", "Green"), ("red", "Red")]
    good, bad = vendor.patch(
        {"id": vendor.account(1), "Health_Tier__c": "green"}, {"id": vendor.account(2), "Health_Tier__c": "blue"}
    )
    assert good["success"]
    assert bad["errors"][0]["statusCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


def test_a_change_replaces_all_that_is_written_down_of_a_field(vendor: Vendor) -> None:
    values = [{"fullName": name, "label": name} for name in ("green", "red")]
    picklist = {"restricted": True, "valueSetDefinition": {"sorted": False, "value": values}}
    vendor.field("Health_Tier__c", type="Picklist", valueSet=picklist)
    path = f"tooling/sobjects/CustomField/{vendor.org.field_ids['Health_Tier__c']}"
    told = vendor.http.get(path).json()["Metadata"]
    assert [one["valueName"] for one in told["valueSet"]["valueSetDefinition"]["value"]] == ["green", "red"]
    assert vendor.http.patch(path, json={"FullName": "Account.Health_Tier__c"}).status_code == 400
    del told["valueSet"]["valueSetDefinition"]["value"][0]
    assert vendor.http.patch(path, json={"Metadata": told}).status_code == 204
    assert vendor.org.columns["health_tier__c"].inactive == (("green", "green"),)
    (refused,) = vendor.patch({"id": vendor.account(1), "Health_Tier__c": "green"})
    assert refused["errors"][0]["statusCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


def test_a_list_view_names_fields_that_are_seen_and_labels_that_there_are(vendor: Vendor) -> None:
    good = {
        "listViewApiName": "Pros",
        "label": "Pro customers",
        "visibility": "Public",
        "filteredByInfo": [{"fieldApiName": "Plan__c", "operator": "Equals", "operandLabels": ["Pro"]}],
    }
    one = {"fieldApiName": "Plan__c", "operator": "Equals", "operandLabels": ["pro"]}  # a value is no label
    for wrong in ({"filteredByInfo": [one]}, {"label": "x" * 41}, {"visibility": "All"}, {"displayColumns": ["No__c"]}):
        assert vendor.http.post("ui-api/list-info/Account", json=good | wrong).status_code == 400
    assert vendor.http.post("ui-api/list-info/Account", json=good).json()["listReference"]["listViewApiName"] == "Pros"
    assert vendor.http.post("ui-api/list-info/Account", json=good).status_code == 400
    assert vendor.soql("SELECT Name FROM ListView WHERE DeveloperName = 'Pros'")[0]["Name"] == "Pro customers"
    assert vendor.http.get("ui-api/list-info/Account/Pros").json()["label"] == "Pro customers"
    assert vendor.http.delete("ui-api/list-info/Account/Pros").status_code == 204
    assert vendor.http.delete("ui-api/list-info/Account/Pros").status_code == 404


def test_a_permission_set_is_deleted_once_nobody_has_it(vendor: Vendor) -> None:
    client = vendor.client()
    made = client.PermissionSet.create({"Name": "Health", "Label": "Health"})["id"]
    given = client.PermissionSetAssignment.create({"AssigneeId": INTEGRATION_USER, "PermissionSetId": made})["id"]
    refused = vendor.http.delete(f"sobjects/PermissionSet/{made}")
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "DELETE_FAILED")
    assert vendor.http.delete(f"sobjects/PermissionSetAssignment/{given}").status_code == 204
    assert vendor.http.delete(f"sobjects/PermissionSet/{made}").status_code == 204
    assert vendor.http.delete(f"sobjects/PermissionSet/{PROFILE_SET}").status_code == 400


def test_a_field_is_made_once(vendor: Vendor) -> None:
    vendor.field("Health_Score__c", grant=False, type="Number", precision=5, scale=2)
    body = {"FullName": "Account.Health_Score__c", "Metadata": {"label": "x", "type": "Text", "length": 5}}
    again = vendor.http.post("tooling/sobjects/CustomField", json=body)
    assert (again.status_code, again.json()[0]["errorCode"]) == (400, "DUPLICATE_DEVELOPER_NAME")
    query = "SELECT Id FROM CustomField WHERE TableEnumOrId = 'Account' AND DeveloperName = 'Health_Score'"
    assert vendor.http.get("tooling/query", params={"q": query}).json()["totalSize"] == 1
    half = {"FullName": "Account.Half__c", "Metadata": {"label": "x", "type": "Number"}}
    assert (
        vendor.http.post("tooling/sobjects/CustomField", json=half).json()[0]["errorCode"]
        == "FIELD_INTEGRITY_EXCEPTION"
    )


def test_making_a_field_needs_the_permission_to(vendor: Vendor) -> None:
    vendor.org.missing_scopes.add("CustomizeApplication")
    body = {"FullName": "Account.New__c", "Metadata": {"label": "x", "type": "Text", "length": 5}}
    assert vendor.http.post("tooling/sobjects/CustomField", json=body).status_code == 400
    vendor.org.missing_scopes.add("ApiEnabled")
    answer = vendor.http.get("limits")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "API_DISABLED_FOR_ORG")


# Bulk API 2.0


def upload(vendor: Vendor, content: str, **wanted: str) -> str:
    body = {"object": "Account", "operation": "update", "contentType": "CSV", "lineEnding": "LF", **wanted}
    job = vendor.http.post("jobs/ingest", json=body).json()
    sent = vendor.http.put(f"{vendor.url}/{job['contentUrl']}", content=content, headers={"Content-Type": "text/csv"})
    assert sent.status_code == 201
    closed = vendor.http.patch(f"jobs/ingest/{job['id']}", json={"state": "UploadComplete"}).json()
    assert closed["state"] == "UploadComplete"
    return str(job["id"])


def state(vendor: Vendor, job: str) -> Any:
    return vendor.http.get(f"jobs/ingest/{job}").json()


def rows(vendor: Vendor, job: str, kind: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(vendor.http.get(f"jobs/ingest/{job}/{kind}").text)))


def test_a_job_goes_through_its_states_over_time_and_answers_row_by_row(vendor: Vendor) -> None:
    ids = [vendor.account(number) for number in range(1, 9)]
    vendor.org.fail_rows[ids[2]] = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
    content = "Id,Seats__c\n" + "".join(f"{one},{place}\n" for place, one in enumerate(ids))
    job = upload(vendor, content)
    states = [state(vendor, job)["state"]]
    for _ in range(12):
        vendor.clock.sleep(1, threading.Event())
        states.append(state(vendor, job)["state"])
    assert list(dict.fromkeys(states)) == ["UploadComplete", "InProgress", "JobComplete"]
    told = state(vendor, job)
    assert (told["numberRecordsProcessed"], told["numberRecordsFailed"]) == (8, 1)
    good, bad = rows(vendor, job, "successfulResults"), rows(vendor, job, "failedResults")
    assert [row["sf__Id"] for row in good] != [one for one in ids if one != ids[2]]
    assert {row["sf__Id"] for row in good} == set(ids) - {ids[2]}
    assert list(good[0]) == ["sf__Id", "sf__Created", "Id", "Seats__c"]
    assert bad[0]["sf__Error"].startswith("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY:")
    assert bad[0]["Id"] == ids[2]
    assert rows(vendor, job, "unprocessedrecords") == []
    assert vendor.http.delete(f"jobs/ingest/{job}").status_code == 204
    assert vendor.http.get(f"jobs/ingest/{job}").status_code == 404


def test_an_empty_cell_leaves_a_field_alone_and_na_clears_it(vendor: Vendor) -> None:
    vendor.org.set_field(vendor.account(2), "Industry", "Shipping")
    vendor.org.set_field(vendor.account(3), "Industry", "Shipping")
    job = upload(vendor, f"Id,Industry\n{vendor.account(2)},\n{vendor.account(3)},#N/A\n")
    vendor.clock.sleep(60, threading.Event())
    assert state(vendor, job)["state"] == "JobComplete"
    assert vendor.org.records[vendor.account(2)]["Industry"] == "Shipping"
    assert vendor.org.records[vendor.account(3)]["Industry"] is None


@pytest.mark.parametrize("faults", [Profile(aborted=1.0)], indirect=True)
def test_a_job_aborted_half_way_says_which_rows_it_never_got_to(vendor: Vendor) -> None:
    ids = [vendor.account(number) for number in range(1, 6)]
    job = upload(vendor, "Id,Seats__c\n" + "".join(f"{one},77\n" for one in ids))
    vendor.clock.sleep(60, threading.Event())
    assert state(vendor, job)["state"] == "Aborted"
    done = [row["sf__Id"] for row in rows(vendor, job, "successfulResults")]
    assert sorted(done) == sorted(one.record for one in vendor.org.writes) == ids[:2]
    assert [row["Id"] for row in rows(vendor, job, "unprocessedrecords")] == ids[2:]
    assert vendor.org.faults.struck["aborted"] == 1


def test_a_column_nobody_may_see_fails_the_whole_job(vendor: Vendor) -> None:
    job = upload(vendor, f"Id,Nothing__c\n{vendor.account(1)},5\n")
    vendor.clock.sleep(60, threading.Event())
    told = state(vendor, job)
    assert told["state"] == "Failed"
    assert told["errorMessage"] == "InvalidBatch : Field name not found : Nothing__c"
    assert len(rows(vendor, job, "unprocessedrecords")) == 1
    assert not vendor.org.writes


def test_a_job_can_be_given_up(vendor: Vendor) -> None:
    body = {"object": "Account", "operation": "update", "contentType": "CSV"}
    job = vendor.http.post("jobs/ingest", json=body).json()["id"]
    assert vendor.http.patch(f"jobs/ingest/{job}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    again = vendor.http.patch(f"jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert (again.status_code, again.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")


class Hurried(SteppedClock):
    """Ten seconds pass between any two looks at it."""

    def now(self) -> datetime:
        self.advance_to(super().now() + timedelta(seconds=10))
        return super().now()


def test_the_client_runs_a_bulk_update(vendor: Vendor) -> None:
    vendor.org.clock = Hurried(NOW)
    records = [{"Id": vendor.account(number), "Seats__c": "77"} for number in range(1, 6)]
    bulk = vendor.client().bulk2.Account
    (result,) = bulk.update(records=records, wait=0)
    assert (result["numberRecordsProcessed"], result["numberRecordsFailed"]) == (5, 0)
    assert vendor.org.records[vendor.account(5)]["Seats__c"] == 77.0
    assert "sf__Id" in bulk.get_successful_records(result["job_id"])


# Ids


@recorded
def test_ids_carry_the_suffix_that_recorded_ids_carry() -> None:
    for record in recording("query-records")["response"]["records"]:
        assert full_id(record["Id"][:15]) == record["Id"]

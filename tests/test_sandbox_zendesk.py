"""The stand-in for Zendesk, over real HTTP, held against the published contract and recorded answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml

from connectors.clock import SteppedClock
from connectors.sandbox import Sandbox
from connectors.sandbox.credentials import ZENDESK_AGENT, ZENDESK_CLIENT, ZENDESK_REFRESH, ZENDESK_TOKEN

NOW = datetime(2026, 10, 29, 9, 30, tzinfo=UTC)
DAYS = 90
SHARED = Path(__file__).parents[2] / "shared"
RECORDINGS = SHARED / "recordings" / "zendesk"
CONTRACT = SHARED / "specs" / "zendesk" / "oas.yaml"

TICKETS = "/api/v2/incremental/tickets/cursor.json"
USERS = "/api/v2/incremental/users/cursor.json"
ORGANIZATIONS = "/api/v2/incremental/organizations.json"
EVENTS = "/api/v2/incremental/ticket_events.json"

needs_contract = pytest.mark.skipif(not CONTRACT.exists(), reason="no published contract beside this checkout")
needs_recordings = pytest.mark.skipif(not RECORDINGS.exists(), reason="no recordings beside this checkout")


class Desk:
    """A client that is signed in and waits out the limit, by moving the clock, before every call."""

    def __init__(self, http: httpx.Client, clock: SteppedClock) -> None:
        self.http, self.clock = http, clock

    def get(self, address: str, **params: object) -> httpx.Response:
        self.clock.advance_to(self.clock.now() + timedelta(seconds=7))
        return self.http.get(address, params={k: str(v) for k, v in params.items()} or None, auth=ZENDESK_TOKEN)

    def pages(self, address: str, **params: object) -> Iterator[dict[str, Any]]:
        while True:
            answer = self.get(address, **params)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield page
            if page["end_of_stream"]:
                return
            address, params = page.get("after_url") or page["next_page"], {}

    def all(self, address: str, key: str, **params: object) -> list[dict[str, Any]]:
        return [record for page in self.pages(address, **params) for record in page[key]]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(NOW)


@pytest.fixture
def sandbox(clock: SteppedClock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock, accounts=100, history_days=DAYS, vendors=("zendesk",)) as running:
        yield running


@pytest.fixture
def desk(sandbox: Sandbox, clock: SteppedClock) -> Iterator[Desk]:
    with httpx.Client(base_url=sandbox.urls["zendesk"], verify=False) as http:
        yield Desk(http, clock)


def start(days: int = DAYS) -> int:
    """Midnight so many days ago."""
    return int((NOW.replace(hour=0, minute=0) - timedelta(days=days)).timestamp())


# signing in


def sign_in(desk: Desk, **more: object) -> httpx.Response:
    client, secret = ZENDESK_CLIENT
    asked = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret, "scope": "read"}
    return desk.http.post("/oauth/tokens", json=asked | more)


def bearer(desk: Desk, token: str) -> int:
    return desk.http.get("/api/v2/users/me.json", headers={"authorization": f"Bearer {token}"}).status_code


def test_a_token_works_for_as_long_as_was_asked(desk: Desk) -> None:
    token = sign_in(desk, expires_in=600).json()["access_token"]
    assert bearer(desk, token) == 200
    desk.clock.advance_to(NOW + timedelta(seconds=599))
    assert bearer(desk, token) == 200
    desk.clock.advance_to(NOW + timedelta(seconds=600))
    assert bearer(desk, token) == 401


def test_a_second_token_leaves_the_first_alone(desk: Desk) -> None:
    first, second = (sign_in(desk).json()["access_token"] for _ in range(2))
    assert first != second
    assert (bearer(desk, first), bearer(desk, second)) == (200, 200)


def test_a_refresh_ends_both_tokens_before(desk: Desk) -> None:
    first = sign_in(desk, grant_type="refresh_token", refresh_token=ZENDESK_REFRESH).json()
    assert bearer(desk, first["access_token"]) == 200
    second = sign_in(desk, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert [bearer(desk, one["access_token"]) for one in (first, second)] == [401, 200]
    for old in (ZENDESK_REFRESH, first["refresh_token"]):
        answer = sign_in(desk, grant_type="refresh_token", refresh_token=old)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("wrong", "status", "error"),
    [
        ({"client_secret": "guess"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"expires_in": 60}, 400, "invalid_request"),
    ],
)
def test_a_wrong_sign_in_says_what_is_wrong(desk: Desk, wrong: dict[str, object], status: int, error: str) -> None:
    answer = sign_in(desk, **wrong)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_token_without_the_scope_reads_nothing(desk: Desk) -> None:
    assert bearer(desk, sign_in(desk, scope="webhooks:write").json()["access_token"]) == 403


def test_a_stranger_is_told_in_the_vendors_words(desk: Desk) -> None:
    answer = desk.http.get("/api/v2/users/me.json")
    assert (answer.status_code, answer.json()) == (401, {"error": "Couldn't authenticate you"})


def test_the_exports_are_for_admins_only(desk: Desk) -> None:
    assert desk.http.get("/api/v2/users/me.json", auth=ZENDESK_AGENT).json()["user"]["role"] == "agent"
    assert desk.http.get(TICKETS, params={"start_time": start()}, auth=ZENDESK_AGENT).status_code == 403


# tickets by cursor


def test_the_whole_stream_comes_in_pages_and_in_order(desk: Desk) -> None:
    paged = desk.all(TICKETS, "tickets", start_time=start(), per_page=50)
    order = [(ticket["generated_timestamp"], ticket["id"]) for ticket in paged]
    assert order == sorted(set(order))
    assert len(paged) > 100
    assert {t["id"] for t in paged} >= {t["id"] for t in desk.all(TICKETS, "tickets", start_time=start(20))}


def test_the_cursor_goes_on_after_the_end_of_the_stream(desk: Desk) -> None:
    *_, last = desk.pages(TICKETS, start_time=start())
    desk.clock.advance_to(NOW + timedelta(days=3))
    news = desk.all(TICKETS, "tickets", cursor=last["after_cursor"])
    assert news
    assert all(ticket["generated_timestamp"] > NOW.timestamp() - 120 for ticket in news)


def test_a_cursor_with_nothing_behind_it_stays_as_it_is(desk: Desk) -> None:
    *_, last = desk.pages(TICKETS, start_time=start())
    page = desk.get(TICKETS, cursor=last["after_cursor"]).json()
    assert page["tickets"] == []
    assert (page["after_cursor"], page["end_of_stream"]) == (last["after_cursor"], True)


def test_the_cursor_reads_as_the_recorded_ones_do(desk: Desk) -> None:
    page = desk.get(TICKETS, start_time=start(), per_page=3).json()
    last = page["tickets"][-1]
    told = base64.b64decode(page["after_cursor"]).decode()
    assert told == f"{last['generated_timestamp']}.0||{last['id']}|"


def test_a_ticket_comes_again_when_it_changes(desk: Desk) -> None:
    *_, last = desk.pages(TICKETS, start_time=start())
    before = {ticket["id"]: ticket for ticket in desk.all(TICKETS, "tickets", start_time=start())}
    desk.clock.advance_to(NOW + timedelta(days=5))
    again = [t for t in desk.all(TICKETS, "tickets", cursor=last["after_cursor"]) if t["id"] in before]
    assert any(ticket["status"] != before[ticket["id"]]["status"] for ticket in again)
    assert all(t["generated_timestamp"] > before[t["id"]]["generated_timestamp"] for t in again)


def test_the_last_minute_is_held_back(desk: Desk) -> None:
    *_, last = desk.pages(TICKETS, start_time=start())
    for minutes in range(60, 60 * 24, 60):
        desk.clock.advance_to(NOW + timedelta(minutes=minutes))
        page = desk.get(TICKETS, cursor=last["after_cursor"]).json()
        newest = max((ticket["generated_timestamp"] for ticket in page["tickets"]), default=0)
        assert newest <= desk.clock.now().timestamp() - 60


def test_a_system_touch_moves_the_stream_but_not_updated_at(desk: Desk) -> None:
    tickets = desk.all(TICKETS, "tickets", start_time=start())
    updated = [datetime.fromisoformat(ticket["updated_at"]).timestamp() for ticket in tickets]
    generated = [ticket["generated_timestamp"] for ticket in tickets]
    assert all(at <= then for at, then in zip(updated, generated, strict=True))
    assert any(at < then for at, then in zip(updated, generated, strict=True))


def test_deleted_tickets_are_in_the_stream_and_scrubbed(desk: Desk) -> None:
    gone = [t for t in desk.all(TICKETS, "tickets", start_time=start()) if t["status"] == "deleted"]
    assert gone
    assert {(ticket["subject"], ticket["description"]) for ticket in gone} == {("SCRUBBED", "X")}


def test_some_tickets_have_no_organization_but_every_requester_has_an_address(desk: Desk) -> None:
    tickets = desk.all(TICKETS, "tickets", start_time=start())
    people = {user["id"]: user for user in desk.all(USERS, "users", start_time=0)}
    alone = [ticket for ticket in tickets if ticket["organization_id"] is None]
    assert 0 < len(alone) < len(tickets) / 4
    assert all("@" in people[ticket["requester_id"]]["email"] for ticket in tickets)


def test_metric_sets_come_on_the_ticket_and_beside_it(desk: Desk) -> None:
    (page,) = desk.pages(TICKETS, start_time=start(), include="metric_sets,users,organizations")
    assert [ticket["metric_set"] for ticket in page["tickets"]] == page["metric_sets"]
    assert {t["requester_id"] for t in page["tickets"]} == {user["id"] for user in page["users"]}
    named = {t["organization_id"] for t in page["tickets"]} - {None}
    assert named == {organization["id"] for organization in page["organizations"]}


def test_a_solved_ticket_tells_how_long_it_took_and_a_reopened_one_does_not(desk: Desk) -> None:
    for ticket in desk.all(TICKETS, "tickets", start_time=start(), include="metric_sets"):
        metrics = ticket["metric_set"]
        minutes = metrics["full_resolution_time_in_minutes"]["calendar"]
        assert (metrics["solved_at"] is None) == (minutes is None)
        if ticket["status"] in ("solved", "closed"):
            opened = datetime.fromisoformat(ticket["created_at"])
            assert minutes == (datetime.fromisoformat(metrics["solved_at"]) - opened) // timedelta(minutes=1)
        if ticket["status"] in ("open", "new", "pending"):
            assert minutes is None


def test_escalations_reopenings_and_ratings_come_about(desk: Desk) -> None:
    tickets = desk.all(TICKETS, "tickets", start_time=start(), include="metric_sets")
    assert any("escalated" in ticket["tags"] for ticket in tickets)
    assert any(ticket["metric_set"]["reopens"] for ticket in tickets)
    assert {"good", "bad"} <= {(ticket["satisfaction_rating"] or {}).get("score") for ticket in tickets}
    assert {None, "low", "normal", "high", "urgent"} == {ticket["priority"] for ticket in tickets}


def test_tickets_are_shown_by_id_and_the_deleted_are_not(desk: Desk) -> None:
    tickets = desk.all(TICKETS, "tickets", start_time=start())
    gone = next(ticket["id"] for ticket in tickets if ticket["status"] == "deleted")
    asked = [ticket["id"] for ticket in tickets[:20] if ticket["status"] != "deleted"]
    numbers = ",".join(map(str, [*asked, gone, 1]))
    page = desk.get("/api/v2/tickets/show_many.json", ids=numbers, include="users").json()
    assert sorted(ticket["id"] for ticket in page["tickets"]) == sorted(asked)
    assert {user["id"] for user in page["users"]} == {ticket["requester_id"] for ticket in page["tickets"]}


@pytest.mark.parametrize("ids", ["", "one", ",".join(map(str, range(101)))])
def test_a_hundred_ids_are_the_most_that_can_be_shown(desk: Desk, ids: str) -> None:
    assert desk.get("/api/v2/tickets/show_many.json", ids=ids).status_code == 400


# organizations and events by time


def test_organizations_come_by_time_with_the_last_second_twice(desk: Desk) -> None:
    pages = list(desk.pages(ORGANIZATIONS, start_time=0, per_page=40))
    assert len(pages) > 2
    for page, following in pairwise(pages):
        assert page["count"] == len(page["organizations"]) >= 40
        last = {o["id"] for o in page["organizations"] if _epoch(o["updated_at"]) == page["end_time"]}
        assert last <= {organization["id"] for organization in following["organizations"]}


def test_asking_again_from_the_end_answers_the_last_second_and_ends(desk: Desk) -> None:
    *_, last = desk.pages(ORGANIZATIONS, start_time=0)
    again = desk.get(last["next_page"]).json()
    assert again["end_of_stream"]
    assert again["next_page"] == last["next_page"]
    assert 0 < again["count"] < last["count"]


def test_organizations_can_be_told_by_id_by_domain_or_not_at_all(desk: Desk) -> None:
    organizations = desk.all(ORGANIZATIONS, "organizations", start_time=0)
    by_id = [o for o in organizations if o["external_id"]]
    by_domain = [o for o in organizations if not o["external_id"] and o["domain_names"]]
    unknown = [o for o in organizations if not o["external_id"] and not o["domain_names"]]
    assert len(by_id) > len(by_domain) > len(unknown) > 0


def test_ticket_events_rebuild_the_ticket(desk: Desk) -> None:
    events = desk.all(EVENTS, "ticket_events", start_time=start(), per_page=200)
    tickets = desk.all(TICKETS, "tickets", start_time=start())
    statuses: dict[int, str] = {}
    for event in {event["id"]: event for event in events}.values():
        for child in event["child_events"]:
            if "status" in child:
                assert child.get("previous_value") == statuses.get(event["ticket_id"])
                statuses[event["ticket_id"]] = child["status"]
    assert statuses == {ticket["id"]: ticket["status"] for ticket in tickets}


def test_an_escalation_is_an_event_with_the_tag_that_came(desk: Desk) -> None:
    events = desk.all(EVENTS, "ticket_events", start_time=start())
    added = [child["added_tags"] for event in events for child in event["child_events"] if "added_tags" in child]
    assert ["escalated"] in added
    assert all(event["timestamp"] == _epoch(event["created_at"]) for event in events)


def _epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


# limits and mistakes


def test_the_eleventh_export_in_a_minute_waits_as_long_as_told(desk: Desk) -> None:
    def ask() -> httpx.Response:
        return desk.http.get(USERS, params={"start_time": 0}, auth=ZENDESK_TOKEN)

    assert [ask().status_code for _ in range(10)] == [200] * 10
    desk.clock.advance_to(NOW + timedelta(seconds=20))
    refused = ask()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    desk.clock.advance_to(NOW + timedelta(seconds=60))
    assert ask().status_code == 200


def test_other_calls_have_a_limit_of_their_own(desk: Desk) -> None:
    answers = [desk.http.get("/api/v2/users/me", auth=ZENDESK_TOKEN) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].headers["x-rate-limit-remaining"] == "388"


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 400),
        ({"start_time": "soon"}, 400),
        ({"cursor": "bm90IGEgY3Vyc29y"}, 400),
        ({"start_time": str(int(NOW.timestamp()))}, 422),
    ],
)
def test_a_mistaken_request_is_answered_as_the_vendor_does(desk: Desk, params: dict[str, str], status: int) -> None:
    answer = desk.get(TICKETS, **params)
    assert (answer.status_code, answer.json()["error"]) == (status, "InvalidValue")


def test_paths_work_with_and_without_the_ending(desk: Desk) -> None:
    for path in ("/api/v2/users/me", "/api/v2/organizations/count"):
        assert desk.get(path).json().keys() == desk.get(f"{path}.json").json().keys()


def test_an_unknown_path_is_a_404_in_the_vendors_words(desk: Desk) -> None:
    answer = desk.get("/api/v2/tickets/1.json")
    assert (answer.status_code, answer.json()["error"]) == (404, "RecordNotFound")


# against the contract and the recordings


@cache
def contract() -> dict[str, Any]:
    """The published contract as JSON Schema, patched where recordings prove it wrong."""
    loaded: dict[str, Any] = yaml.load(CONTRACT.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    schemas = loaded["components"]["schemas"]
    ticket = schemas["TicketObject"]["properties"]
    for name in (
        "assignee_id group_id external_id problem_id forum_topic_id recipient priority type satisfaction_rating "
        "organization_id"
    ).split():
        _admit_null(ticket[name])
    ticket["status"]["enum"].append("deleted")
    for name in ("UserForAdmin", "UserForEndUser"):
        for user in recorded("users", "/api/v2/incremental/users/cursor")["response"]["users"]:
            for member in (key for key, value in user.items() if value is None):
                if schema := schemas[name]["properties"].get(member):
                    _admit_null(schema)
    _nullable(schemas)
    return loaded


def _admit_null(schema: dict[str, Any]) -> None:
    schema["nullable"] = True
    if "enum" in schema:
        schema["enum"].append(None)


def _nullable(node: object) -> None:
    """OpenAPI 3.0 writes a null beside the type; JSON Schema in it."""
    if isinstance(node, dict):
        if node.pop("nullable", False) is True and isinstance(node.get("type"), str):
            node["type"] = [node["type"], "null"]
        for value in node.values():
            _nullable(value)
    elif isinstance(node, list):
        for value in node:
            _nullable(value)


def _fits(name: str, body: object) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": contract()["components"]}
    jsonschema.Draft202012Validator(schema).validate(body)


@needs_contract
@pytest.mark.parametrize(
    ("address", "name"),
    [
        (f"{TICKETS}?start_time={start()}", "CursorBasedExportIncrementalTicketsResponse"),
        (f"{USERS}?start_time=0", "CursorBasedExportIncrementalUsersResponse"),
        (f"{ORGANIZATIONS}?start_time=0", "ExportIncrementalOrganizationsResponse"),
        ("/api/v2/organizations/count", "CountOrganizationResponse"),
        ("/api/v2/users/me", "CurrentUserResponse"),
    ],
)
def test_an_answer_fits_the_published_contract(desk: Desk, address: str, name: str) -> None:
    answer = desk.get(address)
    assert answer.status_code == 200
    _fits(name, answer.json())


def recorded(name: str, path: str) -> dict[str, Any]:
    loaded = json.loads((RECORDINGS / f"{name}.test.json").read_text())["api"]["get"][path]
    found: dict[str, Any] = loaded[0] if isinstance(loaded, list) else loaded
    return found


@needs_recordings
def test_organizations_have_the_members_of_a_recorded_page(desk: Desk) -> None:
    real = recorded("organizations", "/api/v2/incremental/organizations")
    answer = desk.get(ORGANIZATIONS, start_time=0)
    assert answer.json().keys() == real["response"].keys()
    assert answer.json()["organizations"][0].keys() == real["response"]["organizations"][0].keys()


@needs_recordings
def test_the_limits_are_told_in_the_recorded_headers(desk: Desk) -> None:
    real = recorded("organizations", "/api/v2/incremental/organizations")["headers"]
    told = desk.get(ORGANIZATIONS, start_time=0).headers
    for name in real:
        if name.startswith(("x-rate-limit", "ratelimit-", "zendesk-ratelimit-")):
            assert name in told
    parts = [part.split("=")[0] for part in told["zendesk-ratelimit-incremental-exports"].split("; ")]
    assert parts == [p.split("=")[0] for p in real["zendesk-ratelimit-incremental-exports"].split("; ")]


@needs_recordings
def test_a_user_page_has_the_members_of_a_recorded_one(desk: Desk) -> None:
    real = recorded("users", "/api/v2/incremental/users/cursor")["response"]
    page = desk.get(USERS, start_time=0).json()
    assert page.keys() == real.keys()
    assert page["users"][-1].keys() <= real["users"][0].keys()


@needs_recordings
def test_a_ticket_has_the_members_of_a_recorded_one(desk: Desk) -> None:
    real = recorded("get-ticket", "/api/v2/tickets/1.json")["response"]["ticket"]
    ticket = desk.get(TICKETS, start_time=start()).json()["tickets"][0]
    assert ticket.keys() <= real.keys()
    assert ticket["via"].keys() == real["via"].keys()

"""Zendesk: tickets as dated facts, told once; nothing of today leaks into the past."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from connectors import exports
from connectors.base import Event, Key, Page, Tools
from connectors.clock import SteppedClock
from connectors.errors import AgainNow, SettingsWrong
from connectors.zendesk import Settings, Zendesk
from tests import served

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
START = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "hush-hush"
AT = "2026-03-05T10:00:00Z"
REPLIED = {"reply_time_in_minutes": {"calendar": 90}}
Row = dict[str, Any]
Answer = Callable[[httpx.Request], Any]


class Desk:
    """A vendor that answers each export with the pages it was given, then with an empty end of the stream."""

    def __init__(self, **pages: list[Mapping[str, Any]]) -> None:
        self.pages = {name: iter(answers) for name, answers in pages.items()}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/tokens":
            return httpx.Response(200, json={"access_token": "token", "expires_in": 7200})
        name = request.url.path.removeprefix("/api/v2/").removeprefix("incremental/").split("/cursor")[0]
        name = name.removesuffix(".json").replace("/", "_")
        self.asked.append((name, dict(request.url.params)))
        rows = "tickets" if name == "tickets_show_many" else name
        empty = {rows: [], "end_of_stream": True, "after_cursor": "end", "end_time": 1}
        return httpx.Response(200, json={**empty, **next(self.pages.get(name, iter(())), {})})

    def of(self, name: str) -> list[dict[str, str]]:
        return [params for asked, params in self.asked if asked == name]


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return served.tools(tmp_path, SteppedClock(NOW))


def settings(**more: Any) -> Settings:
    given = {"subdomain": "acme", "client_id": "id", "client_secret": SECRET, "sentiment": False}
    return Settings.model_validate(given | more)


def source(tools: Tools, desk: Answer, **more: Any) -> Zendesk:
    return Zendesk("zendesk", settings(**more), tools, transport=httpx.MockTransport(desk))


def pulled(tools: Tools, desk: Desk, cursor: dict[str, Any] | None = None, **more: Any) -> list[Page]:
    return list(source(tools, desk, **more).pull(cursor, start=START, now=NOW))


def facts(pages: list[Page]) -> dict[str, Event]:
    found: dict[str, Event] = {}
    for page in pages:
        assert isinstance(page.events, list | tuple)
        found.update({event.id: event for event in page.events})
    return found


def ticket(number: int = 1, **more: Any) -> Row:
    return {
        "id": number,
        "status": "open",
        "created_at": "2026-03-05T10:00:00Z",
        "updated_at": "2026-03-06T10:00:00Z",
        "organization_id": 44,
        "requester_id": 9,
        "submitter_id": 9,
        "subject": "Broken",
        "description": "This is very bad and I am not happy with it",
        "priority": "urgent",
        "tags": [],
        "satisfaction_rating": {"score": "unoffered"},
        "metric_set": {"reopens": 0, "solved_at": None, "reply_time_in_minutes": {"calendar": None}},
        **more,
    }


def test_a_solved_ticket_tells_what_its_own_dates_vouch_for(tools: Tools) -> None:
    metrics = {"reopens": 0, "solved_at": "2026-03-05T22:30:00Z", "reply_time_in_minutes": {"calendar": 30}}
    desk = Desk(tickets=[{"tickets": [ticket(status="closed", metric_set=metrics)]}])

    found = facts(pulled(tools, desk))

    created = datetime(2026, 3, 5, 10, tzinfo=UTC)
    assert found["1/created"] == Event("zendesk", "1/created", "44", None, "ticket.created", created, 1.0)
    assert found["1/solved/1"].value == 12.5
    assert found["1/solved/1"].occurred_at == datetime(2026, 3, 5, 22, 30, tzinfo=UTC)
    assert found["1/first_reply"].value == 30
    assert found["1/first_reply"].occurred_at == created + timedelta(minutes=30)


def test_todays_priority_is_dated_by_the_last_update_not_by_creation(tools: Tools) -> None:
    rows = [ticket(1), ticket(2, updated_at="2026-03-05T10:00:00Z", priority="low"), ticket(3, priority=None)]

    found = facts(pulled(tools, Desk(tickets=[{"tickets": rows}])))

    assert found["1/severity/urgent"].occurred_at == datetime(2026, 3, 6, 10, tzinfo=UTC)
    assert (found["1/severity/urgent"].value, found["1/severity/urgent"].label) == (4, "urgent")
    assert found["2/severity/low"].occurred_at == datetime(2026, 3, 5, 10, tzinfo=UTC)
    assert not [name for name in found if name.startswith("3/severity")]


def test_what_was_told_is_not_told_again_and_a_change_is_dated_when_it_was_seen(tools: Tools) -> None:
    first = pulled(tools, Desk(tickets=[{"tickets": [ticket(priority="normal")]}]))
    commented = ticket(priority="normal", updated_at="2026-03-08T10:00:00Z")
    second = pulled(tools, Desk(tickets=[{"tickets": [commented], "after_cursor": "b"}]), first[-1].cursor)
    raised = ticket(priority="urgent", updated_at="2026-03-09T10:00:00Z", tags=["escalated"], metric_set={"reopens": 2})
    third = pulled(tools, Desk(tickets=[{"tickets": [raised], "after_cursor": "c"}]), second[-1].cursor)

    assert set(facts(first)) == {"1/created", "1/severity/normal"}
    assert set(facts(second)) == {"1/created"}
    assert set(facts(third)) == {
        "1/created", "1/severity/urgent", "1/reopened/1", "1/reopened/2", "1/escalated"
    }  # fmt: skip
    assert facts(third)["1/severity/urgent"].occurred_at == datetime(2026, 3, 9, 10, tzinfo=UTC)


def test_reading_a_page_again_gives_the_same_facts(tools: Tools) -> None:
    page = {"tickets": [ticket(1), ticket(2, status="closed", satisfaction_rating={"score": "good"})]}

    once = facts(pulled(tools, Desk(tickets=[page])))
    again = facts(pulled(tools, Desk(tickets=[page])))

    assert once == again


def test_a_closed_ticket_that_the_system_touches_tells_nothing_undated_again(tools: Tools) -> None:
    closed = ticket(status="closed", priority="high")
    first = pulled(tools, Desk(tickets=[{"tickets": [closed]}]))
    cursor = first[-1].cursor
    second = pulled(tools, Desk(tickets=[{"tickets": [closed], "after_cursor": "b"}]), cursor)

    assert "1/severity/high" in facts(first)
    assert set(facts(second)) == {"1/created", "1/solved/1"}


def test_a_ticket_that_moves_to_another_organization_takes_its_facts_along(tools: Tools) -> None:
    first = pulled(tools, Desk(tickets=[{"tickets": [ticket()]}]))
    moved = ticket(organization_id=55)
    second = pulled(tools, Desk(tickets=[{"tickets": [moved], "after_cursor": "b"}]), first[-1].cursor)

    assert set(facts(second)) == set(facts(first))
    assert {event.account_key for event in facts(second).values()} == {"55"}


def test_a_second_solve_is_a_fact_of_its_own(tools: Tools) -> None:
    metrics = {"reopens": 1, "solved_at": "2026-03-07T10:00:00Z"}

    found = facts(pulled(tools, Desk(tickets=[{"tickets": [ticket(status="solved", metric_set=metrics)]}])))

    assert found["1/solved/2"].value == 48
    assert "1/solved/1" not in found


def test_a_reopened_ticket_is_not_solved_by_its_old_date(tools: Tools) -> None:
    metrics = {"reopens": 1, "solved_at": "2026-03-05T12:00:00Z"}

    found = facts(pulled(tools, Desk(tickets=[{"tickets": [ticket(status="open", metric_set=metrics)]}])))

    assert not [name for name in found if "solved" in name]
    assert "1/reopened/1" in found


@pytest.mark.parametrize(
    ("score", "value"), [("good", 100), ("bad", 0), ("goodwithcomment", 100), ("offered", None), (None, None)]
)
def test_a_rating_is_good_or_bad_or_none(tools: Tools, score: str | None, value: float | None) -> None:
    rated = ticket(satisfaction_rating=None if score is None else {"score": score})

    found = facts(pulled(tools, Desk(tickets=[{"tickets": [rated]}])))

    assert [event.value for event in found.values() if event.name == "csat.response"] == (
        [] if value is None else [value]
    )


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        ({"tags": ["vip"]}, {"tags": ["vip", "other"]}),
        ({"priorities": ["urgent"]}, {"priority": "urgent"}),
        ({"groups": [7]}, {"group_id": 7}),
    ],
)
def test_an_escalation_is_a_tag_a_priority_or_a_group(tools: Tools, rule: Row, row: Row) -> None:
    rows = [ticket(1, **row), ticket(2, priority="low")]

    found = facts(pulled(tools, Desk(tickets=[{"tickets": rows}]), escalated=rule))

    assert [name for name in found if name.endswith("escalated")] == ["1/escalated"]


def test_a_deleted_ticket_takes_its_facts_with_it(tools: Tools) -> None:
    first = pulled(tools, Desk(tickets=[{"tickets": [ticket()]}]))
    scrubbed = ticket(status="deleted", subject="SCRUBBED", description="X")
    second = pulled(tools, Desk(tickets=[{"tickets": [scrubbed], "after_cursor": "b"}]), first[-1].cursor)

    assert second[-1].retracts == ["1"]
    assert not facts(second)


def test_a_ticket_without_organization_belongs_to_its_requesters_domain(tools: Tools) -> None:
    users = [
        {"id": 1, "email": "Ann@Acme.com", "role": "end-user"},
        {"id": 2, "email": "bob@gmail.com", "role": "end-user"},
        {"id": 3, "email": "us@ours.com", "role": "agent"},
        {"id": 4, "email": "p@partner.io", "role": "end-user"},
    ]
    rows = [ticket(n, organization_id=None, requester_id=n) for n in (1, 2, 3, 4, 5)]

    pages = pulled(tools, Desk(tickets=[{"tickets": rows, "users": users}]), ignore_domains=["Partner.io"])

    assert {event.account_key for event in facts(pages).values()} == {"domain:acme.com"}
    assert pages[-1].keys == [Key("zendesk", "domain:acme.com", "acme.com", ("acme.com",))]
    assert pages[-1].counts["tickets_without_customer"] == 4


def test_organizations_and_users_domains_are_the_directory(tools: Tools) -> None:
    fields = {"id": 44, "name": "Acme", "external_id": "c1", "domain_names": ["Acme.com"]}
    desk = Desk(
        organizations=[
            {"organizations": [fields | {"organization_fields": {"sf": "001A"}}], "end_time": 1_700_000_000}
        ],
        users=[{"users": [{"id": 1, "email": "a@birch.io"}, {"id": 2, "email": "b@x.io", "organization_id": 44}]}],
    )

    pages = pulled(tools, desk, crm_id_field="sf")

    assert [key for page in pages for key in page.keys] == [
        Key("zendesk", "44", "Acme", ("acme.com",), {"external_id": "c1", "crm_id": "001A"}),
        Key("zendesk", "domain:birch.io", "birch.io", ("birch.io",)),
    ]


def test_the_cursor_outlives_the_end_of_the_stream(tools: Tools) -> None:
    desk = Desk(
        tickets=[
            {"tickets": [ticket(1)], "after_cursor": "one", "end_of_stream": False},
            {"tickets": [ticket(2)], "after_cursor": "two", "end_of_stream": True},
        ]
    )
    pages = pulled(tools, desk)
    again = Desk()
    pulled(tools, again, pages[-1].cursor)

    assert [params.get("cursor") for params in desk.of("tickets")] == [None, "one"]
    assert desk.of("tickets")[0]["start_time"] == str(int(START.timestamp()))
    assert [params["cursor"] for params in again.of("tickets")] == ["two"]


def test_nothing_is_complete_before_the_end_of_the_stream(tools: Tools) -> None:
    desk = Desk(tickets=[{"tickets": [ticket(1)], "after_cursor": "one", "end_of_stream": False}])

    pages = pulled(tools, desk)

    assert [page.through for page in pages if page.through] == [NOW - timedelta(minutes=1)]
    assert pages[-1].through
    assert pages[-2].through is None


def test_a_stream_whose_cursor_stands_still_ends(tools: Tools) -> None:
    stuck = {"tickets": [ticket(1)], "after_cursor": "same", "end_of_stream": False}
    desk = Desk(tickets=[stuck, stuck, stuck, stuck])

    pages = pulled(tools, desk)

    assert len(desk.of("tickets")) == 2
    assert pages[-1].through is None


def test_a_time_based_export_goes_on_where_a_page_ended_and_never_stands_still(tools: Tools) -> None:
    rows = [{"id": 1, "name": "x"}]
    desk = Desk(
        organizations=[
            {"organizations": rows, "end_time": 500, "end_of_stream": False},
            {"organizations": rows, "end_time": 500, "end_of_stream": False},
            {"organizations": rows, "end_time": 900, "end_of_stream": True},
        ]
    )
    pulled(tools, desk)

    assert [params["start_time"] for params in desk.of("organizations")] == ["1", "500", "501"]


def test_the_first_reading_never_begins_within_the_last_ten_minutes(tools: Tools) -> None:
    desk = Desk()

    list(source(tools, desk).pull(None, start=NOW, now=NOW))

    assert desk.of("tickets")[0]["start_time"] == str(int((NOW - timedelta(minutes=10)).timestamp()))


def test_a_bad_row_is_named_without_its_content_and_the_rest_goes_on(tools: Tools) -> None:
    rows = [ticket(1, created_at="private words"), ticket(2), {"id": 3, "status": "open", "organization_id": 4}]

    pages = pulled(tools, Desk(tickets=[{"tickets": rows}]))

    assert [tuple(row) for row in pages[-1].rejected] == [
        ("ticket 1", "Invalid RFC3339 encoded datetime - at created_at"),
        ("ticket 3", "Object missing required field created_at"),
    ]
    assert "private" not in str(pages[-1].rejected)
    assert "2/created" in facts(pages)


@pytest.mark.parametrize(
    "bad",
    [
        b'"hello"',
        b"{}",
        b'{"id": 1.5}',
        json.dumps(ticket(metric_set={"reopens": -1})).encode(),
        json.dumps(ticket(metric_set={"reopens": 10**12})).encode(),
        json.dumps(ticket(metric_set={"reply_time_in_minutes": {"calendar": -5}})).encode(),
        json.dumps(ticket(metric_set={"reply_time_in_minutes": {"calendar": 1e300}})).encode(),
        json.dumps(ticket(created_at="2026-03-05T10:00:00")).encode(),
        json.dumps(ticket(created_at="9999-12-31T23:00:00Z", metric_set=REPLIED)).encode(),
        json.dumps(ticket(tags="vip")).encode(),
        json.dumps(ticket(subject="private")).encode().replace(b"private", b"\xff\xfe"),
    ],
)
def test_a_row_that_cannot_be_true_is_refused_alone(tools: Tools, bad: bytes) -> None:
    good = json.dumps(ticket(2)).encode()

    def answer(request: httpx.Request) -> httpx.Response:
        if "tickets" not in request.url.path:
            return Desk()(request)
        end = b'"after_cursor": "end", "end_of_stream": true'
        return httpx.Response(200, content=b'{"tickets": [' + bad + b", " + good + b"], " + end + b"}")

    *_, page = source(tools, answer).pull(None, start=START, now=NOW)

    assert len(page.rejected) == 1
    assert page.rejected[0].place.startswith("ticket 1")
    assert set(facts([page])) == {"2/created", "2/severity/urgent"}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb"cut \ud83d", "cut �"),
        (rb"\udca9 cut \\\uD83D\n", "� cut \\�\n"),
        (rb"\ud83d\udca9 \\ud83d \ud83d", "💩 \\ud83d �"),
    ],
)
def test_half_a_character_costs_only_itself(sent: bytes, read: str) -> None:
    row = json.dumps(ticket(subject="SENT")).encode().replace(b"SENT", sent)

    page = exports.body(b'{"tickets": [' + row + b"]}")

    assert [row.subject for row in exports.decoded(page.tickets or (), exports.ticket, "ticket", [])] == [read]


def test_an_answer_that_is_not_the_json_of_an_export_is_tried_again_in_the_end_in_vain(tools: Tools) -> None:
    for answered in (b'{"tickets": [' * 3, b"[1]", b'{"organizations": {}}', b"[" * 200_000, b"{}"):
        one = source(tools, lambda request, said=answered: _said(request, said))  # type: ignore[misc]

        with pytest.raises(AgainNow):
            list(one.pull(None, start=START, now=NOW))

        assert one.calls["organizations"] > 1 or answered == b"{}"


def _said(request: httpx.Request, answered: bytes) -> httpx.Response:
    return Desk()(request) if request.url.path == "/oauth/tokens" else httpx.Response(200, content=answered)


def test_a_bad_organization_or_user_is_counted_and_costs_no_other(tools: Tools) -> None:
    desk = Desk(
        organizations=[{"organizations": [{"id": 4, "domain_names": 5}, {"id": 44, "name": "Acme"}]}],
        users=[{"users": [{"id": "x"}, {"id": 1, "email": "a@birch.io"}]}],
        ticket_events=[{"ticket_events": [{"id": 7, "ticket_id": "x"}, {"id": 8, "ticket_id": 1, "created_at": AT}]}],
    )

    pages = pulled(tools, desk, history=True)

    assert [row.place for page in pages for row in page.rejected] == [
        "organization 4",
        "user 1 of its page",
        "ticket event 7",
    ]
    assert [key.key for page in pages for key in page.keys] == ["44", "domain:birch.io"]


def test_what_is_remembered_of_open_tickets_is_bounded_and_each_page_keeps_its_own(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.zendesk.MOST_MARKS", 3)
    first, second = [ticket(n) for n in (1, 2, 3)], [ticket(4), ticket(1, priority="low")]
    desk = Desk(
        tickets=[
            {"tickets": first, "after_cursor": "one", "end_of_stream": False},
            {"tickets": second, "after_cursor": "two"},
        ]
    )

    *_, one, two = pulled(tools, desk)

    assert [list(page.cursor["marks"]) for page in (one, two) if page.cursor] == [["1", "2", "3"], ["3", "4", "1"]]
    assert one.cursor
    assert one.cursor["marks"]["1"] == "urgent 0   44"


def test_the_requesters_words_are_scored_and_never_kept(tools: Tools) -> None:
    rows = [
        ticket(1),
        ticket(2, submitter_id=77),
        ticket(3, subject="Fehler", description="Der Export ist kaputt und niemand antwortet uns seit Montag"),
    ]

    pages = pulled(tools, Desk(tickets=[{"tickets": rows}]), sentiment=True)

    scored = [event for event in facts(pages).values() if event.name == "ticket.sentiment"]
    assert [event.id for event in scored] == ["1/sentiment"]
    assert scored[0].value is not None
    assert scored[0].value < 0
    assert scored[0].occurred_at == datetime(2026, 3, 5, 10, tzinfo=UTC)
    assert pages[-1].counts["unscored_texts"] == 1
    assert "happy" not in str(pages)


def test_history_dates_priority_reopening_and_escalation(tools: Tools) -> None:
    def audit(number: int, at: str, *children: Row) -> Row:
        return {"id": number, "ticket_id": 1, "created_at": at, "child_events": list(children)}

    events = [
        audit(
            1,
            "2026-03-05T10:00:00Z",
            {"event_type": "Create", "priority": "normal"},
            {"event_type": "Create", "tags": []},
        ),
        audit(2, "2026-03-05T11:00:00Z", {"event_type": "Change", "priority": "urgent", "previous_value": "normal"}),
        audit(3, "2026-03-06T11:00:00Z", {"event_type": "Change", "status": "open", "previous_value": "solved"}),
        audit(4, "2026-03-07T11:00:00Z", {"event_type": "Change", "tags": ["escalated"], "added_tags": ["escalated"]}),
        audit(5, "2026-03-08T11:00:00Z", {"event_type": "Change", "tags": ["escalated", "x"], "added_tags": ["x"]}),
        audit(6, "2026-03-08T12:00:00Z", {"event_type": "Change", "status": "closed", "previous_value": "solved"}),
        {"id": 7, "ticket_id": 2, "created_at": "2026-03-08T12:00:00Z", "child_events": [{"event_type": "Comment"}]},
    ]
    desk = Desk(
        tickets=[{"tickets": [ticket(metric_set={"reopens": 1}, tags=["escalated"])]}],
        ticket_events=[{"ticket_events": events, "end_time": 1_772_900_000}],
        tickets_show_many=[{"tickets": [ticket()]}],
    )

    pages = pulled(tools, desk, history=True)

    dated = {name: event.occurred_at for name, event in facts(pages).items() if name != "1/created"}
    assert dated == {
        "1/severity/normal": datetime(2026, 3, 5, 10, tzinfo=UTC),
        "1/severity/urgent": datetime(2026, 3, 5, 11, tzinfo=UTC),
        "1/reopened/3": datetime(2026, 3, 6, 11, tzinfo=UTC),
        "1/escalated": datetime(2026, 3, 7, 11, tzinfo=UTC),
    }
    assert {event.account_key for event in facts(pages).values()} == {"44"}
    assert [params["ids"] for params in desk.of("tickets_show_many")] == ["1"]
    assert [page.through for page in pages if page.through] == [NOW - timedelta(minutes=1)]
    assert pages[-1].through


def test_signs_in_once_renews_before_the_end_and_again_when_refused(tools: Tools) -> None:
    signed: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/tokens":
            signed.append(1)
            return httpx.Response(200, json={"access_token": f"token{len(signed)}", "expires_in": 1000})
        if request.headers["Authorization"] == "Bearer token2":
            return httpx.Response(401, json={"error": "invalid_token"})
        name = (
            "users" if "users" in request.url.path else "tickets" if "tickets" in request.url.path else "organizations"
        )
        return httpx.Response(200, json={name: [], "end_of_stream": True, "after_cursor": "a"})

    one = source(tools, answer)
    list(one.pull(None, start=START, now=NOW))
    assert len(signed) == 1

    tools.clock.sleep(950, tools.stop)
    list(one.pull(None, start=START, now=NOW))
    assert len(signed) == 3
    assert one.calls["sign_in"] == 3


def test_a_refused_sign_in_says_what_to_look_at_and_no_secret(tools: Tools) -> None:
    one = source(tools, lambda _: httpx.Response(401, json={"error": "invalid_client", "secret": SECRET}))

    with pytest.raises(SettingsWrong, match="admin") as caught:
        list(one.pull(None, start=START, now=NOW))

    assert SECRET not in str(caught.value)
    assert SECRET not in repr(settings())


def test_the_legacy_token_is_sent_as_basic(tools: Tools) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(200, json={"organizations": [], "end_of_stream": True})

    more = {"client_id": None, "client_secret": None, "email": "a@b.c", "api_token": "t"}
    [finding] = source(tools, answer, **more).check()

    assert finding.ok
    assert seen == ["Basic YUBiLmMvdG9rZW46dA=="]


def test_what_it_cannot_yield_is_not_among_its_names(tools: Tools) -> None:
    quiet = source(tools, Desk(), escalated={})

    assert "ticket.escalated" not in quiet.names
    assert "ticket.sentiment" not in quiet.names
    assert "ticket.escalated" in source(tools, Desk()).names


@pytest.mark.parametrize(
    "wrong",
    [
        {"surprise": 1},
        {"subdomain": None},
        {"subdomain": "acme.evil.com/"},
        {"client_secret": None},
        {"email": "a@b.c", "api_token": "t"},
        {"escalated": {"words": ["x"]}},
    ],
)
def test_wrong_settings_are_refused(wrong: Row) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)

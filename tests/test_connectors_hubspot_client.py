from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from connectors.base import Write
from connectors.errors import AgainNow, SettingsWrong, Stopped, WaitUntil
from connectors.hubspot import HubSpot, Settings
from tests.hubspot_stub import TOKEN, fixtures, hubspot, limited
from tests.loopback import Answer, Loopback, in_turn
from tests.served import tools

WRITE = [Write("1", {"score": 82.4})]
DONE = Answer(body={"status": "COMPLETE", "results": [{"id": "1", "properties": {"health_score": "82.4"}}]})

portal, served, _ = fixtures()


@pytest.fixture
def handed(tmp_path):
    return tools(tmp_path)


@pytest.fixture
def crm(served, tmp_path, handed):
    made = hubspot(served, tmp_path, handed=handed)
    yield made
    made.close()


def test_calls_dated_paths_with_the_token(crm, served):
    list(crm.write(WRITE))
    assert served.paths() == ["/crm/objects/2026-03/companies/batch/update"]
    assert served.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert crm.calls == {"write": 1}


def test_the_date_is_a_setting(served, tmp_path):
    crm = hubspot(served, tmp_path, api_date="2026-09")
    with pytest.raises(SettingsWrong, match=r"nothing is at this path; check base_url and api_date"):
        list(crm.write(WRITE))
    assert served.paths() == ["/crm/objects/2026-09/companies/batch/update"]
    crm.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirected_post_is_refused_and_the_token_not_sent_on(portal, crm, status):
    with Loopback(lambda asked: DONE) as elsewhere:
        portal.script["POST batch/update"] = in_turn(Answer(status, "", {"Location": f"{elsewhere.url}/x"}))
        with pytest.raises(SettingsWrong, match="never followed"):
            list(crm.write(WRITE))
        assert elsewhere.asked == []


def test_the_sdk_left_alone_would_follow_it(served, portal):
    """Why `Retry(redirect=0)` is set: without it the records go to another host, whose answer passes for a success."""
    from hubspot.crm.companies import ApiClient, Configuration

    configuration = Configuration(host=served.url)
    configuration.access_token = TOKEN
    client = ApiClient(configuration)
    with Loopback(lambda asked: DONE) as elsewhere:
        portal.script["POST batch/update"] = in_turn(Answer(302, "", {"Location": f"{elsewhere.url}/x"}))
        path = "/crm/objects/2026-03/companies/batch/update"
        client.call_api(path, "POST", body={"inputs": []}, response_types_map={200: "object"}, auth_settings=["oauth2"])
        assert [(one.method, one.json) for one in elsewhere.asked] == [("POST", {"inputs": []})]
    client.rest_client.pool_manager.clear()


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (limited("TEN_SECONDLY_ROLLING"), 10),
        (limited("SECONDLY"), 1),
        (limited("TEN_SECONDLY_ROLLING", **{"Retry-After": "4"}), 4),
        (limited("NEW_POLICY", **{"X-HubSpot-RateLimit-Interval-Milliseconds": "7000"}), 7),
        (Answer(477, "", {"Retry-After": "600"}), 600),
    ],
)
def test_waits_as_long_as_the_limit_lasts(portal, crm, handed, answer, seconds):
    portal.script["POST batch/update"] = in_turn(answer, DONE)
    before = handed.clock.now()
    assert [outcome.ok for outcome in crm.write(WRITE)] == [True]
    assert handed.clock.now() - before == timedelta(seconds=seconds)


def test_the_daily_limit_stops_at_once(portal, crm):
    portal.script["POST batch/update"] = in_turn(limited("DAILY"))
    with pytest.raises(WaitUntil) as raised:
        list(crm.write(WRITE))
    assert raised.value.quota
    assert crm.calls["write"] == 1


@pytest.mark.parametrize("status", [423, 500, 502, 503, 524])
def test_passing_faults_are_tried_again(portal, crm, status):
    portal.script["POST batch/update"] = in_turn(Answer(status, "<html>"), DONE)
    assert [outcome.ok for outcome in crm.write(WRITE)] == [True]
    assert crm.calls["write"] == 2


def test_no_answer_is_tried_again_and_in_the_end_told(portal, crm):
    portal.script["POST batch/update"] = in_turn(Answer(hang_up=True))
    with pytest.raises(AgainNow, match="no answer from HubSpot") as raised:
        list(crm.write(WRITE))
    assert raised.value.unanswered
    assert crm.calls["write"] == 6


@pytest.mark.parametrize("body", ["<html>", b"\xff\xfe", "", [1]])
def test_a_success_that_is_not_an_object_is_not_taken_for_one(portal, crm, body):
    portal.script["POST batch/update"] = in_turn(Answer(200, body))
    with pytest.raises(AgainNow, match="not JSON"):
        list(crm.write(WRITE))


def test_a_refusal_that_is_no_text_is_sorted_like_any_other(portal, crm):
    portal.script["POST batch/update"] = in_turn(Answer(400, b"\xff\xfe"))
    with pytest.raises((SettingsWrong, AgainNow)) as raised:
        list(crm.write(WRITE))
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("status", [200, 201, 202, 207])
def test_any_success_will_do(portal, crm, status):
    portal.script["POST batch/update"] = in_turn(Answer(status, DONE.body))
    assert [outcome.ok for outcome in crm.write(WRITE)] == [True]


def test_a_missing_scope_is_named(portal, crm):
    context = {"missingScopes": ["crm.objects.companies.write"]}
    body = {"category": "MISSING_SCOPES", "message": TOKEN, "errors": [{"message": "x", "context": context}]}
    portal.script["POST batch/update"] = in_turn(Answer(403, body))
    with pytest.raises(SettingsWrong, match=r"lacks the scopes crm\.objects\.companies\.write") as raised:
        list(crm.write(WRITE))
    assert TOKEN not in str(raised.value)


def test_a_wrong_token_is_told_without_showing_it(portal, crm):
    portal.script["POST batch/update"] = in_turn(Answer(401, {"category": "INVALID_AUTHENTICATION", "message": TOKEN}))
    with pytest.raises(SettingsWrong, match="put a new one into access_token") as raised:
        list(crm.write(WRITE))
    assert crm.calls == {"write": 1}  # it would be refused again
    assert TOKEN not in str(raised.value)
    assert raised.value.__cause__ is None


def test_secrets_show_in_no_repr(crm, served):
    list(crm.write(WRITE))
    settings = Settings.model_validate({"access_token": TOKEN})
    assert TOKEN not in " ".join([repr(settings), str(settings), repr(vars(crm)), repr(vars(crm._client))])


def test_stops_between_two_attempts(portal, crm, handed):
    def busy(asked):
        handed.stop.set()
        return Answer(503, "down")

    portal.script["POST batch/update"] = busy
    with pytest.raises(Stopped):
        list(crm.write(WRITE))
    assert crm.calls["write"] == 1


def test_every_call_has_a_timeout(crm, monkeypatch):
    from urllib3 import PoolManager

    seen = []
    request = PoolManager.request

    def noted(*args, **options):
        seen.append(options["timeout"])
        return request(*args, **options)

    monkeypatch.setattr(PoolManager, "request", noted)
    list(crm.write(WRITE))
    assert [(one.connect_timeout, one.read_timeout) for one in seen] == [(3, 30)]


def test_twenty_calls_use_one_connection(crm, served):
    for _ in range(20):
        list(crm.write(WRITE))
    assert len({asked.line for asked in served.asked}) == 1


def spent(crm, handed, calls):
    before = handed.clock.now()
    for _ in range(calls):
        list(crm.write(WRITE))
    return (handed.clock.now() - before).total_seconds()


def says(limit, interval="10000"):
    headers = {"X-HubSpot-RateLimit-Max": limit, "X-HubSpot-RateLimit-Interval-Milliseconds": interval}
    return lambda asked: Answer(body=DONE.body, headers=headers)


def test_an_account_that_does_not_say_what_it_allows_is_asked_180_times_in_ten_seconds(crm, handed):
    assert spent(crm, handed, 180) == 0
    assert spent(crm, handed, 1) == 10


@pytest.mark.parametrize(
    ("limit", "interval", "calls", "seconds"),
    [("20", "10000", 40, 20), ("200", "10000", 190, 0), ("1", "500", 3, 1), ("20", "5000", 39, 10)],
)
def test_goes_by_what_the_account_says_it_allows(portal, crm, handed, limit, interval, calls, seconds):
    portal.script["POST batch/update"] = says(limit, interval)
    assert spent(crm, handed, calls) == seconds


@pytest.mark.parametrize(("limit", "interval"), [("0", "10000"), ("many", "10000"), ("1", "0"), ("1", "9" * 5000)])
def test_a_limit_that_makes_no_sense_is_not_believed(portal, crm, handed, limit, interval):
    portal.script["POST batch/update"] = says(limit, interval)
    assert spent(crm, handed, 5) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fields": {"scroe": "x"}}, "there is no field"),
        ({"fields": {"score": "Health Score"}}, "not a field name"),
        ({"api_date": "v3"}, "pattern"),
        ({"group": "A B"}, "pattern"),
        ({"hapikey": "x"}, "Extra inputs"),
        ({"tier_values": {"red": "green"}}, "a value of its own"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, words):
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate({"access_token": "x", **change})


def test_only_https_and_loopback_are_called(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("203.0.113.5", 0))])
    settings = Settings.model_validate({"access_token": "x", "base_url": "http://api.hubapi.com"})
    with pytest.raises(SettingsWrong, match=r"destinations\.hubspot\.base_url"):
        HubSpot("hubspot", settings, tools(tmp_path))

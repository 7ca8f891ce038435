from __future__ import annotations

import threading

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from connectors.base import Write
from connectors.errors import AgainNow, ConnectorError, SettingsWrong, Stopped, WaitUntil
from connectors.salesforce import Settings
from tests.loopback import Answer, Loopback, in_turn
from tests.salesforce_stub import BASE, DAILY, EXPIRED, SECRET, fixtures, salesforce
from tests.served import tools

ID = "001000000000001AAA"
WRITE = [Write(ID, {"score": 82.4})]

org, served, crm = fixtures()


def test_signs_in_once_with_client_credentials_and_sends_the_token(crm, served):
    list(crm.write(WRITE))
    token = served.asked[0]
    assert token.path == "/services/oauth2/token"
    assert b"grant_type=client_credentials" in token.body
    assert {one.headers["authorization"] for one in served.asked[1:]} == {"Bearer token-1"}
    assert crm.calls == {"sign_in": 1, "read": 1, "write": 1}


def test_signs_a_jwt_for_the_integration_user(org, served, tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    crm = salesforce(served, tmp_path, client_secret=None, username="integration@acme.test", private_key_file="key.pem")
    list(crm.write(WRITE))
    assertion = dict(part.split(b"=") for part in served.asked[0].body.split(b"&"))[b"assertion"]
    claims = jwt.decode(
        assertion,
        key.public_key(),
        algorithms=["RS256"],
        audience="https://login.salesforce.com",
        options={"verify_exp": False},
    )
    assert (claims["iss"], claims["sub"]) == ("app", "integration@acme.test")
    assert claims["exp"] - tools(tmp_path).clock.now().timestamp() == 180
    crm.close()


def test_a_missing_key_file_is_told_by_its_setting(served, tmp_path):
    crm = salesforce(served, tmp_path, client_secret=None, username="u", private_key_file="none.pem")
    with pytest.raises(SettingsWrong, match=r"destinations.salesforce.private_key_file: cannot be read"):
        list(crm.write(WRITE))
    (tmp_path / "none.pem").write_text("not a key")
    with pytest.raises(SettingsWrong, match="is not an RSA private key"):
        list(crm.write(WRITE))


def test_an_expired_session_is_renewed_once_and_the_call_repeated(org, crm, served):
    org.script["PATCH composite/sobjects"] = lambda asked: (
        EXPIRED
        if asked.headers["authorization"] == "Bearer token-1"
        else Answer(body=[{"id": ID, "success": True, "errors": []}])
    )
    assert [outcome.ok for outcome in crm.write(WRITE)] == [True]
    assert org.tokens == 2


def test_threads_that_find_the_session_ended_share_one_renewal(org, crm):
    list(crm.write(WRITE))
    both = threading.Barrier(4)

    def answer(asked):
        if asked.headers["authorization"] == "Bearer token-1":
            both.wait(timeout=10)
            return EXPIRED
        return Answer(body=[{"id": ID, "success": True, "errors": []}])

    org.script["PATCH composite/sobjects"] = answer
    threads = [threading.Thread(target=lambda: list(crm.write(WRITE))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert org.tokens == 2


def test_a_session_refused_at_once_after_sign_in_is_not_tried_for_ever(org, crm):
    org.script["PATCH composite/sobjects"] = in_turn(EXPIRED)
    with pytest.raises(SettingsWrong, match="a session it has just opened"):
        list(crm.write(WRITE))
    assert org.tokens == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(400, {"error": "invalid_client", "error_description": SECRET}), "client_id or client_secret is wrong"),
        (Answer(400, {"error": "invalid_grant"}), "pre-authorize"),
        (Answer(302, "", {"Location": "https://elsewhere.test/"}), "must be the org's My Domain"),
        (Answer(403, "<html>"), "check client_id"),
    ],
)
def test_a_refused_sign_in_says_what_to_change_and_nothing_secret(org, crm, answer, words):
    org.script["POST token"] = in_turn(answer)
    with pytest.raises(SettingsWrong, match=words) as raised:
        list(crm.write(WRITE))
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


def test_an_instance_on_another_host_gets_no_token(org, crm, served):
    org.url = "http://localhost:1"
    with pytest.raises(SettingsWrong, match="another host"):
        list(crm.write(WRITE))
    assert served.paths() == ["/services/oauth2/token"]


def test_an_instance_may_be_another_of_salesforce_s_own_hosts(tmp_path):
    from connectors.salesforce.signin import SignIn

    given = {"base_url": "https://acme.my.salesforce.com", "client_id": "a", "client_secret": "b"}
    signin = SignIn(Settings.model_validate(given), place="x", tools=tools(tmp_path), count=lambda label: None)
    trusted = signin._trusted
    assert trusted("https://na1.salesforce.com") == "https://na1.salesforce.com"
    assert trusted("https://acme.my.salesforce.com/") == "https://acme.my.salesforce.com"
    for other in (
        "https://salesforce.com.evil.test",
        "http://na1.salesforce.com",
        "https://evilsalesforce.com",
        "https://a@na1.salesforce.com",
    ):
        with pytest.raises(SettingsWrong):
            trusted(other)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_and_the_token_not_sent_on(org, crm, status):
    with Loopback(lambda asked: Answer()) as elsewhere:
        org.script["PATCH composite/sobjects"] = in_turn(Answer(status, "", {"Location": f"{elsewhere.url}/x"}))
        with pytest.raises(SettingsWrong, match="never followed"):
            list(crm.write(WRITE))
        assert elsewhere.asked == []


def test_the_daily_limit_stops_at_once(org, crm):
    org.script["PATCH composite/sobjects"] = in_turn(DAILY)
    with pytest.raises(WaitUntil) as raised:
        list(crm.write(WRITE))
    assert raised.value.quota
    assert crm.calls["write"] == 1


def test_the_daily_limit_is_no_sign_in_problem_and_ends_all_calls_until_a_new_ration(org, served, crm):
    org.script["PATCH composite/sobjects"] = in_turn(DAILY)
    org.script["POST composite/sobjects/Account"] = in_turn(Answer(body=[None]))
    for attempt in (crm.write, crm.read, crm.write):
        with pytest.raises(WaitUntil, match="allowance for 24 hours is used up"):
            list(attempt(WRITE if attempt == crm.write else [ID]))
    assert crm.calls == {"sign_in": 1, "read": 1, "write": 1}
    crm.ration(5)
    with pytest.raises(WaitUntil):
        crm.read([ID])
    crm.ration(None)
    assert crm.read([ID]) == {}


def test_no_call_is_made_beyond_the_ration(org, crm):
    org.script["PATCH composite/sobjects"] = in_turn(Answer(503, "down"))
    crm.ration(3)
    with pytest.raises(WaitUntil, match="no calls of the day are left to this worker") as raised:
        list(crm.write(WRITE))
    assert raised.value.quota
    assert crm.calls == {"sign_in": 1, "read": 1, "write": 2}  # describing the fields is a call too; signing in is none


def test_what_is_left_of_24_hours_stands_beside_every_answer(org, crm):
    told = ["api-usage=17/15000", "api-usage=18/15000; per-app-api-usage=17/250(appName=Ours)", "nonsense"]
    org.script["POST composite/sobjects/Account"] = in_turn(
        *(Answer(body=[None], headers={"Sforce-Limit-Info": one}) for one in told)
    )
    left = []
    for _ in told:
        crm.read([ID])
        left.append(crm.allowance())
    assert left == [(15_000, 14_983), (15_000, 233), (15_000, 233)]
    assert "limits" not in crm.calls


@pytest.mark.parametrize(
    ("answer", "allowance"),
    [
        (Answer(body={"DailyApiRequests": {"Max": 100_000, "Remaining": 20_000}}), (100_000, 20_000)),
        (Answer(403, [{"errorCode": "INSUFFICIENT_ACCESS"}], {"Sforce-Limit-Info": "api-usage=5/100"}), (100, 95)),
        (Answer(403, [{"errorCode": "INSUFFICIENT_ACCESS"}]), None),
    ],
)
def test_it_is_asked_for_with_one_call_where_no_answer_has_told_it(org, crm, answer, allowance):
    org.script["GET limits"] = in_turn(answer)
    assert [crm.allowance(), crm.allowance()] == [allowance, allowance]
    assert crm.calls == {"sign_in": 1, "limits": 1 if allowance else 2}
    crm.ration(None)  # another day may have begun
    crm.allowance()
    assert crm.calls["limits"] == (2 if allowance else 3)


def test_too_many_long_calls_at_once_pass_by_themselves(org, crm):
    busy = [{"message": "ConcurrentPerOrgLongTxn Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    fine = Answer(body=[{"id": ID, "success": True, "errors": []}])
    org.script["PATCH composite/sobjects"] = in_turn(Answer(403, busy), Answer(503, "down"), fine)
    assert [outcome.ok for outcome in crm.write(WRITE)] == [True]
    assert crm.calls["write"] == 3


def test_no_answer_is_tried_again_and_in_the_end_told(org, crm):
    org.script["PATCH composite/sobjects"] = in_turn(Answer(hang_up=True))
    with pytest.raises(AgainNow, match="no answer from Salesforce") as raised:
        list(crm.write(WRITE))
    assert raised.value.unanswered
    assert crm.calls["write"] == 6


def test_a_page_of_html_in_place_of_json_is_not_taken_for_an_answer(org, crm):
    org.script["PATCH composite/sobjects"] = in_turn(Answer(body="<html>sign in</html>"))
    with pytest.raises(AgainNow):
        list(crm.write(WRITE))


@pytest.mark.parametrize("body", [{}, "3", "null", ["x"]])
def test_an_answer_of_another_shape_is_a_passing_fault(org, crm, body):
    org.script["GET query"] = in_turn(Answer(body=body))
    org.script["PATCH composite/sobjects"] = in_turn(Answer(body={"unexpected": True}))
    with pytest.raises(AgainNow):
        list(crm.accounts(where="", attributes={}))
    with pytest.raises(AgainNow, match="no list"):
        list(crm.write(WRITE))


def test_stops_between_two_attempts(org, served, tmp_path):
    handed = tools(tmp_path)
    crm = salesforce(served, tmp_path, handed=handed)

    def busy(asked):
        handed.stop.set()
        return Answer(503, "down")

    org.script["PATCH composite/sobjects"] = busy
    with pytest.raises(Stopped):
        list(crm.write(WRITE))
    assert crm.calls["write"] == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            [{"errorCode": "INVALID_FIELD", "message": "No such column 'Plan__c' on entity"}],
            "the field Plan__c is missing",
        ),
        ([{"errorCode": "MALFORMED_QUERY", "message": SECRET}], "correct accounts.where"),
        ([{"errorCode": "API_DISABLED_FOR_ORG", "message": SECRET}], "API access"),
        ([{"errorCode": "SOMETHING_NEW", "message": SECRET}], "check the settings"),
        ("<html>" + SECRET, "check the settings"),
    ],
)
def test_a_refused_call_is_told_in_our_words(org, crm, body, words):
    org.script["GET query"] = in_turn(Answer(400, body))
    with pytest.raises(SettingsWrong, match=words) as raised:
        list(crm.accounts(where="Type = 'Customer'", attributes={}))
    assert SECRET not in str(raised.value)
    assert "Customer" not in str(raised.value)


def test_a_retired_version_is_named(org, crm):
    gone = Answer(410, [{"errorCode": "UNSUPPORTED_API_VERSION", "message": "x"}])
    org.script["GET sobjects/Account/describe"] = in_turn(gone)
    with pytest.raises(SettingsWrong, match="api_version"):
        list(crm.write(WRITE))


def test_secrets_show_in_no_repr(crm, served):
    list(crm.write(WRITE))
    settings = Settings.model_validate({"base_url": served.url, "client_id": "a", "client_secret": SECRET})
    session = crm._client._signin.session()
    shown = " ".join([repr(settings), str(settings), repr(session), repr(vars(crm)), repr(vars(crm._client))])
    assert SECRET not in shown
    assert "token-1" not in shown


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"client_secret": None}, "client_secret, or both username"),
        ({"username": "u"}, "client_secret, or both username"),
        ({"username": "u", "private_key_file": "k"}, "client_secret, or both username"),
        ({"fields": {"scroe": "X__c"}}, "there is no field"),
        ({"fields": {"score": "Health Score"}}, "not a field name"),
        ({"fields": {"score": "Health_Tier__c"}}, "the same name"),
        ({"external_id_field": "a b"}, "external_id_field"),
        ({"api_version": "v66"}, "pattern"),
        ({"password": "x"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, words):
    given = {"base_url": "https://acme.my.salesforce.com", "client_id": "a", "client_secret": "b"}
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate({**given, **change})


@pytest.mark.parametrize("url", ["http://acme.example", "ftp://x", "acme.my.salesforce.com", "https://a@b.test"])
def test_only_https_and_loopback_are_called(tmp_path, url, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("203.0.113.5", 0))])
    given = Settings.model_validate({"base_url": url, "client_id": "a", "client_secret": "b"})
    from connectors.salesforce import Salesforce

    with pytest.raises(ConnectorError, match=r"destinations.salesforce.base_url"):
        Salesforce("salesforce", given, tools(tmp_path))


def test_every_call_has_a_timeout(crm, monkeypatch):
    from requests.adapters import HTTPAdapter

    seen = []
    send = HTTPAdapter.send

    def noted(self, request, **options):
        seen.append(options["timeout"])
        return send(self, request, **options)

    monkeypatch.setattr(HTTPAdapter, "send", noted)
    list(crm.write(WRITE))
    assert seen == [(5.0, 120.0)] * 2


def test_paths_stay_below_the_chosen_version(crm, served):
    list(crm.write(WRITE))
    assert all(path.startswith(BASE) for path in served.paths()[1:])

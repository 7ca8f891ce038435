"""Access tokens got with a refresh token: renewed in time and once, and what a vendor hands out is never lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors import hubspot, zendesk
from connectors.base import Tools, Write
from connectors.clock import SteppedClock
from connectors.errors import AgainNow, SettingsWrong, Unreachable
from connectors.sandbox import Sandbox
from connectors.sandbox.credentials import HUBSPOT_CLIENT, HUBSPOT_REFRESH, ZENDESK_CLIENT, ZENDESK_REFRESH
from connectors.signin import Tokens, lifetime
from connectors.tokens import Refreshing
from tests.hubspot_stub import Portal
from tests.loopback import Answer, Asked, Loopback
from tests.salesforce_stub import Org, salesforce
from tests.served import tools

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LIFE = timedelta(hours=1)
APP = {"client_id": "app", "client_secret": "hush-secret", "refresh_token_file": "token"}


class Vendor:
    """Hands out `access-1`, `refresh-1` and so on; a refresh token is good for one use. `says` changes its answer."""

    def __init__(self, life: int = 1800) -> None:
        self.good, self.access, self.made, self.life = "refresh-0", "", 0, life
        self.says: list[object] = []

    def ask(self, refresh: str) -> object:
        if self.says:
            said = self.says.pop(0)
            if isinstance(said, Exception):
                raise said
            return said
        if refresh != self.good:
            raise SettingsWrong("refused", place="crm")
        self.made += 1
        self.good, self.access = f"refresh-{self.made}", f"access-{self.made}"
        return {"access_token": self.access, "refresh_token": self.good, "expires_in": self.life}

    def http(self, body: Any) -> Answer:
        try:
            return Answer(body=self.ask(body["refresh_token"]))
        except SettingsWrong:
            return Answer(400, {"error": "invalid_grant", "error_description": "hush-secret"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("refresh-0\n")
    return tmp_path / "token"


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


def refreshing(file: Path, vendor: Vendor, clock: SteppedClock | None = None) -> Refreshing:
    return Refreshing(file, vendor.ask, clock=clock or SteppedClock(NOW), life=LIFE, place="crm")


def kept(file: Path) -> str:
    return str(json.loads(file.read_text())["refresh_token"])


def test_what_is_handed_out_is_kept_for_its_owner_alone(file: Path, vendor: Vendor) -> None:
    file.chmod(0o644)
    token = refreshing(file, vendor)()
    assert (token.secret.get_secret_value(), token.until) == ("access-1", NOW + timedelta(seconds=1620))
    assert kept(file) == "refresh-1"
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in file.parent.iterdir()) == [".token.lock", "token"]
    assert "access-1" not in repr(token)


def test_many_processes_make_one_renewal_and_use_what_it_gave(file: Path, vendor: Vendor) -> None:
    """Each has its own lock on the file, as a process has."""
    clock = SteppedClock(NOW)
    workers = [refreshing(file, vendor, clock) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for expected in ("access-1", "access-2"):  # the second time the first has become too old
            found = pool.map(lambda one: one().secret.get_secret_value(), workers)
            assert list(found) == [expected] * 8
            clock.advance_to(clock.now() + timedelta(seconds=1700))
    assert vendor.made == 2


def test_the_other_process_s_token_is_used_when_ours_is_refused(file: Path, vendor: Vendor) -> None:
    ours, theirs = refreshing(file, vendor), refreshing(file, vendor)
    ours()
    theirs()
    assert theirs().secret.get_secret_value() == "access-2"  # it was told to renew, and made an end of access-1
    assert ours().secret.get_secret_value() == "access-2"
    assert vendor.made == 2


def test_a_lost_answer_is_told_with_what_to_do_and_costs_nothing_when_it_was_not_carried_out(
    file: Path, vendor: Vendor
) -> None:
    one = refreshing(file, vendor)
    vendor.says = [AgainNow("the connection broke (ReadTimeout)", place="crm", unanswered=True)]
    with pytest.raises(AgainNow, match=r"crm: .*ReadTimeout.*; should the next be refused, authorize the app again"):
        one()
    assert file.read_text() == "refresh-0\n"
    assert one().secret.get_secret_value() == "access-1"


def test_a_refusal_after_a_lost_answer_says_so(file: Path, vendor: Vendor) -> None:
    one = refreshing(file, vendor)
    vendor.says = [AgainNow("broke", unanswered=True), SettingsWrong("refused", place="crm")]
    with pytest.raises(AgainNow):
        one()
    with pytest.raises(SettingsWrong, match="crm: refused; an earlier renewal was answered without a token"):
        one()


def test_nobody_at_the_address_and_a_plain_refusal_are_told_as_they_are(file: Path, vendor: Vendor) -> None:
    one = refreshing(file, vendor)
    for error in (Unreachable("cannot be reached", place="crm"), SettingsWrong("refused", place="crm")):
        vendor.says = [error]
        with pytest.raises(type(error)) as raised:
            one()
        assert raised.value is error


def test_an_answer_without_a_usable_access_token_still_hands_out_its_refresh_token(file: Path, vendor: Vendor) -> None:
    one = refreshing(file, vendor)
    for told in (None, "", 5, "two words", "naïve", "a\nb", ["x"]):
        vendor.says = [{"access_token": told, "refresh_token": "refresh-x", "expires_in": 60}]
        with pytest.raises(AgainNow, match="without a token"):
            one()
        assert kept(file) == "refresh-x"
    vendor.good = "refresh-x"
    assert one().secret.get_secret_value() == "access-1"


@pytest.mark.parametrize("answer", [[], "token", None, {"refresh_token": 7}, {"refresh_token": "a b"}])
def test_an_answer_of_another_form_leaves_the_refresh_token(file: Path, vendor: Vendor, answer: object) -> None:
    vendor.says = [answer]
    with pytest.raises(AgainNow):
        refreshing(file, vendor)()
    assert kept(file) == "refresh-0"


def test_nothing_is_asked_unless_the_answer_can_be_kept(file: Path, vendor: Vendor) -> None:
    elsewhere = file.with_name("elsewhere")
    elsewhere.write_text("mine")
    file.with_name(".token.new").symlink_to(elsewhere)
    with pytest.raises(SettingsWrong, match=r"crm\.refresh_token_file: cannot be replaced, so nothing was asked"):
        refreshing(file, vendor)()
    assert (vendor.made, elsewhere.read_text(), file.read_text()) == (0, "mine", "refresh-0\n")


@pytest.mark.parametrize("step", ["_put", "Path.replace", "_settle"])
def test_a_process_that_ends_at_any_step_leaves_a_whole_file(
    file: Path, vendor: Vendor, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        if vendor.made:  # once the vendor has answered
            raise Killed

    monkeypatch.setattr(f"connectors.tokens.{step}", killed)
    with pytest.raises(Killed):
        refreshing(file, vendor)()
    monkeypatch.undo()
    assert file.read_text() == "refresh-0\n" if step != "_settle" else kept(file) == "refresh-1"


def test_on_a_full_disk_nothing_is_asked(file: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("connectors.tokens.os.write", full)
    with pytest.raises(SettingsWrong, match=r"so nothing was asked; make room.*No space left"):
        refreshing(file, vendor)()
    assert vendor.made == 0


def test_a_token_that_could_not_be_kept_is_told_with_what_to_do(
    file: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("connectors.tokens.Path.replace", full)
    with pytest.raises(SettingsWrong, match=r"could not be kept; authorize the app again .*No space left"):
        refreshing(file, vendor)()


def test_a_file_that_is_not_there_is_named(tmp_path: Path, vendor: Vendor) -> None:
    with pytest.raises(SettingsWrong, match=r"put the app's refresh token there: .*/none \(No such file"):
        refreshing(tmp_path / "none", vendor)()
    with pytest.raises(SettingsWrong, match="needs a folder"):
        refreshing(tmp_path / "no" / "none", vendor)()


PARTS = st.dictionaries(
    st.sampled_from(["refresh_token", "access_token", "until", "x"]),
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.dictionaries(st.text(max_size=2), st.none()),
)


@given(st.binary(max_size=40) | PARTS.map(lambda held: json.dumps(held).encode()))
def test_any_file_is_a_refresh_token_or_told_in_one_line(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "token"
    file.write_bytes(raw)
    try:
        held = refreshing(file, Vendor())._read()
    except SettingsWrong as error:
        told = str(error)
    else:
        told = held.refresh
        assert told
        assert held.until.tzinfo
    assert "\n" not in told


@given(st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans(), st.lists(st.integers())))
def test_a_token_is_used_for_less_long_than_it_lasts(told: object) -> None:
    used = lifetime(told, otherwise=LIFE)
    assert timedelta(0) <= used
    if isinstance(told, int | float) and 0 < told < 1e8:
        assert used <= timedelta(seconds=told) * 0.91
    elif not (isinstance(told, int | float) and told > 0):
        assert used == 0.9 * LIFE


# --- at the vendors


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(NOW)


@pytest.fixture
def handed(tmp_path: Path, clock: SteppedClock) -> Tools:
    return tools(tmp_path, clock)


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture(params=["hubspot", "zendesk"])
def call(
    request: pytest.FixtureRequest, file: Path, vendor: Vendor, handed: Tools, seen: list[str]
) -> Iterator[Callable[[], object]]:
    """One call of a connector whose vendor takes only the newest access token, and tells what it was sent."""

    def admitted(header: str) -> bool:
        seen.append(header)
        assert vendor.good in file.read_text()
        return header == f"Bearer {vendor.access}"

    if request.param == "zendesk":
        yield from _zendesk(vendor, handed, admitted)
    else:
        yield from _hubspot(vendor, handed, admitted)


def _zendesk(vendor: Vendor, handed: Tools, admitted: Callable[[str], bool]) -> Iterator[Callable[[], object]]:
    def desk(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/tokens":
            said = vendor.http(json.loads(request.content))
            return httpx.Response(said.status, json=said.body)
        return httpx.Response(200 if admitted(request.headers["Authorization"]) else 401, json={})

    settings = zendesk.Settings.model_validate({"subdomain": "acme", **APP})
    one = zendesk.Zendesk("zendesk", settings, handed, transport=httpx.MockTransport(desk))
    yield lambda: one._rest.get_json("/api/v2/x")
    one.close()


def _hubspot(vendor: Vendor, handed: Tools, admitted: Callable[[str], bool]) -> Iterator[Callable[[], object]]:
    portal = Portal()

    def answer(asked: Asked) -> Answer:
        if asked.path == "/oauth/2026-03/token":
            return vendor.http(dict(part.split("=") for part in asked.body.decode().split("&")))
        return portal(asked) if admitted(asked.headers["authorization"]) else Answer(401, {"category": "EXPIRED"})

    with Loopback(answer) as served:
        settings = hubspot.Settings.model_validate({"base_url": served.url, **APP})
        crm = hubspot.HubSpot("hubspot", settings, handed)
        yield lambda: list(crm.write([Write("1", {"score": 82.4})]))
        crm.close()


def test_a_token_is_renewed_before_it_ends_and_not_because_it_was_refused(
    call: Callable[[], object], vendor: Vendor, clock: SteppedClock, seen: list[str]
) -> None:
    call()
    clock.advance_to(NOW + timedelta(seconds=1600))
    call()
    clock.advance_to(NOW + timedelta(seconds=1700))
    call()
    assert seen == ["Bearer access-1", "Bearer access-1", "Bearer access-2"]


def test_a_refused_token_leads_to_one_fresh_sign_in(
    call: Callable[[], object], vendor: Vendor, seen: list[str]
) -> None:
    call()
    vendor.access = "ended by an administrator"
    call()
    assert seen[1:] == ["Bearer access-1", "Bearer access-2"]
    vendor.says = [{"access_token": "never-good", "refresh_token": vendor.good}] * 3
    vendor.access = "ended again"
    with pytest.raises(SettingsWrong):
        call()
    assert seen[3:] == ["Bearer access-2", "Bearer never-good"]


def test_threads_that_find_the_token_refused_share_one_renewal(
    call: Callable[[], object], vendor: Vendor, seen: list[str]
) -> None:
    call()
    vendor.access = "ended"
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(call) for _ in range(6)]:
            done.result()
    assert vendor.made == 2
    assert seen[-1] == "Bearer access-2"


def test_a_refused_refresh_token_is_told_in_our_words(call: Callable[[], object], vendor: Vendor) -> None:
    vendor.good = "another"
    with pytest.raises(SettingsWrong, match=r"if they are right, authorize the app again and put") as raised:
        call()
    assert "hush" not in str(raised.value)
    assert "refresh-0" not in str(raised.value)


def test_salesforce_signs_in_again_before_the_end_that_it_told(tmp_path: Path, clock: SteppedClock) -> None:
    org = Org()
    plain = org.token
    org.script["POST token"] = lambda asked: Answer(body=plain(asked).body | {"expires_in": 1800})
    with Loopback(org) as served:
        org.url = served.url
        crm = salesforce(served, tmp_path, handed=tools(tmp_path, clock))
        for seconds in (0, 1600, 1700):
            clock.advance_to(NOW + timedelta(seconds=seconds))
            list(crm.write([Write("001000000000001AAA", {"score": 82.4})]))
        crm.close()
        assert crm.calls == {"sign_in": 2, "read": 1, "write": 3}


@pytest.mark.parametrize("rotates", [False, True])
def test_the_account_of_the_sandbox_is_read_for_hours_and_knows_its_app(
    tmp_path: Path, clock: SteppedClock, rotates: bool
) -> None:
    (tmp_path / "token").write_text(HUBSPOT_REFRESH)
    client, secret = HUBSPOT_CLIENT
    with Sandbox(clock=clock, accounts=3, history_days=30, vendors=("hubspot",)) as sandbox:
        sandbox.crm["hubspot"].rotates = rotates
        given = {**APP, "base_url": sandbox.urls["hubspot"], "client_id": client, "client_secret": secret}
        crm = hubspot.HubSpot("hubspot", hubspot.Settings.model_validate(given), tools(tmp_path, clock))
        for hour in range(3):
            clock.advance_to(NOW + hour * LIFE)
            assert crm.midnight() is not None
        assert crm._client.app_id == "18221010"
        crm.close()
        assert crm.calls["sign_in"] == 3
    assert (kept(tmp_path / "token") == HUBSPOT_REFRESH) is not rotates


def test_the_desk_of_the_sandbox_is_read_with_a_refresh_token(tmp_path: Path, clock: SteppedClock) -> None:
    (tmp_path / "token").write_text(ZENDESK_REFRESH)
    client, secret = ZENDESK_CLIENT
    with Sandbox(clock=clock, accounts=3, history_days=30, vendors=("zendesk",)) as sandbox:
        given = {**APP, "base_url": sandbox.urls["zendesk"], "client_id": client, "client_secret": secret}
        one = zendesk.Zendesk("zendesk", zendesk.Settings.model_validate(given), tools(tmp_path, clock))
        for hour in range(3):
            clock.advance_to(NOW + 2 * hour * LIFE)
            assert [finding.ok for finding in one.check()] == [True]
        one.close()
        assert one.calls["sign_in"] == 3


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        (hubspot.Settings, {}),
        (hubspot.Settings, {"access_token": ""}),
        (hubspot.Settings, {"access_token": "x", **APP}),
        (hubspot.Settings, {**APP, "client_secret": None}),
        (hubspot.Settings, {"access_token": "x", "client_id": "app"}),
        (zendesk.Settings, {"subdomain": "a", "email": "a@b.c", "api_token": "t", "refresh_token_file": "token"}),
        (zendesk.Settings, {"subdomain": "a", "refresh_token_file": "token"}),
    ],
)
def test_settings_that_name_no_one_way_to_sign_in_are_refused(settings: Any, given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"give |goes with"):
        settings.model_validate(given)


def test_no_repr_shows_a_token(file: Path, vendor: Vendor) -> None:
    one = refreshing(file, vendor)
    auth = Tokens(one, clock=SteppedClock(NOW))
    auth.header()
    assert "refresh-1" not in repr(vars(one)) + repr(one._read())
    assert "access-1" not in repr(vars(auth)) + repr(one._read())

"""What it means that a vendor's SDK got no answer: a wrong setting, nobody there, or a fault that passes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
import urllib3

from connectors.address import no_answer, proxy_for
from connectors.errors import AgainNow, ConnectorError, SettingsWrong, Unreachable
from connectors.hubspot import HubSpot, Settings
from connectors.salesforce.signin import Session
from connectors.salesforce.transport import Line
from tests import hubspot_stub
from tests.loopback import Answer, Loopback
from tests.served import tools

Called = Callable[[str], ConnectorError]
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(params=["urllib3", "requests"])
def called(request: pytest.FixtureRequest, tmp_path: Path) -> Called:
    """What the connector over one of the two libraries raises when it calls this address."""

    def through_urllib3(url: str) -> None:
        settings = Settings.model_validate({"base_url": url, "access_token": hubspot_stub.TOKEN})
        crm = HubSpot("crm", settings, tools(tmp_path))
        try:
            crm.read(["1"])
        finally:
            crm.close()

    def through_requests(url: str) -> None:
        line = Line(version="66.0", place="destinations.crm", noted=lambda headers: None)
        try:
            line.restful(Session("token", url, None, NOW), "limits", "GET")
        finally:
            line.close()

    def error(url: str) -> ConnectorError:
        with pytest.raises(ConnectorError) as raised:
            (through_urllib3 if request.param == "urllib3" else through_requests)(url)
        return raised.value

    return error


class Curt(NamedTuple):
    """An address that takes a greeting and hangs up, as hosts do that are being restarted; and what it was told."""

    host: str
    told: list[bytes]


@pytest.fixture
def curt() -> Iterator[Curt]:
    told: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    told.append(line.recv(65536))

        threading.Thread(target=hang_up, daemon=True).start()
        yield Curt(f"127.0.0.1:{server.getsockname()[1]}", told)
        server.shutdown(socket.SHUT_RDWR)


def test_a_host_that_hangs_up_while_greeting_is_tried_again(called: Called, curt: Curt) -> None:
    error = called(f"https://{curt.host}")
    assert (type(error), error.place) == (AgainNow, "destinations.crm")
    assert error.words.startswith("no answer from ")


def test_where_nobody_listens_a_pass_does_not_wait_long(called: Called) -> None:
    assert isinstance(called("https://127.0.0.1:1"), Unreachable)


def proxied(monkeypatch: pytest.MonkeyPatch, host: str, without: str = "") -> None:
    given = {"HTTPS_PROXY": f"http://ann:p%40ss@{host}", "HTTP_PROXY": f"http://{host}", "NO_PROXY": without}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)


@pytest.mark.parametrize("without", ["", "127.0.0.1"])
def test_calls_go_through_the_proxy_that_the_environment_names(
    called: Called, curt: Curt, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxied(monkeypatch, curt.host, without)
    error = called("https://127.0.0.1:1")
    assert "p@ss" not in str(error)
    told = b"".join(curt.told)
    assert (b"CONNECT 127.0.0.1:1 " in told) == (not without)
    assert (b"Basic YW5uOnBAc3M=" in told) == (not without)


def test_a_call_on_loopback_takes_no_proxy_and_no_credential_but_ours(
    curt: Curt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxied(monkeypatch, curt.host)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password pass")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Loopback(lambda asked: Answer(body={"done": True})) as served:
        line = Line(version="66.0", place="destinations.crm", noted=lambda headers: None)
        assert line.restful(Session("token", served.url, None, NOW), "limits", "GET") == {"done": True}
        line.close()
    assert [one.headers["authorization"] for one in served.asked] == ["Bearer token"]
    assert curt.told == []


@pytest.mark.parametrize("given", ["socks5://127.0.0.1:1", "http://", "http://127.0.0.1:x"])
def test_a_proxy_that_is_none_is_a_wrong_setting(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", given)
    monkeypatch.setenv("https_proxy", given)
    with pytest.raises(SettingsWrong, match="HTTPS_PROXY"):
        proxy_for("https://api.example", "destinations.crm")
    assert proxy_for("http://127.0.0.1:1", "destinations.crm") is None


def test_only_a_certificate_that_is_refused_is_a_matter_for_a_person() -> None:
    refused = urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed certificate"))
    pool = urllib3.connectionpool.HTTPSConnectionPool("127.0.0.1")
    error = urllib3.exceptions.MaxRetryError(pool, "/secret", refused)
    for one in (error, requests.exceptions.SSLError(error)):
        found = no_answer(one, "HubSpot", "destinations.crm")
        assert isinstance(found, SettingsWrong)
        assert str(found).startswith("destinations.crm: the certificate of this host is not valid; check base_url")

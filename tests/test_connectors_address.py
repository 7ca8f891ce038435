"""What it means that a vendor's SDK got no answer: a wrong setting, nobody there, or a fault that passes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import urllib3

from connectors.address import no_answer
from connectors.errors import AgainNow, ConnectorError, SettingsWrong, Unreachable
from connectors.hubspot import HubSpot, Settings
from connectors.salesforce.signin import Session
from connectors.salesforce.transport import Line
from tests import hubspot_stub

Called = Callable[[str], ConnectorError]


@pytest.fixture(params=["urllib3", "requests"])
def called(request: pytest.FixtureRequest, tmp_path: Path) -> Called:
    """What the connector over one of the two libraries raises when it calls this address."""

    def through_urllib3(url: str) -> None:
        settings = Settings.model_validate({"base_url": url, "access_token": hubspot_stub.TOKEN})
        crm = HubSpot("crm", settings, hubspot_stub.tools(tmp_path))
        try:
            crm.read(["1"])
        finally:
            crm.close()

    def through_requests(url: str) -> None:
        line = Line(version="66.0", place="destinations.crm", noted=lambda headers: None)
        try:
            line.restful(Session("token", url, None, datetime(2026, 1, 1, tzinfo=UTC)), "limits", "GET")
        finally:
            line.close()

    def error(url: str) -> ConnectorError:
        with pytest.raises(ConnectorError) as raised:
            (through_urllib3 if request.param == "urllib3" else through_requests)(url)
        return raised.value

    return error


@pytest.fixture
def curt() -> Iterator[str]:
    """An address that takes a greeting and hangs up, as hosts do that are being restarted."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    line.recv(65536)

        threading.Thread(target=hang_up, daemon=True).start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_a_host_that_hangs_up_while_greeting_is_tried_again(called: Called, curt: str) -> None:
    error = called(curt)
    assert (type(error), error.place) == (AgainNow, "destinations.crm")
    assert error.words.startswith("no answer from ")


def test_where_nobody_listens_a_pass_does_not_wait_long(called: Called) -> None:
    assert isinstance(called("https://127.0.0.1:1"), Unreachable)


def test_only_a_certificate_that_is_refused_is_a_matter_for_a_person() -> None:
    refused = urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed certificate"))
    pool = urllib3.connectionpool.HTTPSConnectionPool("127.0.0.1")
    error = urllib3.exceptions.MaxRetryError(pool, "/secret", refused)
    for one in (error, requests.exceptions.SSLError(error)):
        found = no_answer(one, "HubSpot", "destinations.crm")
        assert isinstance(found, SettingsWrong)
        assert str(found).startswith("destinations.crm: the certificate of this host is not valid; check base_url")

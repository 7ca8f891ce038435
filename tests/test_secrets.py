"""Secrets, one of its own in every place that takes one, and nowhere that they could be read afterwards."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.clock import SystemClock
from connectors.errors import ConnectorError
from sync.errors import SettingsError
from sync.health import Health, serving
from sync.loading import load
from sync.settings import Settings
from sync.worker import opened
from tests.loopback import Answer, Asked, Loopback
from tests.test_bad_input import _in_process

NAMES = ("ZENDESK", "ZENDESK_TOKEN", "MIXPANEL", "HUBSPOT", "SALESFORCE", "DAEMON", "SALT", "SESSION")
SECRETS = {name: f"{name.lower()}-hush-{number}73951" for number, name in enumerate(NAMES)}
SETTINGS = """\
home: customers
salt: ${SALT}
clock: {start: 2026-03-10T06:00:00Z, speed: 100000, epoch: EPOCH}
daemon: {token: "${DAEMON}"}
sources:
  oauth: {kind: zendesk, base_url: URL, client_id: app, client_secret: "${ZENDESK}"}
  legacy: {kind: zendesk, base_url: URL, email: a@b.example, api_token: "${ZENDESK_TOKEN}"}
  usage: {kind: mixpanel, base_url: URL, service_account: sa, secret: "${MIXPANEL}", project_id: 1,
          account_key: {property: company}, events: {login: Login}}
destinations:
  customers: {kind: file, accounts: accounts.csv, scores: scores.csv}
  hub: {kind: hubspot, base_url: URL, access_token: "${HUBSPOT}"}
  force: {kind: salesforce, base_url: URL, client_id: app, client_secret: "${SALESFORCE}"}
"""


def _echo(status: int) -> Callable[[Asked], Answer]:
    """A vendor that repeats all it was told, credentials first."""

    def answer(asked: Asked) -> Answer:
        told = {
            "message": f"{asked.headers} {asked.body!r}",
            "errors": [dict(asked.headers)],
            "error": str(asked.headers),
        }
        return Answer(status, told, {"Location": "http://127.0.0.1:1/"} if status == 302 else {})

    return answer


def _signs_in_and_then(status: int) -> Callable[[Asked], Answer]:
    def answer(asked: Asked) -> Answer:
        if asked.path in ("/oauth/tokens", "/services/oauth2/token"):
            return Answer(body={"access_token": SECRETS["SESSION"], "expires_in": 7200})
        return _echo(status)(asked)

    return answer


REFUSING = "signs in and refuses with 401"  # here every command is made; elsewhere a pass and a check say it all
VENDORS: dict[str, Callable[[Asked], Answer]] = {
    REFUSING: _signs_in_and_then(401),
    "signs in and breaks with 500": _signs_in_and_then(500),
    "refuses the sign-in": _echo(401),
    "redirects": _signs_in_and_then(302),
    "answers something else": _signs_in_and_then(200),
}


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Everything that any library logs at any level, as a log file would hold it."""
    lines: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    keeper, root = Keeper(), logging.getLogger()
    level = root.level
    root.addHandler(keeper)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(keeper)
    root.setLevel(level)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("BELLWETHER_LOG", "debug")
    (tmp_path / "accounts.csv").write_text("id,name\na1,Alder\n")
    return tmp_path


def _written(folder: Path, url: str) -> Path:
    text = SETTINGS.replace("EPOCH", repr(time.time())).replace("URL", url)
    (folder / "bellwether.yaml").write_text(text)
    return folder / "bellwether.yaml"


def _shown(text: str) -> list[str]:
    """Which secrets can be read in a text, as they are or as basic authentication has them."""
    forms = {name: [secret, *_encoded(secret)] for name, secret in SECRETS.items()}
    return [name for name, held in forms.items() if any(form in text for form in held)]


def _encoded(secret: str) -> list[str]:
    users = ("sa", "a@b.example/token", "u")
    return [base64.b64encode(f"{user}:{secret}".encode()).decode() for user in users]


def _kept(folder: Path) -> str:
    """All that stands in the data folder and beside it, but for the settings and what was given in the first place."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".yaml", ".env")]
    held = "".join(path.read_bytes().decode("latin-1") for path in files)
    with closing(sqlite3.connect(folder / "bellwether-data" / "state.db")) as state:
        return held + "\n".join(state.iterdump())


COMMANDS = (("run",), ("check", "--json"), ("status", "--json"), ("explain", "a1"), ("provision",))


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_command_shows_or_keeps_a_secret_whatever_vendors_answer(
    vendor: str, folder: Path, heard: list[str]
) -> None:
    with Loopback(VENDORS[vendor]) as served:
        _written(folder, served.url)
        said = [_in_process(folder, *words)[1] for words in (COMMANDS if vendor == REFUSING else COMMANDS[:2])]
        asked = " ".join(json.dumps(dict(one.headers)) + repr(one.body) for one in served.asked)
    assert _shown(asked)  # the secrets did travel to their vendors
    assert not _shown("".join(said))
    assert not _shown("\n".join(heard))
    assert not _shown(_kept(folder))
    assert "Traceback" not in "".join(said)


@pytest.mark.parametrize("usable", [True, False])
def test_a_private_key_is_neither_shown_nor_kept(usable: bool, folder: Path, heard: list[str]) -> None:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    body = pem.splitlines()[1:-1]
    (folder / "key.pem").write_text(pem if usable else "\n".join(body))
    by_key = "username: u@v.example, private_key_file: key.pem, audience: URL}"
    with Loopback(_echo(401)) as served:
        settings = SETTINGS.replace('client_secret: "${SALESFORCE}"}', by_key)
        path = folder / "bellwether.yaml"
        path.write_text(settings.replace("EPOCH", repr(time.time())).replace("URL", served.url))
        said = "".join(_in_process(folder, *words)[1] for words in COMMANDS[:2])
    assert "destinations.force" in said
    (folder / "key.pem").unlink()
    everywhere = said + "\n".join(heard) + _kept(folder)
    assert not [line for line in body if line in everywhere or line[:24] in everywhere]


def test_no_settings_object_and_no_connector_shows_a_secret(folder: Path) -> None:
    settings = load(_written(folder, "http://127.0.0.1:1"))
    with opened(settings) as worker:
        parts = [settings, *settings.sources.values(), *settings.destinations.values(), worker, worker.state]
        parts += [*worker.sources.values(), *worker.destinations.values()]
        texts = [f"{part!r} {part!s} {vars(part) if hasattr(part, '__dict__') else ''}" for part in parts]
    assert not _shown(" ".join(texts))
    assert settings.salt
    assert settings.salt.get_secret_value() == SECRETS["SALT"]


def test_no_error_holds_a_secret_in_its_chain(folder: Path) -> None:
    with Loopback(_signs_in_and_then(401)) as served, opened(load(_written(folder, served.url))) as worker:
        told = []
        for source in worker.sources.values():
            with pytest.raises(ConnectorError) as caught:
                list(source.pull(None, start=worker.clock.now() - timedelta(days=9), now=worker.clock.now()))
            told.append("".join(traceback.format_exception(caught.value)))
        for name in ("hub", "force"):
            with pytest.raises(ConnectorError) as caught:
                list(worker.destinations[name].accounts(where="", attributes={}))
            told.append("".join(traceback.format_exception(caught.value)))
    assert len(told) == 5
    assert not _shown("".join(told))


def test_what_is_wrong_with_settings_is_told_without_their_values(folder: Path) -> None:
    path = _written(folder, "http://127.0.0.1:1")
    right = path.read_text()
    for old, new in (("salt: ", "slat: "), ("access_token:", "token:"), ('"${DAEMON}"', '["${DAEMON}"]'), ("URL", "5")):
        path.write_text(right.replace(old, new))
        try:
            load(path)
        except SettingsError as error:
            assert not _shown(str(error))  # noqa: PT017 - one of these is no mistake


@pytest.mark.parametrize("proxy", ["http://u:{}@127.0.0.1:1", "ftp://u:{}@proxy.example", "u:{}"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    proxy: str, folder: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy.format(SECRETS["SESSION"]))
    _written(folder, "http://127.0.0.1:1")
    code, said = _in_process(folder, "run", "--only", "pull")
    assert code in (1, 2)
    assert "Traceback" not in said, said
    assert not _shown(said + "\n".join(heard))


def test_a_database_that_cannot_be_used_is_named_without_its_password(folder: Path, heard: list[str]) -> None:
    path = _written(folder, "http://127.0.0.1:1")
    path.write_text(path.read_text() + f"state: postgresql://u:{SECRETS['SESSION']}@127.0.0.1:1/x?sslmode=disable\n")
    code, said = _in_process(folder, "status")
    assert code == 2
    assert not _shown(said + "\n".join(heard))


def test_the_daemon_answers_without_its_token(folder: Path) -> None:
    settings: Settings = load(_written(folder, "http://127.0.0.1:1"))
    token = settings.daemon.token
    assert token
    texts = []
    with serving(Health(SystemClock()), "127.0.0.1", 0, token.get_secret_value()) as port:
        for path in ("healthz", "readyz", "metrics", "nowhere"):
            for given in ("none", "wrong", SECRETS["DAEMON"]):
                headers = {"Authorization": f"Bearer {given}"}
                answer = httpx.get(f"http://127.0.0.1:{port}/{path}", headers=headers)
                texts.append(f"{answer.headers} {answer.text}")
    assert any("bellwether_passes" in text for text in texts)
    assert not _shown("".join(texts))


CRASH = """
import resource
from sync import cli
most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
cli.app = lambda: print(resource.getrlimit(resource.RLIMIT_CORE)[0])
cli.main()
"""


def test_a_crash_of_native_code_leaves_no_core_file() -> None:
    done = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"

"""Every row of the table in docs/bad-input.md is made to happen, and the page says what is then seen and kept."""

from __future__ import annotations

import ctypes
import json
import re
import resource
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, chdir, closing, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors import table
from connectors.clock import SteppedClock
from sync import database
from sync.errors import StateError
from sync.loading import load
from sync.log import Log
from sync.run import run_once
from sync.worker import opened
from tests.command import exit_code
from tests.hubspot_stub import Portal
from tests.loopback import Answer, Asked, Loopback
from tests.salesforce_stub import Org

PAGE = Path(__file__).resolve().parent.parent / "docs" / "bad-input.md"
SECRET = "what-nobody-may-see"

CARD = """\
name: plain
dimensions:
  usage: {weight: 60, measures: {active: 1}}
  voice: {weight: 40, measures: {nps: 1}}
measures:
  active: {events: login, take: active_days, window: 2d, absent: 0, points: {0: 0, 4: 100}}
  nps: {events: nps.response, take: last, points: {0: 0, 10: 100}}
"""
SETTINGS = """\
home: customers
scorecard: card.yaml
clock: {start: 2026-03-10T06:00:00Z, speed: 1000, epoch: EPOCH}
sources:
  product:
    {kind: file, path: events.csv, columns: {account: account, event: event, at: at, value: value, label: label}}
  surveys: {kind: file, path: surveys.csv, columns: {account: account, at: at, value: value}, event: nps.response}
destinations:
  customers: {kind: file, accounts: accounts.csv, scores: scores.csv}
"""
EVENTS = "account,event,at,value,label\na1,login,2026-03-08,1,\na1,login,2026-03-09,1,\nb2,login,2026-03-09,1,\n"
SURVEYS = "account,at,value\na1,2026-03-01,9\nb2,2026-03-02,4\n"
ACCOUNTS = "id,name,domain\na1,Alder,alder.example\nb2,Birch,\n"
NEW_EVENT, NEW_SURVEY, NEW_ACCOUNT = "b2,login,2026-03-07,1,\n", "b2,2026-03-05,8\n", "c3,Cedar,\n"


class Row(NamedTuple):
    """A row of the table."""

    wrong: str
    where: str
    line: str
    rest: str


def _rows() -> list[Row]:
    """The rows of the page's table; what stands in code is taken as it is."""
    found = []
    for text in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", text)[1:-1]]
        if len(cells) == 4 and not cells[0].startswith("---"):
            found.append(Row(*(re.sub(r"^(`+) ?(.*?) ?\1$", r"\2", cell) for cell in cells)))
    return found[1:]


class Spoiled(NamedTuple):
    """A folder with one thing wrong in it; what has to be undone goes onto `after`."""

    folder: Path
    after: ExitStack

    def write(self, name: str, content: str | bytes) -> None:
        raw = content if isinstance(content, bytes) else content.encode()
        (self.folder / name).write_bytes(raw)

    def settings(self, old: str, new: str) -> None:
        """The settings with `old` replaced; without `old`, with `new` before everything."""
        assert old in SETTINGS
        text = SETTINGS.replace(old, new) if old else new + SETTINGS
        self.write("bellwether.yaml", text.replace("EPOCH", repr(time.time())))

    def state(self) -> Path:
        return self.folder / "bellwether-data" / "state.db"


Case = Callable[[Spoiled], list[str]]
CASES: dict[str, Case] = {}
PULL = ["run", "--only", "pull"]


def case(wrong: str) -> Callable[[Case], Case]:
    def keep(spoil: Case) -> Case:
        CASES[wrong] = spoil
        return spoil

    return keep


def _settings_case(wrong: str, old: str, new: str) -> None:
    def spoil(one: Spoiled) -> list[str]:
        one.settings(old, new)
        return PULL

    CASES[wrong] = spoil


def _card_case(wrong: str, old: str, new: str) -> None:
    def spoil(one: Spoiled) -> list[str]:
        assert old in CARD
        one.write("card.yaml", CARD.replace(old, new))
        return PULL

    CASES[wrong] = spoil


def _file_case(wrong: str, name: str, content: str | bytes) -> None:
    def spoil(one: Spoiled) -> list[str]:
        one.write(name, content)
        return PULL

    CASES[wrong] = spoil


def _event_case(wrong: str, row: str | bytes) -> None:
    raw = row if isinstance(row, bytes) else row.encode()
    _file_case(wrong, "events.csv", (EVENTS + NEW_EVENT).encode() + raw)


# -- settings ------------------------------------------------------------------------------------------------

_settings_case("an unknown key", "", "timezon: UTC\n")
_settings_case("an unknown key of a connector", "event: nps.response", "evnt: nps.response")
_settings_case("a wrong type", "", "delivery: {dead_band: lots}\n")
_settings_case("a negative number", "", "delivery: {limit: -3}\n")
_settings_case("NaN as a number", "", "delivery: {dead_band: .nan}\n")
_settings_case("a huge number", "", "daemon: {port: 8e999}\n")
_settings_case("a duration beyond all calendars", "", "delivery: {refresh: 999999w}\n")
_settings_case("no time zone", "", "timezone: Mars/Olympus\n")
_settings_case("a missing environment variable", "", "salt: ${BELLWETHER_NO_SALT}\n")
_settings_case("a missing secret file", "", "salt: ${file:salt.txt}\n")
_settings_case("a key that stands twice", "", "home: crm\n")
_settings_case("an alias (a bomb of them, too)", "", "delivery: &a {limit: 1}\ndaemon: *a\n")
_settings_case("no such connector", "kind: file, path: surveys.csv", "kind: fiel, path: surveys.csv")
_settings_case("a source's setting on a destination", "scores: scores.csv", "scores: scores.csv, every: 1h")
_settings_case("a home that is no destination", "home: customers", "home: crm")
_settings_case("an open door without a token", "", "daemon: {host: 0.0.0.0}\n")
_settings_case("no such scorecard", "card.yaml", "crad.yaml")
_settings_case("a path out of the folder", "surveys.csv", "../surveys.csv")
_settings_case("a state that is no URL", "", f"state: {SECRET}\n")
_settings_case("a database that nobody answers for", "", f"state: postgresql://u:{SECRET}@127.0.0.1:1/x\n")
_settings_case("a data folder that cannot be made", "", "data: /proc/bellwether\n")
_file_case("a tab", "bellwether.yaml", "home: customers\ndelivery:\n\tlimit: 1\n")
_file_case("an empty settings file", "bellwether.yaml", "")
_file_case("settings in another encoding", "bellwether.yaml", "home: customers\ndata: café\n".encode("latin-1"))
_file_case("settings in UTF-16", "bellwether.yaml", SETTINGS.encode("utf-16"))
_file_case("a control character", "bellwether.yaml", 'home: customers\ndata: "a\\0b"\n')
_file_case("brackets without an end", "bellwether.yaml", "home: " + "[" * 600)
_file_case("something large in place of settings", "bellwether.yaml", "#" * 1_000_001)
_file_case("a .env that is no text", ".env", b"A=\xff\xfe")
HELP = "  help: {{kind: zendesk, base_url: '{}', email: a@b.example, api_token: {}}}\ndestinations:"
_settings_case("plain http to another machine", "destinations:", HELP.format("http://192.0.2.1", SECRET))
_settings_case("a password in an address", "destinations:", HELP.format(f"https://u:{SECRET}@example.com", "x"))


@case("no settings file")
def _(one: Spoiled) -> list[str]:
    (one.folder / "bellwether.yaml").unlink()
    return PULL


@case("a folder in place of settings")
def _(one: Spoiled) -> list[str]:
    (one.folder / "bellwether.yaml").unlink()
    (one.folder / "bellwether.yaml").mkdir()
    return PULL


@case("settings this user may not read")
def _(one: Spoiled) -> list[str]:
    (one.folder / "bellwether.yaml").chmod(0)
    return ["as another user", *PULL]


# -- scorecard -----------------------------------------------------------------------------------------------

_card_case("a negative weight", "weight: 60", "weight: -60")
_card_case("weights that are all zero", "{active: 1}", "{active: 0}")
_card_case("NaN as a weight", "weight: 60", "weight: .nan")
_card_case("text as a weight", "weight: 60", "weight: lots")
_card_case("an unknown measure", "{active: 1}", "{activ: 1}")
_card_case("an unknown word of a measure", "window: 2d", "windoww: 2d")
_card_case("an event pattern of another form", "events: login", 'events: "lo\'gin"')
_card_case("SQL in a rule", "window: 2d", 'window: 2d, where: "value > 0); drop table events; --"')
_card_case("a function in a rule", "window: 2d", 'window: 2d, where: "length(label) > 3"')
_card_case("a curve that goes backwards", "{0: 0, 4: 100}", "{4: 100, 0: 0}")
_card_case("tiers in the wrong order", "name: plain", "name: plain\ntiers: {green: 30}")


# -- the command line and the machine ------------------------------------------------------------------------

CASES["a day that is none"] = lambda _: ["scores", "--as-of", "31.12.2025"]
CASES["a day still to come"] = lambda _: ["scores", "--as-of", "2999-01-01"]
CASES["no such account"] = lambda _: ["explain", "Cedar"]


@case("a port that is taken")
def _(one: Spoiled) -> list[str]:
    taken = one.after.enter_context(socket.create_server(("127.0.0.1", 0)))
    one.settings("", f"daemon: {{port: {taken.getsockname()[1]}}}\n")
    return ["daemon"]


@case("a state that is no database")
def _(one: Spoiled) -> list[str]:
    one.state().write_bytes(b"no database at all" * 300)
    return PULL


@case("a state of a newer version")
def _(one: Spoiled) -> list[str]:
    with sqlite3.connect(one.state()) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()
    return PULL


@case("a state that another process holds")
def _(one: Spoiled) -> list[str]:
    held = one.after.enter_context(closing(sqlite3.connect(one.state(), isolation_level=None)))
    held.execute("begin exclusive")
    return PULL


@case("another salt")
def _(one: Spoiled) -> list[str]:
    one.write("bellwether-data/salt", SECRET)
    return PULL


@case("a disk that is full")
def _(one: Spoiled) -> list[str]:
    return ["on a full disk", *PULL]


@case("a log that cannot be written")
def _(one: Spoiled) -> list[str]:
    one.write("events.csv", EVENTS + NEW_EVENT)
    for path in (one.folder / "bellwether-data" / "log").rglob("*"):
        if path.is_dir():
            path.chmod(0o555)
    return ["as another user", *PULL]


@case("a clock that was set back")
def _(one: Spoiled) -> list[str]:
    one.settings("2026-03-10T06", "2026-03-05T06")
    return ["run"]


# -- files of events -----------------------------------------------------------------------------------------

_event_case("a quotation mark that does not close", 'a1,"login,2026-03-10,1,\n')
_event_case("a row with too few columns", "a1,login\n")
_event_case("a last row half written", "a1,login,20")
_event_case("a row with too many columns", f"a1,login,2026-03-10,1,,{SECRET}\n")
_event_case("a date of another form", f"a1,login,{SECRET},1,\n")
_event_case("a day in the far future", "a1,login,2999-03-10,1,\n")
_event_case("text as a value", f"a1,login,2026-03-10,{SECRET},\n")
_event_case("NaN as a value", "a1,login,2026-03-10,NaN,\n")
_event_case("Infinity as a value", "a1,login,2026-03-10,-Infinity,\n")
_event_case("a huge number as a value", "a1,login,2026-03-10,1e300,\n")
_event_case("a label that is a text", "a1,login,2026-03-10,1," + SECRET * 5 + "\n")
_event_case("a row without an account", ",login,2026-03-10,1,\n")
_event_case("an event name of another form", "a1,Logged In!,2026-03-10,1,\n")
_event_case("a negative number as a value", "b2,login,2026-03-06,-5,\n")
_file_case("events in another encoding", "events.csv", (EVENTS + NEW_EVENT).encode() + b"caf\xe9,login,2026-03-10,1,\n")
_file_case("events in UTF-16", "events.csv", EVENTS.encode("utf-16"))
_file_case("a byte order mark", "events.csv", b"\xef\xbb\xbf" + (EVENTS + NEW_EVENT).encode())
_file_case("an empty file", "events.csv", "")
_file_case("a file that lost its rows", "events.csv", EVENTS.splitlines(keepends=True)[0])
_file_case("a missing column", "events.csv", "account,event,when\na1,login,2026-03-10\n")
_file_case("a column name that stands twice", "events.csv", "account,event,at,value,at\na1,login,2026-03-10,1,\n")


@case("a file that is not there")
def _(one: Spoiled) -> list[str]:
    (one.folder / "events.csv").unlink()
    return PULL


@case("a folder in place of a file")
def _(one: Spoiled) -> list[str]:
    (one.folder / "events.csv").unlink()
    (one.folder / "events.csv").mkdir()
    return PULL


@case("a file this user may not read")
def _(one: Spoiled) -> list[str]:
    one.write("events.csv", EVENTS + NEW_EVENT)
    (one.folder / "events.csv").chmod(0)
    return ["as another user", *PULL]


@case("a file that grows while it is read")
def _(one: Spoiled) -> list[str]:
    def growing(*args: Any, **kwargs: Any) -> Any:
        with (one.folder / "events.csv").open("a") as file:
            file.write(NEW_EVENT)
        return read(*args, **kwargs)

    read = table._loaded
    patch = pytest.MonkeyPatch()
    patch.setattr(table, "_loaded", growing)
    one.after.callback(patch.undo)
    one.write("events.csv", EVENTS + NEW_EVENT)
    return PULL


def _parquet(one: Spoiled, select: str) -> Path:
    one.settings("events.csv", "events.parquet")
    duckdb.execute(f"copy ({select}) to '{one.folder / 'events.parquet'}' (format parquet)")
    return one.folder / "events.parquet"


@case("a Parquet file half written")
def _(one: Spoiled) -> list[str]:
    path = _parquet(one, "select 'a1' as account, 'login' as event, date '2026-03-10' as at, 1 as value, '' as label")
    path.write_bytes(path.read_bytes()[:-20])
    return PULL


@case("a Parquet file with other columns")
def _(one: Spoiled) -> list[str]:
    _parquet(one, "select 'a1' as customer, 'login' as event, date '2026-03-10' as at")
    return PULL


@case("lists in a Parquet file")
def _(one: Spoiled) -> list[str]:
    _parquet(one, "select ['a1'] as account, 'login' as event, date '2026-03-10' as at, 1 as value, '' as label")
    return PULL


# -- files of accounts ---------------------------------------------------------------------------------------

_file_case("an account that stands twice", "accounts.csv", ACCOUNTS + NEW_ACCOUNT + f"a1,{SECRET},\n")
_file_case("an account without an id", "accounts.csv", ACCOUNTS + NEW_ACCOUNT + f",{SECRET},\n")
_file_case("an accounts file with many bad rows", "accounts.csv", ACCOUNTS + NEW_ACCOUNT + f"a1,{SECRET},\n,x,\n")
_file_case("an accounts file half written", "accounts.csv", ACCOUNTS + NEW_ACCOUNT + 'd4,"Doug')
_file_case("an accounts file without rows", "accounts.csv", "id,name,domain\n")
_settings_case("a condition that is none", "", "accounts: {where: seets > 1}\n")
_settings_case(
    "SQL in a condition", "", "accounts: {where: \"1=1) union select * from read_text('/etc/hostname'); --\"}\n"
)
_settings_case("an unknown column as an attribute", "", "accounts: {attributes: {seats: seets}}\n")


# -- CRMs and vendors ----------------------------------------------------------------------------------------

CRM = "  crm: {{kind: {}, {}}}\n  customers:"


def _crm(one: Spoiled, answer: Callable[[Asked], Answer], kind: str, given: str) -> Loopback:
    served = one.after.enter_context(Loopback(answer))
    text = SETTINGS.replace("  customers:", CRM.format(kind, given.format(url=served.url)))
    text = text.replace("home: customers", "home: crm\naccounts: {where: 'plan = x', attributes: {seats: seets__c}}")
    one.write("bellwether.yaml", text.replace("EPOCH", repr(time.time())))
    return served


@case("an unknown HubSpot property")
def _(one: Spoiled) -> list[str]:
    _crm(one, Portal(), "hubspot", f"base_url: '{{url}}', access_token: {SECRET}")
    return PULL


@case("an unknown Salesforce field")
def _(one: Spoiled) -> list[str]:
    org = Org()
    words = "SELECT Id, seets__c FROM Account ERROR at Row:1:Column:12 No such column 'seets__c' on entity 'Account'."
    org.script["GET query"] = lambda _: Answer(400, [{"errorCode": "INVALID_FIELD", "message": words}])
    served = _crm(one, org, "salesforce", f"base_url: '{{url}}', client_id: app, client_secret: {SECRET}")
    org.url = served.url
    return PULL


@case("a company without an id")
def _(one: Spoiled) -> list[str]:
    portal = Portal()
    companies = [{"properties": {"name": SECRET, "plan": "x"}}, {"id": "c3", "properties": {"name": "C", "plan": "x"}}]
    portal.script["GET companies"] = lambda _: Answer(body={"results": companies})
    _crm(one, portal, "hubspot", f"base_url: '{{url}}', access_token: {SECRET}")
    text = (one.folder / "bellwether.yaml").read_text().replace("attributes: {seats: seets__c}", "attributes: {}")
    one.write("bellwether.yaml", text)
    return PULL


def _desk(one: Spoiled, answer: Callable[[Asked], Answer]) -> list[str]:
    served = one.after.enter_context(Loopback(answer))
    one.settings("destinations:", HELP.format(served.url, SECRET))
    return PULL


TICKET = {"id": 1, "organization_id": 7, "status": "open", "created_at": "2026-03-01T00:00:00Z"}
TICKET |= {"updated_at": "2026-03-01T00:00:00Z", "generated_timestamp": 1772323200}


@case("a ticket with a date that is none")
def _(one: Spoiled) -> list[str]:
    def answer(asked: Asked) -> Answer:
        kind = next(name for name in ("tickets", "users", "organizations") if name in asked.path)
        rows = [TICKET, {**TICKET, "id": 2, "created_at": SECRET}] if kind == "tickets" else []
        return Answer(body={kind: rows, "users": [], "end_of_stream": True, "after_cursor": "x", "end_time": 1})

    return _desk(one, answer)


@case("a page in place of JSON")
def _(one: Spoiled) -> list[str]:
    return _desk(one, lambda _: Answer(200, f"<html>{SECRET}</html>"))


@case("a redirect")
def _(one: Spoiled) -> list[str]:
    return _desk(one, lambda _: Answer(302, "", {"Location": f"http://127.0.0.1:1/?key={SECRET}"}))


@case("a credential that is refused")
def _(one: Spoiled) -> list[str]:
    return _desk(one, lambda asked: Answer(401, {"error": asked.headers["authorization"]}))


@case("an address where nobody answers")
def _(one: Spoiled) -> list[str]:
    one.settings("destinations:", HELP.format("https://127.0.0.1:1", SECRET))
    return PULL


@case("a certificate that nobody vouches for")
def _(one: Spoiled) -> list[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_own_certificate(one.folder / "own.pem"))
    served = one.after.enter_context(Loopback(lambda _: Answer()))
    served.server.socket = context.wrap_socket(served.server.socket, server_side=True)
    one.settings("destinations:", HELP.format(served.url.replace("http:", "https:"), SECRET))
    return PULL


def _own_certificate(path: Path) -> Path:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2040, 1, 1))  # noqa: DTZ001
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@case("a host that DNS does not know")
def _(one: Spoiled) -> list[str]:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    patch = pytest.MonkeyPatch()
    patch.setattr(socket, "getaddrinfo", unknown)
    one.after.callback(patch.undo)
    one.settings("destinations:", HELP.format("https://acme.example", SECRET))
    return PULL


# -- what the page promises of the rest ----------------------------------------------------------------------


class Seen(NamedTuple):
    """What a command said and what there was before and after it."""

    code: int
    said: str
    before: dict[str, Any]
    after: dict[str, Any]
    row: Row


def _nothing_begun(seen: Seen) -> None:
    assert seen.code == 2
    assert seen.after == seen.before


def _others_go_on(seen: Seen) -> None:
    assert seen.code == 1
    assert seen.after["facts"] == {*seen.before["facts"], ("surveys", "b2", "nps.response", "2026-03-05", 8.0)}
    assert seen.after["accounts"] == seen.before["accounts"]


def _row_left_out(seen: Seen) -> None:
    assert seen.code == 0
    added = {fact for fact in seen.after["facts"] if fact not in seen.before["facts"]}
    assert added - {("surveys", "b2", "nps.response", "2026-03-05", 8.0)} <= {
        ("product", "b2", "login", "2026-03-07", 1.0),
        ("help", "7", "ticket.created", "2026-03-01", 1.0),
    }
    assert len(added) == 2
    assert set(seen.before["facts"]) <= set(seen.after["facts"])
    pulled = {name: report for name, report in seen.after["pulls"].items() if report["rejected"]}
    [(source, report)] = pulled.items()
    assert report["rejected"] == 1
    assert f"{source}: " in seen.row.line
    assert f"({report['reasons'][0]})" in seen.row.line


def _account_left_out(seen: Seen) -> None:
    assert seen.code == 1
    assert set(seen.after["accounts"]) - set(seen.before["accounts"]) == {"c3"}


def _is_read(seen: Seen) -> None:
    assert seen.code == 0
    assert set(seen.after["facts"]) > set(seen.before["facts"])
    assert not any(report["rejected"] for report in seen.after["pulls"].values())


def _nothing_taken_in(seen: Seen) -> None:
    assert seen.code == 1
    for kept in ("facts", "accounts", "scores"):
        assert seen.after[kept] == seen.before[kept]
    sources = [[row for row in there["readings"] if row[0] != "customers"] for there in (seen.before, seen.after)]
    assert sources[0] == sources[1]


def _goes_by_the_clock(seen: Seen) -> None:
    assert seen.code == 1
    assert set(seen.after["facts"]) > set(seen.before["facts"])
    assert seen.after["scores"] != seen.before["scores"]


PROMISES: dict[str, Callable[[Seen], None]] = {
    "nothing is begun": _nothing_begun,
    "its facts stay as they were; the other sources are read": _others_go_on,
    "the accounts stay as they were; the sources are read": _others_go_on,
    "this row is left out, counted and told by `status`; the others are read": _row_left_out,
    "this one is left out; the other accounts are read": _account_left_out,
    "it is read like any other": _is_read,
    "nothing is taken in; the next pass reads it again": _nothing_taken_in,
    "a daemon makes no pass; a `run` by hand goes by the clock, and nothing kept is lost": _goes_by_the_clock,
}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one whole pass has been made, and then each source has something new to tell."""
    folder = tmp_path_factory.mktemp("company")
    one = Spoiled(folder, ExitStack())
    one.settings("2026-03-10T06", "2026-03-09T12")
    files = {"card.yaml": CARD, "events.csv": EVENTS, "surveys.csv": SURVEYS, "accounts.csv": ACCOUNTS}
    for name, text in files.items():
        one.write(name, text)
    code, said = _in_process(folder, "run")
    assert code == 0, said
    one.write("surveys.csv", SURVEYS + NEW_SURVEY)
    return folder


@pytest.fixture(scope="module")
def kept(company: Path) -> dict[str, Any]:
    return _kept(company)


def _in_process(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code of a command and all that it said, run in this process."""
    with chdir(folder), StringIO() as said, redirect_stdout(said), redirect_stderr(said):
        return exit_code(*words), said.getvalue()


def _another_user() -> None:
    """Take from root the right to read what its mode forbids; nobody else has it."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP, which the next program begins with


def _full_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


ELSEWHERE = {"as another user": _another_user, "on a full disk": _full_disk}


def _command(folder: Path, words: list[str]) -> tuple[int, str]:
    if words[0] not in ELSEWHERE:
        return _in_process(folder, *words)
    command = [str(Path(sys.executable).parent / "bellwether"), *words[1:]]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, preexec_fn=ELSEWHERE[words[0]]
    )
    return done.returncode, done.stdout + done.stderr


def _kept(folder: Path) -> dict[str, Any]:
    """The facts, accounts, deliveries and readings there are, the newest pull of each source, and the scores file."""
    log = Log(folder / "bellwether-data" / "log", timezone=ZoneInfo("UTC"), clock=SteppedClock(datetime.now(UTC)))
    query = "select source, account_key, name, day::varchar, value from events"
    with log.connect(spill=folder) as connection:
        facts = set(connection.execute(query).fetchall())
    found: dict[str, Any] = {"facts": facts, "scores": (folder / "scores.csv").read_bytes()}
    with closing(sqlite3.connect(folder / "bellwether-data" / "state.db")) as state:
        runs = state.execute("select kind, report from runs where kind like 'pull:%' order by id").fetchall()
        found["pulls"] = {kind.removeprefix("pull:"): json.loads(report) for kind, report in runs}
        found["accounts"] = [id for (id,) in state.execute("select id from accounts order by id")]
        for name in ("deliveries", "readings", "keys", "totals"):
            found[name] = state.execute(f"select * from {name}").fetchall()
    return found


def _files(folder: Path) -> dict[str, Any]:
    """Every file with its content, but for those that a database makes when it is looked at."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".db-wal", ".db-shm"))
    return {str(path): path.read_bytes() for path in found}


def _as_on_the_page(said: str, folder: Path) -> list[str]:
    """What was said, with the folder, the port and the waiting time that the page writes."""
    said = re.sub(r"(2026-03-\d\d) \d\d:\d\d", r"\1 06:00", said)  # the clock runs on meanwhile
    shown = said.replace(str(folder), "/srv/bellwether").replace(f"over {PATIENCE} s", "over 30 s")
    return [line.rstrip() for line in re.sub(r"127\.0\.0\.1:\d{4,}", "127.0.0.1:8787", shown).splitlines()]


ROWS = _rows()
PATIENCE = 0.05  # seconds that a held database is waited for here


def test_the_page_and_the_cases_are_the_same() -> None:
    assert [row.wrong for row in ROWS] == list(CASES)
    assert {row.rest for row in ROWS} == set(PROMISES)


@pytest.mark.parametrize("row", ROWS, ids=[row.wrong for row in ROWS])
def test_bad_input_gets_the_line_of_the_page(
    row: Row, company: Path, kept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", PATIENCE)
    folder = tmp_path / "company"
    shutil.copytree(company, folder)
    looked = _files if row.rest == "nothing is begun" else _kept
    with ExitStack() as after:
        one = Spoiled(folder, after)
        one.settings("", "")
        words = CASES[row.wrong](one)
        before = _files(folder) if looked is _files else kept
        code, said = _command(folder, words)
    seen = Seen(code, said, before, looked(folder), row)

    assert row.line in _as_on_the_page(said, folder), said
    assert "Traceback" not in said
    assert SECRET not in said
    assert SECRET.encode() not in one.state().read_bytes()
    PROMISES[row.rest](seen)


def test_a_file_that_grew_and_one_that_was_half_written_are_read_whole_with_the_next_pass(
    company: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "company"
    shutil.copytree(company, folder)
    one = Spoiled(folder, ExitStack())
    one.settings("", "")
    one.write("events.csv", EVENTS + NEW_EVENT[:9])
    assert "1 rows could not be read" in _command(folder, PULL)[1]
    one.write("events.csv", EVENTS + NEW_EVENT)
    assert "rows could not be read" not in _command(folder, PULL)[1]
    assert ("product", "b2", "login", "2026-03-07", 1.0) in _kept(folder)["facts"]


def test_status_tells_how_many_rows_were_refused_and_why(company: Path, tmp_path: Path) -> None:
    folder = tmp_path / "company"
    shutil.copytree(company, folder)
    one = Spoiled(folder, ExitStack())
    one.settings("", "")
    one.write("events.csv", EVENTS + "a1,login,2026-03-10,NaN,\n" * 3)
    _command(folder, PULL)
    code, said = _command(folder, ["status", "--json"])
    [product] = [row for row in json.loads(said)["sources"] if row["source"] == "product"]
    assert (code, product["refused"]) == (0, 3)
    assert product["why"] == "; ".join(f"events.csv:{line}: its value is not a number" for line in (5, 6, 7))


def test_a_daemon_waits_when_the_clock_was_set_back_until_a_run_by_hand_goes_by_it(
    company: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "company"
    shutil.copytree(company, folder)
    one = Spoiled(folder, ExitStack())
    one.settings("2026-03-10T06", "2026-03-05T06")
    before = _kept(folder)
    with opened(load(folder / "bellwether.yaml")) as worker:
        with pytest.raises(StateError, match=r"^clock: it is 2026-03-05 .* or have the daemon go by it with one"):
            run_once(worker, due_only=True)
        assert _kept(folder) == before
        assert run_once(worker).problems
        assert not run_once(worker, due_only=True).problems

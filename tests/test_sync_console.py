"""What reaches a terminal: words from outside, without what could move, hide or colour anything there."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from connectors.base import Account, Event, Key, Outcome, Page
from connectors.clock import SteppedClock
from connectors.scorefile import _guarded, _unguarded
from sync import commands, explained, status
from sync.console import clean, complain, log_as_json, log_in_words, put_json, say, table
from sync.run import run_once
from sync.show import show_report
from tests.fakes import FakeCrm, FakeSource, a_worker

NOW = datetime(2026, 3, 10, 6, tzinfo=UTC)
ODD = "\x1b[2J\x1b]0;owned\x07 A\u202elder\u2066\r\x9b31m\u200b\ud800\x7f\U000e0041\u2028"


def _unseen(text: str) -> set[str]:
    """The characters of a text that no terminal should be sent."""
    return {one for one in text if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")}


def _heard(speak: object, *args: object) -> str:
    with StringIO() as said, redirect_stdout(said), redirect_stderr(said):
        speak(*args)  # type: ignore[operator]
        return said.getvalue()


texts = st.text(alphabet=st.characters(), max_size=30) | st.sampled_from([ODD])


@examples(max_examples=60)
@given(texts)
def test_nothing_that_prints_sends_what_cannot_be_seen(text: str) -> None:
    said = [_heard(say, text), _heard(complain, text), _heard(table, text, (text,), [[text, 1.0], [None, text]])]
    document = _heard(put_json, {text: [text]})
    assert not _unseen("".join(said) + document)
    assert json.loads(document) == {text: [text]}


@examples(max_examples=30)
@given(texts)
def test_no_log_line_sends_what_cannot_be_seen(text: str) -> None:
    try:
        for begin in (log_in_words, log_as_json):
            begin()
            logger = structlog.get_logger("test")
            said = _heard(lambda logger=logger: logger.error("told", place=text, first=[text], key=text))
            assert said.count("\n") == 1
            assert not _unseen(said)
    finally:
        structlog.reset_defaults()


def test_a_fault_nobody_foresaw_is_logged_without_what_cannot_be_seen() -> None:
    def fail() -> None:
        try:
            float(ODD)
        except ValueError:
            structlog.get_logger("test").exception("failed")

    try:
        log_in_words()
        said = _heard(fail)
    finally:
        structlog.reset_defaults()
    assert "ValueError" in said
    assert not _unseen(said)


@pytest.fixture
def home() -> FakeCrm:
    account = Account("a1", f"Name {ODD}", owner=ODD, attributes={"seats": ODD}, since=NOW - timedelta(days=90))
    crm = FakeCrm("home", [account])
    crm.refuse["a1"] = Outcome("a1", False, None, f"CODE{ODD}", f"a vendor's words {ODD}", "row")
    return crm


def test_no_command_sends_what_cannot_be_seen(home: FakeCrm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, owners, labels, keys and vendors' words as they may come."""
    label = ODD.replace("\ud800", "")[:20]
    event = Event("product", "1/x", "a1", None, "login", NOW - timedelta(days=2), 1.0, label)
    keys = [Key("product", f"k{ODD}", ODD, (ODD,), {"external_id": ODD})]
    product = FakeSource("product", [Page(events=[event], keys=keys, through=NOW)], names=("login",))
    with a_worker(tmp_path, home=home, sources=[product], clock=SteppedClock(NOW)) as worker:
        for module in (commands, explained, status):
            monkeypatch.setattr(module, "at_work", _context(worker))
        monkeypatch.setattr(commands, "_rehearsing", _context(worker))
        report = run_once(worker)
        said = [_heard(show_report, report), _heard(put_json, report.as_dict())]
        path = tmp_path / "bellwether.yaml"
        for as_json in (False, True):
            said.append(_heard(partial(status.status, path, as_json=as_json)))
            said.append(_heard(partial(explained.explain, path, "a1", score="health", as_json=as_json)))
            said.append(_heard(partial(commands.check, path, as_json=as_json)))
            scores = partial(commands.scores, path, score="health", on_day=None, account=None, as_json=as_json)
            said += [_heard(partial(scores, sql=False)), _heard(partial(scores, sql=True))]
    assert any("Name" in text for text in said)
    assert any("vendor's words" in text for text in said)
    assert not _unseen("".join(said))


def _context(worker: object) -> object:
    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[object]:
        yield worker

    return opened


@given(st.text(max_size=12) | st.sampled_from(["=1+1", "'=1", "''=1", "-3.5", "+1", "-", "@a", "\tx", "'", "--1"]))
def test_a_cell_that_a_spreadsheet_would_work_out_is_guarded_and_comes_back(text: str) -> None:
    cell = _guarded(text)
    assert _unguarded(cell) == text
    with StringIO() as file:
        csv.writer(file, lineterminator="").writerow([cell])
        written = file.getvalue().lstrip('"')
    plain = cell == text and text[:1] in ("-", "+")
    assert plain or not written.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert not plain or float(text) is not None


def test_every_invisible_character_becomes_a_space() -> None:
    assert clean("a\u202eb\x1bc\ud800d\u2029e") == "a b c d e"
    assert clean("Café ☃ 日本") == "Café ☃ 日本"

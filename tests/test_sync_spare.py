"""State that goes away in the middle of a pass: that is said in a line, and the next begins one that lacks nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import delete, insert

from connectors.base import Account, Author, Event, Page
from connectors.clock import SteppedClock
from sync import spare
from sync.erased import META
from sync.errors import StateError
from sync.rows import Judgement
from sync.run import run_once
from sync.tables import JUDGEMENTS
from sync.tables import META as METAS
from sync.worker import Worker
from tests.fakes import FakeCrm, FakeSource, a_worker

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
BORN = datetime(2025, 1, 1, tzinfo=UTC)
TODAY = START.date()
NOTE = Judgement(0, "note", "busy", "Ann", "on leave", TODAY, TODAY + timedelta(days=20), None, None, None, True, START)
OVERRIDE = replace(NOTE, kind="override", account="idle", tier="green", silence=False, reason="they renewed")
PULSE = replace(NOTE, kind="pulse", name="csm.pulse", value=7.0, until=None, silence=False)
FACTS = [
    Event("product", f"busy/{day}", "busy", None, "login", START - timedelta(days=day), 1.0) for day in range(1, 11)
]


def _crm() -> FakeCrm:
    crm = FakeCrm(
        "crm", [Account(id, id.title(), since=BORN, attributes={"seats": 5.0}) for id in ("busy", "idle", "odd")]
    )
    crm.set_by = {"odd": Author("person", "Eve", START + timedelta(minutes=30))}
    return crm


@contextmanager
def _at_work(folder: Path, crm: FakeCrm, url: str | None, clock: SteppedClock, *, then: Any = None) -> Iterator[Worker]:
    """`then`: what happens while the source is read."""
    source = FakeSource("product", [Page(events=FACTS, through=START.replace(hour=0))], names=("login",))
    source.pull = _with(source.pull, then) if then else source.pull  # type: ignore[method-assign]
    folder.mkdir(exist_ok=True)
    with a_worker(folder, home=crm, sources=[source], clock=clock, state_url=url) as worker:
        for name in ("spool", "spill"):
            (worker.settings.data / name).mkdir(exist_ok=True)
        yield worker


def _with(does: Callable[..., Any], first: Callable[[], None]) -> Callable[..., Any]:
    def both(*given: Any, **named: Any) -> Any:
        first()
        return does(*given, **named)

    return both


def _gone(folder: Path, url: str | None, *, data: bool) -> Callable[[], None]:
    """The data folder goes, or the database alone."""

    def happens() -> None:
        if data:
            shutil.rmtree(folder / "bellwether-data")
        elif url is None:
            (folder / "bellwether-data" / "state.db").unlink()
        else:
            _emptied(url)

    return happens


def _emptied(url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("set lock_timeout = '10s'")
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")


SAYS = {
    ("sqlite", "state"): r"state \(sqlite:.*\): its file was taken away during this work; run again",
    ("sqlite", "folder"): r"state \(sqlite:.*\): its file was taken away during this work; run again",
    ("postgresql", "state"): r"state \(postgresql.*\): .*; its tables were taken away during this work: run again",
    ("postgresql", "folder"): r"the data folder \S+ was taken away during this work; put a copy back",
}


def _judged(worker: Worker) -> list[tuple[Any, ...]]:
    return [
        (row.id, row.kind, row.account, row.author, row.reason, row.day, row.until, row.tier, row.withdrawn_by)
        for row in worker.state.judgements.all()
    ]


CASES = [("sqlite", "state", "read"), ("sqlite", "folder", "written")]
CASES += [("postgresql", "state", "written"), ("postgresql", "folder", "read")]


@pytest.mark.parametrize(("kept", "what", "moment"), CASES)
def test_what_goes_away_is_said_in_a_line_and_the_next_pass_begins_it_anew_and_lacks_nothing(
    tmp_path: Path, kept: str, what: str, moment: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_state") if kept == "postgresql" else None
    crm, clock, gone = _crm(), SteppedClock(START), _gone(tmp_path, url, data=what == "folder")
    with _at_work(tmp_path, crm, url, clock) as worker:
        assert run_once(worker).problems == []
        for judgement in (NOTE, OVERRIDE, PULSE):
            worker.state.judgements.add(judgement)
        spare.keep(worker)
        judged = _judged(worker)
    crm.present["odd"]["tier"] = "yellow"  # Eve's word
    clock.advance_to(START + timedelta(hours=1))
    with _at_work(tmp_path, crm, url, clock, then=gone if moment == "read" else None) as worker:
        if moment == "written":
            crm.write = _with(crm.write, gone)  # type: ignore[method-assign]
        said = _said(worker)
    assert "Traceback" not in said
    assert re.search(SAYS[kept, what], said)
    crm.write = FakeCrm.write.__get__(crm)  # type: ignore[method-assign]
    new = f"sqlite:///{tmp_path}/bellwether-data/state.db"  # made anew where it is gone
    with _at_work(tmp_path, crm, url or new, clock) as worker:
        assert run_once(worker).problems == []
        mine = [row for row in _judged(worker) if row[3] != "Eve"]
        assert mine == ([] if (kept, what) == ("sqlite", "folder") else judged)
        assert [row[1:4] for row in _judged(worker) if row not in mine] == [("override", "odd", "Eve")]
        assert crm.present["odd"]["tier"] == "yellow"
        assert crm.present["idle"]["tier"] == ("green" if mine else "red")
        assert {row.status for row in worker.state.deliveries.of("crm").values()} == {"confirmed"}
        assert worker.log.counted({"product": ["busy"]}) == {("product", "busy"): len(FACTS)}


def _said(worker: Worker) -> str:
    """What a pass says that cannot be made to its end."""
    try:
        return "\n".join(map(str, run_once(worker).problems))
    except StateError as error:
        return str(error)


@pytest.fixture(params=["sqlite", "postgresql"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    """One that knows its accounts."""
    url = request.getfixturevalue("postgres_state") if request.param == "postgresql" else None
    crm = _crm()
    with _at_work(tmp_path, crm, url, SteppedClock(START)) as worker:
        worker.state.accounts.save(crm.records.values(), now=START)
        yield worker


def test_a_state_put_back_from_an_older_copy_learns_what_was_said_and_erased_since(worker: Worker) -> None:
    state = worker.state
    for judgement in (NOTE, OVERRIDE):
        state.judgements.add(judgement)
    then = state.judgements.all()
    state.judgements.add(PULSE)
    state.judgements.withdraw(1, "Ben", now=START, day=TODAY)
    state.set_meta(META, {"hash of an account": ["hash of a key"]})
    spare.keep(worker)
    now, erased = _judged(worker), state.meta(META)
    with state.write() as connection:  # the copy
        connection.execute(delete(JUDGEMENTS))
        connection.execute(delete(METAS))
        connection.execute(insert(JUDGEMENTS), [asdict(row) for row in then])
    spare.recall(worker)
    assert (_judged(worker), state.meta(META)) == (now, erased)
    assert [row.kind for row in state.judgements.unlogged_pulses(9)] == ["pulse"]
    assert state.judgements.add(NOTE) == 4


def test_what_state_has_changed_on_purpose_does_not_come_back_from_the_spare(worker: Worker) -> None:
    worker.state.judgements.add(NOTE)
    spare.keep(worker)
    with worker.state.write() as connection:
        connection.execute(delete(JUDGEMENTS))
    spare.recall(worker)
    assert _judged(worker) == []
    spare.keep(worker)
    assert b"on leave" not in (worker.settings.data / spare.FILE).read_bytes()
    assert list((worker.settings.data / "spool").iterdir()) == []
    assert (worker.settings.data / spare.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"judgements": [{}], "erased": {}}'])
def test_a_spare_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    with _at_work(tmp_path, _crm(), None, SteppedClock(START)) as worker:
        (worker.settings.data / spare.FILE).write_bytes(content)
        with pytest.raises(StateError, match=r"spare\.json cannot be read; put a copy of it back, or move it away"):
            run_once(worker)


def test_a_log_that_is_lost_alone_is_told_again(tmp_path: Path) -> None:
    crm, clock = _crm(), SteppedClock(START)
    for _ in range(2):
        with _at_work(tmp_path, crm, None, clock) as worker:
            assert run_once(worker).problems == []
            assert worker.log.counted({"product": ["busy"]}) == {("product", "busy"): len(FACTS)}
            shutil.rmtree(worker.log.path)

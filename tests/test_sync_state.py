"""The worker's state, the same on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Table, create_engine, inspect, text
from sqlalchemy.exc import StatementError
from sqlmodel import SQLModel

import sync
from connectors.base import Account, Key
from sync import migrate, tables
from sync.errors import StateError, UsageError
from sync.rows import AccountRow, Delivery, Judgement, Reading, Run, ScorecardRow, Standing, Total
from sync.state import State

NOW = datetime(2026, 6, 1, 12, 30, 15, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def _total(account: str, **values: Any) -> Total:
    total = Total(account, 79.0, "green", date(2026, 5, 1), 1.0, NOW, ("logins-", "nps+"), "v1", "Call them.")
    return replace(total, **values)


# -- opening ---------------------------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_declared_tables(state: State, url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (tables.ACCOUNTS, AccountRow),
        (tables.READINGS, Reading),
        (tables.RUNS, Run),
        (tables.TOTALS, Total),
        (tables.DELIVERIES, Delivery),
        (tables.JUDGEMENTS, Judgement),
        (tables.SCORECARDS, ScorecardRow),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_rows_and_tables_have_the_same_columns(table: Table, row: type[Any]) -> None:
    assert [column.name for column in table.columns] == [field.name for field in fields(row)]


def test_what_was_saved_is_there_after_opening_again(url: str) -> None:
    first = State(url)
    first.set_meta("salt", {"fingerprint": "ab", "n": [1, None]})
    first.close()
    second = State(url)
    assert second.meta("salt") == {"fingerprint": "ab", "n": [1, None]}
    assert second.meta("never set") is None
    second.close()


def test_the_steps_to_the_newest_form_are_only_looked_at_where_one_is_lacking(
    state: State, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(*_: object, **__: object) -> None:
        raise StateError("looked at")

    monkeypatch.setattr(migrate, "upgrade", looked)
    State(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '0001'"))
    engine.dispose()
    with pytest.raises(StateError, match="looked at"):
        State(url)


def test_many_processes_may_open_a_new_database_at_once(new_url: str) -> None:
    opened: list[State] = []
    threads = [threading.Thread(target=lambda: opened.append(State(new_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for state in opened:
        state.close()


def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    State(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StateError, match=r"written by a newer Bellwether \(revision 9999\); upgrade"):
        State(url)


def test_the_file_is_only_ours_to_read(tmp_path: Path) -> None:
    state = State(f"sqlite:///{tmp_path}/deep/state.db")
    state.set_meta("a", 1)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep").iterdir()}
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    state.close()


def test_a_missing_database_is_named_and_not_created_for_readers(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"there is no .*state\.db; `bellwether run` creates it"):
        State(f"sqlite:///{tmp_path}/state.db", create=False)
    assert not (tmp_path / "state.db").exists()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"something else, long enough to look at" * 100)
    with pytest.raises(StateError, match=r"state\.db\): file is not a database; restore it from a copy"):
        State(f"sqlite:///{tmp_path}/state.db")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot open .*file/state\.db"):
        State(f"sqlite:///{tmp_path}/file/state.db")


def test_a_locked_database_says_who_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.database.LOCK_SECONDS", 0)
    state = State(f"sqlite:///{tmp_path}/state.db")
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(StateError, match="database is locked; another process has held it"):
        state.set_meta("a", 1)
    assert state.meta("a") is None  # readers are not locked out
    other.close()
    state.close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root:hunter2@db/x",
        "nonsense hunter2",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://bellwether:hunter2@127.0.0.1:1/none",
        "postgresql+psycopg://bellwether:hunter2@127.0.0.1:1/none?password=hunter2",
    ],
)
def test_a_database_that_cannot_be_reached_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(StateError, match=r"^state") as caught:
        State(url)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_never_shows(postgres_state: str) -> None:
    state = State(postgres_state.replace("bellwether@", "bellwether:hunter2@"))
    assert "hunter2" not in repr(state)
    assert "bellwether" in repr(state)
    state.close()


def test_moments_come_back_aware_and_naive_ones_are_refused(state: State) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    state.readings.save("zendesk", cursor=None, since=elsewhere, through=None, names=[])
    reading = state.readings.of("zendesk")
    assert reading is not None
    assert reading.since == NOW
    assert reading.since.tzinfo is UTC
    with pytest.raises(StatementError, match="without a timezone"):
        state.readings.save("zendesk", cursor=None, since=NOW.replace(tzinfo=None), through=None, names=[])


# -- accounts, keys, readings ----------------------------------------------------------------------------------


def test_an_account_keeps_the_day_it_was_first_seen(state: State) -> None:
    account = Account("001", "One", ("one.test",), {"external_id": "cust-0001"}, "Ann", NOW)
    state.accounts.save([account], now=NOW)
    state.accounts.save([replace(account, name="Won", owner=None)], now=LATER)
    (row,) = state.accounts.members()
    assert row == AccountRow("001", "Won", None, ("one.test",), {"external_id": "cust-0001"}, NOW, NOW, LATER, None)


def test_an_account_that_stops_matching_leaves_and_may_come_back(state: State) -> None:
    accounts = [Account(f"00{n}", "x") for n in range(3)]
    state.accounts.save(accounts, now=NOW)
    assert state.accounts.close_missing({"001"}, now=LATER) == ["000", "002"]
    assert state.accounts.close_missing({"001"}, now=LATER) == []
    assert [row.id for row in state.accounts.members()] == ["001"]
    assert [row.left_at for row in state.accounts.all()] == [LATER, None, LATER]
    state.accounts.save(accounts[:1], now=LATER)
    assert [row.id for row in state.accounts.members()] == ["000", "001"]


def test_an_account_that_leaves_has_no_answer_any_more(state: State) -> None:
    state.accounts.save([Account("001", "One"), Account("002", "Two")], now=NOW)
    state.totals.save([_total("001"), _total("002"), _total("002", score_name="expansion")])
    state.accounts.close_missing({"001"}, now=LATER)
    assert (list(state.totals.all()), state.totals.all("expansion")) == (["001"], {})


def test_keys_are_kept_by_source(state: State) -> None:
    zendesk = Key("zendesk", "1", "One", ("one.test", "uno.test"), {"external_id": "cust-0001"})
    state.keys.save([zendesk, Key("mixpanel", "9", None)], now=NOW)
    state.keys.save([zendesk._replace(name="Won")], now=LATER)
    assert state.keys.all("zendesk") == [zendesk._replace(name="Won")]
    assert [key.source for key in state.keys.all(None)] == ["mixpanel", "zendesk"]


def test_a_name_no_database_can_hold_loses_only_the_odd_characters(state: State) -> None:
    odd = Key("zendesk", "1", "N\0a\ud800me ☃", ("one.test",), {"external_id": "a\0b"})
    state.keys.save([odd, Key("zendesk", "2", "fine")], now=NOW)
    assert [key.name for key in state.keys.all("zendesk")] == ["Name ☃", "fine"]


def test_the_same_key_twice_in_one_batch_is_saved_once(state: State) -> None:
    state.keys.save([Key("zendesk", "1", "first"), Key("zendesk", "1", "second")], now=NOW)
    assert [key.name for key in state.keys.all("zendesk")] == ["second"]


def test_a_reading_is_what_was_saved_last(state: State) -> None:
    assert state.readings.of("zendesk") is None
    state.readings.save("zendesk", cursor={"after": "x"}, since=NOW, through=None, names=["b", "a"])
    state.readings.save("zendesk", cursor={"after": "y"}, since=NOW, through=LATER, names=["b", "a", "c"])
    saved = Reading("zendesk", {"after": "y"}, NOW, LATER, frozenset("abc"))
    assert state.readings.of("zendesk") == saved
    assert state.readings.all() == [saved]


# -- runs ------------------------------------------------------------------------------------------------------


def test_each_run_is_one_of_its_own_and_running_until_it_is_finished(state: State) -> None:
    run, other = state.runs.start("pass", NOW), state.runs.start("pass", NOW)
    state.runs.finish(run, "done", {"written": 3}, LATER)
    assert [(row.id, row.status, row.finished_at) for row in state.runs.last(5)] == [
        (other, "running", None),
        (run, "done", LATER),
    ]


def test_what_was_found_is_kept_as_a_run_that_is_over(state: State) -> None:
    for moment in (NOW - timedelta(seconds=1), NOW, LATER):
        state.runs.note("edits", {"at": f"{moment}"}, moment)
    state.runs.start("pass", LATER)
    assert [row.report for row in state.runs.since(NOW, kind="edits")] == [{"at": f"{LATER}"}, {"at": f"{NOW}"}]
    assert state.runs.last_finished("edits") == state.runs.since(LATER, kind="edits")[0]


def test_the_newest_runs_come_first_and_failed_ones_do_not_count_as_finished(state: State) -> None:
    for hour, status in enumerate(["done", "partial", "failed"]):
        moment = NOW + timedelta(hours=hour)
        run = state.runs.start("pass", moment)
        state.runs.finish(run, status, {"n": hour}, moment)  # type: ignore[arg-type]
    assert [run.report["n"] for run in state.runs.last(2)] == [2, 1]
    assert state.runs.last(2, kind="other") == []
    finished = state.runs.last_finished("pass")
    assert finished is not None
    assert (finished.report, finished.status) == ({"n": 1}, "partial")
    assert state.runs.last_finished("other") is None


# -- totals and deliveries -------------------------------------------------------------------------------------


def test_totals_are_replaced_by_account(state: State) -> None:
    state.totals.save([_total("001"), _total("002", score=None, tier="unscored", tier_since=None)])
    state.totals.save([_total("001", score=12.5, tier="red", causes=())])
    assert state.totals.all() == {
        "001": _total("001", score=12.5, tier="red", causes=()),
        "002": _total("002", score=None, tier="unscored", tier_since=None),
    }


def test_each_of_the_scores_has_an_answer_of_its_own(state: State) -> None:
    other = _total("001", score=40.0, tier="yellow", digest="8", score_name="expansion")
    state.totals.save([_total("001"), other, _total("002")])
    state.totals.save([replace(other, score=41.0)])
    assert state.totals.all() == {"001": _total("001"), "002": _total("002")}
    assert state.totals.all("expansion") == {"001": replace(other, score=41.0)}
    assert (state.totals.decisions("expansion")["001"].score, state.totals.decisions()["001"].score) == (41.0, 79.0)
    state.erase(["001"], [], {}, lambda report: report)
    assert (list(state.totals.all()), state.totals.all("expansion")) == (["002"], {})


def test_the_answers_of_before_there_were_several_scores_are_those_of_health(url: str) -> None:
    state = State(url)
    state.totals.save([_total("001"), _total("002"), _total("001", score_name="expansion")])
    state.close()
    config, engine = Config(), create_engine(url)
    config.set_main_option("script_location", str(Path(sync.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        columns = {column["name"] for column in inspect(connection).get_columns("totals")}
        assert columns == {column.name for column in tables.TOTALS.columns} - {"score_name"}
    engine.dispose()
    state = State(url)
    assert state.totals.all() == {"001": _total("001"), "002": _total("002")}
    assert state.totals.all("expansion") == {}
    state.totals.save([_total("001", score_name="expansion")])
    assert list(state.totals.all()) == ["001", "002"]
    state.close()


def test_deliveries_are_kept_by_destination_and_record(state: State) -> None:
    wanted = {"score": 79.0, "reason": "Café ☃", "scored_at": "2026-06-01T12:30:00Z", "change": None}
    first = Delivery("hubspot", "17", "001", wanted, {}, "abc")
    failed = replace(
        first, status="failed", attempts=2, code="500", message="broken", remedy="again", next_try_at=LATER
    )
    state.deliveries.save([first, Delivery("salesforce", "17", "001")])
    state.deliveries.save([failed])
    assert state.deliveries.of("hubspot") == {"17": failed}
    assert state.deliveries.of("salesforce") == {"17": Delivery("salesforce", "17", "001")}
    assert state.deliveries.of("other") == {}


@pytest.mark.parametrize("odd", ["half \ud800 a pair", 2**70, {"7": [1.5, None, "Café ☃"]}])
def test_any_document_comes_back_as_it_was(state: State, odd: object) -> None:
    state.set_meta("odd", odd)
    assert state.meta("odd") == odd


def test_what_every_pass_looks_at_is_part_of_what_is_kept(state: State) -> None:
    state.totals.save([replace(_total("001"), digest="17", deciding="green"), _total("002")])
    assert [(account, row.digest, row.deciding, row.score) for account, row in state.totals.decisions().items()] == [
        ("001", "17", "green", _total("001").score),
        ("002", "", "", _total("002").score),
    ]
    told = {"expansion_score": 7.0}
    kept = [Delivery("crm", f"r{n}", f"a{n}", status="confirmed", score=float(n), further=told) for n in range(1200)]
    state.deliveries.save([*kept, Delivery("other", "r1", "a1")])
    assert state.deliveries.standings("crm")["r3"] == Standing("r3", "a3", "confirmed", "", 3.0, None, None, told)
    assert len(state.deliveries.standings("crm")) == 1200
    assert state.deliveries.of("crm", [row.record_id for row in kept[:700]]) == {
        row.record_id: row for row in kept[:700]
    }
    assert state.deliveries.of("crm", ["r1200"]) == {}


def test_a_generator_that_fails_half_way_saves_nothing(state: State) -> None:
    def half() -> Iterator[Total]:
        yield from (_total(str(n)) for n in range(10_001))
        raise RuntimeError("the rest never came")

    with pytest.raises(RuntimeError):
        state.totals.save(half())
    assert state.totals.all() == {}


# -- judgements and scorecards ---------------------------------------------------------------------------------

DAY = date(2026, 6, 1)


def _judged(state: State, account: str = "001", **values: Any) -> Judgement:
    """A judgement as it is kept: an override unless `values` say otherwise."""
    new = Judgement(0, "override", account, "Ann", "They renew ☃", DAY, DAY, "green", None, None, False, NOW)
    new = replace(new, **values)
    id = state.judgements.add(new)
    assert id is not None
    return replace(new, id=id)


def _pulse(state: State, value: float) -> Judgement:
    return _judged(state, kind="pulse", until=None, tier=None, name="csm.pulse", value=value)


def test_judgements_come_back_as_they_were_made_in_order(state: State) -> None:
    state.accounts.save([Account("001", "One"), Account("002", "Two")], now=NOW)
    first, second = _judged(state, "002"), _judged(state, "001", kind="note", tier=None, silence=True)
    pulse = _pulse(state, 7.5)
    assert state.judgements.all() == [first, second, pulse]
    assert first.id < second.id < pulse.id
    assert state.judgements.all("001") == [second, pulse]
    assert state.judgements.all(kinds=["override", "note"]) == [first, second]
    assert (state.judgements.one(pulse.id), state.judgements.one(99)) == (pulse, None)
    assert state.judgements.pulse_names() == {"csm.pulse"}


def test_no_judgement_is_kept_about_an_account_that_is_no_member(state: State) -> None:
    state.accounts.save([Account("001", "One")], now=NOW)
    made = _judged(state)
    state.accounts.close_missing(set(), now=LATER)
    assert state.judgements.add(made) is None
    assert state.judgements.add(replace(made, account="never there")) is None
    assert state.judgements.all() == [made]


def test_a_judgement_is_withdrawn_once_and_its_row_stays(state: State) -> None:
    state.accounts.save([Account("001", "One")], now=NOW)
    made, before = _judged(state), state.judgements.latest()
    assert state.judgements.withdraw(made.id, "Ben", now=LATER, day=DAY)
    assert not state.judgements.withdraw(made.id, "Cid", now=LATER, day=DAY)
    assert not state.judgements.withdraw(99, "Cid", now=LATER, day=DAY)
    assert state.judgements.all() == [replace(made, withdrawn_at=LATER, withdrawn_on=DAY, withdrawn_by="Ben")]
    assert before == (made.id, None)
    assert state.judgements.latest() == (made.id, LATER)


def test_a_pulse_is_told_to_the_log_until_the_log_says_what_it_says(state: State) -> None:
    state.accounts.save([Account("001", "One")], now=NOW)
    _judged(state)
    one, two, three = (_pulse(state, value) for value in (1, 2, 3))
    assert state.judgements.unlogged_pulses(2) == [one, two]
    told = state.judgements.unlogged_pulses(10)
    assert told == [one, two, three]
    state.judgements.withdraw(two.id, "Ben", now=LATER, day=DAY)  # while the others are on their way
    state.judgements.mark_logged(told)
    (left,) = state.judgements.unlogged_pulses(10)
    assert (left.id, left.withdrawn_by) == (two.id, "Ben")
    state.judgements.mark_logged([left])
    assert state.judgements.unlogged_pulses(10) == []


def test_what_is_over_can_be_left_out_and_members_whose_pulse_is_old_are_counted(state: State) -> None:
    state.accounts.save([Account(f"00{n}", "x") for n in range(5)], now=NOW)
    today, old = _judged(state, "001"), _judged(state, "001", until=DAY - timedelta(days=1))
    assert state.judgements.all(lasting=DAY) == [today]
    assert state.judgements.all(lasting=DAY - timedelta(days=1)) == [today, old]
    for account, age in (("001", 35), ("002", 36), ("003", 90), ("003", 2), ("004", 36), ("000", 36)):
        made = _judged(state, account, kind="pulse", until=None, name="x", value=1.0, day=DAY - timedelta(days=age))
    state.judgements.withdraw(made.id, "Ben", now=NOW, day=DAY)
    state.accounts.close_missing({"000", "001", "002", "003"}, now=LATER)
    assert state.judgements.old_pulses(DAY - timedelta(days=35)) == 1


def test_an_erased_account_takes_its_judgements_along_and_their_numbers_are_not_given_again(state: State) -> None:
    state.accounts.save([Account("001", "One"), Account("002", "Alder")], now=NOW)
    _judged(state, "001", reason="a small shop")
    beside = _judged(state, "001", reason="like Alder, they wait")
    gone = _judged(state, "002")
    state.erase(["002"], [], {}, lambda told: {k: v for k, v in told.items() if "Alder" not in str(v)})
    assert [row.reason for row in state.judgements.all()] == ["a small shop", "(it named a customer who was erased)"]
    assert state.judgements.one(beside.id) is not None
    assert _judged(state, "001").id > gone.id


def test_a_scorecard_keeps_the_moment_of_its_first_use(state: State) -> None:
    content = {"name": "saas", "tiers": {"green": 70, "yellow": 40}, "measures": {"b": {}, "a": {}}}
    state.scorecards.save("bb12", "saas", content, NOW)
    state.scorecards.save("aa34", "smb", {}, LATER)
    state.scorecards.save("bb12", "saas", content, LATER)
    assert state.scorecards.all() == [
        ScorecardRow("bb12", "saas", content, NOW, LATER),
        ScorecardRow("aa34", "smb", {}, LATER, LATER),
    ]
    assert list(state.scorecards.all()[0].content["measures"]) == ["b", "a"]  # a curve is told in rising order


def test_a_scorecard_is_found_by_the_beginning_of_its_version(state: State) -> None:
    for version in ("ab", "ab12", "ab34", "c%d"):
        state.scorecards.save(version, "saas", {}, NOW)
    found = {
        begin: row and row.version for begin in ("ab", "ab1", "c", "c%", "%") for row in [state.scorecards.find(begin)]
    }
    assert found == {"ab": "ab", "ab1": "ab12", "c": "c%d", "c%": "c%d", "%": None}
    with pytest.raises(UsageError, match="3 scorecards have a version that begins so; write one in full: ab, ab12"):
        state.scorecards.find("a")


# -- the lease -------------------------------------------------------------------------------------------------


def test_a_held_lease_is_not_given_to_another(state: State) -> None:
    epoch = state.lease.take("a", now=NOW, seconds=60)
    assert epoch == 1
    assert state.lease.take("b", now=NOW + timedelta(seconds=59), seconds=60) is None
    assert state.lease.take("b", now=NOW + timedelta(seconds=60), seconds=60) == 2


def test_a_lost_lease_can_be_neither_renewed_nor_released(state: State) -> None:
    assert state.lease.take("a", now=NOW, seconds=60) == 1
    assert state.lease.take("a", now=LATER, seconds=60) == 2  # the same name, another life
    assert not state.lease.renew("a", 1, now=LATER, seconds=60)
    assert not state.lease.release("a", 1)
    assert not state.lease.release("b", 2)
    assert state.lease.take("b", now=LATER, seconds=60) is None


def test_a_renewed_lease_lasts_longer_and_a_released_one_is_free(state: State) -> None:
    assert state.lease.take("a", now=NOW, seconds=60) == 1
    assert state.lease.renew("a", 1, now=NOW + timedelta(seconds=50), seconds=60)
    assert state.lease.take("b", now=NOW + timedelta(seconds=100), seconds=60) is None
    assert state.lease.release("a", 1)
    assert not state.lease.release("a", 1)
    assert state.lease.take("b", now=NOW, seconds=60) == 2


def test_of_many_workers_one_gets_the_lease(url: str) -> None:
    states = [State(url) for _ in range(6)]
    ready = threading.Barrier(len(states))
    taken: list[int | None] = []

    def take(n: int) -> None:
        ready.wait()
        taken.append(states[n].lease.take(f"worker-{n}", now=NOW, seconds=60))

    threads = [threading.Thread(target=take, args=(n,)) for n in range(len(states))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken, key=str) == [1, None, None, None, None, None]
    for state in states:
        state.close()


def test_threads_that_begin_runs_at_the_same_moment_get_different_ones(state: State) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(state.runs.start("pass", NOW))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8

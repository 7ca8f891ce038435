"""Bulk jobs that outlive the process that began them: its successor waits for them, or drops them, before it writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.base import Write
from connectors.clock import SteppedClock
from connectors.errors import AgainNow
from connectors.salesforce import Salesforce, Settings, bulk
from connectors.salesforce.transport import Line
from connectors.sandbox.server import Sandbox
from sync.state import State
from sync.worker import Notes
from tests.loopback import Answer, Loopback
from tests.postgres import migrated
from tests.salesforce_stub import Org, salesforce
from tests.served import tools

JOBS = "destinations.salesforce.jobs"


class Killed(BaseException):
    """What no handler of ours catches, as none runs when a process is killed."""


@pytest.fixture
def clock():
    return SteppedClock(datetime(2026, 11, 20, tzinfo=UTC))


@pytest.fixture
def sandbox(clock):
    with Sandbox(accounts=8, clock=clock, vendors=("salesforce",)) as served:
        yield served


@pytest.fixture
def notes():
    return {}


@pytest.fixture
def begun(sandbox, clock, notes, tmp_path):
    """Makes a connector over the same notes, as every new process does."""
    made = []

    def begin():
        given = {"base_url": sandbox.urls["salesforce"], "client_id": "sandbox", "client_secret": "sandbox-salesforce"}
        given |= {"bulk_above": 2, "fields": {"score": "Seats__c", "tier": "Plan__c"}}
        settings = Settings.model_validate(given)
        made.append(Salesforce("salesforce", settings, replace(tools(tmp_path, clock), notes=notes)))
        return made[-1]

    yield begin
    for crm in made:
        crm.close()


def killed_in(monkeypatch, what):
    def kill(*_, **__):
        raise Killed

    monkeypatch.setattr(f"connectors.salesforce.{what}", kill)


def writes(sandbox, number, score):
    return [Write(record, {"score": score}) for record in list(sandbox.crm["salesforce"].live())[:number]]


def test_a_closed_job_is_waited_for_before_anything_is_read_or_written(sandbox, clock, begun, notes, monkeypatch):
    org = sandbox.crm["salesforce"]
    old = writes(sandbox, 5, 10.0)
    with monkeypatch.context() as dying:
        killed_in(dying, "bulk.pause")  # closed, and the first wait
        with pytest.raises(Killed):
            list(begun().write(old))
    assert len(notes[JOBS]) == 1
    assert org.rows_written == 0

    after = begun()
    assert {fields["score"] for fields in after.read([write.id for write in old]).values()} == {10.0}
    outcomes = list(after.write(writes(sandbox, 2, 20.0)))
    assert all(one.ok for one in outcomes)
    assert notes[JOBS] == []
    clock.advance_to(clock.now() + timedelta(hours=2))
    held = after.read([write.id for write in old])
    assert [held[write.id]["score"] for write in old] == [20.0, 20.0, 10.0, 10.0, 10.0]


@pytest.mark.parametrize("where", ["client.Client.upload", "bulk._wait"])
def test_a_job_that_was_never_closed_is_dropped_by_the_next_to_write(sandbox, begun, notes, monkeypatch, where):
    with monkeypatch.context() as dying:
        killed_in(dying, where)
        with pytest.raises(Killed):
            list(begun().write(writes(sandbox, 5, 10.0)))
    [job] = notes[JOBS]

    after = begun()
    after.read([write.id for write in writes(sandbox, 5, 0.0)])
    assert notes[JOBS] == [job]  # whoever reads may not be the one that is to write
    assert all(one.ok for one in after.write(writes(sandbox, 1, 20.0)))
    assert notes[JOBS] == []
    assert after._client.document(job, label="read")["state"] == "Aborted"
    assert sandbox.crm["salesforce"].rows_written == 1


@pytest.mark.parametrize("asked_for", ["UploadComplete", "Aborted"])
def test_a_job_whose_change_of_state_was_never_answered_for_is_asked_again_without_harm(
    sandbox, begun, notes, monkeypatch, asked_for
):
    with monkeypatch.context() as dying:
        killed_in(dying, "bulk._wait")
        with pytest.raises(Killed):
            list(begun().write(writes(sandbox, 5, 10.0)))
    lost = losing_the_answer(monkeypatch, {"state": asked_for})
    assert [one.confirmed for one in begun().write(writes(sandbox, 5, 20.0))] == [{"score": 20.0}] * 5
    assert lost == [asked_for]
    assert notes[JOBS] == []


def losing_the_answer(monkeypatch, body):
    """The first call with this body is carried out and not answered for."""
    restful, lost = Line.restful, list[str]()

    def call(line, session, path, method, **options):
        answer = restful(line, session, path, method, **options)
        if options.get("json") == body and not lost:
            lost.append(body["state"])
            raise AgainNow("the answer is lost", unanswered=True)
        return answer

    monkeypatch.setattr(Line, "restful", call)
    return lost


def test_a_job_that_ends_leaves_no_note(sandbox, begun, notes):
    assert all(one.ok for one in begun().write(writes(sandbox, 5, 10.0)))
    assert notes[JOBS] == []


def test_a_job_of_another_org_or_time_is_forgotten(sandbox, begun, notes):
    notes[JOBS] = ["jobs/ingest/750000000000999AAA"]
    assert all(one.ok for one in begun().write(writes(sandbox, 1, 20.0)))
    assert notes[JOBS] == []


def test_nothing_is_written_while_an_old_job_does_not_end(tmp_path):
    org, notes = Org(), {JOBS: ["jobs/ingest/750000000000001AAA"]}
    org.script["GET jobs/ingest/750000000000001AAA"] = lambda asked: Answer(body={"state": "InProgress"})
    with Loopback(org) as served:
        org.url = served.url
        crm = salesforce(served, tmp_path, handed=replace(tools(tmp_path), notes=notes))
        for attempt in (lambda: crm.read(["001000000000001AAA"]), lambda: list(crm.write([Write("001", {})]))):
            with pytest.raises(AgainNow, match="did not end within an hour"):
                attempt()
        assert notes == {JOBS: ["jobs/ingest/750000000000001AAA"]}
        assert {one.method for one in served.asked if "oauth" not in one.path} == {"GET"}
        crm.close()


def test_an_abort_that_did_not_arrive_leaves_its_note(sandbox, begun, notes, monkeypatch):
    crm = begun()
    monkeypatch.setattr(bulk, "PATIENCE", -1.0)
    monkeypatch.setattr(crm._client, "parting", _unreachable)
    list(crm.write(writes(sandbox, 3, 10.0)))
    assert len(notes[JOBS]) == 1


def _unreachable(*_, **__):
    raise AgainNow("nobody answers")


def test_notes_are_kept_in_state(tmp_path):
    url = migrated(tmp_path / "state.db")
    state = State(url)
    notes = Notes(state)
    assert notes.get("a.jobs") is None
    notes["a.jobs"] = ["one"]
    state.close()
    again = State(url)
    assert Notes(again).get("a.jobs") == ["one"]
    again.close()


def test_ids_of_either_length_are_read_written_and_told_as_they_were_given(sandbox, begun):
    first, second, third, *_ = [write.id for write in writes(sandbox, 3, 0.0)]
    crm, asked = begun(), [first[:15], first, second, third[:15], second]
    assert set(crm.read(asked)) == set(asked)
    few = [Write(first[:15], {"score": 1.0}), Write(second, {"score": 2.0})]
    many = [Write(first[:15], {"score": 3.0}), Write(second, {"score": 4.0}), Write(third[:15], {"score": 5.0})]
    for wanted in (few, many):
        assert {one.id: one.ok for one in crm.write(wanted)} == {write.id: True for write in wanted}
    assert {id: fields["score"] for id, fields in crm.read([first, second, third]).items()} == {
        first: 3.0,
        second: 4.0,
        third: 5.0,
    }

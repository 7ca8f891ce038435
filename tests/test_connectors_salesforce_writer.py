from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import FieldValue, Write
from connectors.errors import SettingsWrong, Stopped, WaitUntil
from connectors.salesforce.bulk import Table
from tests.loopback import Answer, in_turn
from tests.salesforce_stub import DAILY, described, fixtures, salesforce
from tests.served import tools


def sf_id(number):
    return f"001{number:012d}AAA"


def ok(id):
    return {"id": id, "success": True, "errors": []}


def bad(code, message="secret value 82.4", fields=()):
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": list(fields)}]}


org, served, crm = fixtures()


def patches(served):
    return [one for one in served.asked if one.method == "PATCH"]


def test_nothing_to_write_makes_no_call(crm, served):
    assert list(crm.write([])) == []
    assert crm.read([]) is not None
    assert [one.path for one in served.asked if one.method in ("PATCH", "POST") and "oauth" not in one.path] == []


def test_no_write_signs_in_for_nothing(crm, served):
    list(crm.write([]))
    assert served.asked == []


def test_sends_canonical_values_and_confirms_them(crm, served):
    fields: dict[str, FieldValue] = {
        "score": 82.449,
        "tier": "yellow",
        "reason": "  Weekly\nusers fell ",
        "tier_since": date(2026, 11, 1),
        "scored_at": datetime(2026, 11, 20, 3, 0, 1, 5, tzinfo=UTC),
        "next_action": None,
    }
    (outcome,) = crm.write([Write(sf_id(1), fields)])
    body = patches(served)[0].json
    assert body == {
        "allOrNone": False,
        "records": [
            {
                "attributes": {"type": "Account"},
                "id": sf_id(1),
                "Health_Score__c": 82.4,
                "Health_Tier__c": "yellow",
                "Health_Reason__c": "Weekly users fell",
                "Health_Tier_Since__c": "2026-11-01",
                "Health_Scored_At__c": "2026-11-20T03:00:01Z",
                "Health_Next_Action__c": None,
            }
        ],
    }
    assert patches(served)[0].headers["sforce-auto-assign"] == "false"
    assert outcome.ok
    assert outcome.confirmed == {
        "score": 82.4,
        "tier": "yellow",
        "reason": "Weekly users fell",
        "tier_since": "2026-11-01",
        "scored_at": "2026-11-20T03:00:01Z",
        "next_action": None,
    }


def test_fields_left_out_of_the_settings_are_not_written(org, served, tmp_path):
    org.fields = described(tier={"picklistValues": [{"value": tier} for tier in ("green", "amber", "red")]})
    crm = salesforce(served, tmp_path, fields={"score": "Points__c", "coverage": None}, tier_values={"yellow": "amber"})
    list(crm.write([Write(sf_id(1), {"score": 1.0, "coverage": 90.0, "tier": "yellow"})]))
    (record,) = patches(served)[0].json["records"]
    assert set(record) == {"attributes", "id", "Points__c", "Health_Tier__c"}
    assert record["Health_Tier__c"] == "amber"
    (outcome,) = crm.write([Write(sf_id(1), {"coverage": 90.0})])
    assert (outcome.ok, outcome.confirmed) == (True, {})
    assert len(patches(served)) == 1
    assert crm.canonical("coverage", 90.0) is None
    crm.close()


def test_two_hundred_records_a_call(crm, served):
    outcomes = list(crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(401)]))
    assert [len(one.json["records"]) for one in patches(served)] == [200, 200, 1]
    assert len({outcome.id for outcome in outcomes}) == 401
    assert crm.cost(401) == 1 + len(patches(served))  # one call reads them back


def test_a_200_that_holds_failures_is_read_by_position(org, crm):
    answer = Answer(body=[ok(sf_id(0)), bad("INVALID_CROSS_REFERENCE_KEY"), bad("FIELD_CUSTOM_VALIDATION_EXCEPTION")])
    org.script["PATCH composite/sobjects"] = in_turn(answer)
    first, second, third = crm.write([Write(sf_id(n), {"score": 82.4}) for n in range(3)])
    assert (first.id, first.ok) == (sf_id(0), True)
    assert (second.id, second.ok, second.remedy, second.confirmed) == (sf_id(1), False, "gone", None)
    assert (third.id, third.code, third.remedy) == (sf_id(2), "FIELD_CUSTOM_VALIDATION_EXCEPTION", "row")
    assert "82.4" not in second.message + third.message


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ENTITY_IS_DELETED", "gone"),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "settings"),
        ("INVALID_FIELD_FOR_INSERT_UPDATE", "settings"),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "row"),
        ("INSUFFICIENT_ACCESS_OR_READONLY", "row"),
        ("UNKNOWN_EXCEPTION", "again"),
        ("NEVER_HEARD_OF", "row"),
    ],
)
def test_every_code_has_a_remedy(org, crm, code, remedy):
    org.script["PATCH composite/sobjects"] = in_turn(Answer(body=[bad(code, fields=["Health_Tier__c"])]))
    (outcome,) = crm.write([Write(sf_id(0), {"score": 82.4})])
    assert (outcome.code, outcome.remedy) == (code, remedy)
    assert outcome.message.endswith("(Health_Tier__c)")


def test_rows_without_a_result_are_for_later(org, crm):
    org.script["PATCH composite/sobjects"] = in_turn(Answer(body=[ok(sf_id(0))]))
    outcomes = list(crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    assert [(outcome.ok, outcome.remedy) for outcome in outcomes] == [(True, None), (False, "again"), (False, "again")]


def test_results_in_another_order_confirm_no_row_that_is_not_theirs(org, crm):
    told = [ok(sf_id(1)), ok(sf_id(0)), bad("DUPLICATES_DETECTED"), ok(sf_id(3)[:15])]
    org.script["PATCH composite/sobjects"] = in_turn(Answer(body=told))
    outcomes = {one.id: one for one in crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(4)])}
    assert {id: (one.ok, one.code) for id, one in outcomes.items()} == {
        sf_id(0): (False, "NO_RESULT"),
        sf_id(1): (False, "NO_RESULT"),
        sf_id(2): (False, "NO_RESULT"),  # whose failure that is, nobody can tell
        sf_id(3): (True, ""),
    }


@pytest.mark.parametrize(
    "told",
    [
        [bad("DUPLICATES_DETECTED")],  # of two
        [ok(sf_id(0)) | {"errors": bad("DUPLICATES_DETECTED")["errors"]}, {"id": sf_id(1)}],
    ],
)
def test_a_result_that_cannot_be_placed_or_contradicts_itself_is_none(org, crm, told):
    org.script["PATCH composite/sobjects"] = in_turn(Answer(body=told))
    outcomes = list(crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(2)]))
    assert [(one.code, one.remedy) for one in outcomes] == [("NO_RESULT", "again")] * 2


def test_a_failure_that_tells_its_record_is_that_record_s(org, crm):
    told = [bad("DUPLICATES_DETECTED") | {"id": sf_id(0)[:15]}]
    org.script["PATCH composite/sobjects"] = in_turn(Answer(body=told))
    outcomes = list(crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(2)]))
    assert [one.code for one in outcomes] == ["DUPLICATES_DETECTED", "NO_RESULT"]


def test_a_record_at_which_salesforce_fails_is_the_only_one_not_written(org, crm):
    def answer(asked):
        ids = [one["id"] for one in asked.json["records"]]
        if sf_id(7) in ids:
            return Answer(500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "an unexpected error occurred"}])
        return Answer(body=[ok(id) for id in ids])

    org.script["PATCH composite/sobjects"] = answer
    outcomes = {one.id: one for one in crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(250)])}
    assert (len(outcomes), [id for id, one in outcomes.items() if not one.ok]) == (250, [sf_id(7)])
    assert outcomes[sf_id(7)][3:] == ("NO_RESULT", "Salesforce answered 500 UNKNOWN_EXCEPTION", "again")


def test_locked_rows_are_tried_once_more_in_small_batches(org, crm, served):
    def answer(asked):
        records = asked.json["records"]
        locked = len(records) > 20
        return Answer(body=[bad("UNABLE_TO_LOCK_ROW") if locked else ok(one["id"]) for one in records])

    org.script["PATCH composite/sobjects"] = answer
    outcomes = list(crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(50)]))
    assert sum(outcome.ok for outcome in outcomes) == len(outcomes) == 50
    assert [len(one.json["records"]) for one in patches(served)] == [50, 20, 20, 10]


def test_rows_locked_twice_are_for_later(org, crm, served):
    org.script["PATCH composite/sobjects"] = in_turn(Answer(body=[bad("UNABLE_TO_LOCK_ROW")]))
    (outcome,) = crm.write([Write(sf_id(0), {"score": 1.0})])
    assert (outcome.remedy, outcome.code) == ("again", "UNABLE_TO_LOCK_ROW")
    assert len(patches(served)) == 2


def test_a_call_refused_for_one_row_is_halved_until_it_is_alone(org, crm):
    def answer(asked):
        records = asked.json["records"]
        if any(one["id"] == sf_id(5) for one in records):
            return Answer(400, [{"errorCode": "JSON_PARSER_ERROR", "message": "x"}])
        return Answer(body=[ok(one["id"]) for one in records])

    org.script["PATCH composite/sobjects"] = answer
    outcomes = list(crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(16)]))
    assert [outcome.id for outcome in outcomes if not outcome.ok] == [sf_id(5)]
    assert len(outcomes) == 16


def test_a_hidden_field_stops_the_writing_and_is_named(org, crm, served):
    refused = [{"errorCode": "INVALID_FIELD", "message": "No such column 'Health_Score__c' on sobject of type Account"}]
    org.script["PATCH composite/sobjects"] = in_turn(Answer(400, refused))
    with pytest.raises(SettingsWrong, match=r"Health_Score__c is missing, or hidden .* by field-level security"):
        list(crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(500)]))
    assert len(patches(served)) == 1


def test_what_was_confirmed_before_the_daily_limit_is_kept(org, crm):
    first = Answer(body=[ok(sf_id(n)) for n in range(200)])
    org.script["PATCH composite/sobjects"] = in_turn(first, DAILY)
    outcomes = []
    with pytest.raises(WaitUntil):
        outcomes.extend(crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(300)]))
    assert len(outcomes) == 200


def test_a_number_that_is_not_finite_spoils_only_its_own_row(crm):
    outcomes = {one.id: one for one in crm.write([Write("a", {"score": float("inf")}), Write("b", {"score": 1.0})])}
    assert (outcomes["a"].ok, outcomes["a"].remedy, outcomes["b"].ok) == (False, "row", True)


def test_reads_present_values_in_canonical_form(org, crm, served):
    record = {
        "attributes": {},
        "Id": sf_id(1),
        "Health_Score__c": 82.0,
        "Health_Scored_At__c": "2026-11-20T03:00:00.000+0000",
    }
    org.script["POST composite/sobjects/Account"] = in_turn(Answer(body=[record, None]))
    found = crm.read([sf_id(1), sf_id(2)])
    assert set(found) == {sf_id(1)}
    assert found[sf_id(1)]["score"] == 82.0
    assert found[sf_id(1)]["scored_at"] == "2026-11-20T03:00:00Z"
    assert found[sf_id(1)]["reason"] is None
    asked = served.asked[-1].json
    assert asked["ids"] == [sf_id(1), sf_id(2)]
    assert "Health_Score__c" in asked["fields"]


def test_reads_fields_that_the_settings_spell_in_other_letters(org, served, tmp_path):
    """Salesforce takes a name in any letters, and answers in its own."""
    crm = salesforce(served, tmp_path, fields={"tier": "health_tier__c"})
    org.script["POST composite/sobjects/Account"] = in_turn(Answer(body=[{"Id": sf_id(1), "Health_Tier__c": "red"}]))
    assert crm.read([sf_id(1)])[sf_id(1)]["tier"] == "red"
    crm.close()


def test_a_record_asked_for_by_both_forms_of_its_id_is_read_once_and_told_for_both(org, crm, served):
    org.script["POST composite/sobjects/Account"] = in_turn(Answer(body=[{"Id": sf_id(1), "Health_Score__c": 7}]))
    found = crm.read([sf_id(1)[:15], sf_id(1)])
    assert (found[sf_id(1)[:15]]["score"], found[sf_id(1)]["score"]) == (7.0, 7.0)
    assert len(served.asked[-1].json["ids"]) == 1


def test_reads_two_thousand_a_call_and_only_fields_it_can_see(org, crm, served):
    org.fields = described(version=None)
    org.script["POST composite/sobjects/Account"] = lambda asked: Answer(body=[None] * len(asked.json["ids"]))
    crm.read([sf_id(n) for n in range(2001)])
    calls = [one.json for one in served.asked if one.path.endswith("composite/sobjects/Account")]
    assert [len(call["ids"]) for call in calls] == [2000, 1]
    assert "Health_Scorecard__c" not in calls[0]["fields"]


class Job:
    """A Bulk 2.0 ingest job: `judge` says per row OK, an error text, or None for not processed."""

    def __init__(self, org, judge, *, looks=2, state="JobComplete", error=""):
        self.judge, self.looks, self.end, self.state, self.rows = judge, looks, state, "Open", []
        self.error = error
        id = "7500000000000001AA"
        self.patched = []
        org.script |= {
            "POST jobs/ingest": self.open,
            f"PUT jobs/ingest/{id}/batches": self.upload,
            f"PATCH jobs/ingest/{id}": self.patch,
            f"GET jobs/ingest/{id}": self.look,
            f"GET jobs/ingest/{id}/successfulResults": lambda asked: self.results("OK"),
            f"GET jobs/ingest/{id}/failedResults": lambda asked: self.results("failed"),
            f"GET jobs/ingest/{id}/unprocessedrecords": lambda asked: self.results(None),
        }

    def open(self, asked):
        self.state = "Open"
        body = {"id": "7500000000000001AA", "state": "Open", "contentUrl": "https://evil.test/x"}
        return Answer(body=body)

    def upload(self, asked):
        self.text = asked.body.decode()
        self.rows = list(csv.DictReader(io.StringIO(self.text, newline="")))
        return Answer(201, b"")

    def patch(self, asked):
        self.state = asked.json["state"]
        self.patched.append(self.state)
        return Answer(body={"state": self.state})

    def look(self, asked):
        if self.state == "UploadComplete":
            self.looks -= 1
            self.state = self.end if self.looks <= 0 else self.state
        return Answer(body={"state": self.state, "errorMessage": self.error})

    def results(self, kind):
        out = io.StringIO(newline="")
        lead = {"OK": ["sf__Id", "sf__Created"], "failed": ["sf__Id", "sf__Error"], None: []}[kind]
        columns = list(self.rows[0]) if self.rows else ["Id"]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*lead, *(name.upper() for name in columns)])
        for row in reversed(self.rows):
            said = self.judge(row["Id"])
            if (said if said in ("OK", None) else "failed") == kind:
                first = {"OK": [row["Id"], "false"], "failed": ["", said], None: []}[kind]
                writer.writerow([*first, *row.values()])
        return Answer(body=out.getvalue(), headers={"Content-Type": "text/csv"})


@pytest.fixture
def bulk(served, tmp_path):
    made = salesforce(served, tmp_path, bulk_above=2)
    yield made
    made.close()


def test_many_go_as_one_bulk_job_and_every_row_is_accounted_for(org, bulk, served):
    said = {
        sf_id(0): "OK",
        sf_id(1): "FIELD_CUSTOM_VALIDATION_EXCEPTION:secret words, 82.4:Health_Score__c --",
        sf_id(2): None,
        sf_id(3): "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--",
    }
    job = Job(org, said.get)
    writes = [Write(sf_id(n), {"score": 82.4, "reason": 'a "b", c'}) for n in range(4)]
    outcomes = {one.id: one for one in bulk.write(writes)}
    assert len(outcomes) == 4
    assert (outcomes[sf_id(0)].ok, outcomes[sf_id(0)].confirmed) == (True, {"score": 82.4, "reason": 'a "b", c'})
    assert (outcomes[sf_id(1)].remedy, outcomes[sf_id(1)].code) == ("row", "FIELD_CUSTOM_VALIDATION_EXCEPTION")
    assert outcomes[sf_id(1)].message.endswith("(Health_Score__c)")
    assert (outcomes[sf_id(2)].remedy, outcomes[sf_id(2)].code) == ("again", "UNPROCESSED")
    assert outcomes[sf_id(3)].remedy == "gone"
    assert job.patched == ["UploadComplete"]
    assert patches(served)[0].path.endswith("7500000000000001AA")
    calls = [(one.method, one.path) for one in served.asked if "/jobs/ingest" in one.path]
    assert 1 + len(calls) < bulk.cost(4)


@pytest.mark.parametrize("rows", [4, 10_001])
def test_a_job_costs_no_more_than_was_said_though_it_never_ends(org, served, bulk, rows):
    Job(org, lambda id: None, looks=10**9)
    before = len(served.asked)
    list(bulk.write([Write(sf_id(n), {"score": 82.4}) for n in range(rows)]))
    made = [one for one in served.asked[before:] if "/jobs/ingest" in one.path]
    assert bulk.cost(rows) == -(-rows // 2000) + len(made)


def test_a_blank_clears_and_a_field_not_set_is_left_alone(org, bulk):
    job = Job(org, lambda id: "OK")
    list(bulk.write([Write("a", {"score": None}), Write("b", {"reason": "x"}), Write("c", {"score": 0.0})]))
    assert job.text == "Id,Health_Reason__c,Health_Score__c\na,,#N/A\nb,x,\nc,,0.0\n"


def test_rows_that_no_list_names_are_for_later(org, bulk, monkeypatch):
    job = Job(org, lambda id: "neither")
    monkeypatch.setattr(job, "results", lambda kind: Answer(body=""))
    outcomes = list(bulk.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    assert [(one.code, one.remedy) for one in outcomes] == [("NO_RESULT", "again")] * 3


def test_a_failed_job_still_tells_of_the_rows_it_did(org, bulk):
    Job(org, lambda id: "OK" if id == sf_id(0) else None, state="Failed")
    outcomes = list(bulk.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    assert [one.ok for one in outcomes] == [True, False, False]


@pytest.mark.parametrize("before", ["", "null:InvalidBatch : "])
def test_a_job_given_up_for_a_field_it_cannot_see_is_a_matter_of_the_settings(org, bulk, before):
    Job(org, lambda id: None, state="Failed", error=f"{before}InvalidBatch : Field name not found : Health_Score__c")
    outcomes = list(bulk.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    assert [(one.code, one.remedy) for one in outcomes] == [("INVALID_FIELD", "settings")] * 3
    assert outcomes[0].message == "a field is missing, or hidden by field-level security (Health_Score__c)"


def test_rows_locked_in_bulk_are_tried_once_more_one_after_another(org, bulk, served):
    Job(org, lambda id: "UNABLE_TO_LOCK_ROW:busy:--" if id == sf_id(1) else "OK")
    outcomes = list(bulk.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    assert all(one.ok for one in outcomes)
    again = [one.json["records"] for one in patches(served) if one.path.endswith("composite/sobjects")]
    assert [[record["id"] for record in records] for records in again] == [[sf_id(1)]]


def test_a_job_that_never_ends_is_given_up_and_dropped(org, bulk):
    job = Job(org, lambda id: None, looks=10**6)
    outcomes = list(bulk.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    assert {one.remedy for one in outcomes} == {"again"}
    assert job.patched == ["UploadComplete", "Aborted"]


def test_a_job_is_dropped_when_the_worker_is_asked_to_stop(org, served, tmp_path):
    handed = tools(tmp_path)
    crm = salesforce(served, tmp_path, bulk_above=2, handed=handed)
    job = Job(org, lambda id: "OK", looks=10**6)
    look = job.look

    def stopping(asked):
        if job.state == "UploadComplete":
            handed.stop.set()
        return look(asked)

    org.script["GET jobs/ingest/7500000000000001AA"] = stopping
    with pytest.raises(Stopped):
        list(crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    assert job.patched == ["UploadComplete", "Aborted"]
    crm.close()


def test_an_upload_without_an_answer_is_made_again_in_another_job(org, bulk):
    job = Job(org, lambda id: "OK")
    org.script["PUT jobs/ingest/7500000000000001AA/batches"] = lambda asked: (
        Answer(hang_up=True) if not job.patched else job.upload(asked)
    )
    outcomes = list(bulk.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    assert len(outcomes) == 3
    assert job.patched == ["Aborted", "UploadComplete"]


def test_a_job_is_cut_where_its_data_would_be_too_much_and_no_sooner(org, bulk, monkeypatch):
    uploads, job = [], Job(org, lambda id: "OK")

    def upload(asked):
        uploads.append(asked.body)
        return job.upload(asked)

    org.script["PUT jobs/ingest/7500000000000001AA/batches"] = upload
    writes = [Write(sf_id(n), {"score": 1.0, "reason": "é" * 100}) for n in range(6)]
    whole = len("Id,Health_Reason__c,Health_Score__c\n") + 6 * len(f"{sf_id(0)},{'é' * 100},1.0\n".encode())
    for largest, jobs in ((whole, 1), (whole - 1, 2), (1, 6)):
        monkeypatch.setattr("connectors.salesforce.bulk.LARGEST", largest)
        uploads.clear()
        assert {one.id for one in bulk.write(writes) if one.ok} == {write.id for write in writes}
        assert len(uploads) == jobs
        assert all(len(data) <= largest for data in uploads) or jobs == 6


def test_rows_that_take_no_call_open_no_job(served, tmp_path):
    crm = salesforce(served, tmp_path, bulk_above=2, fields={"coverage": None})
    outcomes = list(crm.write([Write(sf_id(n), {"coverage": 1.0}) for n in range(4)]))
    assert [one.ok for one in outcomes] == [True] * 4
    assert not [path for path in served.paths() if "jobs" in path]
    crm.close()


def test_a_number_that_is_not_finite_spoils_only_its_own_row_of_a_job(org, bulk):
    job = Job(org, lambda id: "OK")
    scores = [1.0, float("nan"), 2.0, 3.0]
    outcomes = {
        one.id: one for one in bulk.write([Write(sf_id(n), {"score": score}) for n, score in enumerate(scores)])
    }
    assert [outcomes[sf_id(n)].remedy for n in range(4)] == [None, "row", None, None]
    assert [row["Id"] for row in job.rows] == [sf_id(0), sf_id(2), sf_id(3)]


def test_half_a_character_does_not_cost_the_others_their_job(org, bulk):
    job = Job(org, lambda id: "OK")
    assert all(one.ok for one in bulk.write([Write(sf_id(n), {"reason": "half \ud83d"}) for n in range(3)]))
    assert job.rows[0]["Health_Reason__c"] == "half ?"


def test_looks_at_a_job_grow_apart_and_begin_later_for_a_large_one(org, served, tmp_path, monkeypatch):
    monkeypatch.setattr("connectors.salesforce.bulk.CHUNK", 2)
    handed = tools(tmp_path)
    crm = salesforce(served, tmp_path, bulk_above=2, handed=handed)
    job, times = Job(org, lambda id: "OK", looks=12), []

    def look(asked):
        times.append(handed.clock.now())
        return job.look(asked)

    org.script["GET jobs/ingest/7500000000000001AA"] = look
    assert all(one.ok for one in crm.write([Write(sf_id(n), {"score": 1.0}) for n in range(5)]))
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert waits[:3] == [6.0, 9.0, 13.5]
    assert waits == sorted(waits)
    assert waits[-1] == 300
    crm.close()


def test_results_are_read_whatever_their_cells_hold_and_again_when_no_answer_came(org, bulk):
    Job(org, lambda id: "OK")
    failed = f'"sf__Id","sf__Error","Id"\r\n"","CODE:a \u2028 b\n\nc:--","{sf_id(1)}"\r\n"","OTHER:x:--","{sf_id(2)}"'
    org.script |= {
        "GET jobs/ingest/7500000000000001AA/successfulResults": in_turn(
            Answer(hang_up=True), Answer(body=f"sf__Id,sf__Created\n{sf_id(0)},false\n")
        ),
        "GET jobs/ingest/7500000000000001AA/failedResults": in_turn(Answer(body=failed)),
    }
    outcomes = list(bulk.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    assert [(one.id, one.code) for one in outcomes] == [(sf_id(0), ""), (sf_id(1), "CODE"), (sf_id(2), "OTHER")]


TEXTS = st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: " ".join(text.split()))  # as values are
CELLS = st.one_of(st.none(), st.floats(0, 100), TEXTS)


@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), CELLS), max_size=8))
def test_what_a_job_is_sent_reads_as_what_was_to_be_written(rows):
    table = Table("abc")
    assert all(table.add(str(number), row) for number, row in enumerate(rows))
    (head, *lines) = csv.reader(io.StringIO(table.data.decode(), newline=""))
    assert head == ["Id", *"abc"]
    said = [["#N/A" if row.get(name, "") is None else str(row.get(name, "")) for name in "abc"] for row in rows]
    assert lines == [[str(number), *cells] for number, cells in enumerate(said)]


def test_the_address_in_a_job_is_never_used(org, bulk, served):
    Job(org, lambda id: "OK")
    list(bulk.write([Write(sf_id(n), {"score": 1.0}) for n in range(3)]))
    uploads = [one for one in served.asked if one.method == "PUT"]
    assert len(uploads) == 1
    assert uploads[0].headers["authorization"] == "Bearer token-1"
    assert "evil" not in json.dumps(served.paths())

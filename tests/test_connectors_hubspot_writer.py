from __future__ import annotations

import threading
from datetime import UTC, date, datetime

import pytest

from connectors.base import FieldValue, Outcome, Write
from connectors.errors import AgainNow, SettingsWrong, Stopped, WaitUntil
from connectors.hubspot.client import IN_FLIGHT
from tests.hubspot_stub import fixtures, hubspot, invalid, limited
from tests.loopback import Answer, in_turn
from tests.served import tools

portal, served, crm = fixtures()


def writes(number):
    return [Write(str(n), {"score": float(n % 100)}) for n in range(number)]


def result(one):
    return {"id": one["id"], "properties": one["properties"]}


def test_nothing_to_write_makes_no_call(crm, served):
    assert list(crm.write([])) == []
    assert crm.read([]) == {}
    assert served.asked == []


def test_sends_text_and_confirms_what_hubspot_says_it_holds(portal, crm, served):
    fields: dict[str, FieldValue] = {
        "score": 82.449,
        "coverage": 93.0,
        "tier": "yellow",
        "tier_since": date(2026, 11, 1),
        "scored_at": datetime(2026, 11, 20, 3, 0, 1, 5, tzinfo=UTC),
        "reason": None,
    }
    said = {"health_score": "82.4", "health_tier": "yellow", "health_coverage": "93", "health_tier_since": "2026-11-01"}
    said |= {"health_scored_at": "2026-11-20T03:00:01.000Z", "name": "Acme"}
    portal.script["POST batch/update"] = in_turn(Answer(body={"results": [{"id": "7", "properties": said}]}))
    (outcome,) = crm.write([Write("7", fields)])
    (sent,) = served.asked[0].json["inputs"]
    assert sent["properties"] == {
        "health_score": "82.4",
        "health_coverage": "93",
        "health_tier": "yellow",
        "health_tier_since": "2026-11-01",
        "health_scored_at": "2026-11-20T03:00:01Z",
        "health_reason": "",
    }
    assert outcome.confirmed == {
        "score": 82.4,
        "coverage": 93.0,
        "tier": "yellow",
        "tier_since": "2026-11-01",
        "scored_at": "2026-11-20T03:00:01Z",
        "reason": None,
    }


def test_a_value_that_hubspot_holds_otherwise_is_confirmed_as_it_is(portal, crm):
    said = {"id": "1", "properties": {"health_score": "50"}}
    portal.script["POST batch/update"] = in_turn(Answer(body={"results": [said]}))
    (outcome,) = crm.write([Write("1", {"score": 82.4, "coverage": 90.0})])
    assert outcome.confirmed == {"score": 50.0}


def test_a_hundred_companies_a_call_each_with_its_own_trace(crm, served):
    outcomes = list(crm.write(writes(201)))
    assert sorted(len(one.json["inputs"]) for one in served.asked) == [1, 100, 100]
    assert all(
        len({i["objectWriteTraceId"] for i in one.json["inputs"]}) == len(one.json["inputs"]) for one in served.asked
    )
    assert len({outcome.id for outcome in outcomes if outcome.ok}) == 201
    assert crm.cost(201) == 2 * len(served.asked)  # they are read back before they are written


def test_results_are_joined_by_id_in_any_order(portal, crm):
    portal.script["POST batch/update"] = lambda asked: Answer(
        body={"results": [result(one) for one in reversed(asked.json["inputs"])]}
    )
    outcomes = {one.id: one.confirmed for one in crm.write(writes(5))}
    assert outcomes == {str(n): {"score": float(n)} for n in range(5)}


def test_a_207_is_read_row_by_row(portal, crm, served):
    def mixed(asked):
        a, b, c, _ = asked.json["inputs"]
        errors = [
            {**invalid("INVALID_OPTION", "health_tier"), "context": {"objectWriteTraceId": [b["objectWriteTraceId"]]}},
            {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "secret", "context": {"ids": [c["id"]]}},
        ]
        return Answer(207, {"status": "COMPLETE", "results": [result(a)], "numErrors": 2, "errors": errors})

    portal.script["POST batch/update"] = mixed
    first, second, third, fourth = sorted(crm.write(writes(4)))
    assert (first.ok, first.confirmed) == (True, {"score": 0.0})
    assert (second.code, second.remedy, second.confirmed) == ("INVALID_OPTION", "settings", None)
    assert second.message.endswith("(health_tier)")
    assert (third.code, third.remedy) == ("OBJECT_NOT_FOUND", "gone")
    assert (fourth.code, fourth.remedy) == ("NO_RESULT", "again")
    assert "secret" not in second.message + third.message
    assert len(served.asked) == 1


def test_a_207_whose_error_names_no_row_is_asked_again_in_halves(portal, crm, served):
    def answer(asked):
        inputs = asked.json["inputs"]
        good = [result(one) for one in inputs if one["id"] != "5"]
        if len(good) == len(inputs):
            return Answer(body={"results": good})
        return Answer(
            207, {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [invalid("INVALID_OPTION", "x")]}
        )

    portal.script["POST batch/update"] = answer
    outcomes = list(crm.write(writes(16)))
    assert sorted(one.id for one in outcomes) == sorted(str(n) for n in range(16))
    assert [(one.id, one.code) for one in outcomes if not one.ok] == [("5", "INVALID_OPTION")]


def test_a_batch_refused_whole_is_halved_until_the_bad_rows_are_alone(portal, crm):
    bad = {"3", "77"}

    def answer(asked):
        inputs = asked.json["inputs"]
        if bad & {one["id"] for one in inputs}:
            return Answer(400, invalid("INVALID_OPTION", "health_tier"))
        return Answer(body={"results": [result(one) for one in inputs]})

    portal.script["POST batch/update"] = answer
    outcomes = list(crm.write(writes(100)))
    assert len(outcomes) == 100
    assert {one.id for one in outcomes if not one.ok} == bad
    assert {one.remedy for one in outcomes if not one.ok} == {"settings"}
    assert {one.message for one in outcomes if not one.ok} == {"the property lacks a tier value (health_tier)"}


@pytest.mark.parametrize("told", [[], [{"id": "0"}, {"id": "1", "properties": None}]])
def test_a_success_that_did_nothing_is_not_believed(portal, crm, told):
    portal.script["POST batch/update"] = in_turn(Answer(body={"status": "COMPLETE", "results": told}))
    assert [(one.ok, one.remedy) for one in crm.write(writes(2))] == [(False, "again")] * 2


@pytest.mark.parametrize(
    ("error", "code", "remedy"),
    [
        ({"category": "CONFLICT", "message": "secret"}, "CONFLICT", "row"),
        (invalid("REQUIRED_FIELD", "industry"), "REQUIRED_FIELD", "row"),
        (invalid("SOMETHING_NEW", "industry"), "SOMETHING_NEW", "row"),
        ({"category": "OBJECT_NOT_FOUND", "message": "secret"}, "OBJECT_NOT_FOUND", "gone"),
        ({"category": "VALIDATION_ERROR", "message": "[{broken"}, "VALIDATION_ERROR", "row"),
        ({"category": "RATE_LIMITS", "status": "429"}, "RATE_LIMITS", "again"),
        ({"category": "WHO_KNOWS", "status": "503"}, "WHO_KNOWS", "again"),
    ],
)
def test_every_error_has_a_remedy(portal, crm, error, code, remedy):
    body = {"results": [], "errors": [{**error, "context": {"objectWriteTraceId": ["0"]}}]}
    portal.script["POST batch/update"] = in_turn(Answer(207, body))
    (outcome,) = crm.write(writes(1))
    assert (outcome.code, outcome.remedy) == (code, remedy)
    assert "secret" not in outcome.message


def test_a_property_that_does_not_exist_stops_the_writing_and_is_named(portal, crm, served):
    portal.script["POST batch/update"] = in_turn(Answer(400, invalid("PROPERTY_DOESNT_EXIST", "health_score")))
    with pytest.raises(SettingsWrong, match=r"does not exist \(health_score\); run `bellwether provision"):
        list(crm.write(writes(900)))
    assert len(served.asked) <= IN_FLIGHT


class Together:
    """Answers a call only when as many are there as may be in flight; remembers what it answered well."""

    def __init__(self, answer=None, *, action=None):
        self.answer = answer or (lambda asked: Answer(body={"results": [held(one) for one in asked.json["inputs"]]}))
        self.barrier = threading.Barrier(IN_FLIGHT, action=action)
        self.written = set()

    def __call__(self, asked):
        self.barrier.wait(timeout=20)
        answer = self.answer(asked)
        if answer.status == 200:
            self.written |= {one["id"] for one in answer.body["results"]}
        return answer


def held(one):
    return {"id": one["id"], "properties": one.get("properties") or {"health_score": "1"}}


def first(asked):
    return asked.json["inputs"][0]["id"]


def test_a_company_at_which_hubspot_fails_is_the_only_one_not_written(portal, crm, served):
    def answer(asked):
        rows = asked.json["inputs"]
        if any(one["id"] == "142" for one in rows):
            return Answer(500, {"status": "error", "message": "internal error"})
        return Answer(body={"results": [held(one) for one in rows]})

    portal.script["POST batch/update"] = answer
    outcomes = {one.id: one for one in crm.write(writes(300))}
    assert (len(outcomes), [id for id, one in outcomes.items() if not one.ok]) == (300, ["142"])
    assert outcomes["142"][3:] == ("NO_RESULT", "HubSpot answered 500", "again")


def test_several_calls_are_in_flight_at_once_over_as_many_kept_connections(portal, crm, served):
    portal.script |= {"POST batch/update": Together(), "POST batch/read": Together()}
    outcomes = list(crm.write(writes(100 * IN_FLIGHT * 3)))
    assert len({one.id for one in outcomes if one.ok}) == len(outcomes) == 100 * IN_FLIGHT * 3
    assert len(crm.read([one.id for one in outcomes])) == len(outcomes)
    assert len(served.asked) == IN_FLIGHT * 6
    assert len({asked.line for asked in served.asked}) == IN_FLIGHT


def test_a_call_that_fails_costs_none_of_those_in_flight_beside_it(portal, crm):
    def but_one(asked):
        if first(asked) == "100":
            return Answer(401, {"category": "INVALID_AUTHENTICATION"})
        return Answer(body={"results": [held(one) for one in asked.json["inputs"]]})

    portal.script["POST batch/update"] = together = Together(but_one)
    outcomes = []
    with pytest.raises(SettingsWrong):
        outcomes.extend(crm.write(writes(100 * IN_FLIGHT)))
    assert {one.id for one in outcomes if one.ok} == together.written
    assert len(outcomes) == 100 * (IN_FLIGHT - 1)


def test_what_was_answered_while_a_batch_was_halved_is_kept_when_the_allowance_ends(portal, crm):
    def answer(asked):
        if len(asked.json["inputs"]) == 100:
            return Answer(400, invalid("INVALID_OPTION", "health_tier"))
        if first(asked) == "0":
            return Answer(body={"results": [held(one) for one in asked.json["inputs"]]})
        return limited("DAILY")

    portal.script["POST batch/update"] = answer
    outcomes = []
    with pytest.raises(WaitUntil):
        outcomes.extend(crm.write(writes(100)))
    assert sorted(int(one.id) for one in outcomes if one.ok) == list(range(50))


def test_once_asked_to_stop_no_call_is_begun_and_those_in_flight_are_waited_for(portal, served, tmp_path):
    handed = tools(tmp_path)
    crm = hubspot(served, tmp_path, handed=handed)
    portal.script["POST batch/update"] = together = Together(action=handed.stop.set)
    outcomes: list[Outcome] = []
    with pytest.raises(Stopped):
        outcomes.extend(crm.write(writes(100 * IN_FLIGHT * 3)))
    assert {one.id for one in outcomes if one.ok} == together.written
    assert (len(outcomes), len(served.asked)) == (100 * IN_FLIGHT, IN_FLIGHT)
    crm.close()


def test_what_was_confirmed_before_the_daily_limit_is_kept(portal, crm):
    outcomes = []
    limit = limited("DAILY")

    def answer(asked):
        if asked.json["inputs"][0]["id"] == "0":
            return Answer(body={"results": [result(one) for one in asked.json["inputs"]]})
        return limit

    portal.script["POST batch/update"] = answer
    with pytest.raises(WaitUntil):
        outcomes.extend(crm.write(writes(150)))
    assert len(outcomes) == 100


def test_fields_left_out_of_the_settings_are_not_written(served, tmp_path):
    crm = hubspot(served, tmp_path, fields={"coverage": None}, tier_values={"yellow": "amber"})
    list(crm.write([Write("1", {"coverage": 90.0, "tier": "yellow"})]))
    assert served.asked[0].json["inputs"][0]["properties"] == {"health_tier": "amber"}
    (outcome,) = crm.write([Write("1", {"coverage": 90.0})])
    assert (outcome.ok, outcome.confirmed, len(served.asked)) == (True, {}, 1)
    assert crm.canonical("coverage", 90.0) is None
    crm.close()


def test_a_number_that_is_not_finite_spoils_only_its_own_row(crm):
    outcomes = {one.id: one for one in crm.write([Write("a", {"score": float("nan")}), Write("b", {"score": 1.0})])}
    assert (outcomes["a"].ok, outcomes["a"].remedy, outcomes["b"].ok) == (False, "row", True)


def test_reads_a_hundred_a_call_and_leaves_out_what_is_not_there(portal, crm, served):
    def answer(asked):
        ids = [one["id"] for one in asked.json["inputs"]]
        found = [{"id": id, "properties": {"health_score": "82.40", "health_tier": None, "name": "x"}} for id in ids]
        missing = [{"category": "OBJECT_NOT_FOUND", "message": "x", "context": {"ids": ["7"]}}]
        return Answer(207, {"results": [one for one in found if one["id"] != "7"], "numErrors": 1, "errors": missing})

    portal.script["POST batch/read"] = answer
    found = crm.read([str(n) for n in range(101)])
    assert len(found) == 100
    assert found["1"] == {"score": 82.4, "tier": None}
    assert sorted(len(one.json["inputs"]) for one in served.asked) == [1, 100]
    assert "health_scored_at" in served.asked[0].json["properties"]


def test_a_company_of_which_half_an_answer_is_silent_is_asked_for_once_more(portal, crm, served):
    def answer(asked):
        ids = [one["id"] for one in asked.json["inputs"]]
        told = ids[:1] if len(ids) == 4 else [id for id in ids if id != "9"]
        return Answer(body={"results": [{"id": id, "properties": {"health_score": "1"}} for id in told]})

    portal.script["POST batch/read"] = answer
    assert set(crm.read(["1", "2", "3", "9"])) == {"1", "2", "3"}
    assert [len(one.json["inputs"]) for one in served.asked] == [4, 3]


def test_a_company_that_went_into_another_is_not_asked_for_again(portal, crm, served):
    found = [{"id": id, "properties": {"health_score": "1"}} for id in ("1", "99")]
    portal.script["POST batch/read"] = in_turn(Answer(body={"results": found}))
    assert set(crm.read(["1", "2"])) == {"1"}
    assert len(served.asked) == 1


@pytest.mark.parametrize("told", [{"id": "1"}, {"id": "1", "properties": None}])
def test_a_company_without_properties_is_not_taken_for_an_empty_one(portal, crm, told):
    portal.script["POST batch/read"] = in_turn(*[Answer(body={"results": [told]})] * 6)
    with pytest.raises(AgainNow, match="not of the form"):
        crm.read(["1"])


def test_an_id_that_spoils_a_read_does_not_cost_the_others(portal, crm):
    def answer(asked):
        ids = [one["id"] for one in asked.json["inputs"]]
        if "x" in ids:
            return Answer(400, {"category": "VALIDATION_ERROR", "message": "x is not a number"})
        return Answer(body={"results": [{"id": id, "properties": {"health_score": "1"}} for id in ids]})

    portal.script["POST batch/read"] = answer
    assert set(crm.read(["1", "2", "x", "3"])) == {"1", "2", "3"}

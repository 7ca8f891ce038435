from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.errors import SettingsWrong
from tests.hubspot_stub import defined, fixtures, hubspot
from tests.loopback import Answer, in_turn
from tests.served import carry_out, said

portal, served, crm = fixtures()


def test_nothing_is_planned_when_every_property_is_there(crm, portal):
    assert crm.plan() == []
    assert crm.calls == {"read": 1}


def test_a_group_and_the_missing_properties_are_made(crm, portal):
    portal.properties = defined(score=None, tier=None)
    plan = crm.plan()
    assert [change.what for change in plan] == [
        "create the property group Customer health (bellwether)",
        "create the company property health_score (Health score: number)",
        "create the company property health_tier (Health tier: enumeration)",
    ]
    assert portal.made == []
    for change in plan:
        change.apply()
    score, tier = portal.made[1][1], portal.made[2][1]
    assert (score["type"], score["fieldType"], score["groupName"]) == ("number", "number", "bellwether")
    assert "higher is healthier" in score["description"]
    assert (tier["type"], tier["fieldType"]) == ("enumeration", "select")
    assert [(one["label"], one["value"]) for one in tier["options"]] == [
        ("Green", "green"),
        ("Yellow", "yellow"),
        ("Red", "red"),
    ]
    assert crm.plan() == []


def test_kinds_become_types(crm, portal):
    types = {one["name"]: (one["type"], one["fieldType"]) for one in portal.properties if "fieldType" in one}
    assert types["health_tier_since"] == ("date", "date")
    assert types["health_scored_at"] == ("datetime", "date")
    assert types["health_reason"] == ("string", "text")


def test_a_group_that_is_there_is_not_made_again(crm, portal):
    portal.properties = defined(score=None)
    portal.script["GET properties/groups"] = in_turn(Answer(body={"results": [{"name": "bellwether"}]}))
    assert [change.what.split()[2] for change in crm.plan()] == ["company"]


def test_missing_options_are_added_and_none_is_taken_away(served, portal, tmp_path):
    mine = {"label": "My green", "value": "green", "displayOrder": 3, "hidden": True, "readOnly": True}
    portal.properties = defined(tier={"options": [mine]})
    crm = hubspot(served, tmp_path, tier_values={"yellow": "amber"})
    plan = crm.plan()
    assert said(plan) == ["add the options amber, red to health_tier"]
    carry_out(plan)
    path, body = portal.made[0]
    assert path == "properties/health_tier"
    assert [one["value"] for one in body["options"]] == ["green", "amber", "red"]
    assert body["options"][0] == {"label": "My green", "value": "green", "displayOrder": 3, "hidden": True}
    assert crm.plan() == []
    crm.close()


def test_what_is_there_already_is_as_good_as_made(crm, portal):
    portal.properties = defined(score=None)
    plan = crm.plan()
    portal.script["POST properties"] = in_turn(Answer(409, {"category": "OBJECT_ALREADY_EXISTS", "message": "x"}))
    portal.script["POST properties/groups"] = in_turn(Answer(409, {"category": "CONFLICT", "message": "x"}))
    for change in plan:
        change.apply()


def test_a_refused_creation_is_told(crm, portal):
    portal.properties = defined(score=None)
    plan = crm.plan()
    portal.script["POST properties"] = in_turn(Answer(400, {"category": "VALIDATION_ERROR", "message": "secret"}))
    with pytest.raises(SettingsWrong, match="VALIDATION_ERROR") as raised:
        plan[-1].apply()
    assert "secret" not in str(raised.value)


def test_canonical_needs_no_call(crm, served):
    assert crm.canonical("score", "82.45") == 82.5
    assert crm.canonical("tier", "red") == "red"
    assert crm.canonical("scored_at", datetime(2026, 11, 20, 3, tzinfo=UTC)) == "2026-11-20T03:00:00Z"
    assert served.asked == []


def findings(crm, where="lifecyclestage = customer", attributes=None):
    return list(crm.check(where=where, attributes=attributes or {}))


def test_a_healthy_account_has_nothing_to_complain_of(crm, served):
    found = findings(crm, attributes={"seats": "seats"})
    assert all(one.ok for one in found), found
    assert found[-1] == ("accounts.where", True, "3 companies meet it", "")
    assert len(found) == 3 + 9 + 1 + 1
    assert served.asked[-1].json["filterGroups"] == [
        {"filters": [{"propertyName": "lifecyclestage", "operator": "EQ", "value": "customer"}]}
    ]


def test_a_wrong_token_is_the_only_finding(crm, portal):
    portal.script["GET properties"] = in_turn(Answer(401, {"category": "INVALID_AUTHENTICATION"}))
    (finding,) = findings(crm)
    assert (finding.place, finding.ok) == ("destinations.hubspot.access_token", False)
    assert finding.message.startswith("HubSpot answered 401: the access token is wrong")


def test_a_missing_scope_is_found_before_the_first_write(crm, portal):
    context = {"missingScopes": ["crm.objects.companies.write"]}
    portal.script["POST batch/update"] = in_turn(Answer(403, {"category": "MISSING_SCOPES", "context": context}))
    (finding,) = [one for one in findings(crm) if not one.ok]
    assert finding.place == "destinations.hubspot.scopes"
    assert "crm.objects.companies.write" in finding.message


def test_an_account_that_refuses_an_empty_update_is_allowed_to_write(crm, portal):
    portal.script["POST batch/update"] = in_turn(Answer(400, {"category": "VALIDATION_ERROR", "message": "x"}))
    assert all(one.ok for one in findings(crm))


def test_a_dead_address_has_a_remedy_of_its_own(served, tmp_path):
    (finding,) = findings(hubspot(served, tmp_path, base_url="http://127.0.0.1:1"))
    assert not finding.message.startswith("destinations")
    assert finding.remedy == "check base_url, the network and DNS"


def test_drift_is_a_finding_with_a_remedy(crm, portal):
    portal.properties = defined(
        score={"type": "string"},
        tier={"options": []},
        reason={"modificationMetadata": {"readOnlyValue": True}},
        version=None,
    )
    wrong = {one.place.rsplit(".", 1)[1]: one for one in findings(crm) if not one.ok}
    assert set(wrong) == {"score", "tier", "reason", "version"}
    assert "is of type string, not number" in wrong["score"].message
    assert "lacks the option green, yellow, red" in wrong["tier"].message
    assert "is read-only" in wrong["reason"].message
    assert "does not exist" in wrong["version"].message
    assert all(one.remedy for one in wrong.values())


@pytest.mark.parametrize("where", ["lifecyclestage > 3", "lifecycle = customer"])
def test_a_condition_that_cannot_be_met_is_a_finding(crm, where):
    finding = findings(crm, where=where)[-1]
    assert (finding.place, finding.ok) == ("accounts.where", False)


def test_a_list_is_searched_for_as_a_list(crm, served):
    findings(crm, where="lifecyclestage in (customer, evangelist)")
    (one,) = served.asked[-1].json["filterGroups"][0]["filters"]
    assert one == {"propertyName": "lifecyclestage", "operator": "IN", "values": ["customer", "evangelist"]}


def test_attributes_are_looked_for(crm):
    wrong = [one.place for one in findings(crm, attributes={"a": "seats", "b": "nope"}) if not one.ok]
    assert wrong == ["accounts.attributes.b"]

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from connectors.errors import SettingsWrong
from connectors.salesforce.settings import DEFAULT_NAMES as NAMES
from tests.loopback import Answer, in_turn
from tests.salesforce_stub import BASE, Org, described, fixtures, salesforce

USER = "005000000000001AAA"


class Setup(Org):
    """An org whose fields and permissions can be made; `hidden` fields exist and are not described."""

    def __init__(self):
        super().__init__()
        self.made = []
        self.custom = {"Health_Score__c", "Health_Tier__c"}
        self.sets = []
        self.permitted = set()
        self.assigned = False

    def __call__(self, asked):
        path = asked.path.removeprefix(BASE)
        if "query" in path and f"{asked.method} {path}" not in self.script:
            return self.queried(asked.query["q"])
        if asked.method == "POST" and path.startswith(("tooling/sobjects", "sobjects")):
            return self.make(path.rsplit("/", 1)[1], asked.json)
        return super().__call__(asked)

    def queried(self, soql):
        if "CustomField" in soql:
            found = [{"Id": name, "DeveloperName": name[:-3], "NamespacePrefix": None} for name in sorted(self.custom)]
        elif "FROM PermissionSetAssignment" in soql:
            found = [{"Id": "0Pa"}] if self.assigned else []
        elif "FROM PermissionSet" in soql:
            found = self.sets
        elif "FieldPermissions" in soql:
            found = [{"ParentId": "0PS000000000001AAA", "Field": name} for name in sorted(self.permitted)]
        elif "ListView" in soql:
            found = [{"Id": "00B"}]
        else:
            found = []
        return Answer(body={"totalSize": len(found) or 7, "done": True, "records": found})

    def make(self, kind, body):
        self.made.append((kind, body))
        if kind == "CustomField":
            name = body["FullName"].removeprefix("Account.")
            if name in self.custom:
                return Answer(400, [{"errorCode": "DUPLICATE_DEVELOPER_NAME", "message": "x"}])
            self.custom.add(name)
        if kind == "PermissionSet":
            self.sets = [{"Id": "0PS000000000001AAA", "Description": body["Description"]}]
        if kind == "FieldPermissions":
            assert body["ParentId"] == "0PS000000000001AAA"
            self.permitted.add(body["Field"])
        if kind == "PermissionSetAssignment":
            assert body == {"PermissionSetId": "0PS000000000001AAA", "AssigneeId": USER}
            self.assigned = True
        if self.assigned:
            keys = {name: key for key, name in NAMES.items()}
            seen = {keys[field.removeprefix("Account.")] for field in self.permitted}
            self.fields = described(**{key: None for key in NAMES if key not in seen | self.shown})
        return Answer(201, {"id": "x", "success": True, "errors": []})

    shown = frozenset({"tier", "change", "reason", "next_action", "coverage", "tier_since", "scored_at"})


org, served, crm = fixtures(Setup)


def test_nothing_is_planned_when_every_field_can_be_edited(crm, org, served):
    assert crm.plan() == []
    assert org.made == []
    assert crm.calls == {"sign_in": 1, "read": 1, "setup": 1}


def test_missing_fields_are_made_and_shown_to_the_integration_user(crm, org):
    org.fields = described(score=None, version=None)  # one hidden, one missing
    org.custom.discard("Health_Scorecard__c")
    plan = crm.plan()
    assert [change.what for change in plan] == [
        "create the field Account.Health_Scorecard__c (Health scorecard: Text)",
        "create the permission set Bellwether",
        "let the permission set Bellwether see and edit Account.Health_Score__c",
        "let the permission set Bellwether see and edit Account.Health_Scorecard__c",
        "give the permission set Bellwether to the integration user",
    ]
    assert org.made == []
    for change in plan:
        change.apply()
    assert [kind for kind, _ in org.made] == [
        "CustomField",
        "PermissionSet",
        "FieldPermissions",
        "FieldPermissions",
        "PermissionSetAssignment",
    ]
    assert crm.plan() == []


def test_what_is_there_already_is_as_good_as_made(crm, org):
    org.fields = described(version=None)
    org.custom.discard("Health_Scorecard__c")
    (create, *_) = crm.plan()
    create.apply()
    create.apply()


def test_a_refused_creation_is_told(crm, org):
    org.fields = described(version=None)
    org.custom.discard("Health_Scorecard__c")
    (create, *_) = crm.plan()
    refused = [{"errorCode": "INSUFFICIENT_ACCESS", "message": "x"}]
    org.make = lambda kind, body: Answer(403, refused)
    with pytest.raises(SettingsWrong, match="lacks a permission"):
        create.apply()


def test_fields_are_described_for_the_people_who_read_them(crm, org):
    org.fields = described(**dict.fromkeys(NAMES))
    org.custom = set()
    for change in crm.plan():
        change.apply()
    made = {body["FullName"]: body["Metadata"] for kind, body in org.made if kind == "CustomField"}
    assert len(made) == 9
    score = made["Account.Health_Score__c"]
    assert (score["type"], score["precision"], score["scale"]) == ("Number", 5, 1)
    assert "higher is healthier" in score["inlineHelpText"]
    tier = made["Account.Health_Tier__c"]["valueSet"]
    assert tier["restricted"] is True
    assert [value["fullName"] for value in tier["valueSetDefinition"]["value"]] == ["green", "yellow", "red"]
    assert [value["label"] for value in tier["valueSetDefinition"]["value"]] == ["Green", "Yellow", "Red"]
    assert made["Account.Health_Reason__c"]["length"] == 255
    assert made["Account.Health_Tier_Since__c"]["type"] == "Date"
    assert made["Account.Health_Scored_At__c"]["type"] == "DateTime"


def test_a_standard_field_cannot_be_made(org, served, tmp_path):
    crm = salesforce(served, tmp_path, fields={"score": "Rating2"})
    with pytest.raises(SettingsWrong, match="not a custom field"):
        crm.plan()
    crm.close()


def test_values_take_the_form_of_the_org_s_own_fields(crm, org):
    org.fields = described(
        score={"scale": 0}, reason={"length": 20}, scored_at={"type": "date"}, coverage={"type": "int"}
    )
    assert crm.canonical("score", 82.5) == 83.0
    assert crm.canonical("reason", "weekly users fell, and tickets rose") == "weekly users fell…"
    assert crm.canonical("scored_at", datetime(2026, 11, 20, 3, tzinfo=UTC)) == "2026-11-20"
    assert crm.canonical("tier", "red") == "red"
    assert crm.calls["read"] == 1


def findings(crm, where="Type = 'Customer'", attributes=None):
    return {one.place: one for one in crm.check(where=where, attributes=attributes or {})}


def test_a_healthy_org_has_nothing_to_complain_of(crm):
    found = findings(crm, attributes={"account.plan": "Plan__c"})
    assert all(one.ok for one in found.values()), found
    assert found["accounts.where"].message.startswith("7 accounts")
    assert len(found) == 2 + 9 + 1 + 1


def test_a_wrong_credential_is_the_only_finding(crm, org):
    org.script["POST token"] = in_turn(Answer(400, {"error": "invalid_client"}))
    (finding,) = crm.check(where="x", attributes={})
    assert (finding.place, finding.ok) == ("destinations.salesforce.credential", False)
    assert "client_secret is wrong" in finding.message


def test_a_dead_address_has_a_remedy_of_its_own(served, tmp_path):
    dead = salesforce(served, tmp_path, base_url="http://127.0.0.1:1")
    (finding,) = dead.check(where="x", attributes={})
    assert not finding.message.startswith("destinations")
    assert finding.remedy == "check base_url, the network and DNS"


def test_hidden_and_missing_fields_are_told_apart(crm, org):
    org.fields = described(score=None, version=None)
    found = findings(crm)
    assert "is hidden" in found["destinations.salesforce.fields.score"].message
    assert "field-level security" in found["destinations.salesforce.fields.score"].remedy
    assert "is missing" in found["destinations.salesforce.fields.version"].message
    assert "provision" in found["destinations.salesforce.fields.version"].remedy


def test_a_user_who_may_not_see_the_setup_still_gets_an_answer(crm, org):
    org.fields = described(score=None)
    refused = Answer(403, [{"errorCode": "INSUFFICIENT_ACCESS", "message": "x"}])
    org.script["GET tooling/query"] = in_turn(refused)
    assert "is missing, or hidden" in findings(crm)["destinations.salesforce.fields.score"].message


def test_a_field_of_another_type_or_without_a_tier_is_a_finding(crm, org):
    org.fields = described(score={"type": "string"}, tier={"picklistValues": [{"value": "green", "active": True}]})
    found = findings(crm)
    assert "is of type string, not double" in found["destinations.salesforce.fields.score"].message
    assert "lacks the value yellow, red" in found["destinations.salesforce.fields.tier"].message


def test_a_field_that_cannot_be_edited_is_a_finding(crm, org):
    org.fields = described(reason={"updateable": False})
    found = findings(crm)
    assert not found["destinations.salesforce.fields.reason"].ok
    assert "edit access" in found["destinations.salesforce.fields.reason"].remedy


def test_a_condition_that_nothing_meets_or_that_is_no_soql_is_a_finding(crm, org):
    org.script["GET query"] = in_turn(Answer(body={"totalSize": 0, "done": True, "records": []}))
    assert not findings(crm)["accounts.where"].ok
    org.script["GET query"] = in_turn(Answer(400, [{"errorCode": "MALFORMED_QUERY", "message": "secret"}]))
    finding = findings(crm)["accounts.where"]
    assert "correct accounts.where" in finding.message
    assert "secret" not in finding.message


def test_attributes_are_looked_for(served, org, tmp_path):
    crm = salesforce(served, tmp_path, external_id_field="Nope__c")
    found = findings(crm, attributes={"a": "Missing__c", "b": "Owner.Name", "c": "1; DROP"})
    assert [
        found[place].ok for place in ("accounts.attributes.a", "accounts.attributes.b", "accounts.attributes.c")
    ] == [
        False,
        True,
        False,
    ]
    assert not found["destinations.salesforce.external_id_field"].ok
    crm.close()


def test_importing_the_connector_does_not_import_the_sdk():
    imports = "import sys, connectors.salesforce, connectors.hubspot as _"
    code = f"{imports}; print(*map(sys.modules.__contains__, sys.argv[1:]))"
    out = subprocess.run(
        [sys.executable, "-c", code, "simple_salesforce", "hubspot"], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["False", "False"]

"""Provisioning against the stand-in org: what a plan makes, mends and removes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.clock import SteppedClock
from connectors.errors import AgainNow, SettingsWrong
from connectors.salesforce import Salesforce
from connectors.salesforce.remedies import sorted_call
from connectors.sandbox.salesforce_org import INTEGRATION_USER, Org
from connectors.sandbox.server import Sandbox
from tests.served import STARTED, carry_out, connecting, said

NAMES = ("Health_Score__c", "Health_Tier__c")
FIELDS = dict.fromkeys(("change", "reason", "next_action", "coverage", "tier_since", "scored_at", "version"))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(accounts=3, clock=SteppedClock(STARTED), vendors=("salesforce",)) as served:
        yield served


@pytest.fixture
def org(sandbox: Sandbox) -> Org:
    found: Org = sandbox.crm["salesforce"]
    return found


Opened = Callable[..., Salesforce]


@pytest.fixture
def opened(sandbox: Sandbox, tmp_path: Path) -> Iterator[Opened]:
    """The org with two of our fields, or with other settings."""
    with connecting(sandbox, "salesforce", tmp_path, fields=FIELDS) as connect:
        yield connect


def test_a_plan_makes_fields_rights_and_a_list_view_and_leaves_nothing_to_plan(opened: Opened, org: Org) -> None:
    crm = opened(show_to_profiles=["Standard User"])
    plan = crm.plan()
    assert said(plan) == [
        "create the field Account.Health_Score__c (Health score: Number)",
        "create the field Account.Health_Tier__c (Health tier: Picklist)",
        "create the permission set Bellwether",
        "let the permission set Bellwether see and edit Account.Health_Score__c",
        "let the permission set Bellwether see and edit Account.Health_Tier__c",
        "give the permission set Bellwether to the integration user",
        "let the profile Standard User see Health_Score__c, Health_Tier__c",
        "create the list view 'Health: red accounts' for everybody",
    ]
    carry_out(plan)
    assert crm.plan() == []
    (view,) = org.setup["ListView"].rows.values()
    assert (view["Name"], view["Info"]["visibility"]) == ("Health: red accounts", "Public")
    assert view["Info"]["filteredByInfo"][0]["operandLabels"] == ["Red"]
    shown = [row for row in org.setup["FieldPermissions"].rows.values() if row["Field"] == "Account.Health_Score__c"]
    assert sorted((row["PermissionsRead"], row["PermissionsEdit"]) for row in shown) == [(True, False), (True, True)]


def test_a_profile_that_does_not_exist_is_named(opened: Opened) -> None:
    with pytest.raises(SettingsWrong, match='show_to_profiles: there is no profile "O\'Neill"'):
        opened(show_to_profiles=["Standard User", "O'Neill"]).plan()


def test_a_missing_tier_is_added_to_the_picklist_and_all_else_stays(opened: Opened, org: Org) -> None:
    carry_out(opened(list_view=None).plan())
    before = dict(org.metadata["Health_Tier__c"], label="Our tier")
    org.metadata["Health_Tier__c"] = before
    renamed = opened(list_view=None, tier_values={"red": "at risk"})
    (change,) = renamed.plan()
    assert change.what == "add the value at risk to the picklist Account.Health_Tier__c"
    carry_out([change])
    carry_out([change])  # an answer was lost, and it is carried out once more
    assert renamed.plan() == []
    column = org.columns["health_tier__c"]
    assert [value for value, _ in column.values] == ["green", "yellow", "red", "at risk"]
    assert (column.restricted, column.inactive, column.label) == (True, (), "Our tier")
    assert org.metadata["Health_Tier__c"]["description"] == before["description"]


def test_a_deactivated_tier_comes_back_in_its_place(opened: Opened, org: Org) -> None:
    crm = opened(list_view=None)
    carry_out(crm.plan())
    column, told = org.columns["health_tier__c"], org.metadata["Health_Tier__c"]
    told["valueSet"]["valueSetDefinition"]["value"][1]["isActive"] = False
    org.columns["health_tier__c"] = replace(
        column, values=(column.values[0], column.values[2]), inactive=(column.values[1],)
    )
    carry_out(crm.plan())
    assert org.columns["health_tier__c"].values == column.values
    assert crm.plan() == []


def test_values_of_a_shared_list_are_left_to_a_person(opened: Opened, org: Org) -> None:
    crm = opened(list_view=None)
    carry_out(crm.plan())
    org.metadata["Health_Tier__c"]["valueSet"] |= {"valueSetDefinition": None, "valueSetName": "Tiers"}
    org.columns["health_tier__c"] = replace(org.columns["health_tier__c"], values=(("green", "Green"),))
    (change,) = crm.plan()
    assert change.apply is None
    assert change.what.endswith("by hand: it takes its values from the global value set Tiers")


def test_what_only_a_person_can_mend_stands_in_the_plan_and_is_not_touched(opened: Opened, org: Org) -> None:
    crm = opened(list_view=None)
    carry_out(crm.plan())
    org.columns["health_score__c"] = replace(org.columns["health_score__c"], type="string")
    (change,) = crm.plan()
    assert change == (
        "Health_Score__c is of type string, not double: make a new field of type double, "
        "or name another field in `fields`",
        None,
    )


def test_pruning_removes_exactly_what_was_made_and_then_finds_nothing(opened: Opened, org: Org) -> None:
    columns, sets = set(org.columns), set(org.setup["PermissionSet"].rows)
    grants = dict(org.setup["FieldPermissions"].rows)
    crm = opened(show_to_profiles=["Standard User"])
    assert crm.plan(prune=True) == []
    carry_out(crm.plan())
    plan = crm.plan(prune=True)
    assert said(plan) == [
        "delete the list view Bellwether_Red_Accounts",
        "delete the field Account.Health_Score__c with its values",
        "delete the field Account.Health_Tier__c with its values",
        "delete the permission set Bellwether, which 1 user has",
    ]
    carry_out(plan)
    assert crm.plan(prune=True) == []
    assert set(org.columns) == columns
    assert set(org.setup["PermissionSet"].rows) == sets
    assert org.setup["FieldPermissions"].rows == grants
    assert org.setup["PermissionSetAssignment"].rows == org.setup["ListView"].rows == {}
    carry_out(plan)  # whatever is gone already is as good as removed
    carry_out(crm.plan())  # and all of it can be made again
    assert crm.plan() == []


def test_pruning_keeps_what_somebody_else_made(opened: Opened, org: Org) -> None:
    crm = opened(fields={**FIELDS, "tier": "Plan__c"}, list_view=None)
    org.insert("PermissionSet", {"Id": "0PS000000000009AAA", "Name": "Bellwether", "Description": "Ours", "Label": "x"})
    assert crm.plan(prune=True) == [
        ("keep the field Account.Plan__c: it was not made by Bellwether", None),
        ("keep the permission set Bellwether: it was not made by Bellwether", None),
    ]


def test_a_field_that_is_used_is_kept_and_the_refusal_says_where_to_look(opened: Opened, org: Org) -> None:
    crm = opened(list_view=None)
    carry_out(crm.plan())
    org.uses["Health_Score__c"] = ["Apex Class - Renewals"]
    with pytest.raises(SettingsWrong, match="DEPENDENCY_EXISTS: something in the org uses the field"):
        carry_out(crm.plan(prune=True))
    assert "health_score__c" in org.columns
    del org.uses["Health_Score__c"]
    carry_out(crm.plan(prune=True))
    assert crm.plan(prune=True) == []


def test_an_org_that_deletes_no_fields_by_its_api_leaves_them_to_a_person(opened: Opened, org: Org) -> None:
    crm = opened(list_view=None)
    carry_out(crm.plan())
    call = crm._client.call

    def refusing(path: str, **options: Any) -> object:
        if options.get("method") == "DELETE":
            raise sorted_call(405, [{"errorCode": "METHOD_NOT_ALLOWED", "message": "DELETE"}], "salesforce")
        return call(path, **options)

    crm._client.call = refusing  # type: ignore[method-assign]
    with pytest.raises(SettingsWrong, match="do it by hand in Setup"):
        carry_out(crm.plan(prune=True))


def test_a_list_view_of_other_people_that_uses_the_tier_keeps_the_field(opened: Opened, org: Org) -> None:
    crm = opened()
    carry_out(crm.plan())
    org.insert("ListView", {"Id": "00B9", "Name": "Theirs", "DeveloperName": "T", "FilterFields": ["Health_Tier__c"]})
    with pytest.raises(SettingsWrong, match="DEPENDENCY_EXISTS"):
        carry_out(crm.plan(prune=True))
    assert set(NAMES) & {column.name for column in org.columns.values()} == {"Health_Tier__c"}


@pytest.mark.parametrize("right", ["ManagePublicListviews", "CustomizeApplication"])
def test_a_right_that_lacks_is_said(opened: Opened, org: Org, right: str) -> None:
    org.missing_scopes.add(right)
    with pytest.raises(SettingsWrong, match="lacks a permission"):
        carry_out(opened().plan())


def test_answers_lost_on_the_way_do_not_keep_it_from_being_done_once(opened: Opened, org: Org) -> None:
    """Every call is carried out and its answer lost the first time: each step is tried again by itself."""
    crm = opened(show_to_profiles=["Standard User"])
    lost: list[str] = []
    call = crm._client._signed_in

    def losing(use: Callable[..., object], label: str) -> object:
        answer = call(use, label)
        if label == "setup" and len(lost) % 2 == 0:
            lost.append(label)
            raise AgainNow("no answer", place="salesforce", unanswered=True)
        lost.append(label)
        return answer

    crm._client._signed_in = losing  # type: ignore[method-assign, assignment]
    carry_out(crm.plan())
    assert crm.plan() == []
    assert len([row for row in org.setup["PermissionSet"].rows.values() if row["Name"] == "Bellwether"]) == 1
    assert [row["AssigneeId"] for row in org.setup["PermissionSetAssignment"].rows.values()] == [INTEGRATION_USER]
    assert len(org.setup["ListView"].rows) == 1
    carry_out(crm.plan(prune=True))
    assert crm.plan(prune=True) == []
    assert len(lost) > 40

"""Each way in which a field can change under us, found by one look and said in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.errors import SettingsWrong
from connectors.salesforce.settings import DEFAULT_NAMES
from tests import hubspot_stub as hub
from tests import salesforce_stub as force
from tests.loopback import Answer, Loopback, in_turn

NEW = {"name": "CS_Score__c", "label": "Health score", "type": "double", "custom": True, "updateable": True}


@pytest.fixture
def org():
    return force.Org()


@pytest.fixture
def portal():
    return hub.Portal()


@pytest.fixture
def crm(org, tmp_path):
    with Loopback(org) as served:
        org.url = served.url
        made = force.salesforce(served, tmp_path)
        yield made
        made.close()


@pytest.fixture
def hubspot(portal, tmp_path):
    with Loopback(portal) as served:
        made = hub.hubspot(served, tmp_path)
        yield made
        made.close()


def found(crm):
    now = crm._client.tools.clock.now()
    return {one.field: one for one in crm.drift(since=now)}


def tells(crm, field, says, remedy, effect):
    """It has found that of this field, and nothing else."""
    (one,) = found(crm).values()
    assert (one.field, one.effect) == (field, effect)
    assert says in one.message
    assert remedy in one.remedy
    assert (field in crm._fields.usable()) == (effect == "cut")


def test_nothing_drifts_where_every_field_is_as_it_was_made(crm, hubspot):
    assert found(crm) == found(hubspot) == {}


@pytest.mark.parametrize(
    ("field", "change", "says", "remedy", "effect"),
    [
        ("score", None, "Health_Score__c is missing, or hidden", "provision --apply", "left out"),
        ("score", {"type": "string"}, "is of type string, not double", "make a new field", "left out"),
        ("score", {"precision": 3, "scale": 1}, "is too small for 100: 3 digits, 1 of them", "digits", "left out"),
        ("reason", {"updateable": False}, "cannot be edited", "edit access", "left out"),
        ("change", {"calculated": True, "updateable": False}, "is a formula", "another field", "left out"),
        ("reason", {"length": 80}, "holds 80 characters where 255 are meant", "leave it so", "cut"),
        ("score", {"scale": 0}, "has 0 decimals where 1 are worked out", "leave it so", "cut"),
    ],
)
def test_what_became_of_a_field_on_account_is_said(crm, org, field, change, says, remedy, effect):
    org.fields = force.described(**{field: change})
    tells(crm, field, says, remedy, effect)


@pytest.mark.parametrize(
    ("field", "change", "says", "remedy", "effect"),
    [
        ("score", None, "health_score does not exist", "provision --apply", "left out"),
        ("score", {"type": "string"}, "is of type string, not number", "make a new property", "left out"),
        ("reason", {"modificationMetadata": {"readOnlyValue": True}}, "is read-only", "another property", "left out"),
        ("change", {"calculated": True}, "is read-only", "another property", "left out"),
        ("change", {"fieldType": "calculation_equation"}, "is a calculation", "another property", "left out"),
        ("change", {"calculationFormula": "arr / seats"}, "is a calculation", "another property", "left out"),
    ],
)
def test_what_became_of_a_company_property_is_said(hubspot, portal, field, change, says, remedy, effect):
    portal.properties = hub.defined(**{field: change})
    tells(hubspot, field, says, remedy, effect)


def test_a_renamed_field_is_found_by_its_label(crm, org, hubspot, portal):
    org.fields = [*force.described(score=None), NEW]
    portal.properties = [*hub.defined(score=None), {"name": "cs_score", "label": "Health score", "type": "number"}]
    assert "is gone, while CS_Score__c has its label 'Health score'" in found(crm)["score"].message
    assert "fields: {score: CS_Score__c}" in found(crm)["score"].remedy
    assert "fields: {score: cs_score}" in found(hubspot)["score"].remedy


@pytest.mark.parametrize("change", [{"type": "reference"}, {"custom": False}])
def test_a_field_that_cannot_be_ours_is_not_taken_for_the_renamed_one(crm, org, change):
    org.fields = [*force.described(score=None), NEW | change]
    assert "is missing" in found(crm)["score"].message


@pytest.mark.parametrize("value", [{"value": "red", "active": False}, {"value": "other", "active": True}])
def test_a_tier_that_a_picklist_lacks_is_written_as_blank_and_the_others_as_they_are(crm, org, value):
    values = [{"value": "green", "active": True}, {"value": "yellow", "active": True}, value]
    org.fields = force.described(tier={"picklistValues": values, "restrictedPicklist": True})
    one = found(crm)["tier"]
    assert (one.effect, one.message) == ("blank", "Health_Tier__c lacks the value red")
    assert [crm.canonical("tier", tier) for tier in ("green", "yellow", "red")] == ["green", "yellow", None]
    assert "tier" in crm._fields.usable()


def test_an_open_picklist_takes_a_tier_that_it_does_not_list(crm, org):
    org.fields = force.described(tier={"picklistValues": [], "restrictedPicklist": False})
    assert found(crm)["tier"].effect == "cut"
    assert crm.canonical("tier", "red") == "red"


def test_a_tier_without_an_option_is_written_as_blank_to_a_company(hubspot, portal):
    portal.properties = hub.defined(tier={"options": [{"value": "green"}, {"value": "yellow"}]})
    assert found(hubspot)["tier"].effect == "blank"
    assert [hubspot.canonical("tier", tier) for tier in ("green", "red")] == ["green", None]


def test_where_no_field_can_be_written_nothing_is_tried(crm, org, hubspot, portal):
    org.fields = force.described(**dict.fromkeys(DEFAULT_NAMES))
    portal.properties = []
    with pytest.raises(SettingsWrong, match=r"none of the 9 fields can be written; Health_Score__c is missing"):
        found(crm)
    with pytest.raises(SettingsWrong, match="none of the 9 fields can be written; health_score does not exist"):
        found(hubspot)


def test_a_pass_that_has_read_the_directory_looks_no_second_time(crm, org, hubspot, portal):
    org.script["GET query"] = in_turn(Answer(body={"totalSize": 0, "done": True, "records": []}))
    for one in (crm, hubspot):
        clock = one._client.tools.clock
        now = clock.now()
        assert list(one.accounts(where="", attributes={})) == []
        read = one.calls["read"]
        assert list(one.drift(since=now)) == []
        assert one.calls["read"] == read
        clock.advance_to(now + timedelta(minutes=5))
        assert list(one.drift(since=clock.now())) == []  # the next pass
        assert one.calls["read"] == read + 1


def test_what_stands_in_a_field_that_is_left_out_is_not_read(crm, org, hubspot, portal):
    org.fields = force.described(score={"type": "string"})
    portal.properties = hub.defined(score={"type": "string"})
    found(crm), found(hubspot)
    assert "score" not in crm._fields.usable()
    assert "score" not in hubspot._fields.usable()
    assert hubspot._fields.present({"health_score": "abc", "health_tier": "red"}) == {"tier": "red"}


def test_the_shape_of_our_fields_is_another_when_a_description_or_a_name_is(org, portal, tmp_path):
    shapes, otherwise = set(), list[tuple[dict[str, Any], dict[str, Any]]]()
    otherwise += ({}, {}), ({"reason": {"length": 80}}, {}), ({}, {"fields": {"version": None}})
    for change, named in otherwise:
        org.fields, portal.properties = force.described(**change), hub.defined(**change)
        with Loopback(org) as one, Loopback(portal) as other:
            org.url = one.url
            for crm in (force.salesforce(one, tmp_path, **named), hub.hubspot(other, tmp_path, **named)):
                shapes.add((crm.name, crm.shape()))
                assert crm.shape() == crm.shape()
                crm.close()
    assert len(shapes) == 6

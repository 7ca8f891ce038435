from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.errors import AgainNow, SettingsWrong
from connectors.salesforce.accounts import host_of, level
from tests.loopback import Answer, in_turn
from tests.salesforce_stub import BASE, described, fixtures


def record(number, **more):
    base = {
        "attributes": {"type": "Account"},
        "Id": f"001{number:012d}AAA",
        "Name": f"Company {number}",
        "Website": f"https://www.company{number}.example/about",
        "Owner": {"attributes": {}, "Name": "Ada"},
        "CreatedDate": "2025-01-02T03:04:05.000+0000",
    }
    return base | more


def page(*records, total=None, more=None):
    body = {"totalSize": total or len(records), "done": more is None, "records": list(records)}
    return Answer(body=body | ({"nextRecordsUrl": more} if more else {}))


org, served, crm = fixtures(external_id_field="Ext__c")


def soql(served):
    return next(one.query["q"] for one in served.asked if "q" in one.query)


def test_an_account_carries_what_matching_and_scoring_need(org, crm, served):
    org.script["GET query"] = in_turn(
        page(record(1, Ext__c="cust-0001", Plan__c="Enterprise", Health_Score__c=82.4, Health_Reason__c=None))
    )
    ((account,),) = crm.accounts(where="Type = 'Customer'", attributes={"account.plan": "Plan__c"})
    assert account.id == "001000000000001AAA"
    assert (account.name, account.owner, account.domains) == ("Company 1", "Ada", ("company1.example",))
    assert account.refs == {"external_id": "cust-0001"}
    assert account.since == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert account.attributes == {"account.plan": "Enterprise"}
    assert account.present["score"] == 82.4
    assert account.present["reason"] is None


def test_pages_that_lead_in_a_ring_end_with_an_error(org, crm, served):
    org.script["GET query"] = in_turn(page(record(1), more=f"{BASE}query/a"))
    for name, after in (("a", "b"), ("b", "a")):
        org.script[f"GET query/{name}"] = in_turn(page(record(2), more=f"{BASE}query/{after}"))
    with pytest.raises(AgainNow, match="not where they are"):
        list(crm.accounts(where="", attributes={}))
    assert [path for path in served.paths() if "/query" in path] == [f"{BASE}query{more}" for more in ("", "/a", "/b")]


def test_the_condition_stands_in_brackets_as_it_was_written(org, crm, served):
    org.script["GET query"] = in_turn(page())
    assert list(crm.accounts(where="Type = 'A' OR Type = 'B'", attributes={}, limit=5)) == []
    assert soql(served).endswith("FROM Account WHERE (Type = 'A' OR Type = 'B') ORDER BY Id LIMIT 5")


def test_without_a_condition_all_accounts_are_read(org, crm, served):
    org.script["GET query"] = in_turn(page())
    list(crm.accounts(where="", attributes={}))
    assert soql(served).endswith("FROM Account ORDER BY Id")


def test_pages_are_followed_to_the_end(org, crm, served):
    org.script["GET query"] = in_turn(page(record(1), record(2), total=3, more=f"{BASE}query/01g0-2"))
    org.script["GET query/01g0-2"] = in_turn(page(record(3), total=3))
    pages = list(crm.accounts(where="Name != null", attributes={}))
    assert [[account.name for account in one] for one in pages] == [["Company 1", "Company 2"], ["Company 3"]]


@pytest.mark.parametrize(
    "address",
    ["https://evil.test/services/data/v66.0/query/1", "//evil.test/x", "/services/apexrest/x", f"{BASE}../../oauth2/x"],
)
def test_a_next_page_elsewhere_is_refused(org, crm, served, address):
    org.script["GET query"] = in_turn(page(record(1), total=3, more=address))
    with pytest.raises(SettingsWrong):
        list(crm.accounts(where="Name != null", attributes={}))
    assert not any("evil" in path or "apexrest" in path for path in served.paths())


def test_fields_of_ours_that_do_not_exist_yet_are_not_asked_for(org, crm, served):
    org.fields = described(score=None, version=None)
    org.script["GET query"] = in_turn(page(record(1)))
    ((account,),) = crm.accounts(where="Name != null", attributes={})
    assert "Health_Score__c" not in soql(served)
    assert "Health_Tier__c" in soql(served)
    assert "score" not in account.present


def test_a_field_that_is_wanted_twice_is_asked_for_once(org, crm, served):
    org.script["GET query"] = in_turn(page(record(1, Ext__c="x")))
    ((account,),) = crm.accounts(where="Name != null", attributes={"a": "ext__c", "b": "Ext__c", "c": "Owner.Name"})
    assert soql(served).lower().count("ext__c") == 1
    assert account.attributes == {"a": "x", "b": "x", "c": "Ada"}


def test_a_blank_owner_and_website_are_none(org, crm):
    org.script["GET query"] = in_turn(page(record(1, Owner=None, Website=None, Ext__c=None)))
    ((account,),) = crm.accounts(where="Name != null", attributes={})
    assert (account.owner, account.domains, account.refs) == (None, (), {})


def test_an_attribute_that_is_no_field_name_is_refused_before_any_query(crm, served):
    with pytest.raises(SettingsWrong, match=r"accounts.attributes.seats"):
        list(crm.accounts(where="Name != null", attributes={"seats": "Seats__c FROM User"}))
    assert not any(path.endswith("/query") for path in served.paths())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, 12.0),
        (10**400, None),
        (float("nan"), None),
        (True, 1.0),
        (False, 0.0),
        ("1970-01-11", 10.0),
        ("1970-01-11T23:00:00.000+0000", 10.0),
        ("Enterprise", "Enterprise"),
        ("2026", "2026"),
        ("", None),
        (None, None),
        ({"street": "x"}, None),
    ],
)
def test_attributes_become_levels(value, expected):
    assert level(value) == expected


@pytest.mark.parametrize(
    ("website", "expected"),
    [
        ("https://www.Acme.com/about?x=1", "acme.com"),
        ("acme.co.uk", "acme.co.uk"),
        ("  HTTP://acme.com:8080 ", "acme.com"),
        ("user@acme.com", "acme.com"),
        ("n/a", None),
        ("not a site", None),
        ("http://[", None),
        ("", None),
        (None, None),
    ],
)
def test_the_domain_is_taken_from_websites_as_people_type_them(website, expected):
    assert host_of(website) == expected


@pytest.mark.parametrize("id", [None, "", 5, ["001000000000001AAA"], "001", "001000000000001AA\u0391"])
def test_a_record_without_an_id_is_told_and_the_others_are_read(org, crm, id):
    org.script["GET query"] = in_turn(page(record(1), record(2) | {"Id": id}))
    ((account,),) = crm.accounts(where="", attributes={})
    assert (account.name, crm.left_out) == ("Company 1", "1 row is left out (record 2: it has no id)")

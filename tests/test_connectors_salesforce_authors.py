"""Who last set a field of an account: by its history where that is kept, else by who changed the record last."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.base import Author
from connectors.clock import SteppedClock
from connectors.salesforce.authors import BATCH
from connectors.sandbox.salesforce_org import PLATFORM, SYNC_USER
from connectors.sandbox.server import Sandbox
from tests.loopback import Answer, Loopback
from tests.salesforce_stub import Org, described, salesforce
from tests.served import STARTED, connected, next_minute, tools

FIELDS = {"tier": "Plan__c", "score": "Seats__c"}
US = "005000000000001"
ACCOUNT = "001000000000001AAA"


@pytest.fixture(scope="module")
def clock():
    return SteppedClock(STARTED)


@pytest.fixture(scope="module")
def sandbox(clock):
    with Sandbox(accounts=320, clock=clock, vendors=("salesforce",)) as served:
        yield served


@pytest.fixture
def org(sandbox):
    org = sandbox.crm["salesforce"]
    org.tracked = {"Plan__c"}
    return org


@pytest.fixture
def crm(sandbox, clock, tmp_path):
    made = connected(sandbox, "salesforce", tools(tmp_path, clock), fields=FIELDS)
    yield made
    made.close()


WRITERS = [
    ("api", Author("us", "Sandbox Integration")),
    ("app", Author("machine", "Billing Integration")),
    ("workflow", Author("machine", "Automated Process")),
    ("platform", Author("machine", "Platform Integration User")),
    ("human", Author("person", "Robin Admin")),
    ("Ada Brook", Author("person", "Ada Brook")),
    ("sync", Author("person", "CRM Sync")),  # which signs in as a person does
]


@pytest.mark.parametrize(("by", "author"), WRITERS)
def test_the_history_of_a_tracked_field_tells_who_set_it(org, crm, clock, by, author):
    [account] = list(org.records)[:1]
    next_minute(clock)
    org.set_field(account, "Plan__c", "free", by="human")
    next_minute(clock)
    org.set_field(account, "Plan__c", "pro", by=by)
    at = clock.now()
    next_minute(clock)
    org.set_field(account, "Industry", f"Shipping {at}", by="human")
    assert crm.authors("tier", [account]) == {account: author._replace(at=at)}


@pytest.mark.parametrize(("by", "author"), WRITERS)
def test_of_another_field_only_a_last_change_by_no_person_tells(org, crm, clock, by, author):
    [account] = list(org.records)[1:2]
    next_minute(clock)
    org.set_field(account, "Seats__c", 12.0, by=by)
    told = {} if author.by == "person" else {account: author._replace(at=clock.now())}
    assert crm.authors("score", [account]) == told


def test_a_change_that_the_history_missed_is_told_by_the_record(org, crm, clock):
    [account] = list(org.records)[2:3]
    next_minute(clock)
    org.set_field(account, "Plan__c", "free", by="human")
    org.tracked = {"Seats__c"}
    next_minute(clock)
    org.set_field(account, "Plan__c", "enterprise", by="app")
    assert crm.authors("tier", [account]) == {account: Author("machine", "Billing Integration", clock.now())}


@pytest.mark.parametrize("named", ["CRM.Sync@sandbox.test", SYNC_USER, SYNC_USER[:15]])
def test_the_settings_name_a_sync_that_has_a_persons_licence(sandbox, org, clock, tmp_path, named):
    [account] = list(org.records)[3:4]
    org.set_field(account, "Seats__c", 13.0, by="sync")
    crm = connected(sandbox, "salesforce", tools(tmp_path, clock), fields=FIELDS, integration_users=[named])
    assert [author.by for author in crm.authors("score", [account]).values()] == ["machine"]
    crm.close()


def test_many_accounts_take_few_calls_and_ids_of_either_length(org, crm, clock):
    next_minute(clock)
    accounts = list(org.live())[: BATCH + 20]
    for account in accounts:
        org.set_field(account, "Plan__c", "free", by="human")
        org.set_field(account, "Plan__c", "enterprise", by="Ben Castillo")
    asked = [*(account[:15] for account in accounts), *accounts[:3], "nonsense", "001' OR Id != '", ""]
    found = crm.authors("tier", asked)
    assert set(found) == {*(account[:15] for account in accounts), *accounts[:3]}
    assert set(found.values()) == {Author("person", "Ben Castillo", clock.now())}
    assert crm.calls["read"] == 1 + 2 + 1  # describe, two parts, one user
    assert crm.authors("tier", accounts[:1])[accounts[0]].name == "Ben Castillo"
    assert crm.calls["read"] == 1 + 2 + 1 + 1


def test_a_deleted_account_and_a_field_nobody_may_see_have_no_author(org, crm):
    accounts = list(org.live())
    org.delete(accounts[-1])
    assert crm.authors("tier", accounts[-1:]) == {}
    assert crm.authors("reason", accounts[:1]) == {}


@pytest.mark.parametrize("tracked", [True, False])
def test_check_warns_when_nobody_notes_down_who_sets_the_tier(org, crm, tracked):
    org.tracked = {"Plan__c"} if tracked else {"Seats__c"}
    found = [one for one in crm.check(where="", attributes={}) if one.place.endswith("fields.tier")]
    warned = [one for one in found if one.ok and "Set History Tracking" in one.remedy]
    assert len(warned) == (not tracked)


@pytest.fixture
def small():
    return Org()


@pytest.fixture
def served(small):
    with Loopback(small) as server:
        small.url = server.url
        yield server


def page(*records):
    return Answer(body={"totalSize": len(records), "done": True, "records": list(records)})


def test_an_org_that_shows_no_histories_and_no_licences_is_asked_for_neither(small, served, tmp_path):
    asked = []

    def query(call):
        asked.append(call.query["q"])
        if "Profile" in asked[-1]:
            return Answer(400, [{"errorCode": "INVALID_FIELD", "message": "relationship 'Profile'"}])
        if "FROM User" in asked[-1]:
            return page({"Id": PLATFORM, "Name": "Platform", "UserType": "CloudIntegrationUser"})
        return page({"Id": ACCOUNT, "LastModifiedById": PLATFORM, "LastModifiedDate": "2026-11-19T00:00:00.000+0000"})

    small.script["GET query"] = query
    crm = salesforce(served, tmp_path)
    at = datetime(2026, 11, 19, tzinfo=UTC)
    assert crm.authors("tier", [ACCOUNT]) == {ACCOUNT: Author("machine", "Platform", at)}
    assert not any("Histories" in one for one in asked)
    crm.close()


@pytest.mark.parametrize("told", ["green", "Healthy"])
def test_a_history_may_tell_a_picklist_by_its_label(small, served, tmp_path, told):
    options = [{"value": "green", "label": "Healthy", "active": True}]
    small.fields = described(tier={"picklistValues": options})
    small.children = [{"childSObject": "AccountHistory", "relationshipName": "Histories"}]
    row = {"CreatedById": US, "CreatedDate": "2026-11-19T00:00:00.000+0000", "NewValue": told}
    record = {"Id": ACCOUNT, "Health_Tier__c": "green", "LastModifiedById": PLATFORM, "Histories": {"records": [row]}}
    user = {"Id": f"{US}AAA", "Name": "Us", "UserType": "Standard"}
    small.script["GET query"] = lambda call: page(user) if "FROM User" in call.query["q"] else page(record)
    crm = salesforce(served, tmp_path)
    assert [author.by for author in crm.authors("tier", [ACCOUNT]).values()] == ["us"]
    crm.close()

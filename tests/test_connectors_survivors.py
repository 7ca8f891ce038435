"""What both CRMs tell of records that are not there any more, by the stand-ins and in single answers."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime

import pytest

from connectors.clock import SteppedClock
from connectors.errors import SettingsWrong
from connectors.hubspot.survivors import ALONE
from connectors.sandbox.server import Sandbox
from tests import hubspot_stub, salesforce_stub
from tests.loopback import Answer, Loopback
from tests.served import connected, tools


@pytest.fixture(scope="module")
def clock():
    return SteppedClock(datetime(2026, 11, 20, tzinfo=UTC))


@pytest.fixture(scope="module")
def sandbox(clock):
    with Sandbox(accounts=400, clock=clock, vendors=("salesforce", "hubspot")) as served:
        yield served


@pytest.fixture
def salesforce(sandbox, clock, tmp_path):
    with closing(connected(sandbox, "salesforce", tools(tmp_path, clock))) as crm:
        yield crm


@pytest.fixture
def hubspot(sandbox, clock, tmp_path):
    with closing(connected(sandbox, "hubspot", tools(tmp_path, clock))) as crm:
        yield crm


def test_merges_are_followed_to_the_account_that_stayed(sandbox, salesforce):
    org = sandbox.crm["salesforce"]
    first, second, third, deleted, merged, here = list(org.live())[:6]
    org.merge(first, second)
    org.merge(second, third)
    org.merge(merged, deleted)
    org.delete(deleted)
    asked = [first, first[:15], second, third, deleted, merged, here, "nonsense", "001000000000000AAA", first]
    assert salesforce.survivors(asked) == {
        first: third,
        first[:15]: third,
        second: third,
        deleted: None,
        merged: None,
    }
    assert salesforce.calls["read"] == 2


def test_of_many_deleted_accounts_a_few_calls_tell(sandbox, salesforce):
    org = sandbox.crm["salesforce"]
    gone = list(org.live())[-310:]
    for account in gone:
        org.delete(account)
    assert salesforce.survivors(gone) == dict.fromkeys(gone)
    assert salesforce.calls["read"] == 2
    assert salesforce.survivors([]) == {}
    assert salesforce.calls["read"] == 2


def test_accounts_merged_in_a_ring_are_not_told(tmp_path):
    ids = ["001000000000001AAA", "001000000000002AAA"]
    org = salesforce_stub.Org()
    records = [{"Id": one, "MasterRecordId": other} for one, other in zip(ids, reversed(ids), strict=True)]
    org.script["GET queryAll"] = lambda asked: Answer(body={"done": True, "records": records})
    with Loopback(org) as served:
        org.url = served.url
        crm = salesforce_stub.salesforce(served, tmp_path)
        assert crm.survivors(ids) == {}
        crm.close()


def test_both_companies_of_a_merge_lead_to_the_new_one(sandbox, hubspot):
    portal = sandbox.crm["hubspot"]
    first, second, third, deleted, here = list(portal.live())[:5]
    made = portal.merge(third, portal.merge(first, second))
    portal.delete(deleted)
    asked = [first, second, third, deleted, here, made, "1", "nonsense", first]
    told = {first: made, second: made, third: made, deleted: None, "1": None}
    assert hubspot.survivors(asked) == told
    assert hubspot.calls["read"] == 1 + 2
    assert set(hubspot.read(asked)) == {here, made}


def test_companies_that_a_batch_does_not_find_are_asked_for_alone(tmp_path):
    portal = hubspot_stub.Portal()
    portal.script["POST batch/read"] = lambda asked: Answer(body={"status": "COMPLETE", "results": []})
    portal.script["GET 11"] = lambda asked: Answer(body={"id": "99", "properties": {}})
    missing = {"category": "OBJECT_NOT_FOUND", "message": "Object not found."}
    for id in range(20, 20 + ALONE):
        portal.script[f"GET {id}"] = lambda asked: Answer(404, missing)
    with Loopback(portal) as served:
        crm = hubspot_stub.hubspot(served, tmp_path)
        asked = ["11", *map(str, range(20, 20 + ALONE))]
        assert crm.survivors(asked) == {"11": "99"} | dict.fromkeys(asked[1:-1])
        crm.close()


def test_another_refusal_is_no_deleted_company(tmp_path):
    portal = hubspot_stub.Portal()
    portal.script["POST batch/read"] = lambda asked: Answer(body={"results": []})
    portal.script["GET 11"] = lambda asked: Answer(400, {"category": "VALIDATION_ERROR", "message": "no"})
    with Loopback(portal) as served:
        crm = hubspot_stub.hubspot(served, tmp_path)
        with pytest.raises(SettingsWrong):
            crm.survivors(["11"])
        crm.close()
        assert json.loads(served.asked[0].body)["properties"] == ["hs_merged_object_ids"]

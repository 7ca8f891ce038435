"""The connector against the stand-in that was written from the vendor's contract by somebody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.base import Write, fields_of
from connectors.clock import SteppedClock
from connectors.salesforce import Salesforce, Settings
from connectors.sandbox.server import Sandbox
from tests.salesforce_stub import tools

WHERE = "Type = 'Customer'"
ATTRIBUTES = {"seats": "Seats__c", "account.plan": "Plan__c", "renewal_date": "Renewal_Date__c"}
FIELDS = {
    "score": 82.44,
    "tier": "yellow",
    "reason": 'Weekly users, fell "a"',
    "coverage": 90.0,
    "change": None,
    "expansion_score": 61.26,
    "expansion_tier": "green",
    "expansion_reason": "Seats in use 91%",
}


@pytest.mark.parametrize(("faults", "bulk_above"), [("none", 2000), ("none", 20), ("storm", 2000), ("storm", 20)])
def test_fields_are_made_and_every_account_is_written_and_read_back(tmp_path, faults, bulk_above):
    clock = SteppedClock(datetime(2026, 11, 20, tzinfo=UTC))
    with Sandbox(accounts=60, clock=clock, vendors=("salesforce",), faults=faults) as sandbox:
        given = {
            "base_url": sandbox.urls["salesforce"],
            "client_id": "sandbox",
            "client_secret": "sandbox-salesforce",
            "external_id_field": "External_Id__c",
            "bulk_above": bulk_above,
        }
        crm = Salesforce(
            "salesforce",
            Settings.model_validate(given),
            replace(tools(tmp_path, clock), fields=fields_of(["expansion"])),
        )
        plan = crm.plan()
        assert any("Account.Expansion_Score__c (Expansion score: Number)" in change.what for change in plan)
        for change in plan:
            change.apply()
        assert crm.plan() == []
        assert [one for one in crm.check(where=WHERE, attributes=ATTRIBUTES) if not one.ok] == []

        accounts = [one for page in crm.accounts(where=WHERE, attributes=ATTRIBUTES) for one in page]
        assert len(accounts) == 60
        assert all(account.refs["external_id"] for account in accounts)
        assert all(None not in account.attributes.values() for account in accounts)

        outcomes = {one.id: one for one in crm.write([Write(account.id, FIELDS) for account in accounts])}
        assert set(outcomes) == {account.id for account in accounts}
        refused = [one for one in outcomes.values() if not one.ok]
        assert {one.remedy for one in refused} <= {"again"}
        assert faults != "none" or refused == []

        held = crm.read(list(outcomes))
        for id, outcome in outcomes.items():
            for key, value in (outcome.confirmed or {}).items():
                assert held[id][key] == value
        crm.close()

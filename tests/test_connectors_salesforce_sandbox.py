"""The connector against the stand-in that was written from the vendor's contract by somebody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.base import fields_of
from connectors.clock import SteppedClock
from connectors.sandbox.server import Sandbox
from tests.served import FIELDS, STARTED, connected, made, tools, written_and_read_back

WHERE = "Type = 'Customer'"
ATTRIBUTES = {"seats": "Seats__c", "account.plan": "Plan__c", "renewal_date": "Renewal_Date__c"}


@pytest.mark.parametrize(("faults", "bulk_above"), [("none", 2000), ("none", 20), ("storm", 2000), ("storm", 20)])
def test_fields_are_made_and_every_account_is_written_and_read_back(tmp_path, faults, bulk_above):
    clock = SteppedClock(STARTED)
    handed = replace(tools(tmp_path, clock), fields=fields_of(["expansion"]))
    with Sandbox(accounts=60, clock=clock, vendors=("salesforce",), faults=faults) as sandbox:
        crm = connected(sandbox, "salesforce", handed, external_id_field="External_Id__c", bulk_above=bulk_above)
        planned = made(crm, where=WHERE, attributes=ATTRIBUTES)
        assert any("Account.Expansion_Score__c (Expansion score: Number)" in what for what in planned)

        accounts = [one for page in crm.accounts(where=WHERE, attributes=ATTRIBUTES) for one in page]
        assert len(accounts) == 60
        assert all(account.refs["external_id"] for account in accounts)
        assert all(None not in account.attributes.values() for account in accounts)

        written_and_read_back(crm, accounts, FIELDS, faulty=faults != "none")
        crm.close()

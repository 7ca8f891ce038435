"""The connector against the stand-in that was written from the vendor's contract by somebody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from connectors.base import fields_of
from connectors.clock import SteppedClock
from connectors.sandbox.server import Sandbox
from tests.served import FIELDS, STARTED, connected, made, tools, written_and_read_back

WHERE = "lifecyclestage = customer"
DATED = {**FIELDS, "tier_since": date(2026, 11, 1), "scored_at": datetime(2026, 11, 20, 3, tzinfo=UTC)}


@pytest.mark.parametrize("faults", ["none", "storm"])
def test_properties_are_made_and_every_company_is_written_and_read_back(tmp_path, faults):
    clock = SteppedClock(STARTED)
    handed = replace(tools(tmp_path, clock), fields=fields_of(["expansion"]))
    with Sandbox(accounts=120, clock=clock, vendors=("hubspot",), faults=faults) as sandbox:
        crm = connected(sandbox, "hubspot", handed, external_id_field="external_id")
        planned = made(crm, where=WHERE, attributes={})
        assert any("expansion_score (Expansion score: number)" in what for what in planned)

        accounts = [one for page in crm.accounts(where=WHERE, attributes={}) for one in page]
        assert len(accounts) == 120
        assert all(account.refs["external_id"] and account.domains for account in accounts)
        assert any("crm_id" in account.refs for account in accounts)
        everyone = [one for page in crm.accounts(where="", attributes={}) for one in page]
        assert len(everyone) > 120

        written_and_read_back(crm, accounts, DATED, faulty=faults != "none")
        crm.close()

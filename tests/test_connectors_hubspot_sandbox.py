"""The connector against the stand-in that was written from the vendor's contract by somebody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from connectors.base import Write, fields_of
from connectors.clock import SteppedClock
from connectors.hubspot import HubSpot, Settings
from connectors.sandbox.server import Sandbox
from tests.hubspot_stub import tools

WHERE = "lifecyclestage = customer"
FIELDS = {
    "score": 82.44,
    "tier": "yellow",
    "reason": 'Weekly users, fell "a"',
    "coverage": 90.0,
    "change": None,
    "expansion_score": 61.26,
    "expansion_tier": "green",
    "expansion_reason": "Seats in use 91%",
    "tier_since": date(2026, 11, 1),
    "scored_at": datetime(2026, 11, 20, 3, tzinfo=UTC),
}


@pytest.mark.parametrize("faults", ["none", "storm"])
def test_properties_are_made_and_every_company_is_written_and_read_back(tmp_path, faults):
    clock = SteppedClock(datetime(2026, 11, 20, tzinfo=UTC))
    with Sandbox(accounts=120, clock=clock, vendors=("hubspot",), faults=faults) as sandbox:
        given = {
            "base_url": sandbox.urls["hubspot"],
            "access_token": "sandbox-hubspot",
            "external_id_field": "external_id",
        }
        crm = HubSpot(
            "hubspot", Settings.model_validate(given), replace(tools(tmp_path, clock), fields=fields_of(["expansion"]))
        )
        plan = crm.plan()
        assert any("expansion_score (Expansion score: number)" in change.what for change in plan)
        for change in plan:
            change.apply()
        assert crm.plan() == []
        assert [one for one in crm.check(where=WHERE, attributes={}) if not one.ok] == []

        accounts = [one for page in crm.accounts(where=WHERE, attributes={}) for one in page]
        assert len(accounts) == 120
        assert all(account.refs["external_id"] and account.domains for account in accounts)
        assert any("crm_id" in account.refs for account in accounts)
        everyone = [one for page in crm.accounts(where="", attributes={}) for one in page]
        assert len(everyone) > 120

        outcomes = {one.id: one for one in crm.write([Write(account.id, FIELDS) for account in accounts])}
        assert set(outcomes) == {account.id for account in accounts}
        refused = [one for one in outcomes.values() if not one.ok]
        assert {one.remedy for one in refused} <= {"again"}
        assert faults != "none" or refused == []

        held = crm.read(list(outcomes))
        for id, outcome in outcomes.items():
            for key, value in (outcome.confirmed or {}).items():
                assert held[id][key] == value == crm.canonical(key, FIELDS[key])
        crm.close()

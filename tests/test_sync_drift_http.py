"""Fields changed in the stand-ins while records are delivered to them over HTTP: none refused, none lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.base import Destination, FieldValue, Write
from connectors.clock import SteppedClock
from connectors.hubspot import HubSpot
from connectors.hubspot import Settings as HubSpotSettings
from connectors.salesforce import Salesforce
from connectors.salesforce import Settings as SalesforceSettings
from connectors.sandbox.hubspot_portal import Portal
from connectors.sandbox.salesforce_custom import delete_field
from connectors.sandbox.salesforce_org import Org
from connectors.sandbox.server import Sandbox
from sync.deliveries import Delivered, Planned, Round, deliver
from sync.drift import Watch
from sync.settings import Delivery as Rules
from sync.state import State
from tests.postgres import migrated
from tests.served import carry_out, tools

STARTED = datetime(2026, 11, 20, tzinfo=UTC)
TOLD: dict[str, FieldValue] = {"score": 12.5, "reason": "Weekly users fell", "coverage": 90.0}
TIERS = ("red", "yellow", "green", "red")


def _salesforce(sandbox: Sandbox, root: Path, clock: SteppedClock, **settings: object) -> Destination:
    given = {"base_url": sandbox.urls["salesforce"], "client_id": "sandbox", "client_secret": "sandbox-salesforce"}
    return Salesforce("crm", SalesforceSettings.model_validate(given | settings), tools(root, clock))


def _hubspot(sandbox: Sandbox, root: Path, clock: SteppedClock) -> Destination:
    given = {"base_url": sandbox.urls["hubspot"], "access_token": "sandbox-hubspot"}
    return HubSpot("crm", HubSpotSettings.model_validate(given), tools(root, clock))


def _spoil_salesforce(org: Org) -> None:
    """One field deleted, one of another type, one tier deactivated."""
    delete_field(org, org.field_ids["Health_Score__c"])
    org.columns["health_coverage__c"] = replace(org.columns["health_coverage__c"], type="boolean")
    tier = org.columns["health_tier__c"]
    org.columns["health_tier__c"] = replace(tier, values=tier.values[:2], inactive=tier.values[2:])


def _mend_salesforce(org: Org) -> None:
    org.columns["health_coverage__c"] = replace(org.columns["health_coverage__c"], type="double")


def _spoil_hubspot(portal: Portal) -> None:
    del portal.properties["health_score"]
    portal.properties["health_coverage"] = replace(portal.properties["health_coverage"], type="date", field_type="date")
    tier = portal.properties["health_tier"]
    portal.properties["health_tier"] = replace(tier, options=tier.options[:2])


def _mend_hubspot(portal: Portal) -> None:
    coverage = portal.properties["health_coverage"]
    portal.properties["health_coverage"] = replace(coverage, type="number", field_type="number")


CASES: list[Any] = [
    pytest.param("salesforce", _salesforce, _spoil_salesforce, _mend_salesforce, id="salesforce"),
    pytest.param(
        "salesforce",
        lambda *given: _salesforce(*given, bulk_above=1),
        _spoil_salesforce,
        _mend_salesforce,
        id="in bulk",
    ),
    pytest.param("hubspot", _hubspot, _spoil_hubspot, _mend_hubspot, id="hubspot"),
]


@pytest.mark.parametrize(("vendor", "opened", "spoil", "mend"), CASES)
def test_the_rest_of_every_record_is_written_and_what_was_left_out_follows(
    tmp_path: Path,
    vendor: str,
    opened: Callable[..., Destination],
    spoil: Callable[[Any], None],
    mend: Callable[[Any], None],
) -> None:
    clock, state = SteppedClock(STARTED), State(migrated(tmp_path / "state.db"))
    with Sandbox(accounts=4, clock=clock, vendors=(vendor,)) as sandbox:
        crm = opened(sandbox, tmp_path, clock)
        carry_out(crm.plan())
        (page,) = crm.accounts(where="", attributes={})
        ids = [account.id for account in page][: len(TIERS)]
        spoil(sandbox.crm[vendor])
        clock.advance_to(clock.now() + timedelta(hours=1))
        result, watch = _delivered(crm, state, clock, ids)
        assert (result.written, result.failed) == (4, 0), result.named
        assert {one.field: one.effect for one in watch.found} == {
            "score": "left out",
            "coverage": "left out",
            "tier": "blank",
        }
        assert [crm.read([id])[id] for id in ids] == [_held(tier) for tier in (None, "yellow", "green", None)]

        mend(sandbox.crm[vendor])
        carry_out(crm.plan())
        clock.advance_to(clock.now() + timedelta(hours=1))
        result, watch = _delivered(crm, state, clock, ids)
        assert (watch.mended, watch.found, result.failed) == (True, [], 0)
        held = crm.read(ids)
        assert [held[id] for id in ids] == [_held(tier) | {"score": 12.5, "coverage": 90.0} for tier in TIERS]
        crm.close()
    state.close()


def _delivered(crm: Destination, state: State, clock: SteppedClock, ids: list[str]) -> tuple[Delivered, Watch]:
    """What comes of telling these records their values, after a look at the fields."""
    now, worker, result = clock.now(), SimpleNamespace(state=state), Delivered()
    round_ = Round(crm, Rules.model_validate({}), now, now.date())
    watch = Watch(worker, round_)  # type: ignore[arg-type]
    watch.look()
    wanted = [Write(id, {**TOLD, "tier": tier}) for id, tier in zip(ids, TIERS, strict=True)]
    known = state.deliveries.of("crm", ids)
    planned = [Planned(one, one.id, "", known.get(one.id)) for one in wanted]
    deliver(round_, watch.usable(planned), result, save=state.deliveries.save)
    watch.done()
    return result, watch


def _held(tier: str | None) -> dict[str, FieldValue]:
    blank: dict[str, FieldValue] = dict.fromkeys(("change", "next_action", "tier_since", "scored_at", "version"))
    return {**blank, "tier": tier, "reason": TOLD["reason"]}

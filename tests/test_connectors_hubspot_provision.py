"""Provisioning against the stand-in account: what a plan makes and removes, and what it leaves to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.clock import SteppedClock
from connectors.errors import AgainNow, SettingsWrong
from connectors.hubspot import HubSpot
from connectors.sandbox.hubspot_portal import Portal
from connectors.sandbox.server import Sandbox
from tests.served import STARTED, carry_out, connecting, said

FIELDS = dict.fromkeys(("change", "reason", "next_action", "coverage", "tier_since", "scored_at", "version"))
LIST = "Red / at risk"
Opened = Callable[..., HubSpot]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(accounts=3, clock=SteppedClock(STARTED), vendors=("hubspot",)) as served:
        yield served


@pytest.fixture
def portal(sandbox: Sandbox) -> Portal:
    found: Portal = sandbox.crm["hubspot"]
    return found


@pytest.fixture
def opened(sandbox: Sandbox, tmp_path: Path) -> Iterator[Opened]:
    """The account with two of our properties and a list, or with other settings."""
    with connecting(sandbox, "hubspot", tmp_path, fields=FIELDS, active_list=LIST) as connect:
        yield connect


def test_a_plan_makes_group_properties_and_list_and_leaves_nothing_to_plan(opened: Opened, portal: Portal) -> None:
    crm = opened()
    plan = crm.plan()
    assert said(plan) == [
        "create the property group Customer health (bellwether)",
        "create the company property health_score (Health score: number)",
        "create the company property health_tier (Health tier: enumeration)",
        "create the active list 'Red / at risk'",
    ]
    carry_out(plan)
    carry_out(plan)  # whatever is there already is as good as made
    assert crm.plan() == []
    (made,) = portal.lists.values()
    assert (made["name"], made["objectTypeId"], made["processingType"]) == (LIST, "0-2", "DYNAMIC")


def test_pruning_removes_exactly_what_was_made_and_then_finds_nothing(opened: Opened, portal: Portal) -> None:
    groups, properties = dict(portal.groups), dict(portal.properties)
    crm = opened()
    assert crm.plan(prune=True) == []
    carry_out(crm.plan())
    plan = crm.plan(prune=True)
    assert said(plan) == [
        "delete the list 'Red / at risk'",
        "archive the company property health_score",
        "archive the company property health_tier",
        "archive the property group bellwether",
    ]
    carry_out(plan)
    assert crm.plan(prune=True) == []
    assert (portal.groups, portal.properties, portal.lists) == (groups, properties, {})
    carry_out(plan)  # whatever is gone already is as good as removed


def test_an_archived_property_has_to_be_restored_by_a_person(opened: Opened, portal: Portal) -> None:
    crm = opened(active_list=None)
    carry_out(crm.plan())
    carry_out(crm.plan(prune=True))
    plan = crm.plan()
    assert [change.apply for change in plan] == [None, None]
    assert plan[0].what == (
        "restore the company property health_score by hand: "
        "it is under Settings > Properties > Archived, and until then its name is taken"
    )
    portal.properties |= portal.archived_properties
    portal.archived_properties.clear()
    assert crm.plan() == []


def test_pruning_keeps_what_somebody_else_made(opened: Opened, portal: Portal) -> None:
    theirs = opened(fields={**FIELDS, "tier": "plan", "score": "seats"}, group="sales", group_label="Sales")
    portal.groups["sales"] = "Sales"
    portal.properties["theirs"] = portal.properties["seats"].__class__("theirs", "T", "string", "text", group="sales")
    branch = {"filterBranches": [{"filters": [{"property": "arr"}]}]}
    portal.lists["1"] = {"listId": "1", "name": LIST, "filterBranch": branch}
    assert theirs.plan(prune=True) == [
        ("keep the list 'Red / at risk': it was not made by Bellwether", None),
        ("keep the company property seats: it was not made by Bellwether", None),
        ("keep the company property plan: it was not made by Bellwether", None),
        ("keep the property group sales: theirs is in it", None),
    ]


def test_a_property_that_somebody_s_list_uses_is_kept_and_the_refusal_says_where_to_look(
    opened: Opened, portal: Portal
) -> None:
    crm = opened()
    carry_out(crm.plan())
    portal.lists["9"] = {**portal.lists["1"], "listId": "9", "name": "Theirs"}
    with pytest.raises(SettingsWrong, match="VALIDATION_ERROR: something uses it: look at 'Used in'"):
        carry_out(crm.plan(prune=True))
    assert "health_tier" in portal.properties
    del portal.lists["9"]
    carry_out(crm.plan(prune=True))
    assert crm.plan(prune=True) == []


def test_what_only_a_person_can_mend_stands_in_the_plan(opened: Opened, portal: Portal) -> None:
    crm = opened()
    carry_out(crm.plan())
    score = portal.properties["health_score"]
    portal.properties["health_score"] = score.__class__("health_score", "S", "string", "text", built_in=False)
    (change,) = crm.plan()
    assert change.apply is None
    assert change.what.startswith("health_score is of type string, not number: make a new property")


def test_a_scope_that_lacks_is_named(opened: Opened, portal: Portal) -> None:
    portal.missing_scopes.add("crm.lists.write")
    with pytest.raises(SettingsWrong, match="lacks the scopes crm"):
        carry_out(opened().plan())


def test_answers_lost_on_the_way_do_not_keep_it_from_being_done_once(opened: Opened, portal: Portal) -> None:
    """Every second call is carried out and its answer lost: each step is tried again by itself."""
    crm = opened()
    calls: list[str] = []
    once = crm._client._rationed

    def losing(sent: str, method: str, path: str, label: str, **parts: object) -> object:
        answer = once(sent, method, path, label, **parts)
        calls.append(label)
        if label == "setup" and len(calls) % 2:
            raise AgainNow("no answer", place="hubspot", unanswered=True)
        return answer

    crm._client._rationed = losing  # type: ignore[method-assign, assignment]
    carry_out(crm.plan())
    assert crm.plan() == []
    assert len(portal.lists) == 1
    carry_out(crm.plan(prune=True))
    assert crm.plan(prune=True) == []
    assert len(calls) > 20

"""Who last set a property of a company, as the stand-in's property history tells, and in single answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.base import Author
from connectors.clock import SteppedClock
from connectors.hubspot import HubSpot, Settings
from connectors.hubspot.authors import MACHINES, PEOPLE
from connectors.hubspot.mirrored import SAMPLE
from connectors.sandbox.server import Sandbox
from tests.hubspot_stub import Portal, hubspot
from tests.loopback import Answer, Loopback
from tests.served import STARTED, connected, next_minute, tools


@pytest.fixture(scope="module")
def clock():
    return SteppedClock(STARTED)


@pytest.fixture(scope="module")
def sandbox(clock):
    with Sandbox(accounts=120, clock=clock, vendors=("hubspot",)) as served:
        yield served


@pytest.fixture
def crm(sandbox, clock, tmp_path):
    made = connected(sandbox, "hubspot", tools(tmp_path, clock), fields={"tier": "plan"})
    yield made
    made.close()


@pytest.mark.parametrize(
    ("by", "author"),
    [
        ("api", Author("us")),
        ("app", Author("machine", "INTEGRATION")),
        ("sync", Author("machine", "SALESFORCE")),
        ("workflow", Author("machine", "AUTOMATION_PLATFORM")),
        ("import", Author("machine", "IMPORT")),
        ("human", Author("person", "HubSpot user 88000002")),
        ("Ada Brook", Author("person", "Ada Brook")),
        ("bulk", None),
    ],
)
def test_the_newest_entry_of_the_history_tells_who_set_it(sandbox, crm, clock, by, author):
    portal = sandbox.crm["hubspot"]
    portal.set_field(portal.order[0], "plan", "free", by="human")
    next_minute(clock)
    portal.set_field(portal.order[0], "plan", "pro", by=by)
    found = crm.authors("tier", portal.order[:1])
    assert found == ({} if author is None else {portal.order[0]: author._replace(at=clock.now())})


def test_histories_are_read_fifty_at_a_time_and_a_name_is_asked_once(sandbox, crm):
    portal = sandbox.crm["hubspot"]
    for record in portal.order[:120]:
        portal.set_field(record, "plan", "enterprise", by="Ben Castillo")
    portal.delete(portal.order[-1])
    found = crm.authors("tier", [*portal.order[:120], *portal.order[:2], portal.order[-1], "1"])
    assert {author.name for author in found.values()} == {"Ben Castillo"}
    assert list(found) == sorted(portal.order[:120], key=list(found).index)
    assert crm.calls["read"] == 3 + 1


def test_a_token_that_may_not_read_owners_leaves_a_person_the_number(sandbox, crm):
    portal = sandbox.crm["hubspot"]
    portal.set_field(portal.order[0], "plan", "pro", by="Ada Brook")
    portal.missing_scopes.add("crm.objects.owners.read")
    [author] = crm.authors("tier", portal.order[:1]).values()
    portal.missing_scopes.clear()
    assert author.by == "person"
    assert author.name == f"HubSpot user {next(n for n, name in portal.owners.items() if name == 'Ada Brook')}"


def test_a_field_that_the_settings_leave_out_has_no_author(sandbox, clock, tmp_path):
    given = {"base_url": sandbox.urls["hubspot"], "access_token": "sandbox-hubspot", "fields": {"tier": None}}
    crm = HubSpot("hubspot", Settings.model_validate(given), tools(tmp_path, clock))
    assert crm.authors("tier", sandbox.crm["hubspot"].order[:1]) == {}
    assert crm.calls == {}
    crm.close()


def test_check_warns_of_a_property_that_hubspot_s_own_sync_writes_too(sandbox, crm, clock):
    portal, place = sandbox.crm["hubspot"], "destinations.hubspot.fields.tier"
    next_minute(clock)
    for record in list(portal.live())[-SAMPLE:]:  # not what a search finds first, but what changed last
        portal.set_field(record, "plan", "pro", by="sync")
        portal.set_field(record, "plan", "free", by="api")
    warnings = [one for one in crm.check(where="", attributes={}) if one.place == place and one.ok and one.remedy]
    [warning] = warnings
    assert warning.message == "HubSpot's own sync with Salesforce wrote plan on 50 of 50 companies"
    assert "Don't sync" in warning.remedy


def test_check_says_nothing_of_a_sync_where_no_company_has_a_tier(sandbox, clock, tmp_path):
    given = {"base_url": sandbox.urls["hubspot"], "access_token": "sandbox-hubspot", "fields": {"tier": "description"}}
    crm = HubSpot("hubspot", Settings.model_validate(given), tools(tmp_path, clock))
    found = [one for one in crm.check(where="", attributes={}) if one.place.endswith("fields.tier")]
    assert [(one.ok, one.remedy) for one in found] == [(True, "")]
    crm.close()


def entry(source, minutes=0, **more):
    return {
        "value": "red",
        "timestamp": (STARTED + timedelta(minutes=minutes)).isoformat(),
        "sourceType": source,
        **more,
    }


@pytest.fixture
def portal():
    return Portal()


@pytest.fixture
def stubbed(portal, tmp_path):
    with Loopback(portal) as server:
        made = hubspot(server, tmp_path)
        yield made
        made.close()


def histories(**by_id):
    results = [
        {"id": id.removeprefix("c"), "propertiesWithHistory": {"health_tier": entries}} for id, entries in by_id.items()
    ]
    return lambda asked: Answer(body={"status": "COMPLETE", "results": results})


def test_entries_are_sorted_by_their_time_whatever_their_order(portal, stubbed):
    portal.script["POST batch/read"] = histories(c1=[entry("IMPORT", 1), entry("SALESFORCE", 2), entry("CRM_UI", 0)])
    assert stubbed.authors("tier", ["1"]) == {"1": Author("machine", "SALESFORCE", STARTED + timedelta(minutes=2))}


def test_without_a_known_app_every_integration_is_a_machine(portal, stubbed):
    portal.script["POST batch/read"] = histories(
        c1=[entry("INTEGRATION", sourceId="18221010", sourceLabel="Bellwether")], c2=[entry("INTEGRATION")]
    )
    found = stubbed.authors("tier", ["1", "2"])
    assert found == {"1": Author("machine", "Bellwether", STARTED), "2": Author("machine", "INTEGRATION", STARTED)}
    assert stubbed.authors("tier", ["1", "2"]) == found


def test_an_empty_history_a_merged_company_and_an_unknown_word_tell_nothing(portal, stubbed):
    portal.script["POST batch/read"] = histories(c1=[], c9=[entry("CRM_UI")], c3=[entry("BREEZE_AGENT")], c4=None)
    assert stubbed.authors("tier", ["1", "2", "3", "4"]) == {}


def test_a_person_without_a_number_has_no_name(portal, stubbed):
    portal.script["POST batch/read"] = histories(c1=[entry("MOBILE_IOS")])
    assert stubbed.authors("tier", ["1"]) == {"1": Author("person", "", STARTED)}


def test_no_word_means_both_a_person_and_a_machine():
    assert not PEOPLE & MACHINES

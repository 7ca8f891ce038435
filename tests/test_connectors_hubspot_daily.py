"""What HubSpot tells of the calls of its day, and how many of them are made."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.base import Allowance, Outcome, Write
from connectors.errors import WaitUntil
from connectors.hubspot import HubSpot
from tests.hubspot_stub import Portal, fixtures, limited
from tests.loopback import Answer, Loopback, in_turn

USAGE, DETAILS = "GET account-info/2026-03/api-usage/daily/private-apps", "GET account-info/2026-03/details"
TEN_SECONDS = {"X-HubSpot-RateLimit-Max": "190", "X-HubSpot-RateLimit-Interval-Milliseconds": "10000"}
DAY = {"X-HubSpot-RateLimit-Daily": "650000", "X-HubSpot-RateLimit-Daily-Remaining": "649990"}
READ = {"results": [{"id": "1", "properties": {}}]}
WRITES = [Write(str(number), {"score": 50.0}) for number in range(1000)]

portal, served, crm = fixtures()


def _usage(**changes: Any) -> Answer:
    told = {"name": "private-apps-api-calls-daily", "usageLimit": 1000, "currentUsage": 400, "fetchStatus": "SUCCESS"}
    return Answer(body={"results": [told | changes]})


def test_what_is_left_of_the_day_stands_beside_every_answer_and_costs_no_call(portal: Portal, crm: HubSpot) -> None:
    portal.script["POST batch/read"] = in_turn(Answer(body=READ, headers=DAY | TEN_SECONDS))
    crm.read(["1"])
    assert crm.allowance() == Allowance(650_000, 649_990)
    assert crm.calls == {"read": 1}


def test_an_answer_that_refuses_tells_it_too(portal: Portal, crm: HubSpot) -> None:
    portal.script["POST batch/read"] = in_turn(
        limited("DAILY", **DAY | {"X-HubSpot-RateLimit-Daily-Remaining": "0"} | TEN_SECONDS)
    )
    with pytest.raises(WaitUntil):
        crm.read(["1"])
    assert crm.allowance() == Allowance(650_000, 0)


@pytest.mark.parametrize(("used", "left"), [(400, 600), (1200, 0)])
def test_it_is_asked_for_with_one_call_where_no_answer_has_told_it(
    portal: Portal, crm: HubSpot, used: int, left: int
) -> None:
    portal.script[USAGE] = in_turn(_usage(currentUsage=used))
    assert crm.allowance() == Allowance(1000, left)
    assert crm.calls == {"limits": 1}


@pytest.mark.parametrize("answer", [_usage(fetchStatus="TIMEOUT"), Answer(body={"results": []}), Answer(403, "no")])
def test_nothing_is_made_up_where_the_account_does_not_tell(portal: Portal, crm: HubSpot, answer: Answer) -> None:
    portal.script[USAGE] = in_turn(answer)
    assert crm.allowance() is None


def test_an_app_with_oauth_has_no_daily_limit_though_the_account_has(portal: Portal, crm: HubSpot) -> None:
    portal.script["POST batch/read"] = in_turn(Answer(body=READ, headers=TEN_SECONDS))
    crm.read(["1"])
    assert crm.allowance() is None
    assert crm.calls == {"read": 1}


def test_the_day_ends_at_the_accounts_own_midnight(portal: Portal, crm: HubSpot) -> None:
    answers = [Answer(body={"timeZone": zone}) for zone in ("US/Eastern", "Nowhere/At all", "../../etc/passwd")]
    portal.script[DETAILS] = in_turn(*answers, Answer(403, "no"))
    assert [crm.midnight() for _ in range(4)] == [ZoneInfo("US/Eastern"), None, None, None]


def test_no_call_is_made_beyond_the_ration_though_several_are_in_flight(served: Loopback, crm: HubSpot) -> None:
    crm.ration(3)
    written: list[Outcome] = []
    with pytest.raises(WaitUntil, match="no calls of the day are left to this worker") as raised:
        written.extend(crm.write(WRITES))
    assert raised.value.quota
    assert (len(served.asked), len(written)) == (3, 300)
    crm.ration(None)
    assert len(list(crm.write(WRITES))) == 1000


def test_once_the_day_is_used_up_nobody_calls_until_a_new_ration(
    portal: Portal, served: Loopback, crm: HubSpot
) -> None:
    portal.script["POST batch/read"] = in_turn(limited("DAILY"), Answer(body={"results": []}))
    for _ in range(3):
        with pytest.raises(WaitUntil, match=r"^destinations.hubspot: the account's API allowance for the day"):
            crm.read(["1"])
    assert len(served.asked) == 1
    crm.ration(None)
    assert crm.read(["1"]) == {}

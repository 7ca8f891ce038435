"""The account's calls of a day, which all its private apps share and which begin again at its own midnight.

Answers tell them in headers, but for searches and for apps with OAuth, which have no daily limit.
https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines
"""

from __future__ import annotations

from zoneinfo import ZoneInfo, available_timezones

from connectors.base import Allowance
from connectors.errors import SettingsWrong, as_expected
from connectors.hubspot.client import Client

KNOWN = ("SUCCESS", "CACHED")  # what `fetchStatus` says of a figure that is one


def allowance(client: Client) -> Allowance | None:
    """As the last answer told it, else asked for; None for an app without a daily limit, or where nothing is told."""
    if client.allowance is None and not client.told:
        try:
            answer = client.get(f"/account-info/{client.date}/api-usage/daily/private-apps", label="limits")
        except SettingsWrong:  # an app that may not ask; the account refuses the call too many all the same
            return client.allowance
        with as_expected(client.place):
            found = next((one for one in answer["results"] if one.get("fetchStatus") in KNOWN), None)
            if client.allowance is None and not client.told and found is not None:
                limit = int(found["usageLimit"])
                return Allowance(limit, max(0, limit - int(found["currentUsage"])))
    return client.allowance


def midnight(client: Client) -> ZoneInfo | None:
    """The account's timezone; None, which is stricter, where it may not be asked or is not known on this machine."""
    try:
        answer = client.get(f"/account-info/{client.date}/details", label="limits")
    except SettingsWrong:
        return None
    with as_expected(client.place):
        name = str(answer["timeZone"])
    return ZoneInfo(name) if name in available_timezones() else None

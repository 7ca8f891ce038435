"""What time it is elsewhere: whoever answers over HTTP dates the answer, one to a stranger as well."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from connectors.address import trusted

SHORT = 5.0  # seconds; a pass is not held up for long by a vendor that is down


def told_time(address: str) -> datetime | None:
    """The time, to the second, by the clock of whoever answers at this address; None where nobody does, or says.

    It is asked without a credential, so vendors count no call, and a redirect is an answer like any other.
    """
    try:
        answer = httpx.head(address, verify=trusted(), timeout=SHORT)
        moment = parsedate_to_datetime(answer.headers.get("date", ""))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)

"""What each vendor says when it refuses (429), breaks (500) or is closed (503): status, headers, body.

HubSpot names a policy and promises no Retry-After; Mixpanel promises none either; Salesforce says "too busy"
with 503; Zendesk sends seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

JSON = "application/json"
TEXT = "text/plain"


class Refusal(NamedTuple):
    status: int
    body: bytes
    media_type: str = JSON
    headers: Mapping[str, str] = {}


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Refusal:
    return Refusal(status, json.dumps(body).encode(), JSON, headers or {})


_MIXPANEL_BUSY = {
    "request": "/api/2.0/export",
    "error": "Export rate limit exceeded for project_id: 1000001. 60/60 queries running in the last hour.",
}
_HUBSPOT_BUSY = {
    "status": "error",
    "message": "You have reached your ten_secondly_rolling limit.",
    "errorType": "RATE_LIMIT",
    "correlationId": "00000000-0000-4000-8000-000000000429",
    "policyName": "TEN_SECONDLY_ROLLING",
}
_HUBSPOT_BROKEN = {
    "status": "error",
    "message": "internal error",
    "correlationId": "00000000-0000-4000-8000-000000000500",
}
_ZENDESK_BUSY = {
    "error": "APIRateLimitExceeded",
    "description": "Number of allowed API requests per minute exceeded",
}
_SALESFORCE_BUSY = [{"message": "ConcurrentPerOrgLongTxn Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
_SALESFORCE_BROKEN = [{"message": "An unexpected error occurred.", "errorCode": "UNKNOWN_EXCEPTION"}]
_SALESFORCE_CLOSED = [{"message": "Server too busy.", "errorCode": "SERVER_UNAVAILABLE"}]

_REFUSALS: dict[tuple[str, str], Refusal] = {
    ("zendesk", "refused"): _json(429, _ZENDESK_BUSY, {"Retry-After": "30"}),
    ("zendesk", "broken"): _json(500, {"error": "InternalServerError"}),
    ("zendesk", "closed"): Refusal(503, b"Service Unavailable\n", TEXT, {"Retry-After": "20"}),
    ("mixpanel", "refused"): _json(429, _MIXPANEL_BUSY),
    ("mixpanel", "broken"): Refusal(500, b"Internal Server Error\n", TEXT),
    ("mixpanel", "closed"): Refusal(503, b"Service Unavailable\n", TEXT, {"Retry-After": "20"}),
    ("salesforce", "refused"): _json(503, _SALESFORCE_BUSY, {"Retry-After": "5"}),
    ("salesforce", "broken"): _json(500, _SALESFORCE_BROKEN),
    ("salesforce", "closed"): _json(503, _SALESFORCE_CLOSED, {"Retry-After": "20"}),
    ("hubspot", "refused"): _json(429, _HUBSPOT_BUSY),
    ("hubspot", "broken"): _json(500, _HUBSPOT_BROKEN),
    ("hubspot", "closed"): Refusal(503, b"Service Unavailable\n", TEXT, {"Retry-After": "20"}),
}


def refusal(vendor: str, kind: str) -> Refusal:
    """The vendor's own words for `refused`, `broken` or `closed`."""
    return _REFUSALS[vendor, kind]

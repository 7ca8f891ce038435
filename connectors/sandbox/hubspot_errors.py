"""The bodies of the simulated HubSpot account's refusals."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.sandbox.crm import Refused
from connectors.sandbox.hubspot_properties import ValueRefused

_SPACE = uuid.UUID("00000000-0000-4000-8000-000000000000")

RATE_MESSAGES = {
    "TEN_SECONDLY_ROLLING": "You have reached your ten_secondly_rolling limit.",
    "SECONDLY": "You have reached your secondly limit.",
    "DAILY": "You have reached your daily limit.",
}


def body(category: str, message: str, **more: Any) -> dict[str, Any]:
    """An error as every endpoint words it; the same error always has the same correlation id."""
    correlation = str(uuid.uuid5(_SPACE, category + message))
    return {"status": "error", "message": message, "correlationId": correlation, "category": category, **more}


def invalid(message: str, **more: Any) -> Refused:
    return Refused(400, body("VALIDATION_ERROR", message, **more))


def unauthorized(*, expired: bool) -> Refused:
    if expired:
        message = "The OAuth token used to make this call expired 1 hour(s) ago."
        return Refused(401, body("EXPIRED_AUTHENTICATION", message))
    message = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
    return Refused(401, body("INVALID_AUTHENTICATION", message))


def missing_scopes(scopes: Sequence[str]) -> Refused:
    message = "This app hasn't been granted all required scopes to make this call."
    context = {"requiredGranularScopes": list(scopes)}
    detail = {"message": "One or more of the following scopes are required.", "context": context}
    links = {"scopes": "https://developers.hubspot.com/scopes"}
    return Refused(403, body("MISSING_SCOPES", message, errors=[detail], links=links))


def too_many(policy: str) -> Refused:
    message = RATE_MESSAGES[policy]
    correlation = str(uuid.uuid5(_SPACE, policy))
    said = {"status": "error", "message": message, "errorType": "RATE_LIMIT", "correlationId": correlation}
    return Refused(429, said | {"policyName": policy})


def locked() -> Refused:
    return Refused(423, body("LOCKED", "The objects are being changed by another process; try again later."))


def not_found(message: str = "resource not found") -> Refused:
    return Refused(404, body("OBJECT_NOT_FOUND", message))


def values_message(refused: Sequence[ValueRefused]) -> str:
    """The words of a refused value, with the details as JSON inside."""
    details = json.dumps([one.detail() for one in refused], separators=(",", ":"))
    return f"Property values were not valid: {details}"


def row(category: str, message: str, context: Mapping[str, list[str]]) -> dict[str, Any]:
    """An error about some of a batch's inputs."""
    return {
        "status": "error",
        "category": category,
        "message": message,
        "context": dict(context),
        "links": {},
        "errors": [],
    }

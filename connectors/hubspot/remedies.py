"""HubSpot's error categories, sorted by what the worker does next.

A body is `{category, message, context, errors: [...]}` with any part missing; what is wrong with a property stands as
JSON inside the message. Messages repeat record values, so only codes, scopes and property names are kept.
https://developers.hubspot.com/docs/api-reference/error-handling
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from connectors.base import Remedy
from connectors.errors import AgainNow, ConnectorError, RowWrong, SettingsWrong, SignInAgain, WaitUntil

QUOTA_PAUSE = 3600.0  # the day ends at midnight in the portal's own timezone, which no header tells
POLICY_SECONDS = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0}
MIGRATION = 477  # an account on its way to another data centre; Retry-After says for how long
MISSING_PROPERTY = "PROPERTY_DOESNT_EXIST"
_CODE = re.compile(r"[A-Za-z_0-9]{1,80}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_SCOPE = re.compile(r"[a-z0-9._-]{1,80}")
_PROPERTY = re.compile(r'Property "?([a-z][a-z0-9_]{0,99})"? does not exist')

_ROWS: Mapping[str, tuple[Remedy, str]] = {
    "OBJECT_NOT_FOUND": ("gone", "the company was deleted or merged"),
    MISSING_PROPERTY: ("settings", "a property does not exist"),
    "INVALID_OPTION": ("settings", "the property lacks a tier value"),
    "READ_ONLY_VALUE": ("settings", "a property is read-only"),
    "INVALID_INTEGER": ("settings", "a property is not of the expected type"),
    "INVALID_LONG": ("settings", "a property is not of the expected type"),
    "INVALID_DOUBLE": ("settings", "a property is not of the expected type"),
    "INVALID_NUMBER": ("settings", "a property is not of the expected type"),
    "INVALID_DATE": ("settings", "a property is not of the expected type"),
    "REQUIRED_FIELD": ("row", "the company lacks a property that the account requires"),
    "VALIDATION_ERROR": ("row", "a validation rule of the account refuses the company"),
    "CONFLICT": ("row", "the change conflicts with another company"),
    "RATE_LIMITS": ("again", "HubSpot was busy with this company"),
    "INTERNAL_ERROR": ("again", "HubSpot was busy with this company"),
}


class Verdict(NamedTuple):
    """A row's failure: the vendor's code, our words for it, and the remedy."""

    code: str
    message: str
    remedy: Remedy


def verdict(error: Mapping[str, Any]) -> Verdict:
    """What to make of an error about one company."""
    details = list(_details(error))
    category = _word(error.get("category"))
    known = [detail for detail in details if detail[0] in _ROWS]
    code = (known or details or [(category or "UNKNOWN", "")])[0][0]
    again: tuple[Remedy, str] = ("again", "HubSpot was busy with this company")
    remedy, words = _ROWS.get(code) or _ROWS.get(category) or ("row", "HubSpot refused the company")
    if str(error.get("status")).isdigit() and int(str(error["status"])) >= 500:
        remedy, words = again
    names = [name for _, name in details if name]
    return Verdict(code, words + (f" ({', '.join(names[:3])})" if names else ""), remedy)


def sorted_call(status: int, body: Mapping[str, Any], headers: Mapping[str, str], place: str) -> ConnectorError:
    """The error whose remedy fits a call that failed. `RowWrong` when something in the body was refused."""
    with suppress(AttributeError, LookupError, TypeError, ValueError):  # a body of another form says nothing
        return _sorted(status, body, headers, place)
    return _sorted(status, {}, headers, place)


def _sorted(status: int, body: Mapping[str, Any], headers: Mapping[str, str], place: str) -> ConnectorError:
    if status == 429:
        return _limit(body, headers, place)
    if status in (408, 423, 425, MIGRATION) or status >= 500:
        seconds = _seconds(headers)
        if seconds is None:
            return AgainNow(f"HubSpot answered {status}", place=place)
        return WaitUntil(f"HubSpot answered {status}", seconds=seconds, place=place)
    if status in (400, 404, 409, 422) and _word(body.get("category")):
        found = verdict(body)
        if found.code == MISSING_PROPERTY:
            return SettingsWrong(f"{found.message}; run `bellwether provision --apply`", place=place)
        return RowWrong(found.message, code=found.code, place=place)
    kind = SignInAgain if status == 401 else SettingsWrong
    return kind(f"HubSpot answered {status}: {_words(status, body)}", place=place)


def _limit(body: Mapping[str, Any], headers: Mapping[str, str], place: str) -> ConnectorError:
    policy = str(body.get("policyName") or "")
    if policy == "DAILY":
        words = "the account's API allowance for the day is used up; other apps share it"
        return WaitUntil(words, seconds=QUOTA_PAUSE, place=place, quota=True)
    interval = headers.get("x-hubspot-ratelimit-interval-milliseconds", "")
    by_header = float(interval) / 1000 if interval.isascii() and interval.isdigit() else 10.0
    seconds = _seconds(headers)
    if seconds is None:
        seconds = POLICY_SECONDS.get(policy, by_header)
    return WaitUntil("HubSpot's rate limit was reached", seconds=seconds, place=place)


def _seconds(headers: Mapping[str, str]) -> float | None:
    asked = headers.get("retry-after", "").strip()
    return float(asked) if asked.isascii() and asked.isdigit() else None


def _words(status: int, body: Mapping[str, Any]) -> str:
    if 300 <= status < 400:
        return "it points to another address, which is never followed; check base_url"
    if status == 401:
        return (
            "the access token is wrong, expired or revoked; put a new one into access_token, or authorize the app again"
        )
    if status == 403:
        scopes = sorted(set(_scopes(body)))
        named = f"the scopes {', '.join(scopes)}" if scopes else "a scope"
        return f"the access token lacks {named}; add what is missing to the app and take its new token"
    if status == 404:
        return "nothing is at this path; check base_url and api_date"
    return "the request was refused; check the settings"


def _scopes(body: Mapping[str, Any]) -> Iterator[str]:
    for error in (body, *(body.get("errors") or ())):
        context = error.get("context") if isinstance(error, Mapping) else None
        for key in ("missingScopes", "requiredGranularScopes", "requiredScopes"):
            for scope in (context or {}).get(key) or ():
                if _SCOPE.fullmatch(str(scope)):
                    yield str(scope)


def _details(error: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Codes with property names: from the JSON in the message, and from the list of errors."""
    message = str(error.get("message") or "")
    for detail in (*_embedded(message), *(error.get("errors") or ())):
        if not isinstance(detail, Mapping):
            continue
        code = _word(detail.get("error") or detail.get("code"))
        named = (detail.get("context") or {}).get("propertyName") or ()
        name = str(detail.get("name") or (named[0] if named else "") or "")
        if code:
            yield code, name if _NAME.fullmatch(name) else ""
    found = _PROPERTY.search(message)
    if found:
        yield MISSING_PROPERTY, found[1]


def _embedded(message: str) -> list[Any]:
    start = message.find("[{")
    try:
        parsed, _ = json.JSONDecoder().raw_decode(message, start) if start >= 0 else ([], 0)
    except ValueError:
        return []
    return parsed if isinstance(parsed, list) else []


def _word(value: object) -> str:
    text = str(value or "")
    return text if _CODE.fullmatch(text) else ""

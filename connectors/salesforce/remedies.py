"""Salesforce's error codes, sorted by what the worker does next.

A call fails with a list of `{errorCode, message}`; a row inside a successful call with `{statusCode, message,
fields}`; a bulk row with `CODE:message:fields --`. Messages repeat record values, so only codes and field
names are kept and the words are ours.
https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_concepts_core_data_objects.htm
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from connectors.base import Remedy
from connectors.errors import AgainNow, ConnectorError, RowWrong, SettingsWrong, SignInAgain, WaitUntil

LOCKED = "UNABLE_TO_LOCK_ROW"
QUOTA_PAUSE = 3600.0  # the allowance is a rolling 24 hours: some of it is back every hour

SIGNED_OUT = {"INVALID_SESSION_ID", "InvalidSessionId", "INVALID_AUTH_HEADER"}
PASSING = {
    LOCKED,
    "SERVER_UNAVAILABLE",
    "UNKNOWN_EXCEPTION",
    "REQUEST_RUNNING_TOO_LONG",
    "QUERY_TIMEOUT",
    "TXN_SECURITY_METERING_ERROR",
    "API_CURRENTLY_DISABLED",
}
# One row (or the record being made) spoils the call.
ROW_IN_CALL = {
    "JSON_PARSER_ERROR",
    "MALFORMED_ID",
    "INVALID_ID_FIELD",
    "DUPLICATE_VALUE",
    "DUPLICATE_DEVELOPER_NAME",
    "NUMBER_OUTSIDE_VALID_RANGE",
}
SETTINGS = {
    "MALFORMED_QUERY": "it does not understand the query; correct accounts.where",
    "INVALID_QUERY_FILTER_OPERATOR": "accounts.where compares a field in a way its type does not allow",
    "INVALID_TYPE": "the integration user cannot see the object; give it read and edit access to Account",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "a field cannot be edited; give the integration user edit access",
    "DEPENDENCY_EXISTS": "something in the org uses the field; see 'Where is this used?' there, and take it out first",
    "METHOD_NOT_ALLOWED": "it does not offer this by its API; do it by hand in Setup",
    "DELETE_FAILED": "something in the org still uses it; take it out there first",
    "API_DISABLED_FOR_ORG": "its edition or the integration user lacks API access; switch on 'API Enabled'",
    "INSUFFICIENT_ACCESS": "the integration user lacks a permission for this",
    "INSUFFICIENT_ACCESS_OR_READONLY": "the integration user lacks a permission for this",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": "the integration user lacks a permission for this",
    "UNSUPPORTED_API_VERSION": "it does not serve this api_version",
    "NOT_FOUND": "nothing is at this path; check base_url and api_version",
}
_MISSING_COLUMN = re.compile(r"No such column '([A-Za-z0-9_.]{1,200})'")
_MISSING_IN_JOB = re.compile(r"Field name not found : ([A-Za-z0-9_]{1,80})")
_CODE = re.compile(r"[A-Za-z_0-9]{1,80}")

_ROWS: Mapping[str, tuple[Remedy, str]] = {
    **dict.fromkeys(PASSING, ("again", "Salesforce was busy with this record")),
    "PROCESSING_HALTED": ("again", "Salesforce stopped before this record"),
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": ("again", "rolled back with another record"),
    "REQUEST_LIMIT_EXCEEDED": ("again", "the org's API allowance was used up"),
    "LIMIT_EXCEEDED": ("again", "a Salesforce limit was reached"),
    "ENTITY_IS_DELETED": ("gone", "the record was deleted or merged"),
    "INVALID_CROSS_REFERENCE_KEY": ("gone", "there is no such record, or the integration user cannot see it"),
    "NOT_FOUND": ("gone", "there is no such record"),
    "INVALID_FIELD": ("settings", "a field is missing, or hidden by field-level security"),
    "INVALID_FIELD_FOR_INSERT_UPDATE": ("settings", "a field cannot be edited by the integration user"),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": ("settings", "the picklist lacks a tier value"),
    "INVALID_TYPE_ON_FIELD_IN_RECORD": ("settings", "a field has another type than expected"),
    "STRING_TOO_LONG": ("settings", "a text field is shorter than Salesforce described it"),
    "NUMBER_OUTSIDE_VALID_RANGE": ("settings", "a number field has too few digits"),
    "STORAGE_LIMIT_EXCEEDED": ("settings", "the org's storage is full"),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": ("row", "a validation rule of the org refuses the record"),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": ("row", "a trigger or flow of the org failed on the record"),
    "REQUIRED_FIELD_MISSING": ("row", "the record lacks a field that the org requires"),
    "DUPLICATES_DETECTED": ("row", "a duplicate rule of the org refuses the record"),
    "INSUFFICIENT_ACCESS_OR_READONLY": ("row", "the integration user may not edit this record"),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": ("row", "the integration user may not edit this record"),
    "MALFORMED_ID": ("row", "this is not a Salesforce id"),
}


class Absent(SettingsWrong):
    """Nothing is at this path, or nothing any more."""


class Beyond(SettingsWrong):
    """A bulk job is in a state from which it cannot come into the one that was asked for."""


class Verdict(NamedTuple):
    """A row's failure: the vendor's code, our words for it, and the remedy."""

    code: str
    message: str
    remedy: Remedy


NO_RESULT = Verdict("NO_RESULT", "Salesforce did not say what became of this record", "again")


def verdict(code: str, fields: Iterable[str] = ()) -> Verdict:
    """What to make of a row that was refused with `code` for the sake of `fields`."""
    remedy, words = _ROWS.get(code, ("row", "Salesforce refused the record"))
    named = [name for name in fields if _CODE.fullmatch(name)]
    return Verdict(code, words + (f" ({', '.join(named[:3])})" if named else ""), remedy)


def row_verdict(errors: object) -> Verdict:
    """The first error of a collection's result."""
    first = _first(errors)
    fields = first.get("fields")
    return verdict(_code(first), [str(name) for name in fields] if isinstance(fields, list) else ())


def bulk_verdict(text: str) -> Verdict:
    """A failed bulk row's `CODE:message:Field, Field --`."""
    code, *rest = text.split(":")
    last = rest[-1].removesuffix("--").strip() if rest else ""
    known = code if _CODE.fullmatch(code) else "UNKNOWN"
    return verdict(known, [name.strip() for name in last.split(",") if name.strip()])


def job_verdict(job: Mapping[str, Any]) -> Verdict:
    """What to make of the rows that a bulk job did not get to, by how it says that it ended."""
    if found := _MISSING_IN_JOB.search(str(job.get("errorMessage"))):
        return verdict("INVALID_FIELD", [found[1]])
    return Verdict("UNPROCESSED", "Salesforce did not get to this record", "again")


def sorted_call(status: int, body: object, place: str) -> ConnectorError:
    """The error whose remedy fits a call that failed with `status` and the parsed (or raw) `body`."""
    error = _first(body)
    code, message = _code(error), str(error.get("message") or "")
    if code in SIGNED_OUT or status == 401:
        return SignInAgain("Salesforce ended the session", place=place)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return _limit(message, place)
    if code in PASSING or status in (408, 420, 423, 425, 429) or status >= 500:
        return AgainNow(f"Salesforce answered {status} {code}", place=place)
    if code in ROW_IN_CALL:
        return RowWrong(verdict(code).message, code=code, place=place)
    kind = {"NOT_FOUND": Absent, "INVALIDJOBSTATE": Beyond}.get(code, SettingsWrong)
    return kind(f"Salesforce answered {status} {code}: {_words(status, code, message)}", place=place)


def _limit(message: str, place: str) -> ConnectorError:
    if "concurrent" in message.lower():
        return AgainNow("too many long calls at once in this org", place=place)
    words = "the org's API allowance for 24 hours is used up; other integrations share it"
    return WaitUntil(words, seconds=QUOTA_PAUSE, place=place, quota=True)


def _words(status: int, code: str, message: str) -> str:
    if 300 <= status < 400:
        return "it points to another address, which is never followed; check base_url"
    if status == 410:
        return SETTINGS["UNSUPPORTED_API_VERSION"]
    if code == "INVALID_FIELD":
        found = _MISSING_COLUMN.search(message)
        named = f"the field {found[1]}" if found else "a field"
        return f"{named} is missing, or hidden from the integration user by field-level security"
    return SETTINGS.get(code, "the request was refused; check the settings and the integration user's permissions")


def _first(body: object) -> Mapping[str, Any]:
    if isinstance(body, list):
        body = body[0] if body else {}
    return body if isinstance(body, Mapping) else {}


def _code(error: Mapping[str, Any]) -> str:
    code = str(error.get("errorCode") or error.get("statusCode") or error.get("exceptionCode") or "")
    return code if _CODE.fullmatch(code) else "UNKNOWN"

"""The OAuth desk of the simulated HubSpot account: access tokens of half an hour against a refresh token.

HubSpot hands the same refresh token out again. With `rotates` it does what its answer leaves open to it: a new one each
time, which ends the one before and the access token that came with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

from connectors.sandbox.credentials import HUBSPOT_CLIENT, HUBSPOT_REFRESH
from connectors.sandbox.crm import Call, Refused
from connectors.sandbox.hubspot_errors import body
from connectors.sandbox.hubspot_portal import APP_ID, APP_USER, PORTAL, Portal

LIFE = 1800  # seconds


class Desk:
    """Hands out access tokens for the account's calls; `Portal.tokens` and `expired` say which are good."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._refresh, self._access, self._made = HUBSPOT_REFRESH, "", 0

    def token(self, call: Call) -> dict[str, Any]:
        form = _form(call)
        if form.get("grant_type") != "refresh_token":
            raise Refused(400, body("VALIDATION_ERROR", "unsupported grant_type", subCategory="INVALID_GRANT_TYPE"))
        if form.get("refresh_token") != self._refresh:
            raise Refused(
                400, body("VALIDATION_ERROR", "missing or invalid refresh token", subCategory="INVALID_GRANT")
            )
        self._made += 1
        if self._portal.rotates:
            self._portal.expired.add(self._access)
            self._refresh = f"{HUBSPOT_REFRESH}-{self._made}"
        self._access = f"sandbox-access-{self._made}"
        self._portal.tokens.add(self._access)
        self._portal.ends[self._access] = self._portal.clock.now() + timedelta(seconds=LIFE)
        return self._told() | {"access_token": self._access, "refresh_token": self._refresh, "expires_in": LIFE}

    def introspect(self, call: Call) -> dict[str, Any]:
        form = _form(call)
        if form.get("token") != self._access or not self._portal.signed_in(self._access):
            return {"active": False}
        told = {"active": True, "token": self._access, "app_id": int(APP_ID), "client_id": HUBSPOT_CLIENT[0]}
        return self._told() | told

    def _told(self) -> dict[str, Any]:
        return {"token_type": "bearer", "token_use": "access_token", "hub_id": PORTAL, "user_id": APP_USER}


def _form(call: Call) -> Mapping[str, str]:
    form = dict(parse_qsl(call.body.decode("utf-8", errors="replace")))
    if (form.get("client_id"), form.get("client_secret")) != HUBSPOT_CLIENT:
        raise Refused(401, body("INVALID_AUTHENTICATION", "client_id or client_secret is not valid"))
    return form

"""Zendesk's gate: sign-in, who may come in, how often, and the headers that tell how much is left.

OAuth client credentials or a refresh token (an access token lives as long as was asked for; a refresh ends the access
and the refresh token before) and, the legacy way, basic with an API token. The exports are for admins only.
Limits on the simulated clock: 400 calls a minute, 10 of them incremental exports.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.clock import Clock
from connectors.sandbox.credentials import ZENDESK_AGENT, ZENDESK_CLIENT, ZENDESK_REFRESH, ZENDESK_TOKEN, basic
from connectors.sandbox.limits import Limit
from connectors.sandbox.refusals import refusal
from connectors.sandbox.zendesk_export import Refused

PER_MINUTE, EXPORTS_PER_MINUTE = 400, 10
TOKEN_LIFE, SHORTEST, LONGEST, REFRESH_LIFE = 7200, 300, 172_800, 2_592_000  # seconds

Answer = Callable[[Request, datetime], dict[str, Any]]


class Gate:
    """Who may come in, and how often."""

    def __init__(self, clock: Clock, told: Clock) -> None:
        self._clock, self._told = clock, told
        self._calls, self._exports = Limit(PER_MINUTE, 60), Limit(EXPORTS_PER_MINUTE, 60)
        self._tokens: dict[str, tuple[datetime, str]] = {}
        self._refresh = {ZENDESK_REFRESH: ""}  # a refresh token, and the access token that came with it
        self._signed_in = 0

    async def sign_in(self, request: Request) -> Response:
        asked = await _body(request)
        if (asked.get("client_id"), asked.get("client_secret")) != ZENDESK_CLIENT:
            return _oauth_error(401, "invalid_client", "Client authentication failed")
        grant, old = asked.get("grant_type"), str(asked.get("refresh_token"))
        if grant not in ("client_credentials", "refresh_token"):
            return _oauth_error(400, "unsupported_grant_type", "The grant type is not supported here")
        if grant == "refresh_token" and old not in self._refresh:
            return _oauth_error(400, "invalid_grant", "The provided grant is invalid, expired, or revoked")
        life = asked.get("expires_in", TOKEN_LIFE)
        if not isinstance(life, int) or not SHORTEST <= life <= LONGEST:
            return _oauth_error(400, "invalid_request", f"expires_in is not from {SHORTEST} to {LONGEST}")
        told = self._token(life, str(asked.get("scope", "read")))
        if grant == "refresh_token":
            self._tokens.pop(self._refresh.pop(old), None)
            told |= {"refresh_token": f"refresh-{told['access_token']}", "refresh_token_expires_in": REFRESH_LIFE}
            self._refresh[told["refresh_token"]] = told["access_token"]
        return JSONResponse(told)

    def _token(self, life: int, scope: str) -> dict[str, Any]:
        self._signed_in += 1
        token = f"sandbox-{self._signed_in:06d}"
        self._tokens[token] = (self._clock.now() + timedelta(seconds=life), scope)
        return {"access_token": token, "token_type": "bearer", "scope": scope, "expires_in": life}

    def expire(self) -> None:
        """End every session, as an administrator can."""
        self._tokens.clear()

    def guarded(self, answer: Answer, *, export: bool) -> Callable[[Request], Awaitable[Response]]:
        """The answer behind sign-in and limits, with the headers that tell how much is left."""

        async def handler(request: Request) -> Response:
            request.scope["label"] = answer.__name__
            now = self._clock.now()
            refused = self._stranger(request, now, export=export) or self._too_often(now, export=export)
            response = refused or _answered(answer, request, self._told.now())
            response.headers.update(self._left(now, export=export))
            return response

        return handler

    def _stranger(self, request: Request, now: datetime, *, export: bool) -> Response | None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            until, scope = self._tokens.get(token, (now, ""))
            if until <= now:
                return _oauth_error(401, "invalid_token", "The access token provided is expired or revoked")
            return None if "read" in scope.split() else _forbidden("Missing the scope read")
        who = basic(request)
        if who not in (ZENDESK_TOKEN, ZENDESK_AGENT):
            return JSONResponse({"error": "Couldn't authenticate you"}, status_code=401)
        return _forbidden("You do not have access to this page") if export and who == ZENDESK_AGENT else None

    def _too_often(self, now: datetime, *, export: bool) -> Response | None:
        limit = next((limit for limit in self._watched(export) if limit.remaining(now) == 0), None)
        if limit is None:
            for limit in self._watched(export):
                limit.take(now)
            return None
        said = refusal("zendesk", "refused")
        wait = {"Retry-After": str(limit.resets(now))}
        return Response(said.body, said.status, wait, media_type=said.media_type)

    def _watched(self, export: bool) -> tuple[Limit, ...]:
        return (self._exports, self._calls) if export else (self._calls,)

    def _left(self, now: datetime, *, export: bool) -> dict[str, str]:
        left, resets = str(self._calls.remaining(now)), str(self._calls.resets(now))
        told = {
            "x-rate-limit": str(PER_MINUTE),
            "ratelimit-limit": str(PER_MINUTE),
            "x-rate-limit-remaining": left,
            "ratelimit-remaining": left,
            "ratelimit-reset": resets,
        }
        if export:
            remaining, again = self._exports.remaining(now), self._exports.resets(now)
            told["zendesk-ratelimit-incremental-exports"] = (
                f"total={EXPORTS_PER_MINUTE}; remaining={remaining}; resets={again}"
            )
        return told


def _answered(answer: Answer, request: Request, now: datetime) -> Response:
    try:
        body = answer(request, now)
    except Refused as refused:
        return JSONResponse(refused.body, status_code=refused.status)
    return Response(orjson.dumps(body), media_type="application/json; charset=utf-8")


async def _body(request: Request) -> dict[str, Any]:
    try:
        asked = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return {}
    return asked if isinstance(asked, dict) else {}


def _oauth_error(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status_code=status)


def _forbidden(description: str) -> Response:
    return JSONResponse({"error": "Forbidden", "description": description}, status_code=403)

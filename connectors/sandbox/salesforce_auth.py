"""Signing in to the simulated org: client credentials and JWT bearer, and sessions that end when unused."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import jwt

from connectors.sandbox.crm import Call, Refused
from connectors.sandbox.salesforce_org import INTEGRATION_USER, ORG, USERNAME, Org

CLIENT_ID = "sandbox"
CLIENT_SECRET = "sandbox-salesforce"  # noqa: S105  fixed and public: it opens nothing but this sandbox
LOGIN_HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")
LATEST_EXPIRY = timedelta(minutes=3, seconds=30)  # three minutes, and clocks that differ


def refused(error: str, description: str) -> Refused:
    return Refused(400, {"error": error, "error_description": description})


class Desk:
    """Hands out sessions. `public_key`: the PEM of the certificate that the app was registered with."""

    def __init__(self, org: Org, base_url: Callable[[], str], public_key: str | None) -> None:
        self._org, self._base_url, self._public_key = org, base_url, public_key

    def sign_in(self, call: Call) -> dict[str, str]:
        """Answer the token endpoint; raises `Refused`."""
        form = dict(parse_qsl(call.body.decode("utf-8", errors="replace")))
        match form.get("grant_type"):
            case "client_credentials":
                self._check_secret(form, call.request.headers.get("authorization", ""))
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                self._check_assertion(form.get("assertion", ""))
            case _:
                raise refused("unsupported_grant_type", "grant type not supported")
        return self._session()

    def check(self, authorization: str) -> None:
        """Refuse a call that brings no living session; use keeps a session alive."""
        kind, _, token = authorization.partition(" ")
        now = self._org.clock.now()
        ends = self._org.sessions.get(token)
        if kind.lower() not in ("bearer", "oauth") or ends is None or ends <= now:
            self._org.sessions.pop(token, None)
            raise Refused(401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])
        self._org.sessions[token] = now + timedelta(minutes=self._org.session_minutes)

    def who(self) -> dict[str, str]:
        """The signed-in user, as the identity and userinfo addresses answer."""
        return {
            "id": self._identity(),
            "sub": self._identity(),
            "user_id": INTEGRATION_USER,
            "organization_id": ORG,
            "username": USERNAME,
            "preferred_username": USERNAME,
        }

    def _check_secret(self, form: Mapping[str, str], authorization: str) -> None:
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.lower().startswith("basic "):
            decoded = base64.b64decode(authorization[6:] + "==").decode("utf-8", errors="replace")
            client, _, secret = decoded.partition(":")
        if client != CLIENT_ID:
            raise refused("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(secret.encode(), CLIENT_SECRET.encode()):
            raise refused("invalid_client", "invalid client credentials")

    def _check_assertion(self, assertion: str) -> None:
        if self._public_key is None:
            raise refused("invalid_client_id", "client identifier invalid")
        claims = _claims(assertion, self._public_key, [*LOGIN_HOSTS, self._base_url()])
        if claims["iss"] != CLIENT_ID:
            raise refused("invalid_client_id", "client identifier invalid")
        if claims["sub"] != USERNAME:
            raise refused("invalid_grant", "user hasn't approved this consumer")
        now = self._org.clock.now().timestamp()
        if not now < float(claims["exp"]) <= now + LATEST_EXPIRY.total_seconds():
            raise refused("invalid_grant", "assertion expired, or expires too late")

    def _session(self) -> dict[str, str]:
        now = self._org.clock.now()
        token = f"{ORG[:15]}!{hashlib.sha256(self._org.next_id('ses').encode()).hexdigest()}"
        self._org.sessions[token] = now + timedelta(minutes=self._org.session_minutes)
        issued = str(int(now.timestamp() * 1000))
        signed = hmac.new(CLIENT_SECRET.encode(), (self._identity() + issued).encode(), "sha256").digest()
        return {
            "access_token": token,
            "signature": base64.b64encode(signed).decode(),
            "scope": "api",
            "instance_url": self._base_url(),
            "id": self._identity(),
            "token_type": "Bearer",
            "issued_at": issued,
        }

    def _identity(self) -> str:
        return f"{self._base_url()}/id/{ORG}/{INTEGRATION_USER}"


def _claims(assertion: str, key: str, audience: list[str]) -> dict[str, Any]:
    """What the assertion says, its signature and audience checked; its dates are for the org's clock."""
    options: Any = {"require": ["iss", "sub", "aud", "exp"], "verify_exp": False, "verify_iat": False}
    try:
        return dict(jwt.decode(assertion, key, algorithms=["RS256"], audience=audience, options=options))
    except jwt.InvalidAudienceError as error:
        raise refused("invalid_grant", "audience is invalid") from error
    except jwt.InvalidTokenError as error:
        raise refused("invalid_grant", "invalid assertion") from error

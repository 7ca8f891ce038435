"""Signing in to Salesforce by OAuth: client credentials, or a signed JWT. Never SOAP, never a password.

Most answers say nothing of when a token ends, so it is used until Salesforce refuses it and then renewed once, however
many threads find out. One that does say is renewed before.
https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_jwt_flow.htm
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from connectors.address import checked_base_url, not_reached, same_origin, through_proxy, trusted
from connectors.base import Tools
from connectors.errors import AgainNow, SettingsWrong
from connectors.salesforce.settings import Settings
from connectors.signin import token

ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
UNTIL_REFUSED = timedelta(days=3650)
LIFETIME = 180  # seconds; Salesforce accepts no more
REFUSALS = {
    "invalid_client_id": "client_id is not known in this org; check it, and that base_url is the My Domain",
    "invalid_client": "client_id or client_secret is wrong",
    "invalid_grant": "the user may not sign in this way; pre-authorize the integration user for the app, and "
    "check username, audience and the certificate",
    "inactive_user": "the integration user is inactive",
    "unsupported_grant_type": "switch on this OAuth flow in the External Client App",
    "no_client_credentials_user_enabled": "give the External Client App a run-as user",
}
_FAMILIES = (".salesforce.com", ".salesforce.mil", ".sfcrmproducts.cn")
_USER = re.compile(r"/(005[A-Za-z0-9]{12,15})$")


@dataclass(frozen=True)
class Session:
    """A signed-in session: where its calls go and who makes them. The token shows in no repr."""

    token: str = field(repr=False)
    instance_url: str
    user_id: str | None
    until: datetime


class SignIn:
    """Hands out the present session; thread-safe. `count` is told of every sign-in."""

    def __init__(self, settings: Settings, *, place: str, tools: Tools, count: Callable[[str], None]) -> None:
        self._settings, self._place, self._tools, self._count = settings, place, tools, count
        self._base_url = checked_base_url(settings.base_url, f"{place}.base_url")
        self._session: Session | None = None
        self._lock = threading.Lock()

    def session(self) -> Session:
        with self._lock:
            if self._session is None or self._tools.clock.now() >= self._session.until:
                self._session = self._fresh()
            return self._session

    def renewed(self, refused: Session) -> Session:
        """The session after `refused`: a new one, unless another thread has already signed in again."""
        with self._lock:
            if self._session is None or self._session is refused:
                self._session = self._fresh()
            return self._session

    def _fresh(self) -> Session:
        self._count("sign_in")
        asked = self._tools.clock.now()
        try:
            with through_proxy(self._place):
                timeout = httpx.Timeout(30.0, connect=5.0)
                client = httpx.Client(verify=trusted(), timeout=timeout, follow_redirects=False)
            with client:
                response = client.post(f"{self._base_url}/services/oauth2/token", data=self._grant())
                body = _json(response)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise not_reached(error, self._place) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise AgainNow(f"signing in got no answer ({type(error).__name__})", place=self._place) from None
        if response.status_code == 200 and "error" not in body:
            return self._accepted(body, asked)
        if response.status_code in (408, 429) or response.status_code >= 500:
            raise AgainNow(f"signing in was answered {response.status_code}", place=self._place)
        raise SettingsWrong(self._refusal(response.status_code, body), place=self._place)

    def _refusal(self, status: int, body: dict[str, Any]) -> str:
        if 300 <= status < 400:
            return "signing in was redirected, which is never followed; base_url must be the org's My Domain"
        words = REFUSALS.get(str(body.get("error")), "check client_id, the secret or key, and base_url")
        return f"Salesforce refused to sign in ({status}): {words}"

    def _accepted(self, body: dict[str, Any], asked: datetime) -> Session:
        given = token(body, asked, life=UNTIL_REFUSED, place=self._place)
        instance = str(body.get("instance_url") or self._base_url)
        found = _USER.search(str(body.get("id") or ""))
        user = found[1] if found else None
        return Session(given.secret.get_secret_value(), self._trusted(instance), user, given.until)

    def _trusted(self, instance: str) -> str:
        place = f"{self._place}.base_url"
        for family in _FAMILIES:
            # An org's instance may stand on another host of Salesforce's own than its My Domain.
            if _host(self._base_url).endswith(family) and _host(instance).endswith(family):
                return f"https://{urlsplit(checked_base_url(instance, place)).netloc}"
        whole = urlsplit(same_origin(self._base_url, instance, place))
        return f"{whole.scheme}://{whole.netloc}"

    def _grant(self) -> dict[str, str]:
        if self._settings.client_secret is not None:
            return {
                "grant_type": "client_credentials",
                "client_id": self._settings.client_id,
                "client_secret": self._settings.client_secret.get_secret_value(),
            }
        return {"grant_type": ASSERTION, "assertion": self._assertion()}

    def _assertion(self) -> str:
        claims = {
            "iss": self._settings.client_id,
            "sub": self._settings.username,
            "aud": self._settings.audience or _audience(self._base_url),
            "exp": int(self._tools.clock.now().timestamp()) + LIFETIME,
        }
        place = f"{self._place}.private_key_file"
        try:
            key = (self._tools.root / str(self._settings.private_key_file)).read_bytes()
            return jwt.encode(claims, key, algorithm="RS256")
        except OSError as error:
            raise SettingsWrong(f"cannot be read ({type(error).__name__})", place=place) from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise SettingsWrong("is not an RSA private key in PEM form without a passphrase", place=place) from None


def _audience(base_url: str) -> str:
    return f"https://{'test' if '.sandbox.' in _host(base_url) else 'login'}.salesforce.com"


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # no address at all
        return ""


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}

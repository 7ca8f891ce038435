"""Credentials as Authorization headers; none of them shows in a repr, a log or an error."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from connectors.clock import Clock


class Auth(Protocol):
    """Makes the Authorization header. `renew` is told which one was refused; says whether to try again."""

    def header(self) -> str: ...

    def renew(self, refused: str) -> bool: ...


class Basic:
    """A fixed name and secret; a refusal is final."""

    def __init__(self, user: str, secret: SecretStr) -> None:
        self._user, self._secret = user, secret

    def header(self) -> str:
        pair = f"{self._user}:{self._secret.get_secret_value()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def renew(self, refused: str) -> bool:
        return False


class Token(NamedTuple):
    """An access token and the moment from which it is no longer used."""

    secret: SecretStr
    until: datetime


class Tokens:
    """Bearer tokens from `sign_in`, renewed before they expire and when one is refused.

    Threads that find the same token old or refused share one renewal: some vendors end every earlier token
    when a new one is made.
    """

    def __init__(self, sign_in: Callable[[], Token], *, clock: Clock) -> None:
        self._sign_in, self._clock = sign_in, clock
        self._token: Token | None = None
        self._lock = threading.Lock()

    def header(self) -> str:
        with self._lock:
            if self._token is None or self._clock.now() >= self._token.until:
                self._token = self._sign_in()
            return _bearer(self._token)

    def renew(self, refused: str) -> bool:
        with self._lock:
            if self._token is not None and _bearer(self._token) == refused:
                self._token = None
        return True


def _bearer(token: Token) -> str:
    return f"Bearer {token.secret.get_secret_value()}"

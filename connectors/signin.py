"""Credentials as Authorization headers; none of them shows in a repr, a log or an error."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeVar

from pydantic import SecretStr

from connectors.clock import Clock
from connectors.errors import AgainNow, SignInAgain

_SENDABLE = re.compile(r"[!-~]{1,8192}")
_LONGEST = 10 * 365 * 86400  # seconds
T = TypeVar("T")


class Auth(Protocol):
    """Makes the Authorization header. `renew` is told which one was refused; says whether to try again."""

    def header(self) -> str: ...

    def renew(self, refused: str) -> bool: ...


def signed(auth: Auth, use: Callable[[str], T]) -> T:
    """What `use` makes of an Authorization header; where that is refused, once more of a renewed one."""
    sent = auth.header()
    try:
        return use(sent)
    except SignInAgain:
        if not auth.renew(sent):
            raise
    return use(auth.header())


class Basic:
    """A fixed name and secret; a refusal is final."""

    def __init__(self, user: str, secret: SecretStr) -> None:
        self._user, self._secret = user, secret

    def header(self) -> str:
        pair = f"{self._user}:{self._secret.get_secret_value()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def renew(self, refused: str) -> bool:
        return False


class Bearer:
    """A token that a person made; a refusal is final."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def header(self) -> str:
        return f"Bearer {self._token.get_secret_value()}"

    def renew(self, refused: str) -> bool:
        return False


class Token(NamedTuple):
    """An access token and the moment from which it is no longer used."""

    secret: SecretStr
    until: datetime


def token(answer: object, asked: datetime, *, life: timedelta, place: str) -> Token:
    """The access token that a sign-in `asked` for at that moment was answered with; `AgainNow` if there is none.

    `life`: how long it lasts if the answer does not say.
    """
    said: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    found = sendable(said.get("access_token"))
    if not found:
        raise AgainNow("the sign-in answered without a token", place=place)
    return Token(SecretStr(found), asked + lifetime(said.get("expires_in"), otherwise=life))


def sendable(told: object) -> str:
    """The token, if it is one that can stand in a header; else nothing."""
    return told if isinstance(told, str) and _SENDABLE.fullmatch(told) else ""


def lifetime(told: object, *, otherwise: timedelta) -> timedelta:
    """How long to use a token that lasts so many seconds: a tenth less, so that no call begins with one that ends on
    the way. `otherwise`: where that is not told, or is no such number."""
    if isinstance(told, int | float) and 0 < told <= _LONGEST:
        return 0.9 * timedelta(seconds=told)
    return 0.9 * otherwise


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

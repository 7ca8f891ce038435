"""Which addresses a credential may travel to: the configured host over https, and nowhere else."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from pydantic import SecretStr

from connectors.errors import AgainNow, ConnectorError, SettingsWrong, Unreachable
from connectors.findings import UNREACHABLE


@cache
def trusted() -> ssl.SSLContext:
    """What hosts' certificates are checked against, read once: that takes longer than a small answer."""
    return httpx.create_ssl_context()


def checked_base_url(url: str, place: str) -> str:
    """The address without a trailing slash; `SettingsWrong` unless it is https, or plain http to loopback."""
    parts = _split(url, place)
    if parts.query or parts.fragment:
        raise SettingsWrong("the address must have neither query nor fragment", place=place)
    if parts.scheme == "http":
        if not _is_loopback(parts.hostname or "", place):
            raise SettingsWrong("the address must begin with https://; http is for loopback only", place=place)
    elif parts.scheme != "https":
        raise SettingsWrong("the address must begin with https://", place=place)
    return url.rstrip("/")


def same_origin(base_url: str, url: str, place: str) -> str:
    """The vendor-sent `url`, made absolute; `SettingsWrong` when it leaves the host (or scheme, or port)."""
    whole = urljoin(base_url + "/", url)
    if _origin(_split(whole, place)) != _origin(_split(base_url, place)):
        raise SettingsWrong("the vendor sent an address on another host; check base_url", place=place)
    return whole


@contextmanager
def through_proxy(place: str) -> Iterator[None]:
    """While a client is made, which takes a proxy from the environment; an address of one may hold a password."""
    try:
        yield
    except (ValueError, httpx.InvalidURL):
        words = "the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY has no address of the form http://host:port"
        raise SettingsWrong(f"{words}; correct it", place=place) from None


class Proxy(NamedTuple):
    """Where calls go in place of their host, and the name and password it asks for, with a colon between them."""

    url: str
    user: SecretStr


def proxy_for(base_url: str, place: str) -> Proxy | None:
    """The proxy that the environment names for an https address, as httpx and requests find it by themselves."""
    parts, named = urlsplit(base_url), getproxies()
    given = named.get("https") or named.get("all")
    if parts.scheme != "https" or not given or proxy_bypass(parts.hostname or ""):
        return None
    with through_proxy(place):
        found = urlsplit(given if "://" in given else f"http://{given}")
        if found.scheme not in ("http", "https") or not found.hostname or found.port == 0:
            raise ValueError
    user = f"{unquote(found.username)}:{unquote(found.password or '')}" if found.username else ""
    return Proxy(f"{found.scheme}://{found.netloc.rpartition('@')[2]}", SecretStr(user))


def not_reached(error: BaseException, place: str) -> ConnectorError:
    """What it means that a connection did not come about."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            words = "the certificate of this host is not valid; check base_url, and that its issuer is trusted here"
            return SettingsWrong(words, place=place)
        if isinstance(cause, socket.gaierror):
            return Unreachable(f"the name of this host is not known; {UNREACHABLE}", place=place)
        cause = cause.__cause__ or cause.__context__
    return Unreachable(f"cannot be reached ({type(error).__name__}); {UNREACHABLE}", place=place)


def no_answer(error: BaseException, vendor: str, place: str) -> ConnectorError:
    """What it means that a call through urllib3, or through requests on top of it, got no answer."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    *_, last = reasons = [*_reasons(error)]
    no_line = ssl.SSLCertVerificationError, NewConnectionError, ConnectTimeoutError
    if found := next((one for one in reasons if isinstance(one, no_line)), None):
        return not_reached(found, place)
    return AgainNow(f"no answer from {vendor} ({type(last).__name__})", place=place, unanswered=True)


def _reasons(error: object) -> Iterator[BaseException]:
    """The error, what it is about, and so on; both libraries keep that in an attribute or as the first argument."""
    while isinstance(error, BaseException):
        yield error
        error = getattr(error, "reason", None) or next(iter(error.args), None)


def _split(url: str, place: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # reading it raises when it is not a number
    except ValueError:
        raise SettingsWrong("this is not an address", place=place) from None
    # Parsers disagree about these, and a disagreement about the host is how a token leaks.
    odd = "\\" in url or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url)
    if odd or not parts.hostname or "@" in parts.netloc:
        raise SettingsWrong("this is not an address of the form https://host", place=place)
    return parts


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or default


def _is_loopback(host: str, place: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        raise SettingsWrong("the host of this address is not known", place=place) from None
    return all(ipaddress.ip_address(str(entry[4][0]).split("%")[0]).is_loopback for entry in found)

"""How an error reads as a line of `bellwether check`, and what to do about it."""

from __future__ import annotations

from connectors.base import Finding
from connectors.errors import AgainNow, ConnectorError, Unreachable, WaitUntil

UNREACHABLE = "check base_url, the network and DNS"
PASSING = "wait a little and check again"


def remedy(error: ConnectorError, otherwise: str) -> str:
    """What fits the kind of error; `otherwise` is for one that a person has to settle."""
    if isinstance(error, Unreachable):
        return UNREACHABLE
    return PASSING if isinstance(error, AgainNow | WaitUntil) else otherwise


def failed(place: str, error: ConnectorError, otherwise: str) -> Finding:
    """The finding that an error makes."""
    return Finding(place, False, error.words.removesuffix(f"; {UNREACHABLE}"), remedy(error, otherwise))

"""Errors, named for what the worker does next.

    ConnectorError
    ├── AgainNow        a passing fault: the same call may work in a moment (reset, timeout, 5xx, row lock)
    │   └── Unreachable nobody answers at the address: a short try or two, then it is left to the next pass
    ├── WaitUntil       the vendor said when: a rate limit or a daily quota, with the number of seconds
    ├── SignInAgain     the session ended or was refused: a new token first
    ├── RowWrong        this one record cannot be written or read; the others can
    ├── SettingsWrong   nothing will work until a person changes something; says what
    └── Stopped         the worker was asked to stop; not a fault

Only `RowWrong` and `SettingsWrong` reach a person. A message is one line, names the place and the remedy, and
never holds a secret, a URL query or a vendor's body.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ConnectorError(Exception):
    """Something outside went wrong. `place` names where in the settings or at which vendor; `words` leave it out."""

    def __init__(self, message: str, *, place: str = "") -> None:
        self.words, self.place = message, place
        super().__init__(f"{place}: {message}" if place else message)


class AgainNow(ConnectorError):
    """A passing fault. `unanswered`: the request may have been carried out though no answer came."""

    def __init__(self, message: str, *, place: str = "", unanswered: bool = False) -> None:
        self.unanswered = unanswered
        super().__init__(message, place=place)


class Unreachable(AgainNow):
    """No connection came about: the address is wrong, the host is down or the network is. Nothing was sent."""


class WaitUntil(ConnectorError):
    """The vendor asked for patience of `seconds`. `quota`: a daily allowance is gone; do not wait inside a run."""

    def __init__(self, message: str, *, seconds: float, place: str = "", quota: bool = False) -> None:
        self.seconds = seconds
        self.quota = quota
        super().__init__(message, place=place)


class SignInAgain(ConnectorError):
    """The credential was refused. After one fresh sign-in it becomes `SettingsWrong`."""


class RowWrong(ConnectorError):
    """This record is at fault. `code` is the vendor's own word for it."""

    def __init__(self, message: str, *, code: str, place: str = "") -> None:
        self.code = code
        super().__init__(message, place=place)


class SettingsWrong(ConnectorError):
    """A person has to change something; the message says what."""


class Stopped(ConnectorError):
    """The worker was asked to stop in the middle of a wait."""


@contextmanager
def as_expected(place: str) -> Iterator[None]:
    """An answer whose parts are not of the form they should be is a passing fault, as one that cannot be parsed is."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        words = f"the answer is not of the form it should be ({type(error).__name__})"
        raise AgainNow(words, place=place, unanswered=True) from None

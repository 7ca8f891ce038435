"""The three-way compare: what a record holds, beside what we want there and what we know to have put there.

All values are canonical, as the destination's own field holds them. A value is ours where it is what we want, or what
is known to have stood there. Anything else may have come from a person, from another system that carries values about,
or from ourselves, where an answer was lost: that, only the vendor can say (`edits.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from connectors.base import Destination, FieldValue
from connectors.values import TIERS
from sync.rows import Delivery

Stance = Literal["ours", "blank", "strange", "unknown"]
NO_RESULT = "NO_RESULT"  # the code of a row of which an answer did not say what became of it
FIRST_WAIT, LONGEST_WAIT, RARELY = timedelta(minutes=5), timedelta(hours=6), timedelta(days=1)


class Look(NamedTuple):
    """A record that was just read: whose it is, what is known of it, what it should hold and what it holds."""

    destination: str
    record: str
    account: str
    known: Delivery | None
    wanted: Mapping[str, Any]
    present: Mapping[str, Any]

    def before(self, field: str) -> Any:
        """What stood in a field as far as is known."""
        return ((self.known.confirmed if self.known else None) or {}).get(field)

    def stance(self, field: str) -> Stance:
        """Whose a field's value is.

        `unknown`: nothing was ever told there; or a write was never answered for, and it is what was sent, or what
        stood there before, which is so if the write failed and if somebody has put it back since.
        """
        if field not in self.present:
            return "ours"
        value, told, sent = self.present[field], self._told(), self._sent()
        if field in self.wanted and value == self.wanted[field]:
            return "ours"
        if field in told and value == told[field]:
            return "unknown" if self.unanswered and sent.get(field, value) != value and value is not None else "ours"
        if value is None:
            return "blank"
        return "strange" if field in told and sent.get(field) != value else "unknown"

    @property
    def unanswered(self) -> datetime | None:
        """When something was sent that was never answered for."""
        row = self.known
        if row and row.status == "pending":
            return row.next_try_at
        if row and row.next_try_at and half_answered(row):
            return row.next_try_at - wait(row.attempts, again=row.status == "failed")
        return None

    def _told(self) -> Mapping[str, Any]:
        same = self.known is not None and self.known.account == self.account
        return (self.known.confirmed if self.known and same else None) or {}

    def _sent(self) -> Mapping[str, Any]:
        return (self.known.wanted if self.known and self.known.status != "confirmed" else None) or {}


def half_answered(row: Delivery) -> bool:
    """Whether what was sent last may stand on the record though its write counts as failed."""
    return row.status in ("failed", "quarantined") and row.code == NO_RESULT


def wait(attempts: int, *, again: bool) -> timedelta:
    """From a try that failed, the last of so many, to the next."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempts - 1, 10)) if again else RARELY


def words(destination: Destination) -> dict[Any, str]:
    """The tiers in our words, by what they are called there."""
    return {value: tier for tier in TIERS if (value := destination.canonical("tier", tier)) is not None}


def canonical(destination: Destination, fields: Mapping[str, FieldValue]) -> dict[str, Any]:
    """Field values as the record would hold them, as JSON values."""
    return {key: plain(destination.canonical(key, value)) for key, value in fields.items()}


def plain(value: FieldValue) -> str | float | None:
    """A field value as JSON has it."""
    return value.isoformat() if isinstance(value, date | datetime) else value


def plainly(present: Mapping[str, FieldValue]) -> dict[str, Any]:
    """Canonical values that were read, as JSON values."""
    return {key: plain(value) for key, value in present.items()}

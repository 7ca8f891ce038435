"""What the worker remembers, as plain values: one class for each table of `tables.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

HEALTH = "health"  # the score that is always there; its fields carry no name

HEALTHIER = ("red", "yellow", "green")  # the tiers, each better than the one before

_NONE: Mapping[str, float] = MappingProxyType({})

RunStatus = Literal["running", "done", "partial", "failed"]
DeliveryStatus = Literal["pending", "confirmed", "failed", "quarantined", "closed"]
UNSETTLED: tuple[DeliveryStatus, ...] = ("pending", "failed", "quarantined")  # the record may not hold what is wanted
JudgementKind = Literal["override", "pulse", "note"]


class Fence(NamedTuple):
    """A turn of the lease. What is written under it is refused once the turn is another's."""

    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A customer. `left_at`: when its record stopped meeting `accounts.where` (None: it is a member now)."""

    id: str
    name: str
    owner: str | None
    domains: tuple[str, ...]
    refs: Mapping[str, str]
    since: datetime | None
    first_seen_at: datetime
    seen_at: datetime
    left_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a source has been read: complete from `since` until `through`; `names` it has yielded."""

    source: str
    cursor: dict[str, Any] | None
    since: datetime | None
    through: datetime | None
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over one slot of time; `report` is what `status` shows of it."""

    id: int
    kind: str
    slot: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    report: Mapping[str, Any]


class Later(NamedTuple):
    """Passes that are dated later than now: when the first of them began, and the last one before it."""

    first: datetime
    before: datetime | None


@dataclass(frozen=True, slots=True)
class Total:
    """Today's answer for an account, by one of its scores.

    `causes`: ordered measures and directions, like "weekly_active-".

    `scored_at`: when this answer was first come to. `tier` is the one a person set where somebody did; `scored_tier` is
    that of the last day it was scored, which an unscored account keeps on its record. `deciding`: a text that tells two
    answers apart where it is worth a write. `digest`: of all that the answer was worked out from; the same digest and
    version, the same answer.
    """

    account: str
    score: float | None
    tier: str
    tier_since: date | None
    coverage: float
    scored_at: datetime | None
    causes: tuple[str, ...]
    version: str
    next_action: str
    scored_tier: str | None = None
    deciding: str = ""
    digest: str = ""
    score_name: str = HEALTH


class Decision(NamedTuple):
    """What of a `Total` every pass has to look at: there are as many as accounts and scores, so it is small."""

    version: str
    digest: str
    score: float | None
    tier: str
    tier_since: date | None
    scored_at: datetime | None
    scored_tier: str | None
    deciding: str

    @property
    def told_score(self) -> float | None:
        """The score that a record should hold; an unscored account's is left as it is."""
        return None if self.tier == "unscored" else self.score

    @property
    def further(self) -> Mapping[str, float]:
        """Those of other scores, by field: none, for this is one score's."""
        return _NONE

    @property
    def told_tier(self) -> str | None:
        """The tier that a record should hold; days without a score in between are no move."""
        return self.scored_tier if self.tier == "unscored" else self.tier


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one record of one destination should hold, and what is known to be there.

    `wanted` and `confirmed` are canonical values by our field names, as JSON; `deciding` is a fingerprint of the
    deciding fields of `wanted`, `score` the one that the next is compared with, `further` those of other scores than
    health by field. `code`, `message` and `remedy` belong to the last attempt that failed.

    A row is `pending` from before its write until its outcome is saved: then `wanted` may stand on the record or not,
    and `confirmed` is what stood there before. `past`: the tiers the record was ever told, in our words, newest first.
    `merged_into`: the record that this one went into.
    """

    destination: str
    record_id: str
    account: str
    wanted: Mapping[str, Any] | None = None
    confirmed: Mapping[str, Any] | None = None
    deciding: str = ""
    status: DeliveryStatus = "pending"
    attempts: int = 0
    code: str = ""
    message: str = ""
    remedy: str = ""
    next_try_at: datetime | None = None
    confirmed_at: datetime | None = None
    refresh_on: date | None = None
    score: float | None = None
    further: Mapping[str, float] | None = None
    past: tuple[str, ...] = ()
    merged_into: str | None = None


class Standing(NamedTuple):
    """What of a `Delivery` tells whether its record is worth a call."""

    record_id: str
    account: str
    status: DeliveryStatus
    deciding: str
    score: float | None
    next_try_at: datetime | None
    refresh_on: date | None
    further: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A person's word about an account.

    `day`: the first it counts for, `until`: the last (None for a pulse, whose age the scorecard limits), both in the
    settings' timezone. `tier` is an override's; `name` and `value` are a pulse's; `silence` is a note's. A withdrawn
    one stays, with the day from which it no longer counts and who took it back.

    `origin`: where it was found if not on the command line, as `destination`, `record` and, where the CRM tells, `at`;
    and as `account` the one it was said of before that went into this one.
    """

    id: int
    kind: JudgementKind
    account: str
    author: str
    reason: str
    day: date
    until: date | None
    tier: str | None
    name: str | None
    value: float | None
    silence: bool
    made_at: datetime
    withdrawn_at: datetime | None = None
    withdrawn_on: date | None = None
    withdrawn_by: str | None = None
    logged: bool = False
    origin: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ScorecardRow:
    """A scorecard that scores were worked out with, by the hash of its content."""

    version: str
    name: str
    content: Mapping[str, Any]
    first_used_at: datetime
    last_used_at: datetime

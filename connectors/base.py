"""What passes through the doors: facts and directories in, field values out.

A source yields `Page`s; a directory yields `Account`s; a destination takes `Write`s and answers with one `Outcome`
for each. Everything that can wait, read time or touch the disk is handed to a connector in `Tools`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from connectors.clock import Clock

Cursor = dict[str, Any]  # JSON values only; its content is the source's own business
FieldValue = float | str | datetime | date | None

KeyIs = Literal["own", "crm_id", "external_id", "domain"]


class Event(NamedTuple):
    """One dated fact; the same `id` again replaces. A fact with neither value nor label is a retraction.

    `id` is `subject/fact[/n]`, unique in its source. `account_key` is the source's own key. `actor` is a user as the
    HMAC that `Tools.actor` makes. `occurred_at` (aware) is when the fact became true. `label` is a closed word of at
    most 64 characters, never free text.
    """

    source: str
    id: str
    account_key: str
    actor: str | None
    name: str
    occurred_at: datetime
    value: float | None
    label: str | None = None


class Key(NamedTuple):
    """An entry of a source's own customer directory.

    `refs` holds what the source knows of other systems' names for it: `crm_id` (an id of the home system),
    `external_id`. `domains` are lower-case host names.
    """

    source: str
    key: str
    name: str | None
    domains: tuple[str, ...] = ()
    refs: Mapping[str, str] = {}


class Rejected(NamedTuple):
    """A row that could not be read: where it stands and why; never its content."""

    place: str
    reason: str


class ArrowStream(Protocol):
    """Anything that hands out Arrow data through the PyCapsule interface (a DuckDB relation, an arro3 table)."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


@dataclass(frozen=True)
class Page:
    """What a source yields. Once it is in the log, `cursor`, `since` and `through` are saved in state.

    `events`: facts, or Arrow data with the columns id, account_key, actor, name, occurred_at (timestamp, UTC),
    value (double), label. `through`: every fact that occurred before this moment is now in the log (None: no change).
    `since`: facts are complete from this moment on (None: from the start that `pull` was given).
    `replaces`: first and last day (in the configured timezone) of which these events are all the source has; `among`:
    only for account keys from the first one up to, but without, the second (None: up to the last), by their bytes.
    `dated_ids`: a fact's day is part of its id, so it is in none but the replaced days.
    `retracts`: subjects (the part of an id before the first "/") all of whose facts stop being true.
    """

    events: Sequence[Event] | ArrowStream = ()
    keys: Sequence[Key] = ()
    cursor: Cursor | None = None
    through: datetime | None = None
    since: datetime | None = None
    replaces: tuple[date, date] | None = None
    among: tuple[str, str | None] | None = None
    dated_ids: bool = False
    retracts: Sequence[str] = ()
    rejected: Sequence[Rejected] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # what else is worth telling, e.g. unscored texts


@dataclass(frozen=True)
class Account:
    """A customer record of the home system (or a company of another destination, where it is a key).

    `since`: when the record was created. `attributes`: level facts by event name (a number, a word, or None when
    blank). `present`: the record's present values of our fields, by our field names, as the vendor gave them.
    """

    id: str
    name: str
    domains: tuple[str, ...] = ()
    refs: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    since: datetime | None = None
    attributes: Mapping[str, float | str | None] = field(default_factory=dict)
    present: Mapping[str, FieldValue] = field(default_factory=dict)


class Write(NamedTuple):
    """The fields one record should have, by our field names (see `Tools.fields`). None clears."""

    id: str
    fields: Mapping[str, FieldValue]


Remedy = Literal["again", "row", "gone", "settings"]


class Outcome(NamedTuple):
    """What became of one `Write`. `confirmed`: the field values the vendor is known to hold now, if it said so.

    `code` and `message` are the vendor's, shortened and free of values. `remedy`: try `again` later; this `row` is
    wrong; the record is `gone`; or the `settings` are (a field is missing, hidden or of another type).
    """

    id: str
    ok: bool
    confirmed: Mapping[str, FieldValue] | None = None
    code: str = ""
    message: str = ""
    remedy: Remedy | None = None


class Author(NamedTuple):
    """Who last set a field of a record, as far as the vendor tells.

    `by`: "us" (this integration), "machine" (another integration, a sync, a workflow, an import) or "person". `name` is
    the person's or the integration's, and empty where the vendor has none. `at` is when (aware).
    """

    by: Literal["us", "machine", "person"]
    name: str = ""
    at: datetime | None = None


class Finding(NamedTuple):
    """One line of `bellwether check`: what was looked at, whether it is well, and what to do if it is not.

    What is well and has a remedy all the same is a warning: it fails no check.
    """

    place: str
    ok: bool
    message: str
    remedy: str = ""


class Allowance(NamedTuple):
    """Calls of the vendor's day, of all integrations together: how many there are, and how many are left."""

    limit: int
    left: int


class Change(NamedTuple):
    """One step of a provisioning plan, in words; `apply` carries it out (None: only a person can, or nobody should)."""

    what: str
    apply: Callable[[], None] | None


class Drift(NamedTuple):
    """A field of ours that is not as it was made, in words, and what that does to what is written.

    `left out`: nothing is written to it until it is mended. `blank`: values it does not offer are written as blank.
    `cut`: values are rounded or shortened to what it holds, or it takes them all the same; that harms nothing.
    `by_hand`: provisioning cannot mend it, or should not before a person has decided.
    """

    field: str
    message: str
    remedy: str
    effect: Literal["left out", "blank", "cut"]
    by_hand: bool = False


FieldKind = Literal["number", "tier", "text", "date", "datetime"]


@dataclass(frozen=True)
class Field:
    """A field of ours on the CRM record: what it is called by default and what a person reads beside it."""

    key: str
    kind: FieldKind
    label: str
    help: str
    scale: int = 0
    length: int = 255


FIELDS: tuple[Field, ...] = (
    Field("score", "number", "Health score", "0 to 100; higher is healthier.", scale=1),
    Field("tier", "tier", "Health tier", "Green, yellow or red; green is healthiest."),
    Field(
        "change",
        "number",
        "Health change, 30 days",
        "Points up or down in 30 days; higher is healthier.",
        scale=1,
    ),
    Field("reason", "text", "Health reason", "What moves the score most, in plain words."),
    Field("next_action", "text", "Health next action", "What to do about the weakest part."),
    Field("coverage", "number", "Health coverage", "Percent of the scorecard that had data.", scale=0),
    Field("tier_since", "date", "Health tier since", "The day the account came into its tier."),
    Field("scored_at", "datetime", "Health scored at", "When the score was worked out."),
    Field("version", "text", "Health scorecard", "Name and version of the scorecard used.", length=80),
)


def fields_of(scores: Iterable[str]) -> tuple[Field, ...]:
    """The fields that records have where these are scored besides health: `FIELDS`, and three for each."""
    return (*FIELDS, *(field for name in scores for field in _fields_of(name)))


def _fields_of(score: str) -> Iterator[Field]:
    label = score.replace("_", " ").capitalize()
    yield Field(f"{score}_score", "number", f"{label} score", "0 to 100; higher is better.", scale=1)
    yield Field(f"{score}_tier", "tier", f"{label} tier", "Green, yellow or red; green is best.")
    yield Field(f"{score}_reason", "text", f"{label} reason", "What moves the score most, in plain words.")


class Notes(Protocol):
    """What connectors remember beyond their own life: JSON values by name, durable once set. A dict is one too."""

    def get(self, name: str, /) -> Any: ...

    def __setitem__(self, name: str, value: Any, /) -> None: ...


@dataclass(frozen=True)
class Tools:
    """What a connector is handed. `actor` hashes a user id; `root` is the folder that relative paths start from.

    `fields`: those that records have. `stand`: asked right before every call that writes to records; it raises what
    ends the work when another worker does it now. `notes`: shared by all connectors, so a name begins with the place.
    """

    clock: Clock
    stop: threading.Event
    actor: Callable[[str], str]
    timezone: ZoneInfo
    spool: Path
    root: Path
    fields: tuple[Field, ...] = FIELDS
    stand: Callable[[], None] = lambda: None
    notes: Notes = field(default_factory=dict[str, Any])


class Source(Protocol):
    """A system facts are read from.

    `key_is` says what its account keys are; `names` are the event names, or patterns with `*`, it can yield (its own
    declaration of what it would have said had it happened). `address`: where it is served; empty for files.
    """

    name: str
    address: str
    key_is: KeyIs
    names: tuple[str, ...]

    def pull(self, cursor: Cursor | None, *, start: datetime, now: datetime) -> Iterator[Page]:
        """Yield what is new after `cursor` (or from `start`), up to `now`. Raises `ConnectorError`."""
        ...

    def check(self) -> Iterator[Finding]: ...

    def close(self) -> None: ...


class Directory(Protocol):
    """A system whose records can be the accounts. `address`: where it is served; empty for files."""

    name: str
    address: str

    @property
    def left_out(self) -> str:
        """How many records the last reading could not use, and where and why the first of them; empty when none."""
        ...

    def accounts(
        self, *, where: str, attributes: Mapping[str, str], limit: int | None = None
    ) -> Iterator[Sequence[Account]]:
        """Yield the records that meet `where`, page by page. `attributes`: event name -> the vendor's field."""
        ...

    def check(self, *, where: str, attributes: Mapping[str, str]) -> Iterator[Finding]: ...

    def close(self) -> None: ...


class Destination(Directory, Protocol):
    """A directory that scores are written to."""

    def plan(self, *, prune: bool = False) -> Sequence[Change]:
        """What `provision --apply` would do; empty when the fields are as they should be.

        `prune`: what it would take to remove exactly what was made here; empty when there is nothing of ours.
        """
        ...

    def drift(self, *, since: datetime) -> Sequence[Drift]:
        """Our fields that are not as they should be, as described `since` then or later; one call at most.

        Raises `SettingsWrong` when none of them can be written.
        """
        ...

    def shape(self) -> str:
        """A fingerprint of what a refusal can come from beside the values: our fields as they were last described, and
        how the settings name them and their tiers. No call where they were described before.
        """
        ...

    def canonical(self, field: str, value: FieldValue) -> FieldValue:
        """The value as the record would hold it: scale, length, picklist value, kind of date."""
        ...

    def read(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        """Present (canonical) values of our fields for these records; a missing record is left out."""
        ...

    def write(self, writes: Sequence[Write]) -> Iterable[Outcome]:
        """Write and yield exactly one outcome per write, in any order."""
        ...

    def authors(self, field: str, ids: Sequence[str]) -> Mapping[str, Author]:
        """Who last set this field of ours on these records; those of which the vendor does not tell are left out."""
        ...

    def survivors(self, ids: Sequence[str]) -> Mapping[str, str | None]:
        """Of records that are not there: the one each was merged into, or None for one that was deleted.

        Those that are there, and those of which the vendor does not tell, are left out.
        """
        ...

    def cost(self, records: int) -> int:
        """Calls that reading and writing so many records at once takes, when none is refused."""
        ...

    def allowance(self) -> Allowance | None:
        """As the last answer told, else asked for with one call; None where there is no daily limit, or none is told.

        Raises `ConnectorError`.
        """
        ...

    def midnight(self) -> ZoneInfo | None:
        """Whose midnight ends the vendor's day, asked for with one call; None where its last 24 hours count."""
        ...

    def ration(self, calls: int | None) -> None:
        """Make at most so many calls from now on, and raise `WaitUntil` with `quota` in place of more; None: no bound.

        The same is raised without a call once the vendor has said that its allowance is used up, until told None; then
        what was known of the allowance is forgotten as well.
        """
        ...

    @property
    def calls(self) -> Mapping[str, int]:
        """API calls made so far by what they were for (`read`, `write`, `sign_in`, ...)."""
        ...

"""Mixpanel: product events, folded to one fact per account, user, day and name.

Reads the raw event export (60 calls an hour), days at a time; late events are found by exporting the last
days again: https://docs.mixpanel.com/docs/export-methods and https://developer.mixpanel.com/reference/raw-
event-export An export that breaks off is still a 200, so it counts only when it is whole to its last line.
Service account only.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import httpx
import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from connectors.base import Cursor, Finding, KeyIs, Page, Rejected, Tools
from connectors.errors import ConnectorError
from connectors.findings import failed
from connectors.fold import HOT, Part, Plan, Rule, fold
from connectors.names import FactName
from connectors.patience import patiently
from connectors.rest import Rest
from connectors.signin import Basic

HOSTS = {"us": "data.mixpanel.com", "eu": "data-eu.mixpanel.com", "in": "data-in.mixpanel.com"}
GRACE = timedelta(minutes=10)  # events take a moment to arrive
AT_MOST = (3, 1.2)  # exports in seconds; the hourly allowance is kept by exporting many days at a time
FIRST_WAIT = 60.0  # the vendor never says how long to wait, and counts by the hour
EVERY_TRY = 5


class AccountKey(BaseModel):
    """The property that names the customer, and what kind of name that is."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    property: Annotated[str, Field(min_length=1)]
    kind: KeyIs = Field("external_id", alias="is")


class Events(BaseModel):
    """The vendor's event names behind one of our names. `value`: a numeric property to sum instead of
    counting.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: Annotated[tuple[str, ...], Field(min_length=1)]
    value: str | None = None


def _events(given: object) -> object:
    if isinstance(given, str):
        given = [given]
    return {"events": given} if isinstance(given, list | tuple) else given


def _days(given: object) -> object:
    return given[:-1] if isinstance(given, str) and given.endswith("d") else given


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone; write a name such as UTC or Europe/Berlin") from None
    return name


class Settings(BaseModel):
    """How to reach one Mixpanel project and which of its events count.

    `legacy_project_tz`: for projects made before 2023, whose export is cut and stamped in the project's
    timezone. `lookback`: days exported again for what arrived late (5 or 5d).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    service_account: Annotated[str, Field(min_length=1)]
    secret: SecretStr
    project_id: int
    region: Literal["us", "eu", "in"] = "us"
    base_url: str | None = None
    project_timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    legacy_project_tz: bool = False
    account_key: AccountKey
    user: Annotated[str, Field(min_length=1)] = "distinct_id"
    events: Annotated[dict[FactName, Annotated[Events, BeforeValidator(_events)]], Field(min_length=1)]
    other: Literal["ignore"] = "ignore"
    lookback: Annotated[int, BeforeValidator(_days), Field(ge=0, le=60)] = 5
    days_per_export: Annotated[int, Field(ge=1, le=31)] = 8


class Mixpanel:
    """A source of product usage; its keys are the values of `account_key.property`."""

    def __init__(
        self, name: str, settings: Settings, tools: Tools, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.name, self._settings, self._tools = name, settings, tools
        self.key_is: KeyIs = settings.account_key.kind
        self.names = tuple(settings.events)
        self._rules = [Rule(ours, theirs.events, theirs.value) for ours, theirs in settings.events.items()]
        self._project = ZoneInfo(settings.project_timezone)
        self._exported = self._project if settings.legacy_project_tz else ZoneInfo("UTC")
        self._spool = tools.spool / name
        self._rest = Rest(
            settings.base_url or f"https://{HOSTS[settings.region]}",
            tools=tools,
            place=f"sources.{name}",
            auth=Basic(settings.service_account, settings.secret),
            at_most=AT_MOST,
            attempts=1,
            read_timeout=300.0,
            hint="check service_account, secret, project_id, and that region is the project's",
            refusals=(400, 401, 403),
            transport=transport,
        )
        self.address = self._rest.base_url

    @property
    def calls(self) -> Mapping[str, int]:
        return self._rest.calls

    def pull(self, cursor: Cursor | None, *, start: datetime, now: datetime) -> Iterator[Page]:
        """The days one after another, some to an export; nothing when no new day is complete.

        The first export begins `lookback` days before the last day read, for what arrived late.
        """
        last = self._last_day(now)
        read = date.fromisoformat(cursor["day"]) if cursor else None
        if read and read > last:  # the clock was set back: what was read of days to come is no reading of them
            read = last - timedelta(days=1)
        first = read + timedelta(days=1) if read else start.astimezone(self._tools.timezone).date()
        if first > last:
            return
        first -= timedelta(days=self._settings.lookback if read else 0)
        step = timedelta(days=self._settings.days_per_export)
        while first <= last:
            until = min(last, first + step - timedelta(days=1))
            yield from self._pages(first, until, read)
            first = until + timedelta(days=1)

    def check(self) -> Iterator[Finding]:
        day = self._last_day(self._tools.clock.now())
        params = self._params(day, day) | {"limit": 1}
        words = "signs in and may export"
        try:
            if not self._download(params).stat().st_size:
                words += f"; nothing on {day}: if that is odd, check the names of the events and the region"
        except ConnectorError as error:
            yield failed(self._rest.place, error, "correct service_account, secret, project_id or region")
        else:
            yield Finding(self._rest.place, True, words)
        finally:
            self._sweep()

    def close(self) -> None:
        self._rest.close()

    def _last_day(self, now: datetime) -> date:
        """The last day that is over in our timezone, in the project's, and in the one exports are cut by."""
        zones = (self._tools.timezone, self._project, self._exported)
        return min((now - GRACE).astimezone(zone).date() for zone in zones) - timedelta(days=1)

    def _pages(self, first: date, last: date, read: date | None) -> Iterator[Page]:
        """The pages of one export; its files live until the last has been taken in.

        The cursor moves when days have become whole. Days before `read` are looked at again, which takes nothing back
        of what has been read.
        """
        opened, parts, counts = patiently(
            lambda: self._open(first, last),
            tools=self._tools,
            place=self._rest.place,
            attempts=EVERY_TRY,
            first_wait=FIRST_WAIT,
        )
        with opened:
            for part in parts:
                yield self._page(part, read, counts if part is parts[-1] else {})

    def _page(self, part: Part, read: date | None, counts: Mapping[str, int]) -> Page:
        last = max(part.last, read or part.last)
        unreadable = counts.get("events_unreadable", 0)
        where = f"export of {part.first} to {part.last}"
        return Page(
            events=part.facts,
            cursor={"day": last.isoformat()} if part.ends else None,
            through=self._start(last + timedelta(days=1)) if part.ends else None,
            replaces=(part.first, part.last),
            among=part.among,
            dated_ids=True,
            rejected=[Rejected(where, "a line is no event in JSON")] if unreadable else (),
            counts={**counts, "more_refused": unreadable - 1} if unreadable else counts,
        )

    def _open(self, first: date, last: date) -> tuple[ExitStack, Sequence[Part], Mapping[str, int]]:
        days = [first + timedelta(days=n) for n in range((last - first).days + 2)]
        stamps = [self._stamp(self._start(day)) for day in days]
        plan = Plan(
            account=self._settings.account_key.property,
            person=self._settings.user,
            rules=self._rules,
            days=list(zip(days, stamps, stamps[1:], strict=False)),
            occurred={day: f"{self._start(day):%Y-%m-%d %H:%M:%S}" for day in days},
        )
        with ExitStack() as stack:
            stack.callback(self._sweep)
            spooled = self._download(self._params(first, last))
            parts, counts = stack.enter_context(fold(spooled, plan, actor=self._tools.actor, place=self._rest.place))
            return stack.pop_all(), parts, counts

    def _download(self, params: Mapping[str, Any]) -> Path:
        """Spool one export, in a folder of its own from which everything older has been swept."""
        self._sweep()
        self._spool.mkdir(mode=0o700, parents=True)
        part = self._spool / "export"
        headers = self._rest.download("/api/2.0/export", to=part, params=params, label="export")
        packed = headers.get("content-encoding") == "gzip" and part.stat().st_size > 0
        return part.rename(part.with_suffix(".gz" if packed else ".ndjson"))

    def _sweep(self) -> None:
        if self._spool.exists():
            shutil.rmtree(self._spool)

    def _params(self, first: date, last: date) -> dict[str, Any]:
        """The export's own days that cover ours; its first and last day are both included."""
        begin, end = self._start(first), self._start(last + timedelta(days=1)) - timedelta(seconds=1)
        names = sorted({event for rule in self._rules for event in rule.events} | {HOT})
        return {
            "project_id": self._settings.project_id,
            "from_date": begin.astimezone(self._exported).date().isoformat(),
            "to_date": end.astimezone(self._exported).date().isoformat(),
            "event": orjson.dumps(names).decode(),
        }

    def _start(self, day: date) -> datetime:
        return datetime.combine(day, time.min, self._tools.timezone).astimezone(UTC)

    def _stamp(self, moment: datetime) -> float:
        """The number that events of this moment carry: a legacy project stamps its wall clock as if it were
        UTC.
        """
        if not self._settings.legacy_project_tz:
            return moment.timestamp()
        return moment.astimezone(self._project).replace(tzinfo=UTC).timestamp()

"""The scorecard as people write it: dimensions, weights, tiers, and measures in sixteen words.

Unknown words are refused; an error carries the path of the key and says what to write instead. What one key can be
wrong about by itself is checked here, what keys can be wrong about together in `checks`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from scoring import checks, rules

Take = Literal[
    "count", "sum", "mean", "median", "min", "max", "last", "first", "distinct_users", "user_days", "active_days",
    "distinct_names", "names_on", "open", "days_since", "days_until", "days_between",
]  # fmt: skip


def _days(value: object) -> object:
    if isinstance(value, str) and value.endswith("d") and value[:-1].isdecimal() and 1 <= int(value[:-1][:6]) <= 3660:
        return int(value[:-1])
    raise ValueError("write whole days from 1d to 3660d, like 28d")


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _rising(curve: dict[float, float]) -> dict[float, float]:
    if len(curve) < 2:
        raise ValueError("give at least two breakpoints, like {0: 0, 0.7: 100}")
    if list(curve) != sorted(curve):
        raise ValueError("write the breakpoints in rising order of the measure's value")
    return curve


def _rule(text: str) -> str:
    rules.rebuild(text)
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", text) or len(text) > 40:
        raise ValueError("a name is at most 40 of a-z, 0-9 and single _ between them, like open_tickets")
    return text


def _title(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9 ._-]{0,39}", text):
        raise ValueError("write a letter and then at most 39 letters, digits, spaces, dots, _ and -")
    return text


def _line(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ValueError("has to be one line")
    return text


def _pattern(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9*][A-Za-z0-9._:*-]*", text):
        raise ValueError("write a name of events like feature.export; * in it stands for anything")
    return text


def _divisor(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("give the name of a measure, or a number to divide by")  # noqa: TRY004
    if not isinstance(value, str) and not (math.isfinite(value) and value > 0):
        raise ValueError("give a number above zero")
    return value if isinstance(value, str) else float(value)


def _amber(value: object) -> object:
    return "yellow" if value == "amber" else value


def _against(value: object) -> object:
    return {"previous": True} if value == "previous" else value


LASTS = 30  # days a cap over a comparison lasts, unless said otherwise

Days = Annotated[int, BeforeValidator(_days), PlainSerializer(lambda days: f"{days}d", return_type=str)]
Name = Annotated[str, AfterValidator(_name)]
Pattern = Annotated[str, StringConstraints(max_length=80), AfterValidator(_pattern)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_listed), Field(min_length=1, max_length=50)]
Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Points = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Weight = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_line)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120), AfterValidator(_line)]
Unit = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), AfterValidator(_line)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Against(_Part):
    """The other time a measure is compared with: the adjacent window, the same measure earlier, or a longer window."""

    previous: bool = False
    shift: Days | None = None
    longer: Days | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.previous + (self.shift is not None) + (self.longer is not None) != 1:
            raise ValueError("write one of: previous, {shift: 365d}, {longer: 90d}")
        return self


class Measure(_Part):
    """One number per account and day, from events; `points` or `map` put it on the common scale."""

    events: Patterns | None = None
    take: Take | None = None
    window: Days | None = None
    over: Annotated[str | float, PlainValidator(_divisor)] | None = None
    of: Name | None = None
    against: Annotated[Against, BeforeValidator(_against)] | None = None
    where: Annotated[str, AfterValidator(_rule)] | None = None
    half_life: Days | None = None
    max_age: Days | None = None
    absent: Points | None = None
    map: dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], Points] | None = None
    opens: Patterns | None = None
    closes: Patterns | None = None
    as_: Literal["count", "oldest_days"] | None = Field(default=None, alias="as")
    from_: Patterns | None = Field(default=None, alias="from")
    to: Patterns | None = None
    points: Annotated[dict[Number, Points], AfterValidator(_rising)] | None = None
    label: Label | None = None
    unit: Unit | None = None
    action: Line | None = None

    @model_validator(mode="after")
    def _words_fit(self) -> Self:
        checks.words(self)
        return self

    @property
    def counting(self) -> bool:
        """Whether nothing happening is the number 0 rather than no number."""
        return self.take in checks.COUNTING


class Dimension(_Part):
    """A weighted group of measures, each with its weight inside the group."""

    weight: Weight
    measures: Annotated[dict[Name, Weight], Field(min_length=1)]


class Tiers(_Part):
    """The scores from which an account is green, and yellow; `amber` is another name for yellow."""

    green: Points = 70.0
    yellow: Points = 40.0

    @model_validator(mode="before")
    @classmethod
    def _amber(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "amber" not in given:
            return given
        if "yellow" in given:
            raise ValueError("yellow and amber are one tier; keep one of them")
        return {"yellow" if key == "amber" else key: value for key, value in given.items()}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.yellow >= self.green:
            raise ValueError("green has to begin above yellow")
        return self


class Settle(_Part):
    """How a tier keeps still: it is left only after `dwell` days in a row `band` points beyond its threshold."""

    band: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)] = 3.0
    dwell: Annotated[Days, Field(le=30)] = 3


class Rule(_Part):
    """A test over measures, raised as a flag on accounts whose tier is green."""

    when: Annotated[str, StringConstraints(min_length=1)]
    reason: Label


class Cap(Rule):
    """A rule that limits the tier. `lasts`: how long it holds on after its rule does not; see `Limit`."""

    tier: Annotated[Literal["yellow", "red"], BeforeValidator(_amber)] = "yellow"
    lasts: Days | None = None
    action: Line | None = None


class Limit(NamedTuple):
    """A cap as the fold knows it: `lasts` days from its beginning even where its rule has ceased to hold; `compared`,
    the comparison it recovers by; `rule`, a fingerprint that stands still while what it says does.
    """

    tier: str
    lasts: int
    compared: str | None
    rule: str


class Scorecard(_Part):
    """Dimensions, weights and tiers, with every measure they need."""

    name: Annotated[str, AfterValidator(_title)]
    tiers: Tiers = Tiers()
    hold: Days = 7
    coverage_floor: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    settle: Settle = Settle()
    dimensions: Annotated[dict[Name, Dimension], Field(min_length=1)]
    measures: dict[Name, Measure]
    caps: Annotated[dict[Name, Cap], Field(max_length=20)] = {}
    watch: Annotated[dict[Name, Rule], Field(max_length=20)] = {}

    @model_validator(mode="wrap")
    @classmethod
    def _keys_fit(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        card = handler(given)
        wrong: list[InitErrorDetails] = [
            {"type": PydanticCustomError("scorecard", "{text}", {"text": text}), "loc": loc, "input": None}
            for loc, text in checks.together(card)
        ]
        if wrong:
            raise ValidationError.from_exception_data("Scorecard", wrong)
        return card

    @property
    def rules(self) -> dict[str, Rule]:
        """Caps, then watch flags, by name."""
        return {**self.caps, **self.watch}

    @cached_property
    def limits(self) -> dict[str, Limit]:
        """What the fold asks of each cap."""
        return {name: self._limit(cap) for name, cap in self.caps.items()}

    def _limit(self, cap: Cap) -> Limit:
        read = rules.names(cap.when)
        compared = next((name for name in read if self.measures[name].of), None)
        # a comparison recovers by itself, as what it compares with moves on; a plain measure does not
        lasts = cap.lasts or (LASTS if compared else 0)
        meant = {
            name: self.measures[name].model_dump(mode="json", include=set(_NUMBER))
            for one in read
            for name in checks.chain(self, one)
        }
        return Limit(cap.tier, lasts, compared, _hash([cap.when, cap.tier, lasts, meant])[:8])

    @cached_property
    def version(self) -> str:
        """The first 12 hex digits of the hash of what the scorecard says; order and defaults left out do not count."""
        return _hash(self.model_dump(mode="json", by_alias=True, exclude_defaults=True))[:12]


def _hash(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


_NUMBER = tuple(word for word in Measure.model_fields if word not in ("absent", "points", "label", "unit", "action"))

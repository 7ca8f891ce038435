"""What a pass did, as it happened: kept in state for `status`, printed by `run`, and read by scripts as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass
class Problem:
    """Something that failed and where; the rest of the pass went on."""

    place: str
    message: str

    def __str__(self) -> str:
        named = self.place in self.message.split(": ")[0].split(".")
        return self.message if named or self.message.startswith(self.place) else f"{self.place}: {self.message}"


@dataclass
class Moved:
    """An account that came into another tier, and why."""

    account: str
    name: str
    before: str
    after: str
    score: float | None
    reason: str


@dataclass
class Expired:
    """An override that ended by itself, and its last day as text."""

    account: str
    name: str
    tier: str
    author: str
    until: str


@dataclass
class Report:
    """One pass. Only what was done is filled in; counts are of rows, calls are API calls by vendor.

    `budget`: by destination the calls of its day, and what the pass was expected to take of them; see `sync.budget`.

    `further`: as `scored`, by other scores than health. `by_scorecard`: how many accounts were scored by which.
    `silenced`: how many came into another tier while a note keeps them silent. `whole`: it was neither a rehearsal nor
    narrowed to some steps.
    """

    whole: bool = True
    accounts: dict[str, int] = field(default_factory=dict)
    pulled: dict[str, dict[str, Any]] = field(default_factory=dict)
    scored: dict[str, int] = field(default_factory=dict)
    further: dict[str, dict[str, int]] = field(default_factory=dict)
    by_scorecard: dict[str, int] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    silenced: int = 0
    expired: list[Expired] = field(default_factory=list)
    delivered: dict[str, dict[str, Any]] = field(default_factory=dict)
    differences: list[dict[str, Any]] = field(default_factory=list)
    calls: dict[str, dict[str, int]] = field(default_factory=dict)
    budget: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def status(self) -> Literal["done", "partial"]:
        """`partial` when a source, a destination or any row failed."""
        rows = any(part.get("failed") for part in self.delivered.values())
        return "partial" if self.problems or rows else "done"

    def kept(self) -> dict[str, Any]:
        """What state keeps of it: not the fields of single records that a dry run shows."""
        return {key: value for key, value in self.as_dict().items() if key != "differences"}

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, **asdict(self)}

"""What the simulated companies ask of support: every ticket with the whole course it takes.

A ticket's course is drawn when it is opened and told as the clock passes: what an export shows at a moment is
the changes up to it. So the same ticket comes again each time it changes, with today's priority, tags and state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from connectors.sandbox import complaints, stories
from connectors.sandbox.world import Company, World

MINUTE, HOUR, DAY = 60, 3600, 86_400
PER_DAY = 0.05  # tickets a company of twenty seats opens on a working day
FRONT_LINE, ESCALATIONS = 31, 32  # groups of agents
AGENTS = (11, 12, 13)

Kind = Literal["opened", "replied", "escalated", "solved", "reopened", "rated", "closed", "deleted", "touched"]


@dataclass(frozen=True)
class Change:
    """Something that happened to a ticket at a second since 1970, and what it set.

    `by`: an agent; None stands for the requester, and for the system where it is `closed` or `touched`.
    """

    at: int
    kind: Kind
    sets: Mapping[str, Any]
    by: int | None = None


@dataclass(frozen=True)
class Ticket:
    """A ticket and its whole course, first change first. `contact`: which of the company's people asks."""

    id: int
    company: Company
    contact: int
    subject: str
    text: str
    changes: tuple[Change, ...]


def contacts(company: Company) -> int:
    """How many of the company's people ever write to support."""
    return 2 + min(4, company.seats // 15)


def opened_on(world: World, day: int) -> Iterator[Ticket]:
    """The tickets opened on `day`, with ids that grow with time."""
    midnight = world.midnight(day)
    weekly = stories.rhythm(midnight.weekday())
    number = 0
    for company in world.customers:
        if company.created > midnight:
            continue
        random = world.random(4, company.number, day)
        chance = PER_DAY * (company.seats / 20) ** 0.5 * stories.trouble(company, day) * weekly
        if random.random() < chance:
            number += 1
            at = int(midnight.timestamp()) + 8 * HOUR + random.randrange(10 * HOUR)
            yield _ticket(random, company, day, number=day * 100_000 + number + 1000, at=at)


def _ticket(random: Random, company: Company, day: int, *, number: int, at: int) -> Ticket:
    angry = random.random() < stories.mood(company, day)
    subject, text = _words(random, angry)
    slow = 4.0 if company.story in ("leaving", "champion_left") else 1.0
    course = sorted(_course(random, at, angry=angry, slow=slow), key=lambda change: change.at)
    contact = random.randrange(contacts(company))
    return Ticket(number, company, contact, subject, text, _up_to_the_end(course))


def _course(random: Random, at: int, *, angry: bool, slow: float) -> Iterator[Change]:
    agent = random.choice(AGENTS)
    priority = _priority(random, angry)
    yield Change(at, "opened", {"status": "new", "priority": priority, "tags": [], "group_id": FRONT_LINE})
    if random.random() < 0.02:
        yield Change(at + random.randint(HOUR, 5 * DAY), "deleted", {"status": "deleted"}, agent)
    replied = at + _minutes(random, 90 * slow)
    yield Change(replied, "replied", {"status": "pending", "assignee_id": agent}, agent)
    begun = replied
    if random.random() < (0.3 if angry else 0.03):
        begun += random.randint(HOUR, 6 * HOUR)
        escalated = {"priority": "urgent", "tags": ["escalated"], "group_id": ESCALATIONS}
        yield Change(begun, "escalated", escalated, agent)
    if angry and random.random() < 0.15:
        return  # nobody ever solves it
    solved = begun + _minutes(random, 600 * slow)
    yield Change(solved, "solved", {"status": "solved"}, agent)
    yield from _afterwards(random, solved, agent=agent, angry=angry)


def _afterwards(random: Random, solved: int, *, agent: int, angry: bool) -> Iterator[Change]:
    """Solved is not the end: a rating, a second round, the automatic closing, a system's touch."""
    last = solved
    if random.random() < (0.25 if angry else 0.06):
        again = solved + random.randint(2 * HOUR, 2 * DAY)
        last = again + _minutes(random, 900)
        yield Change(again, "reopened", {"status": "open"})
        yield Change(last, "solved", {"status": "solved"}, agent)
    if random.random() < 0.35:
        bad = random.random() < (0.75 if angry else 0.08)
        yield Change(last + random.randint(HOUR, DAY), "rated", {"score": "bad" if bad else "good"})
    yield Change(last + 4 * DAY, "closed", {"status": "closed"})
    if random.random() < 0.08:
        yield Change(last + random.randint(5 * DAY, 20 * DAY), "touched", {})


def _words(random: Random, angry: bool) -> tuple[str, str]:
    if random.random() < complaints.FOREIGN_SHARE:
        return random.choice(complaints.FOREIGN)
    return random.choice(complaints.ANGRY) if angry else random.choice(complaints.CALM)


def _priority(random: Random, angry: bool) -> str | None:
    weights = (1, 4, 4, 2, 1) if angry else (3, 6, 2, 1, 1)
    return random.choices(("low", "normal", "high", "urgent", None), weights)[0]


def _minutes(random: Random, median: float) -> int:
    """A time in seconds of whole minutes; half the times are longer than `median` minutes."""
    return MINUTE * max(1, round(median * random.lognormvariate(0.0, 0.8)))


def _up_to_the_end(course: list[Change]) -> tuple[Change, ...]:
    """A deleted ticket has no course after its deletion."""
    ends = [number for number, change in enumerate(course) if change.kind == "deleted"]
    return tuple(course[: ends[0] + 1] if ends else course)

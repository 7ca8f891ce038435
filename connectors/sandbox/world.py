"""The simulated world: companies that use a product, ask for help, renew or quietly leave.

Everything follows from (accounts, seed, start): asking for the hundredth day does not need the ninety-nine
before it. Nothing here knows a vendor; the four vendors are views of this one world.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from connectors.sandbox import words

STORIES = ("healthy", "leaving", "noisy", "onboarding", "champion_left", "seasonal", "never_came", "growing")
SHARES = (34, 16, 12, 8, 10, 8, 5, 7)  # of a hundred customers

SISTERS = (17, 18)  # two customers behind one domain: nobody can tell them apart by it
TURNS = (-45, 230)  # evenly, from before the history to well past it: some in every fortnight
ARRIVES = (30, 115)  # newcomers sign within the usual 120 days of history


@dataclass(frozen=True)
class Company:
    """A company; it exists from `created` on.

    `story` and `turn` (the day, counted from the world's start, on which the story turns) say how it fares.
    """

    number: int
    name: str
    domain: str
    external_id: str
    story: str
    seats: int
    plan: str
    arr: float
    created: datetime
    renewal: date
    owner: str
    customer: bool
    turn: int


class World:
    """`companies`: `accounts` customers, then a third as many prospects. `start`: the history's first day."""

    def __init__(self, *, accounts: int, seed: int, start: datetime) -> None:
        self.seed = seed
        self.start = start.replace(hour=0, minute=0, second=0, microsecond=0)
        total = accounts + accounts // 3
        self.companies = tuple(self._company(n, customer=n <= accounts) for n in range(1, total + 1))
        self.customers = self.companies[:accounts]

    def random(self, *numbers: int) -> Random:
        """A generator of its own for these numbers: the same one whatever was asked before."""
        mixed = self.seed
        for number in numbers:
            mixed = mixed * 1_000_003 + number
        return Random(mixed)  # noqa: S311  a simulation, not a secret

    def day_of(self, moment: datetime) -> int:
        """The day, counted from the start of the history, that the moment falls on."""
        return (moment - self.start).days

    def midnight(self, day: int) -> datetime:
        return self.start + timedelta(days=day)

    def _company(self, number: int, *, customer: bool) -> Company:
        random = self.random(1, number, int(customer))
        story = _story(random, number, customer)
        turn = random.randint(*(ARRIVES if story == "onboarding" else TURNS))
        seats = _seats(random)
        plan = random.choices(("free", "pro", "enterprise"), (1, 7, 2 + seats // 25))[0]
        name = words.company_name(number)
        return Company(
            number=number,
            name=name,
            domain=words.domain(words.company_name(min(SISTERS)) if number in SISTERS else name),
            external_id=f"cust-{number:04d}",
            story=story,
            seats=seats,
            plan=plan,
            arr=_yearly_price(plan, seats),
            created=self._created(random, story, turn),
            renewal=(self.start + timedelta(days=random.randint(125, 480))).date(),
            owner=random.choice(words.OWNERS),
            customer=customer,
            turn=turn,
        )

    def _created(self, random: Random, story: str, turn: int) -> datetime:
        if story == "onboarding":  # the story is the first weeks: they begin at its turn
            return self.midnight(turn) + timedelta(hours=9, minutes=random.randrange(480))
        ago = random.randint(150, 1500)
        return self.midnight(-ago) + timedelta(hours=9, minutes=random.randrange(480))


def _story(random: Random, number: int, customer: bool) -> str:
    drawn = random.choices(STORIES, SHARES)[0]
    if not customer:
        return "prospect"
    return STORIES[number - 1] if number <= len(STORIES) else drawn  # the smallest world has one of each


def _seats(random: Random) -> int:
    return max(5, min(400, round(random.lognormvariate(2.8, 0.8))))


def _yearly_price(plan: str, seats: int) -> float:
    return float(seats * {"free": 0, "pro": 360, "enterprise": 720}[plan])

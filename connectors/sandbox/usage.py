"""What the people of the simulated companies did in the product on a day, as lines of a raw event export.

Lines are put together from strings, not from dictionaries: 120 days of 300 companies are some 400,000.
Every word in them is one of ours and needs no escaping, but for the one property that is there to be awkward.
"""

from __future__ import annotations

from functools import cache
from random import Random

from connectors.sandbox import stories
from connectors.sandbox.world import Company, World

Line = tuple[int, str, str]  # when it can first be seen (seconds since 1970), the event's name, its JSON

DAY = 86_400
LATE_DAYS = 4  # a phone that was offline tells its events at most this much later
ARRIVES = 20  # seconds from happening to being seen

LOGIN, SESSION, COMMENT, HOT = "Logged In", "Session Ended", "Comment Added", "$hotshard_events"
REMOVED = "Owner Removed"  # by an administrator, once the person who brought the product in has left
STARTED, COMPLETED = "Workflow Started", "Workflow Completed"
FEATURES = ("Dashboard Viewed", STARTED, "Report Exported", "API Called", COMMENT, "Alert Created")
WEIGHTS = (40, 30, 14, 8, 5, 3)

AWKWARD = ("line one\\u2028line two", "line one\u2028line two")  # escaped, and raw: both are legal JSON


def lines_of(world: World, day: int) -> list[Line]:
    """All events that happened on `day`, in no particular order."""
    found: list[Line] = []
    midnight = world.midnight(day)
    epoch, weekly = int(midnight.timestamp()), stories.rhythm(midnight.weekday())
    for company in world.customers:
        if company.created <= midnight:
            _company_day(found, world, company, day=day, epoch=epoch, weekly=weekly)
    _strangers(found, world, day=day, epoch=epoch)
    return found


def _company_day(found: list[Line], world: World, company: Company, *, day: int, epoch: int, weekly: float) -> None:
    share = stories.level(company, day) * weekly
    if share <= 0:
        return
    random = world.random(2, company.number, day)
    roster = max(1, round(company.seats * 0.85))
    wanted = roster * 0.3 * share
    people = min(roster, int(wanted) + (random.random() < wanted % 1))
    first = 1 if stories.champion_gone(company, day) else 0
    head = f'"company_id":"{company.external_id}","plan":"{company.plan}"'
    for user in random.sample(range(first, roster + first), people):
        who = f'"distinct_id":"user-{company.number:04d}-{user:03d}",{head}'
        _visit(found, random.getrandbits(64), who, epoch=epoch)
    if stories.champion_leaves(company, day):
        at, who = epoch + 57_600, f'"distinct_id":"user-{company.number:04d}-000",{head}'
        found.append((at + ARRIVES, REMOVED, _json(REMOVED, at, "0" * 12, who, at + ARRIVES, "")))


def _visit(found: list[Line], drawn: int, who: str, *, epoch: int) -> None:
    """One person's day in the product: in, a few things done, out. `drawn` is all the chance it needs."""
    visits = _visits()
    names = visits[drawn % len(visits)]
    at = epoch + 25_200 + (drawn >> 8) % 36_000
    late = 0 if drawn >> 24 & 127 else DAY * (1 + (drawn >> 31) % LATE_DAYS)
    insert = f"{drawn >> 16:012x}"
    for name in names:
        at += 97
        arrival = at + ARRIVES + late
        extra = _extra(name, at) if name in (SESSION, COMMENT) else ""
        found.append((arrival, name, _json(name, at, insert, who, arrival, extra)))
        if not at % 67:  # sent twice: the phone did not hear the answer
            found.append((arrival + 40, name, _json(name, at, insert, who, arrival + 40, extra)))


def _json(name: str, at: int, insert: str, who: str, processed: int, extra: str) -> str:
    return (
        f'{{"event":"{name}","properties":{{"time":{at},{who},"$insert_id":"{insert}{at & 0xFFFF:04x}",'
        f'"mp_processing_time_ms":{processed}412{extra}}}}}\n'
    )


def _extra(name: str, at: int) -> str:
    if name == SESSION:
        return f',"$duration":{at % 2400 + 60}'
    return f',"excerpt":"{AWKWARD[at % 3 == 0]}"'


@cache
def _visits() -> tuple[tuple[str, ...], ...]:
    """The 256 ways a visit can go; to pick one of them is cheaper than to draw each step."""
    random = Random(256)  # noqa: S311  a simulation, not a secret
    return tuple(_plan(random) for _ in range(256))


def _plan(random: Random) -> tuple[str, ...]:
    names = [LOGIN, *random.choices(FEATURES, WEIGHTS, k=random.choice((1, 1, 2)))]
    if STARTED in names and random.random() < 0.85:
        names.append(COMPLETED)
    if random.random() < 0.6:
        names.append(SESSION)
    return tuple(names)


def _strangers(found: list[Line], world: World, *, day: int, epoch: int) -> None:
    """Events of companies no CRM knows, events of no company, and what an overloaded shard leaves behind."""
    random = world.random(3, day)
    for number in range(len(world.customers) // 100 + 1):
        company = "" if random.random() < 0.3 else f'"company_id":"test-{random.randrange(5)}",'
        who = f'"distinct_id":"user-t{number:03d}",{company}"plan":"free"'
        _visit(found, random.getrandbits(64), who, epoch=epoch)
    if random.random() < 0.05:
        at = epoch + random.randrange(DAY)
        who = '"distinct_id":"","mp_original_event_name":"API Called","mp_original_distinct_id":"robot"'
        found.append((at + ARRIVES, HOT, _json(HOT, at, f"{day:012x}", who, at + ARRIVES, "")))

"""How a company fares on a day: how many of its people come, and how often it asks for help.

`level` is the share of its usual activity, 0 to about 1.1. The turning points are spread over the calendar,
so that on any day some companies are about to change.
"""

from __future__ import annotations

import math

from connectors.sandbox.world import Company

WEEKEND = 0.12
HUMAN = 0.04  # amplitude of the slow ups and downs everybody has


def level(company: Company, day: int) -> float:
    """Activity of the company on `day` (counted from the world's start), weekly rhythm apart."""
    since = day - company.turn
    base = _STORIES[company.story](since)
    return max(0.0, base * (1 + HUMAN * math.sin((day + company.number * 17) / 9.0)))


def rhythm(weekday: int) -> float:
    """Monday to Friday people work; at the weekend a few do."""
    return 1.0 if weekday < 5 else WEEKEND


def trouble(company: Company, day: int) -> float:
    """How many times as many tickets as usual it opens."""
    since = day - company.turn
    if company.story == "noisy":
        return 4.0
    if company.story in ("leaving", "champion_left") and -15 <= since <= 30:
        return 2.5  # they complain before they go quiet
    if company.story == "onboarding" and 0 <= since <= 40:
        return 3.0
    return 0.15 if level(company, day) < 0.1 else 1.0


def mood(company: Company, day: int) -> float:
    """How likely a ticket is written in anger, 0 to 1."""
    since = day - company.turn
    if company.story in ("leaving", "champion_left") and since >= -15:
        return 0.65
    return {"noisy": 0.3, "healthy": 0.08, "growing": 0.05}.get(company.story, 0.15)


def champion_gone(company: Company, day: int) -> bool:
    """The person who brought the product in has left."""
    return company.story == "champion_left" and day >= company.turn


def champion_leaves(company: Company, day: int) -> bool:
    """It is that person's last day."""
    return company.story == "champion_left" and day == company.turn


def _ramp(since: int, length: int, before: float, after: float) -> float:
    share = min(1.0, max(0.0, since / length))
    return before + (after - before) * share


_STORIES = {
    "healthy": lambda since: 0.95,
    "leaving": lambda since: _ramp(since, 50, 0.92, 0.03),
    "noisy": lambda since: 0.9,
    "onboarding": lambda since: 0.0 if since < 0 else _ramp(since, 45, 0.1, 0.95),
    "champion_left": lambda since: _ramp(since, 18, 0.9, 0.4),
    "seasonal": lambda since: 0.65 + 0.35 * math.sin(since * math.tau / 91),
    "never_came": lambda since: 0.0,
    "growing": lambda since: _ramp(since + 60, 150, 0.6, 1.1),
    "prospect": lambda since: 0.0,
}

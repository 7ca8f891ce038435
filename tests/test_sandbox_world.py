"""The simulated world: the same for the same seed, any day by itself, and always with somebody about to change."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sandbox import stories, words
from connectors.sandbox.limits import Limit
from connectors.sandbox.tickets import Ticket, opened_on
from connectors.sandbox.usage import DAY, LATE_DAYS, lines_of
from connectors.sandbox.world import SISTERS, STORIES, Company, World

START = datetime(2026, 7, 1, tzinfo=UTC)


def world(accounts: int = 40, seed: int = 7) -> World:
    return World(accounts=accounts, seed=seed, start=START)


def told(company: Company, story: str) -> Company:
    return Company(**{**company.__dict__, "story": story, "turn": 50})


def test_the_same_seed_gives_the_same_world() -> None:
    assert world().companies == world().companies
    assert lines_of(world(), 33) == lines_of(world(), 33)
    assert list(opened_on(world(), 33)) == list(opened_on(world(), 33))


def test_another_seed_gives_another_world() -> None:
    assert world(seed=7).companies != world(seed=8).companies


def test_a_day_does_not_depend_on_which_days_were_asked_before() -> None:
    asked = world()
    lines_of(asked, 3)
    list(opened_on(asked, 4))
    assert lines_of(asked, 90) == lines_of(world(), 90)


def test_there_are_as_many_customers_as_asked_for_and_a_third_as_many_prospects() -> None:
    companies = world(accounts=300).companies
    assert [company.customer for company in companies] == [True] * 300 + [False] * 100


def test_the_smallest_world_has_one_of_every_story() -> None:
    assert tuple(company.story for company in world(accounts=len(STORIES)).customers) == STORIES


def test_names_keys_and_domains_are_the_companies_own_but_for_the_sisters() -> None:
    companies = world(accounts=3000).companies
    assert len({company.name for company in companies}) == len(companies)
    assert len({company.external_id for company in companies}) == len(companies)
    shared = {domain for domain, count in Counter(c.domain for c in companies).items() if count > 1}
    assert [c.number for c in companies if c.domain in shared] == list(SISTERS)


@given(st.sets(st.integers(0, 10**6), min_size=2, max_size=2))
def test_no_two_numbers_share_a_name(numbers: set[int]) -> None:
    assert len({words.company_name(number) for number in numbers}) == 2


def test_every_host_name_is_one_that_cannot_exist() -> None:
    assert all(company.domain.endswith(".example") for company in world().companies)


def test_all_customers_have_signed_when_the_history_ends() -> None:
    assert all(c.created < START + timedelta(days=120) for c in world(accounts=300).customers)


def test_somebody_is_about_to_leave_in_every_fortnight() -> None:
    turns = [c.turn for c in world(accounts=300).customers if c.story in ("leaving", "champion_left")]
    fortnights = {turn // 14 for turn in turns}
    assert set(range(15)) <= fortnights


@settings(max_examples=50)
@given(day=st.integers(0, 400), story=st.sampled_from(STORIES))
def test_activity_is_a_share_whatever_the_story(day: int, story: str) -> None:
    company = told(world().companies[0], story)
    assert 0 <= stories.level(company, day) <= 1.2
    assert stories.trouble(company, day) > 0
    assert 0 <= stories.mood(company, day) <= 1


def test_a_company_that_leaves_goes_quiet_after_its_turn() -> None:
    company = told(world().companies[0], "leaving")
    assert stories.level(company, 49) > 0.8
    assert stories.level(company, 110) < 0.1


def test_a_company_that_bought_and_never_came_has_no_events() -> None:
    company = next(c for c in world().customers if c.story == "never_came")
    text = "".join(line[2] for day in range(0, 60, 7) for line in lines_of(world(), day))
    assert company.external_id not in text
    assert world().customers[0].external_id in text


def test_the_champion_goes_and_the_product_says_so_once() -> None:
    small = world(accounts=300)
    company = next(c for c in small.customers if c.story == "champion_left" and 20 < c.turn < 100)
    champion = f"user-{company.number:04d}-000"
    before = range(company.turn - 15, company.turn)
    after = range(company.turn, company.turn + 15)
    assert any(champion in line[2] for day in before for line in lines_of(small, day))
    assert [line[1] for day in after for line in lines_of(small, day) if champion in line[2]] == ["Owner Removed"]


def properties(day: int) -> list[dict[str, Any]]:
    return [json.loads(line[2])["properties"] for line in lines_of(world(), day)]


def test_events_happen_on_their_day_and_arrive_within_the_lateness() -> None:
    begin = int(START.timestamp()) + 20 * DAY
    for arrival, _, text in lines_of(world(), 20):
        at = json.loads(text)["properties"]["time"]
        assert begin <= at < begin + DAY
        assert at < arrival <= at + 60 + LATE_DAYS * DAY


def test_some_events_are_late_and_some_come_twice() -> None:
    keys: Counter[tuple[object, ...]] = Counter()
    late = 0
    for day in range(20, 30):
        for arrival, name, text in lines_of(world(), day):
            found = json.loads(text)["properties"]
            keys[name, found["time"], found["distinct_id"], found["$insert_id"]] += 1
            late += arrival - found["time"] > DAY
    assert late > 0
    assert 0 < sum(count == 2 for count in keys.values()) < len(keys) / 20
    assert max(keys.values()) == 2


def test_some_events_name_a_company_that_nobody_knows() -> None:
    known = {company.external_id for company in world().companies}
    named = {found.get("company_id") for day in range(30) for found in properties(day)}
    assert any(name is not None and name not in known for name in named)


def test_a_line_separator_inside_a_property_comes_raw_and_escaped() -> None:
    lines = [line[2] for day in range(30) for line in lines_of(world(), day)]
    assert any("\u2028" in line for line in lines)
    assert any("\\u2028" in line for line in lines)
    assert all(line.count("\n") == 1 and line.endswith("\n") for line in lines)


def tickets(accounts: int = 300) -> list[Ticket]:
    wide = world(accounts)
    return [ticket for day in range(0, 120, 3) for ticket in opened_on(wide, day)]


def test_ticket_ids_grow_with_the_day_and_are_unique() -> None:
    ids = [ticket.id for ticket in tickets()]
    assert ids == sorted(set(ids))


def test_a_ticket_is_opened_first_and_its_course_goes_forward() -> None:
    for ticket in tickets():
        assert ticket.changes[0].kind == "opened"
        times = [change.at for change in ticket.changes]
        assert times == sorted(times)


def test_nothing_happens_to_a_ticket_after_its_deletion() -> None:
    gone = [t for t in tickets() if any(c.kind == "deleted" for c in t.changes)]
    assert gone
    assert all(ticket.changes[-1].kind == "deleted" for ticket in gone)


def test_every_kind_of_change_comes_about() -> None:
    kinds = Counter(change.kind for ticket in tickets() for change in ticket.changes)
    assert {"escalated", "reopened", "rated", "touched", "closed"} <= set(kinds)


def test_the_noisy_ask_more_often_than_the_healthy() -> None:
    wide = world(300)
    asked = Counter(ticket.company.story for ticket in tickets())
    there = Counter(company.story for company in wide.customers)
    assert asked["noisy"] / there["noisy"] > 2 * asked["healthy"] / there["healthy"]


@pytest.mark.parametrize(("after", "free"), [(0, False), (59, False), (60, True)])
def test_a_limit_forgets_calls_when_their_window_has_passed(after: int, free: bool) -> None:
    limit = Limit(2, 60)
    assert limit.take(START)
    assert limit.take(START)
    assert limit.take(START + timedelta(seconds=after)) is free


def test_a_limit_says_how_long_until_a_call_is_free() -> None:
    limit = Limit(1, 60)
    limit.take(START)
    assert limit.resets(START + timedelta(seconds=45)) == 15
    assert limit.remaining(START + timedelta(seconds=45)) == 0


def test_renewals_lie_ahead_of_the_history() -> None:
    assert all(company.renewal > date(2026, 11, 1) for company in world().companies)

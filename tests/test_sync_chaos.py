"""The proofs of `make chaos` in small: kills, news after one, a stop and a storm; what compares them would notice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.chaos import forks, kills, news, stops, storm
from tests.chaos.beside import Beside
from tests.chaos.proof import Asked

ACCOUNTS = 6


def _asked(folder: Path) -> Asked:
    return Asked(folder, full=False, seed=7, days=0, state=str)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    with Beside(_asked(tmp_path_factory.mktemp("chaos")), ACCOUNTS, more=news.EXACT) as found:
        yield found


def test_killed_workers_lose_nothing_and_make_nothing_twice(beside: Beside) -> None:
    counts = kills.killed(beside, 2, Random(7), creates=1)
    assert (counts.total(), beside.broken) == (3, [])
    assert counts["provision call"] == 1


def test_a_worker_told_to_stop_while_it_writes_says_so_and_the_next_goes_on(beside: Beside) -> None:
    [accident] = [one for one in stops.accidents(disk=False, sqlite=True) if "records are written" in one.name]
    row = stops.happened(beside, accident)
    assert row.holds, row


def test_a_value_that_was_lost_is_seen(beside: Beside) -> None:
    org = beside.company.box.crm["salesforce"]
    told = next(record for record in sorted(org.live()) if org.records[record].get("Health_Tier__c"))
    org.records[told]["Health_Score__c"] = 1.5
    beside.one.moments.append(beside.one.moments[-1])  # the twin has nothing to do
    beside.compare()
    assert any("records are other than the twin's" in words for words in beside.broken)
    assert any("values are other than confirmed" in words for words in beside.broken)
    beside.broken.clear()


def test_what_people_put_back_before_a_killed_worker_recovers_is_not_lost(beside: Beside) -> None:
    counts = news.lived(beside, 1, Random(7))
    assert (counts["kills"], beside.broken) == (1, [])
    assert counts["tiers put back"]


def test_it_would_be_if_nothing_were_kept_of_what_is_about_to_be_sent(beside: Beside) -> None:
    news.lived(beside, 1, Random(7), forks.forgetful)
    assert any("edits that were" in words for words in beside.broken)


def test_a_storm_ends_in_what_was_wanted_with_every_bad_row_named(tmp_path: Path) -> None:
    lived = storm.through(_asked(tmp_path), ACCOUNTS, 1)
    assert lived.broken == []
    assert lived.named == lived.bad
    assert len(lived.bad) == 2
    assert lived.wrong > 0.2


@pytest.mark.parametrize("bad", [1, 7])
def test_a_batch_refused_whole_costs_no_more_calls_than_it_takes_to_find_its_bad_rows(tmp_path: Path, bad: int) -> None:
    refused, written, more = storm.whole(tmp_path, bad)
    assert (refused, written) == (bad, storm.BATCH - bad)
    assert 0 < more <= 2 * bad * (math.ceil(math.log2(storm.BATCH / bad)) + 1)

"""Batches: everything that was answered is kept, whatever becomes of the others, in flight and where a vendor fails."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Outcome, Write
from connectors.batches import FAULTS, FEW, abreast, narrowed
from connectors.errors import AgainNow, Unreachable
from connectors.patience import ATTEMPTS


class Refused(Exception):
    pass


@given(
    parts=st.lists(st.lists(st.one_of(st.integers(), st.just("refused")), max_size=3), max_size=12),
    width=st.integers(1, 4),
)
def test_everything_answered_comes_out_once_and_the_earliest_error_last(
    parts: list[list[int | str]], width: int
) -> None:
    answered: list[tuple[int, int | str]] = []
    lock = threading.Lock()

    def each(numbered: tuple[int, list[int | str]]) -> Iterator[tuple[int, int | str]]:
        number, part = numbered
        for item in part:
            if item == "refused":
                raise Refused(number)
            with lock:
                answered.append((number, item))
            yield number, item

    found: list[tuple[int, int | str]] = []
    bad = [number for number, part in enumerate(parts) if "refused" in part]
    with pytest.raises(Refused, match=f"^{bad[0]}$") if bad else nullcontext():
        found.extend(abreast(enumerate(parts), each, width=width))
    assert sorted(map(repr, found)) == sorted(map(repr, answered))


def test_after_an_error_nothing_is_begun_and_those_in_flight_are_waited_for() -> None:
    together = threading.Barrier(3)
    begun = []

    def each(part: int) -> Iterator[int]:
        begun.append(part)
        yield part * 10
        together.wait(timeout=20)
        if part == 1:
            raise Refused
        yield part * 10 + 1

    found: list[int] = []
    with pytest.raises(Refused):
        found.extend(abreast([0, 1, 2], each, width=3))
    assert sorted(found) == [0, 1, 10, 20, 21]

    together, begun = threading.Barrier(1), []
    with pytest.raises(Refused):
        list(abreast(range(9), each, width=1))
    assert begun == [0, 1]


def test_whoever_turns_away_half_way_leaves_no_thread_behind() -> None:
    begun = []

    def each(part: int) -> Iterator[int]:
        begun.append(part)
        yield part

    flight = abreast(range(100), each, width=2)
    next(flight)
    assert isinstance(flight, Generator)
    flight.close()
    assert len(begun) < 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch")]


class Failing:
    """A vendor that fails at batches with one of these rows in them. `asked`: the rows of each, and the attempts."""

    def __init__(self, bad: set[str], error: AgainNow | None = None) -> None:
        self._bad, self._error = bad, error or AgainNow("answered 500")
        self.asked: list[tuple[set[str], int]] = []

    def write(self, rows: Sequence[Write], attempts: int) -> Iterator[Outcome]:
        self.asked.append(({row.id for row in rows}, attempts))
        if self._bad & {row.id for row in rows}:
            raise self._error
        yield from (Outcome(row.id, True) for row in rows)


@given(size=st.integers(2, 200), bad=st.sets(st.integers(0, 199), min_size=1, max_size=6))
def test_a_row_at_which_a_vendor_fails_keeps_no_other_from_being_written(size: int, bad: set[int]) -> None:
    rows, spoiling = [Write(f"{n}", {}) for n in range(size)], {f"{n}" for n in bad if n < size}
    vendor, found = Failing(spoiling), dict[str, Outcome]()
    try:
        for outcome in narrowed(rows, vendor.write):
            assert outcome.id not in found
            found[outcome.id] = outcome
    except AgainNow:  # so many, so near each other, that the vendor might as well be down
        assert len(spoiling) > 1
    else:
        assert found.keys() == {row.id for row in rows}
    assert {id for id, one in found.items() if one.ok} <= found.keys() - spoiling
    assert {(one.ok, one.code, one.remedy) for id, one in found.items() if id in spoiling} <= {
        (False, "NO_RESULT", "again")
    }
    if len(spoiling) == 1:
        assert len(vendor.asked) <= 2 * math.ceil(math.log2(size)) + 1
    assert [attempts for _, attempts in vendor.asked] == [ATTEMPTS] + [FEW] * (len(vendor.asked) - 1) * bool(spoiling)


@pytest.mark.parametrize(
    ("size", "error", "calls"),
    [(200, AgainNow("answered 500"), 1 + FAULTS), (200, Unreachable("nobody"), 1), (1, AgainNow("answered 500"), 1)],
)
def test_a_vendor_that_answers_nothing_is_down_and_no_row_is_blamed(size: int, error: AgainNow, calls: int) -> None:
    rows = [Write(f"{n}", {}) for n in range(size)]
    vendor = Failing({row.id for row in rows}, error)
    with pytest.raises(type(error)):
        list(narrowed(rows, vendor.write))
    assert len(vendor.asked) == calls

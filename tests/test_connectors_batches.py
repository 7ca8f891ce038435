"""Batches in flight: everything that was answered is kept, whatever becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.batches import abreast


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

"""Batches: cut to the vendor's size, several in flight at once, and halved when refused whole until the bad rows are
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from connectors.errors import RowWrong

Row = TypeVar("Row")
Answer = TypeVar("Answer")
Part = TypeVar("Part")


def batches(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def halved(
    rows: Sequence[Row], attempt: Callable[[Sequence[Row]], Answer]
) -> Iterator[tuple[Sequence[Row], Answer | RowWrong]]:
    """Each batch that was answered with its answer, and each row that was refused alone with the refusal.

    `attempt` raises `RowWrong` when some row spoils the whole batch; n bad rows of m cost about 2n log m
    calls.
    """
    waiting = [rows] if rows else []
    while waiting:
        batch = waiting.pop()
        try:
            answer: Answer | RowWrong = attempt(batch)
        except RowWrong as refusal:
            if len(batch) > 1:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
                continue
            answer = refusal
        yield batch, answer


def abreast(parts: Iterable[Part], each: Callable[[Part], Iterable[Answer]], *, width: int) -> Iterator[Answer]:
    """What `each` answers to every part, in the order in which they end; `width` of them in flight, each in a thread.

    Once one has failed no other is begun. Those in flight are waited for, all that was answered is yielded, also by the
    ones that failed later on, and then the error of the earliest part is raised.
    """
    left, flying, failed = enumerate(parts), dict[Future[None], tuple[int, list[Answer]]](), dict[int, BaseException]()
    with ThreadPoolExecutor(width, thread_name_prefix="batch") as pool:
        answered: list[Answer] = []
        while True:
            # Before the answers are handed on, so that nobody waits while they are being dealt with.
            for number, part in islice(left, 0 if failed else width - len(flying)):
                found: list[Answer] = []
                flying[pool.submit(_gather, found, each, part)] = number, found
            yield from answered
            if not flying:
                break
            answered = []
            for ended in wait(flying, return_when=FIRST_COMPLETED).done:
                number, found = flying.pop(ended)
                answered += found
                if error := ended.exception():
                    failed[number] = error
    if failed:
        raise failed[min(failed)]


def _gather(found: list[Answer], each: Callable[[Part], Iterable[Answer]], part: Part) -> None:
    found.extend(each(part))  # what came before an error stays

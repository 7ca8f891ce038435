"""Batches: cut to the vendor's size, several in flight at once, and halved until the bad rows are alone when they are
refused whole or the vendor fails at them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Protocol, TypeVar

from connectors.base import Outcome
from connectors.errors import AgainNow, RowWrong, Unreachable
from connectors.patience import ATTEMPTS

FEW = 2  # attempts at a part of a batch that came to nothing in all of its own
FAULTS = 4  # of such parts, one after another: then it is not for a row


class Identified(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row")
Written = TypeVar("Written", bound=Identified)
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


def narrowed(
    rows: Sequence[Written], write: Callable[[Sequence[Written], int], Iterable[Outcome]]
) -> Iterator[Outcome]:
    """The outcomes of a batch that `write` sends, with so many attempts at a call. `AgainNow` where nobody answers.

    A vendor may fail at one record as it does when it is down; every pass would then come to nothing at its batch, and
    all that is less urgent would wait for ever. So the batch is halved as one that is refused is, and a row at which
    the vendor fails alone is left to its next try.
    """
    waiting, alone, faults, answered = deque([rows]), dict[str, AgainNow](), 0, False
    while waiting:
        left = {row.id: row for row in waiting.popleft()}
        try:
            for outcome in write([*left.values()], ATTEMPTS if len(left) == len(rows) else FEW):
                del left[outcome.id]
                faults, answered = 0, True
                yield outcome
        except AgainNow as fault:
            faults += 1
            if faults > FAULTS or isinstance(fault, Unreachable):
                raise
            if len(left) > 1:
                waiting.extend(batches([*left.values()], (len(left) + 1) // 2))
            else:
                alone |= dict.fromkeys(left, fault)
    if alone and not answered:
        raise next(iter(alone.values()))
    for id, why in alone.items():
        yield Outcome(id, False, None, "NO_RESULT", why.words, "again")


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

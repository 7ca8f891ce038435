"""Batches: cut to the vendor's size, and halved when refused whole until the bad rows are alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from connectors.errors import RowWrong

Row = TypeVar("Row")
Answer = TypeVar("Answer")


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

"""Records of a directory that cannot be accounts: told by place and reason, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from connectors.base import Account, Rejected

FEW = 3


class Sieve:
    """Makes accounts of records one by one; `left_out` is what a reading could not use, in words."""

    def __init__(self) -> None:
        self._read, self._refused, self._first = 0, 0, list[Rejected]()

    @property
    def left_out(self) -> str:
        return in_words(self._refused, self._first)

    def accounts(self, records: Iterable[Any], make: Callable[[Any], Account]) -> Iterator[Account]:
        """The accounts of these records. One without an id that could be stored, or of another form, is left out."""
        for record in records:
            self._read += 1
            try:
                account = make(record)
                account.id.encode()
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self._refuse(f"a field is missing or not what it should be ({type(error).__name__})")
                continue
            if account.id:
                yield account
            else:
                self._refuse("it has no id")

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        if len(self._first) < FEW:
            self._first.append(Rejected(f"record {self._read}", reason))


def in_words(refused: int, rejected: Sequence[Rejected]) -> str:
    """How many were left out, and why the first of them were; empty when none."""
    if not refused:
        return ""
    first = "; ".join(f"{row.place}: {row.reason}" for row in rejected[:FEW])
    return f"{refused} row{' is' if refused == 1 else 's are'} left out ({first})"

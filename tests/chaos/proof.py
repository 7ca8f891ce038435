"""What a proof is asked, and the row that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table."""

    proof: str
    figure: str
    bar: str
    holds: bool


class Asked(NamedTuple):
    """`full`: at the sizes of the bars, otherwise at sizes that only show that everything runs. `state`: the URL of an
    empty database of a proof's own (made anew by each call), or nothing for SQLite in its folder.
    """

    folder: Path
    full: bool
    seed: int
    days: int
    state: Callable[[], str]

    def size(self, full: int, small: int) -> int:
        return full if self.full else small

    def settings(self) -> str:
        """The line of the settings that says where state is kept."""
        url = self.state()
        return f"state: {url}\n" if url else ""


Proof = Callable[[Asked], Sequence[Row]]

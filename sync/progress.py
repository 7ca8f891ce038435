"""How a pass tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Hears of tasks by name. `total` is None where it cannot be known."""

    def start(self, task: str, total: int | None = None) -> None: ...

    def advance(self, task: str, by: int = 1, note: str = "") -> None: ...

    def finish(self, task: str) -> None: ...


class Quiet:
    """Nobody listens."""

    def start(self, task: str, total: int | None = None) -> None:
        pass

    def advance(self, task: str, by: int = 1, note: str = "") -> None:
        pass

    def finish(self, task: str) -> None:
        pass

"""What the worker itself can trip over, in one line that says what to do."""

from __future__ import annotations


class StateError(Exception):
    """The database of the worker's state cannot be used; the message names it without its password."""


class StateLost(StateError):
    """The database went away, with all that stood in it, while a worker was at work on it."""


class StateHeld(StateError):
    """Another process is at work on the database for longer than is waited: it can be used once that has ended."""


class NotKept(Exception):
    """What a pass read cannot be written into the data folder."""


class Busy(Exception):
    """Another worker holds the lease."""


class LeaseLost(Exception):
    """The lease went to another worker while this one was at work."""


class UsageError(Exception):
    """What was asked for on the command line cannot be done."""


class SettingsError(Exception):
    """The settings cannot be used; `lines` holds one sentence per mistake, with its place and remedy."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        super().__init__("\n".join(lines))

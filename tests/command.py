"""A command of Bellwether's, run in the process of the test."""

from __future__ import annotations

import sys

from sync import cli


def exit_code(*words: str) -> int:
    """Run `bellwether WORDS`; what it leaves with."""
    argv, sys.argv = sys.argv, ["bellwether", *words]
    try:
        cli.main()
    except SystemExit as left:
        return int(left.code or 0)
    finally:
        sys.argv = argv
    return 0

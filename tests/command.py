"""A command of Bellwether's, run in the process of the test."""

from __future__ import annotations

import sys
from functools import cache

import typer.main

from sync import cli

typer.main.get_command = cache(typer.main.get_command)  # it reads all signatures again for every command that is run


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

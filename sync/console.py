"""What a person sees: tables, progress bars and one-line answers on a terminal.

Names come from outside, so control and bidirectional characters are taken out before anything reaches a screen.
Results go to standard output; progress, logs and complaints to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import structlog
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

TIER_STYLES = {"green": "green", "yellow": "yellow", "red": "red", "unscored": "dim"}

WIDE = 120  # columns where no terminal says how many it has

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False)


def clean(value: object) -> str:
    """Printable text only: no control, bidirectional or other invisible formatting characters."""
    text = str(value)
    return text if text.isascii() and text.isprintable() else "".join(" " if _unseen(one) else one for one in text)


def _unseen(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def many(count: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def say(text: str, style: str = "") -> None:
    """One line for a person, to standard output."""
    out.print(Text(clean(text), style=style), soft_wrap=True)


def complain(text: str) -> None:
    """One line of trouble, to standard error."""
    err.print(Text(clean(text), style="red"), soft_wrap=True)


def put_json(document: Any) -> None:
    """One JSON document, to standard output; what `clean` takes out stands in it as escapes."""
    text = json.dumps(document, default=_plain, ensure_ascii=False, indent=2)
    shown = "".join(json.dumps(one)[1:-1] if _unseen(one) and one != "\n" else one for one in text)
    sys.stdout.write(shown + "\n")


def _plain(value: object) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> None:
    """A table; a cell that is a tier gets its colour, the columns in `numbers` are right-aligned."""
    grid = Table(
        title=Text(clean(title), style="bold") if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    for index, column in enumerate(columns):
        grid.add_column(Text(clean(column)), justify="right" if index in numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    out.print(grid)


def _cell(value: object) -> Text:
    text = "" if value is None else f"{value:,.1f}" if isinstance(value, float) else clean(value)
    return Text(text, style=TIER_STYLES.get(text, ""))


class Bars:
    """Progress bars on standard error, as a context manager; silent where nobody watches a terminal."""

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, task: str, total: int | None = None) -> None:
        self._tasks[task] = self._bars.add_task(clean(task), total=total, note="")

    def advance(self, task: str, by: int = 1, note: str = "") -> None:
        self._bars.update(self._tasks[task], advance=by, note=clean(note))

    def finish(self, task: str) -> None:
        made = next(bar for bar in self._bars.tasks if bar.id == self._tasks[task])
        self._bars.update(
            self._tasks[task],
            total=max(made.completed, made.total or 0),
            completed=made.total or made.completed,
        )


def _cleaned(_logger: object, _method: str, said: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Words from outside as they may reach a terminal, line by line."""
    texts = {key: value if isinstance(value, str) else repr(value) for key, value in said.items()}
    return {key: "\n".join(clean(line) for line in text.split("\n")) for key, text in texts.items()}


def _to_stderr(*_: object) -> structlog.PrintLogger:
    """Whatever standard error is when something is logged, not when logging was set up."""
    return structlog.PrintLogger(sys.stderr)


def log_in_words() -> None:
    """What nobody foresaw, in words, to standard error; what was foreseen a command tells itself."""
    level = logging.getLevelNamesMapping().get(os.environ.get("BELLWETHER_LOG", "error").upper(), logging.ERROR)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            # without the values of variables: secrets and customers' data stand among them
            structlog.processors.format_exc_info,
            _cleaned,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_to_stderr,
    )


def log_as_json() -> None:
    """Everything from info up, a JSON line each, to standard error: what systemd and log shippers like."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_to_stderr,
    )

"""Work measured in a process of its own, so that its CPU seconds and its peak of memory are nobody else's.

`python -m benchmarks.measure MODULE FUNCTION JSON` calls the function, which prepares and returns the work; only the
work is measured. Imports therefore belong to the preparation.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

Work = Callable[[], dict[str, Any]]


class Taken(NamedTuple):
    """CPU seconds of all threads and children, wall seconds, peak memory in MB, and what the work found."""

    cpu: float
    wall: float
    peak: float
    found: dict[str, Any]


class Row(NamedTuple):
    """One line of the table."""

    work: str
    figure: str
    yardstick: str
    ratio: str
    bar: str
    holds: bool


class Unfinished(Exception):
    """Work that ended with an error, in the words of its last line."""


def least(work: Callable[..., Work], **given: Any) -> Taken:
    """The run that took the least CPU of three: what others do on the machine only ever adds to it."""
    return min((taken(work, **given) for _ in range(3)), key=lambda one: one.cpu)


def taken(work: Callable[..., Work], **given: Any) -> Taken:
    """Run work in a process of its own. `given` is passed on as JSON. Raises `Unfinished`."""
    done = subprocess.run(_command(work, given), capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "Error" in line or "Exception" in line]
        raise Unfinished(errors[-1] if errors else done.stderr)
    return Taken(**json.loads(done.stdout.splitlines()[-1]))  # before it may stand what the work logged


@contextmanager
def served(server: Callable[..., None], **given: Any) -> Iterator[str]:
    """The address that a server in a process of its own prints as its first line; it is ended afterwards."""
    with subprocess.Popen(_command(server, given), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def by_cpu(work: str, ours: Taken, plain: Taken, *, ratio: float, peak: float | None = None) -> Row:
    """A row that compares CPU seconds, and holds a peak of memory in MB."""
    found = ours.cpu / plain.cpu
    return Row(
        work,
        f"{ours.cpu:.1f} CPU s, {ours.peak:.0f} MB",
        f"{plain.cpu:.1f} CPU s, {plain.peak:.0f} MB",
        f"{found:.2f}",
        f"{ratio:g}" + (f", {peak:g} MB" if peak else ""),
        found <= ratio and (peak is None or ours.peak <= peak),
    )


def memory(word: str, process: int | str = "self") -> float:
    """In MB, as Linux tells it. What `getrusage` calls the peak begins at that of the process it was started by."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith(f"{word}:")]
    return int(found) / 1024


def _command(function: Callable[..., Any], given: dict[str, Any]) -> list[str]:
    return [sys.executable, "-m", __spec__.name, function.__module__, function.__qualname__, json.dumps(given)]


def _spent() -> float:
    kinds = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in kinds)


def main(module: str, function: str, given: str) -> None:
    work = getattr(import_module(module), function)(**json.loads(given))
    if work is None:  # a server that has been ended
        return
    began, spent = time.perf_counter(), _spent()
    found = work()
    wall, cpu = time.perf_counter() - began, _spent() - spent
    sys.stdout.write(json.dumps({"cpu": cpu, "wall": wall, "peak": memory("VmHWM"), "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])

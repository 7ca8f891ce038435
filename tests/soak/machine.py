"""What the machine does to a worker: a small disk that can be filled up, a state that somebody else holds."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg

BUSY = 30  # seconds that a transaction in hand may take before the state is ours


@contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """A small disk at this folder, where this user may mount one; whether there is one."""
    folder.mkdir(parents=True)
    options = f"size={megabytes}m,mode=700"
    mounted = not _quiet("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            _quiet("umount", "--lazy", str(folder))


@contextmanager
def filled(folder: Path, room: int = 0) -> Iterator[None]:
    """The disk that this folder lies on is full but for so many KB."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass
    os.truncate(ballast, max(0, ballast.stat().st_size - room * 1024))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def taken(url: str) -> Iterator[None]:
    """This state is held by a transaction of ours."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, BUSY, isolation_level=None, check_same_thread=False)) as ours:
            ours.execute("begin exclusive")
            yield
        return
    with closing(psycopg.connect(url.replace("+psycopg", ""))) as session:
        session.execute("lock table readings, runs, deliveries in access exclusive mode")
        yield


def _quiet(*command: str) -> int:
    if not shutil.which(command[0]):
        return 1
    return subprocess.run(command, capture_output=True, check=False).returncode

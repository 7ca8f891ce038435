"""Access tokens got with a refresh token that the vendor may replace each time, and the file that keeps it.

A person puts the app's refresh token into the file, alone. From its first use on the file holds the present access
token too, so that a command run beside the daemon uses the daemon's: at some vendors a new one ends all that came
before. What a vendor hands out is on the disk before it is used, and there is room for it before the old one is.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from connectors.clock import Clock
from connectors.errors import AgainNow, SettingsWrong, Unreachable
from connectors.signin import Token, lifetime, sendable

ROOM = 32_768  # bytes, for two tokens of the largest size that is taken
AUTHORIZE = "authorize the app again and put its new refresh token, alone, into refresh_token_file"
REFUSED = f"check client_id and client_secret; if they are right, {AUTHORIZE}"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
UNSURE = "an earlier renewal was answered without a token, and may have used this one up"


@dataclass(frozen=True)
class Kept:
    """What the file holds. The tokens show in no repr."""

    refresh: str = field(repr=False)
    access: str = field(repr=False)
    until: datetime


class Refreshing:
    """The `sign_in` of `Tokens`: the access token in the file as long as it will do, else a new one.

    `ask` sends a refresh token to the vendor and returns the parsed answer; where the vendor refuses, it raises
    `SettingsWrong` with the words `REFUSED`. `life`: how long a token lasts whose answer does not say. One process at
    a time renews.
    """

    def __init__(self, file: Path, ask: Callable[[str], object], *, clock: Clock, life: timedelta, place: str) -> None:
        self._file, self._ask, self._clock, self._life = file.resolve(), ask, clock, life
        self._new = self._file.with_name(f".{self._file.name}.new")
        self._place = f"{place}.refresh_token_file"
        self._given = ""
        self._unsure = False

    def __call__(self) -> Token:
        with self._alone():
            kept = self._read()
            # Asked again for the one it gave, it was refused or is too old: but another process may have a new one.
            if kept.access in ("", self._given) or self._clock.now() >= kept.until:
                kept = self._renewed(kept.refresh)
        self._given = kept.access
        return Token(SecretStr(kept.access), kept.until)

    def _renewed(self, refresh: str) -> Kept:
        with self._room() as descriptor:
            kept = self._asked(refresh)
            with self._told(f"the new refresh token could not be kept; {AUTHORIZE}"):
                text = {"refresh_token": kept.refresh, "access_token": kept.access, "until": kept.until.isoformat()}
                _put(descriptor, json.dumps(text).encode())
                self._new.replace(self._file)
                _settle(self._file.parent)
        if not kept.access:
            raise AgainNow("the sign-in answered without a token", place=self._place)
        return kept

    def _asked(self, refresh: str) -> Kept:
        asked = self._clock.now()
        try:
            answer = self._ask(refresh)
        except Unreachable:
            raise
        except AgainNow as error:
            self._unsure = True
            words = f"a renewal was answered without a token ({error.words}); should the next be refused, {AUTHORIZE}"
            raise AgainNow(words, place=error.place, unanswered=True) from None
        except SettingsWrong as error:
            if not self._unsure:
                raise
            raise SettingsWrong(f"{error.words}; {UNSURE}", place=error.place) from None
        self._unsure = False
        said: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
        until = asked + lifetime(said.get("expires_in"), otherwise=self._life)
        return Kept(sendable(said.get("refresh_token")) or refresh, sendable(said.get("access_token")), until)

    def _read(self) -> Kept:
        with self._told("cannot be read; put the app's refresh token there"), self._file.open("rb") as file:
            text = file.read(ROOM).decode("utf-8-sig", errors="replace").strip()
        try:
            held = json.loads(text) if text.startswith("{") else {"refresh_token": text}
            until = datetime.fromisoformat(held.get("until") or LONG_AGO.isoformat()).astimezone(UTC)
            kept = Kept(sendable(held["refresh_token"]), sendable(held.get("access_token")), until)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            kept = Kept("", "", LONG_AGO)
        if not kept.refresh:
            raise SettingsWrong(f"holds no refresh token; {AUTHORIZE}", place=self._place)
        return kept

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread or process renews from this file meanwhile; the calls within have a time limit."""
        with ExitStack() as stack:
            with self._told("needs a folder in which this user may write"):
                lock = self._opened(self._file.with_name(f".{self._file.name}.lock"))
                stack.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _room(self) -> Iterator[int]:
        """An open file that will take the place of this one; it is as large as it will have to be."""
        with ExitStack() as stack:
            with self._told("cannot be replaced, so nothing was asked; make room, and let this user write its folder"):
                descriptor = self._opened(self._new)
                stack.callback(self._new.unlink, missing_ok=True)
                stack.callback(os.close, descriptor)
                _put(descriptor, b" " * ROOM)
            yield descriptor

    def _opened(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    @contextmanager
    def _told(self, words: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SettingsWrong(f"{words}: {self._file} ({error.strerror})", place=self._place) from None


def _put(descriptor: int, content: bytes) -> None:
    """Make this all that the file holds, on the disk."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    left = content
    while left:
        left = left[os.write(descriptor, left) :]
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _settle(folder: Path) -> None:
    """A renamed file outlives a power cut only once its folder has been written."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

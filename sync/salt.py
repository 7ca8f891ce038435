"""The salt that user ids are hashed under. The log is only good with the one it was begun with, so another is refused.

State keeps its fingerprint, which tells nothing of the salt.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path

from sync.errors import StateError
from sync.settings import Settings
from sync.state import State


def salt_of(settings: Settings, state: State) -> bytes:
    """The salt of the settings, or else ours. Raises `StateError` when it is not the one state knows."""
    known, own = state.meta("salt"), settings.data / "salt"
    if settings.salt is None and known is not None and not own.exists():
        raise StateError(f"{own} is not there; {_remedy(own)}")
    salt = settings.salt.get_secret_value().encode() if settings.salt else _own(own)
    fingerprint = hashlib.sha256(b"bellwether salt " + salt).hexdigest()[:16]
    if known is None:
        state.set_meta("salt", fingerprint)
    elif known != fingerprint:
        raise StateError(f"the salt for user ids is not the one this log was begun with; {_remedy(own)}")
    return salt


def hashed_under(salt: bytes) -> Callable[[str], str]:
    """What makes of a text a hash that only the salt's owner can repeat."""

    def hashed(text: str) -> str:
        return hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()[:32]

    return hashed


def _own(path: Path) -> bytes:
    """Ours until the settings name one; written under another name first, so that it is whole or not there."""
    if not path.exists():
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_bytes(secrets.token_hex(32).encode())
        new.rename(path)
    salt = path.read_bytes()
    if not salt:
        raise StateError(f"{path} is empty; {_remedy(path)}")
    return salt


def _remedy(path: Path) -> str:
    return (
        f"give the old one back (salt: in the settings, or {path}), or begin anew with an empty data folder and "
        "an empty database"
    )

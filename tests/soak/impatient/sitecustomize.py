"""On the daemon's path during a soak: no read waits longer than this, since a soak has no minutes to spend on one."""

import os
import socket

PATIENCE = float(os.environ["SOAK_PATIENCE"])
_set = socket.socket.settimeout


def _shorter(self: socket.socket, seconds: float | None) -> None:
    _set(self, seconds and min(seconds, PATIENCE))


socket.socket.settimeout = _shorter  # type: ignore[assignment]

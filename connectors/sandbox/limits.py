"""Rate limits on the simulated clock: so many calls in a sliding window of so many seconds."""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime


class Limit:
    """At most `total` calls within any `seconds`."""

    def __init__(self, total: int, seconds: float) -> None:
        self.total, self.seconds = total, seconds
        self._taken: deque[float] = deque()

    def take(self, now: datetime) -> bool:
        """Use one call if there is one left."""
        moment = self._forget(now)
        if len(self._taken) >= self.total:
            return False
        self._taken.append(moment)
        return True

    def remaining(self, now: datetime) -> int:
        self._forget(now)
        return self.total - len(self._taken)

    def resets(self, now: datetime) -> int:
        """Whole seconds until a call is free again (until the oldest leaves the window), at least 1."""
        moment = self._forget(now)
        oldest = self._taken[0] if self._taken else moment
        return max(1, math.ceil(oldest + self.seconds - moment))

    def _forget(self, now: datetime) -> float:
        moment = now.timestamp()
        while self._taken and self._taken[0] <= moment - self.seconds:
            self._taken.popleft()
        return moment

"""What the daemon answers about itself while its passes come and go."""

from __future__ import annotations

from datetime import datetime

from connectors.clock import SystemClock
from sync.health import Health


class Ending(SystemClock):
    """A clock that is read in the very moment in which the pass under way ends."""

    health: Health | None = None

    def now(self) -> datetime:
        if self.health:
            self.health.fail()
        return super().now()


def test_a_pass_that_ends_while_somebody_asks_is_no_fault() -> None:
    clock = Ending()
    health = Health(clock)
    health.begin()
    clock.health = health
    assert health.alive

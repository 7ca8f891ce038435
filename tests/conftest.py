"""What all tests share: Hypothesis without clocks or chance, and the PostgreSQL server of those that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

pytest_plugins = ["tests.postgres"]


@pytest.fixture(autouse=True)
def _log_set_up_by_nobody() -> Iterator[None]:
    """Commands run in this process set up the log; that is no other test's."""
    yield
    structlog.reset_defaults()

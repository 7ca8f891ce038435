"""What all tests share: Hypothesis without clocks or chance, and the PostgreSQL server of those that need one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# every process that a test starts would compile all modules anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = ["tests.postgres"]


@pytest.fixture(autouse=True)
def _log_set_up_by_nobody() -> Iterator[None]:
    """Commands run in this process set up the log; that is no other test's. Before, tracebacks are plain: drawing them
    with every variable takes longer than what is tested."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
    yield
    structlog.reset_defaults()

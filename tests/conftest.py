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

# A file is one worker's: were these begun last, the other would wait for them.
LONG = (
    "test_sync_daemon test_bad_input test_sync_run test_sync_rehearsal test_sync_erase test_sync_evaluate"
    " test_sync_chaos test_sync_log test_sync_soak test_sync_cli test_connectors_answers test_sync_spare"
    " test_sync_several test_sync_budget test_secrets test_scoring_postgres test_sync_ledger test_scoring_oracle"
    " test_sync_scores test_sync_judgements test_sync_scorecards test_sync_replay test_sync_backup test_sync_merged"
    " test_sync_edits test_sync_clocks"
).split()


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # pytest-xdist would begin with the files of most tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))


@pytest.fixture(autouse=True)
def _log_set_up_by_nobody() -> Iterator[None]:
    """Commands run in this process set up the log; that is no other test's. Before, tracebacks are plain: drawing them
    with every variable takes longer than what is tested."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
    yield
    structlog.reset_defaults()

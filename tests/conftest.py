"""What all tests share: Hypothesis without clocks or chance, and the PostgreSQL server of those that need one."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

pytest_plugins = ["tests.postgres"]

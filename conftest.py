"""Settings of every property test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A deadline asserts a time, which a busy machine breaks; in CI the same examples are drawn every time.
settings.register_profile(
    "tasksel", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tasksel")

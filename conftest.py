"""Settings of every property test, and a heap that the garbage collector need not walk each time."""

from __future__ import annotations

import gc
import os
import sys

from hypothesis import HealthCheck, settings

# A deadline asserts a time, which a busy machine breaks; in CI the same examples are drawn every time.
settings.register_profile(
    "tasksel", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tasksel")

_MODULES_A_FREEZE = 200
_frozen = {"modules": 0}


def pytest_runtest_teardown() -> None:
    """Set aside what large imports leave on the heap.

    Modules live until the end, and trainings call the collector, which walks all of torch and transformers
    each time: more than a quarter of the CPU time of `test_training.py`.
    """
    if len(sys.modules) > _frozen["modules"] + _MODULES_A_FREEZE:
        _frozen["modules"] = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_unconfigure() -> None:
    """Give all back, so that libraries that count their objects at the end do not complain."""
    gc.unfreeze()

"""Benchmarks run on one thread, and end with the table of ratios."""

from __future__ import annotations

import os

# Before any test module imports the libraries that read them.
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["POLARS_MAX_THREADS"] = "1"

import pytest

RATIO_ROWS = pytest.StashKey[list]()


def pytest_configure(config):
    """Start an empty table."""
    config.stash[RATIO_ROWS] = []


@pytest.fixture
def ratio_rows(request) -> list:
    """Rows of the table; a benchmark appends its own, with the keys of the first."""
    return request.config.stash[RATIO_ROWS]


def pytest_terminal_summary(terminalreporter, config):
    """Print the ratios of all benchmarks that compared two sides."""
    rows = config.stash[RATIO_ROWS]
    if rows:
        terminalreporter.section("CPU time, alternative / tasksel")
    for row in rows:
        terminalreporter.line(
            "{kernel} against {alternative}: min {ratio_min:.1f} median {ratio_median:.1f} "
            "max {ratio_max:.1f}, goal {goal:g}, stretch {stretch:g}".format(**row)
        )

"""Kernels through Python with each bound on the instruction set, one process a bound."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib
import numpy as np
import tasksel_core as core

rng = np.random.default_rng(0)
said = hashlib.sha256()

def say(*arrays):
    for array in arrays:
        said.update(np.ascontiguousarray(array).tobytes())

shapes = [(1, 1, 1.0), (700, 1, 1.0), (700, 63, 1e-30), (900, 64, 1e30), (900, 65, 1.0)]
for n_rows, n_columns, scale in shapes:
    points = (rng.normal(size=(n_rows, n_columns)) * scale).astype(np.float32)
    points[::7] = points[0]
    for n_threads in (1, 3):
        say(*core.k_center_greedy(points, 50, n_threads=n_threads))
        say(*core.k_center_greedy(points, 50, partitions=3, n_threads=n_threads))
        say(core.covering_radii(points, points[:5], n_threads=n_threads))
        rows, distances = core.nearest_neighbours(points, points, 4, exclude_self=True, n_threads=n_threads)
        say(rows, distances, core.ball_counts(points, points, np.full(n_rows, scale, np.float32)))
        say(*core.k_means(points, min(n_rows, 5), max_iterations=5, n_threads=n_threads)[:2])
        say(*core.facility_location(points, 20, n_neighbours=5, n_threads=n_threads))
        say(*core.graph_cut(points, 20, metric="euclidean", n_threads=n_threads))
tokens = -rng.exponential(size=100_000).astype(np.float32)
offsets = np.sort(np.append(rng.integers(0, len(tokens), 4000), [0, len(tokens)]))
logs, task = core.log_confidence(tokens, offsets), rng.integers(0, 99, len(offsets) - 1)
of_tasks = core.task_log_confidence(logs, task, 99)
weights = core.inverse_confidence_weights(of_tasks)
say(logs, of_tasks, weights, core.weighted_round_robin(task, weights, seed=1))
say(core.allocate(weights, np.bincount(task), 1000))
print(said.hexdigest(), *core._core._k_center_ways())
"""


def run_at(level: str | None) -> subprocess.CompletedProcess[str]:
    """Run the program with a bound, or without one."""
    environment = {name: value for name, value in os.environ.items() if name != "TASKSEL_MAX_ISA"}
    if level is not None:
        environment["TASKSEL_MAX_ISA"] = level
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def unbounded() -> list[str]:
    """What the fastest path of this machine says, and the ways that it has."""
    return run_at(None).stdout.split()


@pytest.mark.parametrize(
    ("level", "ways"), [("portable", {"portable"}), ("avx2", {"avx2", "portable"}), ("", None), ("amx", None)]
)
def test_a_bound_changes_no_result(level: str, ways: set[str] | None, unbounded: list[str]) -> None:
    digest, *found = run_at(level).stdout.split()
    assert digest == unbounded[0]
    assert set(found) == (set(unbounded[1:]) if ways is None else ways & set(unbounded[1:]))


def test_a_bound_that_names_nothing_is_refused() -> None:
    refused = run_at("AVX2")
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1] == (
        "tasksel_core.errors.ConfigError: TASKSEL_MAX_ISA: 'AVX2'; allowed: 'portable', 'avx2', 'avx512' or "
        "'amx', or nothing for all that the machine has"
    )

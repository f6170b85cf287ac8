"""What an allocation would be with fewer and with more tasks: nested cuts around those that were found."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from tasksel.findings import effective_number
from tasksel.task_discovery.unit_vectors import mean_vectors, nearest_centers, sampled_rows, unit_rows
from tasksel.task_discovery.ward import ward_cuts
from tasksel_core import allocate, inverse_confidence_weights, k_means, task_log_confidence

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["GRANULARITIES", "GRANULARITY_SCHEMA", "granularity_report"]

GRANULARITIES: Final = (10, 30, 100, 300)
MAX_SPLIT_ROWS: Final = 2_000
MAX_ITERATIONS: Final = 20
GRANULARITY_SCHEMA: Final = pl.Schema(
    {
        "tasks": pl.Int64,
        "is_found": pl.Boolean,
        "smallest": pl.Int64,
        "median": pl.Float64,
        "largest": pl.Int64,
        "effective_tasks": pl.Float64,
        "capped": pl.Int64,
        "labels_per_task": pl.Float64,
        "largest_label_share": pl.Float64,
        "effective_tasks_weight": pl.Float64,
        "largest_weight_share": pl.Float64,
    }
)


class _Leaf(NamedTuple):
    """A task that may be split; the one with the most inside comes first."""

    minus_inertia: float
    place: int
    rows: npt.NDArray[np.int64]
    centers: npt.NDArray[np.float32]


def granularity_report(
    vectors: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    *,
    budget: int,
    log_confidence: npt.NDArray[np.float64] | None = None,
    numbers: tuple[int, ...] = GRANULARITIES,
    base: int = 5,
    seed: int = 0,
) -> pl.DataFrame:
    """Allocate the same budget over fewer and over more tasks.

    Fewer tasks are merges of those found (Ward's, over their centers), more are splits (the one with the
    largest sum of squared distances, in two), so that every cut refines the coarser ones.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_rows, d)
        Embeddings; rows that have a task have a direction.
    labels : ndarray of int64, shape (n_rows,)
        Place of the task of each row, -1 for "other", which is a task of its own in each allocation.
    budget : int
        Labels to spend.
    log_confidence : ndarray of float64, shape (n_rows,), optional
        The model's confidence in its answers, NaN where there is none.
    numbers : tuple of int
        Tasks, without "other".
    base : int
        Labels that every task gets first.
    seed : int
        Of the splits.

    Returns
    -------
    pl.DataFrame
        One row a number of tasks that there can be, the found one among them (``is_found``): prompts of the
        ``smallest``, ``median`` and ``largest`` task, ``effective_tasks`` by prompts; under uniform weights
        how many tasks are ``capped`` (all their prompts are taken), the median ``labels_per_task`` and the
        ``largest_label_share``; with confidences ``effective_tasks_weight`` and ``largest_weight_share`` of
        the weights that are inverse to them, else null.
    """
    rows = np.flatnonzero(labels >= 0)
    n_found = len(np.unique(labels[rows]))
    cuts = {n_found: labels}
    cuts |= _coarser(vectors, labels, rows, [each for each in numbers if each < n_found])
    cuts |= _finer(vectors, labels, rows, [each for each in numbers if each > n_found], seed)
    lines = [
        _line(cuts[number], number == n_found, budget, log_confidence, base)
        for number in sorted(cuts)
        if number
    ]
    return pl.DataFrame(lines, schema=GRANULARITY_SCHEMA, orient="row")


def _coarser(
    vectors: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    numbers: list[int],
) -> dict[int, npt.NDArray[np.int64]]:
    if not numbers:
        return {}
    n_labels = int(labels.max(initial=-1)) + 1
    sizes = np.bincount(labels[rows], minlength=n_labels)
    present = np.flatnonzero(sizes)
    centers = mean_vectors(vectors, rows, labels[rows], n_labels)[present]
    cuts = {}
    for number, groups in ward_cuts(centers, sizes[present], numbers).items():
        group_of = np.full(n_labels, -1, dtype=np.int64)
        group_of[present] = groups
        merged = labels.copy()
        merged[rows] = group_of[labels[rows]]
        cuts[number] = merged
    return cuts


def _finer(
    vectors: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    numbers: list[int],
    seed: int,
) -> dict[int, npt.NDArray[np.int64]]:
    if not numbers:
        return {}
    current = labels.copy()
    leaves: list[_Leaf] = []
    present = np.unique(labels[rows])
    for place in present.tolist():
        _push(leaves, vectors, place, rows[labels[rows] == place], seed)
    cuts, n_tasks, new = {}, len(present), int(labels.max(initial=-1)) + 1
    while leaves and n_tasks < max(numbers):
        leaf = heapq.heappop(leaves)
        sides = nearest_centers(vectors, leaf.rows, leaf.centers).centers
        if sides.all() or not sides.any():
            continue
        current[leaf.rows[sides == 1]] = new
        _push(leaves, vectors, leaf.place, leaf.rows[sides == 0], seed)
        _push(leaves, vectors, new, leaf.rows[sides == 1], seed)
        n_tasks, new = n_tasks + 1, new + 1
        if n_tasks in numbers:
            cuts[n_tasks] = current.copy()
    return cuts


def _push(
    leaves: list[_Leaf], vectors: npt.NDArray[np.float32], place: int, rows: npt.NDArray[np.int64], seed: int
) -> None:
    """Find how a task would split; one of a single prompt, or of equal ones, cannot."""
    if len(rows) < 2:
        return
    points = unit_rows(vectors, sampled_rows(rows, MAX_SPLIT_ROWS, seed))
    inertia = float(k_means(points, 1, max_iterations=1)[2]) / len(points) * len(rows)
    if inertia < 1e-6 * len(rows):
        return
    centers = k_means(points, 2, seed=seed, max_iterations=MAX_ITERATIONS)[0].astype(np.float64)
    lengths = np.sqrt(np.square(centers).sum(axis=1, keepdims=True))
    if (lengths > 0).all():
        heapq.heappush(leaves, _Leaf(-round(inertia, 6), place, rows, (centers / lengths).astype(np.float32)))


def _line(
    labels: npt.NDArray[np.int64],
    is_found: bool,
    budget: int,
    log_confidence: npt.NDArray[np.float64] | None,
    base: int,
) -> tuple[object, ...]:
    n_tasks = len(np.unique(labels[labels >= 0]))
    task = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    available = np.bincount(task)
    own = available if n_tasks == len(available) else available[1:]  # "other" is -1 and stands first
    quotas = allocate(np.ones(len(available)), available, min(budget, len(labels)), base=base)
    weight: tuple[float | None, float | None] = (None, None)
    if log_confidence is not None:
        confidences = task_log_confidence(log_confidence, task, len(available))
        weights = inverse_confidence_weights(confidences)
        weight = (effective_number(weights), float(weights.max() / weights.sum()))
    return (
        n_tasks,
        is_found,
        int(own.min()),
        float(np.median(own)),
        int(own.max()),
        effective_number(own),
        int((quotas == available).sum()),
        float(np.median(quotas)),
        float(quotas.max() / quotas.sum()),
        *weight,
    )

"""How far the labels reach over the pool's vectors, and what the next ones would buy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

import tasksel_core
from tasksel.selection_files import SelectionInputs, replay
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.explanation_inputs import ExplainedRows

__all__ = ["NEXT_LABELS", "Covering", "measure_covering"]

NEXT_LABELS: Final = 1_000
"""Labels beyond the budget that the curve goes on for, where the selection can be made anew."""
MOST_PRODUCTS: Final = 2_000_000_000_000
"""Rows times labels times dimensions from which on a part of the pool stands for it: a minute's work."""


class Covering(NamedTuple):
    """How far the labels reach.

    Parameters
    ----------
    curve : DataFrame
        ``labels`` (1 and up, beyond the budget too) and ``radius``: the largest distance of a pool row to
        the nearest of the first so many labels.
    by_task : ndarray of float64, shape (n_tasks,)
        The largest distance of a pool row of each task to the nearest label.
    note : str or None
        Why the curve ends at the budget, or that it was measured on a part of the pool.
    """

    curve: pl.DataFrame
    by_task: NDArray[np.float64]
    note: str | None


def measure_covering(
    rows: ExplainedRows, *, next_labels: int = NEXT_LABELS, seed: int = 0
) -> Covering | None:
    """Measure the covering radius after each label, and each task's own at the budget.

    Parameters
    ----------
    rows : ExplainedRows
        What is explained.
    next_labels : int
        Labels beyond the budget.
    seed : int
        Of the rows that stand for a pool that is too large.

    Returns
    -------
    Covering or None
        None without the pool or its embeddings.
    """
    if rows.embeddings is None or rows.pool is None or not len(rows.picked_rows):
        return None
    order, note = _ranking(rows, next_labels)
    points, task, sampled = _points(rows, len(order), seed)
    radii = tasksel_core.covering_radii(points, np.asarray(rows.embeddings[order]))
    picked = np.asarray(rows.embeddings[rows.picked_rows])
    distances = tasksel_core.nearest_neighbours(points, picked, 1)[1][:, 0]
    by_task = np.full(rows.allocation.height, -np.inf)
    np.maximum.at(by_task, task, distances.astype(np.float64))
    curve = pl.DataFrame({"labels": np.arange(1, len(radii) + 1), "radius": radii.astype(np.float64)})
    notes = [each for each in (note, sampled) if each is not None]
    return Covering(curve, np.where(np.isinf(by_task), np.nan, by_task), " ".join(notes) or None)


def _points(
    rows: ExplainedRows, n_centers: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], str | None]:
    assert rows.embeddings is not None  # noqa: S101 -- the caller has looked
    n_rows, n_dimensions = rows.embeddings.shape
    most = max(1, MOST_PRODUCTS // (n_centers * n_dimensions))
    if n_rows <= most:
        return rows.embeddings, rows.task, None
    some = np.sort(np.random.default_rng(seed).choice(n_rows, most, replace=False))
    note = (
        f"Covering radii were measured on {most:,} of {n_rows:,} prompts drawn at random; those of all are "
        "at least as large."
    )
    return np.asarray(rows.embeddings[some]), rows.task[some], note


def _ranking(rows: ExplainedRows, next_labels: int) -> tuple[NDArray[np.int64], str | None]:
    """Return the labels and those that would come next, where the selection is a ranking."""
    budget = len(rows.picked_rows)
    if budget >= rows.frame.height or next_labels < 1:
        return rows.picked_rows, None
    inputs = SelectionInputs(rows.pool, rows.inputs.scores, rows.embeddings)
    try:
        longer = replay(rows.saved, inputs, budget=min(budget + next_labels, rows.frame.height)).rows
    except (TaskselError, OSError) as error:
        return rows.picked_rows, f"The covering curve ends at the budget: {error}"
    if not np.array_equal(longer[:budget], rows.picked_rows):
        return rows.picked_rows, (
            "The covering curve ends at the budget: under these settings a larger selection does not begin "
            "with this one."
        )
    return longer, None

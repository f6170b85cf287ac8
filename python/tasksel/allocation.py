"""How a selection spreads over tasks: task numbers, and the table of one row a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.strategies import Ranking, RankingProblem

__all__ = ["ALLOCATION_SCHEMA", "allocation_table", "number_tasks"]

ALLOCATION_SCHEMA = pl.Schema(
    {
        "task": pl.String(),
        "available": pl.Int64(),
        "confidence": pl.Float64(),
        "weight": pl.Float64(),
        "base": pl.Int64(),
        "quota": pl.Int64(),
        "picked": pl.Int64(),
        "capped": pl.Boolean(),
        "log_confidence": pl.Float64(),
        "scored": pl.Int64(),
    }
)


def number_tasks(
    frame: pl.DataFrame, task_column: str, *, required: bool, strategy: str
) -> tuple[list[str], NDArray[np.int64]]:
    """Give each task a number, in the order of the names (by UTF-8 bytes, so by code point).

    Returns
    -------
    names : list of str, length n_tasks
    task : ndarray of int64, shape (n_rows,)
        A frame without the task column is one task named ``(all)``, unless `required`.

    Raises
    ------
    SchemaError
        `required`, and there is no task column.
    """
    if task_column not in frame.columns:
        if required:
            raise SchemaError(
                f"There is no column {task_column!r}, and {strategy} needs tasks; the pool has "
                f"{', '.join(frame.columns)}. Name the column with --task-column (task_column=), or use "
                "random, k-center or least-confident."
            )
        return ["(all)"], np.zeros(frame.height, dtype=np.int64)
    column = frame[task_column].cast(pl.String).fill_null("(no task)")
    names = column.unique().sort()
    return names.to_list(), column.cast(pl.Enum(names)).to_physical().cast(pl.Int64).to_numpy()


def allocation_table(
    problem: RankingProblem, ranking: Ranking, task_names: list[str], *, weighted: bool
) -> pl.DataFrame:
    """Build the table of one row a task that `Selection.allocation` documents."""
    available = problem.available
    picked = np.bincount(problem.task[ranking.rows], minlength=problem.n_tasks)
    log_confidence = problem.task_log_confidence()
    scored = np.zeros(problem.n_tasks, dtype=np.int64)
    if problem.log_confidence is not None:
        scored = np.bincount(problem.task[~np.isnan(problem.log_confidence)], minlength=problem.n_tasks)
    weight = np.full(problem.n_tasks, np.nan) if ranking.log_weights is None else np.exp(ranking.log_weights)
    columns = {
        "task": task_names,
        "available": available,
        "confidence": np.exp(log_confidence),
        "weight": weight,
        "base": np.minimum(problem.options.base if weighted else 0, available),
        "quota": picked,
        "picked": picked,
        "capped": picked == available,
        "log_confidence": log_confidence,
        "scored": scored,
    }
    return pl.DataFrame(columns, schema=ALLOCATION_SCHEMA).with_columns(
        pl.col(pl.Float64).fill_nan(None)  # NaN is "unknown" in the kernels, null in a frame
    )

"""The table of an explanation: one row a task, what was given out and what that stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.explanation_covering import Covering
    from tasksel.explanation_inputs import ExplainedRows
    from tasksel.explanation_repeats import Repeats

__all__ = ["task_table"]

QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


def task_table(
    rows: ExplainedRows,
    repeats: Repeats,
    covering: Covering | None,
    answer_tokens: NDArray[np.float64] | None,
) -> pl.DataFrame:
    """Build the table that `Explanation.tasks` documents.

    Parameters
    ----------
    rows : ExplainedRows
        What is explained.
    repeats : Repeats
        How much its labels repeat each other.
    covering : Covering or None
        How far they reach.
    answer_tokens : ndarray of float64, shape (n_tasks,), or None
        Mean length of the model's answers to each task.
    """
    n_tasks = rows.allocation.height
    unknown = np.full(n_tasks, np.nan)
    log_confidence = rows.task_log_confidence()
    columns = {
        "confidence": np.exp(log_confidence),
        "log_confidence": log_confidence,
        "answer_tokens": unknown if answer_tokens is None else answer_tokens,
        **_quartiles(rows),
        "near_duplicates": _near_duplicates(rows, repeats),
        "redundancy": repeats.redundancy,
        "pool_redundancy": repeats.pool_redundancy,
        "covering_radius": unknown if covering is None else covering.by_task,
    }
    table = rows.allocation.with_columns(
        pl.Series(name, values, dtype=pl.Float64) for name, values in columns.items()
    ).with_columns(pl.col(pl.Float64).fill_nan(None))
    if rows.scores is None or rows.pool is None:
        return table
    known = rows.task[~np.isnan(rows.scores.log_confidence)]
    return table.with_columns(scored=pl.Series(np.bincount(known, minlength=n_tasks), dtype=pl.Int64))


def _quartiles(rows: ExplainedRows) -> dict[str, NDArray[np.float64]]:
    """Return quartiles of each task's confidences, in order of which logarithms make no difference."""
    n_tasks = rows.allocation.height
    found = np.full((len(QUARTILES), n_tasks), np.nan)
    if rows.scores is not None:
        frame = pl.DataFrame({"task": rows.task, "log": rows.scores.log_confidence})
        grouped = (
            frame.filter(pl.col("log").is_not_nan())
            .group_by("task")
            .agg(
                pl.col("log").quantile(share, interpolation="nearest").alias(name)
                for name, share in QUARTILES.items()
            )
        )
        found[:, grouped["task"].to_numpy()] = grouped.select(*QUARTILES).to_numpy().T
    logs = dict(zip(QUARTILES, found, strict=True))
    return {
        **{f"confidence_{name}": np.exp(values) for name, values in logs.items()},
        **{f"log_confidence_{name}": values for name, values in logs.items()},
    }


def _near_duplicates(rows: ExplainedRows, repeats: Repeats) -> NDArray[np.float64]:
    """Return the share of each task's labels that have a near-duplicate; NaN under two labels."""
    n_tasks = rows.allocation.height
    task = rows.task[rows.picked_rows[: len(repeats.is_repeated)]]
    counts = np.bincount(task, minlength=n_tasks)
    repeated = np.bincount(task[repeats.is_repeated], minlength=n_tasks)
    shares = np.full(n_tasks, np.nan)
    np.divide(repeated, counts, out=shares, where=counts > 1)
    return shares

"""How a selection spreads over tasks: task numbers, the table of one row a task, and its pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.wording import counted
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.strategies import Ranking, RankingProblem

__all__ = ["ALLOCATION_SCHEMA", "Allocation", "allocation_table", "number_tasks"]

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
    """Build the table of one row a task that `Selection.allocation` documents.

    Of a pool with labels the prompts without are available, and the column ``labelled`` comes last.
    """
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
        "base": np.minimum(_unmet_base(problem) if weighted else 0, available),
        "quota": picked,
        "picked": picked,
        "capped": picked == available,
        "log_confidence": log_confidence,
        "scored": scored,
    }
    table = pl.DataFrame(columns, schema=ALLOCATION_SCHEMA).with_columns(
        pl.col(pl.Float64).fill_nan(None)  # NaN is "unknown" in the kernels, null in a frame
    )
    return table.with_columns(labelled=problem.labelled) if len(problem.taken_rows) else table


def _unmet_base(problem: RankingProblem) -> NDArray[np.int64]:
    """Return how many labels each task still lacks to its base."""
    return np.maximum(problem.options.base - problem.labelled, 0)


_CARD_COLUMNS: Final = ("task", "available", "confidence", "weight", "picked")


@dataclass(frozen=True, eq=False)
class Allocation:
    """How a selection spreads over tasks, to look at in a notebook.

    Parameters
    ----------
    table : DataFrame
        One row a task; `Selection.allocation` documents the columns.

    Examples
    --------
    >>> import polars as pl
    >>> table = pl.DataFrame({"task": ["sum", "rhyme"], "available": [30, 4], "picked": [6, 4]})
    >>> Allocation(table).headline()
    '10 labels for 2 of 2 tasks; 1 task is used up.'
    """

    table: pl.DataFrame = field(repr=False)

    def headline(self) -> str:
        """Say in a sentence how many labels go to how many tasks."""
        picked, available = self.table["picked"], self.table["available"]
        capped = int((picked == available).sum())
        return (
            f"{counted(int(picked.sum()), 'label')} for {(picked > 0).sum():,} of "
            f"{counted(self.table.height, 'task')}; {counted(capped, 'task is', 'tasks are')} used up."
        )

    def _repr_html_(self) -> str:
        from tasksel.html_page_card import CardTable, card

        heaviest_first = self.table.sort("picked", "task", descending=[True, False])
        names = [name for name in _CARD_COLUMNS if not heaviest_first[name].is_null().all()]
        return card("Allocation", self.headline(), [CardTable(heaviest_first.select(names))])

    def plot_quotas(self, *, width: int = 640) -> Any:
        """Draw the labels of each task beside the prompts that it has.

        Parameters
        ----------
        width : int
            In pixels, names of tasks included.

        Returns
        -------
        altair.LayerChart
            A row a task, the heaviest first; of many tasks the first and the last, the others as one row.

        Raises
        ------
        MissingExtraError
            altair or vl-convert is not installed (extra ``plots``).
        """
        from tasksel.allocation_plots import plot_quotas

        return plot_quotas(self.table, width=width)

    def plot_weights(self, *, width: int = 640) -> Any:
        """Draw how far weights, labels and prompts are concentrated in few tasks.

        Parameters and errors are those of `plot_quotas`.

        Returns
        -------
        altair.LayerChart
            The share that the largest tasks hold together, over their number; a straight line is equal
            shares.
        """
        from tasksel.allocation_plots import plot_weights

        return plot_weights(self.table, width=width)

    def plot_confidence(self, *, width: int = 640) -> Any:
        """Draw how confident the model is in each task.

        Parameters and errors are those of `plot_quotas`.

        Returns
        -------
        altair.LayerChart
            A row a task, the least confident first.

        Raises
        ------
        SchemaError
            The selection was made without scores.
        """
        from tasksel.allocation_plots import plot_confidence

        return plot_confidence(self.table, width=width)

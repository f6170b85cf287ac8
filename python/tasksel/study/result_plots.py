"""The plots of a finished study: its frames brought into the shape that the pictures want."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.evaluation_figures import LOWER_IS_BETTER, direction_of
from tasksel.study.cells import ALL_LABELS, NO_LABELS
from tasksel.study.comparisons import ALL_WORLDS
from tasksel.study.plots import (
    plot_differences,
    plot_gains_by_confidence,
    plot_label_efficiency,
    plot_scores_by_budget,
)
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UNIFORM", "draw_differences", "draw_efficiency", "draw_gains", "draw_scores", "worlds_with_gains"]

UNIFORM: Final = "task-diversity"
"""The arm whose gains are shown by task: the one that treats all tasks the same."""


def draw_scores(cells: pl.DataFrame, metric: str) -> Any:
    """Draw what each arm scores with each budget; `cells` are those of a `CollectedCells`."""
    return plot_scores_by_budget(
        _score_rows(_of_arms(cells, metric)),
        value_name=f"macro {metric}",
        lower_is_better=metric in LOWER_IS_BETTER,
    )


def draw_differences(differences: pl.DataFrame, cells: pl.DataFrame, metric: str) -> Any:
    """Draw the paired differences over all worlds, or of the one world; SchemaError where there is none."""
    shown = differences.filter(
        (pl.col("metric") == metric) & (pl.col("kind") == "macro") & pl.col("low").is_not_null()
    )
    if ALL_WORLDS in shown["world"]:
        shown = shown.filter(pl.col("world") == ALL_WORLDS)  # the page has the others as tables
    if shown.is_empty():
        raise SchemaError("There are no differences to draw: an interval needs two pairs.")
    rows = _difference_rows(shown, _of_arms(cells, metric))
    # Signs are turned already: above zero the arm is better, of a loss too.
    return plot_differences(rows, value_name=f"macro {metric}")


def draw_efficiency(efficiency: pl.DataFrame, metric: str) -> Any:
    """Draw how many labels random needs for what an arm scores; SchemaError where that is not known."""
    needs = efficiency.filter(
        (pl.col("metric") == metric) & (pl.col("baseline") == "random") & (pl.col("world") != ALL_WORLDS)
    )
    if needs.is_empty():
        raise SchemaError("There is no label efficiency to draw: random needs at least two budgets.")
    return plot_label_efficiency(
        needs.with_columns(
            pl.col("labels").round().cast(pl.Int64).alias("budget"),
            pl.col("needed").alias("labels_random_needs"),
        )
    )


def draw_gains(tasks: pl.DataFrame, metric: str, world: str | None = None) -> Any:
    """Draw the gain of each task against its confidence before; of the first world if none is named."""
    for name, gains in _gains_by_world(tasks, metric):
        if world in (None, name):
            return plot_gains_by_confidence(gains, value_name=metric)
    raise SchemaError("There are no gains to draw: no world has confidences and an arm of equal shares.")


def worlds_with_gains(tasks: pl.DataFrame, metric: str) -> list[str]:
    """Return the worlds that `draw_gains` can draw."""
    return [name for name, _ in _gains_by_world(tasks, metric)]


def _of_arms(cells: pl.DataFrame, metric: str) -> pl.DataFrame:
    return cells.filter((pl.col("metric") == metric) & ~pl.col("arm").is_in([NO_LABELS, ALL_LABELS]))


def _score_rows(cells: pl.DataFrame) -> pl.DataFrame:
    """Bring the cells of a budget onto one number of labels: pools of other seeds differ a little."""
    labels = pl.col("labels").mean().over("world", "budget").round().cast(pl.Int64)
    return cells.select(
        "world",
        "arm",
        "seed",
        labels.alias("budget"),
        (pl.col("labels") / pl.col("pool_rows")).mean().over("world", "budget").alias("budget_share"),
        pl.col("macro").alias("value"),
    )


def _difference_rows(differences: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    means = cells.group_by("budget").agg(pl.col("labels").mean().round().cast(pl.Int64))
    return differences.join(means, on="budget").with_columns(pl.col("labels").alias("budget"))


def _gains_by_world(tasks: pl.DataFrame, metric: str) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield mean gain and confidence of each task over the seeds, for worlds that were scored."""
    sign = direction_of(metric)
    if "confidence" not in tasks.columns or metric not in tasks.columns:
        return
    before = tasks.filter(pl.col("arm") == NO_LABELS).select(
        "world", "seed", "task", pl.col(metric).alias("before")
    )
    after = tasks.filter((pl.col("arm") == UNIFORM) & pl.col("confidence").is_not_null())
    joined = after.join(before, on=["world", "seed", "task"])
    for (world,), group in joined.group_by("world", maintain_order=True):
        budget = group["budget"].max()
        yield (
            str(world),
            group.filter(pl.col("budget") == budget)
            .group_by("task")
            .agg(
                pl.col("confidence").mean(),
                (sign * (pl.col(metric) - pl.col("before"))).mean().alias("gain"),
                pl.col("labels").mean().round().cast(pl.Int64),
            )
            .sort("task"),
        )

"""The pictures of a finished study: its frames brought into the shape that the plots want, and written."""

from __future__ import annotations

import re
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
    save_chart,
)
from tasksel_core.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasksel.study.results import StudyResult

__all__ = ["draw_pictures"]

_UNIFORM: Final = "task-diversity"
"""The arm whose gains are shown by task: the one that treats all tasks the same."""


def draw_pictures(result: StudyResult) -> list[tuple[str, str]]:
    """Write the SVG files of a study into its folder; none where the extra ``plots`` is not installed.

    Parameters
    ----------
    result : StudyResult
        What was found.

    Returns
    -------
    list of (str, str)
        File name and description of each picture, in the order of the page.
    """
    pictures = []
    for name, description, chart in _make_charts(result):
        try:
            save_chart(chart(), result.folder / name)
        except MissingExtraError:
            return []
        pictures.append((name, description))
    return pictures


def _make_charts(result: StudyResult) -> Iterator[tuple[str, str, Any]]:
    """Yield file name, description and maker of each picture for which there is something to draw."""
    metric = result.study.primary
    lower = metric in LOWER_IS_BETTER
    cells = result.shown.cells.filter(
        (pl.col("metric") == metric) & (pl.col("arm") != NO_LABELS) & (pl.col("arm") != ALL_LABELS)
    )
    yield (
        "scores.svg",
        f"Macro {metric} of each arm",
        lambda: plot_scores_by_budget(
            _score_rows(cells), value_name=f"macro {metric}", lower_is_better=lower
        ),
    )
    differences = result.differences.filter(
        (pl.col("metric") == metric) & (pl.col("kind") == "macro") & pl.col("low").is_not_null()
    )
    if ALL_WORLDS in differences["world"]:
        differences = differences.filter(pl.col("world") == ALL_WORLDS)  # the page has the others as tables
    if differences.height:
        rows = _difference_rows(differences, cells)
        # Signs are turned already: above zero the arm is better, of a loss too.
        yield (
            "differences.svg",
            f"Paired differences in macro {metric}",
            lambda: plot_differences(rows, value_name=f"macro {metric}"),
        )
    needs = result.efficiency.filter(
        (pl.col("metric") == metric) & (pl.col("baseline") == "random") & (pl.col("world") != ALL_WORLDS)
    )
    if needs.height:
        yield (
            "efficiency.svg",
            f"Labels that random needs for the same macro {metric}",
            lambda: plot_label_efficiency(
                needs.with_columns(
                    pl.col("labels").round().cast(pl.Int64).alias("budget"),
                    pl.col("needed").alias("labels_random_needs"),
                )
            ),
        )
    for world, gains in _gains_by_world(result):
        yield (
            f"gains-{re.sub(r'[^A-Za-z0-9.-]', '-', world)}.svg",
            f"Gain in {metric} of each task of {world} under {_UNIFORM}, by its confidence before",
            lambda gains=gains: plot_gains_by_confidence(gains, value_name=metric),
        )


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


def _gains_by_world(result: StudyResult) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield mean gain and confidence of each task over the seeds, for worlds that were scored."""
    metric = result.study.primary
    sign = direction_of(metric)
    tasks = result.shown.tasks
    if "confidence" not in tasks.columns or metric not in tasks.columns:
        return
    before = tasks.filter(pl.col("arm") == NO_LABELS).select(
        "world", "seed", "task", pl.col(metric).alias("before")
    )
    after = tasks.filter((pl.col("arm") == _UNIFORM) & pl.col("confidence").is_not_null())
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

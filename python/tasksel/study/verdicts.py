"""What the pairs of a study say, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.study.comparisons import ALL_WORLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERDICTS", "difference_phrase", "format_budget", "judged_pairs", "state_verdicts"]

VERDICTS: Final = (
    "An arm *beats* another or *loses* to it where the interval excludes zero and p is below 0.05; it is "
    "*ahead* or *behind* where the interval alone says so, for which few pairs are enough by chance."
)
SIGNIFICANT: Final = 0.05
"""Of the sign test: without it an interval of few pairs would be believed too soon."""


def state_verdicts(differences: pl.DataFrame, metric: str, baselines: Sequence[str]) -> list[str]:
    """Return one sentence for each arm and baseline, over all worlds where there are several.

    Parameters
    ----------
    differences : pl.DataFrame
        As in `tasksel.study.results.StudyResult`.
    metric : str
        Whose macro figures are told.
    baselines : sequence of str
        In the order of the study.

    Returns
    -------
    list of str
        In Markdown: names of arms are bold.
    """
    return [
        f"**{row['arm']}** {row['verdict']} **{row['baseline']}** at {format_budget(row['budget'])}: "
        f"{difference_phrase(row)} macro {metric}, {_pairs(row)}."
        for row in judged_pairs(differences, metric, baselines)
    ]


def judged_pairs(differences: pl.DataFrame, metric: str, baselines: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows that `state_verdicts` tells, each with its ``verdict``; parameters as there."""
    of_metric = differences.filter((pl.col("metric") == metric) & (pl.col("kind") == "macro"))
    worlds = of_metric["world"].unique(maintain_order=True).to_list() if of_metric.height else []
    scope = ALL_WORLDS if ALL_WORLDS in worlds else next(iter(worlds), None)
    return [
        {**row, "verdict": _verdict(row)}
        for row in of_metric.filter(pl.col("world") == scope).iter_rows(named=True)
        # Two baselines are told once, not the other way round too.
        if row["arm"] not in baselines[: baselines.index(row["baseline"])]
    ]


def _verdict(row: dict[str, Any]) -> str:
    if row["tied"] == row["pairs"]:
        return "chose the same labels as"
    if row["low"] is None or row["low"] <= 0 <= row["high"]:
        return "is not distinguishable from"
    is_sure = row["p_value"] < SIGNIFICANT
    if row["difference"] > 0:
        return "beats" if is_sure else "is ahead of"
    return "loses to" if is_sure else "is behind"


def difference_phrase(row: dict[str, Any]) -> str:
    """Write the difference of a row of `StudyResult.differences`, with its interval."""
    interval = "" if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    return f"{row['difference']:+.3f}{interval}"


def _pairs(row: dict[str, Any]) -> str:
    tied = f", {row['tied']} tied" if row["tied"] else ""
    return f"better in {row['better']} of {row['pairs']} pairs{tied}, p = {row['p_value']:.3g}"


def format_budget(budget: float) -> str:
    """Write a budget as people say it.

    Examples
    --------
    >>> format_budget(0.2), format_budget(500)
    ('20 %', '500 labels')
    """
    return f"{100 * budget:g} %" if budget <= 1 else f"{budget:,.0f} labels"

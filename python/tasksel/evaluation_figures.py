"""Figures of an evaluation: one row a task, and over all tasks macro and micro with their intervals.

*Micro* is the mean over examples, *macro* the mean over tasks, each task counting the same. They answer
different questions and can order strategies differently, so both always stand side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.intervals import bootstrap_interval, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasksel.intervals import Interval

__all__ = ["LOWER_IS_BETTER", "direction_of", "overall_figures", "pool_weighted_mean", "task_figures"]

LOWER_IS_BETTER: Final = frozenset({"loss"})
"""Metrics that count what is wrong; of all others a higher figure is the better one."""

BOOTSTRAP_RESAMPLES: Final = 2_000
"""A percentile at .025 then stands on 50 resamples; ten times as many move an end by about a hundredth of
the width."""


def direction_of(metric: str) -> float:
    """Return 1.0 where a higher figure is better and -1.0 where a lower one is.

    Examples
    --------
    >>> direction_of("exact_match"), direction_of("loss")
    (1.0, -1.0)
    """
    return -1.0 if metric in LOWER_IS_BETTER else 1.0


def task_figures(examples: pl.DataFrame, metrics: Sequence[str]) -> pl.DataFrame:
    """Return the mean of each metric for each task, with Wilson intervals of those that are yes or no.

    Parameters
    ----------
    examples : pl.DataFrame
        ``task`` (String) and one column a metric: Boolean, or Float64.
    metrics : sequence of str
        Columns to summarise; the first decides the order of the rows.

    Returns
    -------
    pl.DataFrame
        ``task``, ``examples``, and for each metric its mean, for Boolean ones followed by ``<metric>_low``
        and ``<metric>_high``; the best by the first metric first (see `LOWER_IS_BETTER`), equal ones by
        name.

    Examples
    --------
    >>> examples = pl.DataFrame({"task": ["b", "a", "b"], "correct": [True, True, False]})
    >>> task_figures(examples, ["correct"]).select("task", "examples", "correct").rows()
    [('a', 1, 1.0), ('b', 2, 0.5)]
    """
    grouped = examples.group_by("task").agg(
        pl.len().cast(pl.Int64).alias("examples"), *(pl.col(name).mean() for name in metrics)
    )
    columns = ["task", "examples"]
    for name in metrics:
        columns.append(name)
        if examples.schema[name] == pl.Boolean:
            ends = [
                wilson_interval(round(mean * count), count)
                for mean, count in grouped.select(name, "examples").iter_rows()
            ]
            low_high = {f"{name}_low": [end.low for end in ends], f"{name}_high": [end.high for end in ends]}
            grouped = grouped.with_columns(
                pl.Series(key, ends_of, pl.Float64) for key, ends_of in low_high.items()
            )
            columns += low_high
    return grouped.select(columns).sort(
        [metrics[0], "task"], descending=[metrics[0] not in LOWER_IS_BETTER, False]
    )


def pool_weighted_mean(values: Sequence[float], shares: Sequence[float]) -> float:
    """Return the micro mean that a holdout with equally many prompts a task stands for.

    Parameters
    ----------
    values : sequence of float
        The figure of each task.
    shares : sequence of float
        Its share of the pool; they need not sum to 1.

    Examples
    --------
    >>> pool_weighted_mean([1.0, 0.0], [3.0, 1.0])
    0.75
    """
    return float(np.dot(values, shares) / np.sum(shares))


def overall_figures(
    examples: pl.DataFrame, metrics: Sequence[str], *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return macro and micro means of each metric with 95 % intervals.

    The macro interval is a bootstrap over tasks: what other tasks of the same kind would give. The micro
    interval is Wilson's for a yes-or-no metric, else a bootstrap over examples.

    Parameters
    ----------
    examples : pl.DataFrame
        As in `task_figures`, at least one row.
    metrics : sequence of str
        Columns to summarise.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        For each metric ``{"macro": {"mean", "low", "high"}, "micro": {...}}``.

    Examples
    --------
    >>> examples = pl.DataFrame({"task": ["b", "a", "b", "b"], "correct": [True, True, False, False]})
    >>> figures = overall_figures(examples, ["correct"])["correct"]
    >>> round(figures["macro"]["mean"], 3), figures["micro"]["mean"]
    (0.667, 0.5)
    """
    return {name: _macro_and_micro(examples.select("task", name), seed) for name in metrics}


def _macro_and_micro(examples: pl.DataFrame, seed: int) -> dict[str, Any]:
    name = examples.columns[1]
    # In the order of names, so that the bootstrap does not depend on the order of the rows.
    by_task = examples.group_by("task").agg(pl.col(name).mean()).sort("task")[name].to_numpy()
    values = examples[name].cast(pl.Float64).sort().to_numpy()
    if examples.schema[name] == pl.Boolean:
        micro = wilson_interval(int(values.sum()), len(values))
    else:
        micro = _bootstrap(values, seed)
    return {
        "macro": _figure(float(by_task.mean()), _bootstrap(by_task, seed)),
        "micro": _figure(float(values.mean()), micro),
    }


def _bootstrap(values: np.ndarray[Any, np.dtype[np.float64]], seed: int) -> Interval:
    return bootstrap_interval(values, np.random.default_rng(seed), n_resamples=BOOTSTRAP_RESAMPLES)


def _figure(mean: float, interval: Interval) -> dict[str, float]:
    return {"mean": mean, "low": interval.low, "high": interval.high}

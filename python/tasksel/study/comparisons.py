"""Comparisons of arms, pair by pair: differences with intervals, and labels for the same figure.

A *pair* is two arms on the same draw with the same budget; pool, holdout and training seed are theirs in
common, so that the difference is that of the labels. *Macro* is the mean over tasks, *micro* the mean over
tasks weighted by their share of the pool: what a user sees whose prompts come as the pool's do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.evaluation_figures import direction_of
from tasksel.intervals import bootstrap_interval, sign_test

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["ALL_WORLDS", "compare_arms", "measure_label_efficiency", "summarise_arms"]

ALL_WORLDS: Final = "all worlds"
_SEED: Final = 0
"""Of the bootstrap: the same figures give the same page."""
_RESAMPLES: Final = 2_000


def summarise_arms(cells: pl.DataFrame) -> pl.DataFrame:
    """Return mean and 95 % interval over the seeds of each arm.

    Parameters
    ----------
    cells : pl.DataFrame
        One row a cell and metric: ``world``, ``seed``, ``arm``, ``budget``, ``labels``, ``metric``,
        ``macro``, ``micro``.

    Returns
    -------
    pl.DataFrame
        ``world``, ``budget``, ``arm``, ``metric``, ``labels`` (mean), ``seeds``, and for macro and micro the
        mean, ``_low`` and ``_high``; null intervals for a single seed.
    """
    rows = []
    keys = ["world", "budget", "arm", "metric"]
    for key, group in _groups(cells, keys):
        row = {**key, "labels": group["labels"].mean(), "seeds": group.height}
        for kind in ("macro", "micro"):
            values = group.sort("seed")[kind].to_numpy()
            low, high = _interval(values)
            row |= {kind: float(values.mean()), f"{kind}_low": low, f"{kind}_high": high}
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def compare_arms(cells: pl.DataFrame, baselines: Sequence[str], *, kind: str = "macro") -> pl.DataFrame:
    """Return the mean difference of each arm to each baseline, over pairs of cells of the same draw.

    Parameters
    ----------
    cells : pl.DataFrame
        As in `summarise_arms`.
    baselines : sequence of str
        Arms to compare with.
    kind : {"macro", "micro"}
        Which mean over tasks.

    Returns
    -------
    pl.DataFrame
        ``world`` (and `ALL_WORLDS` where there are several), ``budget``, ``metric``, ``arm``, ``baseline``,
        ``pairs``, ``difference`` (above 0: the arm is better, also for losses) with ``low`` and ``high``
        (95 %, bootstrap over pairs), ``better``, ``worse``, ``tied``, ``p_value`` (exact two-sided sign
        test).
    """
    pooled = [cells, cells.with_columns(pl.lit(ALL_WORLDS).alias("world"))]
    several = cells["world"].n_unique() > 1
    rows = []
    for frame, source in zip(pooled if several else pooled[:1], (cells, cells), strict=False):
        keyed = frame.with_columns(source["world"].alias("own_world"))
        for key, group in _groups(keyed, ["world", "budget", "metric"]):
            rows += list(_compare_group(key, group, baselines, kind))
    schema = {"low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)


def _compare_group(
    key: dict[str, Any], group: pl.DataFrame, baselines: Sequence[str], kind: str
) -> Iterator[dict[str, Any]]:
    arms = group["arm"].unique(maintain_order=True).to_list()
    sign = direction_of(key["metric"])
    for baseline in baselines:
        reference = group.filter(pl.col("arm") == baseline).select(
            "own_world", "seed", pl.col(kind).alias("other")
        )
        for arm in arms:
            if arm == baseline or reference.is_empty():
                continue
            pairs = group.filter(pl.col("arm") == arm).join(reference, on=["own_world", "seed"])
            pairs = pairs.sort("own_world", "seed")
            if pairs.is_empty():
                continue
            first, second = sign * pairs[kind].to_numpy(), sign * pairs["other"].to_numpy()
            # Equal sets of labels are trained once, so their tie is exact.
            test = sign_test(first, second)
            low, high = _interval(first - second)
            yield {
                **key,
                "arm": arm,
                "baseline": baseline,
                "pairs": pairs.height,
                "difference": float((first - second).mean()),
                "low": low,
                "high": high,
                "better": test.n_higher,
                "worse": test.n_lower,
                "tied": test.n_tied,
                "p_value": test.p_value,
            }


def measure_label_efficiency(cells: pl.DataFrame, baselines: Sequence[str]) -> pl.DataFrame:
    """Return how many labels each baseline needs for the macro figure of each arm.

    The baseline's figure between its budgets is read off its mean curve over the seeds, made monotone and
    linear in the logarithm of the labels. The interval is a bootstrap over seeds, of arm and baseline
    together. Outside the baseline's budgets nothing is known: the figure is then null, and an end of the
    interval the first or last budget.

    Parameters
    ----------
    cells : pl.DataFrame
        As in `summarise_arms`; baselines with fewer than two budgets are left out.
    baselines : sequence of str
        Arms whose curves are read.

    Returns
    -------
    pl.DataFrame
        ``world``, ``metric``, ``baseline``, ``arm``, ``budget``, ``labels``, ``needed`` (labels of the
        baseline for the same figure) with ``low`` and ``high``, ``ratio`` (needed by labels, above 1: the arm
        saves), ``ratio_low``, ``ratio_high``, ``outside`` (share of resamples beyond the baseline's budgets).
        With several worlds also `ALL_WORLDS`, with the geometric mean of the ratios alone, null if one is
        null.
    """
    rows: list[dict[str, Any]] = []
    keys = ["metric"]
    for key, group in _groups(cells.filter(pl.col("labels") > 0), keys):
        for baseline in baselines:
            resampled: dict[tuple[str, float], list[tuple[bool, NDArray[np.float64]]]] = {}
            for world, own in _groups(group, ["world"]):
                for row, ratios in _efficiency_in_world(own, baseline, key["metric"]):
                    rows.append({**world, **key, "baseline": baseline, **row})
                    is_inside = row["ratio"] is not None
                    resampled.setdefault((row["arm"], row["budget"]), []).append((is_inside, ratios))
            rows += [
                {
                    "world": ALL_WORLDS,
                    **key,
                    "baseline": baseline,
                    "arm": arm,
                    "budget": budget,
                    **_pooled(ratios),
                }
                for (arm, budget), ratios in resampled.items()
                if len(ratios) > 1
            ]
    floats = ["labels", "needed", "low", "high", "ratio", "ratio_low", "ratio_high", "outside"]
    schema = {
        **dict.fromkeys(("world", "metric", "baseline", "arm"), pl.String),
        "budget": pl.Float64,
        **dict.fromkeys(floats, pl.Float64),
    }
    return pl.DataFrame(rows, schema=schema)


def _efficiency_in_world(
    cells: pl.DataFrame, baseline: str, metric: str
) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
    """Yield a row for each arm and budget, and the ratios: first the measured one, then the resampled."""
    sign = direction_of(metric)
    seeds = cells["seed"].unique().sort().to_list()
    budgets = cells.filter(pl.col("arm") == baseline)["budget"].unique().sort().to_list()
    labels = dict(cells.group_by("budget").agg(pl.col("labels").mean()).iter_rows())
    if len(budgets) < 2:
        return
    rng = np.random.default_rng(_SEED)
    draws = np.vstack([np.arange(len(seeds)), rng.integers(0, len(seeds), (_RESAMPLES, len(seeds)))])
    figures = {
        (arm, budget): sign * group.sort("seed")["macro"].to_numpy()
        for (arm, budget), group in cells.group_by("arm", "budget")
        if group.height == len(seeds)
    }
    if any((baseline, budget) not in figures for budget in budgets):
        return
    curves = np.stack([figures[baseline, budget][draws].mean(axis=1) for budget in budgets], axis=1)
    curves = np.maximum.accumulate(curves, axis=1)
    places = np.log([labels[budget] for budget in budgets])
    for (arm, budget), values in sorted(figures.items()):
        if arm == baseline:
            continue
        targets = values[draws].mean(axis=1)
        needed = np.exp(
            [_read_off(curve, places, target) for curve, target in zip(curves, targets, strict=True)]
        )
        outside = (targets < curves[:, 0]) | (targets > curves[:, -1])
        low, high = np.quantile(needed[1:], (0.025, 0.975))
        ratios = needed / labels[budget]
        row = {
            "arm": arm,
            "budget": budget,
            "labels": labels[budget],
            "needed": None if outside[0] else float(needed[0]),
            "low": float(low),
            "high": float(high),
            "ratio": None if outside[0] else float(ratios[0]),
            "ratio_low": float(low) / labels[budget],
            "ratio_high": float(high) / labels[budget],
            "outside": float(outside[1:].mean()),
        }
        yield row, ratios


def _pooled(found: Sequence[tuple[bool, NDArray[np.float64]]]) -> dict[str, Any]:
    """Return the geometric mean over worlds; its ends alone where one lies beyond its budgets."""
    means = np.exp(np.log(np.stack([ratios for _, ratios in found])).mean(axis=0))
    low, high = np.quantile(means[1:], (0.025, 0.975))
    is_inside = all(inside for inside, _ in found)
    return {
        "ratio": float(means[0]) if is_inside else None,
        "ratio_low": float(low),
        "ratio_high": float(high),
    }


def _read_off(curve: NDArray[np.float64], places: NDArray[np.float64], target: float) -> float:
    """Return where a rising curve first reaches a figure; its ends where it lies outside."""
    if target <= curve[0]:
        return float(places[0])
    if target > curve[-1]:
        return float(places[-1])
    after = int(np.searchsorted(curve, target, side="left"))
    share = (target - curve[after - 1]) / (curve[after] - curve[after - 1])
    return float(places[after - 1] + share * (places[after] - places[after - 1]))


def _interval(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    if len(values) < 2:  # one value has no spread
        return None, None
    found = bootstrap_interval(values, np.random.default_rng(_SEED), n_resamples=_RESAMPLES)
    return found.low, found.high


def _groups(frame: pl.DataFrame, keys: list[str]) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
    for values, group in frame.group_by(keys, maintain_order=True):
        yield dict(zip(keys, values, strict=True)), group

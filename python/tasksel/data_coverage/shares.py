"""Shares of clusters and of labels in two sets, level by level: intervals, tests, exemplars of gaps."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.intervals import wilson_interval
from tasksel_core import k_means, nearest_neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["adjusted_p_values", "cluster_table", "level_table", "share_p_values", "total_variation"]

ROWS_PER_CLUSTER: Final = 10


def total_variation(table: pl.DataFrame) -> float:
    """Return half the sum of the absolute differences of the two columns of shares."""
    return float((table["real_share"] - table["synthetic_share"]).abs().sum() / 2)


def cluster_table(
    real: npt.NDArray[np.float32],
    synthetic: npt.NDArray[np.float32],
    *,
    n_clusters: int,
    n_exemplars: int,
    level: float,
    seed: int,
    real_tasks: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Cluster the real rows, assign the synthetic ones, and compare the shares.

    Returns
    -------
    pl.DataFrame
        One row a cluster, what lacks most first: ``cluster``, ``task`` (the most frequent one, where there
        are tasks), the columns of `level_table`, and ``exemplars``: the real rows nearest to the center.
    """
    n_used = max(1, min(n_clusters, len(real) // ROWS_PER_CLUSTER))
    centers, labels, _, _ = k_means(real, n_used, seed=seed)
    assigned = nearest_neighbours(synthetic, centers, 1)[0][:, 0]
    counts = [np.bincount(each, minlength=n_used) for each in (labels, assigned)]
    compared = _compare(counts[0], counts[1], level)
    members = [np.flatnonzero(labels == cluster) for cluster in range(n_used)]
    columns: dict[str, Any] = {"cluster": np.arange(n_used)}
    if real_tasks is not None:
        most = [Counter(real_tasks[int(row)] for row in rows).most_common(1) for rows in members]
        columns["task"] = pl.Series([each[0][0] if each else None for each in most], dtype=pl.String)
    exemplars = [_nearest_members(real, rows, centers[c], n_exemplars) for c, rows in enumerate(members)]
    table = pl.DataFrame(columns).hstack(compared)
    table = table.with_columns(pl.Series("exemplars", exemplars, dtype=pl.List(pl.Int64)))
    return _lacking_first(table)


def level_table(
    name: str,
    real: Sequence[str],
    synthetic: Sequence[str] | None,
    covered: npt.NDArray[np.bool_],
    *,
    level: float,
) -> pl.DataFrame:
    """Compare the shares of the levels of one label.

    Parameters
    ----------
    name : str
        Of the dimension.
    real, synthetic : sequence of str
        One label a row; without those of the synthetic rows the columns that need them are null.
    covered : ndarray of bool, shape (n_real,)
        Whether a synthetic row lies near each real row.
    level : float
        Of the intervals; a level with an adjusted p-value up to 1 minus it is a gap, or in excess.

    Returns
    -------
    pl.DataFrame
        ``dimension``, ``level``, ``covered`` (share of the level's real rows with a synthetic row near them),
        ``real_rows``, ``synthetic_rows``, ``real_share``, ``synthetic_share``, ``low``, ``high`` (Wilson, of
        the synthetic share), ``p_value``, ``p_adjusted`` (Benjamini-Hochberg), ``is_gap``, ``is_excess``.
    """
    levels = sorted({*real, *(synthetic or ())})
    number = {each: place for place, each in enumerate(levels)}
    codes = np.array([number[each] for each in real], dtype=np.int64)
    n_real = np.bincount(codes, minlength=len(levels))
    n_covered = np.bincount(codes, weights=covered, minlength=len(levels))
    share = [float(c / n) if n else None for c, n in zip(n_covered, n_real, strict=True)]
    head = pl.DataFrame(
        {"dimension": [name] * len(levels), "level": levels, "covered": pl.Series(share, dtype=pl.Float64)}
    )
    if synthetic is None:
        compared = _compare(n_real, np.zeros_like(n_real), level)
        keep = ["real_rows", "real_share"]
        compared = compared.with_columns(
            pl.lit(None, compared.schema[each]).alias(each) for each in compared.columns if each not in keep
        )
        return head.hstack(compared).sort("covered", "level", nulls_last=True)
    other = np.array([number[each] for each in synthetic], dtype=np.int64)
    return _lacking_first(head.hstack(_compare(n_real, np.bincount(other, minlength=len(levels)), level)))


def share_p_values(
    real: npt.NDArray[np.int64], synthetic: npt.NDArray[np.int64], n_real: int, n_synthetic: int
) -> npt.NDArray[np.float64]:
    """Return two-sided exact p-values (Fisher) that a share is the same in both sets.

    Parameters
    ----------
    real, synthetic : ndarray of int64, shape (n_levels,)
        Rows of each level.
    n_real, n_synthetic : int
        Rows in all.

    Examples
    --------
    >>> share_p_values(np.array([10]), np.array([0]), 20, 20).round(5).tolist()
    [0.00044]
    """
    total = n_real + n_synthetic
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])

    def log_choose(n: int, k: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        chosen: npt.NDArray[np.float64] = log_factorial[n] - log_factorial[k] - log_factorial[n - k]
        return chosen

    found = np.ones(len(real))
    for place, (ours, theirs) in enumerate(zip(real, synthetic, strict=True)):
        both = int(ours + theirs)
        possible = np.arange(max(0, both - n_real), min(both, n_synthetic) + 1)
        log_chance = log_choose(n_synthetic, possible) + log_choose(n_real, both - possible)
        chance = np.exp(log_chance - log_chance.max())
        chance /= chance.sum()
        at = int(theirs) - int(possible[0])
        found[place] = min(1.0, 2 * min(chance[: at + 1].sum(), chance[at:].sum()))
    return found


def adjusted_p_values(p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Adjust p-values so that those up to q hold at most a share q of false ones.

    References
    ----------
    Benjamini, Y., and Hochberg, Y. (1995). Controlling the False Discovery Rate. Journal of the Royal
    Statistical Society B 57.

    Examples
    --------
    >>> adjusted_p_values(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    order = np.argsort(p_values)[::-1]
    ranks = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum.accumulate(np.minimum(p_values[order] * len(p_values) / ranks, 1.0))
    return adjusted


def _compare(real: npt.NDArray[np.int64], synthetic: npt.NDArray[np.int64], level: float) -> pl.DataFrame:
    n_real, n_synthetic = int(real.sum()), int(synthetic.sum())
    intervals = [wilson_interval(int(count), n_synthetic, level=level) for count in synthetic]
    p_values = share_p_values(real, synthetic, n_real, n_synthetic)
    adjusted = adjusted_p_values(p_values)
    real_share, synthetic_share = real / max(n_real, 1), synthetic / max(n_synthetic, 1)
    is_different = adjusted <= 1 - level
    return pl.DataFrame(
        {
            "real_rows": real,
            "synthetic_rows": synthetic,
            "real_share": real_share,
            "synthetic_share": synthetic_share,
            "low": [each.low for each in intervals],
            "high": [each.high for each in intervals],
            "p_value": p_values,
            "p_adjusted": adjusted,
            "is_gap": is_different & (synthetic_share < real_share),
            "is_excess": is_different & (synthetic_share > real_share),
        }
    )


def _nearest_members(
    real: npt.NDArray[np.float32],
    members: npt.NDArray[np.int64],
    center: npt.NDArray[np.float32],
    n_exemplars: int,
) -> list[int]:
    if not len(members) or not n_exemplars:
        return []
    order = nearest_neighbours(center[None], real[members], min(n_exemplars, len(members)))[0][0]
    return [int(row) for row in members[order]]


def _lacking_first(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort(pl.col("synthetic_share") - pl.col("real_share"), maintain_order=True)

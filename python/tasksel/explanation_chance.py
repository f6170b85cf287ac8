"""What chance alone would give: overlaps of selections, and tasks of a random one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ChanceOverlap", "chance_distance", "overlap_by_chance", "total_variation"]

_DRAWS: Final = 400


class ChanceOverlap(NamedTuple):
    """How many rows two selections share that know nothing of each other.

    Parameters
    ----------
    expected : float
        Mean of the hypergeometric law.
    deviation : float
        Its standard deviation.
    """

    expected: float
    deviation: float


def overlap_by_chance(n_rows: int, n_first: int, n_second: int) -> ChanceOverlap:
    """Return what two selections share that are drawn from the same rows without regard to each other.

    Parameters
    ----------
    n_rows : int
        Rows that both are drawn from.
    n_first, n_second : int
        Rows of each; at most `n_rows`.

    Returns
    -------
    ChanceOverlap

    Examples
    --------
    >>> expected, deviation = overlap_by_chance(3006, 601, 601)
    >>> round(expected, 1), round(deviation, 1)
    (120.2, 8.8)
    """
    if n_rows == 0:
        return ChanceOverlap(0.0, 0.0)
    expected = n_first * n_second / n_rows
    if n_rows == 1:
        return ChanceOverlap(expected, 0.0)
    share = n_second / n_rows
    variance = n_first * share * (1 - share) * (n_rows - n_first) / (n_rows - 1)
    return ChanceOverlap(expected, math.sqrt(max(variance, 0.0)))


def total_variation(picked: NDArray[np.int64], available: NDArray[np.int64]) -> float:
    """Return the share of the labels that stand in other tasks than in proportion to the pool.

    Examples
    --------
    >>> total_variation(np.array([5, 5]), np.array([90, 10]))
    0.4
    """
    if picked.sum() == 0 or available.sum() == 0:
        return 0.0
    return float(np.abs(picked / picked.sum() - available / available.sum()).sum() / 2)


def chance_distance(available: NDArray[np.int64], n_picked: int, *, seed: int = 0) -> float:
    """Return the mean `total_variation` of random selections, whose tasks are not exactly the pool's either.

    Parameters
    ----------
    available : ndarray of int64, shape (n_tasks,)
        Rows of each task.
    n_picked : int
        Rows drawn.
    seed : int
        Of the 400 selections that are drawn.

    Examples
    --------
    >>> round(chance_distance(np.full(50, 20), 100), 2)
    0.25
    """
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_hypergeometric(available, n_picked, size=_DRAWS, method="marginals")
    shares = available / available.sum()
    return float((np.abs(drawn / max(n_picked, 1) - shares).sum(axis=1) / 2).mean())

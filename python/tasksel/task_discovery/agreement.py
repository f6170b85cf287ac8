"""How far two clusterings of the same points agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["adjusted_rand_index"]


def adjusted_rand_index(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
    """Return the share of pairs that two clusterings treat alike, corrected for chance.

    Parameters
    ----------
    first, second : ndarray of int64, shape (n,)
        Labels from 0.

    Returns
    -------
    float
        1 for equal clusterings, about 0 for independent ones.

    References
    ----------
    Hubert, L., and Arabie, P. (1985). Comparing partitions. Journal of Classification 2, equation 5.

    Examples
    --------
    >>> adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    1.0
    >>> round(adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])), 9)
    -0.5
    """
    n_columns = int(second.max(initial=0)) + 1
    cells = np.unique(first * n_columns + second, return_counts=True)[1]
    together = _pairs(cells)
    rows, columns = _pairs(np.bincount(first)), _pairs(np.bincount(second))
    expected = rows * columns / max(len(first) * (len(first) - 1) / 2, 1)
    most = (rows + columns) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def _pairs(counts: npt.NDArray[np.int64]) -> float:
    large = counts.astype(np.float64)
    return float((large * (large - 1) / 2).sum())

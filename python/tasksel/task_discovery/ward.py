"""Merges of clusters that add the least to what is inside them: Ward's hierarchy over centers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ward_cuts"]


def ward_cuts(
    centers: npt.NDArray[np.float32], sizes: npt.NDArray[np.int64], numbers: list[int]
) -> dict[int, npt.NDArray[np.int64]]:
    """Merge clusters step by step and cut where so many are left; a coarser cut only merges a finer one.

    Parameters
    ----------
    centers : ndarray of float32, shape (n, d)
        One a cluster.
    sizes : ndarray of int64, shape (n,)
        Their rows.
    numbers : list of int
        Clusters wanted, each from 1 to n.

    Returns
    -------
    dict of int to ndarray of int64, shape (n,)
        For each number the group of each cluster, from 0 in the order of first appearance.

    References
    ----------
    Ward, J. H. (1963). Hierarchical grouping to optimize an objective function. JASA 58(301).

    Examples
    --------
    >>> centers = np.array([[0], [1], [9]], dtype=np.float32)
    >>> ward_cuts(centers, np.array([1, 1, 1]), [2])[2].tolist()
    [0, 0, 1]
    """
    n_clusters = len(centers)
    groups = np.arange(n_clusters)
    weights = np.maximum(sizes, 1).astype(np.float64)
    means = centers.astype(np.float64)
    alive = np.ones(n_clusters, dtype=np.bool_)
    costs = _all_costs(means, weights)
    cuts: dict[int, npt.NDArray[np.int64]] = {}
    for left in range(n_clusters, 0, -1):
        if left in numbers:
            cuts[left] = _numbered(groups)
        if left == 1:
            break
        first, second = sorted(divmod(int(costs.argmin()), n_clusters))
        total = weights[first] + weights[second]
        means[first] = (weights[first] * means[first] + weights[second] * means[second]) / total
        weights[first], alive[second] = total, False
        groups[groups == second] = first
        costs[second, :] = costs[:, second] = np.inf
        costs[first, :] = costs[:, first] = _costs(first, means, weights, alive)
    return cuts


def _all_costs(means: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    alive = np.ones(len(means), dtype=np.bool_)
    rows = [_costs(place, means, weights, alive) for place in range(len(means))]
    return np.array(rows).reshape(len(means), len(means))


def _costs(
    place: int,
    means: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    alive: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Return what merging with each other cluster adds to the squared distances from centers."""
    squared = np.square(means - means[place]).sum(axis=1)
    cost: npt.NDArray[np.float64] = weights * weights[place] / (weights + weights[place]) * squared
    cost[~alive] = np.inf
    cost[place] = np.inf
    return cost


def _numbered(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    # A group is called by its lowest member, so that ascending names are the order of first appearance.
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)

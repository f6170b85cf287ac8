"""k-center part by part on other machines, with the picks and radii of `tasksel_core.k_center_greedy`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import tasksel_core

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.strategies.problem import Spread

__all__ = ["partitioned_k_center"]


class _Part(NamedTuple):
    """Rows to pick from."""

    points: NDArray[np.float32]
    budget: int


class _Cover(NamedTuple):
    """Rows, and what is to cover them."""

    points: NDArray[np.float32]
    centers: NDArray[np.float32]


def partitioned_k_center(
    embeddings: NDArray[np.float32], budget: int, partitions: int, spread: Spread
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pick from each run of rows elsewhere, then from these picks here, and measure the cover elsewhere.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (n_rows, n_dimensions)
        May be mapped from a file; it is passed over twice, one part after the other.
    budget : int
        Rows to pick.
    partitions : int
        Runs of rows of almost equal length.
    spread : Spread
        Other machines.

    Returns
    -------
    rows : ndarray of int64, shape (min(budget, n_rows),)
        Picks in order.
    radii : ndarray of float32, shape (len(rows),)
        Largest distance of any row to its nearest pick so far.

    References
    ----------
    Malkomes, Kusner, Chen, Weinberger & Moseley, "Fast distributed k-center clustering with outliers on
    massive data", NIPS 2015: the radius is at most four times the best possible.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    >>> rows, radii = partitioned_k_center(points, 5, 3, lambda call, inputs: enumerate(map(call, inputs)))
    >>> rows_here, radii_here = tasksel_core.k_center_greedy(points, 5, partitions=3)
    >>> bool((rows == rows_here).all() and (radii == radii_here).all())
    True
    """
    parts = _parts(len(embeddings), partitions)
    picks = spread(_core_set, (_Part(np.asarray(embeddings[part]), budget) for part in parts))
    # Sorted, so that ties go to the lowest row of all.
    union = np.sort(np.concatenate([parts[place].start + rows for place, rows in picks]))
    rows = union[tasksel_core.k_center_greedy(np.asarray(embeddings[union]), budget)[0]]
    centers = np.asarray(embeddings[rows])
    covers = spread(_covering_radii, (_Cover(np.asarray(embeddings[part]), centers) for part in parts))
    return rows, np.maximum.reduce([radii for _, radii in covers])


def _parts(n_rows: int, partitions: int) -> list[slice]:
    """Deal rows into runs whose lengths differ by one at most, the longer ones first."""
    n_parts = max(min(partitions, n_rows), 1)
    length, n_longer = divmod(n_rows, n_parts)
    starts = [part * length + min(part, n_longer) for part in range(n_parts + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(starts)]


def _core_set(part: _Part) -> NDArray[np.int64]:
    return tasksel_core.k_center_greedy(part.points, part.budget)[0]


def _covering_radii(cover: _Cover) -> NDArray[np.float32]:
    return tasksel_core.covering_radii(cover.points, cover.centers)

"""Clusters of embeddings: directions of their centers, by k-means or by HDBSCAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.task_discovery.cluster_number import (
    MAX_ROWS,
    NumberChoice,
    automatic_range,
    candidate_numbers,
    choose_number,
)
from tasksel.task_discovery.unit_vectors import mean_vectors, sampled_rows, unit_rows
from tasksel_core import k_means
from tasksel_core.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = ["METHODS", "Clusters", "density_clusters", "mean_clusters"]

METHODS: Final = ("k-means", "hdbscan")
MAX_FITTED_ROWS: Final = 100_000
MAX_ITERATIONS: Final = 50
N_STARTS: Final = 3
MAX_DENSITY_ROWS: Final = 10_000
"""HDBSCAN compares all pairs: ten times the rows take a hundred times as long."""
DENSITY_COLUMNS: Final = 20


@dataclass(frozen=True)
class Clusters:
    """Centers, and how their number was decided.

    Attributes
    ----------
    centers : ndarray of float32, shape (n_clusters, d)
        Of length one.
    choice : NumberChoice or None
        None where the number was given, or HDBSCAN finds it.
    """

    centers: npt.NDArray[np.float32]
    choice: NumberChoice | None


def mean_clusters(
    vectors: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    number: int | tuple[int, int] | None,
    *,
    seed: int,
    progress: Callable[[int, int], object] | None = None,
) -> Clusters:
    """Cluster rows by k-means on vectors of length one, so that Euclidean distances order as cosines do.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Embeddings.
    rows : ndarray of int64
        Which of them; each has a direction, and there is at least one.
    number : int, (int, int) or None
        Of clusters: given, a range to choose from, or an automatic range.
    seed : int
        Of draws and starts.
    progress : callable, optional
        As in `choose_number`.
    """
    choice = None
    if not isinstance(number, int):
        points = unit_rows(vectors, sampled_rows(rows, MAX_ROWS, seed))
        fewest, most = _within(number or automatic_range(len(rows)), len(points))
        candidates = candidate_numbers(fewest, most)
        if len(candidates) > 1:
            choice = choose_number(points, candidates, seed=seed, progress=progress)
        number = choice.n_clusters if choice is not None else candidates[0]
    points = unit_rows(vectors, sampled_rows(rows, MAX_FITTED_ROWS, seed))
    number = min(number, len(points))
    centers = k_means(points, number, seed=seed, n_init=N_STARTS, max_iterations=MAX_ITERATIONS)[0]
    return Clusters(_directions(centers), choice)


def density_clusters(
    vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], *, min_rows: int, seed: int
) -> Clusters:
    """Find dense regions by HDBSCAN of scikit-learn, on the leading principal components of a sample.

    Parameters
    ----------
    vectors, rows, seed
        As in `mean_clusters`.
    min_rows : int
        Rows of a cluster among `rows`.

    Returns
    -------
    Clusters
        The mean direction of each region; none where everything is noise.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.

    References
    ----------
    Campello, R., Moulavi, D., and Sander, J. (2013). Density-based clustering based on hierarchical density
    estimates. PAKDD.
    """
    try:
        from sklearn.cluster import HDBSCAN
    except ModuleNotFoundError as error:
        raise MissingExtraError("HDBSCAN", "tasks") from error
    chosen = sampled_rows(rows, MAX_DENSITY_ROWS, seed)
    min_rows = max(2, -(-min_rows * len(chosen) // len(rows)))
    if len(chosen) <= min_rows:
        return Clusters(np.zeros((0, vectors.shape[1]), dtype=np.float32), None)
    points = _principal(unit_rows(vectors, chosen))
    found = HDBSCAN(min_cluster_size=min_rows, min_samples=min(min_rows, 5), copy=True).fit(points)
    labels = found.labels_.astype(np.int64)
    dense = labels >= 0
    return Clusters(
        mean_vectors(vectors, chosen[dense], labels[dense], int(labels.max(initial=-1)) + 1), None
    )


def _principal(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Project on the directions of largest variance."""
    centered = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    directions = np.linalg.eigh(centered.T @ centered)[1][:, ::-1][:, :DENSITY_COLUMNS]
    projected: npt.NDArray[np.float64] = centered @ directions
    return projected


def _within(limits: tuple[int, int], n_rows: int) -> tuple[int, int]:
    """Keep a range to what half of the rows allow, since halves are clustered."""
    most = max(1, n_rows // 2)
    return min(limits[0], most), min(limits[1], most)


def _directions(centers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale centers to length one; one at the origin, of opposite points, keeps no cluster."""
    lengths = np.sqrt(np.square(centers.astype(np.float64)).sum(axis=1, keepdims=True))
    kept = lengths[:, 0] > 0
    directions: npt.NDArray[np.float32] = (centers[kept] / lengths[kept]).astype(np.float32)
    return directions

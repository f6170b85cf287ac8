"""Regions of the real data, and how much of their mass another set lacks.

Without labels a region is a cell of k-means, fine enough for about five rows of the other set. With labels
it is a task: rows are assigned to the nearest task mean in the discriminant space of the labels, and what the
assignment confuses is unmixed again with the confusion of real rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from tasksel_core import k_means, nearest_neighbours

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Regions", "Space", "fit_cluster_regions", "fit_task_regions"]

MAX_DIMENSIONS: Final = 128
ROWS_PER_DIMENSION: Final = 20
"""Fitted rows for each principal direction; more directions would be those of noise."""
WHITENING: Final = 0.5
"""Power of the standard deviation that directions are divided by: 0 leaves them, 1 makes all alike."""
SHRINKAGE: Final = 0.1
"""Part of the mean variance that is added to the covariance within tasks."""
ROWS_PER_CELL: Final = (5.0, 2.5)
"""Expected rows of the other set in a cell, for each partition."""
MAX_CELLS: Final = 400
UNMIXING_STEPS: Final = 10
MAX_ITERATIONS: Final = 15
BLOCK_ROWS: Final = 8192


@dataclass(frozen=True)
class Space:
    """A linear map, and whether rows are scaled to length one behind it."""

    mean: npt.NDArray[np.float64]
    directions: npt.NDArray[np.float64]
    is_scaled: bool

    def __call__(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map rows, block by block."""
        mapped = np.empty((len(rows), self.directions.shape[1]), dtype=np.float32)
        for start in range(0, len(rows), BLOCK_ROWS):
            block = (rows[start : start + BLOCK_ROWS] - self.mean) @ self.directions
            if self.is_scaled:
                length = np.linalg.norm(block, axis=1, keepdims=True)
                block = block / np.where(length > 0, length, 1.0)
            mapped[start : start + BLOCK_ROWS] = block
        return mapped


class Regions(Protocol):
    """Regions that were fitted on real rows."""

    def assign(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the regions of rows, shape (n_partitions, n_rows)."""

    def shortfall(self, codes: npt.NDArray[np.int64]) -> float:
        """Return the share of the real mass that assigned rows lack: the total variation of the shares."""


@dataclass(frozen=True)
class ClusterRegions:
    """Cells of several partitions, and the share of the fitted rows in each."""

    space: Space
    centers: tuple[npt.NDArray[np.float32], ...]
    shares: tuple[npt.NDArray[np.float64], ...]

    def assign(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the nearest center in each partition."""
        mapped = self.space(rows)
        return np.stack([_nearest(mapped, centers) for centers in self.centers])

    def shortfall(self, codes: npt.NDArray[np.int64]) -> float:
        """Average over the partitions."""
        return float(
            np.mean(
                [_lacking(real, _shares(of, len(real))) for of, real in zip(codes, self.shares, strict=True)]
            )
        )


@dataclass(frozen=True)
class TaskRegions:
    """Means of the tasks, their shares of the fitted rows, and which are taken for which.

    ``confusion[i, j]`` is the share of task i's held-out rows that lie nearest to the mean of task j.
    """

    space: Space
    means: npt.NDArray[np.float32]
    shares: npt.NDArray[np.float64]
    confusion: npt.NDArray[np.float64]

    def assign(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the nearest task mean."""
        return _nearest(self.space(rows), self.means)[None]

    def shortfall(self, codes: npt.NDArray[np.int64]) -> float:
        """Compare the shares behind the confusion."""
        seen = _shares(codes[0], len(self.shares))
        return _lacking(self.shares, _unmix(seen, self.shares, self.confusion))

    def estimated_shares(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the share of each task among assigned rows."""
        return _unmix(_shares(codes[0], len(self.shares)), self.shares, self.confusion)


def fit_cluster_regions(rows: npt.NDArray[np.float32], n_compared: int, seed: int) -> ClusterRegions:
    """Fit cells on real rows for a comparison with `n_compared` rows."""
    space = _principal_space(rows)
    mapped = space(rows)
    centers = []
    for number, rows_per_cell in enumerate(ROWS_PER_CELL):
        most = max(1, min(MAX_CELLS, len(rows) // 4))
        n_cells = int(np.clip(round(n_compared / rows_per_cell), min(2, most), most))
        found = k_means(mapped, n_cells, seed=seed + number, max_iterations=MAX_ITERATIONS)
        centers.append(found[0])
    shares = tuple(_shares(_nearest(mapped, each), len(each)) for each in centers)
    return ClusterRegions(space, tuple(centers), shares)


def fit_task_regions(
    rows: npt.NDArray[np.float32], tasks: npt.NDArray[np.int64], n_tasks: int
) -> TaskRegions:
    """Fit the discriminant space, the means and the confusion of tasks on real rows.

    The confusion is that of each half of the rows under a fit of the other half: confusion on rows that are
    compared later would fit their noise, and a perfect set would look worse than they do.

    References
    ----------
    Fisher's discriminant analysis: Hastie, T., Tibshirani, R., and Friedman, J. (2009). The Elements of
    Statistical Learning, section 4.3.3.
    """
    # An own row for each task, so that one that no row was held out of is taken for itself.
    confusion = np.eye(n_tasks)
    order = np.argsort(tasks, kind="stable")
    for fitted, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        if len(fitted) and len(other):
            space, means = _discriminants(rows[fitted], tasks[fitted], n_tasks)
            np.add.at(confusion, (tasks[other], _nearest(space(rows[other]), means)), 1.0)
    confusion /= confusion.sum(axis=1, keepdims=True)
    space, means = _discriminants(rows, tasks, n_tasks)
    return TaskRegions(space, means, _shares(tasks, n_tasks), confusion)


def _discriminants(
    rows: npt.NDArray[np.float32], tasks: npt.NDArray[np.int64], n_tasks: int
) -> tuple[Space, npt.NDArray[np.float32]]:
    """Return the space of the directions in which tasks differ most for their width, and the means in it."""
    counts = np.bincount(tasks, minlength=n_tasks)
    center = rows.mean(axis=0, dtype=np.float64)
    # A task without a row lies at the center, where it attracts nothing in particular.
    means = np.tile(center, (n_tasks, 1))
    within = np.zeros((rows.shape[1], rows.shape[1]))
    order = np.argsort(tasks, kind="stable")
    for task, members in zip(range(n_tasks), np.split(order, np.cumsum(counts)[:-1]), strict=True):
        if len(members):
            block = rows[members].astype(np.float64)
            means[task] = block.mean(axis=0)
            block -= means[task]
            within += block.T @ block
    within /= len(rows)
    within += np.eye(len(within)) * max(SHRINKAGE * float(np.trace(within)) / len(within), 1e-12)
    values, vectors = np.linalg.eigh(within)
    sphere = vectors / np.sqrt(np.maximum(values, values[-1] * 1e-9))
    between = ((means - center) * np.sqrt(counts / len(rows))[:, None]) @ sphere
    _, _, directions = np.linalg.svd(between, full_matrices=False)
    space = Space(center, sphere @ directions[: max(1, n_tasks - 1)].T, is_scaled=False)
    return space, space(means.astype(np.float32))


def _principal_space(rows: npt.NDArray[np.float32]) -> Space:
    """Scale principal directions half-way to equal variance: topics are large, forms of a task small."""
    mean = rows.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((rows.shape[1], rows.shape[1]))
    squared = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS].astype(np.float64)
        squared[start : start + BLOCK_ROWS] = (block**2).sum(axis=1)
        block -= mean
        covariance += block.T @ block
    values, vectors = np.linalg.eigh(covariance / len(rows))
    n_kept = min(MAX_DIMENSIONS, rows.shape[1], max(2, len(rows) // ROWS_PER_DIMENSION))
    values, vectors = values[::-1][:n_kept], vectors[:, ::-1][:, :n_kept]
    real = values > max(values[0], 0.0) * 1e-9
    if not real.any():
        return Space(mean, np.eye(rows.shape[1])[:, :1], is_scaled=False)
    directions = vectors[:, real] / values[real] ** (WHITENING / 2)
    return Space(mean, directions, is_scaled=bool(np.abs(squared - 1).max() < 0.02 and real.sum() > 2))


def _nearest(rows: npt.NDArray[np.float32], centers: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    return nearest_neighbours(rows, centers, 1)[0][:, 0]


def _shares(codes: npt.NDArray[np.int64], n_regions: int) -> npt.NDArray[np.float64]:
    return np.bincount(codes, minlength=n_regions) / max(len(codes), 1)


def _lacking(real: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return float(np.maximum(real - other, 0.0).sum())


def _unmix(
    seen: npt.NDArray[np.float64], start: npt.NDArray[np.float64], confusion: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Find the shares that the confusion turns into those seen, by expectation-maximisation."""
    shares = np.where(start > 0, start, 1e-6)
    for _ in range(UNMIXING_STEPS):
        expected = shares @ confusion
        shares = shares * (confusion @ (seen / np.maximum(expected, 1e-12)))
    return shares / max(float(shares.sum()), 1e-12)

"""Regions of the real data without labels: cells of k-means, fine enough for five rows of another set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.data_coverage.removal import lacking_mass
from tasksel_core import k_means, nearest_neighbours

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ClusterRegions", "Space", "fit_cluster_regions"]

MAX_DIMENSIONS: Final = 128
ROWS_PER_DIMENSION: Final = 20
"""Fitted rows for each principal direction; more directions would be those of noise."""
WHITENING: Final = 0.5
"""Power of the standard deviation that directions are divided by: 0 leaves them, 1 makes all alike."""
ROWS_PER_CELL: Final = (5.0, 2.5)
"""Expected rows of the other set in a cell, for each partition."""
MAX_CELLS: Final = 400
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
        pairs = zip(codes, self.shares, strict=True)
        return float(np.mean([lacking_mass(real, _shares(of, len(real))) for of, real in pairs]))


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

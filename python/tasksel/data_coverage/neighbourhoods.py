"""Figures by nearest neighbours: precision, recall, density, coverage; duplicates and copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tasksel_core import ball_counts, nearest_neighbours

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "K_NEIGHBOURS",
    "Prdc",
    "nearest_distances",
    "prdc",
    "prdc_and_covered",
    "same_distance",
    "similar_distance",
]

K_NEIGHBOURS: Final = 5
SAME: Final = 1e-3
"""Rows nearer than this times the typical length are one text: half precision moves a vector by less."""
SIMILARITY: Final = 0.95
"""Rows of length one with this cosine are nearly one text."""


class Prdc(NamedTuple):
    """Precision, recall, density and coverage.

    Attributes
    ----------
    precision : float
        Share of the synthetic rows that lie in the ball of a real row.
    recall : float
        Share of the real rows that lie in the ball of a synthetic row.
    density : float
        Balls of real rows that a synthetic row lies in, over k.
    coverage : float
        Share of the real rows whose ball holds a synthetic row.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: npt.NDArray[np.float32], synthetic: npt.NDArray[np.float32], k: int = K_NEIGHBOURS) -> Prdc:
    """Compare two sets by balls that reach to the k-th neighbour in the own set, which belongs to them.

    With "nearer than or as near as" a row that lies on a repeated one is in its ball of radius 0; with
    "nearer", as in the package prdc, a copy of a set with duplicates would not cover it.

    Parameters
    ----------
    real, synthetic : ndarray of float32, shape (n_rows, n_columns)
    k : int
        At most the number of other rows of a set is used. A set of one row has a ball of radius 0.

    References
    ----------
    Naeem, M. F., et al. (2020). Reliable Fidelity and Diversity Metrics for Generative Models. ICML.
    Kynkäänniemi, T., et al. (2019). Improved Precision and Recall Metric for Assessing Generative Models.
    NeurIPS.

    Examples
    --------
    >>> rows = np.arange(8, dtype=np.float32)[:, None]
    >>> prdc(rows, rows[:4], k=1)
    Prdc(precision=1.0, recall=0.625, density=2.75, coverage=0.625)
    """
    return prdc_and_covered(real, synthetic, k)[0]


def prdc_and_covered(
    real: npt.NDArray[np.float32], synthetic: npt.NDArray[np.float32], k: int = K_NEIGHBOURS
) -> tuple[Prdc, npt.NDArray[np.bool_]]:
    """Return `prdc`, and for each real row whether its ball holds a synthetic row."""
    real_radii, synthetic_radii = _radii(real, k), _radii(synthetic, k)
    held = ball_counts(synthetic, real, real_radii)
    reached = ball_counts(real, synthetic, synthetic_radii)
    covered = nearest_neighbours(real, synthetic, 1)[1][:, 0] < real_radii
    figures = Prdc(
        precision=float((held > 0).mean()),
        recall=float((reached > 0).mean()),
        density=float(held.mean() / max(1, min(k, len(real) - 1))),
        coverage=float(covered.mean()),
    )
    return figures, covered


def nearest_distances(
    rows: npt.NDArray[np.float32], base: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """Return the distance of each row to the nearest of `base`, else to the nearest other row."""
    if base is not None:
        return nearest_neighbours(rows, base, 1)[1][:, 0]
    if len(rows) < 2:
        return np.full(len(rows), np.inf, dtype=np.float32)
    return nearest_neighbours(rows, rows, 1, exclude_self=True)[1][:, 0]


def same_distance(real: npt.NDArray[np.float32]) -> float:
    """Return the distance up to which two rows are taken for one text."""
    return SAME * _typical_length(real)


def similar_distance(real: npt.NDArray[np.float32]) -> float:
    """Return the distance up to which two rows are near-duplicates; for rows of length one, cosine .95."""
    return float(np.sqrt(2 * (1 - SIMILARITY))) * _typical_length(real)


def _radii(rows: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.float32]:
    """Return the least radius that a kernel which asks for "nearer" must be given for "as near as"."""
    if len(rows) < 2:
        return np.full(len(rows), np.nextafter(np.float32(0), np.float32(1)), dtype=np.float32)
    farthest = nearest_neighbours(rows, rows, min(k, len(rows) - 1), exclude_self=True)[1][:, -1]
    return np.nextafter(farthest, np.float32(np.inf))


def _typical_length(rows: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64).mean()))

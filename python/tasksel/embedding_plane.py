"""The plane in which vectors differ most, and where they lie in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["place_in_plane", "principal_plane"]

_FITTED_NUMBERS: Final = 8_000_000
"""Rows times dimensions that the plane is fitted on; of more vectors an even choice stands for all."""


def principal_plane(vectors: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of vectors and the two directions in which they differ most.

    Parameters
    ----------
    vectors : ndarray, shape (n_rows, n_dimensions)
        At least one row.

    Returns
    -------
    mean : ndarray of float64, shape (n_dimensions,)
    axes : ndarray of float64, shape (n_dimensions, 2)
        Orthonormal; the entry of each that is largest in size is positive, so that a map is not mirrored
        from run to run. Where the vectors differ in fewer than two directions, the rest is zero.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    axes = np.zeros((vectors.shape[1], 2))
    found = _directions(vectors.astype(np.float64) - mean)
    axes[:, : found.shape[1]] = found
    largest = axes[np.abs(axes).argmax(axis=0), [0, 1]]
    return mean, axes * np.where(largest < 0, -1.0, 1.0)


def _directions(centered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return up to two unit vectors, from whichever of the two products is smaller."""
    if len(centered) >= centered.shape[1]:
        _, directions = np.linalg.eigh(centered.T @ centered)
        return np.asarray(directions[:, ::-1][:, :2])
    squares, weights = np.linalg.eigh(centered @ centered.T)
    squares, weights = squares[::-1][:2], weights[:, ::-1][:, :2]
    is_real = squares > squares[:1] * 1e-12
    return np.asarray((centered.T @ weights)[:, is_real] / np.sqrt(squares[is_real]))


def place_in_plane(vectors: NDArray[Any], rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Return where some vectors lie in the principal plane of all.

    Parameters
    ----------
    vectors : ndarray, shape (n_rows, n_dimensions)
        May be larger than memory; a part of it is read.
    rows : ndarray of int64, shape (n_points,)
        Which ones are placed.

    Returns
    -------
    places : ndarray of float64, shape (n_points, 2)
    explained : float
        Share of the variance that lies in the plane, 0 to 1.
    """
    n_fitted = max(2, min(len(vectors), _FITTED_NUMBERS // vectors.shape[1]))
    fitted = np.asarray(vectors[:: max(1, len(vectors) // n_fitted)])
    mean, axes = principal_plane(fitted)
    centered = fitted - mean
    total = float(np.square(centered).sum())
    explained = float(np.square(centered @ axes).sum()) / total if total > 0 else 0.0
    return (np.asarray(vectors[rows]) - mean) @ axes, explained

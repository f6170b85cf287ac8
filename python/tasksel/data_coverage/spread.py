"""Figures of a whole set: how many different things it holds, and how far two sets are apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["TwoSample", "classifier_test", "sliced_wasserstein", "vendi_score"]

N_PROJECTIONS: Final = 64
N_FOLDS: Final = 5
RIDGE: Final = 1.0
NEWTON_STEPS: Final = 8
MAX_FEATURES: Final = 64
BLOCK_ROWS: Final = 8192


class TwoSample(NamedTuple):
    """What a classifier makes of two sets of equal size: accuracy on held-out rows, and its p-value."""

    accuracy: float
    p_value: float


def vendi_score(rows: npt.NDArray[np.float32]) -> float:
    """Return the effective number of different rows: exp of the entropy of the kernel's eigenvalues.

    The kernel is the product of rows scaled to length one. Its n eigenvalues are those of the d x d matrix of
    second moments, so that n may be large.

    References
    ----------
    Friedman, D., and Dieng, A. B. (2023). The Vendi Score: A Diversity Evaluation Metric for Machine
    Learning. TMLR.

    Examples
    --------
    >>> round(vendi_score(np.eye(4, dtype=np.float32)[[0, 1, 2, 2]]), 3)
    2.828
    """
    moments = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS].astype(np.float64)
        length = np.linalg.norm(block, axis=1, keepdims=True)
        block /= np.where(length > 0, length, 1.0)
        moments += block.T @ block
    total = float(np.trace(moments))
    if total <= 0:
        return 1.0
    values = np.linalg.eigvalsh(moments / total)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def sliced_wasserstein(
    real: npt.NDArray[np.float32], other: npt.NDArray[np.float32], rng: np.random.Generator
) -> float:
    """Return the mean distance of sorted projections on random directions, in deviations of the real rows.

    Parameters
    ----------
    real, other : ndarray of float32, shape (n_rows, n_columns)
        Sets of any sizes; their quantiles are compared.
    rng : numpy.random.Generator
        Draws the directions.

    References
    ----------
    Bonneel, N., et al. (2015). Sliced and Radon Wasserstein Barycenters of Measures. Journal of Mathematical
    Imaging and Vision 51.
    """
    directions = rng.standard_normal((real.shape[1], N_PROJECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    ours, theirs = real @ directions, other @ directions
    n_quantiles = min(len(ours), len(theirs))
    distance = np.abs(_quantiles(ours, n_quantiles) - _quantiles(theirs, n_quantiles)).mean(axis=0)
    deviation = ours.std(axis=0)
    return float((distance / np.where(deviation > 0, deviation, 1.0)).mean())


def _quantiles(values: npt.NDArray[np.float32], n_quantiles: int) -> npt.NDArray[np.float32]:
    """Return evenly spaced quantiles of each column; sorting once is 50 times faster than `np.quantile`."""
    ordered = np.sort(values, axis=0)
    place = (np.arange(n_quantiles) + 0.5) * (len(values) / n_quantiles) - 0.5
    below = np.floor(place).astype(np.int64)
    part = (place - below)[:, None].astype(np.float32)
    above = np.minimum(below + 1, len(values) - 1)
    found: npt.NDArray[np.float32] = ordered[below] * (1 - part) + ordered[above] * part
    return found


def classifier_test(
    real: npt.NDArray[np.float32], synthetic: npt.NDArray[np.float32], rng: np.random.Generator
) -> TwoSample:
    """Ask whether a logistic regression tells the two sets apart on rows that it has not seen.

    Parameters
    ----------
    real, synthetic : ndarray of float32, shape (n_rows, n_columns)
        The larger is cut to the smaller's size at random.
    rng : numpy.random.Generator
        Of the cut and of the folds.

    Returns
    -------
    TwoSample
        One-sided binomial p-value in its normal form; (0.5, 1.0) for sets of fewer than `N_FOLDS` rows.

    References
    ----------
    Lopez-Paz, D., and Oquab, M. (2017). Revisiting Classifier Two-Sample Tests. ICLR.
    """
    n_rows = min(len(real), len(synthetic))
    if n_rows < N_FOLDS:
        return TwoSample(0.5, 1.0)
    both = np.concatenate(
        [rows[rng.permutation(len(rows))[:n_rows]].astype(np.float64) for rows in (real, synthetic)]
    )
    is_synthetic = np.repeat([0.0, 1.0], n_rows)
    fold = np.concatenate([np.arange(n_rows) % N_FOLDS] * 2)
    features = _principal(both, max(1, min(MAX_FEATURES, n_rows // 5)))
    right = 0
    for number in range(N_FOLDS):
        held = fold == number
        weights = _logistic(features[~held], is_synthetic[~held])
        right += int((((features[held] @ weights) > 0) == (is_synthetic[held] > 0.5)).sum())
    accuracy = right / (2 * n_rows)
    z = (accuracy - 0.5) * 2 * math.sqrt(2 * n_rows)
    return TwoSample(accuracy, 0.5 * math.erfc(z / math.sqrt(2)))


def _principal(rows: npt.NDArray[np.float64], n_features: int) -> npt.NDArray[np.float64]:
    """Return a column of ones and the first principal components, each with variance 1.

    They are made without the labels, so that held-out rows stay held out.
    """
    centered = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(rows))
    values, vectors = values[::-1][:n_features], vectors[:, ::-1][:, :n_features]
    kept = values > max(float(values[0]), 1e-300) * 1e-9
    scores = centered @ (vectors[:, kept] / np.sqrt(values[kept]))
    return np.column_stack([np.ones(len(rows)), scores])


def _logistic(features: npt.NDArray[np.float64], labels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fit a ridge logistic regression by Newton's method."""
    weights = np.zeros(features.shape[1])
    penalty = np.full(features.shape[1], RIDGE)
    for _ in range(NEWTON_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(features @ weights, -30, 30)))
        slope = features.T @ (labels - chance) - penalty * weights
        curvature = (features * (chance * (1 - chance))[:, None]).T @ features + np.diag(penalty)
        weights = weights + np.linalg.solve(curvature, slope)
    return weights

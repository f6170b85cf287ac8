"""The popular coverage number, kept so that it can be compared with what others report, and warned of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.data_coverage.inputs import check_pair
from tasksel_core import k_means

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["LEGACY_WARNING", "legacy_score"]

LEGACY_WARNING: Final = (
    "The legacy score compares only the sizes of clusters that were fitted to each set apart: sets without "
    "anything in common can score 1. Do not decide by it."
)
LEGACY_CLUSTERS: Final = 50


def legacy_score(
    real_embeddings: npt.ArrayLike,
    synthetic_embeddings: npt.ArrayLike,
    *,
    n_clusters: int = LEGACY_CLUSTERS,
    seed: int = 0,
) -> float:
    """Return 1 minus the Kolmogorov-Smirnov distance of the cluster sizes of two separate k-means fits.

    Parameters
    ----------
    real_embeddings, synthetic_embeddings : array-like, shape (n_rows, n_columns)
    n_clusters : int
        Clusters of each set, at most its rows.
    seed : int
        Of both fits; the second has the next one, as two fits of scikit-learn without a seed differ too.

    Examples
    --------
    Nothing in common, and a perfect score:

    >>> rng = np.random.default_rng(0)
    >>> here = np.repeat(rng.normal(size=(4, 8)), 10, axis=0)
    >>> legacy_score(here, here + 1000, n_clusters=4)
    1.0
    """
    real, synthetic = check_pair(real_embeddings, synthetic_embeddings)
    sizes = []
    for rows, own_seed in ((real, seed), (synthetic, seed + 1)):
        labels = k_means(rows, min(n_clusters, len(rows)), seed=own_seed)[1]
        sizes.append(np.sort(np.bincount(labels, minlength=min(n_clusters, len(rows)))))
    at = np.concatenate(sizes)
    first, second = (np.searchsorted(each, at, side="right") / len(each) for each in sizes)
    return float(1 - np.abs(first - second).max())

"""Every figure beside what real data give at the same number of rows, and what is out of that band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from tasksel.data_coverage.neighbourhoods import nearest_distances, prdc, same_distance, similar_distance
from tasksel.data_coverage.spread import sliced_wasserstein, vendi_score
from tasksel_core import k_means, nearest_neighbours

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["BAD_IF_LOW", "NullBands", "measure_null_bands"]

N_DRAWS: Final = 12
DEVIATIONS: Final = 4.0
"""Beyond so many deviations of the real draws a figure is out of the band: with 12 draws, 1 of 1,000."""
MAX_COMPARED_ROWS: Final = 2000
MAX_REFERENCE_ROWS: Final = 4000
BAD_IF_LOW: Final = ("precision", "recall", "density", "coverage", "vendi_ratio")
"""Of the other figures, more is worse."""


class NullBands(NamedTuple):
    """Figures of the synthetic set beside those of real rows.

    Attributes
    ----------
    figures : pl.DataFrame
        ``figure``, ``synthetic`` (mean over the draws), ``real`` (mean), ``low`` and ``high`` (the band of
        real draws), ``is_out`` (out of it on the bad side).
    n_compared, n_reference : int
        Rows of the sets that were compared, and of the real set that they were compared with.
    """

    figures: pl.DataFrame
    n_compared: int
    n_reference: int


def measure_null_bands(
    real: npt.NDArray[np.float32], synthetic: npt.NDArray[np.float32], *, n_clusters: int, seed: int
) -> NullBands:
    """Compare synthetic rows, and as many real ones, with other real rows; several draws.

    Parameters
    ----------
    real, synthetic : ndarray of float32, shape (n_rows, n_columns)
        At least 4 real rows.
    n_clusters : int
        Of the total variation.
    seed : int
        Of the draws.
    """
    rng = np.random.default_rng(seed)
    n_compared = max(1, min(len(synthetic), len(real) // 2, MAX_COMPARED_ROWS))
    n_reference = min(len(real) - n_compared, MAX_REFERENCE_ROWS)
    same, similar = same_distance(real), similar_distance(real)
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    for _ in range(N_DRAWS):
        order = rng.permutation(len(real))
        reference = real[np.sort(order[:n_reference])]
        held_out = real[np.sort(order[n_reference : n_reference + n_compared])]
        drawn = synthetic[np.sort(rng.choice(len(synthetic), n_compared, replace=False))]
        own_seed = int(rng.integers(1 << 31))
        # Of as many rows, since the score grows with them.
        vendi = vendi_score(reference[:: max(1, n_reference // n_compared)][:n_compared])
        for rows, found in ((drawn, ours), (held_out, theirs)):
            found.append(_figures(reference, rows, same, similar, vendi, n_clusters, own_seed))
    return NullBands(_table(pl.DataFrame(ours), pl.DataFrame(theirs), n_compared), n_compared, n_reference)


def _figures(
    reference: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    same: float,
    similar: float,
    real_vendi: float,
    n_clusters: int,
    seed: int,
) -> dict[str, float]:
    n_used = max(1, min(n_clusters, len(reference) // 10))
    centers, labels, _, _ = k_means(reference, n_used, seed=seed, max_iterations=10)
    shares = np.bincount(labels, minlength=n_used) / len(reference)
    assigned = np.bincount(nearest_neighbours(rows, centers, 1)[0][:, 0], minlength=n_used) / len(rows)
    to_others, to_real = nearest_distances(rows), nearest_distances(rows, reference)
    return {
        "total_variation": float(np.abs(shares - assigned).sum() / 2),
        **prdc(reference, rows)._asdict(),
        "duplicates": float((to_others <= same).mean()),
        "near_duplicates": float((to_others <= similar).mean()),
        "copies": float((to_real <= same).mean()),
        "near_copies": float((to_real <= similar).mean()),
        "vendi_ratio": vendi_score(rows) / real_vendi,
        "sliced_wasserstein": sliced_wasserstein(reference, rows, np.random.default_rng(seed)),
    }


def _table(ours: pl.DataFrame, theirs: pl.DataFrame, n_compared: int) -> pl.DataFrame:
    rows = []
    for name in ours.columns:
        value, center = float(ours[name].to_numpy().mean()), float(theirs[name].to_numpy().mean())
        # Rates of nothing at all have no deviation; one row more is no finding.
        half = DEVIATIONS * max(float(theirs[name].to_numpy().std(ddof=1)), 0.5 / n_compared)
        is_out = value < center - half if name in BAD_IF_LOW else value > center + half
        rows.append((name, value, center, max(0.0, center - half), center + half, is_out))
    return pl.DataFrame(rows, schema=["figure", "synthetic", "real", "low", "high", "is_out"], orient="row")

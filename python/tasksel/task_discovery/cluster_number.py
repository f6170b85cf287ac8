"""How many clusters: the most of those that are found again in other prompts and are as clear as any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from tasksel.task_discovery.agreement import adjusted_rand_index
from tasksel_core import k_means, nearest_neighbours

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = [
    "NumberChoice",
    "automatic_range",
    "candidate_numbers",
    "choose_number",
    "most_of_the_clear",
]

STABLE_SHARE: Final = 2 / 3
"""Of the best stability: numbers above it count as stable."""
CLEAR_SHARE: Final = 0.9
"""Of the best silhouette of a stable number: those above it count as clear. Both shares were chosen on
t0_sample alone; docs/tasks has a table of other rules, and of other data."""
MAX_ROWS: Final = 8_000
"""Rows that decide the number, drawn at random."""
N_CANDIDATES: Final = 10
N_SPLITS: Final = 5
MAX_ITERATIONS: Final = 15
FEWEST: Final = 5
"""Two or three clusters are nearly always found again and say little."""
MOST: Final = 300

CURVE_SCHEMA: Final = pl.Schema(
    {
        "clusters": pl.Int64,
        "stability": pl.Float64,
        "stability_sd": pl.Float64,
        "silhouette": pl.Float64,
        "is_stable": pl.Boolean,
        "is_chosen": pl.Boolean,
    }
)


@dataclass(frozen=True)
class NumberChoice:
    """A number of clusters, and what it was chosen from.

    Attributes
    ----------
    n_clusters : int
        The number.
    curve : pl.DataFrame
        One row a candidate: ``clusters``, ``stability`` (mean adjusted Rand index of clusterings of two
        halves), ``stability_sd`` (over the splits), ``silhouette`` (simplified), ``is_stable``,
        ``is_chosen``.
    """

    n_clusters: int
    curve: pl.DataFrame

    @property
    def reason(self) -> str:
        """Why this number, as a sentence."""
        best = self.curve.filter(pl.col("stability") == pl.col("stability").max()).row(0, named=True)
        own = self.curve.filter("is_chosen").row(0, named=True)
        stable = ", ".join(f"{number:,}" for number in self.curve.filter("is_stable")["clusters"])
        return (
            f"Clusterings of two halves agree best at {best['clusters']:,} (ARI {best['stability']:.2f}); "
            f"two thirds of that are reached by {stable}, and of these {own['clusters']:,} is the largest "
            f"whose silhouette ({own['silhouette']:.3f}) is within a tenth of the best."
        )


def automatic_range(n_rows: int) -> tuple[int, int]:
    """Return the numbers of clusters that are tried for so many prompts.

    Examples
    --------
    >>> automatic_range(100), automatic_range(10_000), automatic_range(1_000_000)
    ((2, 20), (5, 200), (5, 300))
    """
    most = max(1, min(MOST, round(2 * n_rows**0.5), n_rows // 2))
    return min(max(2, min(FEWEST, n_rows // 50)), most), most


def candidate_numbers(fewest: int, most: int) -> list[int]:
    """Return numbers from one to the other, each about the same factor above the one before.

    Examples
    --------
    >>> candidate_numbers(5, 200)
    [5, 8, 11, 17, 26, 39, 58, 88, 133, 200]
    >>> candidate_numbers(3, 5)
    [3, 4, 5]
    """
    return sorted({round(each) for each in np.geomspace(fewest, most, N_CANDIDATES).tolist()})


def choose_number(
    points: npt.NDArray[np.float32],
    candidates: list[int],
    *,
    seed: int,
    progress: Callable[[int, int], object] | None = None,
) -> NumberChoice:
    """Choose among numbers of clusters by stability and silhouette.

    For each number, halves of the points are clustered apart and all points assigned to both sets of centers;
    the mean adjusted Rand index of the two over several splits is the stability. Numbers that reach two
    thirds of the best stability are stable; of these the largest is taken whose simplified silhouette reaches
    nine tenths of the best of them. Stability alone prefers few clusters, the silhouette alone as many as
    allowed; and where numbers are about as good, more tasks are better, since merging them is easy.

    Parameters
    ----------
    points : ndarray of float32, shape (n, d)
        Of length one; no more than `MAX_ROWS` are needed.
    candidates : list of int
        Increasing, each at most half of the points.
    seed : int
        Of splits and starts.
    progress : callable, optional
        Called as ``progress(done, total)`` after each number.

    References
    ----------
    Ben-Hur, A., Elisseeff, A., and Guyon, I. (2002). A stability based method for discovering structure in
    clustered data. Pacific Symposium on Biocomputing.
    Vendramin, L., Campello, R., and Hruschka, E. (2010). Relative clustering validity criteria, section 3.1.
    Statistical Analysis and Data Mining 3(4).
    """
    rows: list[dict[str, float]] = []
    for place, number in enumerate(candidates):
        found = [_stability(points, number, seed + split) for split in range(N_SPLITS)]
        rows.append(
            {
                "clusters": number,
                "stability": float(np.mean(found)),
                "stability_sd": float(np.std(found, ddof=1)),
                "silhouette": _silhouette(points, number, seed),
            }
        )
        if progress is not None:
            progress(place + 1, len(candidates))
    curve = pl.DataFrame(rows).with_columns(
        is_stable=pl.col("stability") >= STABLE_SHARE * pl.col("stability").max()
    )
    chosen = most_of_the_clear(curve)
    curve = curve.with_columns(is_chosen=pl.col("clusters") == chosen)
    return NumberChoice(chosen, pl.DataFrame(curve.to_dicts(), schema=CURVE_SCHEMA))


def most_of_the_clear(
    curve: pl.DataFrame, *, stable_share: float = STABLE_SHARE, clear_share: float = CLEAR_SHARE
) -> int:
    """Apply the rule of `choose_number` to a curve.

    Examples
    --------
    >>> curve = pl.DataFrame({"clusters": [5, 9, 20], "stability": [0.9, 0.7, 0.2]})
    >>> most_of_the_clear(curve.with_columns(silhouette=pl.Series([0.31, 0.3, 0.8])))
    9
    """
    stable = curve.filter(pl.col("stability") >= stable_share * pl.col("stability").max())
    # A silhouette is negative where points are nearer to another center, which cannot be the best of all.
    clear = stable.filter(pl.col("silhouette") >= clear_share * pl.col("silhouette").max())
    return int(clear["clusters"].sort()[-1])


def _stability(points: npt.NDArray[np.float32], n_clusters: int, seed: int) -> float:
    order = np.random.default_rng(seed).permutation(len(points))
    labels = []
    for half in np.array_split(order, 2):
        centers = k_means(points[np.sort(half)], n_clusters, seed=seed, max_iterations=MAX_ITERATIONS)[0]
        labels.append(nearest_neighbours(points, centers, 1)[0][:, 0])
    return adjusted_rand_index(labels[0], labels[1])


def _silhouette(points: npt.NDArray[np.float32], n_clusters: int, seed: int) -> float:
    """Return the mean of (b - a) / b with distances to the nearest two centers in place of all points."""
    centers = k_means(points, n_clusters, seed=seed, max_iterations=MAX_ITERATIONS)[0]
    if n_clusters < 2:
        return 0.0
    own, other = nearest_neighbours(points, centers, 2)[1].astype(np.float64).T
    return float(np.divide(other - own, other, out=np.zeros_like(own), where=other > 0).mean())

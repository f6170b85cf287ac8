"""The yardstick: what a statistic of held-out real rows becomes when a known part of the mass is taken away.

A raw score depends on the number of rows: a perfect sample of 100 lacks a part of every partition. So real
rows are split; regions are fitted on one part; from the other, regions are removed in whole until a share of
the mass is gone, and as many rows as the synthetic set has are drawn from what is left. The curve of the
statistic over the removed mass, inverted at the synthetic set's statistic, says how much real mass would have
to be missing for the set to look as it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tasksel.data_coverage.regions import fit_cluster_regions, fit_task_regions
from tasksel.intervals import Interval
from tasksel_core import k_means

if TYPE_CHECKING:
    import numpy.typing as npt

    from tasksel.data_coverage.regions import Regions

__all__ = ["MIN_REAL_ROWS", "REMOVED", "Equivalent", "measure_equivalent"]

REMOVED: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the mass that are removed; with all of it gone the statistic is 1."""
N_SPLITS: Final = 4
"""Ways to halve the real rows; the second of each pair is the first with the halves exchanged."""
N_DRAWS: Final = 20
"""Draws at each share of each split."""
REMOVAL_REGIONS: Final = (50, 100, 200)
"""Regions that are removed where there are no labels: clusters of the held-out rows, not those compared."""
ROWS_PER_REMOVAL_REGION: Final = 10
N_SUBSETS: Final = 10
"""Subsets of a synthetic set that is larger than what can be compared."""
MIN_REAL_ROWS: Final = 8


class Equivalent(NamedTuple):
    """Coverage-equivalent, and what it was read from.

    Attributes
    ----------
    coverage : float
        1 minus the removed mass that the synthetic set looks like.
    interval : Interval
        Coverages at which a real set would look like this one.
    null : Interval
        Where real sets of that many rows with nothing missing lie.
    shortfall : float
        The statistic itself: mean over the splits.
    curve : ndarray of float64, shape (len(REMOVED), 3)
        Missing mass, mean and standard deviation of the statistic.
    n_compared : int
        Rows of each set that was compared.
    """

    coverage: float
    interval: Interval
    null: Interval
    shortfall: float
    curve: npt.NDArray[np.float64]
    n_compared: int


@dataclass(frozen=True)
class _Split:
    """Regions of one half, and the other half ready to lose some."""

    regions: Regions
    held_out_codes: npt.NDArray[np.int64]
    removable: tuple[npt.NDArray[np.int64], ...]


def measure_equivalent(
    real: npt.NDArray[np.float32],
    synthetic: npt.NDArray[np.float32],
    *,
    real_tasks: npt.NDArray[np.int64] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Equivalent:
    """Find the share of real mass whose removal makes held-out real rows look like the synthetic ones.

    Parameters
    ----------
    real, synthetic : ndarray of float32, shape (n_rows, n_columns)
        At least `MIN_REAL_ROWS` real rows and one synthetic row.
    real_tasks : ndarray of int64, shape (n_real,), optional
        Task codes without gaps: then tasks are what is removed and what is compared.
    level : float
        Of the interval.
    seed : int
        Of splits, clusters and draws.
    """
    rng = np.random.default_rng(seed)
    n_compared = max(1, min(len(synthetic), len(real) // 4))
    tables, found, raw, masses = [], [], [], []
    for first, second in _halves(len(real), rng):
        split = _fit(real, first, second, real_tasks, n_compared, rng)
        table, missing = _calibrate(split, n_compared, rng)
        curve = _Curve(table, missing)
        statistic = _statistic(split, synthetic, n_compared, rng)
        tables.append(curve.invert(table))
        found.append(curve.invert(statistic))
        raw.append((table, statistic))
        masses.append(missing)
    removed = float(np.clip(np.mean(found), 0.0, 1.0))
    seen = np.stack(tables)
    every = np.concatenate([table for table, _ in raw], axis=1)
    missing = np.mean(masses, axis=0)
    return Equivalent(
        coverage=1.0 - removed,
        interval=_interval(seen, missing, removed, level),
        null=_null(seen, level),
        shortfall=float(np.mean([statistic for _, statistic in raw])),
        curve=np.column_stack([missing, every.mean(axis=1), every.std(axis=1)]),
        n_compared=n_compared,
    )


class _Curve:
    """The mean statistic over the missing mass, made to rise, and its inverse."""

    def __init__(self, table: npt.NDArray[np.float64], missing: npt.NDArray[np.float64]) -> None:
        means = np.append(np.minimum(table.mean(axis=1), 1.0), 1.0)
        # Strictly, so that the inverse is a function where noise makes the curve flat.
        self.means = np.maximum.accumulate(means) + np.arange(len(means)) * 1e-9
        self.missing = np.append(missing, 1.0)
        rise = self.means[2] - self.means[0]
        self.slope = self.missing[2] / max(rise, 1e-3)

    def invert(self, statistic: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return removed masses; below the curve they go on in its first direction: means stay fair."""
        values = np.asarray(statistic, dtype=np.float64)
        inside = np.interp(values, self.means, self.missing)
        below = (values - self.means[0]) * self.slope
        removed: npt.NDArray[np.float64] = np.where(values < self.means[0], np.maximum(below, -1.0), inside)
        return removed


def _halves(
    n_rows: int, rng: np.random.Generator
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Give pairs of halves, both ways round.

    Tasks are not halved one by one: halves with equal shares would differ less than two samples do, and a
    perfect set would look worse than they.
    """
    pairs = []
    for _ in range(N_SPLITS // 2):
        order = rng.permutation(n_rows)
        first, second = order[: n_rows // 2], order[n_rows // 2 :]
        pairs += [(first, second), (second, first)]
    return pairs


def _fit(
    real: npt.NDArray[np.float32],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    tasks: npt.NDArray[np.int64] | None,
    n_compared: int,
    rng: np.random.Generator,
) -> _Split:
    seed = int(rng.integers(1 << 31))
    fitted, held_out = real[first], real[second]
    if tasks is not None:
        regions: Regions = fit_task_regions(fitted, tasks[first], int(tasks.max()) + 1)
        removable: tuple[npt.NDArray[np.int64], ...] = (tasks[second],)
    else:
        clusters = fit_cluster_regions(fitted, n_compared, seed)
        regions = clusters
        removable = _removal_regions(clusters.space(held_out), seed)
    return _Split(regions, regions.assign(held_out), removable)


def _removal_regions(mapped: npt.NDArray[np.float32], seed: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Cluster the held-out rows themselves, so that what is removed does not follow the fitted cells."""
    most = max(2, len(mapped) // ROWS_PER_REMOVAL_REGION)
    sizes = sorted({min(size, most, len(mapped)) for size in REMOVAL_REGIONS})
    return tuple(
        k_means(mapped, size, seed=seed + 7 + number, max_iterations=10)[1]
        for number, size in enumerate(sizes)
    )


def _calibrate(
    split: _Split, n_compared: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the statistic for each removed share and draw, and the mass that is missing at each share.

    A region that goes in part is not missing in that part: what is left of it may be all that a set of the
    other regions' size needs. So the missing mass is what the shares of the regions fall short by, which
    is what is removed where whole regions go.
    """
    table = np.empty((len(REMOVED), N_DRAWS))
    missing = np.empty((len(REMOVED), N_DRAWS))
    for level, removed in enumerate(REMOVED):
        for draw in range(N_DRAWS):
            regions = split.removable[draw % len(split.removable)]
            kept = _remove(regions, removed, rng)
            missing[level, draw] = _missing(regions, kept)
            rows = rng.choice(kept, n_compared, replace=len(kept) < n_compared)
            table[level, draw] = split.regions.shortfall(split.held_out_codes[:, rows])
    return table, np.maximum.accumulate(missing.mean(axis=1))


def _missing(regions: npt.NDArray[np.int64], kept: npt.NDArray[np.int64]) -> float:
    """Return the total variation of the shares of regions before and after a removal."""
    before = np.bincount(regions) / len(regions)
    after = np.bincount(regions[kept], minlength=len(before)) / len(kept)
    return float(np.maximum(before - after, 0.0).sum())


def _remove(
    regions: npt.NDArray[np.int64], removed: float, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return the rows that are left when regions go in random order, the last one in part."""
    rank = rng.permutation(int(regions.max()) + 1)
    order = np.lexsort((rng.random(len(regions)), rank[regions]))
    n_removed = min(round(removed * len(regions)), len(regions) - 1)
    kept: npt.NDArray[np.int64] = order[n_removed:]
    return kept


def _statistic(
    split: _Split, synthetic: npt.NDArray[np.float32], n_compared: int, rng: np.random.Generator
) -> float:
    codes = split.regions.assign(synthetic)
    if len(synthetic) == n_compared:
        return split.regions.shortfall(codes)
    subsets = (rng.choice(len(synthetic), n_compared, replace=False) for _ in range(N_SUBSETS))
    return float(np.mean([split.regions.shortfall(codes[:, rows]) for rows in subsets]))


def _spread(seen: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of the inverted draws at each removed share, within a split.

    One synthetic set meets all splits, so that averaging over them takes away little of its noise: the
    deviation of one split is used, which is too wide rather than too narrow.
    """
    return seen.mean(axis=(0, 2)), seen.std(axis=2, ddof=1).mean(axis=0)


def _interval(
    seen: npt.NDArray[np.float64], missing: npt.NDArray[np.float64], removed: float, level: float
) -> Interval:
    """Collect the missing masses under which the one seen is no surprise (inversion of a test)."""
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + level / 2)
    means, deviations = _spread(seen)
    grid = np.linspace(0.0, 1.0, 1001)
    shares = np.append(missing, 1.0)
    center = np.interp(grid, shares, np.append(means, 1.0))
    half = z * np.interp(grid, shares, np.append(deviations, 0.0))
    fits = grid[np.abs(removed - center) <= half]
    low, high = (float(fits.min()), float(fits.max())) if len(fits) else (removed, removed)
    return Interval(1.0 - max(high, removed), 1.0 - min(low, removed))


def _null(seen: npt.NDArray[np.float64], level: float) -> Interval:
    from statistics import NormalDist

    # One-sided: only a coverage below the band says something.
    z = NormalDist().inv_cdf(level)
    _, deviations = _spread(seen)
    return Interval(float(np.clip(1.0 - z * deviations[0], 0.0, 1.0)), 1.0)

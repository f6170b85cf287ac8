"""The yardstick: what a statistic of real rows becomes when a known part of the mass is taken away.

A raw score depends on the number of rows: a perfect sample of 100 lacks a part of every partition. So real
rows are judged by what was fitted without them; regions are removed in whole until a share of the mass is
gone, and as many rows as the synthetic set has are drawn from what is left. The curve of the statistic over
the removed mass, inverted at the synthetic set's statistic, says how much real mass would have to be missing
for the set to look as it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tasksel.data_coverage.gauges import fit_cluster_gauges, fit_task_gauges
from tasksel.intervals import Interval

if TYPE_CHECKING:
    import numpy.typing as npt

    from tasksel.data_coverage.gauges import Gauge
    from tasksel.data_coverage.removal import Calibration

__all__ = ["MIN_REAL_ROWS", "Equivalent", "measure_equivalent"]

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
        The statistic itself: mean over the gauges.
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
        Of halves or folds, clusters and draws.
    """
    rng = np.random.default_rng(seed)
    gauges = (
        fit_cluster_gauges(real, len(synthetic), rng)
        if real_tasks is None
        else fit_task_gauges(real, real_tasks, len(synthetic), rng)
    )
    readings = [_read(gauge, synthetic, rng) for gauge in gauges]
    removed = float(np.clip(np.mean([each.removed for each in readings]), 0.0, 1.0))
    seen = _Seen.of(readings)
    statistics = np.concatenate([each.calibration.statistics for each in readings], axis=1)
    return Equivalent(
        coverage=1.0 - removed,
        interval=seen.interval(removed, level),
        null=seen.null(level),
        shortfall=float(np.mean([each.statistic for each in readings])),
        curve=np.column_stack([seen.missing, statistics.mean(axis=1), statistics.std(axis=1)]),
        n_compared=gauges[0].n_compared,
    )


class _Reading(NamedTuple):
    """What one gauge says: of the synthetic rows, and of real ones of which a known part is missing."""

    calibration: Calibration
    inverted: npt.NDArray[np.float64]
    statistic: float
    removed: float


def _read(gauge: Gauge, synthetic: npt.NDArray[np.float32], rng: np.random.Generator) -> _Reading:
    calibration = gauge.calibrate(rng)
    curve = _Curve(calibration)
    statistic = gauge.read(synthetic, rng)
    return _Reading(
        calibration, curve.invert(calibration.statistics), statistic, float(curve.invert(statistic))
    )


class _Curve:
    """The mean statistic over the missing mass, made to rise, and its inverse."""

    def __init__(self, calibration: Calibration) -> None:
        means = np.append(np.minimum(calibration.statistics.mean(axis=1), 1.0), 1.0)
        # Strictly, so that the inverse is a function where noise makes the curve flat.
        self.means = np.maximum.accumulate(means) + np.arange(len(means)) * 1e-9
        self.missing = np.append(np.maximum.accumulate(calibration.missing.mean(axis=1)), 1.0)
        rise = self.means[2] - self.means[0]
        self.slope = self.missing[2] / max(rise, 1e-3)

    def invert(self, statistic: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return removed masses; below the curve they go on in its first direction: means stay fair."""
        values = np.asarray(statistic, dtype=np.float64)
        inside = np.interp(values, self.means, self.missing)
        below = (values - self.means[0]) * self.slope
        removed: npt.NDArray[np.float64] = np.where(values < self.means[0], np.maximum(below, -1.0), inside)
        return removed


@dataclass(frozen=True)
class _Seen:
    """How far draws are read from what they lack, at each removed share.

    One synthetic set meets all gauges, so that averaging over them takes away little of its noise: the
    deviation of one gauge is used, which is too wide rather than too narrow.
    """

    missing: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]

    @classmethod
    def of(cls, readings: list[_Reading]) -> _Seen:
        missing = np.mean([each.calibration.missing.mean(axis=1) for each in readings], axis=0)
        errors = np.stack([each.inverted - each.calibration.missing for each in readings])
        return cls(
            np.maximum.accumulate(missing),
            errors.mean(axis=(0, 2)),
            errors.std(axis=2, ddof=1).mean(axis=0),
        )

    def interval(self, removed: float, level: float) -> Interval:
        """Collect the missing masses under which the one seen is no surprise (inversion of a test)."""
        z = NormalDist().inv_cdf(0.5 + level / 2)
        grid = np.linspace(0.0, 1.0, 1001)
        shares = np.append(self.missing, 1.0)
        center = grid + np.interp(grid, shares, np.append(self.bias, 0.0))
        half = z * np.interp(grid, shares, np.append(self.deviation, 0.0))
        fits = grid[np.abs(removed - center) <= half]
        low, high = (float(fits.min()), float(fits.max())) if len(fits) else (removed, removed)
        return Interval(1.0 - max(high, removed), 1.0 - min(low, removed))

    def null(self, level: float) -> Interval:
        """Return where sets lie that lack nothing; one-sided, as only a coverage below it says something."""
        z = NormalDist().inv_cdf(level)
        return Interval(float(np.clip(1.0 - z * self.deviation[0], 0.0, 1.0)), 1.0)

"""What reads the mass that a set lacks off its rows: cells of the real rows, or shares of their tasks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from tasksel.data_coverage.regions import fit_cluster_regions
from tasksel.data_coverage.removal import calibrate, lacking_mass
from tasksel.data_coverage.task_shares import estimate_shares, fit_task_models
from tasksel_core import k_means

if TYPE_CHECKING:
    import numpy.typing as npt

    from tasksel.data_coverage.regions import ClusterRegions
    from tasksel.data_coverage.removal import Calibration
    from tasksel.data_coverage.task_shares import Reference, TaskModels

__all__ = ["ClusterGauge", "Gauge", "TaskGauge", "fit_cluster_gauges", "fit_task_gauges"]

N_HALVINGS: Final = 2
"""Ways to halve the real rows for cells; each is used with the halves exchanged too."""
N_CROSS_FITS: Final = 2
"""Ways to fold the real rows for tasks."""
REMOVAL_REGIONS: Final = (50, 100, 200)
"""Regions that are removed where there are no labels: clusters of the held-out rows, not those compared.
Clusters of a space with equal variances were tried: nearer the truth where tasks overlap, farther else."""
ROWS_PER_REMOVAL_REGION: Final = 10
N_READINGS: Final = 10
"""Subsets of a synthetic set that is larger than what can be compared; for tasks, foldings too."""
N_REFERENCES: Final = 20
"""Bootstrap samples of the real rows that draws are compared with in turn."""
SHORTFALL_POWER: Final = 1.25
"""Of the part that each task lacks: noise lacks a little of many, and counts for less than what is gone."""
MAX_NUMBERS: Final = 1 << 20
"""Rows compared times tasks; more rows would say little more and take long."""


class Gauge(Protocol):
    """A statistic that was fitted on real rows."""

    @property
    def n_compared(self) -> int:
        """Rows that are measured at a time."""

    def calibrate(self, rng: np.random.Generator) -> Calibration:
        """Measure real rows with a known part of the mass removed."""

    def read(self, rows: npt.NDArray[np.float32], rng: np.random.Generator) -> float:
        """Measure other rows."""


@dataclass(frozen=True)
class ClusterGauge:
    """Cells of one half of the real rows, and the other half ready to lose some."""

    regions: ClusterRegions
    held_out_codes: npt.NDArray[np.int64]
    removable: tuple[npt.NDArray[np.int64], ...]
    n_compared: int

    def calibrate(self, rng: np.random.Generator) -> Calibration:
        """Compare what is left of the held-out half with the other one."""
        return calibrate(
            self.removable,
            self.n_compared,
            lambda rows: self.regions.shortfall(self.held_out_codes[:, rows]),
            rng,
            with_replacement=False,
        )

    def read(self, rows: npt.NDArray[np.float32], rng: np.random.Generator) -> float:
        """Compare `n_compared` rows at a time."""
        codes = self.regions.assign(rows)
        if len(rows) == self.n_compared:
            return self.regions.shortfall(codes)
        subsets = (rng.choice(len(rows), self.n_compared, replace=False) for _ in range(N_READINGS))
        return float(np.mean([self.regions.shortfall(codes[:, each]) for each in subsets]))


@dataclass(frozen=True)
class TaskGauge:
    """How likely each real row is under each task, judged without it."""

    models: TaskModels
    n_compared: int

    def calibrate(self, rng: np.random.Generator) -> Calibration:
        """Draw real rows, and the reference that they are compared with, as a bootstrap does.

        The reference is a sample itself, and the synthetic set meets it as it is: without draws of its own
        the yardstick would lack that noise, and perfect sets would look worse than it.
        """
        references = cycle([self.models.reference(rng) for _ in range(N_REFERENCES)])

        def statistic(rows: npt.NDArray[np.int64]) -> float:
            return _task_shortfall(self.models.likelihoods[rows], next(references))

        return calibrate([self.models.tasks], self.n_compared, statistic, rng, with_replacement=True)

    def read(self, rows: npt.NDArray[np.float32], rng: np.random.Generator) -> float:
        """Compare `n_compared` rows at a time, which meet the folds in another order each time."""
        reference = self.models.reference()
        found = []
        for _ in range(N_READINGS):
            some = rows[rng.permutation(len(rows))[: self.n_compared]]
            found.append(_task_shortfall(self.models.judge(some, rng), reference))
        return float(np.mean(found))


def _task_shortfall(likelihoods: npt.NDArray[np.float32], reference: Reference) -> float:
    return lacking_mass(reference.shares, estimate_shares(likelihoods, reference), power=SHORTFALL_POWER)


def fit_cluster_gauges(
    real: npt.NDArray[np.float32], n_synthetic: int, rng: np.random.Generator
) -> list[Gauge]:
    """Fit cells on each of several halves; a quarter of the real rows can be compared at most."""
    n_compared = max(1, min(n_synthetic, len(real) // 4))
    gauges: list[Gauge] = []
    for first, second in _halves(len(real), rng):
        seed = int(rng.integers(1 << 31))
        held_out = real[second]
        regions = fit_cluster_regions(real[first], n_compared, seed)
        removable = _removal_regions(regions.space(held_out), seed)
        gauges.append(ClusterGauge(regions, regions.assign(held_out), removable, n_compared))
    return gauges


def fit_task_gauges(
    real: npt.NDArray[np.float32],
    tasks: npt.NDArray[np.int64],
    n_synthetic: int,
    rng: np.random.Generator,
) -> list[Gauge]:
    """Fit discriminants in several foldings; half the number of the real rows can be compared at most."""
    n_tasks = int(tasks.max()) + 1
    n_compared = max(1, min(n_synthetic, len(real) // 2, MAX_NUMBERS // n_tasks))
    return [TaskGauge(fit_task_models(real, tasks, n_tasks, rng), n_compared) for _ in range(N_CROSS_FITS)]


def _halves(
    n_rows: int, rng: np.random.Generator
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Give pairs of halves, both ways round."""
    pairs = []
    for _ in range(N_HALVINGS):
        order = rng.permutation(n_rows)
        first, second = order[: n_rows // 2], order[n_rows // 2 :]
        pairs += [(first, second), (second, first)]
    return pairs


def _removal_regions(mapped: npt.NDArray[np.float32], seed: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Cluster the held-out rows themselves, so that what is removed does not follow the fitted cells."""
    most = max(2, len(mapped) // ROWS_PER_REMOVAL_REGION)
    sizes = sorted({min(size, most, len(mapped)) for size in REMOVAL_REGIONS})
    return tuple(
        k_means(mapped, size, seed=seed + 7 + number, max_iterations=10)[1]
        for number, size in enumerate(sizes)
    )

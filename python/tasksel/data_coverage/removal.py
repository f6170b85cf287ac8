"""Taking mass away from real rows, and what a statistic becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

__all__ = ["REMOVED", "Calibration", "calibrate", "lacking_mass"]

REMOVED: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the rows that are removed."""
N_DRAWS: Final = 20
"""Draws at each share."""


class Calibration(NamedTuple):
    """What was missing in each draw, and the statistic of what was drawn.

    Attributes
    ----------
    missing, statistics : ndarray of float64, shape (len(REMOVED), n_draws)
    """

    missing: npt.NDArray[np.float64]
    statistics: npt.NDArray[np.float64]


def calibrate(
    removable: Sequence[npt.NDArray[np.int64]],
    n_compared: int,
    statistic: Callable[[npt.NDArray[np.int64]], float],
    rng: np.random.Generator,
    *,
    with_replacement: bool,
) -> Calibration:
    """Draw rows from what is left when regions go, and measure them.

    A region that goes in part is not missing in that part: what is left of it may be all that a set of the
    other regions' size needs. So the missing mass is what the shares of the regions fall short by, which
    is what is removed where whole regions go.

    Parameters
    ----------
    removable : sequence of ndarray of int64, shape (n_rows,)
        The region of each row, in one partition or more; draws take them in turn.
    n_compared : int
        Rows of a draw.
    statistic : callable
        Given the rows that were drawn.
    rng : numpy.random.Generator
        Of what goes and what is drawn.
    with_replacement : bool
        As a bootstrap; without, rows repeat only where fewer than `n_compared` are left.
    """
    missing, statistics = np.empty((2, len(REMOVED), N_DRAWS))
    for level, removed in enumerate(REMOVED):
        for draw in range(N_DRAWS):
            regions = removable[draw % len(removable)]
            kept = _remove(regions, removed, rng)
            before = np.bincount(regions) / len(regions)
            after = np.bincount(regions[kept], minlength=len(before)) / len(kept)
            missing[level, draw] = lacking_mass(before, after)
            repeats = with_replacement or len(kept) < n_compared
            statistics[level, draw] = statistic(rng.choice(kept, n_compared, replace=repeats))
    return Calibration(missing, statistics)


def lacking_mass(
    real: npt.NDArray[np.float64], other: npt.NDArray[np.float64], *, power: float = 1.0
) -> float:
    """Return what other shares fall short of the real ones by: the total variation.

    Parameters
    ----------
    real, other : ndarray of float64, shape (n_regions,)
        Shares.
    power : float
        Above 1, regions that lack a part count for less than their part, and those that are gone in full.

    Examples
    --------
    >>> lacking_mass(np.array([0.5, 0.5]), np.array([0.75, 0.25]))
    0.25
    >>> lacking_mass(np.array([0.5, 0.5]), np.array([0.75, 0.25]), power=2)
    0.125
    """
    part = np.maximum(real - other, 0.0) / np.where(real > 0, real, 1.0)
    return float(real @ part**power)


def _remove(
    regions: npt.NDArray[np.int64], removed: float, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return the rows that are left when regions go in random order, the last one in part."""
    rank = rng.permutation(int(regions.max()) + 1)
    order = np.lexsort((rng.random(len(regions)), rank[regions]))
    n_removed = min(round(removed * len(regions)), len(regions) - 1)
    kept: npt.NDArray[np.int64] = order[n_removed:]
    return kept

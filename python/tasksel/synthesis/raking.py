"""Iterative proportional fitting: a table with given margins, as like a seed as can be.

References
----------
Deming, W. E., Stephan, F. F. (1940). On a least squares adjustment of a sampled frequency table when the
expected marginal totals are known. Annals of Mathematical Statistics 11, 427-444.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.synthesis.controlled_rounding import around
from tasksel.synthesis.table_flow import Bounds, InfeasibleTableError, fit_table
from tasksel_core.errors import ArrayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from numpy.typing import NDArray

__all__ = ["Contradiction", "RakedTable", "find_contradiction", "rake_table"]

MAX_ITERATIONS: Final = 5_000
TOLERANCE: Final = 1e-9
"""Largest miss of a margin, as a share of the total, at which raking has converged."""


@dataclass(frozen=True)
class Contradiction:
    """Margins of two levels that cannot both hold, since some combinations do not occur.

    Attributes
    ----------
    axis, indices
        Values that want more than there is room for.
    wanted : float
        What their margins sum to.
    other_axis, other_indices
        The values of another level that they may stand with.
    available : float
        What the margins of those sum to; less than `wanted`.
    """

    axis: int
    indices: tuple[int, ...]
    wanted: float
    other_axis: int
    other_indices: tuple[int, ...]
    available: float


@dataclass(frozen=True, eq=False)
class RakedTable:
    """A raked table and how well it meets its margins.

    Attributes
    ----------
    table : NDArray[np.float64]
        Of the shape of the seed; zero where the seed is.
    converged : bool
        Whether every margin is met up to `TOLERANCE` of the total.
    n_iterations : int
        Passes over all margins.
    residuals : dict of int to NDArray[np.float64]
        Axis -> margin of the table minus what was asked for.
    """

    table: NDArray[np.float64]
    converged: bool
    n_iterations: int
    residuals: Mapping[int, NDArray[np.float64]]


def rake_table(
    seed: npt.ArrayLike,
    margins: Mapping[int, npt.ArrayLike],
    total: float,
    *,
    max_iterations: int = MAX_ITERATIONS,
) -> RakedTable:
    """Scale a table until its margins are those asked for; odds ratios stay those of the seed.

    Parameters
    ----------
    seed : array-like of float
        Non-negative, one axis a level, not all 0; zeros stay zeros.
    margins : mapping of int to array-like of float
        Axis -> sums, for any of the axes; each sums to `total`.
    total : float
        Sum of the table.
    max_iterations : int
        Passes over all margins at most.

    Returns
    -------
    RakedTable

    Raises
    ------
    ArrayError
        The seed or a margin is negative, not finite or mis-shaped, or a margin does not sum to the total.

    Examples
    --------
    >>> rake_table(np.ones((2, 2)), {0: [30, 10], 1: [20, 20]}, 40).table
    array([[15., 15.],
           [ 5.,  5.]])
    """
    table = np.array(seed, dtype=np.float64)
    if not np.isfinite(table).all() or (table < 0).any() or not table.sum() > 0:
        raise ArrayError("The seed holds nothing above 0, or numbers that are negative or not finite.")
    asked = {axis: _check_margin(table, axis, margin, total) for axis, margin in margins.items()}
    table *= total / table.sum()
    iteration = 0
    residuals = _residuals(table, asked)
    while not _is_met(residuals, total) and iteration < max_iterations:
        for axis, margin in asked.items():
            sums = _sum_along(table, axis)
            scale = np.divide(margin, sums, out=np.zeros_like(margin), where=sums > 0)
            table *= np.expand_dims(scale, tuple(other for other in range(table.ndim) if other != axis))
        iteration += 1
        residuals = _residuals(table, asked)
    return RakedTable(table, _is_met(residuals, total), iteration, residuals)


def find_contradiction(
    possible: NDArray[np.bool_], margins: Mapping[int, NDArray[np.float64]]
) -> Contradiction | None:
    """Return margins of two levels that cannot both hold in whole numbers, whatever the others are.

    Parameters
    ----------
    possible : NDArray[np.bool_]
        Where the table may be above 0.
    margins : mapping of int to NDArray[np.float64]
        Axis -> sums.

    Returns
    -------
    Contradiction or None
        None means that no two levels contradict each other; three may still do.

    Examples
    --------
    >>> diagonal = np.eye(2, dtype=bool)
    >>> find_contradiction(diagonal, {0: np.array([6.0, 4.0]), 1: np.array([3.0, 7.0])})
    Contradiction(axis=0, indices=(0,), wanted=6.0, other_axis=1, other_indices=(0,), available=3.0)
    """
    if possible.all():
        return None
    if len(margins) == 1:
        ((axis, margin),) = margins.items()
        empty = np.flatnonzero(~_any_along(possible, axis) & (margin > 0))
        if not len(empty):
            return None
        return Contradiction(axis, tuple(map(int, empty)), float(margin[empty].sum()), axis, (), 0.0)
    for axis, other in itertools.permutations(margins, 2):
        rest = tuple(each for each in range(possible.ndim) if each not in (axis, other))
        pair: NDArray[np.bool_] = np.asarray(possible.any(axis=rest)) if rest else possible
        found = _contradict(pair if axis < other else pair.T, margins[axis], margins[other])
        if found is not None:
            rows, columns = found
            return Contradiction(
                axis,
                tuple(map(int, rows)),
                float(margins[axis][rows].sum()),
                other,
                tuple(map(int, columns)),
                float(margins[other][columns].sum()),
            )
    return None


def _contradict(
    possible: NDArray[np.bool_], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return rows that want more than the columns hold which they may stand in."""
    total = round(float(rows.sum()))
    zeros = np.zeros(possible.shape, dtype=np.int64)
    room = around(columns)
    bounds = around(rows), Bounds(np.zeros_like(room.low), room.high)
    try:
        fit_table(zeros, zeros, np.where(possible, total, 0), *bounds, (0, total))
    except InfeasibleTableError as error:
        return error.rows, np.flatnonzero(possible[error.rows].any(axis=0))
    return None


def _check_margin(
    table: NDArray[np.float64], axis: int, margin: npt.ArrayLike, total: float
) -> NDArray[np.float64]:
    asked = np.asarray(margin, dtype=np.float64)
    if not 0 <= axis < table.ndim or asked.shape != (table.shape[axis],):
        raise ArrayError(f"The margin of axis {axis} has shape {asked.shape}; the table {table.shape}.")
    if not np.isfinite(asked).all() or (asked < 0).any():
        raise ArrayError(f"The margin of axis {axis} holds numbers that are negative or not finite.")
    if abs(asked.sum() - total) > 1e-6 * max(total, 1):
        raise ArrayError(f"The margin of axis {axis} sums to {asked.sum():g}, the total is {total:g}.")
    return asked


def _residuals(
    table: NDArray[np.float64], asked: Mapping[int, NDArray[np.float64]]
) -> dict[int, NDArray[np.float64]]:
    return {axis: _sum_along(table, axis) - margin for axis, margin in asked.items()}


def _is_met(residuals: Mapping[int, NDArray[np.float64]], total: float) -> bool:
    return all(np.abs(each).max() <= TOLERANCE * max(total, 1) for each in residuals.values())


def _sum_along(table: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = table.sum(axis=tuple(other for other in range(table.ndim) if other != axis))
    return sums


def _any_along(table: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    return np.asarray(table.any(axis=tuple(other for other in range(table.ndim) if other != axis)))

"""Controlled rounding: a table of real numbers to whole ones, so that its sums are rounded with it.

Tables of one and two levels are rounded exactly: every cell, every margin and the total becomes the whole
number below or above its real value, which is always possible. With three levels and more it may not be
possible; the rounding then keeps cells and margins of one level and the total first by flows, then by search,
and says which margin is off.

References
----------
Causey, B. D., Cox, L. H., Ernst, L. R. (1985). Applications of transportation theory to statistical problems.
Journal of the American Statistical Association 80, 903-909.
Cox, L. H. (1987). A constructive procedure for unbiased controlled rounding. Journal of the American
Statistical Association 82, 520-524.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tasksel.synthesis.rounding_search import search_table
from tasksel.synthesis.table_flow import Bounds, InfeasibleTableError, fit_table, spread_table
from tasksel_core.errors import ArrayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from numpy.typing import NDArray

__all__ = ["MarginMiss", "RoundedTable", "around", "largest_remainder", "round_table"]

SNAP: Final = 1e-6
"""A real number this near to a whole one is meant to be that: raking leaves remainders."""
_WIDENINGS: Final = ((0, 0), (1, 0), (math.inf, 0), (math.inf, 1), (math.inf, 2), (math.inf, math.inf))
"""How far cells, then margins may leave their bounds, tried in turn; used only where bounds contradict."""


class MarginMiss(NamedTuple):
    """A margin that is 1 or more from its real value."""

    axis: int
    place: int
    real: float
    rounded: int


@dataclass(frozen=True, eq=False)
class RoundedTable:
    """A rounded table and how far the guarantee holds.

    Attributes
    ----------
    counts : NDArray[np.int64]
        Of the shape of the real table.
    misses : tuple of MarginMiss
        Margins that are not the whole number below or above; empty for up to two levels without bounds.
    n_cells_off : int
        Cells that are not the whole number below or above.
    """

    counts: NDArray[np.int64]
    misses: tuple[MarginMiss, ...] = ()
    n_cells_off: int = 0


def around(real: npt.ArrayLike) -> Bounds:
    """Return the whole numbers below and above each number, equal where it is whole up to `SNAP`.

    Examples
    --------
    >>> around([1.5, 2.0000001])
    Bounds(low=array([1, 2]), high=array([2, 2]))
    """
    numbers = np.asarray(real, dtype=np.float64)
    return Bounds(
        np.floor(numbers + SNAP).astype(np.int64), np.maximum(0, np.ceil(numbers - SNAP)).astype(np.int64)
    )


def largest_remainder(shares: npt.ArrayLike, total: int) -> NDArray[np.int64]:
    """Share out a total in whole numbers; what rounding down leaves goes to the largest remainders.

    Parameters
    ----------
    shares : array-like of float, shape (n,)
        Any non-negative weights, not all 0.
    total : int
        What is shared out.

    Returns
    -------
    NDArray[np.int64], shape (n,)
        Sums to `total`; ties go to the first.

    Raises
    ------
    ArrayError
        The weights are negative, not finite or all 0.

    Examples
    --------
    >>> largest_remainder([0.5, 0.3, 0.2], 9)
    array([4, 3, 2])
    """
    weights = np.asarray(shares, dtype=np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        raise ArrayError("shares holds no usable weights; non-negative numbers, not all 0, are wanted.")
    real = weights / weights.sum() * total
    counts: NDArray[np.int64] = np.floor(real + 1e-9).astype(np.int64)
    remainders: NDArray[np.float64] = np.round(real - counts, 9)
    counts[np.argsort(-remainders, kind="stable")[: total - int(counts.sum())]] += 1
    return counts


def round_table(
    real: npt.ArrayLike,
    *,
    margins: Sequence[npt.ArrayLike] | None = None,
    low: NDArray[np.int64] | None = None,
    high: NDArray[np.int64] | None = None,
    strict: bool = False,
) -> RoundedTable:
    """Round a table so that cells, the margins of each level and the total are rounded down or up.

    Parameters
    ----------
    real : array-like of float
        Non-negative; one axis a level, up to 10,000 cells in well under a second.
    margins : sequence of array-like of float, optional
        Real margins an axis, where `real` has them only nearly; its own by default.
    low, high : NDArray[np.int64], optional
        Further bounds of each cell, such as the next larger tier. Where they contradict the rest, cells and
        then margins give way by as little as does it; the total never does.
    strict : bool
        Of up to two levels: margins never give way; there is an error instead.

    Returns
    -------
    RoundedTable

    Raises
    ------
    ArrayError
        A number is negative or not finite, the total is not whole, or no table at all is between the bounds.
    InfeasibleTableError
        With `strict`: no table between the bounds has the margins.

    Examples
    --------
    >>> rounded = round_table([[0.5, 0.5], [0.5, 0.5]])
    >>> rounded.counts.sum(axis=0), rounded.counts.sum(axis=1), rounded.misses
    (array([1, 1]), array([1, 1]), ())
    """
    table = np.asarray(real, dtype=np.float64)
    if not table.size or not np.isfinite(table).all() or (table < 0).any():
        raise ArrayError("The table is empty or holds numbers that are negative or not finite.")
    wanted = [np.asarray(each, dtype=np.float64) for each in margins] if margins else _margins(table)
    total = round(float(wanted[0].sum()))
    if abs(float(wanted[0].sum()) - total) > max(1, table.size) * SNAP:
        raise ArrayError(f"The table sums to {wanted[0].sum():g}; a whole number is wanted.")
    least = np.zeros(table.shape, dtype=np.int64) if low is None else low
    most = np.where(table > 0, total, 0) if high is None else high
    problem = _Problem(table, around(table), Bounds(least, most), wanted, total, strict)
    counts = _round_flat(problem) if table.ndim <= 2 else _round_deep(problem)
    is_off = (counts < problem.cells.low) | (counts > problem.cells.high)
    return RoundedTable(counts, _find_misses(counts, wanted), int(is_off.sum()))


@dataclass(frozen=True, eq=False)
class _Problem:
    """A real table, the whole numbers around its cells, what else bounds them, its margins and its total."""

    table: NDArray[np.float64]
    cells: Bounds
    outer: Bounds
    margins: list[NDArray[np.float64]]
    total: int
    strict: bool = False

    def bounds(self, room: float) -> Bounds:
        """Return the bounds of the cells, with so much room on both sides, inside the outer bounds."""
        return Bounds(*(np.clip(each, *self.outer) for each in _widen(self.cells, room, self.total)))

    def reshape(self, shape: tuple[int, int], margins: list[NDArray[np.float64]]) -> _Problem:
        """Return the same cells as rows and columns with margins of their own."""
        cells, outer = (Bounds(*(each.reshape(shape) for each in pair)) for pair in (self.cells, self.outer))
        return _Problem(self.table.reshape(shape), cells, outer, margins, self.total, self.strict)

    def transpose(self) -> _Problem:
        cells, outer = (Bounds(*(each.T for each in pair)) for pair in (self.cells, self.outer))
        return _Problem(self.table.T, cells, outer, self.margins[::-1], self.total, self.strict)


def _round_flat(problem: _Problem) -> NDArray[np.int64]:
    """Round rows and columns; one level is a single column."""
    shape = problem.table.shape
    if len(shape) == 1:
        whole = np.array([float(problem.total)])
        problem = problem.reshape((shape[0], 1), [problem.margins[0], whole])
    if problem.table.shape[0] > problem.table.shape[1]:  # the start goes along the rows, the fewer the faster
        return _fit_widening(problem.transpose()).T.reshape(shape)
    return _fit_widening(problem).reshape(shape)


def _fit_widening(problem: _Problem) -> NDArray[np.int64]:
    total = problem.total
    for cell_room, margin_room in _WIDENINGS:
        low, high = problem.bounds(cell_room)
        rows, columns = (_widen(around(each), margin_room, total) for each in problem.margins)
        start = spread_table(problem.table, low, high, rows)
        try:
            return fit_table(start, low, high, rows, columns, (total, total))
        except InfeasibleTableError:
            if problem.strict and (cell_room, margin_room) == (math.inf, 0):
                raise
    raise ArrayError(f"No table of {total:,} fits between the given bounds of its cells.")


def _widen(bounds: Bounds, room: float, total: int) -> Bounds:
    step = total if room == math.inf else int(room)
    return Bounds(np.maximum(bounds.low - step, 0), np.minimum(bounds.high + step, total))


def _round_deep(problem: _Problem) -> NDArray[np.int64]:
    """Round three levels and more: one against all others by a flow, then level by level, then by search."""
    table, total = problem.table, problem.total
    shape = (table.shape[0], table[0].size)
    others = table.reshape(shape).sum(axis=0)
    counts = _fit_widening(problem.reshape(shape, [problem.margins[0], others])).reshape(table.shape)
    margins = [around(each) for each in problem.margins]
    least = len(_find_misses(counts, problem.margins))
    for room in (0, 1, math.inf):
        if not least:
            break
        cells = problem.bounds(room)
        tried = np.clip(counts, *cells)
        for axis in range(table.ndim):
            tried = _mend_level(tried, cells, margins[axis], axis)
        if _find_misses(tried, problem.margins) or tried.sum() != total:
            tried = search_table(tried, cells.low, cells.high, margins, total)
        n_missed = len(_find_misses(tried, problem.margins))
        if n_missed < least and tried.sum() == total:
            counts, least = tried, n_missed
    return counts


def _mend_level(counts: NDArray[np.int64], cells: Bounds, margin: Bounds, axis: int) -> NDArray[np.int64]:
    """Bring a level's margin within its bounds without moving any other level's, where that is possible."""
    moved = np.moveaxis(counts, axis, -1)
    start, low, high = (np.moveaxis(each, axis, -1).reshape(-1, moved.shape[-1]) for each in (counts, *cells))
    total = int(counts.sum())
    try:
        mended = fit_table(start, low, high, Bounds.exactly(start.sum(axis=1)), margin, (total, total))
    except InfeasibleTableError:
        return counts
    return np.ascontiguousarray(np.moveaxis(mended.reshape(moved.shape), -1, axis))


def _margins(table: NDArray[Any]) -> list[NDArray[Any]]:
    axes = range(table.ndim)
    return [table.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes]


def _find_misses(counts: NDArray[np.int64], wanted: list[NDArray[np.float64]]) -> tuple[MarginMiss, ...]:
    misses = []
    for axis, (sums, real) in enumerate(zip(_margins(counts), wanted, strict=True)):
        low, high = around(real)
        misses += [
            MarginMiss(axis, int(place), float(real[place]), int(sums[place]))
            for place in np.flatnonzero((sums < low) | (sums > high))
        ]
    return tuple(misses)

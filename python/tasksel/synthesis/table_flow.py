"""Tables of whole numbers between bounds, with row and column sums between bounds: exact, by flows.

A table is a flow from its rows to its columns. From any table within the cell bounds, every sum that is out
of its bounds is brought back by a cycle in the residual graph that makes no other sum worse; where there is
no such cycle, the nodes that were reached are a cut, which proves that no table exists (Hoffman's theorem).

References
----------
Hoffman, A. J. (1960). Some recent applications of the theory of linear inequalities to extremal combinatorial
analysis. Proceedings of Symposia in Applied Mathematics 10, 113-127.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts: TypeAlias = NDArray[np.int64]

__all__ = ["Bounds", "InfeasibleTableError", "fit_table", "spread_table"]

_UNREACHED = -1


class Bounds(NamedTuple):
    """Least and largest allowed sum of each row or column; shape (n,), int64."""

    low: Counts
    high: Counts

    @classmethod
    def exactly(cls, sums: Counts) -> Bounds:
        """Allow these sums and no others."""
        return cls(sums, sums)


@dataclass
class InfeasibleTableError(Exception):
    """There is no table within the bounds, and why: a cut.

    Attributes
    ----------
    rows, columns : NDArray[np.int64]
        The reached rows and columns.
    """

    rows: Counts
    columns: Counts


def fit_table(
    start: Counts, low: Counts, high: Counts, rows: Bounds, columns: Bounds, total: tuple[int, int]
) -> Counts:
    """Return a table near `start` whose cells and sums are all within their bounds.

    Parameters
    ----------
    start, low, high : NDArray[np.int64], shape (n_rows, n_columns)
        Where to begin, and the bounds of each cell; ``low <= start <= high``.
    rows, columns : Bounds
        Of the sums, shapes (n_rows,) and (n_columns,).
    total : tuple of int
        Least and largest sum of all.

    Returns
    -------
    NDArray[np.int64], shape (n_rows, n_columns)

    Raises
    ------
    InfeasibleTableError
        There is none.

    Examples
    --------
    >>> zero, one = np.zeros((2, 2), dtype=np.int64), np.ones((2, 2), dtype=np.int64)
    >>> sums = Bounds.exactly(np.array([1, 1]))
    >>> fit_table(zero, zero, one, sums, sums, (2, 2)).sum(axis=0)
    array([1, 1])
    """
    flow = _Flow(start.copy(), low, high, rows, columns, total)
    while flow.mend():
        pass
    return flow.table


def spread_table(real: NDArray[np.float64], low: Counts, high: Counts, rows: Bounds) -> Counts:
    """Round row by row, handing each column's remainder on to the next row: near all sums, at no cost.

    Parameters
    ----------
    real : NDArray[np.float64], shape (n_rows, n_columns)
        What is wanted.
    low, high : NDArray[np.int64], shape (n_rows, n_columns)
        Bounds of each cell.
    rows : Bounds
        Of the row sums.

    Returns
    -------
    NDArray[np.int64], shape (n_rows, n_columns)
        Within the cell bounds; rows and columns may still miss their bounds.
    """
    table = low.copy()
    debt = np.zeros(real.shape[1])
    debt_of_rows = 0.0
    for row in range(real.shape[0]):
        debt += real[row] - low[row]
        debt_of_rows += float(real[row].sum())
        wanted = int(np.clip(round(debt_of_rows), rows.low[row], rows.high[row]))
        debt_of_rows -= wanted
        missing = wanted - int(low[row].sum())
        while missing > 0:
            open_columns = np.flatnonzero(table[row] < high[row])
            if not len(open_columns):
                break
            chosen = open_columns[np.argsort(-debt[open_columns], kind="stable")[:missing]]
            table[row, chosen] += 1
            debt[chosen] -= 1
            missing -= len(chosen)
    return table


class _Flow:
    """A circulation source -> rows -> columns -> sink -> source, with what its arcs can still take."""

    def __init__(
        self, table: Counts, low: Counts, high: Counts, rows: Bounds, columns: Bounds, total: tuple[int, int]
    ) -> None:
        self.table, self.low, self.high = table, low, high
        self.rows, self.columns, self.total = rows, columns, total
        self.n_rows, self.n_columns = table.shape
        self.source = self.n_rows + self.n_columns
        self.sink = self.source + 1
        self.row_sums = table.sum(axis=1)
        self.column_sums = table.sum(axis=0)
        self.sum = int(table.sum())

    def mend(self) -> bool:
        """Bring one sum nearer to its bounds; False where all are within them."""
        found = self._violation()
        if found is None:
            return False
        tail, head, excess = found
        parents = self._reach(tail, head)
        if parents[head] == _UNREACHED:
            reached = np.flatnonzero(parents != _UNREACHED)
            is_row, is_column = reached < self.n_rows, (reached >= self.n_rows) & (reached < self.source)
            raise InfeasibleTableError(reached[is_row], reached[is_column] - self.n_rows)
        path = self._trace(parents, head)
        step = min(excess, *(self._room(*arc) for arc in path))
        for arc in [*path, (head, tail)]:
            self._push(*arc, step)
        return True

    def _violation(self) -> tuple[int, int, int] | None:
        """Return the ends of a path that mends a sum, and by how much it is out of its bounds."""
        for sums, bounds, first, outer in (
            (self.row_sums, self.rows, 0, self.source),
            (self.column_sums, self.columns, self.n_rows, self.sink),
        ):
            above, below = sums - bounds.high, bounds.low - sums
            worst = int(np.argmax(np.maximum(above, below)))
            # An arc source -> row or column -> sink; the path leads round it, from its new head to its tail.
            node, inner_first = first + worst, outer == self.sink
            if above[worst] > 0:
                ends = (node, outer) if inner_first else (outer, node)
                return (*ends, int(above[worst]))
            if below[worst] > 0:
                ends = (outer, node) if inner_first else (node, outer)
                return (*ends, int(below[worst]))
        least, most = self.total
        if self.sum > most:
            return self.sink, self.source, self.sum - most
        if self.sum < least:
            return self.source, self.sink, least - self.sum
        return None

    def _reach(self, start: int, goal: int) -> Counts:
        """Search breadth first and return each node's parent."""
        parents = np.full(self.sink + 1, _UNREACHED, dtype=np.int64)
        parents[start] = start
        frontier = np.array([start], dtype=np.int64)
        while len(frontier) and parents[goal] == _UNREACHED:
            before = parents != _UNREACHED
            rows = frontier[frontier < self.n_rows]
            columns = frontier[(frontier >= self.n_rows) & (frontier < self.source)] - self.n_rows
            if len(rows):
                self._leave_rows(rows, parents)
            if len(columns):
                self._leave_columns(columns, parents)
            if self.source in frontier:
                self._leave_source(parents)
            if self.sink in frontier:
                self._leave_sink(parents)
            frontier = np.flatnonzero((parents != _UNREACHED) & ~before)
        return parents

    def _leave_rows(self, rows: Counts, parents: Counts) -> None:
        closed = parents[self.n_rows : self.source] != _UNREACHED
        is_open = self.table[rows] < self.high[rows]
        reached = np.flatnonzero(is_open.any(axis=0) & ~closed)
        parents[self.n_rows + reached] = rows[is_open[:, reached].argmax(axis=0)]
        spare = rows[self.row_sums[rows] > self.rows.low[rows]]
        if len(spare) and parents[self.source] == _UNREACHED:
            parents[self.source] = spare[0]

    def _leave_columns(self, columns: Counts, parents: Counts) -> None:
        closed = parents[: self.n_rows] != _UNREACHED
        is_open = self.table[:, columns] > self.low[:, columns]
        reached = np.flatnonzero(is_open.any(axis=1) & ~closed)
        parents[reached] = self.n_rows + columns[is_open[reached].argmax(axis=1)]
        spare = columns[self.column_sums[columns] < self.columns.high[columns]]
        if len(spare) and parents[self.sink] == _UNREACHED:
            parents[self.sink] = self.n_rows + spare[0]

    def _leave_source(self, parents: Counts) -> None:
        rows = np.flatnonzero((self.row_sums < self.rows.high) & (parents[: self.n_rows] == _UNREACHED))
        parents[rows] = self.source
        if self.sum > self.total[0] and parents[self.sink] == _UNREACHED:
            parents[self.sink] = self.source

    def _leave_sink(self, parents: Counts) -> None:
        closed = parents[self.n_rows : self.source] != _UNREACHED
        columns = np.flatnonzero((self.column_sums > self.columns.low) & ~closed)
        parents[self.n_rows + columns] = self.sink
        if self.sum < self.total[1] and parents[self.source] == _UNREACHED:
            parents[self.source] = self.sink

    @staticmethod
    def _trace(parents: Counts, head: int) -> list[tuple[int, int]]:
        path = []
        node = head
        while parents[node] != node:
            path.append((int(parents[node]), node))
            node = int(parents[node])
        return path[::-1]

    def _room(self, tail: int, head: int) -> int:
        """Return how much an arc of the residual graph can take."""
        if tail < self.n_rows and head < self.source:
            cell = tail, head - self.n_rows
            return int(self.high[cell] - self.table[cell])
        if head < self.n_rows and tail < self.source:
            cell = head, tail - self.n_rows
            return int(self.table[cell] - self.low[cell])
        if tail == self.source:
            if head == self.sink:
                return self.sum - self.total[0]
            return int(self.rows.high[head] - self.row_sums[head])
        if tail == self.sink:
            if head == self.source:
                return self.total[1] - self.sum
            return int(self.column_sums[head - self.n_rows] - self.columns.low[head - self.n_rows])
        if head == self.source:
            return int(self.row_sums[tail] - self.rows.low[tail])
        return int(self.columns.high[tail - self.n_rows] - self.column_sums[tail - self.n_rows])

    def _push(self, tail: int, head: int, step: int) -> None:
        if tail < self.n_rows and head < self.source:
            self.table[tail, head - self.n_rows] += step
        elif head < self.n_rows and tail < self.source:
            self.table[head, tail - self.n_rows] -= step
        elif {tail, head} == {self.source, self.sink}:
            self.sum += step if tail == self.sink else -step
        elif tail == self.source:
            self.row_sums[head] += step
        elif head == self.source:
            self.row_sums[tail] -= step
        elif head == self.sink:
            self.column_sums[tail - self.n_rows] += step
        else:
            self.column_sums[head - self.n_rows] -= step

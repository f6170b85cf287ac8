"""A search for whole numbers whose margins are within bounds, where no flow can say whether there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tasksel.synthesis.table_flow import Bounds

__all__ = ["search_table"]

MAX_STEPS: Final = 4_000
_TENURE: Final = 6
"""Steps for which a changed cell is left alone, and up to as many more; keeps the search from circling."""


def search_table(
    start: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    margins: Sequence[Bounds],
    total: int,
    *,
    max_steps: int = MAX_STEPS,
) -> NDArray[np.int64]:
    """Return the table with the least violation that a tabu search from `start` meets.

    Parameters
    ----------
    start, low, high : NDArray[np.int64]
        Where to begin and the bounds of each cell, which are never left.
    margins : sequence of Bounds
        Of the one-way margins, an axis each.
    total : int
        The sum of all.
    max_steps : int
        Cells that are changed at most.

    Returns
    -------
    NDArray[np.int64]
        A new table; every run gives the same.

    References
    ----------
    Minton, S. et al. (1992). Minimizing conflicts: a heuristic repair method for constraint satisfaction and
    scheduling problems. Artificial Intelligence 58, 161-205.
    """
    search = _Search(start, low, high, margins, total)
    best, least = search.cells.copy(), search.violation()
    for step in range(max_steps):
        if least == 0 or not search.change_one(step):
            break
        violation = search.violation()
        if violation < least:
            best, least = search.cells.copy(), violation
    return best.reshape(start.shape)


class _Search:
    """Flat cells, their margins, and what changing one of them would do; the total is one more margin."""

    def __init__(
        self,
        start: NDArray[np.int64],
        low: NDArray[np.int64],
        high: NDArray[np.int64],
        margins: Sequence[Bounds],
        total: int,
    ) -> None:
        self.cells, self.low, self.high = start.ravel().copy(), low.ravel(), high.ravel()
        places = np.indices(start.shape).reshape(start.ndim, -1)
        first = np.cumsum([0, *start.shape])
        # One vector of all sums: each level's margins, then the total.
        self.members = np.vstack([places + first[:-1, None], np.full(start.size, first[-1])])
        self.sum_low = np.concatenate([*(each.low for each in margins), [total]])
        self.sum_high = np.concatenate([*(each.high for each in margins), [total]])
        self.sums = np.zeros(len(self.sum_low), dtype=np.int64)
        for members in self.members:
            np.add.at(self.sums, members, self.cells)
        self.free_from = np.zeros(start.size, dtype=np.int64)
        self.chance = np.random.PCG64(0)

    def violation(self) -> int:
        return int(self._penalties(self.sums).sum())

    def change_one(self, step: int) -> bool:
        """Change the cell that helps a violated sum most; False where none can be changed."""
        violated = np.flatnonzero(self._penalties(self.sums))
        which = int(violated[self._draw(len(violated))])
        change = -1 if self.sums[which] > self.sum_high[which] else 1
        can_change = self.cells > self.low if change < 0 else self.cells < self.high
        candidates = np.flatnonzero((self.members == which).any(axis=0) & can_change)
        if not len(candidates):
            return len(violated) > 1
        free = candidates[self.free_from[candidates] <= step]
        candidates = free if len(free) else candidates
        gains = self._gains(candidates, change)
        ties = candidates[gains == gains.min()]
        cell = int(ties[self._draw(len(ties))])
        self.cells[cell] += change
        self.sums[self.members[:, cell]] += change
        self.free_from[cell] = step + _TENURE + self._draw(_TENURE)
        return True

    def _gains(self, candidates: NDArray[np.int64], change: int) -> NDArray[np.int64]:
        now, then = self._penalties(self.sums), self._penalties(self.sums + change)
        gains: NDArray[np.int64] = (then - now)[self.members[:, candidates]].sum(axis=0)
        return gains

    def _penalties(self, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        penalties: NDArray[np.int64] = np.maximum(self.sum_low - sums, 0) + np.maximum(
            sums - self.sum_high, 0
        )
        return penalties

    def _draw(self, n: int) -> int:
        return int(self.chance.random_raw() % n)

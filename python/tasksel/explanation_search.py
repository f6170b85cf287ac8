"""From which budget on an example is selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tasksel.selection_files import SelectionInputs, replay
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.explanation_inputs import ExplainedRows

__all__ = ["Entry", "find_entry"]

RANKING_ROUNDING: Final = "webster"
"""The rounding under which a larger budget takes no label from any task."""


class Entry(NamedTuple):
    """Where an example comes in.

    Parameters
    ----------
    budget : int
        The smallest budget that was found to select it.
    place : int
        Which of its task's labels it then is, from 1.
    is_ranking : bool
        Whether larger budgets keep it, and smaller ones never had it. Otherwise it is only known to be out
        for one label less.
    n_looked_at : int
        Selections that were made for the answer.
    """

    budget: int
    place: int
    is_ranking: bool
    n_looked_at: int


def find_entry(rows: ExplainedRows, row: int) -> Entry:
    """Find the smallest budget at which a row of the pool is selected, by making larger selections.

    Each is twice as large as the one before, so that all of them together cost about what the last one does.
    Where a larger selection does not begin with a smaller one, the search goes on between two budgets, one
    with the row and one without.

    Parameters
    ----------
    rows : ExplainedRows
        With the pool, and with what the selection was made from.
    row : int
        Row of the pool.

    Returns
    -------
    Entry

    Raises
    ------
    ConfigError
        An input that the selection used is not given.
    SchemaError
        The selection does not come out again.
    """
    search = _Search(rows, row)
    picked = search.made(len(rows.picked_rows))
    if not np.array_equal(picked, rows.picked_rows):
        raise SchemaError(
            f"{rows.saved.folder} does not come out again from its inputs and settings, so that no other "
            f"budget can be told; it was made by tasksel {rows.saved.manifest['versions']['tasksel']}."
        )
    n_rows = rows.frame.height
    smaller = picked[:0]
    while row not in picked:
        smaller = picked
        picked = search.made(min(2 * len(picked), n_rows))
    if search.is_ranking(picked):
        return search.entry(picked, int(np.flatnonzero(picked == row)[0]) + 1, is_ranking=True)
    without, within = len(smaller), len(picked)
    while within - without > 1:
        middle = (without + within) // 2
        found = search.made(middle)
        if row in found:
            within, picked = middle, found
        else:
            without = middle
    return search.entry(picked, within, is_ranking=False)


class _Search:
    def __init__(self, rows: ExplainedRows, row: int) -> None:
        self._rows, self._row = rows, row
        self._made: dict[int, NDArray[np.int64]] = {}
        inputs = rows.inputs
        vectors = inputs.embeddings if rows.embeddings is None else rows.embeddings
        self._inputs = SelectionInputs(rows.pool, inputs.scores, vectors)

    def made(self, budget: int) -> NDArray[np.int64]:
        if budget not in self._made:
            self._made[budget] = replay(self._rows.saved, self._inputs, budget=budget).rows
        return self._made[budget]

    def is_ranking(self, picked: NDArray[np.int64]) -> bool:
        """Tell whether all selections made begin with each other, and a smaller one does too."""
        if self._rows.saved.settings.get("rounding", RANKING_ROUNDING) != RANKING_ROUNDING:
            return False
        self.made(max(1, (len(picked) + len(self._rows.picked_rows)) // 3))
        return all(np.array_equal(picked[: len(each)], each[: len(picked)]) for each in self._made.values())

    def entry(self, picked: NDArray[np.int64], budget: int, *, is_ranking: bool) -> Entry:
        task = self._rows.task
        until = picked[: int(np.flatnonzero(picked == self._row)[0]) + 1]
        place = int((task[until] == task[self._row]).sum())
        return Entry(budget, place, is_ranking, len(self._made))

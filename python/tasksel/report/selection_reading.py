"""A selection with everything that its page shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasksel.explanation import Explanation, explain
from tasksel.explanation_inputs import ExplainedRows, read_inputs

if TYPE_CHECKING:
    import os

    import polars as pl
    from numpy.typing import NDArray

    from tasksel.pool import PoolSource
    from tasksel.selection_files import SavedSelection

__all__ = ["SelectionMaterial", "read_material"]


@dataclass(frozen=True, eq=False)
class SelectionMaterial:
    """A selection, its rows beside the pool, and its explanation.

    Parameters
    ----------
    rows : ExplainedRows
        What it was made from, as far as that is at hand.
    explanation : Explanation
        What it took of each task and what may be wrong with it.
    seed : int
        Of all that is drawn at random.
    """

    rows: ExplainedRows
    explanation: Explanation
    seed: int

    @property
    def saved(self) -> SavedSelection:
        """The selection itself."""
        return self.rows.saved

    @property
    def title(self) -> str:
        """Strategy and number of labels."""
        return f"{self.saved.settings['strategy']}, {self.saved.figures['selected']:,} labels"

    def selected_confidences(self) -> list[float | None] | None:
        """Return the confidence of each selected row in rank order; None where there are no scores."""
        if self.rows.scores is None:
            return None
        found = np.exp(self.rows.scores.log_confidence[self.rows.picked_rows])
        return [None if np.isnan(value) else float(value) for value in found]


def read_material(
    folder: str | os.PathLike[str],
    *,
    pool: PoolSource | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    embeddings: str | os.PathLike[str] | NDArray[Any] | None = None,
    seed: int = 0,
) -> SelectionMaterial:
    """Read a selection and explain it; parameters and errors as in `tasksel.explain`."""
    rows = read_inputs(folder, pool=pool, scores=scores, embeddings=embeddings)
    # What was read is passed on, so that a large pool and its vectors are read once.
    explanation = explain(
        rows.saved, pool=rows.pool, scores=rows.inputs.scores, embeddings=rows.embeddings, seed=seed
    )
    return SelectionMaterial(rows, explanation, seed)

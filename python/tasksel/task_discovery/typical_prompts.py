"""Prompts that stand for their task: the ones nearest to its center, no two alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.task_discovery.task_model import TypicalPrompt
from tasksel.task_discovery.unit_vectors import BLOCK_ROWS, mean_vectors, unit_rows

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

__all__ = ["own_similarity", "typical_prompts"]

N_TYPICAL: Final = 3
MAX_CHARS: Final = 400
"""Of a typical prompt that are kept."""
_LOOKED_AT: Final = 200


def own_similarity(
    vectors: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    n_tasks: int,
) -> npt.NDArray[np.float64]:
    """Return the cosine similarity of rows with the mean direction of their task.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Embeddings.
    rows : ndarray of int64
        Those with a direction and a task.
    labels : ndarray of int64, shape (len(rows),)
        Place of the task of each.
    n_tasks : int
        Labels are below it.
    """
    means = mean_vectors(vectors, rows, labels, n_tasks)
    found = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        block = unit_rows(vectors, rows[part]).astype(np.float64)
        found[part] = np.einsum("ij,ij->i", block, means[labels[part]].astype(np.float64))
    return found


def typical_prompts(
    texts: pl.Series,
    ids: pl.Series,
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    similarity: npt.NDArray[np.float64],
    n_tasks: int,
) -> list[tuple[TypicalPrompt, ...]]:
    """Choose up to three prompts of each task, the most similar to its center first.

    Parameters
    ----------
    texts, ids : pl.Series of String
        Of all prompts.
    rows, labels, similarity, n_tasks
        As for and of `own_similarity`.
    """
    # The last digits of a product may depend on the machine and must not decide.
    order = np.lexsort((rows, -np.round(similarity, 5), labels))
    starts = np.searchsorted(labels[order], np.arange(n_tasks + 1))
    chosen = []
    for place in range(n_tasks):
        best = rows[order[starts[place] : min(starts[place + 1], starts[place] + _LOOKED_AT)]]
        found: dict[str, str] = {}
        for each, text in zip(ids.gather(best), texts.gather(best).str.slice(0, MAX_CHARS), strict=True):
            if len(found) < N_TYPICAL:
                found.setdefault(text, each)
        chosen.append(tuple(TypicalPrompt(each, text) for text, each in found.items()))
    return chosen

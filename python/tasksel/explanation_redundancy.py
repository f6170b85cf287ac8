"""The signature of heavy tasks whose labels repeat each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tasksel.explanation_repeats import MOST_LABELS
from tasksel.explanation_signature import Signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasksel.explanation_inputs import ExplainedRows
    from tasksel.explanation_repeats import Repeats

__all__ = ["REPEATED_SHARE", "heavy_tasks", "redundancy_figures", "redundancy_signature"]

REPEATED_SHARE: Final = 0.2
"""Share of the labels in heavy tasks with a near-duplicate from which on the budget buys the same twice."""
_EVEN: Final = 1.0 - 1e-9


def heavy_tasks(rows: ExplainedRows) -> NDArray[np.bool_]:
    """Return which tasks have at least an even share of the weight; without weights, of the labels."""
    allocation = rows.allocation
    column = "picked" if allocation["weight"].null_count() else "weight"
    shares = allocation[column].cast(float).to_numpy()
    are_heavy: NDArray[np.bool_] = shares >= _EVEN * shares.sum() / len(shares)
    return are_heavy


def redundancy_figures(rows: ExplainedRows, repeats: Repeats) -> dict[str, Any]:
    """Return the shares of labels with a near-duplicate, for heavy tasks, all tasks, and at random."""
    is_repeated = repeats.is_repeated
    heavy = heavy_tasks(rows)[rows.task[rows.picked_rows[: len(is_repeated)]]]
    return {
        "near_duplicate_share": float(is_repeated.mean()) if len(is_repeated) else 0.0,
        "near_duplicate_share_heavy": float(is_repeated[heavy].mean()) if heavy.any() else 0.0,
        "near_duplicate_share_random": repeats.random_share,
    }


def redundancy_signature(rows: ExplainedRows, repeats: Repeats) -> Signature:
    """Tell whether the labels of heavy tasks repeat each other."""
    figures = redundancy_figures(rows, repeats)
    value = figures["near_duplicate_share_heavy"]
    n_heavy = int(heavy_tasks(rows).sum())
    tasks = "the task" if n_heavy == 1 else f"the {n_heavy:,} tasks"
    sentence = (
        f"{value:.0%} of the labels in {tasks} of at least an even share have a near-duplicate in the pick"
    )
    if repeats.random_share is not None:
        sentence += f"; of as many prompts drawn from the pool at random, {repeats.random_share:.0%} have one"
    sentence += "."
    if len(rows.picked_rows) > MOST_LABELS:
        sentence += f" The first {MOST_LABELS:,} labels were compared."
    advice = (
        "These labels buy the same twice: remove near-duplicates from the pool before selecting, or spread "
        "the labels inside tasks with --within k-center or facility-location and embeddings."
    )
    return Signature(
        "redundant-heavy-tasks", value, REPEATED_SHARE, value >= REPEATED_SHARE, sentence, advice
    )

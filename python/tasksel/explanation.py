"""Why a selection is as it is, and whether it fails in a known way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.explanation_allocation import caps_signature, effective_tasks_signature, moved_by_caps
from tasksel.explanation_confidence import length_signature, size_signature, task_means
from tasksel.explanation_covering import measure_covering
from tasksel.explanation_inputs import read_inputs
from tasksel.explanation_random import compare_with_random, random_signature
from tasksel.explanation_redundancy import redundancy_figures, redundancy_signature
from tasksel.explanation_repeats import find_repeats
from tasksel.explanation_signature import SIGNATURE_NAMES, Signature
from tasksel.explanation_tasks import task_table

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from tasksel.explanation_covering import Covering
    from tasksel.explanation_inputs import ExplainedRows
    from tasksel.explanation_repeats import Repeats
    from tasksel.pool import PoolSource
    from tasksel.selection import Selection
    from tasksel.selection_files import SavedSelection

__all__ = ["SIGNATURE_NAMES", "Explanation", "Signature", "explain"]

_CURVE_POINTS: Final = 400
"""Points of the covering curve in an account; the frame has all of them."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a selection took of each task, how well that stands for the pool, and what may be wrong with it.

    Parameters
    ----------
    headline : str
        What was selected, and which signatures are raised.
    tasks : DataFrame
        One row a task: the columns of `tasksel.Selection.allocation`; ``answer_tokens`` (mean length of the
        model's answers); ``confidence_q25``, ``confidence_median``, ``confidence_q75`` and the same of
        ``log_confidence`` (quartiles over the task's prompts); ``near_duplicates`` (share of the labels that
        have a near-duplicate among the others); ``redundancy`` (mean cosine similarity of a label to the
        nearest other label of the task) and ``pool_redundancy`` (the same for as many prompts of the task
        drawn at random); ``covering_radius`` (largest distance of a prompt of the task to the nearest label).
        Null where something cannot be measured.
    signatures : tuple of Signature
        All that there are, raised or not.
    covering : DataFrame or None
        ``labels`` (1 and up, beyond the budget too where the selection could be made anew) and ``radius``,
        the largest distance of a prompt of the pool to the nearest of so many labels in rank order.
    figures : dict
        Figures by name, JSON-compatible.
    notes : tuple of str
        What could not be measured, and what a person should know of how it was.
    """

    headline: str
    tasks: pl.DataFrame = field(repr=False)
    signatures: tuple[Signature, ...]
    covering: pl.DataFrame | None = field(repr=False)
    figures: dict[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def raised(self) -> tuple[Signature, ...]:
        """The signatures that the selection shows."""
        return tuple(each for each in self.signatures if each.is_raised)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account; the covering curve in at most 400 points, the last included."""
        curve = None
        if self.covering is not None:
            places = np.unique(np.geomspace(1, self.covering.height, _CURVE_POINTS).round().astype(int)) - 1
            curve = self.covering[places].to_dicts()
        return {
            "headline": self.headline,
            "signatures": [each.to_dict() for each in self.signatures],
            "figures": self.figures,
            "tasks": _finite(self.tasks).to_dicts(),
            "covering": curve,
            "notes": list(self.notes),
        }


def _finite(table: pl.DataFrame) -> pl.DataFrame:
    """Leave out what JSON does not know: the logarithm of a confidence of zero."""
    floats = pl.col(pl.Float64)
    return table.with_columns(pl.when(floats.is_finite()).then(floats))


def explain(
    selection: str | os.PathLike[str] | Selection | SavedSelection,
    *,
    pool: PoolSource | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    embeddings: str | os.PathLike[str] | NDArray[Any] | None = None,
    seed: int = 0,
) -> Explanation:
    """Explain a selection: task by task, and by the signatures of known failures.

    Parameters
    ----------
    selection : path, Selection or SavedSelection
        A folder that `tasksel select --out` wrote, or what `tasksel.select` returned.
    pool : path, DataFrame, LazyFrame or Pool, optional
        What the selection was made from; by default what stands beside it in its run folder. Without it only
        the selected prompts are measured.
    scores : path or DataFrame, optional
        Likewise. Scores that the selection did not use are welcome too.
    embeddings : column name, path or ndarray, optional
        Likewise.
    seed : int
        Of all that is drawn at random; the selection does not depend on it.

    Returns
    -------
    Explanation

    Raises
    ------
    ConfigError, ResumeError
        There is no selection, or its files were changed.
    SchemaError
        An input that was named is not the one that the selection was made from, or cannot be read.

    Examples
    --------
    >>> import polars as pl
    >>> import tasksel
    >>> tasks = ["sum"] * 90 + ["rhyme"] * 30 + ["date"] * 30
    >>> pool = pl.DataFrame({"task": tasks, "prompt": [f"{task} {row}" for row, task in enumerate(tasks)]})
    >>> print(tasksel.explain(tasksel.select(pool, budget=30), pool=pool).headline)
    Selected 30 of 150 prompts by task-diversity. No failure signature is raised; 2 of 6 were not measured.
    """
    rows = read_inputs(selection, pool=pool, scores=scores, embeddings=embeddings)
    repeats = find_repeats(rows, seed=seed)
    covering = measure_covering(rows, seed=seed)
    randomness = compare_with_random(rows, seed=seed)
    n_tasks = rows.allocation.height
    answer_tokens = None if rows.answer_tokens is None else task_means(rows.answer_tokens, rows.task, n_tasks)
    figures: dict[str, Any] = {
        **rows.saved.figures,
        **_allocation_figures(rows.saved),
        **redundancy_figures(rows, repeats),
        **_covering_figures(rows, covering),
        **randomness.to_dict(),
    }
    signatures = (
        caps_signature(rows.saved, figures),
        redundancy_signature(rows, repeats),
        length_signature(rows, answer_tokens, seed=seed),
        size_signature(rows, seed=seed),
        effective_tasks_signature(rows.saved),
        random_signature(rows, randomness),
    )
    return Explanation(
        headline=_headline(rows.saved, signatures),
        tasks=task_table(rows, repeats, covering, answer_tokens),
        signatures=signatures,
        covering=None if covering is None else covering.curve,
        figures=figures,
        notes=_notes(rows, repeats, covering),
    )


def _allocation_figures(saved: SavedSelection) -> dict[str, Any]:
    picked, capped = saved.allocation["picked"], saved.allocation["capped"]
    n_picked = int(picked.sum())
    return {
        "moved_by_caps": moved_by_caps(saved),
        "capped_pick_share": int(picked.filter(capped).sum()) / max(1, n_picked),
    }


def _covering_figures(rows: ExplainedRows, covering: Covering | None) -> dict[str, Any]:
    if covering is None:
        return {}
    radii = covering.curve["radius"]
    budget = len(rows.picked_rows)
    figures: dict[str, Any] = {"covering_radius": float(radii[budget - 1])}
    if len(radii) > budget:
        figures |= {"next_labels": len(radii) - budget, "covering_radius_next": float(radii[-1])}
    return figures


def _headline(saved: SavedSelection, signatures: tuple[Signature, ...]) -> str:
    figures, settings = saved.figures, saved.settings
    what = f"Selected {figures['selected']:,} of {figures['pool_rows']:,} prompts by {settings['strategy']}."
    raised = [each.name for each in signatures if each.is_raised]
    unmeasured = sum(each.value is None for each in signatures)
    found = "No failure signature is raised"
    if raised:
        are = "is" if len(raised) == 1 else "are"
        found = f"{len(raised)} of {len(signatures)} failure signatures {are} raised: {', '.join(raised)}"
    if unmeasured:
        were = "was" if unmeasured == 1 else "were"
        found += f"; {unmeasured} of {len(signatures)} {were} not measured"
    return f"{what} {found}."


def _notes(rows: ExplainedRows, repeats: Repeats, covering: Covering | None) -> tuple[str, ...]:
    notes = []
    if rows.pool is None:
        notes.append(f"Only the selected prompts were measured: {_lowered(rows.missing['pool'])}.")
    notes += [_MISSING[name].format(_lowered(why)) for name, why in rows.missing.items() if name in _MISSING]
    if repeats.blurred.any():
        names = rows.allocation["task"].filter(pl.Series(repeats.blurred)).to_list()
        notes.append(
            f"The vectors of {len(names):,} of {rows.allocation.height:,} tasks, {names[0]!r} among them, "
            "hardly tell their prompts apart; most often the model cut the prompts off before they differ. "
            "Redundancy and covering radii say nothing of these tasks."
        )
    if covering is not None and covering.note is not None:
        notes.append(covering.note)
    return tuple(notes)


_MISSING: Final = {
    "scores": "Confidences of single prompts were not measured: {}.",
    "answers": "Answer lengths were not measured: {}.",
    "embeddings": "Redundancy of vectors and covering radii were not measured: {}.",
}


def _lowered(sentence: str) -> str:
    """Return a sentence as the second half of another one."""
    whole = sentence.rstrip(".")
    return whole[:1].lower() + whole[1:] if whole[1:2].islower() else whole

"""What a selection can be measured with: its pool, scores and vectors, and what is said of those missing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

import tasksel_core
from tasksel.allocation import number_tasks
from tasksel.embedding import embeddings_sha256, read_embeddings
from tasksel.scores import READY_MADE, Scores, read_scores
from tasksel.scores_places import IdPlaces
from tasksel.selection import Selection
from tasksel.selection_files import SavedSelection, SelectionInputs, find_inputs, open_pool, read_selection
from tasksel.selection_inputs import find_answer_tokens, read_carried_scores
from tasksel.strategies import find_picker, find_strategy
from tasksel_core.errors import ConfigError, SchemaError, TaskselError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.pool import Pool, PoolSource
    from tasksel.strategies import Need, Picker, Strategy

__all__ = ["ExplainedRows", "as_saved", "read_inputs"]

_IN_MEMORY: Final = "the selection"
"""What stands for the folder of a selection that was never written."""
_BLOCK_ROWS: Final = 65_536


@dataclass(frozen=True, eq=False)
class ExplainedRows:
    """The rows that a selection is measured on, and what is known of each.

    Parameters
    ----------
    saved : SavedSelection
        What is explained.
    inputs : SelectionInputs
        What it can be made anew from.
    pool : Pool or None
        The pool; None where it is not at hand, and the rows are then the selected ones alone.
    frame : DataFrame
        ``id``, ``prompt`` and the other columns of the rows.
    picked_rows : ndarray of int64, shape (n_selected,)
        Which rows are selected, best first.
    task : ndarray of int64, shape (n_rows,)
        Row of the allocation that each row belongs to.
    scores : Scores or None
        Confidence of each row.
    answer_tokens : ndarray of float64, shape (n_rows,), or None
        Tokens of the model's answer; NaN where there is none.
    embeddings : ndarray of float32, shape (n_rows, n_dimensions), or None
        Vector of each row.
    missing : dict of str to str
        Why ``pool``, ``scores``, ``answers`` or ``embeddings`` is not there, and what to give.
    """

    saved: SavedSelection
    inputs: SelectionInputs
    pool: Pool | None
    frame: pl.DataFrame = field(repr=False)
    picked_rows: NDArray[np.int64] = field(repr=False)
    task: NDArray[np.int64] = field(repr=False)
    scores: Scores | None = field(default=None, repr=False)
    answer_tokens: NDArray[np.float64] | None = field(default=None, repr=False)
    embeddings: NDArray[np.float32] | None = field(default=None, repr=False)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def allocation(self) -> pl.DataFrame:
        """One row a task."""
        return self.saved.allocation

    @property
    def picked_task(self) -> NDArray[np.int64]:
        """Task of each selected row."""
        return self.task[self.picked_rows]

    def uses(self, need: Need) -> bool:
        """Tell whether the strategy or the picker decides by tasks, confidence or embeddings."""
        settings, manifest = self.saved.settings, self.saved.manifest
        try:
            takers: list[Strategy | Picker] = [find_strategy(settings["strategy"])]
            if "within" in settings:
                takers.append(find_picker(settings["within"]))
        except TaskselError:  # of a package that is not installed here
            inputs = {"confidence": "scores", "embeddings": "embeddings"}
            return need not in inputs or manifest[inputs[need]] is not None
        return any(need in taker.needs for taker in takers)

    def task_log_confidence(self) -> NDArray[np.float64]:
        """Return the log-confidence of each task: the selection's own, else that of the scores at hand."""
        known = self.allocation["log_confidence"]
        if known.null_count() < len(known) or self.scores is None:
            return known.cast(pl.Float64).fill_null(np.nan).to_numpy()
        return tasksel_core.task_log_confidence(
            self.scores.log_confidence,
            self.task,
            self.allocation.height,
            mean=self.saved.settings.get("task_mean", "arithmetic"),
        )


def as_saved(selection: str | os.PathLike[str] | Selection | SavedSelection) -> tuple[SavedSelection, bool]:
    """Return a selection of any making, and whether there is a folder beside which its inputs may stand.

    Raises
    ------
    ConfigError, ResumeError
        As `tasksel.selection_files.read_selection` does.
    """
    if isinstance(selection, SavedSelection):
        return selection, selection.folder != Path(_IN_MEMORY)
    if isinstance(selection, Selection):
        saved = SavedSelection(
            Path(_IN_MEMORY), selection.frame, selection.allocation, {**selection.manifest}
        )
        return saved, False
    if not isinstance(selection, (str, os.PathLike)):
        raise ConfigError(
            f"A selection cannot be read from {type(selection).__name__}; allowed are a folder that "
            "`tasksel select --out` wrote, and what tasksel.select returned."
        )
    return read_selection(selection), True


def read_inputs(
    selection: str | os.PathLike[str] | Selection | SavedSelection,
    *,
    pool: PoolSource | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    embeddings: str | os.PathLike[str] | NDArray[Any] | None = None,
) -> ExplainedRows:
    """Read a selection with what it can be measured with.

    What the caller names must fit; what only stands beside the selection is left out with a reason where it
    does not.

    Parameters
    ----------
    selection : path, Selection or SavedSelection
        What is explained.
    pool, scores, embeddings
        As in `tasksel.select`; by default what `tasksel.selection_files.find_inputs` finds.

    Returns
    -------
    ExplainedRows

    Raises
    ------
    ConfigError, ResumeError
        There is no selection, or it was changed.
    SchemaError
        An input that was named is not the one that the selection was made from, or cannot be read.
    """
    saved, has_folder = as_saved(selection)
    given = {"pool": pool, "scores": scores, "embeddings": embeddings}
    inputs = SelectionInputs(pool, scores, embeddings)
    if has_folder:
        inputs = find_inputs(saved.folder, pool=pool, scores=scores, embeddings=embeddings)
    missing: dict[str, str] = {}
    read_pool = _attempt(lambda: _read_pool(saved, inputs), "pool", given, missing)
    frame, picked_rows = _rows(saved, read_pool)
    task = _numbered(saved, frame)
    read = _attempt(lambda: _read_scores(saved, inputs, frame, read_pool), "scores", given, missing)
    answer_tokens = None
    if read is not None:
        answer_tokens = _attempt(
            lambda: find_answer_tokens(frame, inputs.scores),
            "answers",
            given,
            missing,
        )
    vectors = _attempt(lambda: _read_vectors(saved, inputs, frame, read_pool), "embeddings", given, missing)
    return ExplainedRows(
        saved=saved,
        inputs=inputs,
        pool=read_pool,
        frame=frame,
        picked_rows=picked_rows,
        task=task,
        scores=read,
        answer_tokens=answer_tokens,
        embeddings=vectors,
        missing=missing,
    )


def _attempt(read: Any, name: str, given: dict[str, Any], missing: dict[str, str]) -> Any:
    """Read an input; where it was not named by the caller, what fails is a reason and no error."""
    try:
        found = read()
    except (TaskselError, OSError) as error:
        if given.get(name) is not None:
            raise
        missing[name] = str(error)
        return None
    if found is None:
        missing[name] = _WANTED[name]
    return found


_WANTED: Final = {
    "pool": "the pool is not at hand; name it with --pool (pool=)",
    "scores": "there are no scores; name them with --scores (scores=)",
    "answers": "the scores hold no tokens of the answers",
    "embeddings": "there are no embeddings; name them with --embeddings (embeddings=)",
}


def _read_pool(saved: SavedSelection, inputs: SelectionInputs) -> Pool | None:
    return None if inputs.pool is None else open_pool(saved, inputs.pool)


def _rows(saved: SavedSelection, pool: Pool | None) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    if pool is None:
        return saved.frame, np.arange(saved.frame.height, dtype=np.int64)
    return pool.frame, IdPlaces(pool.frame["id"]).rows_of(saved.frame["id"])


def _numbered(saved: SavedSelection, frame: pl.DataFrame) -> NDArray[np.int64]:
    """Return the row of the allocation that each row's task has."""
    names, task = number_tasks(frame, "task", required=False, strategy="")
    place = {name: row for row, name in enumerate(saved.allocation["task"].to_list())}
    return np.array([place[name] for name in names], dtype=np.int64)[task]


def _read_scores(
    saved: SavedSelection, inputs: SelectionInputs, frame: pl.DataFrame, pool: Pool | None
) -> Scores | None:
    used = saved.manifest["scores"]
    metric = saved.settings.get("metric") or "product"
    metric = "product" if metric == READY_MADE else metric
    if inputs.scores is not None:
        scores = read_scores(inputs.scores, frame["id"], metric=metric)
        if used is not None and pool is not None and scores.sha256 != used["sha256"]:
            raise SchemaError(
                f"The scores {scores.name} are not those that {saved.folder} was made with ({used['name']}, "
                f"sha256 {used['sha256'][:12]})."
            )
        return scores
    return read_carried_scores(frame, metric)


def _read_vectors(
    saved: SavedSelection, inputs: SelectionInputs, frame: pl.DataFrame, pool: Pool | None
) -> NDArray[np.float32] | None:
    if inputs.embeddings is None:
        return None
    vectors = read_embeddings(inputs.embeddings, frame)
    _check_finite(vectors)
    used = saved.manifest["embeddings"]
    if used is not None and pool is not None and embeddings_sha256(vectors) != used["sha256"]:
        raise SchemaError(
            f"The embeddings are not those that {saved.folder} was made with (sha256 {used['sha256'][:12]})."
        )
    return vectors


def _check_finite(vectors: NDArray[np.float32]) -> None:
    for start in range(0, len(vectors), _BLOCK_ROWS):
        is_finite = np.isfinite(vectors[start : start + _BLOCK_ROWS]).all(axis=1)
        if not is_finite.all():
            row = start + int(np.argmin(is_finite))
            raise SchemaError(f"The embeddings hold NaN or infinity in row {row}; allowed: finite numbers.")

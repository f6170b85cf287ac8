"""Why one prompt is in a selection or not, and from which budget on it would be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import tasksel_core
from tasksel.explanation_inputs import read_inputs
from tasksel.explanation_search import find_entry
from tasksel.suggestions import did_you_mean
from tasksel_core.errors import ConfigError, TaskselError

if TYPE_CHECKING:
    import os

    import polars as pl
    from numpy.typing import NDArray

    from tasksel.explanation_inputs import ExplainedRows
    from tasksel.explanation_search import Entry
    from tasksel.pool import PoolSource
    from tasksel.selection import Selection
    from tasksel.selection_files import SavedSelection

__all__ = ["ExampleExplanation", "explain_example"]

_MOST_IDS: Final = 20_000
"""Ids that are looked through for one like an id that there is not."""


@dataclass(frozen=True)
class ExampleExplanation:
    """Why a prompt is in a selection or not.

    Parameters
    ----------
    id, task, prompt : str
        The example; `task` is None in a pool without tasks.
    is_in : bool
        Whether it is selected.
    budget : int
        Labels of the selection.
    rank : int or None
        Its rank, if it is in.
    enters_at : int or None
        The smallest budget found to select it; None where the selection could not be made anew.
    is_ranking : bool or None
        Whether larger budgets keep it and smaller ones never have it; None where that is not known.
    place : int or None
        Which prompt of its task it is in the order in which they are taken, from 1.
    quota, available : int
        Prompts of its task that are selected, and that there are.
    confidence : float or None
        The model's confidence in its answer.
    confidence_place : int or None
        Its place among the prompts of its task, 1 where the model is least sure; equal ones share a place.
    answer_tokens : int or None
        Length of the model's answer.
    nearest_id : str or None
        The label next to it among the vectors, itself apart.
    nearest_distance : float or None
        Euclidean distance to that label.
    sentences : tuple of str
        The reasons in words.
    """

    id: str
    task: str | None
    prompt: str
    is_in: bool
    budget: int
    rank: int | None
    enters_at: int | None
    is_ranking: bool | None
    place: int | None
    quota: int
    available: int
    confidence: float | None
    confidence_place: int | None
    answer_tokens: int | None
    nearest_id: str | None
    nearest_distance: float | None
    sentences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as a dictionary that `json.dumps` takes."""
        return asdict(self) | {"sentences": list(self.sentences)}


def explain_example(
    selection: str | os.PathLike[str] | Selection | SavedSelection,
    example_id: str,
    *,
    pool: PoolSource | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    embeddings: str | os.PathLike[str] | NDArray[Any] | None = None,
) -> ExampleExplanation:
    """Tell why a prompt is in a selection or not, and from which budget on it would be.

    Parameters
    ----------
    selection : path, Selection or SavedSelection
        As in `tasksel.explain`.
    example_id : str
        Its id in the pool.
    pool, scores, embeddings
        As in `tasksel.explain`. The budget at which a prompt comes in needs all that the selection was made
        from.

    Returns
    -------
    ExampleExplanation

    Raises
    ------
    ConfigError
        There is no such id, or no selection.
    SchemaError
        An input is not the one that the selection was made from.

    Examples
    --------
    >>> import polars as pl
    >>> import tasksel
    >>> pool = pl.DataFrame({"id": ["a", "b", "c"], "task": ["x", "x", "y"], "prompt": ["1", "2", "3"]})
    >>> chosen = tasksel.select(pool, budget=2)
    >>> found = explain_example(chosen, "b", pool=pool)
    >>> found.is_in, found.enters_at, found.place
    (False, 3, 2)
    """
    rows = read_inputs(selection, pool=pool, scores=scores, embeddings=embeddings)
    row = _find_row(rows, str(example_id))
    entry, unknown = None, []
    try:
        entry = _entry(rows, row)
    except TaskselError as error:
        unknown = [f"From which budget on it is selected cannot be told: {error}"]
    found = _facts(rows, row, entry)
    return replace(found, sentences=(*_sentences(found, rows, entry), *unknown))


def _facts(rows: ExplainedRows, row: int, entry: Entry | None) -> ExampleExplanation:
    """Return what is known of a row, in figures."""
    allocation = rows.allocation.row(int(rows.task[row]), named=True)
    rank = _rank(rows, row)
    place = None if entry is None else entry.place
    confidence, confidence_place = _confidence(rows, row)
    nearest_id, distance = _nearest(rows, row)
    tokens = None if rows.answer_tokens is None else rows.answer_tokens[row]
    return ExampleExplanation(
        id=rows.frame["id"][row],
        task=allocation["task"] if "task" in rows.frame.columns else None,
        prompt=rows.frame["prompt"][row],
        is_in=rank is not None,
        budget=len(rows.picked_rows),
        rank=rank,
        enters_at=None if entry is None else entry.budget,
        is_ranking=None if entry is None else entry.is_ranking,
        place=place if rank is None else _place(rows, row, rank),
        quota=allocation["quota"],
        available=allocation["available"],
        confidence=confidence,
        confidence_place=confidence_place,
        answer_tokens=None if tokens is None or np.isnan(tokens) else int(tokens),
        nearest_id=nearest_id,
        nearest_distance=distance,
        sentences=(),
    )


def _find_row(rows: ExplainedRows, example_id: str) -> int:
    found = (rows.frame["id"] == example_id).arg_max() if rows.frame.height else None
    if found is not None and rows.frame["id"][found] == example_id:
        return int(found)
    where = "selection" if rows.pool is None else "pool"
    ids = rows.frame["id"]
    alike = ids.filter(ids.str.starts_with(example_id[:4]))
    meant = did_you_mean(example_id, (alike if len(alike) else ids).head(_MOST_IDS))
    pool = (
        f" Whether the pool has it is not known: {rows.missing['pool'].rstrip('.')}."
        if rows.pool is None
        else ""
    )
    raise ConfigError(f"There is no id {example_id!r} in the {where}.{meant}{pool}")


def _rank(rows: ExplainedRows, row: int) -> int | None:
    places = np.flatnonzero(rows.picked_rows == row)
    return int(places[0]) + 1 if len(places) else None


def _place(rows: ExplainedRows, row: int, rank: int) -> int:
    return int((rows.picked_task[:rank] == rows.task[row]).sum())


def _entry(rows: ExplainedRows, row: int) -> Entry:
    if rows.pool is None:
        raise ConfigError(f"{rows.missing['pool'].rstrip('.')}.")
    return find_entry(rows, row)


def _confidence(rows: ExplainedRows, row: int) -> tuple[float | None, int | None]:
    """Return a row's confidence and its place in the task; no place where only the labels are known."""
    if rows.scores is None or np.isnan(rows.scores.log_confidence[row]):
        return None, None
    log_confidence = rows.scores.log_confidence
    confidence = float(np.exp(log_confidence[row]))
    if rows.pool is None:
        return confidence, None
    members = rows.task == rows.task[row]
    return confidence, int((log_confidence[members] < log_confidence[row]).sum()) + 1


def _nearest(rows: ExplainedRows, row: int) -> tuple[str | None, float | None]:
    others = rows.picked_rows[rows.picked_rows != row]
    if rows.embeddings is None or not len(others):
        return None, None
    point = np.asarray(rows.embeddings[row : row + 1])
    found, distances = tasksel_core.nearest_neighbours(point, np.asarray(rows.embeddings[others]), 1)
    return rows.frame["id"][int(others[found[0, 0]])], float(distances[0, 0])


def _sentences(found: ExampleExplanation, rows: ExplainedRows, entry: Entry | None) -> list[str]:
    settings = rows.saved.settings
    sentences = [_verdict(found), *_why_there(found, settings)]
    if entry is not None and not found.is_in:
        sentences.append(f"It comes in at a budget of {entry.budget:,}.")
    if entry is not None and not entry.is_ranking:
        sentences.append(
            "Under these settings a larger selection does not begin with a smaller one. Of "
            f"{entry.n_looked_at:,} budgets looked at, {entry.budget:,} is the smallest with it, and one "
            "label less leaves it out; budgets between may differ."
        )
    if found.confidence is not None:
        place = ""
        if found.confidence_place is not None:
            place = f": number {found.confidence_place:,} of its task from the least sure on"
        sentences.append(f"The model's confidence in its answer is {found.confidence:.3g}{place}.")
    if found.nearest_id is not None:
        other = "other " if found.is_in else ""
        place = f"{found.nearest_id!r}, at a distance of {found.nearest_distance:.3g}"
        sentences.append(f"The nearest {other}label is {place}.")
    return sentences


def _verdict(found: ExampleExplanation) -> str:
    if found.is_in:
        return f"In: it is label {found.rank:,} of {found.budget:,}."
    return f"Out: it is none of the {found.budget:,} labels."


def _why_there(found: ExampleExplanation, settings: dict[str, Any]) -> list[str]:
    """Say how its task and its place in the task decide; nothing for strategies over the whole pool."""
    if "within" not in settings:
        return [f"{settings['strategy']} orders the whole pool and gives tasks no quota."]
    order = "at random" if settings["within"] == "random" else f"by {settings['within']}"
    task = "The pool" if found.task is None else f"Its task {found.task!r}"
    sentences = [f"{task} gives {found.quota:,} of {found.available:,} prompts, ordered {order}."]
    if found.place is not None:
        verb = "is" if found.is_in else "would be"
        sentences.append(f"It {verb} number {found.place:,} in that order.")
    return sentences

"""The table of tasks: sizes, how close their prompts are, and prompts that stand for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tasksel.task_discovery.task_model import OTHER
from tasksel.task_discovery.typical_prompts import own_similarity, typical_prompts
from tasksel.task_discovery.unit_vectors import usable_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from tasksel.task_discovery.task_model import TaskModel, TypicalPrompt

__all__ = ["TASKS_SCHEMA", "TaskEvidence", "gather_evidence", "task_table"]

TASKS_SCHEMA = pl.Schema(
    {
        "task": pl.String(),
        "kind": pl.String(),
        "prompts": pl.Int64(),
        "share": pl.Float64(),
        "similarity": pl.Float64(),
        "template": pl.String(),
        "terms": pl.List(pl.String),
        "example_ids": pl.List(pl.String),
        "examples": pl.List(pl.String),
        "description": pl.String(),
    }
)


@dataclass(frozen=True)
class TaskEvidence:
    """What a table says of each task, "other" last.

    Attributes
    ----------
    sizes : ndarray of int64, shape (n_tasks + 1,)
        Prompts.
    similarity : ndarray of float64, shape (n_tasks + 1,)
        Mean cosine similarity with the task's center; NaN where there is none.
    typical : list of tuple of TypicalPrompt, length n_tasks + 1
        Up to three prompts.
    """

    sizes: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]
    typical: list[tuple[TypicalPrompt, ...]]


def gather_evidence(
    texts: pl.Series,
    ids: pl.Series,
    vectors: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    n_tasks: int,
) -> TaskEvidence:
    """Look at the prompts of each task.

    Parameters
    ----------
    texts, ids : pl.Series of String
        Of all prompts.
    vectors : ndarray of float32, shape (n_rows, d)
        Their embeddings.
    labels : ndarray of int64, shape (n_rows,)
        Place of the task of each, -1 for "other".
    n_tasks : int
        Tasks, without "other".
    """
    places = np.where(labels < 0, n_tasks, labels)
    rows = np.flatnonzero(usable_rows(vectors))
    own = own_similarity(vectors, rows, places[rows], n_tasks + 1)
    counts = np.bincount(places[rows], minlength=n_tasks + 1)
    sums = np.bincount(places[rows], weights=own, minlength=n_tasks + 1)
    means = np.divide(sums, counts, out=np.full(n_tasks + 1, np.nan), where=counts > 0)
    # A mean says nothing of what has nothing in common.
    means[n_tasks] = np.nan
    typical = typical_prompts(texts, ids, rows, places[rows], own, n_tasks + 1)
    return TaskEvidence(np.bincount(places, minlength=n_tasks + 1), means, typical)


def task_table(model: TaskModel, evidence: TaskEvidence) -> pl.DataFrame:
    """Return one row a task, the largest first and "other" last, as `TaskDiscovery.tasks` documents."""
    templates: dict[int, str] = {}
    for template, place in zip(model.templates, model.template_tasks.tolist(), strict=True):
        templates.setdefault(place, str(template))
    n_rows = max(int(evidence.sizes.sum()), 1)
    lines = []
    for place, size in enumerate(evidence.sizes.tolist()):
        typical = evidence.typical[place]
        is_other = place == len(model.tasks)
        if is_other and not size:
            continue
        task = None if is_other else model.tasks[place]
        lines.append(
            {
                "task": OTHER if task is None else task.name,
                "kind": OTHER if task is None else task.kind,
                "prompts": size,
                "share": size / n_rows,
                "similarity": evidence.similarity[place],
                "template": templates.get(place),
                "terms": [] if task is None else list(task.terms),
                "example_ids": [each.id for each in typical],
                "examples": [each.prompt for each in typical],
                "description": "" if task is None else task.description,
            }
        )
    table = pl.DataFrame(lines, schema=TASKS_SCHEMA).with_columns(pl.col("similarity").fill_nan(None))
    return table.sort(pl.col("kind") == OTHER, -pl.col("prompts"), maintain_order=True)

"""From labels to a finished discovery: table, granularity, manifest, files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.embedding import embeddings_sha256
from tasksel.findings import effective_number
from tasksel.pool import load_pool
from tasksel.run_folder import FORMAT_VERSION
from tasksel.scores import read_scores
from tasksel.task_discovery.granularity import granularity_report
from tasksel.task_discovery.pool_output import with_tasks
from tasksel.task_discovery.result import TaskDiscovery
from tasksel.task_discovery.task_model import OTHER
from tasksel.task_discovery.task_model_files import save_task_model
from tasksel.task_discovery.task_table import task_table
from tasksel_core import __version__
from tasksel_core.errors import BudgetError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy.typing as npt

    from tasksel.pool import Pool, PoolSource
    from tasksel.task_discovery.cluster_number import NumberChoice
    from tasksel.task_discovery.places import Places
    from tasksel.task_discovery.prompt_vectors import PromptVectors
    from tasksel.task_discovery.task_model import TaskModel
    from tasksel.task_discovery.task_table import TaskEvidence

__all__ = ["AskedPool", "LabelledPool", "finish", "pool_account", "read_asked"]

BUDGET_SHARE: Final = 0.1
"""Of the pool: the budget that the granularity report allocates by default."""
MANY_OTHER: Final = 0.05


@dataclass(frozen=True)
class AskedPool:
    """A pool, and what its granularity is reported with.

    Attributes
    ----------
    pool : Pool
        The prompts.
    budget : int
        Labels.
    log_confidence : ndarray of float64, shape (n_rows,), or None
        The model's confidence in its answers.
    scores : dict or None
        Where that is from.
    """

    pool: Pool
    budget: int
    log_confidence: npt.NDArray[np.float64] | None
    scores: dict[str, Any] | None


@dataclass(frozen=True)
class LabelledPool:
    """Tasks with names, the one of each prompt, and what the manifest says of them.

    Attributes
    ----------
    model : TaskModel
        The tasks.
    labels : ndarray of int64, shape (n_rows,)
        Place of the task of each prompt, -1 for "other".
    evidence : TaskEvidence
        Of the tasks.
    vectors : PromptVectors
        Of the prompts.
    settings, tagging : mapping
        For the manifest.
    notes : list of str
        What a person should know.
    """

    model: TaskModel
    labels: npt.NDArray[np.int64]
    evidence: TaskEvidence
    vectors: PromptVectors
    settings: Mapping[str, Any]
    tagging: Mapping[str, Any] | None
    notes: list[str]


def read_asked(
    pool: PoolSource,
    budget: int | None,
    scores: str | os.PathLike[str] | pl.DataFrame | None,
    metric: str,
    task_column: str | None,
    id_column: str | None,
) -> AskedPool:
    """Read the pool, and scores where there are some.

    Raises
    ------
    BudgetError
        The budget is no positive whole number.
    SchemaError
        The pool or the scores cannot be read, or do not fit together.
    """
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
        raise BudgetError(f"budget is {budget!r}; allowed: a whole number of prompts, at least 1.")
    loaded = load_pool(pool, task_column=task_column, id_column=id_column)
    spent = budget or max(1, round(BUDGET_SHARE * loaded.frame.height))
    if scores is None:
        return AskedPool(loaded, spent, None, None)
    read = read_scores(scores, loaded.frame["id"], metric=metric)
    return AskedPool(
        loaded, spent, read.log_confidence, {"name": read.name, "sha256": read.sha256, "metric": read.metric}
    )


def finish(
    asked: AskedPool,
    found: LabelledPool,
    reason: str,
    choice: NumberChoice | None,
    places: Places,
    seed: int,
) -> TaskDiscovery:
    """Make the tables and the manifest, and write what is to be written.

    Parameters
    ----------
    asked, found
        The pool and its tasks.
    reason : str
        Why so many tasks.
    choice : NumberChoice, optional
        What the number of clusters was chosen from.
    places : Places
        Where files go.
    seed : int
        Of the splits of the granularity report.
    """
    pool, model = asked.pool, found.model
    granularity = granularity_report(
        found.vectors.vectors,
        found.labels,
        budget=asked.budget,
        log_confidence=asked.log_confidence,
        seed=seed,
    )
    names = np.array([*model.names, OTHER], dtype=object)
    frame = with_tasks(pool.frame, names[found.labels].tolist())
    table = task_table(model, found.evidence)
    notes = tuple(dict.fromkeys([*_pool_notes(pool), *found.notes, *_other_notes(found)]))
    curve = None if choice is None else choice.curve
    manifest = {
        "format_version": FORMAT_VERSION,
        "stage": "tasks",
        "pool": {**pool_account(pool), "shape": pool.shape},
        "embeddings": {
            "name": found.vectors.source,
            "dimensions": found.vectors.vectors.shape[1],
            "sha256": embeddings_sha256(found.vectors.vectors),
            "model": found.vectors.model,
        },
        "scores": asked.scores,
        "settings": {**found.settings, "budget": asked.budget},
        "figures": _figures(found),
        "reason": reason,
        "tasks": table.to_dicts(),
        "curve": None if curve is None else curve.to_dicts(),
        "granularity": granularity.to_dicts(),
        "tagging": found.tagging,
        "notes": list(notes),
        "versions": {"tasksel": __version__, "numpy": np.__version__, "polars": pl.__version__},
    }
    discovery = TaskDiscovery(frame, table, curve, reason, granularity, model, manifest, notes)
    if places.out is not None:
        discovery.save(places.out, model_out=places.model_folder)
    elif places.writes_model:
        save_task_model(model, places.model_folder)
    return discovery


def _figures(found: LabelledPool) -> dict[str, Any]:
    sizes = found.evidence.sizes
    templated = {*found.model.template_tasks.tolist()}
    return {
        "prompts": int(sizes.sum()),
        "tasks": len(found.model.tasks),
        "template_tasks": len(templated),
        "template_prompts": int(sum(sizes[place] for place in templated)),
        "other_prompts": int(sizes[-1]),
        "effective_tasks": effective_number(sizes[:-1]),
    }


def pool_account(pool: Pool) -> dict[str, Any]:
    """Return name, hash and size of a pool."""
    return {"name": pool.name, "sha256": pool.sha256, "rows": pool.frame.height}


def _pool_notes(pool: Pool) -> list[str]:
    kept = ["The tasks that the pool had are kept as task_before."] if "task" in pool.frame.columns else []
    return [*pool.notes, *kept]


def _other_notes(found: LabelledPool) -> list[str]:
    n_other, n_rows = int(found.evidence.sizes[-1]), int(found.evidence.sizes.sum())
    if n_other < MANY_OTHER * n_rows:
        return []
    return [
        (
            f"{n_other:,} of {n_rows:,} prompts are {OTHER!r}: empty, or far from every task. More tasks, "
            "or a smaller --min-size, may give them one."
        )
    ]

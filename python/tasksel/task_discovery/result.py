"""What a task discovery gives: the pool with tasks, a table of them, a model, and why so many."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasksel.task_discovery.pool_output import check_output, write_pool
from tasksel.task_discovery.task_model_files import save_task_model

if TYPE_CHECKING:
    import os

    import polars as pl

    from tasksel.task_discovery.task_model import TaskModel

__all__ = ["TaskDiscovery", "default_model_folder"]


@dataclass(frozen=True, eq=False)
class TaskDiscovery:
    """Tasks of a pool.

    Attributes
    ----------
    frame : pl.DataFrame
        The pool with the column `task`; tasks that it had before are in `task_before`.
    tasks : pl.DataFrame
        One row a task, the largest first and ``other`` last: `task`, `kind` (``template``, ``cluster``,
        ``merged`` or ``other``), `prompts`, `share`, `similarity` (mean cosine similarity with the task's
        center), `template` (null where there is none), `terms` (the most telling n-grams), `example_ids` and
        `examples` (up to three typical prompts), `description` (empty unless a model wrote one).
    curve : pl.DataFrame or None
        What the number of clusters was chosen from, as of `NumberChoice.curve`.
    reason : str
        Why so many tasks, as a sentence or two.
    granularity : pl.DataFrame
        The allocation with fewer and with more tasks, as of `granularity_report`.
    model : TaskModel
        Gives new prompts the same tasks.
    manifest : dict
        Inputs' hashes, settings, figures and all tables; JSON-compatible, no times, no absolute paths.
    notes : tuple of str
        What a person should know.
    """

    frame: pl.DataFrame = field(repr=False)
    tasks: pl.DataFrame
    curve: pl.DataFrame | None = field(repr=False)
    reason: str
    granularity: pl.DataFrame = field(repr=False)
    model: TaskModel = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def n_tasks(self) -> int:
        """Number of tasks, without ``other``."""
        return len(self.model.tasks)

    def save(self, out: str | os.PathLike[str], *, model_out: str | os.PathLike[str] | None = None) -> Path:
        """Write the pool, its manifest beside it, and the task model.

        Parameters
        ----------
        out : path
            A ``.parquet`` or ``.jsonl`` file.
        model_out : path, optional
            Folder of the task model; by default beside the pool, ``pool2-tasks`` of ``pool2.parquet``.

        Returns
        -------
        Path
            Of the pool.
        """
        path = check_output(out, ())
        save_task_model(self.model, default_model_folder(path) if model_out is None else model_out)
        write_pool(path, self.frame, self.manifest)
        return path

    def to_dict(self) -> dict[str, Any]:
        """Return the discovery as JSON-compatible values, without the pool."""
        return dict(self.manifest)


def default_model_folder(out: Path) -> Path:
    """Return the folder beside a pool that holds its task model."""
    return out.with_name(f"{out.stem}-tasks")

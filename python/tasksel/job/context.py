"""What the stages of a job share while they run: configuration, places, the pool, who is told of progress."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tasksel.causal_model_folder import find_local_model, find_model_folder, model_sha256
from tasksel.job.places import TASKED_POOL_NAME, JobPlaces
from tasksel.pool import load_pool
from tasksel.pool_ids import columns_sha256
from tasksel.run_folder import text_sha256
from tasksel.shard_stage import HASHED_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasksel.job.config import JobConfig
    from tasksel.pool import Pool
    from tasksel.shard_run import ShardProgress

__all__ = ["JobContext"]


@dataclass
class JobContext:
    """One call on a run folder.

    Parameters
    ----------
    config : JobConfig
        What is to be done.
    begin : callable
        ``(label, unit) -> ShardProgress or None``, called at the beginning of each stage.
    announce : callable, optional
        Called at the first Ctrl-C.
    may_fetch : bool
        Whether a model that is not on this machine may be fetched.
    """

    config: JobConfig
    begin: Callable[[str, str], ShardProgress | None] = lambda _, __: None
    announce: Callable[[], object] | None = None
    may_fetch: bool = True

    @property
    def places(self) -> JobPlaces:
        """Where stages write."""
        return JobPlaces(self.config.out)

    @cached_property
    def given_pool(self) -> Pool:
        """The pool as the file names it."""
        keys = self.config["pool"]
        return load_pool(keys["path"], task_column=keys.get("task_column"), id_column=keys.get("id_column"))

    @cached_property
    def pool(self) -> Pool:
        """The pool that everything after task discovery reads."""
        if "tasks" not in self.config:
            return self.given_pool
        return load_pool(self.places.tasks / TASKED_POOL_NAME)

    @cached_property
    def given_prompts_sha256(self) -> str:
        """Hash of ids, tasks and prompts as the file's pool has them."""
        return columns_sha256(self.given_pool.frame, HASHED_COLUMNS)

    @cached_property
    def prompts_sha256(self) -> str:
        """Hash of what models are asked: ids, tasks and prompts."""
        return columns_sha256(self.pool.frame, HASHED_COLUMNS)

    @cached_property
    def holdout(self) -> Pool | None:
        """The held-out prompts of ``[evaluate]``, where it names some."""
        keys = self.config["evaluate"]
        if "pool" not in keys:
            return None
        columns: dict[str, Any] = {name: keys.get(name) for name in ("task_column", "id_column")}
        return load_pool(keys["pool"], **columns)

    def model_sha256(self, model: str) -> str:
        """Return the hash of a model's files; one that is not on this machine is fetched, if it may be."""
        folder = find_model_folder(model) if self.may_fetch else find_local_model(model)
        return text_sha256(model) if folder is None else model_sha256(folder)

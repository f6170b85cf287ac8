"""The stage that gives a pool its tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tasksel.endpoint import DEFAULT_KEY_VARIABLE, Endpoint
from tasksel.job.keys import call_settings
from tasksel.job.ledger import manifest_sha256
from tasksel.job.places import TASKED_POOL_NAME
from tasksel.job.sections import SECTIONS
from tasksel.job.sources import source_sha256
from tasksel.job.stage import OUTCOME_SHAPE, Outcome, Stage, section_record
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    make_folder,
    read_versioned,
    write_json,
)
from tasksel.task_discovery import TagSettings, assign_tasks, discover_tasks, parse_n_tasks
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasksel.job.context import JobContext
    from tasksel.job.ledger import StageRecord
    from tasksel.task_discovery import TaskDiscovery

__all__ = ["TASKS_STAGE", "TasksStage", "search_arguments"]

TASKS_STAGE = "job tasks"
"""What the manifest says; that of the pool itself stands beside the pool."""
_SHARED = ("embeddings", "budget", "scores", "metric", "device")
_SEARCH = ("n_tasks", "method", "min_size", "templates", "embedding_model")


@dataclass(frozen=True)
class TasksStage(Stage):
    """The pool with tasks: found here, or those of an earlier search."""

    section: ClassVar[str] = "tasks"
    needs: tuple[str, ...] = ()

    def folder(self, context: JobContext) -> Path:
        """Return the folder of pool, task model and vectors."""
        return context.places.tasks

    def describe(self, context: JobContext) -> StageRecord:
        """Say which prompts get tasks, and how."""
        keys = dict(context.config["tasks"])
        inputs = {"pool": context.given_pool.sha256, "prompts": context.given_prompts_sha256}
        for name in ("embeddings", "scores", "using"):
            found = source_sha256(keys.get(name))
            if found is not None:
                inputs[name] = found
                del keys[name]
        if self.needs and "embeddings" not in inputs:
            inputs["embeddings"] = str(manifest_sha256(context.places.embeddings))
        return section_record(context, "tasks", keys, inputs)

    def run(self, context: JobContext) -> Outcome:
        """Find tasks, and write the pool that has them."""
        folder = self.folder(context)
        make_folder(folder)
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        found = self._find(context, folder)
        figures, pool = dict(found.manifest["figures"]), folder / TASKED_POOL_NAME
        content = {
            "format_version": FORMAT_VERSION,
            "stage": TASKS_STAGE,
            "figures": figures,
            "notes": list(found.notes),
            "files": {TASKED_POOL_NAME: file_sha256(pool)},
        }
        write_json(folder / MANIFEST_NAME, content)
        return Outcome(figures, found.notes)

    def _find(self, context: JobContext, folder: Path) -> TaskDiscovery:
        keys = context.config["tasks"]
        given = {name: value for name, value in keys.items() if name in _SHARED}
        if self.needs:
            given.setdefault("embeddings", str(context.places.embeddings))
        given |= {"out": folder / TASKED_POOL_NAME, "progress": context.begin, "announce": context.announce}
        if "using" in keys:
            return assign_tasks(context.given_pool, keys["using"], **given)
        return discover_tasks(context.given_pool, **search_arguments(keys), **given)

    def recall(self, context: JobContext) -> Outcome | None:
        """Read the figures, if the pool is as it was written."""
        folder = self.folder(context)
        manifest, pool = read_versioned(folder / MANIFEST_NAME, OUTCOME_SHAPE), folder / TASKED_POOL_NAME
        if not pool.is_file() or file_sha256(pool) != manifest["files"].get(TASKED_POOL_NAME):
            return None
        return Outcome(manifest["figures"], tuple(manifest["notes"]), is_reused=True)


def search_arguments(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of ``[tasks]`` that say how tasks are found, as `discover_tasks` takes them.

    Raises
    ------
    ConfigError
        Keys contradict each other, or a value cannot be read.
    """
    named = call_settings(SECTIONS["tasks"].keys, keys)
    given = {name: value for name, value in named.items() if name in (*_SEARCH, "seed")}
    tags = {name.removeprefix("tag_"): value for name, value in named.items() if name.startswith("tag_")}
    if "using" in keys:
        unused = [name for name in keys if name in _SEARCH or name.startswith("tag_")]
        if unused:
            raise ConfigError(
                f"{unused[0]} of [tasks] says how tasks are found, and using takes those found before."
            )
    if "n_tasks" in given:
        given["n_tasks"] = parse_n_tasks(str(given["n_tasks"]))
    if ("endpoint" in tags) != ("model" in tags):
        raise ConfigError("tag_endpoint and tag_model of [tasks] belong together; one of them is missing.")
    if "endpoint" in tags:
        endpoint = Endpoint(tags.pop("endpoint"), key_variable=tags.pop("key_env", DEFAULT_KEY_VARIABLE))
        tags["max_total_tokens"] = tags.pop("max_tokens", 0)
        given["tagging"] = TagSettings(endpoint, tags.pop("model"), **tags)
    return given

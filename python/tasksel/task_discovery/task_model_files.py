"""A task model in a folder: an array, JSON, and the manifest that is written last; nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    check_format_version,
    file_sha256,
    make_folder,
    read_json,
    write_json,
)
from tasksel.run_folder_frames import write_array
from tasksel.task_discovery.task_model import DiscoveredTask, TaskModel, TypicalPrompt
from tasksel.task_discovery.templates import Template
from tasksel_core import __version__
from tasksel_core.errors import ConfigError, ResumeError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["STAGE", "check_model_folder", "load_task_model", "save_task_model"]

STAGE: Final = "task model"
CENTERS_NAME: Final = "centers.npy"
TASKS_NAME: Final = "tasks.json"
_FILES: Final = (CENTERS_NAME, TASKS_NAME)
_HOW: Final = "`tasksel tasks POOL --out` writes one."


def save_task_model(model: TaskModel, folder: str | os.PathLike[str]) -> Path:
    """Write ``centers.npy``, ``tasks.json`` and, last, ``manifest.json``; equal models give equal bytes.

    Raises
    ------
    ConfigError
        `folder` is a file, or holds something else that tasksel wrote.
    OSError
        The disk is full, or the folder cannot be written to.
    """
    out = check_model_folder(folder)
    make_folder(out)
    (out / MANIFEST_NAME).unlink(missing_ok=True)
    write_array(out / CENTERS_NAME, model.centers)
    write_json(out / TASKS_NAME, _content(model))
    manifest = {
        "format_version": FORMAT_VERSION,
        "stage": STAGE,
        "tasks": len(model.tasks),
        "templates": len(model.templates),
        "centers": len(model.centers),
        "n_dimensions": model.n_dimensions,
        "embedding": dict(model.embedding),
        **model.origin,
        "versions": {"tasksel": __version__, "numpy": np.__version__},
        "files": {name: file_sha256(out / name) for name in _FILES},
    }
    write_json(out / MANIFEST_NAME, manifest)
    return out


def check_model_folder(folder: str | os.PathLike[str]) -> Path:
    """Refuse a place where a task model would replace something else."""
    out = Path(folder)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; allowed: a folder to write the task model to.")
    path = out / MANIFEST_NAME
    if path.is_file() and read_json(path).get("stage") != STAGE:
        raise ConfigError(f"{out} holds something else than a task model; choose another folder.")
    return out


def load_task_model(folder: str | os.PathLike[str]) -> TaskModel:
    """Read what `save_task_model` wrote.

    Raises
    ------
    ConfigError
        There is no such folder, or it holds no task model.
    ResumeError
        It is not finished, of another format, or a file is not as it was written.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ConfigError(
            f"There is no folder {path} with a task model; `tasksel tasks POOL --out` writes one."
        )
    if not (path / MANIFEST_NAME).is_file():
        raise ConfigError(f"{path} holds no finished task model (no {MANIFEST_NAME}); {_HOW}")
    manifest = read_json(path / MANIFEST_NAME)
    if manifest.get("stage") != STAGE:
        raise ConfigError(f"{path} holds no task model; {_HOW}")
    check_format_version(manifest, path / MANIFEST_NAME)
    _check_files(path, manifest)
    try:
        return _read(path, manifest)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ResumeError(
            f"{path} is not a task model as tasksel writes it ({error}); make it anew."
        ) from error


def _check_files(path: Path, manifest: Mapping[str, Any]) -> None:
    written = manifest.get("files")
    for name in _FILES:
        sha256 = written.get(name) if isinstance(written, dict) else None
        if not (path / name).is_file() or file_sha256(path / name) != sha256:
            raise ResumeError(f"{path / name} is missing or not as it was written; make the task model anew.")


def _content(model: TaskModel) -> dict[str, Any]:
    return {
        "least_similarity": model.least_similarity,
        "center_tasks": model.center_tasks.tolist(),
        "templates": [
            {"prefix": each.prefix, "suffix": each.suffix, "task": task}
            for each, task in zip(model.templates, model.template_tasks.tolist(), strict=True)
        ],
        "tasks": [
            {
                "name": task.name,
                "kind": task.kind,
                "terms": list(task.terms),
                "examples": [example._asdict() for example in task.examples],
                "description": task.description,
            }
            for task in model.tasks
        ],
    }


def _read(path: Path, manifest: Mapping[str, Any]) -> TaskModel:
    content = read_json(path / TASKS_NAME)
    centers = np.load(path / CENTERS_NAME, allow_pickle=False)
    tasks = tuple(
        DiscoveredTask(
            name=str(each["name"]),
            kind=str(each["kind"]),
            terms=tuple(map(str, each["terms"])),
            examples=tuple(TypicalPrompt(str(one["id"]), str(one["prompt"])) for one in each["examples"]),
            description=str(each["description"]),
        )
        for each in content["tasks"]
    )
    templates = content["templates"]
    model = TaskModel(
        tasks=tasks,
        templates=tuple(Template(str(each["prefix"]), str(each["suffix"])) for each in templates),
        template_tasks=np.array([each["task"] for each in templates], dtype=np.int64),
        centers=centers,
        center_tasks=np.array(content["center_tasks"], dtype=np.int64),
        least_similarity=float(content["least_similarity"]),
        embedding=dict(manifest["embedding"]),
        origin={name: manifest[name] for name in ("pool", "settings")},
    )
    places = [*model.template_tasks.tolist(), *model.center_tasks.tolist()]
    if centers.dtype != np.float32 or centers.ndim != 2 or len(centers) != len(model.center_tasks):
        raise ValueError(f"the centers are of {centers.dtype} and shape {centers.shape}")
    if any(not 0 <= place < len(tasks) for place in places):
        raise ValueError("a template or center belongs to a task that is not there")
    return model

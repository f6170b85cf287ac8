"""The pool with its tasks, as a file: every other column as it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.file_places import refuse_overwriting
from tasksel.run_folder import MANIFEST_NAME, atomic_path, file_sha256, named_in_errors, write_json
from tasksel.run_folder_frames import write_frame
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["check_output", "manifest_path", "with_tasks", "write_pool"]

SUFFIXES: Final = (".parquet", ".jsonl")
_BEFORE: Final = "task_before"


def with_tasks(frame: pl.DataFrame, tasks: Sequence[str]) -> pl.DataFrame:
    """Put the tasks into a canonical frame, behind the id; tasks that it had become `task_before`.

    Examples
    --------
    >>> frame = pl.DataFrame({"id": ["1"], "task": ["old"], "prompt": ["a"]})
    >>> with_tasks(frame, ["new"]).row(0, named=True)
    {'id': '1', 'task': 'new', 'prompt': 'a', 'task_before': 'old'}
    """
    column = pl.Series("task", tasks, dtype=pl.String)
    if "task" not in frame.columns:
        return frame.select("id", column, pl.exclude("id"))
    name, number = _BEFORE, 1
    while name in frame.columns:
        number += 1
        name = f"{_BEFORE}_{number}"
    before = frame["task"].rename(name)
    return frame.with_columns(column, before)


def check_output(out: str | os.PathLike[str], inputs: Iterable[object]) -> Path:
    """Refuse a file that would replace what is read, or that has no format that is written.

    Raises
    ------
    ConfigError
        Why not.
    """
    path = Path(out)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path} ends in {path.suffix!r}; allowed: {' and '.join(SUFFIXES)}.")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; allowed: a file to write the pool to.")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is not a regular file; allowed: a file to write the pool to.")
    if not path.parent.is_dir():
        raise ConfigError(f"There is no folder {path.parent} to write {path.name} to.")
    refuse_overwriting((path, manifest_path(path)), inputs)
    return path


def manifest_path(path: Path) -> Path:
    """Return where the manifest of a file stands: ``pool2.manifest.json`` of ``pool2.parquet``."""
    return path.with_name(f"{path.stem}.{MANIFEST_NAME}")


def write_pool(path: Path, frame: pl.DataFrame, manifest: Mapping[str, Any]) -> None:
    """Write the pool and, last, its manifest; the same content gives the same bytes.

    Raises
    ------
    SchemaError
        JSON lines cannot hold a column.
    OSError
        The disk is full, or the folder cannot be written to.
    """
    manifest_path(path).unlink(missing_ok=True)
    if path.suffix == ".parquet":
        write_frame(path, frame)
    else:
        _write_lines(path, frame)
    write_json(manifest_path(path), {**manifest, "files": {path.name: file_sha256(path)}})


def _write_lines(path: Path, frame: pl.DataFrame) -> None:
    for name, dtype in frame.schema.items():
        if "Binary" in str(dtype) or "Object" in str(dtype):  # also inside lists and structs
            raise SchemaError(f"JSON lines cannot hold column {name!r} ({dtype}); write a .parquet file.")
    with atomic_path(path) as temporary, named_in_errors(path):
        frame.write_ndjson(temporary)

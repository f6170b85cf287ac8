"""Embeddings in a run folder: those of `tasksel embed`, and those that scoring left by the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from tasksel.embedding_column import is_vectors
from tasksel.embedding_parquet import join_vectors
from tasksel.run_folder import FORMAT_VERSION, MANIFEST_NAME, file_sha256, read_json
from tasksel.run_folder_identity import SETTINGS_NAME
from tasksel_core.errors import ResumeError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EMBEDDINGS_FOLDER", "read_run_vectors"]

EMBEDDINGS_FOLDER: Final = "embeddings"
_SCORES_FOLDER: Final = "scores"
_EMBEDDING: Final = "embedding"
_SHARDS: Final = "part-*.parquet"


class _Stage(NamedTuple):
    """A folder with shards, and the verb that makes them."""

    folder: Path
    verb: str


def read_run_vectors(folder: Path, frame: pl.DataFrame) -> NDArray[np.float32]:
    """Read one vector per row of `frame` from a run folder, joined by id.

    Parameters
    ----------
    folder : Path
        A run folder with embeddings, or with scores that hold a column ``embedding``; or the folder of
        either stage itself.
    frame : DataFrame
        The pool, or a part of it.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_dimensions)
        As `new_vectors` keeps it.

    Raises
    ------
    SchemaError
        There are no embeddings, or not one for each row of the pool.
    ResumeError
        They are not finished, or a shard is not as it was written.
    OSError
        The disk has no room for a temporary file.
    """
    stage = _find_stage(folder)
    shards = _finished_shards(stage)
    try:
        return join_vectors(pl.scan_parquet(shards, glob=False).select("id", _EMBEDDING), _EMBEDDING, frame)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"{stage.folder} cannot be read as Parquet ({error}).") from error
    except SchemaError as error:
        raise SchemaError(f"{stage.folder}: {error}") from error


def _find_stage(folder: Path) -> _Stage:
    """Find vectors in a run folder or the folder of a stage; those of `tasksel embed` come first."""
    for each in (folder / EMBEDDINGS_FOLDER, folder, folder / _SCORES_FOLDER):
        verb = _find_verb(each)
        if verb is not None:
            return _Stage(each, verb)
    raise SchemaError(
        f"The folder {folder} holds no embeddings: neither those of `tasksel embed` nor those of "
        "`tasksel score --embed-from hidden`."
    )


def _find_verb(folder: Path) -> str | None:
    """Return the verb that made the vectors of a folder, or None where it has none."""
    path = folder / SETTINGS_NAME
    if not path.is_file():
        return None
    if "n_dimensions" in (read_json(path).get("settings") or ()):
        return "embed"
    first = min(folder.glob(_SHARDS), default=None)
    return "score" if first is not None and _may_hold_vectors(first) else None


def _may_hold_vectors(path: Path) -> bool:
    try:
        dtype = pl.read_parquet_schema(path).get(_EMBEDDING)
    except (OSError, pl.exceptions.PolarsError):
        return True  # what is damaged is told by its checksum
    return dtype is not None and is_vectors(dtype)


def _finished_shards(stage: _Stage) -> list[Path]:
    """Return the shards that the manifest lists, each as it was written."""
    path = stage.folder / MANIFEST_NAME
    if not path.is_file():
        raise ResumeError(_unfinished(stage))
    shards = []
    for name, sha256 in _read_manifest(path):
        shard_path = stage.folder / name
        if not shard_path.is_file():
            raise ResumeError(f"{shard_path} is missing; {_again(stage)}")
        if file_sha256(shard_path) != sha256:
            raise ResumeError(f"{shard_path} is damaged (it is not as it was written); {_again(stage)}")
        shards.append(shard_path)
    return shards


def _read_manifest(path: Path) -> list[tuple[str, str]]:
    """Return name and checksum of every shard."""
    manifest = read_json(path)
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise ResumeError(
            f"{path.parent} has format {version}, this tasksel knows {FORMAT_VERSION}; use the version that "
            "wrote it."
        )
    try:
        return [(str(shard["name"]), str(shard["sha256"])) for shard in manifest["shards"]]
    except (KeyError, TypeError) as error:
        raise ResumeError(f"{path} does not list the shards of a run; restore it.") from error


def _unfinished(stage: _Stage) -> str:
    return f"{stage.folder} is not finished (it has no {MANIFEST_NAME}); {_again(stage)}"


def _again(stage: _Stage) -> str:
    return f"run the same `tasksel {stage.verb}` again, which makes what is missing."

"""Embeddings in a run folder: those of `tasksel embed`, and those that scoring left by the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.embedding_column import is_vectors
from tasksel.embedding_parquet import join_vectors
from tasksel.pool_file_scan import first_clause
from tasksel.run_folder import read_json
from tasksel.run_folder_identity import SETTINGS_NAME
from tasksel.run_folder_shards import EMBEDDINGS_FOLDER, SCORES_FOLDER, SHARD_GLOB, FinishedStage
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EMBEDDINGS_FOLDER", "read_run_vectors"]

_EMBEDDING: Final = "embedding"


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
    shards = stage.find_shards()
    try:
        return join_vectors(pl.scan_parquet(shards, glob=False).select("id", _EMBEDDING), _EMBEDDING, frame)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"{stage.folder} cannot be read as Parquet ({first_clause(error)}).") from error
    except SchemaError as error:
        raise SchemaError(f"{stage.folder}: {error}") from error


def _find_stage(folder: Path) -> FinishedStage:
    """Find vectors in a run folder or the folder of a stage; those of `tasksel embed` come first."""
    for each in (folder / EMBEDDINGS_FOLDER, folder, folder / SCORES_FOLDER):
        verb = _find_verb(each)
        if verb is not None:
            return FinishedStage(each, verb)
    raise SchemaError(
        f"The folder {folder} holds no embeddings: neither those of `tasksel embed` nor those of "
        "`tasksel score --embed-from hidden`."
    )


def _find_verb(folder: Path) -> str | None:
    """Return the verb that made the vectors of a folder, or None where it has none."""
    path = folder / SETTINGS_NAME
    if not path.is_file():
        return None
    settings = read_json(path).get("settings")
    if isinstance(settings, dict) and "n_dimensions" in settings:
        return "embed"
    first = min(folder.glob(SHARD_GLOB), default=None)
    return "score" if first is not None and _may_hold_vectors(first) else None


def _may_hold_vectors(path: Path) -> bool:
    try:
        dtype = pl.read_parquet_schema(path).get(_EMBEDDING)
    except (OSError, pl.exceptions.PolarsError):
        return True  # what is damaged is told by its checksum
    return dtype is not None and is_vectors(dtype)

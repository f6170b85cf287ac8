"""Vectors that were made elsewhere, brought into the shards of a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tasksel.embedding import embeddings_sha256, read_embeddings
from tasksel.embedding_run_shards import build_frame, embeddings_schema
from tasksel.shard_work import ShardPiece, WorkerStart
from tasksel.wording import listed
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator, Iterable, Mapping

    import numpy.typing as npt
    import polars as pl

    from tasksel.shard_files import ShardPlan
    from tasksel.shard_work import ShardTask

__all__ = ["GivenVectors", "GivenWorker", "read_given"]

COLUMN_PREFIX: Final = "column:"
_FILES: Final = (".npy", ".parquet")
_CHECKED_ROWS: Final = 4096


class GivenVectors(NamedTuple):
    """Vectors of a pool's rows.

    Attributes
    ----------
    name : str
        ``column:NAME``, or the name of the file without its path.
    vectors : ndarray of float32, shape (n_rows, n_dimensions)
        In the order of the pool.
    """

    name: str
    vectors: npt.NDArray[np.float32]

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a run is identified by besides the vectors."""
        return {"embed_from": COLUMN_PREFIX.rstrip(":") if self.name.startswith(COLUMN_PREFIX) else "file"}

    def identify(self) -> dict[str, Any]:
        """Return name and hash of the vectors."""
        return {"name": self.name, "sha256": embeddings_sha256(self.vectors)}


def read_given(source: str, frame: pl.DataFrame) -> GivenVectors:
    """Read vectors of a column or a file, and check every number.

    Parameters
    ----------
    source : str
        ``column:NAME``, or a path that `read_embeddings` takes.
    frame : DataFrame
        The pool.

    Raises
    ------
    ConfigError
        It is neither.
    SchemaError
        There is not one vector of finite numbers a row, all equally long.
    """
    column = source.removeprefix(COLUMN_PREFIX)
    if source.startswith(COLUMN_PREFIX):
        if column not in frame.columns:
            raise SchemaError(
                f"There is no embeddings column {column!r}; the pool has {listed(frame.columns)}."
            )
        given = GivenVectors(source, read_embeddings(column, frame))
    elif source.endswith(_FILES) or ".parquet:" in source:
        given = GivenVectors(PurePath(source).name, read_embeddings(source, frame))
    else:
        raise ConfigError(
            f"embed_from is {source!r}; allowed are sentence, hidden, {COLUMN_PREFIX}NAME, and the path of a "
            ".npy or .parquet file with vectors."
        )
    _check_finite(given, frame["id"])
    return given


def _check_finite(given: GivenVectors, ids: pl.Series) -> None:
    for start in range(0, len(given.vectors), _CHECKED_ROWS):
        is_finite = np.isfinite(given.vectors[start : start + _CHECKED_ROWS]).all(axis=1)
        if not is_finite.all():
            row = start + int(np.argmin(is_finite))
            raise SchemaError(
                f"{given.name}: the vector of row {row} (id {ids[row]!r}) holds NaN or an infinite number; "
                "every number must be finite in float32."
            )


@dataclass
class GivenWorker:
    """Makes embedding shards of vectors that are there.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_rows, n_dimensions)
        In the order of the pool.
    plan : ShardPlan
        Of the run, which says which pool rows a shard has.
    """

    vectors: npt.NDArray[np.float32]
    plan: ShardPlan

    def start(self) -> WorkerStart:
        """Tell the width of the vectors."""
        n_dimensions = self.vectors.shape[1]
        schema = embeddings_schema(n_dimensions, has_tokens=False)
        return WorkerStart({"n_dimensions": n_dimensions}, {}, schema)

    def work(self, tasks: Iterable[ShardTask], stopped: threading.Event) -> Generator[ShardPiece, None, None]:
        """Give the vectors of every shard; see `ShardWorker`."""
        for task in tasks:
            if stopped.is_set():
                return
            positions = [each for each in range(task.rows.height) if each not in task.done]
            vectors = self.vectors[self.plan.rows(task.number)[positions]]
            frame = build_frame(task.rows["id"].gather(positions), vectors)
            yield ShardPiece(task.number, positions, frame, 0)

    def close(self) -> None:
        """Let go of nothing: the vectors are the caller's."""

"""Vectors in a Parquet file, joined to the pool and read batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tasksel.embedding_column import column_vectors, is_vectors
from tasksel.embedding_storage import is_floating, new_vectors
from tasksel.file_places import file_trouble
from tasksel.pool_files import scan_file
from tasksel.pool_parquet import check_fits, damage_named
from tasksel.wording import listed
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["join_vectors", "missing_vectors", "read_parquet_vectors"]

DEFAULT_COLUMN = "embedding"
BATCH_ROWS = 16_384


def read_parquet_vectors(path: Path, column: str | None, frame: pl.DataFrame) -> NDArray[np.float32]:
    """Read one vector per row of `frame`, in memory for a few row groups of the file.

    Parameters
    ----------
    path : Path
        A Parquet file.
    column : str, optional
        Its list column; by default ``embedding``, else the only one there is.
    frame : DataFrame
        The pool. If the file has a column ``id``, that of the pool says which vector is whose; vectors of
        other ids are left out. Otherwise row i of the file belongs to row i.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_dimensions)
        As `new_vectors` keeps it.

    Raises
    ------
    SchemaError
        The file cannot be read, has no such column, rows without a vector, vectors of different lengths or
        no floating type, or does not have exactly one vector for each row of the pool.
    OSError
        The disk has no room for a temporary file.
    """
    trouble = file_trouble(path)
    if trouble is not None:
        raise missing_vectors(path, trouble)
    lazy = scan_file(path, text_columns=(), eager=False).frame
    name = _vector_column(lazy.collect_schema(), column, path)
    check_fits(path, ("id",))
    with damage_named(path):
        try:
            return join_vectors(lazy, name, frame)
        except SchemaError as error:
            raise SchemaError(f"{path.name}: {error}") from error


def missing_vectors(path: Path, trouble: str) -> SchemaError:
    """Make the error for a path at which no file of vectors stands; `trouble` as of `file_trouble`."""
    if trouble == "does not exist":
        return SchemaError(f"There is no embeddings file {path}.")
    return SchemaError(f"The embeddings file {path} {trouble}; allowed: an .npy or a .parquet file.")


def join_vectors(lazy: pl.LazyFrame, column: str, frame: pl.DataFrame) -> NDArray[np.float32]:
    """Read one vector per row of `frame` from a Parquet scan, joined by ``id`` where the scan has it.

    Parameters
    ----------
    lazy : LazyFrame
        A scan of one file or of several.
    column : str
        Its list column.
    frame : DataFrame
        The pool; see `read_parquet_vectors`.

    Raises
    ------
    SchemaError
        There is not exactly one vector of numbers for each row of the pool, or they differ in length.
    """
    return _gathered(lazy.select(column), column, _places(lazy, frame), frame.height)


def _vector_column(schema: pl.Schema, column: str | None, path: Path) -> str:
    lists = [name for name, dtype in schema.items() if is_vectors(dtype)]
    if column is None and (DEFAULT_COLUMN in lists or len(lists) == 1):
        return DEFAULT_COLUMN if DEFAULT_COLUMN in lists else lists[0]
    if column in lists:
        return column
    found = f"its list columns are {listed(lists)}" if lists else f"columns are {listed(schema)}"
    if column is None and lists:
        raise SchemaError(
            f"{path.name} has more than one list column ({listed(lists)}): name one, as in "
            f"{path.name}:{lists[0]}."
        )
    raise SchemaError(f"{path.name} has no list column {column or DEFAULT_COLUMN!r} of numbers; {found}.")


def _places(lazy: pl.LazyFrame, frame: pl.DataFrame) -> NDArray[np.int64]:
    """Return the pool row of each row of the file; -1 where its id is not in the pool."""
    if "id" not in lazy.collect_schema():
        n_rows = lazy.select(pl.len()).collect().item()
        if n_rows != frame.height:
            raise SchemaError(
                f"there is no column 'id' and {n_rows:,} rows, the pool has {frame.height:,}; they must be "
                "equal, or ids must say which vector is whose."
            )
        return np.arange(n_rows, dtype=np.int64)
    if "id" not in frame.columns:
        raise SchemaError("vectors are joined by the column 'id', and the pool has none.")
    ids = lazy.select(pl.col("id").cast(pl.String)).collect()
    pool = frame.select(pl.col("id").cast(pl.String)).with_row_index("place")
    joined = ids.join(pool, on="id", how="left", maintain_order="left", nulls_equal=False)
    places = joined["place"].cast(pl.Int64).fill_null(-1).to_numpy()
    _check_one_each(places, ids["id"], pool["id"])
    return places


def _check_one_each(places: NDArray[np.int64], ids: pl.Series, pool_ids: pl.Series) -> None:
    counts = np.bincount(places[places >= 0], minlength=len(pool_ids))
    if (counts > 1).any():
        repeated = pool_ids[int(np.argmax(counts > 1))]
        raise SchemaError(f"id {repeated!r} is there more than once; keep one row an id.")
    missing = int((counts == 0).sum())
    if missing == len(pool_ids) and len(ids):
        raise SchemaError(f"no id is in the pool: the file has {ids[0]!r}, the pool has {pool_ids[0]!r}.")
    if missing:
        first = pool_ids[int(np.argmin(counts))]
        have = "1 row of the pool has" if missing == 1 else f"{missing:,} rows of the pool have"
        raise SchemaError(f"{have} no embedding, first id {first!r}; every row needs one.")


def _gathered(lazy: pl.LazyFrame, name: str, places: NDArray[np.int64], n_rows: int) -> NDArray[np.float32]:
    vectors = None
    for first_row, block in _blocks(lazy, name):
        if vectors is None:
            vectors = new_vectors(n_rows, block.shape[1])
        elif block.shape[1] != vectors.shape[1]:
            raise SchemaError(
                f"Column {name!r} has vectors of {vectors.shape[1]} and of {block.shape[1]} numbers; "
                "allowed: one length for all rows."
            )
        rows = places[first_row : first_row + len(block)]
        wanted = rows >= 0
        vectors[rows[wanted]] = block[wanted] if not wanted.all() else block
    assert vectors is not None  # noqa: S101 -- `scan_file` refuses a file without rows
    return vectors


def _blocks(lazy: pl.LazyFrame, name: str) -> Iterator[tuple[int, NDArray[np.floating]]]:
    """Give the vectors batch by batch, each with the number of its first row."""
    first_row = 0
    for batch in lazy.collect_batches(chunk_size=BATCH_ROWS, lazy=True, engine="streaming"):
        block = column_vectors(batch[name], first_row=first_row)
        if not is_floating(block.dtype):
            raise SchemaError(
                f"Column {name!r} has numbers of type {block.dtype}; allowed: a floating type, best float32."
            )
        yield first_row, block
        first_row += batch.height

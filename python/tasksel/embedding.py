"""Embeddings of the pool's prompts that exist already: a column of the pool, a ``.npy`` file, an array."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["read_embeddings"]


def read_embeddings(
    source: str | os.PathLike[str] | NDArray[Any], frame: pl.DataFrame
) -> NDArray[np.float32]:
    """Read one vector per pool row.

    Parameters
    ----------
    source : str, path or ndarray
        Name of a list or array column of `frame`, path of a ``.npy`` file (memory-mapped), or an array.
    frame : DataFrame
        The pool; row i of the result belongs to its row i.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_dimensions)
        A float32 ``.npy`` or array is not copied; other floating types are converted.

    Raises
    ------
    SchemaError
        No such column or file, not numeric, vectors of different lengths, or another number of rows.
    """
    if isinstance(source, np.ndarray):
        return _checked(source, "the embeddings array", frame.height)
    path = Path(source)
    if path.suffix == ".npy":
        return _checked(_load_npy(path), path.name, frame.height)
    name = str(source)
    if name not in frame.columns:
        raise SchemaError(
            f"There is no embeddings column {name!r}; the pool has {', '.join(frame.columns)}. "
            "Allowed: a list column of the pool or a path that ends in .npy."
        )
    return _checked(_column_vectors(frame[name]), f"column {name!r}", frame.height)


def _load_npy(path: Path) -> NDArray[Any]:
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise SchemaError(f"There is no embeddings file {path}.") from None
    except (OSError, ValueError, EOFError) as error:
        raise SchemaError(f"{path} is not a readable .npy file of numbers ({error}).") from error
    if not isinstance(loaded, np.ndarray):
        raise SchemaError(f"{path} is an .npz archive; allowed: one array in an .npy file.")
    return loaded


def _column_vectors(column: pl.Series) -> NDArray[Any]:
    if not isinstance(column.dtype, (pl.List, pl.Array)):
        raise SchemaError(f"Column {column.name!r} has type {column.dtype}; allowed: a list of numbers.")
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise SchemaError(f"Column {column.name!r} has no embedding in row {row}; every row needs one.")
    lengths = column.list.len() if isinstance(column.dtype, pl.List) else column.arr.len()
    sizes = np.unique(lengths.to_numpy())
    if len(sizes) > 1:
        raise SchemaError(
            f"Column {column.name!r} has vectors of {sizes[0]} to {sizes[-1]} numbers; "
            "allowed: one length for all rows."
        )
    values = column.explode()
    if not values.dtype.is_numeric():
        raise SchemaError(f"Column {column.name!r} has type {column.dtype}; allowed: a list of numbers.")
    return values.to_numpy().reshape(len(column), -1)


def _checked(vectors: NDArray[Any], name: str, n_rows: int) -> NDArray[np.float32]:
    if vectors.ndim != 2:
        raise SchemaError(f"{name} has shape {vectors.shape}; allowed: (rows, dimensions).")
    if len(vectors) != n_rows:
        raise SchemaError(f"{name} has {len(vectors):,} rows, the pool has {n_rows:,}; they must be equal.")
    if not np.issubdtype(vectors.dtype, np.floating):
        raise SchemaError(f"{name} has dtype {vectors.dtype}; allowed: a floating type, best float32.")
    return vectors.astype(np.float32, copy=False)

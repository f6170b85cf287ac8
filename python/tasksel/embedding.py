"""Embeddings of the pool's prompts that exist already: a run folder, a column of the pool, a file, an array.

Vectors in float32 are used where they lie; others are converted once, and what would take too much of the
memory goes to a file that is mapped, so that a pool may have more vectors than the machine has memory.
"""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tasksel.embedding_column import column_vectors
from tasksel.embedding_parquet import missing_vectors, read_parquet_vectors
from tasksel.embedding_shards import read_run_vectors
from tasksel.embedding_storage import as_float32, is_floating
from tasksel.file_places import file_trouble, is_folder
from tasksel.pool_file_scan import first_clause
from tasksel.wording import listed
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["embeddings_sha256", "read_embeddings"]

HASH_ROWS = 4096
_ARCHIVE = b"PK"


def read_embeddings(
    source: str | os.PathLike[str] | NDArray[Any], frame: pl.DataFrame
) -> NDArray[np.float32]:
    """Read one vector per pool row.

    Parameters
    ----------
    source : str, path or ndarray
        Name of a list or array column of `frame`; path of a ``.npy`` file, which is memory-mapped; path of
        a ``.parquet`` file, with ``:column`` behind it where it has no column ``embedding`` and more than
        one list column; a run folder of `tasksel embed`, or of `tasksel score --embed-from hidden`; or an
        array. A run folder, and a Parquet file with a column ``id``, are joined to the pool by its ids;
        others must have the pool's rows in the pool's order. Half precision, bfloat16 and float64 are
        converted; a ``.npy`` of two-byte items without a type is bfloat16. Where a column and a folder have
        the same name, the column is meant; ``./name`` is the folder.
    frame : DataFrame
        The pool; row i of the result belongs to its row i.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_dimensions)
        A float32 ``.npy`` or array is not copied. What must be converted or gathered is held in memory up
        to a quarter of what is free, else in a temporary file, which is deleted with the array.

    Raises
    ------
    SchemaError
        No such column or file, not numeric, vectors of different lengths, rows without one, or another
        number of rows.
    ResumeError
        A run folder is not finished, or one of its shards is damaged.
    OSError
        The disk has no room for the temporary file.
    """
    if isinstance(source, np.ndarray):
        return _checked(source, "the embeddings array", frame.height)
    path = Path(source)
    if path.suffix == ".npy":
        return _checked(_load_npy(path), path.name, frame.height)
    name = str(source)
    file, column = _parquet_column(name)
    if file is not None:
        return read_parquet_vectors(file, column, frame)
    if name not in frame.columns:
        if is_folder(name):
            return read_run_vectors(path, frame)
        raise SchemaError(
            f"There is no embeddings column {name!r}; the pool has {listed(frame.columns)}. "
            "Allowed: a list column of the pool, a run folder of `tasksel embed`, or a path that ends in "
            ".npy or .parquet."
        )
    return _checked(column_vectors(frame[name]), f"column {name!r}", frame.height)


def embeddings_sha256(vectors: NDArray[np.float32]) -> str:
    """Return the SHA-256 of the numbers, row after row: the same for every file that holds them.

    Examples
    --------
    >>> embeddings_sha256(np.zeros((2, 2), dtype=np.float32))[:12]
    '374708fff771'
    """
    digest = hashlib.sha256()
    for start in range(0, len(vectors), HASH_ROWS):
        digest.update(np.ascontiguousarray(vectors[start : start + HASH_ROWS], dtype="<f4").data)
    return digest.hexdigest()


def _parquet_column(name: str) -> tuple[Path | None, str | None]:
    """Split ``vectors.parquet:column``; the file is None where there is none in the name."""
    if name.endswith(".parquet"):
        return Path(name), None
    file, _, column = name.rpartition(".parquet:")
    return (Path(f"{file}.parquet"), column) if file and column else (None, None)


def _load_npy(path: Path) -> NDArray[Any]:
    trouble = file_trouble(path)
    if trouble is not None:
        raise missing_vectors(path, trouble)
    try:
        with path.open("rb") as source:
            wrong = _npy_trouble(source)
        if wrong is None:
            loaded: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return loaded
    except (OSError, ValueError, EOFError, OverflowError, SyntaxError, RecursionError, MemoryError) as error:
        wrong = first_clause(error)
    raise SchemaError(f"{path} is not a readable .npy file of numbers ({wrong}).")


def _npy_trouble(source: IO[bytes]) -> str | None:
    """Compare what the header of a file says with the file, which numpy does by mapping it.

    numpy leaves the file open where that fails, and advises pickle where the header is none.
    """
    begin = source.read(len(np.lib.format.MAGIC_PREFIX))
    if begin.startswith(_ARCHIVE):
        return "it is an archive, as .npz files are; allowed: one array"
    if begin != np.lib.format.MAGIC_PREFIX:
        return "it does not begin as one does"
    source.seek(0)
    version = np.lib.format.read_magic(source)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(source)
    if dtype.hasobject:
        return "it holds pickled objects"
    start = source.tell()
    n_bytes = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or n_bytes > source.seek(0, os.SEEK_END) - start:
        return f"its header says shape {shape}, and there are {source.tell() - start:,} bytes"
    return None


def _checked(vectors: NDArray[Any], name: str, n_rows: int) -> NDArray[np.float32]:
    if vectors.ndim != 2:
        raise SchemaError(f"{name} has shape {vectors.shape}; allowed: (rows, dimensions).")
    if len(vectors) != n_rows:
        raise SchemaError(f"{name} has {len(vectors):,} rows, the pool has {n_rows:,}; they must be equal.")
    if not is_floating(vectors.dtype):
        raise SchemaError(f"{name} has dtype {vectors.dtype}; allowed: a floating type, best float32.")
    return as_float32(vectors)

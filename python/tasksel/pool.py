"""Pools: any file or frame of prompts, as one canonical frame.

The canonical frame has the columns `id` (String, unique, never null), `task` (String, only if the pool
has tasks), `prompt` (String, never null) and `response` (String, only if the shape has one), then every
other column of the source, unchanged and in its order, the source's own prompt columns among them. Rows
stay in file order.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl

from tasksel.file_places import expanded_home
from tasksel.pool_dates import dates_as_numbers
from tasksel.pool_file_scan import FileScan
from tasksel.pool_files import scan_file
from tasksel.pool_ids import fill_frame
from tasksel.pool_notes import pool_notes
from tasksel.pool_shapes import TEXT_COLUMNS, ShapePlan, plan_shape
from tasksel.pool_urls import is_url, scan_url, url_name
from tasksel.run_folder import file_sha256
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Pool", "PoolSource", "load_pool", "read_pool", "scan_pool", "unanswered"]

_FRAME_NAME: Final = "<frame>"
_HASHED_ROWS: Final = 1 << 16
_MAX_ROWS: Final = 2**32 - 1
"""Rows are numbered in 32 bits by polars and by some of our own indexes."""


@dataclass(frozen=True, eq=False)
class Pool:
    """A pool in memory, and where it came from; two pools with one `sha256` hold the same.

    Parameters
    ----------
    frame : pl.DataFrame
        The canonical frame; see the module for its columns.
    shape : str
        The shape that was recognised: a key of `tasksel.pool_shapes.SHAPES`.
    name : str
        Name of the file, or `"<frame>"`.
    sha256 : str
        SHA-256 of the file's bytes, or of the canonical frame's content, as 64 hexadecimal digits.
    notes : tuple of str
        What a person should know (duplicates, empty prompts, ...), one short sentence each.
    named_columns : dict of str to str
        ``task_column`` and ``id_column``, where the user named them instead of the shape.
    """

    frame: pl.DataFrame
    shape: str
    name: str
    sha256: str
    notes: tuple[str, ...] = ()
    named_columns: Mapping[str, str] = field(default_factory=dict)


PoolSource: TypeAlias = "str | os.PathLike[str] | pl.DataFrame | pl.LazyFrame | Pool"
"""What a pool can be read from."""


def read_pool(
    source: PoolSource, *, task_column: str | None = None, id_column: str | None = None
) -> pl.DataFrame:
    r"""Read a pool as its canonical frame.

    Parameters
    ----------
    source : path, pl.DataFrame, pl.LazyFrame or Pool
        A Parquet, JSONL, JSON, CSV or TSV file, a frame, or a pool that was read already; Parquet and JSONL
        also behind a URL that polars reads, as ``s3://bucket/pool.parquet``.
    task_column, id_column : str, optional
        Columns to take the task and the id from, instead of those of the shape.

    Returns
    -------
    pl.DataFrame
        Columns `id`, `task` (if any), `prompt`, `response` (if any), then all others; rows in file order.

    Raises
    ------
    SchemaError
        The source is missing, malformed, without rows, of no known shape, or its ids repeat.

    See Also
    --------
    load_pool : the same with shape, hash and notes.
    scan_pool : the same, lazily.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"instruction": ["Add."], "context": ["1 and 2"], "category": ["math"]})
    >>> read_pool(frame).row(0, named=True)["prompt"]
    'Add.\n\n1 and 2'
    >>> read_pool(frame).columns
    ['id', 'task', 'prompt', 'instruction', 'context', 'category']
    """
    return load_pool(source, task_column=task_column, id_column=id_column).frame


def scan_pool(
    source: PoolSource, *, task_column: str | None = None, id_column: str | None = None
) -> pl.LazyFrame:
    """Read a pool lazily, where its format allows that.

    Parquet files and lazy frames stay lazy throughout. JSONL and CSV files are passed over once, in a
    streaming manner, to check every line and learn every type; their rows are then read when the frame
    is collected. A JSON file is one value and is read at once. That the ids are unique is checked when
    the `id` column is collected, that a lazy frame has rows is not checked. Pages of a Parquet file are read
    when the frame is collected, and damage in them is polars' own error there.

    Parameters
    ----------
    source : path, pl.DataFrame, pl.LazyFrame or Pool
        As in `read_pool`.
    task_column, id_column : str, optional
        As in `read_pool`.

    Returns
    -------
    pl.LazyFrame
        What `read_pool` returns, once collected.

    Raises
    ------
    SchemaError
        As in `read_pool`; here, or for repeated ids when the frame is collected.

    Examples
    --------
    >>> import polars as pl
    >>> scan_pool(pl.LazyFrame({"prompt": ["a", "b", "a"]})).select("id").collect()["id"].to_list()
    ['ca978112ca1bbdca', '3e23e8160039594a', 'ca978112ca1bbdca-2']
    """
    if isinstance(source, Pool):
        _refuse_overrides(task_column, id_column)
        return source.frame.lazy()
    name, scan = _scan(source, task_column, id_column, eager=False)
    plan = _plan(name, scan, task_column, id_column)
    return fill_frame(scan.frame.select(plan.columns), name)


def load_pool(source: PoolSource, *, task_column: str | None = None, id_column: str | None = None) -> Pool:
    """Read a pool with its shape, its hash and what a person should know about it.

    Parameters
    ----------
    source : path, pl.DataFrame, pl.LazyFrame or Pool
        As in `read_pool`; a `Pool` is returned as it is.
    task_column, id_column : str, optional
        As in `read_pool`.

    Returns
    -------
    Pool
        The canonical frame and its provenance.

    Raises
    ------
    SchemaError
        As in `read_pool`.

    Examples
    --------
    >>> import polars as pl
    >>> pool = load_pool(pl.DataFrame({"prompt": ["a", "b", "a"], "id": [7, 8, 9]}))
    >>> pool.shape, pool.name, pool.frame["id"].to_list()
    ('tasksel', '<frame>', ['7', '8', '9'])
    >>> pool.notes
    ('1 row repeats the prompt of an earlier row.',)
    """
    if isinstance(source, Pool):
        _refuse_overrides(task_column, id_column)
        return source
    name, scan = _scan(source, task_column, id_column, eager=True)
    plan = _plan(name, scan, task_column, id_column)
    shaped = scan.frame.select(plan.columns).collect()
    frame = fill_frame(shaped.lazy(), name).collect()
    if isinstance(source, (pl.DataFrame, pl.LazyFrame)) or is_url(source):
        sha256 = _frame_sha256(frame)
    else:
        sha256 = file_sha256(_path(source))
    notes = (*scan.notes, *plan.notes, *pool_notes(shaped, frame))
    named = {"task_column": task_column, "id_column": id_column}
    named_columns = {key: column for key, column in named.items() if column is not None}
    return Pool(frame, plan.shape, name, sha256, notes, named_columns)


def _scan(
    source: PoolSource, task_column: str | None, id_column: str | None, *, eager: bool
) -> tuple[str, FileScan]:
    if isinstance(source, pl.LazyFrame):
        source = source.collect() if eager else source
    if isinstance(source, pl.DataFrame):
        if source.is_empty():
            raise SchemaError("The frame holds no rows; a pool has at least one.")
        if source.height > _MAX_ROWS:
            raise SchemaError(f"The frame holds {source.height:,} rows; a pool has at most {_MAX_ROWS:,}.")
        source = source.lazy()
    if isinstance(source, pl.LazyFrame):
        return _FRAME_NAME, FileScan(source)
    if is_url(source):
        return url_name(source), scan_url(source, eager=eager)
    path = _path(source)
    text_columns = TEXT_COLUMNS | {column for column in (task_column, id_column) if column is not None}
    return path.name, scan_file(path, text_columns=text_columns, eager=eager)


def _path(source: object) -> Path:
    if not isinstance(source, (str, os.PathLike)):
        raise ConfigError(
            f"A pool cannot be read from {type(source).__name__}; allowed are a path, a polars DataFrame or "
            "LazyFrame, and a Pool."
        )
    return expanded_home(source)


def _plan(name: str, scan: FileScan, task_column: str | None, id_column: str | None) -> ShapePlan:
    return plan_shape(name, scan.frame.collect_schema(), task_column=task_column, id_column=id_column)


def _refuse_overrides(task_column: str | None, id_column: str | None) -> None:
    if task_column is not None or id_column is not None:
        raise ConfigError(
            "This pool was read already, so task_column and id_column cannot change it; "
            "pass its file, or pool.frame."
        )


def _frame_sha256(frame: pl.DataFrame) -> str:
    """Hash the content of a frame: names, types and rows, whatever its chunks and buffers look like."""
    digest = hashlib.sha256(repr(list(frame.schema.items())).encode())
    in_python = [name for name, dtype in frame.schema.items() if _holds(dtype, pl.Binary)]
    # JSON lines are the same for the same values on every machine; they cannot hold bytes, and a Python
    # object has no content that could be hashed.
    as_json = [
        name
        for name, dtype in frame.schema.items()
        if not _holds(dtype, pl.Binary) and not _holds(dtype, pl.Object)
    ]
    for block in frame.iter_slices(_HASHED_ROWS):
        lines = pl.DataFrame([_without_dates(block[name]) for name in as_json])
        digest.update(lines.write_ndjson().encode())
        for name in in_python:
            digest.update(repr(_without_dates(block[name]).to_list()).encode())
    return digest.hexdigest()


def _without_dates(column: pl.Series) -> pl.Series:
    numbers = dates_as_numbers(column.dtype)
    # No date fails to be a number, and looking for ones that do makes Polars panic in nested arrays.
    return column if numbers == column.dtype else column.cast(numbers, strict=False)


def _holds(dtype: object, kind: type[pl.DataType]) -> bool:
    """Whether a type is of a kind, or a list or struct with such a thing inside."""
    if isinstance(dtype, (pl.List, pl.Array)):
        return _holds(dtype.inner, kind)
    if isinstance(dtype, pl.Struct):
        return any(_holds(field.dtype, kind) for field in dtype.fields)
    return dtype == kind


def unanswered(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a canonical frame whose response is missing or blank; all without such a column.

    Examples
    --------
    >>> frame = pl.DataFrame({"prompt": ["a", "b", "c"], "response": ["yes", None, " "]})
    >>> unanswered(frame)["prompt"].to_list()
    ['b', 'c']
    """
    if "response" not in frame.columns:
        return frame
    return frame.filter(pl.col("response").fill_null("").str.strip_chars() == "")

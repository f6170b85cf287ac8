"""Frames and arrays in files that appear whole or not at all."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import polars.selectors as cs

from tasksel.json_shapes import NUMBER, TEXT_OR_NULL, kinds_of
from tasksel.run_folder import write_bytes
from tasksel.wording import first_line, printable
from tasksel_core.errors import ResumeError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["check_columns", "read_frame", "stack_frames", "write_array", "write_frame"]

_TEXTS: Final = (pl.String, pl.Categorical, pl.Enum)
_REMEDY: Final = "restore it, or make it anew"


def read_frame(
    path: Path, shape: Mapping[str, Any], *, is_all: bool = False, remedy: str = _REMEDY
) -> pl.DataFrame:
    """Read a Parquet file that tasksel wrote.

    Parameters
    ----------
    path : Path
        The file.
    shape : mapping of str to shape
        The columns that the caller relies on; see `check_columns`.
    is_all : bool
        Whether these are all that is wanted: others are not read.
    remedy : str
        What the message advises.

    Raises
    ------
    ResumeError
        It cannot be read, or is not as tasksel wrote it.
    """
    try:
        frame = pl.read_parquet(path, columns=list(shape) if is_all else None)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ResumeError(f"{path} cannot be read ({first_line(error)}); {remedy}.") from error
    check_columns(frame, shape, path, remedy=remedy)
    # A column of nulls alone may have no type of its own.
    texts = [name.removesuffix("?") for name, kind in shape.items() if kind == TEXT_OR_NULL]
    return frame.with_columns((cs.by_dtype(pl.Null) & cs.by_name(*texts, require_all=False)).cast(pl.String))


def stack_frames(before: pl.DataFrame, after: pl.DataFrame, where: str) -> pl.DataFrame:
    """Put frames that have grown apart below each other: all columns of both, in types that hold both.

    Parameters
    ----------
    before, after : pl.DataFrame
        What stands in a run folder, and what comes to it.
    where : str
        Where the first stands, for the message: ``in the rounds before``.

    Raises
    ------
    SchemaError
        No type holds both; the message names the column.
    """
    try:
        return pl.concat([before, after], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        old, new = before.schema, after.schema
        names = (name for name in old.keys() & new.keys() if not _go_together(old[name], new[name]))
        name = min(names, default="")
        types = f"is of type {new.get(name)}, and {where} of type {old.get(name)}; no type holds both"
        raise SchemaError(
            f"Column {name!r} {printable(types, max_chars=400)}. Leave the column out of the pool, or choose "
            "another run folder."
        ) from error


def _go_together(one: pl.DataType, other: pl.DataType) -> bool:
    try:
        pl.concat([pl.Series(dtype=each).to_frame("a") for each in (one, other)], how="vertical_relaxed")
    except pl.exceptions.PolarsError:
        return False
    return True


def check_columns(
    frame: pl.DataFrame, shape: Mapping[str, Any], path: Path, *, remedy: str = _REMEDY
) -> None:
    """Refuse a frame that has not the columns that it should have; others are not looked at.

    Parameters
    ----------
    frame : pl.DataFrame
        What `path` holds.
    shape : mapping of str to shape
        Of each value in a column, as `tasksel.json_shapes` says it: text, numbers, truth values, with or
        without nulls, and lists of them. A column with ``?`` at the end of its name may be missing.
    path : Path
        For the message.
    remedy : str
        What the message advises.

    Raises
    ------
    ResumeError
        The message names the file and the column.

    Examples
    --------
    >>> from pathlib import Path
    >>> check_columns(pl.DataFrame({"id": ["a"], "n": [1]}), {"id": str, "task?": str}, Path("p.parquet"))
    >>> check_columns(pl.DataFrame({"id": [7]}), {"id": str}, Path("p.parquet"))
    Traceback (most recent call last):
        ...
    tasksel_core.errors.ResumeError: p.parquet is not as tasksel wrote it: column 'id' is of type Int64, \
where text stands; restore it, or make it anew.
    """
    for name, kind in shape.items():
        column = name.removesuffix("?")
        if column in frame.columns:
            trouble = _column_trouble(frame[column], kind)
        else:
            trouble = None if name.endswith("?") else "is missing"
        if trouble is not None:
            said = printable(f"column {column!r} {trouble}", max_chars=300)
            raise ResumeError(f"{path} is not as tasksel wrote it: {said}; {remedy}.")


def _column_trouble(values: pl.Series, shape: Any) -> str | None:
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if values.dtype != pl.Null and not any(_is_of(values.dtype, kind) for kind in kinds):
        return f"is of type {values.dtype}, where {kinds_of(shape)} stands"
    if values.null_count() and None not in kinds:
        return f"has nulls, where {kinds_of(shape)} stands"
    return None


def _is_of(dtype: pl.DataType, kind: Any) -> bool:
    if kind is str:
        return dtype in _TEXTS
    if kind is int:
        return dtype.is_integer()
    if kind is NUMBER:
        return dtype.is_integer() or dtype.is_float()
    if isinstance(kind, list):
        return isinstance(dtype, pl.List) and (dtype.inner == pl.Null or _is_of(dtype.inner, kind[0]))  # type: ignore[arg-type]
    return kind is bool and dtype == pl.Boolean


def write_frame(path: Path, frame: pl.DataFrame, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write a frame as Parquet, atomically.

    Parameters
    ----------
    path : Path
        The final place; its parent folder must exist.
    frame : pl.DataFrame
        Any columns that Parquet holds.
    metadata : mapping of str to str, optional
        Kept in the file beside the columns.

    Raises
    ------
    OSError
        The disk is full, or the folder cannot be written to.
    """
    content = io.BytesIO()  # through memory, since polars hides a full disk behind an error of its own
    frame.write_parquet(content, metadata=None if metadata is None else dict(metadata))
    write_bytes(path, content.getbuffer())


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array of any shape and dtype as ``.npy``, atomically; errors as in `write_frame`."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_bytes(path, content.getbuffer())

"""Frames and arrays in files that appear whole or not at all."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from tasksel.run_folder import write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

__all__ = ["write_array", "write_frame"]


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

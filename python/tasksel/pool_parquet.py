"""Parquet files of a pool, and whether there is memory for what they unfold to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.host_memory import free_memory_bytes
from tasksel.polars_panics import panics_kept_quiet
from tasksel.pool_file_scan import FileScan, first_clause, no_rows
from tasksel.pool_parquet_footer import read_column_sizes
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

__all__ = ["check_fits", "damage_named", "scan_parquet"]

_MAGIC: Final = b"PAR1"
_ENCRYPTED_MAGIC: Final = b"PARE"


def scan_parquet(path: Path, *, eager: bool) -> FileScan:
    """Open a Parquet file.

    Parameters
    ----------
    path : Path
        The file.
    eager : bool
        Read everything now.

    Raises
    ------
    SchemaError
        It is damaged, of another kind, without rows, or too large for the memory.
    """
    _check_frame(path)
    if eager:
        check_fits(path)
    with damage_named(path):
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        if eager:
            frame = lazy.collect()
            rows, lazy = frame.height, frame.lazy()
        else:
            lazy.collect_schema()
            rows = int(lazy.select(pl.len()).collect().item())
    if rows == 0:
        raise no_rows(path)
    return FileScan(lazy)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Say of a Parquet file that it is damaged where polars fails over it in this block.

    A lazy frame reads the pages of its file when it is collected, and finds out there what is wrong in them.

    Raises
    ------
    SchemaError
        In the place of what polars raised.
    """
    try:
        with panics_kept_quiet():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise SchemaError(
            f"{path.name} cannot be read as Parquet, it is damaged or of an unknown kind "
            f"({first_clause(error)}); write it again."
        ) from error


def check_fits(path: Path, columns: Collection[str] | None = None) -> None:
    """Refuse a Parquet file whose columns take more memory than there is.

    A reader that runs out of memory in the middle is killed without a word, and a file of a few hundred bytes
    is enough for that.

    Parameters
    ----------
    path : Path
        The file.
    columns : collection of str, optional
        Those that are going to be read; default all.

    Raises
    ------
    SchemaError
        The message names the largest column.
    """
    sizes, free = read_column_sizes(path), free_memory_bytes()
    if sizes is None or free is None:
        return
    wanted = [each for each in sizes if columns is None or each.name in columns]
    total = sum(each.memory_bytes for each in wanted)
    if total > free:
        largest = max(wanted, key=lambda each: each.memory_bytes)
        raise SchemaError(
            f"{path.name} unfolds to {total / 1e9:,.1f} GB, more than the memory that is free; its largest "
            f"column is {largest.name!r} with {largest.values:,} values. Leave such a column out, or split "
            "the file."
        )


def _check_frame(path: Path) -> None:
    with path.open("rb") as source:
        head = source.read(4)
        source.seek(-min(4, path.stat().st_size), 2)
        tail = source.read(4)
    if head == _ENCRYPTED_MAGIC:
        raise SchemaError(f"{path.name} is an encrypted Parquet file; write it without encryption.")
    if head != _MAGIC:
        raise SchemaError(
            f"{path.name} is not a Parquet file (it does not begin with PAR1); "
            "write it as Parquet or give it the suffix of what it is."
        )
    if tail == _ENCRYPTED_MAGIC:
        raise SchemaError(f"{path.name} has an encrypted footer; write it without encryption.")
    if tail != _MAGIC:
        raise SchemaError(
            f"{path.name} is a Parquet file that was cut short (its end, which holds the index, is missing); "
            "copy or write it again."
        )

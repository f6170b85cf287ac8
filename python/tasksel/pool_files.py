"""Files of a pool by their suffix, and Parquet; each malformed file gets one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.pool_csv import scan_csv
from tasksel.pool_file_scan import FileScan, first_clause, no_rows
from tasksel.pool_json import read_json, scan_jsonl
from tasksel.pool_text import text_traits
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["SUFFIXES", "scan_file"]

SUFFIXES: Final = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Suffixes of the files that can be read, in any case."""

_PARQUET_MAGIC: Final = b"PAR1"
_COMPRESSED: Final = frozenset({".gz", ".zst", ".bz2", ".xz", ".zip"})


def scan_file(path: Path, *, text_columns: Iterable[str], eager: bool) -> FileScan:
    """Open a pool file by its suffix.

    Parameters
    ----------
    path : Path
        An existing file with one of `SUFFIXES`.
    text_columns : iterable of str
        Columns of a CSV or TSV file that stay text even where every value looks like a number.
    eager : bool
        Read everything now. Otherwise Parquet, JSONL and CSV stay lazy; JSONL and CSV are still passed
        over once, in a streaming manner, to check every line and to learn every column's type.

    Returns
    -------
    FileScan
        The columns of the file and what had to be mended.

    Raises
    ------
    SchemaError
        The file is missing, empty, of another kind or malformed; the message says where and what is
        allowed.
    """
    suffix = _checked_suffix(path)
    if suffix == ".parquet":
        return _scan_parquet(path, eager=eager)
    traits = text_traits(path, is_json=suffix not in (".csv", ".tsv"))
    if suffix == ".json":
        return read_json(path, traits)
    if suffix in (".jsonl", ".ndjson"):
        return scan_jsonl(path, traits, eager=eager)
    separator = "\t" if suffix == ".tsv" else ","
    return scan_csv(path, separator, text_columns=frozenset(text_columns), eager=eager)


def _checked_suffix(path: Path) -> str:
    allowed = ", ".join(SUFFIXES)
    try:
        is_folder, exists, is_file = path.is_dir(), path.exists(), path.is_file()
    except (OSError, ValueError) as error:  # a name that is too long, or that holds NUL
        raise SchemaError(f"{_shown(str(path))} cannot be a file name ({first_clause(error)}).") from error
    if is_folder:
        raise SchemaError(f"{path} is a folder; a pool is one file ({allowed}).")
    if not exists:
        raise SchemaError(f"{path} does not exist; a pool is a file with one of the suffixes {allowed}.")
    if not is_file:
        raise SchemaError(f"{path} is not a regular file; a pool is a file on disk ({allowed}).")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        had = f"has the suffix {path.suffix!r}" if suffix else "has no suffix"
        hint = " (decompress it first)" if suffix in _COMPRESSED else ""
        raise SchemaError(f"{path.name} {had}{hint}; a pool has one of {allowed}.")
    try:
        with path.open("rb") as source:
            if not source.read(1):
                raise SchemaError(f"{path.name} is empty (0 bytes); a pool has at least one row.")
    except OSError as error:
        raise SchemaError(f"{path} cannot be read ({error.strerror or error}).") from error
    return suffix


def _shown(text: str, most: int = 80) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def _scan_parquet(path: Path, *, eager: bool) -> FileScan:
    _check_parquet_frame(path)
    try:
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        if eager:
            frame = lazy.collect()
            rows, lazy = frame.height, frame.lazy()
        else:
            lazy.collect_schema()
            rows = int(lazy.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise SchemaError(
            f"{path.name} cannot be read as Parquet, it is damaged or of an unknown kind "
            f"({first_clause(error)}); write it again."
        ) from error
    if rows == 0:
        raise no_rows(path)
    return FileScan(lazy)


def _check_parquet_frame(path: Path) -> None:
    with path.open("rb") as source:
        head = source.read(4)
        source.seek(-min(4, path.stat().st_size), 2)
        tail = source.read(4)
    if head != _PARQUET_MAGIC:
        raise SchemaError(
            f"{path.name} is not a Parquet file (it does not begin with PAR1); "
            "write it as Parquet or give it the suffix of what it is."
        )
    if tail != _PARQUET_MAGIC:
        raise SchemaError(
            f"{path.name} is a Parquet file that was cut short (its end, which holds the index, is missing); "
            "copy or write it again."
        )

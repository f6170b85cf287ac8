"""Files of a pool by their suffix; each malformed file gets one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasksel.file_places import file_trouble
from tasksel.polars_panics import panics_kept_quiet
from tasksel.pool_csv import scan_csv
from tasksel.pool_json import read_json, scan_jsonl
from tasksel.pool_parquet import scan_parquet
from tasksel.pool_text import text_traits
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tasksel.pool_file_scan import FileScan

__all__ = ["SUFFIXES", "scan_file"]

SUFFIXES: Final = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Suffixes of the files that can be read, in any case."""

_WANTED: Final = {
    "does not exist": "a pool is a file with one of the suffixes {allowed}",
    "is a folder": "a pool is one file ({allowed})",
}
"""What is said of a path that is no file, where it is not the same for all."""
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
    with panics_kept_quiet():
        return _scan_kind(path, suffix, frozenset(text_columns), eager=eager)


def _scan_kind(path: Path, suffix: str, text_columns: frozenset[str], *, eager: bool) -> FileScan:
    if suffix == ".parquet":
        return scan_parquet(path, eager=eager)
    traits = text_traits(path, is_json=suffix not in (".csv", ".tsv"))
    if suffix == ".json":
        return read_json(path, traits)
    if suffix in (".jsonl", ".ndjson"):
        return scan_jsonl(path, traits, eager=eager)
    separator = "\t" if suffix == ".tsv" else ","
    return scan_csv(path, separator, text_columns=text_columns, eager=eager)


def _checked_suffix(path: Path) -> str:
    allowed = ", ".join(SUFFIXES)
    trouble = file_trouble(path)
    if trouble is not None:
        wanted = _WANTED.get(trouble, "a pool is a file on disk ({allowed})").format(allowed=allowed)
        raise SchemaError(f"{_shown(str(path))} {trouble}; {wanted}.")
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


def _shown(name: str, most: int = 200) -> str:
    return name if len(name) <= most else f"{name[:most]}…"

"""What every reader of a pool file returns, and the sentences that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

__all__ = ["FileScan", "first_clause", "no_rows"]


@dataclass(frozen=True)
class FileScan:
    """A file as it stands, before its columns are given meaning.

    Parameters
    ----------
    frame : pl.LazyFrame
        The columns of the file, in file order.
    notes : tuple of str
        What had to be mended while reading, one short sentence each.
    """

    frame: pl.LazyFrame
    notes: tuple[str, ...] = ()


def first_clause(error: BaseException) -> str:
    """Return what a Polars error says before its advice: one line, at most 160 characters."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    clause = " ".join(lines[0].split()).rstrip(".:")
    return clause if len(clause) <= 160 else clause[:159] + "…"


def no_rows(path: Path) -> SchemaError:
    """Make the error for a file that holds nothing."""
    return SchemaError(f"{path.name} holds no rows; a pool has at least one.")

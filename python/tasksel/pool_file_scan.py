"""What every reader of a pool file returns, and the sentences that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.wording import first_line, printable
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileScan", "first_clause", "no_rows"]

_CLAUSE_CHARS: Final = 160


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
    r"""Return what an error of polars says before its advice: one line, at most 160 characters.

    Examples
    --------
    >>> print(first_clause(ValueError("no such\tcolumn.\nDid you mean ...?")))
    no such\tcolumn
    """
    if isinstance(error, pl.exceptions.PanicException):
        return "polars gave up on it"  # what a panic says is about the code of polars
    return printable(first_line(error).rstrip(".:"), max_chars=_CLAUSE_CHARS)


def no_rows(path: Path) -> SchemaError:
    """Make the error for a file that holds nothing."""
    return SchemaError(f"{path.name} holds no rows; a pool has at least one.")

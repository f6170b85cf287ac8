"""CSV that spreadsheets may open, written and read: no cell is a formula (see `tasksel.csv_cells`)."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.annotation.answers import RETURNED_SCHEMA
from tasksel.csv_cells import defused, undefused_texts
from tasksel.pool_csv import scan_csv
from tasksel.pool_text import text_traits
from tasksel.run_folder import atomic_path
from tasksel_core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tasksel.annotation.assignment import Assignment

__all__ = ["CSV_NAME", "read_table", "table_of", "with_empty_answers", "write_table"]

CSV_NAME: Final = "answers.csv"
_SEPARATORS: Final = ",;\t"
_FILLED_IN: Final = ("response", "status", "note", "annotator")
_LONGEST_HEADER: Final = 1 << 16


def table_of(assignment: Assignment) -> pl.DataFrame:
    """Lay an assignment out as a table to fill in: what is known on the left, empty columns on the right."""
    frame = assignment.frame
    given = [name for name in ("id", "rank", "task", "prompt") if name != "task" or assignment.has_tasks]
    given += ["suggestion", "suggestion_confidence"] if assignment.has_suggestions else []
    return with_empty_answers(frame.select(*given, "prompt_sha256"))


def with_empty_answers(table: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that are to be filled in, the hash of the prompt behind them."""
    empty = [pl.lit(None, dtype=pl.String).alias(name) for name in _FILLED_IN]
    return table.select(pl.exclude("prompt_sha256"), *empty, "prompt_sha256")


def write_table(path: Path, table: pl.DataFrame, *, bom: bool = False) -> None:
    """Write a table as CSV, every field in quotes.

    Parameters
    ----------
    path : Path
        The final place.
    table : DataFrame
        Texts, numbers and nulls; null is an empty field.
    bom : bool
        Begin with the byte order mark that makes Excel read UTF-8.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if bom:
            file.write(codecs.BOM_UTF8)
        for row in (table.columns, *table.iter_rows()):
            file.write((",".join(map(_field, row)) + "\n").encode())


def _field(value: object) -> str:
    text = "" if value is None else defused(value) if isinstance(value, str) else str(value)
    return '"' + text.replace('"', '""') + '"'


def read_table(path: Path, *, text_columns: Iterable[str]) -> pl.DataFrame:
    """Read a CSV or TSV file that a spreadsheet may have saved: comma, semicolon or tab, with or without BOM.

    Parameters
    ----------
    path : Path
        The file.
    text_columns : iterable of str
        Columns that stay text though they look like numbers, beside those that answers have.

    Raises
    ------
    SchemaError
        It is not UTF-8, or malformed.
    """
    text_traits(path, is_json=False)
    names = frozenset({*RETURNED_SCHEMA, "rank", "task", "suggestion", *text_columns})
    frame = scan_csv(path, _separator(path), text_columns=names, eager=True).frame.collect()
    return undefused_texts(frame)


def _separator(path: Path) -> str:
    """Tell the separator by the header, in which names hold none."""
    with path.open("rb") as file:
        header = file.readline(_LONGEST_HEADER).decode("utf-8-sig", errors="replace")
    found = max(_SEPARATORS, key=header.count)
    if not header.strip():
        raise AnnotationError(f"{path.name} begins with an empty line; its first line must name the columns.")
    return found

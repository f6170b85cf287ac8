"""A table with answers, of any making: which column is what, and what each row says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import polars.selectors as cs

from tasksel.annotation.answers import ANSWERED, EMPTY, OPEN, REJECTED, RETURNED_SCHEMA, SKIPPED
from tasksel.pool_dates import dates_as_text
from tasksel.suggestions import did_you_mean
from tasksel.wording import listed
from tasksel_core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_rows"]

_STATUSES: Final = {
    "skip": SKIPPED,
    "skipped": SKIPPED,
    "reject": REJECTED,
    "rejected": REJECTED,
    "empty": EMPTY,
}
_PLAIN_STATUSES: Final = ("", "answered", "completed", "done", "ok", "open", "submitted")
"""With these it is the response that says whether there is one."""
_FLAT_LABEL_STUDIO: Final = {"annotation_id", "lead_time"}
_BLANK: Final = r"^\s*$"


def read_rows(
    table: pl.DataFrame, name: str, *, response_column: str | None, id_column: str | None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read a table as answers, one row a row.

    A row without a response, a status and an annotator is open: nobody has been there.

    Parameters
    ----------
    table : DataFrame
        With a response, and an id or the prompt; names may differ in case and in white space around them.
    name : str
        Of the file, for errors.
    response_column, id_column : str or None
        Names of these columns, if they are others.

    Returns
    -------
    frame : DataFrame
        `RETURNED_SCHEMA`.
    notes : tuple of str
        Statuses that say nothing.

    Raises
    ------
    AnnotationError
        A column is missing, stands twice, or holds lists.
    """
    named = _named_columns(table.columns, name)
    if set(named) >= _FLAT_LABEL_STUDIO:
        raise AnnotationError(
            f"{name} is Label Studio's CSV or JSON-MIN, in which the ids of the prompts are lost; export as "
            "JSON."
        )
    columns = {column: named.get(column) for column in RETURNED_SCHEMA if column != "foreign_id"}
    columns["response"] = _given(response_column, table.columns, name) or columns["response"]
    columns["id"] = _given(id_column, table.columns, name) or columns["id"]
    _check_columns(columns, table.columns, name)
    # Lazily, since an eager query adds to an error where in it that was raised.
    lazy = table.lazy().select(
        _text(table, column, name).alias(wanted)
        if column is not None
        else pl.lit(None, dtype=pl.String).alias(wanted)
        for wanted, column in columns.items()
    )
    texts = lazy.collect()
    said = pl.col("status").fill_null("").str.strip_chars().str.to_lowercase()
    strange = texts.filter(~said.is_in([*_STATUSES, *_PLAIN_STATUSES]))["status"]
    return _judged(texts, said), _status_notes(strange)


def _named_columns(names: Sequence[str], file: str) -> dict[str, str]:
    """Return the columns by their names in small letters, without white space around them."""
    named: dict[str, str] = {}
    for each in names:
        key = each.strip().lower()
        if key in named and key in RETURNED_SCHEMA and each != named[key]:
            raise AnnotationError(f"{file} has two columns {key!r}: {named[key]!r} and {each!r}; leave one.")
        named.setdefault(key, each)
    return named


def _given(column: str | None, names: Sequence[str], file: str) -> str | None:
    if column is not None and column not in names:
        raise AnnotationError(
            f"{file} has no column {column!r}: found {listed(names)}.{did_you_mean(column, names)}"
        )
    return column


def _check_columns(columns: dict[str, str | None], names: Sequence[str], file: str) -> None:
    if columns["response"] is None:
        raise AnnotationError(
            f"{file} has no column 'response': found {listed(names)}. Name the column with the answers "
            "with --response-column (response_column=)."
        )
    if columns["id"] is None and columns["prompt"] is None:
        raise AnnotationError(
            f"{file} has neither the column 'id' nor 'prompt', so that no answer can be joined to its "
            f"prompt: found {listed(names)}. Name the column with the ids with --id-column (id_column=)."
        )


def _text(table: pl.DataFrame, column: str, file: str) -> pl.Expr:
    dtype = table.schema[column]
    if dtype.is_nested() or dtype in (pl.Binary, pl.Duration, pl.Object):
        raise AnnotationError(f"{file}: column {column!r} is {str(dtype)[:80]}; wanted is text, one a row.")
    value = cs.by_name(column).as_expr()  # pl.col would take a name like "^a.*$" as a pattern
    if dtype in (pl.Date, pl.Datetime):
        return dates_as_text(value, f"{file}: column {column!r}")
    if dtype.is_float():  # as ids become where a column of integers has gaps
        whole = value.cast(pl.Int64, strict=False)
        return (
            pl.when(whole.cast(dtype) == value).then(whole.cast(pl.String)).otherwise(value.cast(pl.String))
        )
    return value.cast(pl.String)


def _judged(texts: pl.DataFrame, said: pl.Expr) -> pl.DataFrame:
    """Say what each row is, and keep the response of those alone that are answers."""
    is_absent = pl.col("response").is_null() | (pl.col("response") == "")
    is_signed = pl.col("annotator").fill_null("").str.strip_chars() != ""
    status = (
        pl.when(said.is_in(list(_STATUSES)))
        .then(said.replace(_STATUSES))
        .when(is_absent & ~is_signed)
        .then(pl.lit(OPEN))
        .when(is_absent | pl.col("response").str.contains(_BLANK))
        .then(pl.lit(EMPTY))
        .otherwise(pl.lit(ANSWERED))
    )
    judged = texts.with_columns(status=status, foreign_id=pl.lit(None, dtype=pl.String))
    response = pl.when(pl.col("status") == ANSWERED).then(pl.col("response"))
    annotator = pl.when(is_signed).then(pl.col("annotator").str.strip_chars())
    return judged.with_columns(response=response, annotator=annotator).select(RETURNED_SCHEMA.names())


def _status_notes(strange: pl.Series) -> tuple[str, ...]:
    if strange.is_empty():
        return ()
    known = f"{ANSWERED}, {SKIPPED}, {REJECTED}"
    return (
        (
            f"{len(strange):,} rows have a status that says nothing here, as {str(strange[0])[:40]!r}; known "
            f"are {known}. Whether they are answers was read from the response."
        ),
    )

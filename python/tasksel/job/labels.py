"""Answers to selected prompts: the pool's own, or those of a file, joined by id or by prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.pool import load_pool, unanswered
from tasksel.pool_files import scan_file
from tasksel_core.errors import AnnotationError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Labelled", "label_selection", "read_labels"]

_KEYS: Final = ("id", "prompt")
"""What an answer belongs to its prompt by: the first that the file has."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """A selection with answers.

    Parameters
    ----------
    frame : DataFrame
        The selected rows, best first, with ``response``; null where there is none.
    missing : DataFrame
        Those of them without an answer.
    notes : tuple of str
        What a person should know.
    """

    frame: pl.DataFrame
    missing: pl.DataFrame
    notes: tuple[str, ...] = ()


def read_labels(path: Path) -> pl.DataFrame:
    """Read a file of labelled rows.

    Parameters
    ----------
    path : Path
        A pool in any of the usual shapes, with responses; or a file with the columns ``id`` and ``response``.

    Returns
    -------
    DataFrame
        ``response``, and ``id`` or ``prompt``.

    Raises
    ------
    SchemaError
        The file cannot be read.
    AnnotationError
        It has no responses, or nothing that says to which prompt they belong.
    """
    found = scan_file(path, text_columns=("id", "response"), eager=True).frame.collect()
    if not {"id", "response"} <= set(found.columns):
        try:
            found = load_pool(path).frame
        except SchemaError as error:
            raise AnnotationError(
                f"The labels {path.name} have the columns {', '.join(map(repr, found.columns))}; wanted are "
                f"response and id (or prompt), or a usual shape with answers. ({error})"
            ) from error
        if "response" not in found.columns:
            raise AnnotationError(f"The labels {path.name} have no column response.")
        return found.select("prompt", "response")
    return found.select(pl.col("id").cast(pl.String), pl.col("response").cast(pl.String))


def label_selection(selected: pl.DataFrame, labels: pl.DataFrame | None, name: str = "") -> Labelled:
    """Give each selected row its answer.

    An answer of `labels` goes before one that the pool has.

    Parameters
    ----------
    selected : DataFrame
        As `tasksel.Selection.frame`.
    labels : DataFrame, optional
        As `read_labels` gives them; blank answers count as none.
    name : str
        Of the file of labels, for errors.

    Raises
    ------
    AnnotationError
        One prompt has two different answers.

    Examples
    --------
    >>> selected = pl.DataFrame({"id": ["a", "b"], "prompt": ["1+1=", "2+2="], "rank": [1, 2]})
    >>> labelled = label_selection(selected, pl.DataFrame({"id": ["b"], "response": ["4"]}))
    >>> labelled.frame["response"].to_list(), labelled.missing["id"].to_list()
    ([None, '4'], ['a'])
    """
    notes: tuple[str, ...] = ()
    frame = selected
    if labels is not None:
        key = next(each for each in _KEYS if each in labels.columns)
        answers = _answers(labels, key, name)
        notes = _strangers(selected, answers, key, name)
        frame = _joined(selected, answers, key)
    if "response" not in frame.columns:
        frame = frame.with_columns(response=pl.lit(None, dtype=pl.String))
    return Labelled(frame, unanswered(frame), notes)


def _answers(labels: pl.DataFrame, key: str, name: str) -> pl.DataFrame:
    """Return one answer a prompt."""
    given = labels.filter(pl.col(key).is_not_null() & (pl.col("response").str.strip_chars() != "")).unique(
        [key, "response"], maintain_order=True
    )
    repeated = given.filter(pl.col(key).is_duplicated())
    if repeated.height:
        raise AnnotationError(
            f"The labels {name} have two different answers to the {key} {repeated[key][0][:80]!r}; leave one."
        )
    return given.select(key, pl.col("response").alias("_answer"))


def _joined(selected: pl.DataFrame, answers: pl.DataFrame, key: str) -> pl.DataFrame:
    own = pl.col("response") if "response" in selected.columns else pl.lit(None, dtype=pl.String)
    return (
        selected.join(answers, on=key, how="left", maintain_order="left")
        .with_columns(response=pl.coalesce("_answer", own))
        .drop("_answer")
    )


def _strangers(selected: pl.DataFrame, answers: pl.DataFrame, key: str, name: str) -> tuple[str, ...]:
    strange = answers.join(selected, on=key, how="anti").height
    if not strange:
        return ()
    if strange == 1:
        return (f"1 answer of {name} belongs to no selected prompt and is not used.",)
    return (f"{strange:,} answers of {name} belong to no selected prompt and are not used.",)

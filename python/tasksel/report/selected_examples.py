"""The table of selected examples: as much of each text as the file has room for."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.html_page import paragraph, shown
from tasksel.html_page_search import PLAIN_ROWS, RecordColumn, encoded_bytes, record_table

if TYPE_CHECKING:
    from tasksel.report.selection_reading import SelectionMaterial

__all__ = ["examples_block"]

MAX_TEXT_CHARS: Final = 1_000
_SHORT_CHARS: Final = 80
"""Of ids and names of tasks."""
_PLAIN_BYTES: Final = 80_000
"""What the rows for readers without scripts take at most."""
_SHORTEST_TEXT: Final = 60
"""Bytes of a text that still says something."""
_TEXTS: Final = ("prompt", "response")


def examples_block(material: SelectionMaterial, *, max_bytes: int) -> str:
    """Return the selected examples as a table that can be searched and sorted.

    Parameters
    ----------
    material : SelectionMaterial
        What was selected.
    max_bytes : int
        What the table may take; texts are cut to fit, all at the same length.
    """
    room = max_bytes - _PLAIN_BYTES
    frame = material.saved.frame
    fixed = _fixed_columns(material)
    n_shown = _rows_that_fit(encoded_bytes(fixed), frame.height, room)
    fixed = [dataclasses.replace(each, values=each.values[:n_shown]) for each in fixed]
    texts = frame.head(n_shown).select(
        name for name in _TEXTS if name in frame.columns and frame[name].dtype == pl.String
    )
    columns, longest = _text_columns(texts, room - encoded_bytes(fixed))
    label = f"{n_shown:,} selected prompts"
    return _notes(frame.height, texts, longest) + record_table([fixed[0], *columns, *fixed[1:]], label=label)


def _rows_that_fit(n_bytes: int, n_rows: int, room: int) -> int:
    """Return how many rows have room with a text of some length each: of several selections not all may."""
    each = n_bytes / max(1, n_rows) + _SHORTEST_TEXT
    return min(n_rows, max(PLAIN_ROWS, int(room / each)))


def _notes(n_rows: int, texts: pl.DataFrame, longest: int) -> str:
    notes = [f"All {n_rows:,} in the order in which to label them."]
    if texts.height < n_rows:
        notes = [f"The first {texts.height:,} of {n_rows:,} in the order in which to label them."]
    cut = sum(int((texts[name].str.len_chars() > longest).sum()) for name in texts.columns)
    if cut:
        notes.append(
            f"{cut:,} texts are longer than {longest:,} characters and lack their middle here, which the "
            "search does not see."
        )
    if cut or texts.height < n_rows:
        notes.append("selected.jsonl has all of it.")
    return paragraph(" ".join(notes), soft=True)


def _fixed_columns(material: SelectionMaterial) -> list[RecordColumn]:
    frame = material.saved.frame
    columns = [RecordColumn("Rank", frame["rank"].to_list(), is_number=True)]
    if "task" in frame.columns:
        columns.append(RecordColumn("Task", _short(frame["task"])))
    confidences = material.selected_confidences()
    if confidences is not None:
        columns.append(RecordColumn("Confidence", confidences, is_number=True))
    columns.append(RecordColumn("Id", _short(frame["id"])))
    return columns


def _short(values: pl.Series) -> list[Any]:
    return [
        None if value is None else shown(value, max_chars=_SHORT_CHARS) for value in values.cast(pl.String)
    ]


def _text_columns(texts: pl.DataFrame, room: int) -> tuple[list[RecordColumn], int]:
    """Cut all texts at the longest length, up to a limit, with which they take no more than the room."""
    lengths = [
        int(np.max(texts[name].str.len_chars().drop_nulls().to_numpy(), initial=0)) for name in texts.columns
    ]
    low, high = 0, min(max(lengths, default=0), MAX_TEXT_CHARS)
    while low < high:
        middle = math.ceil((low + high) / 2)
        if encoded_bytes(_excerpts(texts, middle)) <= room:
            low = middle
        else:
            high = middle - 1
    return _excerpts(texts, low), low


def _excerpts(texts: pl.DataFrame, max_chars: int) -> list[RecordColumn]:
    return [
        RecordColumn(name.capitalize(), [_excerpt(text, max_chars) for text in texts[name]], kind="text")
        for name in texts.columns
    ]


def _excerpt(text: str | None, max_chars: int) -> str | None:
    """Leave out the middle: prompts of a task often begin alike, and differ at their end.

    Examples
    --------
    >>> _excerpt("Add the two numbers: 12 + 30", 16)
    'Add the t…2 + 30'
    """
    if text is None:
        return None
    if len(text) <= max_chars:
        return shown(text)
    n_last = 2 * max_chars // 5
    beginning, end = text[: max(0, max_chars - n_last - 1)], text[len(text) - n_last :]
    return shown(f"{beginning}\N{HORIZONTAL ELLIPSIS}{end}")

"""What a person should know about a pool before paying for answers to it, in short sentences."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from tasksel.pool_ids import NO_TASK
from tasksel.pool_repeats import repeated_rows
from tasksel.wording import counted

__all__ = ["LONG_PROMPT_CHARS", "pool_notes"]

LONG_PROMPT_CHARS: Final = 20_000
"""Prompts over this many characters are named; few models of today read one whole."""

# Tab, line feed and carriage return are ordinary text.
_CONTROL: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_MOST_NAMES: Final = 3


def pool_notes(frame: pl.DataFrame, filled: pl.DataFrame) -> tuple[str, ...]:
    """Describe what is unusual in a pool.

    Parameters
    ----------
    frame : pl.DataFrame
        The canonical columns before anything was filled; `id` and `task` may be absent.
    filled : pl.DataFrame
        The same rows as a canonical frame.

    Returns
    -------
    tuple of str
        One short sentence each; empty for a pool with nothing to say about.
    """
    notes = [_id_note(frame), *_task_notes(frame, filled), *_prompt_notes(frame["prompt"], filled)]
    return tuple(note for note in notes if note)


def _id_note(frame: pl.DataFrame) -> str:
    if "id" not in frame.columns:
        return "There is no id column; ids are content hashes of the prompts."
    missing = frame["id"].null_count() + int((frame["id"] == "").sum())
    return f"{_rows(missing)} no id; content hashes of the prompts are used there." if missing else ""


def _task_notes(frame: pl.DataFrame, filled: pl.DataFrame) -> list[str]:
    if "task" not in frame.columns:
        return []
    missing = frame["task"].null_count() + int((frame["task"] == "").sum())
    names = filled["task"].unique()
    # Counted by number: a table of texts by group would copy the column.
    numbers = filled["task"].cast(pl.Enum(names)).to_physical()
    single = int((np.bincount(numbers.to_numpy()) == 1).sum())
    return [
        f"{_rows(missing)} no task; '{NO_TASK}' is used there." if missing else "",
        f"{counted(single, 'task has', 'tasks have')} a single row." if single else "",
        _case_note(names),
    ]


def _case_note(tasks: pl.Series) -> str:
    names = pl.DataFrame({"task": tasks, "lower": tasks.str.to_lowercase()})
    groups = (
        names.filter(pl.col("lower").is_duplicated())
        .sort("lower", "task")
        .group_by("lower", maintain_order=True)
    )
    alike = [" / ".join(map(repr, group["task"].to_list())) for _, group in groups]
    if not alike:
        return ""
    more = f" and {len(alike) - _MOST_NAMES:,} more" if len(alike) > _MOST_NAMES else ""
    return f"Tasks whose names differ only in case are kept apart: {', '.join(alike[:_MOST_NAMES])}{more}."


def _prompt_notes(prompts: pl.Series, filled: pl.DataFrame) -> list[str]:
    text = filled["prompt"]
    chars = text.str.len_chars()
    n_null, n_empty = prompts.null_count(), int((chars == 0).sum())
    longest = int(chars.to_numpy().max(initial=0))
    n_long, n_control = int((chars > LONG_PROMPT_CHARS).sum()), int(text.str.contains(_CONTROL).sum())
    return [
        _empty_note(n_null, n_empty),
        _duplicate_note(filled),
        f"{counted(n_long, 'prompt is', 'prompts are')} longer than {LONG_PROMPT_CHARS:,} characters "
        f"(the longest has {longest:,})."
        if n_long
        else "",
        f"{counted(n_control, 'prompt holds', 'prompts hold')} control characters{_nul_clause(text)}; "
        "they are kept as they are."
        if n_control
        else "",
    ]


def _empty_note(n_null: int, n_empty: int) -> str:
    if n_empty == 0:
        return ""
    nulls = f" ({n_null:,} of them null)" if n_null else ""
    return f"{counted(n_empty, 'prompt is', 'prompts are')} empty{nulls} and can still be selected."


def _nul_clause(text: pl.Series) -> str:
    n_nul = int(text.str.contains("\0", literal=True).sum())
    return f" (NUL in {n_nul:,})" if n_nul else ""


def _duplicate_note(filled: pl.DataFrame) -> str:
    """Count repeats among the rows that have any; the others are not worth a table of all prompts."""
    columns = [column for column in ("prompt", "response") if column in filled.columns]
    repeats = repeated_rows(filled["prompt"])
    # Series by Series: a frame brings the chunks of its columns together first, which copies them.
    alike = pl.DataFrame([filled[column].filter(repeats) for column in columns])
    n_prompts = alike["prompt"].n_unique()
    n_repeats = alike.height - n_prompts
    if n_repeats == 0:
        return ""
    note = f"{counted(n_repeats, 'row repeats', 'rows repeat')} the prompt of an earlier row"
    if "response" not in columns:
        return note + "."
    n_different = alike.unique().height - n_prompts
    return note + (
        f", {n_different:,} of them with another response." if n_different else ", with the same response."
    )


def _rows(count: int) -> str:
    return counted(count, "row has", "rows have")

"""What can be seen of a pool and of this machine without asking anybody."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.pool import load_pool, unanswered
from tasksel.selection_inputs import CONFIDENCE_COLUMNS

if TYPE_CHECKING:
    from tasksel.pool import PoolSource

__all__ = ["MachineSurvey", "PoolSurvey", "survey_machine", "survey_pool"]

_EXTRAS: Final = {
    "hf": ("torch", "transformers", "peft"),
    "trl": ("trl",),
    "eval": ("lm_eval",),
    "ray": ("ray",),
    "vllm": ("vllm",),
    "plots": ("altair", "vl_convert"),
}
"""Modules that tell whether an extra is installed."""


@dataclass(frozen=True)
class PoolSurvey:
    """What a pool is.

    Parameters
    ----------
    name, shape : str
        Of the file; of its rows, as `tasksel.load_pool` recognised it.
    rows : int
        Prompts.
    tasks : int or None
        None where there is no task column.
    answered : int
        Rows with a response.
    confidence_columns, embedding_columns : tuple of str
        What scores and vectors it carries.
    notes : tuple of str
        What a person should know.
    """

    name: str
    shape: str
    rows: int
    tasks: int | None
    answered: int
    confidence_columns: tuple[str, ...]
    embedding_columns: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class MachineSurvey:
    """What this machine has.

    Parameters
    ----------
    device : str or None
        Where a model would run; None where torch is not installed.
    cores : int
        Of the processor.
    extras : tuple of str
        Extras of tasksel that are installed.
    """

    device: str | None
    cores: int
    extras: tuple[str, ...]


def survey_pool(
    source: PoolSource, *, task_column: str | None = None, id_column: str | None = None
) -> PoolSurvey:
    """Read a pool and say what it has; parameters and errors as in `tasksel.load_pool`.

    Examples
    --------
    >>> frame = pl.DataFrame({"prompt": ["a", "b"], "confidence": [0.1, 0.2], "vector": [[0.0], [1.0]]})
    >>> found = survey_pool(frame)
    >>> found.tasks, found.confidence_columns, found.embedding_columns
    (None, ('confidence',), ('vector',))
    """
    pool = load_pool(source, task_column=task_column, id_column=id_column)
    frame = pool.frame
    return PoolSurvey(
        name=pool.name,
        shape=pool.shape,
        rows=frame.height,
        tasks=frame["task"].n_unique() if "task" in frame.columns else None,
        answered=frame.height - unanswered(frame).height,
        confidence_columns=tuple(name for name in frame.columns if name in CONFIDENCE_COLUMNS),
        embedding_columns=tuple(name for name in frame.columns if _holds_vectors(frame[name])),
        notes=pool.notes,
    )


def _holds_vectors(column: pl.Series) -> bool:
    """Tell whether every row is a list of equally many numbers; token values differ in number."""
    if column.name in CONFIDENCE_COLUMNS or column.null_count():
        return False
    if isinstance(column.dtype, pl.Array):
        return column.dtype.inner.is_float()
    if not isinstance(column.dtype, pl.List) or not column.dtype.inner.is_float():
        return False
    lengths = column.list.len()
    return lengths.n_unique() == 1 and int(lengths[0]) > 0


def survey_machine() -> MachineSurvey:
    """Look for devices and installed extras; torch is imported where it is there."""
    extras = tuple(
        extra for extra, modules in _EXTRAS.items() if all(importlib.util.find_spec(each) for each in modules)
    )
    device = None
    if "hf" in extras:
        from tasksel.causal_model import find_device

        device = str(find_device("auto"))
    return MachineSurvey(device, os.cpu_count() or 1, extras)

"""What a pool or a selection already holds of each stratum."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.pool import Pool, load_pool
from tasksel.synthesis.config_values import stratum_name
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.pool import PoolSource
    from tasksel.synthesis.config import StrataConfig

__all__ = ["HeldCounts", "column_text", "count_held"]

_SELECTED: Final = "selected.parquet"
_EXAMPLES_SHOWN: Final = 3


@dataclass(frozen=True, eq=False)
class HeldCounts:
    """Rows of each stratum.

    Attributes
    ----------
    counts : NDArray[np.int64]
        An axis a level.
    n_rows, n_outside : int
        All rows, and those of no stratum.
    source : dict
        Name, rows and sha256 of what was counted.
    """

    counts: NDArray[np.int64]
    n_rows: int
    n_outside: int
    source: dict[str, Any]


def count_held(source: PoolSource, strata: StrataConfig, *, noun: str = "pool") -> HeldCounts:
    """Count the rows of each stratum.

    Parameters
    ----------
    source : path, DataFrame, LazyFrame or Pool
        A pool or a selection; also the folder that `tasksel select --out` wrote.
    strata : StrataConfig
        Levels and values.
    noun : str
        What messages call it.

    Returns
    -------
    HeldCounts

    Raises
    ------
    SchemaError
        It has neither a column for each level nor a ``task`` that names a stratum.
    """
    pool = load_pool(_selected_file(source))
    frame, levels = pool.frame, list(strata.levels)
    lacking = [level for level in levels if level not in frame.columns]
    if not lacking:
        found = frame.select(column_text(frame, level) for level in levels)
        wanted = list(strata.combinations())
    elif "task" in frame.columns:
        found = frame.select(column_text(frame, "task"))
        wanted = [(stratum_name(values),) for values in strata.combinations()]
    else:
        raise SchemaError(_no_columns(noun, pool, lacking))
    numbers = {values: number for number, values in enumerate(wanted)}
    counts = np.zeros(len(wanted), dtype=np.int64)
    for *values, rows in found.group_by(found.columns).len().iter_rows():
        number = numbers.get(tuple(values))
        if number is not None:
            counts[number] += rows
    if lacking and not counts.any():
        raise SchemaError(_no_tasks(noun, pool, wanted, levels))
    outside = frame.height - int(counts.sum())
    described = {"name": pool.name, "rows": frame.height, "sha256": pool.sha256}
    return HeldCounts(counts.reshape(strata.shape), frame.height, outside, described)


def _selected_file(source: PoolSource) -> PoolSource:
    if isinstance(source, (str, os.PathLike)) and (Path(source) / _SELECTED).is_file():
        return Path(source) / _SELECTED
    return source


def column_text(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Read a column as text; a rating of 5.0, as files with gaps have it, is 5.

    Examples
    --------
    >>> frame = pl.DataFrame({"rating": [5.0, None, 2.5]})
    >>> frame.select(column_text(frame, "rating"))["rating"].to_list()
    ['5', None, '2.5']
    """
    column = pl.col(name)
    if frame.schema[name].is_float():
        whole = column.cast(pl.Int64, strict=False)
        return pl.when(whole == column).then(whole.cast(pl.String)).otherwise(column.cast(pl.String))
    if frame.schema[name].is_nested():
        raise SchemaError(f"The column {name!r} holds lists or structs; text or numbers are wanted.")
    return column.cast(pl.String, strict=False)


def _no_columns(noun: str, pool: Pool, lacking: list[str]) -> str:
    return (
        f"The {noun} {pool.name} has no column {lacking[0]!r} and no task; a column for each level, or a "
        f"task that names the stratum, is wanted. It has {', '.join(map(repr, pool.frame.columns))}."
    )


def _no_tasks(noun: str, pool: Pool, wanted: list[tuple[str, ...]], levels: list[str]) -> str:
    tasks = pool.frame["task"].unique(maintain_order=True).head(_EXAMPLES_SHOWN).to_list()
    return (
        f"No task of the {noun} {pool.name} names a stratum: tasks are {', '.join(map(repr, tasks))}, and so "
        f"on; strata are {', '.join(repr(each[0]) for each in wanted[:_EXAMPLES_SHOWN])}, and so on. Columns "
        f"named {', '.join(map(repr, levels))} do as well."
    )

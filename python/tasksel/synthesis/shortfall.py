"""What a run or its validation found missing, as the next plan takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from tasksel.pool_files import scan_file
from tasksel.synthesis.config_values import stratum_name
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from tasksel.synthesis.config import SynthesisConfig

__all__ = ["EDGE", "STRATUM", "ShortfallSource", "read_shortfall", "sum_shortfall"]

STRATUM = "stratum"
EDGE = "edge"
_COLUMNS = ("dimension", "value", "missing")

ShortfallSource: TypeAlias = "str | os.PathLike[str] | pl.DataFrame"
"""A Parquet, JSONL or CSV file, or a frame, with the columns `dimension`, `value` and `missing`."""


def read_shortfall(source: ShortfallSource, config: SynthesisConfig) -> dict[str, dict[str, int]]:
    """Read how many examples each value lacks.

    Parameters
    ----------
    source : path or DataFrame
        Columns `dimension` (a level, a dimension, ``stratum`` or ``edge``), `value` and `missing` (a whole
        number; what is not above 0 is left out).
    config : SynthesisConfig
        Which dimensions and values there are.

    Returns
    -------
    dict of str to dict of str to int
        Dimension -> value -> missing.

    Raises
    ------
    SchemaError
        The file cannot be read, lacks a column, or names something that the configuration does not have.
    """
    if isinstance(source, pl.DataFrame):
        frame, name = source, "shortfall"
    else:
        try:
            frame = scan_file(Path(source), text_columns=("dimension", "value"), eager=True).frame.collect()
        except SchemaError as error:
            raise SchemaError(f"The shortfall cannot be read: {error}") from error
        name = f"shortfall {Path(source).name}"
    lacking = [column for column in _COLUMNS if column not in frame.columns]
    if lacking:
        raise SchemaError(f"The {name} has no column {lacking[0]!r}; wanted are {', '.join(_COLUMNS)}.")
    try:
        rows = frame.select(
            pl.col("dimension").cast(pl.String),
            pl.col("value").cast(pl.String),
            pl.col("missing").cast(pl.Int64),
        )
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"The {name} has values of the wrong type ({error}).") from error
    if sum(rows.null_count().row(0)):
        raise SchemaError(f"The {name} has empty cells; every row wants {', '.join(_COLUMNS)}.")
    allowed = _allowed_values(config)
    missing: dict[str, dict[str, int]] = {}
    for dimension, value, number in rows.iter_rows():
        if dimension not in allowed:
            raise SchemaError(
                f"The {name} has the dimension {dimension!r}; allowed are {', '.join(map(repr, allowed))}."
            )
        if value not in allowed[dimension]:
            raise SchemaError(f"The {name} has the value {value!r} of {dimension!r}, which does not exist.")
        if number > 0:
            of_dimension = missing.setdefault(dimension, {})
            of_dimension[value] = of_dimension.get(value, 0) + number
    return missing


def sum_shortfall(missing: Mapping[str, Mapping[str, int]]) -> int:
    """Return how many examples make up for all that is missing: one of each dimension at a time.

    Examples
    --------
    >>> sum_shortfall({"stratum": {"phone/5": 3}, "tone": {"angry": 2, "calm": 2}})
    4
    """
    return max((sum(values.values()) for values in missing.values()), default=0)


def _allowed_values(config: SynthesisConfig) -> dict[str, frozenset[str]]:
    strata = config.strata
    allowed = {STRATUM: frozenset(stratum_name(each) for each in strata.combinations())}
    allowed |= {level: frozenset(values) for level, values in strata.levels.items()}
    allowed |= {each.name: frozenset(each.values) for each in config.dimensions}
    if config.edge is not None:
        allowed[EDGE] = frozenset(config.edge.weights)
    return allowed

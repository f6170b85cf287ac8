"""Score files of any making become shards with ids and one column that confidence is read from.

The column is found by its name (token logprobs, else a ready confidence) and brought to a list of
numbers; only it and the ids are read from a Parquet file.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from tasksel.file_places import file_trouble
from tasksel.pool_file_scan import first_clause
from tasksel.pool_files import scan_file
from tasksel.pool_parquet import check_fits, damage_named
from tasksel.run_folder import MANIFEST_NAME, file_sha256
from tasksel.run_folder_shards import SCORES_FOLDER, FinishedStage
from tasksel.wording import listed
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["METRIC_COLUMNS", "ScoreColumn", "ScoreSource", "number_lists", "open_scores", "read_shards"]

METRIC_COLUMNS = {
    "product": "token_logprobs",
    "length-normalized": "token_logprobs",
    "min-token": "token_logprobs",
    "entropy": "token_entropy",
    "margin": "token_margin",
    "min-margin": "token_margin",
}
"""Every confidence metric and the list column that it is made from."""

LOGPROB_NAMES = ("token_logprobs", "logprobs", "token_logprob", "output_logprobs")
"""Names that token logprobs go by, ours first."""

LOG_CONFIDENCE_NAMES = ("log_confidence", "cumulative_logprob")
"""Names that a ready log-confidence goes by; the second is vLLM's sum of the token logprobs."""

_TOGETHER_ROWS = 1 << 16
"""Rows of small shards that are read as one: each step on a shard costs milliseconds whatever its size."""


class ScoreSource(NamedTuple):
    """Where scores stand.

    Parameters
    ----------
    name : str
        File or run folder name without its path; ``"frame"`` for a frame.
    sha256 : str or None
        Of the file, or of a run folder's shards read one after the other; None for a frame.
    shards : tuple of Path or DataFrame
        In order; a file or frame is one shard.
    """

    name: str
    sha256: str | None
    shards: tuple[Path | pl.DataFrame, ...]


class ScoreColumn(NamedTuple):
    """The column that confidence is read from.

    Parameters
    ----------
    name : str
        As it stands in the file.
    kind : str
        ``"tokens"``, ``"confidence"`` or ``"log_confidence"``.
    note : str or None
        What a reader should know of the choice.
    """

    name: str
    kind: str
    note: str | None


def open_scores(source: str | os.PathLike[str] | pl.DataFrame | pl.LazyFrame) -> ScoreSource:
    """Find the shards of `source` and hash them; parses no rows.

    Raises
    ------
    SchemaError
        There is nothing at `source`, or a folder holds no scores.
    ResumeError
        A run folder without its manifest (scoring has not finished), or whose shards are not those that
        the manifest lists.
    """
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if isinstance(source, pl.DataFrame):
        return ScoreSource("frame", None, (source,))
    path = Path(source)
    if path.is_dir():
        return _open_run(path)
    trouble = file_trouble(path)
    if trouble is not None:
        raise SchemaError(
            f"The file of scores {path} {trouble}; give a run folder of `tasksel score`, or a Parquet, "
            "JSONL, JSON or CSV file."
        )
    return ScoreSource(path.name, file_sha256(path), (path,))


def _open_run(folder: Path) -> ScoreSource:
    stage = folder / SCORES_FOLDER if (folder / SCORES_FOLDER).is_dir() else folder
    found = FinishedStage(stage, "score")
    if not found.is_begun:
        raise SchemaError(f"{folder} holds no scores: no part-*.parquet and no {MANIFEST_NAME}.")
    digest = hashlib.sha256()
    shards = found.find_shards(digest)
    run = stage.resolve().parent if stage.name == SCORES_FOLDER else stage.resolve()
    return ScoreSource(run.name, digest.hexdigest(), tuple(shards))


def read_shards(
    shards: Iterable[Path | pl.DataFrame], metric: str
) -> Iterator[tuple[pl.DataFrame, ScoreColumn]]:
    """Read shards one after the other, small ones of one making together.

    Parameters
    ----------
    shards : iterable of Path or DataFrame
        In order.
    metric : str
        A key of `METRIC_COLUMNS`.

    Yields
    ------
    frame : DataFrame
        At least the ids (when the shards have them) and the column for `metric`.
    column : ScoreColumn
        That column.

    Raises
    ------
    SchemaError
        A shard cannot be parsed, or has no column that `metric` can be made from.
    """
    held: list[tuple[pl.DataFrame, ScoreColumn]] = []
    for shard in shards:
        frame, column = _read_shard(shard, metric)
        if held and not _go_together(held, frame):
            yield _together(held)
            held = []
        held.append((frame, column))
    if held:
        yield _together(held)


def _go_together(held: list[tuple[pl.DataFrame, ScoreColumn]], frame: pl.DataFrame) -> bool:
    """Tell whether a shard may join those before: ids that are numbers become text shard by shard."""
    before = held[0][0]
    n_rows = sum(each.height for each, _ in held) + frame.height
    return n_rows <= _TOGETHER_ROWS and before.schema == frame.schema and frame.schema.get("id") == pl.String


def _together(held: list[tuple[pl.DataFrame, ScoreColumn]]) -> tuple[pl.DataFrame, ScoreColumn]:
    if len(held) == 1:
        return held[0]
    return pl.concat([frame for frame, _ in held], rechunk=True), held[0][1]


def _read_shard(shard: Path | pl.DataFrame, metric: str) -> tuple[pl.DataFrame, ScoreColumn]:
    if isinstance(shard, pl.DataFrame):
        return shard, _choose_column(shard.schema, metric)
    if shard.suffix.lower() == ".parquet":
        return _read_parquet(shard, metric)
    frame = scan_file(shard, text_columns=("id",), eager=True).frame.collect()
    return frame, _choose_column(frame.schema, metric)


def _read_parquet(path: Path, metric: str) -> tuple[pl.DataFrame, ScoreColumn]:
    lazy = scan_file(path, text_columns=(), eager=False).frame
    schema = lazy.collect_schema()
    column = _choose_column(schema, metric)
    read = [name for name in schema if name in ("id", column.name)]
    check_fits(path, read)
    with damage_named(path):
        if column.name == "token_entropy" and schema.get("entropy_top_k", pl.Null).is_integer():
            column = column._replace(note=_truncation_note(lazy))
        return lazy.select(read).collect(), column


def _truncation_note(lazy: pl.LazyFrame) -> str | None:
    """Say that entropies are those of the likeliest tokens alone, as servers give them."""
    top_k = lazy.select(pl.col("entropy_top_k").max()).collect().item()
    if top_k is None:
        return None
    return (
        f"Entropies are truncated: made from the {top_k} likeliest tokens and all others as one outcome, so "
        "that they are at most those of the whole distribution."
    )


def _choose_column(schema: Mapping[str, pl.DataType], metric: str) -> ScoreColumn:
    """Find what to read: the metric's own list column, else a ready confidence."""
    wanted = METRIC_COLUMNS[metric]
    names = LOGPROB_NAMES if wanted == LOGPROB_NAMES[0] else (wanted,)
    found = [name for name in names if name in schema]
    if found:
        note = None if found[0] == wanted else f"Token logprobs were read from column '{found[0]}'."
        return ScoreColumn(found[0], "tokens", note)
    possible = _possible_metrics(schema)
    ready = [name for name in ("confidence", *LOG_CONFIDENCE_NAMES) if name in schema]
    if not ready or possible:
        raise SchemaError(_no_column(schema, metric, wanted, possible))
    note = f"Confidence was read ready-made from column '{ready[0]}'; metric {metric!r} does not apply to it."
    return ScoreColumn(ready[0], "confidence" if ready[0] == "confidence" else "log_confidence", note)


def _possible_metrics(schema: Mapping[str, pl.DataType]) -> list[str]:
    has_logprobs = any(name in schema for name in LOGPROB_NAMES)
    return [
        metric
        for metric, column in METRIC_COLUMNS.items()
        if column in schema or (column == LOGPROB_NAMES[0] and has_logprobs)
    ]


def _no_column(schema: Mapping[str, pl.DataType], metric: str, wanted: str, possible: list[str]) -> str:
    there = listed(schema)
    if possible:
        allowed = ", ".join(possible)
        return (
            f"metric {metric!r} needs column '{wanted}'; columns are {there}: possible metrics are {allowed}."
        )
    return (
        f"there is no column to read a confidence from; columns are {there}. Needed is one of: a list column "
        f"'{wanted}', 'confidence' in [0, 1], 'log_confidence' of at most 0."
    )


def number_lists(series: pl.Series) -> pl.Series:
    """Bring a column of token values to a list of Float32 or Float64, as it stands when it is one.

    Also taken: fixed-size arrays, lists as JSON text (CSV files), lists of objects with a ``logprob``,
    and the OpenAI API's objects with ``content`` or ``token_logprobs``.

    Raises
    ------
    SchemaError
        The column is something else.
    """
    dtype = series.dtype
    if dtype == pl.Null:
        return series.cast(pl.List(pl.Float64))
    if dtype == pl.String:
        return _decoded_lists(series)
    if isinstance(dtype, pl.Struct):
        for field in ("content", "token_logprobs"):
            if field in {each.name for each in dtype.fields}:
                return number_lists(series.struct.field(field).alias(series.name))
    if isinstance(dtype, pl.Array) and len(dtype.shape) == 1:
        return number_lists(series.arr.to_list())
    if isinstance(dtype, pl.List):
        return _floats(series, dtype.inner)
    raise SchemaError(f"column '{series.name}' is {dtype}; a list of numbers a row is needed.")


def _floats(lists: pl.Series, inner: Any) -> pl.Series:
    if inner in (pl.Float32, pl.Float64):
        return lists
    if isinstance(inner, pl.Struct) and "logprob" in {field.name for field in inner.fields}:
        return number_lists(lists.list.eval(pl.element().struct.field("logprob")))
    if inner == pl.Null or inner.is_numeric():
        return lists.cast(pl.List(pl.Float64))
    raise SchemaError(f"column '{lists.name}' holds lists of {inner}; lists of numbers are needed.")


def _decoded_lists(text: pl.Series) -> pl.Series:
    def decoded(row: str | None) -> list[float | None] | None:
        content = None if row is None or not row.strip() else json.loads(row)
        return None if content is None else [None if value is None else float(value) for value in content]

    try:
        return pl.Series(text.name, [decoded(row) for row in text], dtype=pl.List(pl.Float64))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise SchemaError(
            f"column '{text.name}' is text that does not hold a JSON list of numbers in every row "
            f"({first_clause(error).split(';')[0]})."
        ) from error

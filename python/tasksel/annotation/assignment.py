"""What annotators are asked: the prompts of a selection in its order, with suggested answers if any."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.pool import load_pool
from tasksel.pool_files import scan_file
from tasksel.pool_parquet import damage_named
from tasksel.run_folder import MANIFEST_NAME, file_sha256, text_sha256
from tasksel.score_files import LOGPROB_NAMES, open_scores
from tasksel.scores import log_confidence_of
from tasksel.selection_files import read_selection
from tasksel.wording import listed
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["ASSIGNMENT_COLUMNS", "Assignment", "read_assignment", "with_prompt_hashes"]

ASSIGNMENT_COLUMNS: Final = (
    "id",
    "rank",
    "task",
    "prompt",
    "prompt_sha256",
    "suggestion",
    "suggestion_confidence",
)
"""Columns that every export is made from; `task` and the suggestion are null where there is none."""
_SUGGESTING_METRIC: Final = "length-normalized"
"""A confidence between 0 and 1 that answers of different lengths can be compared by."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """Prompts to have answered.

    Parameters
    ----------
    frame : DataFrame
        `ASSIGNMENT_COLUMNS`, in the order of the rank.
    selected : DataFrame
        The same rows with all columns of the selection or pool.
    name : str
        Of the selection's folder or the file.
    sha256 : str
        Of ``selected.parquet`` or the file.
    scores : dict, optional
        Name and SHA-256 of the scores that the suggestions are from.
    """

    frame: pl.DataFrame = field(repr=False)
    selected: pl.DataFrame = field(repr=False)
    name: str
    sha256: str
    scores: dict[str, Any] | None = None

    @property
    def has_tasks(self) -> bool:
        """Whether the prompts have tasks."""
        return self.frame["task"].null_count() < self.frame.height

    @property
    def has_suggestions(self) -> bool:
        """Whether any prompt has a suggested answer."""
        return self.frame["suggestion"].null_count() < self.frame.height


def read_assignment(
    source: str | os.PathLike[str], *, scores: str | os.PathLike[str] | pl.DataFrame | None = None
) -> Assignment:
    """Read a selection, or any pool, as prompts to have answered.

    Parameters
    ----------
    source : path
        A folder that ``tasksel select --out`` wrote, or a file in any of the shapes of a pool; rows of a
        file without a column ``rank`` are ranked in their order.
    scores : path or DataFrame, optional
        Run folder of ``tasksel score``, or a file with ``id`` and ``generation``: answers to suggest.

    Raises
    ------
    ConfigError
        A folder holds no selection.
    SchemaError
        The file cannot be read, or the scores have no generations.
    """
    place = Path(source)
    if place.is_dir():
        selected = read_selection(place).frame
        name, sha256 = place.resolve().name, file_sha256(place / "selected.parquet")
    else:
        pool = load_pool(place)
        selected, name, sha256 = pool.frame, pool.name, pool.sha256
    selected = _ranked(selected)
    frame = with_prompt_hashes(_canonical(selected))
    origin = None
    if scores is not None:
        frame, origin = _with_suggestions(frame, scores)
    else:
        frame = frame.with_columns(
            suggestion=pl.lit(None, dtype=pl.String), suggestion_confidence=pl.lit(None, dtype=pl.Float64)
        )
    return Assignment(frame.select(ASSIGNMENT_COLUMNS), selected, name, sha256, origin)


def with_prompt_hashes(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``prompt_sha256``, by which a prompt that comes back is known to be the one that was sent."""
    hashes = [text_sha256(prompt) for prompt in frame["prompt"]]
    return frame.with_columns(pl.Series("prompt_sha256", hashes, dtype=pl.String))


def _ranked(selected: pl.DataFrame) -> pl.DataFrame:
    """Sort by the rank; give one where there is none that is a number."""
    if "rank" in selected.columns and selected["rank"].dtype.is_integer():
        return selected.sort("rank", maintain_order=True)
    return (
        selected.drop("rank", strict=False)
        .with_row_index("rank", offset=1)
        .select(pl.exclude("rank"), pl.col("rank").cast(pl.Int64))
    )


def _canonical(selected: pl.DataFrame) -> pl.DataFrame:
    task = pl.col("task") if "task" in selected.columns else pl.lit(None, dtype=pl.String).alias("task")
    return selected.select("id", pl.col("rank").cast(pl.Int64), task, "prompt")


def _with_suggestions(
    frame: pl.DataFrame, scores: str | os.PathLike[str] | pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, Any]]:
    origin = open_scores(scores)
    ids = frame["id"].implode()
    parts = [part.filter(pl.col("id").is_in(ids)) for part in _generations(origin.name, origin.shards)]
    suggested = pl.concat(parts).unique("id", keep="first", maintain_order=True)
    if suggested.is_empty():
        raise SchemaError(f"Scores {origin.name} share no id with the prompts that are to be answered.")
    joined = frame.join(suggested, on="id", how="left", maintain_order="left")
    return joined, {"name": origin.name, "sha256": origin.sha256}


def _generations(name: str, shards: tuple[Path | pl.DataFrame, ...]) -> Iterator[pl.DataFrame]:
    """Give id, suggestion and its confidence of every shard."""
    for shard in shards:
        lazy = _scan(shard)
        schema = lazy.collect_schema()
        if "id" not in schema or "generation" not in schema:
            raise SchemaError(
                f"Scores {name} have the columns {listed(schema)}; suggestions need id and generation."
            )
        logprobs = next((each for each in LOGPROB_NAMES if each in schema), None)
        for column in ("id", "generation"):
            if schema[column].is_nested() or schema[column] in (pl.Binary, pl.Duration, pl.Object):
                raise SchemaError(f"Scores {name}: column {column!r} is {schema[column]}; text is needed.")
        with damage_named(shard) if isinstance(shard, Path) else nullcontext():
            read = lazy.select("id", "generation", *([logprobs] if logprobs else [])).collect()
        confidence = pl.Series([None] * read.height, dtype=pl.Float64)
        if logprobs is not None:
            confidence = log_confidence_of(read[logprobs], metric=_SUGGESTING_METRIC).exp()
        yield read.select(
            pl.col("id").cast(pl.String),
            suggestion=pl.col("generation").cast(pl.String),
            suggestion_confidence=confidence.cast(pl.Float64).fill_nan(None),
        )


def _scan(shard: Path | pl.DataFrame) -> pl.LazyFrame:
    if isinstance(shard, pl.DataFrame):
        return shard.lazy()
    return scan_file(shard, text_columns=("id", "generation"), eager=False).frame


def is_selection(folder: Path) -> bool:
    """Whether a folder looks like one that ``tasksel select --out`` wrote."""
    return (folder / MANIFEST_NAME).is_file() and (folder / "selected.parquet").is_file()

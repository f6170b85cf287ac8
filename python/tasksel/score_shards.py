"""Score shards: which rows stand in which batch and shard, and the Parquet files that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tasksel.run_folder_frames import write_frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from tasksel.generation import Generation
    from tasksel.prompt_encoding import EncodedPrompt

__all__ = [
    "SCORES_SCHEMA",
    "DamagedShardError",
    "ScoreCounts",
    "build_frame",
    "plan_shards",
    "read_shard",
    "shard_name",
    "write_shard",
]

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "task": pl.String,
    "generation": pl.String,
    "token_ids": pl.List(pl.Int32),
    "token_logprobs": pl.List(pl.Float32),
    "token_entropy": pl.List(pl.Float32),
    "token_margin": pl.List(pl.Float32),
    "finish_reason": pl.String,
    "prompt_tokens": pl.Int32,
    "truncated_tokens": pl.Int32,
}
SCORES_SCHEMA = pl.Schema(_COLUMNS)
"""One row an example; logprobs in nats, margins in probabilities."""

_TOKEN_COLUMNS = ("token_ids", "token_logprobs", "token_entropy", "token_margin")
_RUN_KEY = "tasksel.run_sha256"
_SPLIT_KEY = "tasksel.split_batches"


def plan_shards(
    prompt_tokens: npt.NDArray[np.int64],
    *,
    max_new_tokens: int,
    batch_tokens: int,
    max_batch_rows: int,
    shard_rows: int,
) -> list[list[npt.NDArray[np.int64]]]:
    """Deal the rows of a pool into batches of similar length and whole batches into shards.

    The longest prompts come first, so that a lack of memory shows at once and the time to go, guessed
    from the rows so far, is rather too long than too short.

    Parameters
    ----------
    prompt_tokens : ndarray of int64, shape (n_rows,)
        Length of each prompt.
    max_new_tokens, batch_tokens, max_batch_rows, shard_rows : int
        As in `score`.

    Returns
    -------
    list of list of ndarray of int64
        Shards of batches of pool rows; every row stands in exactly one batch.

    Examples
    --------
    >>> lengths = np.array([3, 9, 4, 3])
    >>> plan_shards(lengths, max_new_tokens=1, batch_tokens=10, max_batch_rows=9, shard_rows=2)
    [[array([1]), array([2, 0])], [array([3])]]
    """
    order = np.argsort(-prompt_tokens, kind="stable")
    shards: list[list[npt.NDArray[np.int64]]] = []
    start, rows_in_shard = 0, shard_rows
    while start < len(order):
        widest = int(prompt_tokens[order[start]]) + max_new_tokens
        stop = start + max(1, min(max_batch_rows, batch_tokens // widest))
        batch = order[start:stop]
        if rows_in_shard >= shard_rows:
            shards.append([])
            rows_in_shard = 0
        shards[-1].append(batch)
        rows_in_shard += len(batch)
        start = stop
    return shards


@dataclass
class ScoreCounts:
    """What the shards hold together; every number can be recomputed from them."""

    rows: int = 0
    tokens: int = 0
    truncated_rows: int = 0
    truncated_tokens: int = 0
    stopped_rows: int = 0
    length_rows: int = 0
    rows_without_tokens: int = 0
    split_batches: int = 0

    def add(self, frame: pl.DataFrame, split_batches: int) -> None:
        """Add one shard."""
        lengths = frame["token_logprobs"].list.len()
        self.rows += frame.height
        self.tokens += int(lengths.sum())
        self.truncated_rows += int((frame["truncated_tokens"] > 0).sum())
        self.truncated_tokens += int(frame["truncated_tokens"].sum())
        self.stopped_rows += int((frame["finish_reason"] == "stop").sum())
        self.length_rows += int((frame["finish_reason"] == "length").sum())
        self.rows_without_tokens += int((lengths == 0).sum())
        self.split_batches += split_batches


class DamagedShardError(Exception):
    """A shard file is not what the run would have written; its text says why."""


def shard_name(number: int) -> str:
    """Return the file name of a shard by its number from 0."""
    return f"part-{number:05d}.parquet"


def write_shard(path: Path, frame: pl.DataFrame, *, run_sha256: str, split_batches: int) -> None:
    """Write a shard whole or not at all, with the run that it belongs to in its metadata."""
    write_frame(path, frame, metadata={_RUN_KEY: run_sha256, _SPLIT_KEY: str(split_batches)})


def build_frame(
    part: pl.DataFrame, encoded: Sequence[EncodedPrompt], generations: Sequence[Generation]
) -> pl.DataFrame:
    """Join rows of a pool, their encoded prompts and the answers into a frame of `SCORES_SCHEMA`."""
    columns: dict[str, Any] = {
        "id": part["id"],
        "task": part["task"] if "task" in part.columns else [None] * part.height,
        "generation": [generation.text for generation in generations],
        "finish_reason": [generation.finish_reason for generation in generations],
        "prompt_tokens": [len(prompt.token_ids) for prompt in encoded],
        "truncated_tokens": [prompt.truncated_tokens for prompt in encoded],
    }
    for name in _TOKEN_COLUMNS:
        # Lists, since polars makes a fixed-size Array of equally long numpy arrays whatever dtype is asked.
        columns[name] = [getattr(generation, name).tolist() for generation in generations]
    return pl.DataFrame(
        [pl.Series(name, columns[name], dtype=dtype) for name, dtype in SCORES_SCHEMA.items()]
    )


def read_shard(path: Path, expected_ids: pl.Series, run_sha256: str) -> tuple[pl.DataFrame, int]:
    """Read a shard of an earlier run and the number of its split batches.

    Raises
    ------
    DamagedShardError
        It cannot be read whole, or holds something else than this run would have written.
    """
    try:
        metadata = pl.read_parquet_metadata(path)
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DamagedShardError(f"it cannot be read: {str(error).splitlines()[0]}") from error
    if metadata.get(_RUN_KEY) != run_sha256:
        raise DamagedShardError("it belongs to another run")
    if frame.schema != SCORES_SCHEMA:
        raise DamagedShardError("it has other columns")
    if not frame["id"].equals(expected_ids.alias("id")):
        raise DamagedShardError("it holds other ids")
    lengths = frame.select(pl.col(_TOKEN_COLUMNS).list.len())
    if any(not lengths[name].equals(lengths["token_ids"], check_names=False) for name in _TOKEN_COLUMNS):
        raise DamagedShardError("its token lists differ in length")
    return frame, int(metadata.get(_SPLIT_KEY, "0"))

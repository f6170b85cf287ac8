"""What a shard of scores holds: answers of an engine as rows, what is counted in them, what may be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.shard_run import ShardFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasksel.engines import Answer

__all__ = ["EMBEDDING", "REFUSED", "SCORES_SCHEMA", "build_frame", "scores_format"]

EMBEDDING: Final = "embedding"
"""Column of the mean hidden states, where they were asked for."""
REFUSED: Final = "refused"
"""Finish reason of a prompt that the engine would not answer."""
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "task": pl.String,
    "generation": pl.String,
    "token_ids": pl.List(pl.Int32),
    "token_logprobs": pl.List(pl.Float32),
    "token_entropy": pl.List(pl.Float32),
    "token_margin": pl.List(pl.Float32),
    "entropy_top_k": pl.Int32,
    "finish_reason": pl.String,
    "refusal": pl.String,
    "prompt_tokens": pl.Int32,
    "truncated_tokens": pl.Int32,
}
SCORES_SCHEMA = pl.Schema(_COLUMNS)
"""One row an example; logprobs in nats, margins in probabilities. ``entropy_top_k`` is null where the entropy
is that of the whole distribution; token lists are null where an engine refused the prompt, and ``token_ids``
where it does not tell them."""

_TOKEN_COLUMNS: Final = ("token_ids", "token_logprobs", "token_entropy", "token_margin")


def build_frame(rows: pl.DataFrame, answers: Sequence[Answer]) -> pl.DataFrame:
    """Join rows of a pool and their answers into a frame of `SCORES_SCHEMA`.

    Parameters
    ----------
    rows : DataFrame
        ``id`` and ``task``.
    answers : sequence of Answer
        One a row; mean hidden states are there for all of them, or for none.
    """
    generations = [answer.generation for answer in answers]
    columns: dict[str, Any] = {
        "id": rows["id"],
        "task": rows["task"],
        "generation": [each.text if each else None for each in generations],
        "entropy_top_k": [each.entropy_top_k if each else None for each in generations],
        "finish_reason": [each.finish_reason if each else REFUSED for each in generations],
        "refusal": [answer.refusal for answer in answers],
        "prompt_tokens": [answer.prompt_tokens for answer in answers],
        "truncated_tokens": [answer.truncated_tokens for answer in answers],
    }
    for name in _TOKEN_COLUMNS:
        values = [getattr(each, name) if each else None for each in generations]
        # Lists, since polars makes a fixed-size Array of equally long numpy arrays whatever dtype is asked.
        columns[name] = [None if each is None else each.tolist() for each in values]
    frame = pl.DataFrame(
        [pl.Series(name, columns[name], dtype=dtype) for name, dtype in SCORES_SCHEMA.items()]
    )
    means = [answer.hidden_mean for answer in answers]
    found = [each for each in means if each is not None]
    if not found:
        return frame
    dtype = pl.Array(pl.Float32, len(found[0]))
    return frame.with_columns(pl.Series(EMBEDDING, np.stack(found), dtype=dtype))


def _count(frame: pl.DataFrame) -> dict[str, int]:
    """Count what the manifest tells of a shard."""
    lengths = frame["token_logprobs"].list.len().fill_null(0).cast(pl.Int64)
    return {
        "rows": frame.height,
        "tokens": int(lengths.sum()),
        "truncated_rows": int((frame["truncated_tokens"] > 0).sum()),
        "truncated_tokens": int(frame["truncated_tokens"].cast(pl.Int64).sum()),
        "stopped_rows": int((frame["finish_reason"] == "stop").sum()),
        "length_rows": int((frame["finish_reason"] == "length").sum()),
        "refused_rows": int((frame["finish_reason"] == REFUSED).sum()),
        "rows_without_tokens": int((lengths == 0).sum()),
    }


def _check(frame: pl.DataFrame) -> str | None:
    """Say whether token lists belong together."""
    lengths = frame.select(pl.col(_TOKEN_COLUMNS).list.len())
    wanted = lengths["token_logprobs"]
    for name in _TOKEN_COLUMNS:
        if (lengths[name] != wanted).any():
            return "its token lists differ in length"
    return None


def scores_format(schema: pl.Schema) -> ShardFormat:
    """Return what shards of scores hold: `SCORES_SCHEMA`, or with embeddings more than that."""
    return ShardFormat(schema, _count, _check)

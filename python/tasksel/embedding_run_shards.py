"""What a shard of embeddings holds: a vector a prompt; what is counted in it, and what may be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from tasksel.shard_run import ShardFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tasksel.prompt_encoding import EncodedPrompt

__all__ = ["build_frame", "embeddings_format", "embeddings_schema"]

_EMBEDDING: Final = "embedding"
_PROMPT_TOKENS: Final = "prompt_tokens"
_TRUNCATED_TOKENS: Final = "truncated_tokens"


def embeddings_schema(n_dimensions: int, *, has_tokens: bool) -> pl.Schema:
    """Return the columns of a shard.

    Parameters
    ----------
    n_dimensions : int
        Numbers of a vector.
    has_tokens : bool
        Whether a model read the prompts, so that their tokens are counted.
    """
    columns: list[tuple[str, pl.DataType]] = [
        ("id", pl.String()),
        (_EMBEDDING, pl.Array(pl.Float32(), n_dimensions)),
    ]
    if has_tokens:
        columns += [(_PROMPT_TOKENS, pl.Int32()), (_TRUNCATED_TOKENS, pl.Int32())]
    return pl.Schema(columns)


def build_frame(
    ids: pl.Series, vectors: npt.NDArray[np.float32], encoded: Sequence[EncodedPrompt] | None = None
) -> pl.DataFrame:
    """Join ids and vectors into a frame of `embeddings_schema`.

    Parameters
    ----------
    ids : Series of String, length n
    vectors : ndarray of float32, shape (n, n_dimensions)
    encoded : sequence of EncodedPrompt, optional
        What the model read, where one did.
    """
    schema = embeddings_schema(vectors.shape[1], has_tokens=encoded is not None)
    columns = [
        ids.alias("id"),
        pl.Series(_EMBEDDING, np.ascontiguousarray(vectors), dtype=schema[_EMBEDDING]),
    ]
    if encoded is not None:
        tokens = [len(each.token_ids) for each in encoded]
        truncated = [each.truncated_tokens for each in encoded]
        columns.append(pl.Series(_PROMPT_TOKENS, tokens, dtype=pl.Int32))
        columns.append(pl.Series(_TRUNCATED_TOKENS, truncated, dtype=pl.Int32))
    return pl.DataFrame(columns)


def embeddings_format(schema: pl.Schema) -> ShardFormat:
    """Return what shards of embeddings hold."""
    return ShardFormat(schema, _count, _check)


def _count(frame: pl.DataFrame) -> dict[str, int]:
    """Count what the manifest tells of a shard."""
    if _PROMPT_TOKENS not in frame.columns:
        return {"rows": frame.height}
    return {
        "rows": frame.height,
        "tokens": int(frame[_PROMPT_TOKENS].cast(pl.Int64).sum()),
        "truncated_rows": int((frame[_TRUNCATED_TOKENS] > 0).sum()),
        "truncated_tokens": int(frame[_TRUNCATED_TOKENS].cast(pl.Int64).sum()),
    }


def _check(frame: pl.DataFrame) -> str | None:
    """Say whether every row has a vector of finite numbers."""
    if frame[_EMBEDDING].null_count():
        return "it has rows without a vector"
    return None if np.isfinite(frame[_EMBEDDING].to_numpy()).all() else "its vectors are not finite"

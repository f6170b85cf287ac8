"""How many tokens the model's own answers have, as scores tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tasksel.score_files import number_lists, open_scores, read_shards
from tasksel.scores_places import IdPlaces

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["read_answer_tokens"]


def read_answer_tokens(
    source: str | os.PathLike[str] | pl.DataFrame, pool_ids: pl.Series
) -> NDArray[np.float64] | None:
    """Count the tokens of the answer to each prompt.

    Parameters
    ----------
    source : path or DataFrame
        Scores, as `tasksel.scores.read_scores` takes them.
    pool_ids : Series, shape (n_pool,)
        The pool's ids, in its row order.

    Returns
    -------
    ndarray of float64, shape (n_pool,), or None
        NaN where there is no answer; None where the scores hold finished confidences alone.

    Examples
    --------
    >>> scored = pl.DataFrame({"id": ["b", "a"], "token_logprobs": [[-0.5, -1.0], []]})
    >>> read_answer_tokens(scored, pl.Series("id", ["a", "b", "c"]))
    array([ 0.,  2., nan])
    """
    places = IdPlaces(pool_ids)
    tokens = np.full(len(pool_ids), np.nan)
    start = 0
    for shard, column in read_shards(open_scores(source).shards, "product"):
        if column.kind != "tokens":
            return None
        lengths = number_lists(shard[column.name]).list.len().cast(pl.Float64).fill_null(np.nan).to_numpy()
        rows = np.arange(start, start + shard.height)
        if "id" in shard.columns:
            rows = places.rows_of(shard["id"].cast(pl.String))
        start += shard.height
        within = (rows >= 0) & (rows < len(tokens))
        tokens[rows[within]] = lengths[within]
    return tokens

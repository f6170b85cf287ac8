"""What a selection is made from: strategy and picker, and the confidences and embeddings that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tasksel.embedding import read_embeddings
from tasksel.scores import READY_MADE, Scores, check_metric, read_scores
from tasksel.scores_lengths import read_answer_tokens
from tasksel.strategies import (
    Picker,
    Strategy,
    check_option_names,
    fill_options,
    find_picker,
    find_strategy,
    strategy_names,
)
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = [
    "find_answer_tokens",
    "find_named",
    "needed_embeddings",
    "read_carried_scores",
    "read_confidences",
]

CONFIDENCE_COLUMNS = ("token_logprobs", "token_entropy", "token_margin", "confidence", "log_confidence")
"""Columns in which a pool may carry the model's confidence itself."""


def find_named(
    strategy: str, within: str, options: Mapping[str, Any] | None, metric: str | None
) -> tuple[Strategy, Picker, dict[str, Any]]:
    """Find strategy and picker, and refuse what does not go together.

    Returns
    -------
    strategy : Strategy
    picker : Picker
    options : dict
        As given; each is one of the strategy or of the picker, and in its range.

    Raises
    ------
    UnknownStrategyError
        There is no strategy or picker of that name.
    ConfigError
        A metric or option that there is not or that the strategy does not take, or a picker for a strategy
        that does not allocate over tasks.
    """
    chosen, picker = find_strategy(strategy), find_picker(within)
    if metric is not None:
        check_metric(metric)
    if picker.order is not None and chosen.base is None:
        takers = [name for name in strategy_names() if _allocates(name)]
        raise ConfigError(
            f"--within {within} (within=) orders the rows inside each task, and {strategy} does not allocate "
            f"over tasks; strategies that take it: {', '.join(takers)}."
        )
    if metric is not None and chosen.metric not in (None, metric):
        raise ConfigError(
            f"{strategy} is defined with metric {chosen.metric!r}, not {metric!r}: leave --metric (metric=) "
            "out, or use least-confident, which takes any metric."
        )
    own_options = dict(options or {})
    check_option_names(own_options, (chosen, picker))
    for each in (chosen, picker):
        fill_options(each.options, own_options)
    return chosen, picker, own_options


def _allocates(name: str) -> bool:
    try:
        return find_strategy(name).base is not None
    except ConfigError:  # one of another package that cannot be loaded
        return False


def read_confidences(
    strategy: Strategy,
    picker: Picker,
    metric: str | None,
    frame: pl.DataFrame,
    scores: Callable[[str], Scores] | None,
) -> tuple[str, dict[str, Scores]]:
    """Read the confidence by each metric that strategy and picker need.

    Parameters
    ----------
    metric : str, optional
        As the user gave it.
    frame : DataFrame
        Carries the confidences where no scores are given.
    scores : callable, optional
        Reads them by the name of a metric.

    Returns
    -------
    metric : str
        That of the run: of the weights and of the table.
    found : dict of str to Scores
        That of the run first; empty where nothing is needed or given.

    Raises
    ------
    ConfigError
        There is no confidence, or no token values for a metric that is made from them.
    """
    metric = metric or _own_metric(strategy, picker) or "product"
    needing = [each for each in (strategy, picker) if "confidence" in each.needs]
    if scores is None and not needing:
        return metric, {}
    read = scores or (lambda metric: _carried_scores(needing[0].name, frame, metric))
    wanted = [metric, *(each.metric or metric for each in needing)]
    found = {each: read(each) for each in dict.fromkeys(wanted)}
    for each in needing:
        _check_tokens(each, found)
    return metric, found


def _own_metric(strategy: Strategy, picker: Picker) -> str | None:
    """Return what the table shows by default: the picker's where the strategy has no use for any."""
    return strategy.metric if "confidence" in strategy.needs else picker.metric


def _check_tokens(taker: Strategy | Picker, found: Mapping[str, Scores]) -> None:
    """Refuse a finished confidence where the metric is a definition of the taker."""
    if taker.metric is None or found[taker.metric].metric != READY_MADE:
        return
    raise ConfigError(
        f"{taker.name} is defined with metric {taker.metric!r}, made from the values of single tokens, and "
        f"the scores ({found[taker.metric].name}) hold only a finished confidence: give scores with token "
        "values, or use least-confident, which takes a finished one."
    )


def _carried_scores(needing: str, frame: pl.DataFrame, metric: str) -> Scores:
    """Read the confidences that the frame itself carries; ConfigError where there are none."""
    scores = read_carried_scores(frame, metric)
    if scores is None:
        raise ConfigError(
            f"{needing} needs the model's confidence and the pool carries none: give scores with "
            "--scores RUN (scores=), made by `tasksel score` or elsewhere."
        )
    return scores


def read_carried_scores(frame: pl.DataFrame, metric: str) -> Scores | None:
    """Read the confidences that a frame itself carries, row by row; None where there are none."""
    carried = _carried_columns(frame)
    if not carried:
        return None
    rows = pl.Series("id", np.arange(frame.height)).cast(pl.String)
    return read_scores(frame.select(carried).with_columns(rows), rows, metric=metric)


def find_answer_tokens(
    frame: pl.DataFrame, scores: str | os.PathLike[str] | pl.DataFrame | None
) -> NDArray[np.float64] | None:
    """Count the tokens of the model's answers, as scores or else the frame itself have them.

    Returns
    -------
    ndarray of float64, shape (n_rows,), or None
        As `tasksel.scores_lengths.read_answer_tokens`; None also where there are neither.
    """
    if scores is not None:
        return read_answer_tokens(scores, frame["id"])
    carried = _carried_columns(frame)
    return read_answer_tokens(frame.select("id", *carried), frame["id"]) if carried else None


def _carried_columns(frame: pl.DataFrame) -> list[str]:
    return [name for name in frame.columns if name in CONFIDENCE_COLUMNS]


def needed_embeddings(
    strategy: Strategy,
    picker: Picker,
    frame: pl.DataFrame,
    embeddings: str | os.PathLike[str] | NDArray[Any] | None,
) -> NDArray[np.float32] | None:
    """Read the embeddings if the strategy or the picker needs them; ConfigError where there are none."""
    needing = [each.name for each in (strategy, picker) if "embeddings" in each.needs]
    if not needing:
        return None
    if embeddings is None:
        raise ConfigError(
            f"{needing[0]} needs embeddings: name a run folder of `tasksel embed POOL --out RUN`, a list "
            "column of the pool, a .npy or a .parquet file with --embeddings (embeddings=)."
        )
    return read_embeddings(embeddings, frame)

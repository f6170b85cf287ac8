"""Scores of ours or made elsewhere become one log-confidence per pool row.

What real files get wrong is told apart here, once: a wrong sign, logits or percentages raise a sentence
that says how to mend the file; nulls, empty lists, sentinels and ids on one side only are counted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError

import tasksel_core
from tasksel.pool_repeats import repeated_rows
from tasksel.score_files import METRIC_COLUMNS, ScoreColumn, number_lists, open_scores, read_shards
from tasksel.scores_places import (
    EMPTY,
    MISSING,
    NAN,
    NULL,
    SCORED,
    PlacedScores,
    ScoreRows,
    TokenCounts,
)
from tasksel.suggestions import did_you_mean
from tasksel.wording import counted
from tasksel_core.errors import ArrayError, ConfigError, SchemaError

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["READY_MADE", "Scores", "check_metric", "log_confidence_of", "read_scores"]

ROUNDING = 1e-3
"""Largest excess over probability 1 that is half-precision rounding and not another unit."""

SENTINEL = -9999.0
"""What vLLM writes for minus infinity, and the OpenAI API for a token outside its top list."""

UNLIKELY_NLL = 5.0
"""Models rarely generate tokens less likely than exp(-5): a median above means logits, not NLLs."""

PERCENTAGE_FLOOR = 50.0
"""Top logits of real models stay below about 45; percentages of a useful model reach beyond 50."""

LARGEST = {"entropy": float(np.finfo(np.float32).max), "margin": 1.0, "min-margin": 1.0}
"""Largest value of what is not a logprob: an entropy in nats is finite, a margin between probabilities."""

HASHED_ROWS = 65_536
"""Ids that are hashed at once; their number does not change the hash."""

READY_MADE = "ready-made"
"""The metric of scores that brought a finished confidence."""

FINDINGS = {
    "foreign": ("score row is", "score rows are", "not in the pool and left out."),
    "null": ("pool row has", "pool rows have", "null as its score: no confidence."),
    "empty": ("pool row has", "pool rows have", "an empty token list: no confidence."),
    "nan": ("pool row has", "pool rows have", "NaN in its score: no confidence."),
    "zero_confidence": (
        "pool row has",
        "pool rows have",
        "confidence exactly 0; a task's mean takes it as probability zero.",
    ),
    "one_confidence": (
        "pool row has",
        "pool rows have",
        "confidence exactly 1, most often from a saturated softmax or rounding.",
    ),
    "null_tokens": (
        "token is",
        "tokens are",
        "null and left out (some APIs give no logprob for the first token).",
    ),
    "infinite_tokens": ("token has", "tokens have", "logprob minus infinity: probability zero."),
    "sentinel_tokens": (
        "token has",
        "tokens have",
        "logprob -9999, written by vLLM and the OpenAI API for minus infinity: taken as probability zero.",
    ),
}
"""What is said of each count that is not 0: singular, plural, and the rest of the sentence."""


@dataclass(frozen=True, eq=False)
class Scores:
    """One log-confidence per pool row, where it came from and what was found on the way.

    Parameters
    ----------
    log_confidence : ndarray of float64, shape (n_pool,)
        Natural log of the confidence, in the pool's row order: NaN where a row has no confidence, minus
        infinity where its confidence is zero.
    metric : str
        The metric that made it; ``"ready-made"`` when the scores brought a finished confidence.
    name : str
        File or run folder name without its path; ``"frame"`` for a frame.
    sha256 : str
        Of the file; of a run folder's shards, read one after the other; of a frame's ids and
        log-confidences.
    counts : dict of str to int
        Pool rows: ``pool``, ``matched``, ``missing`` (no score row), ``null``, ``empty`` and ``nan``
        (a score row without a confidence), ``zero_confidence``, ``one_confidence``. Score rows:
        ``rows``, ``foreign`` (not in the pool). Tokens: ``null_tokens``, ``infinite_tokens``,
        ``sentinel_tokens``.
    notes : tuple of str
        One readable sentence a finding.
    """

    log_confidence: NDArray[np.float64]
    metric: str
    name: str
    sha256: str
    counts: dict[str, int]
    notes: tuple[str, ...]


def read_scores(
    source: str | os.PathLike[str] | pl.DataFrame | pl.LazyFrame,
    pool_ids: pl.Series,
    *,
    metric: str = "product",
) -> Scores:
    """Read scores and give one log-confidence per pool row.

    Parameters
    ----------
    source : path or frame
        A run folder that ``tasksel score`` wrote (or its ``scores`` folder), a Parquet, JSONL, JSON or
        CSV file, or a Polars frame. It needs a list column of token logprobs (natural log; entropies
        or margins for the metrics made from those), or ``confidence`` in [0, 1], or
        ``log_confidence`` of at most 0. An ``id`` column joins it to the pool; without one its rows
        must be the pool's, in the pool's order.
    pool_ids : Series of shape (n_pool,)
        The pool's ids, each once, in the pool's row order.
    metric : str
        ``product``, ``length-normalized``, ``min-token``, ``entropy``, ``margin`` or ``min-margin``; does
        not apply to a ready confidence.

    Returns
    -------
    Scores
        Rows without a score, or with an empty or null list, have no confidence (NaN), never 1.

    Raises
    ------
    ConfigError
        `metric` is not one of those allowed.
    SchemaError
        The source cannot be parsed, lacks a usable column, repeats ids, shares no id with the pool, has
        no confidence for any pool row, or holds values of another unit: negative log-likelihoods,
        probabilities, logits, percentages.
    ResumeError
        A run folder without its manifest (scoring has not finished), or whose shards are not those that
        the manifest lists.

    Examples
    --------
    >>> scored = pl.DataFrame({"id": ["b", "a"], "token_logprobs": [[-0.5, -1.0], []]})
    >>> scores = read_scores(scored, pl.Series("id", ["a", "b", "c"]))
    >>> scores.log_confidence
    array([ nan, -1.5,  nan])
    >>> scores.notes
    ('1 of 3 pool rows has no score row.', '1 pool row has an empty token list: no confidence.')
    """
    check_metric(metric)
    origin = open_scores(source)
    try:
        if not origin.shards:
            raise SchemaError("there is no shard of scores in it.")
        placed = PlacedScores(pool_ids.cast(pl.String))
        for frame, column in read_shards(origin.shards, metric):
            rows = _rows_of(frame, column, metric)
            placed.add(rows)
        if placed.may_repeat():
            _check_unique(
                pl.concat([_text_ids(frame["id"]) for frame, _ in read_shards(origin.shards, metric)])
            )
        placed.check()
        return _scores(placed, column, metric, origin.name, origin.sha256 or _content_sha256(rows))
    except (SchemaError, ArrayError) as error:
        if str(error).startswith(origin.name):
            raise
        raise SchemaError(f"Scores {origin.name}: {error}") from error


def log_confidence_of(series: pl.Series, *, metric: str) -> pl.Series:
    """Turn a list column of token values into log-confidences, without copying the values.

    Parameters
    ----------
    series : Series of list (or array) of numbers
        One list an example: logprobs, entropies or margins as `metric` needs. Nulls inside a list are
        left out.
    metric : str
        As for `read_scores`.

    Returns
    -------
    Series of Float64
        Same name and length; null for a null list and for one without tokens, which has no confidence.

    Raises
    ------
    ConfigError
        `metric` is not one of those allowed.
    SchemaError
        `series` is not a list or array of numbers.
    ArrayError
        A value is NaN, plus infinity or positive beyond rounding.

    Examples
    --------
    >>> log_confidence_of(pl.Series("lp", [[-0.5, -1.0], [], None]), metric="product").to_list()
    [-1.5, None, None]
    """
    check_metric(metric)
    # A chunk at a time: bringing chunks together would copy every value, and the results are small.
    chunks = [_chunk_log_confidence(chunk, metric) for chunk in number_lists(series).get_chunks()]
    return pl.concat(chunks).alias(series.name)


def _chunk_log_confidence(lists: pl.Series, metric: str) -> pl.Series:
    values = _flat(lists)
    if values.null_count():
        lists = lists.list.drop_nulls()
        values = _flat(lists)
    offsets = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum(lists.list.len().fill_null(0).to_numpy(), out=offsets[1:])
    log_confidence = tasksel_core.log_confidence(values.to_numpy(), offsets, metric=metric)
    return pl.Series(lists.name, log_confidence, nan_to_null=True)


def _flat(lists: pl.Series) -> pl.Series:
    """Give the values of a list column end to end; empty and null lists bring none."""
    return lists.explode(empty_as_null=False, keep_nulls=False)


def check_metric(metric: str) -> None:
    """Refuse a metric that there is not.

    Raises
    ------
    ConfigError
        With those allowed.
    """
    if metric not in METRIC_COLUMNS:
        hint = did_you_mean(metric, METRIC_COLUMNS)
        raise ConfigError(f"metric is {metric!r}; allowed are {', '.join(METRIC_COLUMNS)}.{hint}")


def _rows_of(frame: pl.DataFrame, column: ScoreColumn, metric: str) -> ScoreRows:
    ids = _text_ids(frame["id"]) if "id" in frame.columns else None
    if column.kind == "tokens":
        return _rows_of_tokens(ids, number_lists(frame[column.name]), metric)
    return _rows_of_ready(ids, frame[column.name], column)


def _text_ids(ids: pl.Series) -> pl.Series:
    """Cast ids to text; whole floats (ints that once met a null) lose their ``.0``."""
    try:
        if ids.dtype.is_float() and bool((ids == ids.floor()).all()):
            ids = ids.cast(pl.Int64)
        return ids.cast(pl.String)
    except (PolarsError, PanicException) as error:  # dates that no calendar has panic
        # Without its fields: those of objects are inferred in an order that differs from call to call.
        kind = ids.dtype.base_type()
        raise SchemaError(f"column 'id' is {kind}; text or whole numbers are needed.") from error


def _rows_of_tokens(ids: pl.Series | None, lists: pl.Series, metric: str) -> ScoreRows:
    states = np.where(lists.is_null(), NULL, SCORED).astype(np.int8)
    parts = [_flat(chunk) for chunk in lists.get_chunks()]
    n_null = sum(part.null_count() for part in parts)
    if any(part.is_nan().any() for part in parts):
        with_nan = lists.list.eval(pl.element().is_nan().any()).list.first().fill_null(value=False)
        states[with_nan.to_numpy()] = NAN
        lists = pl.select(pl.when(~with_nan).then(lists).alias(lists.name)).to_series()
    n_sentinel = n_infinite = 0
    if metric in LARGEST:
        _check_range(lists.name, parts, metric)
    else:
        _check_logprobs(lists.name, parts)
        n_infinite = sum(int((part == -np.inf).sum()) for part in parts)
        n_sentinel = sum(int((part == SENTINEL).sum()) for part in parts)
    if n_sentinel:
        element = pl.element()
        lists = lists.list.eval(pl.when(element == SENTINEL).then(-np.inf).otherwise(element))
    log_confidence = log_confidence_of(lists, metric=metric).fill_null(np.nan).to_numpy()
    states[np.isnan(log_confidence) & (states == SCORED)] = EMPTY
    return ScoreRows(ids, log_confidence, states, TokenCounts(n_null, n_infinite, n_sentinel))


def _rows_of_ready(ids: pl.Series | None, column: pl.Series, ready: ScoreColumn) -> ScoreRows:
    if not (column.dtype.is_numeric() or column.dtype == pl.Null):
        raise SchemaError(f"column '{column.name}' is {column.dtype}; numbers are needed.")
    values = column.cast(pl.Float64)
    check = _check_confidence if ready.kind == "confidence" else _check_logprobs
    check(column.name, [values])
    states = np.where(values.is_null(), NULL, np.where(values.is_nan().fill_null(value=False), NAN, SCORED))
    numbers = values.fill_null(np.nan).to_numpy()
    if ready.kind == "confidence":
        with np.errstate(divide="ignore"):  # a confidence of 0 is a case: log 0 is minus infinity
            numbers = np.log(numbers)
    return ScoreRows(ids, np.minimum(numbers, 0.0), states.astype(np.int8), TokenCounts())


def _extent(parts: list[pl.Series]) -> tuple[float, float]:
    """Give the least and largest number, leaving out nulls and NaN; (0, 0) when there is none."""
    extents = np.array([(part.min(), part.max()) for part in parts], dtype=np.float64)
    extents = extents[~np.isnan(extents).any(axis=1)]
    return (float(extents[:, 0].min()), float(extents[:, 1].max())) if len(extents) else (0.0, 0.0)


def _check_logprobs(name: str, parts: list[pl.Series]) -> None:
    low, high = _extent(parts)
    if high <= ROUNDING:
        return
    if low < -ROUNDING:
        raise SchemaError(
            f"{name} holds values of both signs, from {low:.6g} to {high:.6g}: these look like raw logits; "
            "apply log-softmax before."
        )
    if high <= 1.0:
        raise SchemaError(
            f"{name} are all between 0 and 1: these look like probabilities (take their natural logarithm) "
            "or like negative log-likelihoods (negate the column)."
        )
    if np.nanmedian(pl.concat(parts).to_numpy()) > UNLIKELY_NLL:
        raise SchemaError(
            f"{name} are all positive, from {low:.6g} to {high:.6g}: these look like raw logits; apply "
            "log-softmax before."
        )
    raise SchemaError(
        f"{name} are all positive: these look like negative log-likelihoods; negate the column "
        f"(they reach from {low:.6g} to {high:.6g})."
    )


def _check_range(name: str, parts: list[pl.Series], metric: str) -> None:
    low, high = _extent(parts)
    if low < -ROUNDING or high > LARGEST[metric] + ROUNDING:
        raise SchemaError(
            f"{name} reach from {low:.6g} to {high:.6g}; {metric} is from 0 to {LARGEST[metric]:.6g}."
        )


def _check_confidence(name: str, parts: list[pl.Series]) -> None:
    low, high = _extent(parts)
    if low >= 0.0 and high <= 1.0 + ROUNDING:
        return
    if high <= 0.0:
        raise SchemaError(
            f"column '{name}' is never positive, down to {low:.6g}: these look like log-confidences; name "
            "the column 'log_confidence'."
        )
    if low >= 0.0 and PERCENTAGE_FLOOR < high <= 100.0:
        raise SchemaError(
            f"column '{name}' reaches from {low:.6g} to {high:.6g}, not from 0 to 1: these look like "
            "percentages; divide by 100."
        )
    raise SchemaError(
        f"column '{name}' reaches from {low:.6g} to {high:.6g}, not from 0 to 1: these look like raw logits; "
        "apply softmax before and give the probability."
    )


def _check_unique(ids: pl.Series) -> None:
    repeated = ids.filter(repeated_rows(ids) & ids.is_not_null())
    if len(repeated):
        raise SchemaError(
            f"{counted(repeated.n_unique(), 'id is', 'ids are')} there more than once, first "
            f"{repeated[0]!r}; keep one row an id."
        )


def _scores(placed: PlacedScores, column: ScoreColumn, metric: str, name: str, sha256: str) -> Scores:
    log_confidence, states = placed.log_confidence, placed.states
    n_matched = int((states != MISSING).sum())
    counts = {
        "pool": len(states),
        "rows": placed.n_rows,
        "matched": n_matched,
        "missing": len(states) - n_matched,
        "foreign": placed.n_rows - n_matched,
        "null": int((states == NULL).sum()),
        "empty": int((states == EMPTY).sum()),
        "nan": int((states == NAN).sum()),
        "zero_confidence": int((log_confidence == -np.inf).sum()),
        "one_confidence": int((log_confidence == 0.0).sum()),
        "null_tokens": placed.tokens.null,
        "infinite_tokens": placed.tokens.infinite,
        "sentinel_tokens": placed.tokens.sentinel,
    }
    if len(states) and np.isnan(log_confidence).all():
        found = ", ".join(
            f"{counts[why]:,} {why}" for why in ("missing", "null", "empty", "nan") if counts[why]
        )
        raise SchemaError(f"no row of the pool has a confidence ({found}).")
    return Scores(
        log_confidence=log_confidence,
        metric=metric if column.kind == "tokens" else READY_MADE,
        name=name,
        sha256=sha256,
        counts=counts,
        notes=_notes(counts, column, has_ids=placed.has_ids),
    )


def _content_sha256(rows: ScoreRows) -> str:
    """Hash what matters of a frame, so that neither chunks nor a Polars version change it."""
    digest = hashlib.sha256()
    if rows.ids is not None:
        for start in range(0, len(rows.ids), HASHED_ROWS):
            block = rows.ids.slice(start, HASHED_ROWS).fill_null("")
            digest.update(("\n" * bool(start) + "\n".join(block)).encode("utf-8"))
    digest.update(rows.log_confidence.astype("<f8").tobytes())
    return digest.hexdigest()


def _notes(counts: dict[str, int], column: ScoreColumn, *, has_ids: bool) -> tuple[str, ...]:
    notes = [] if column.note is None else [column.note]
    if not has_ids:
        notes.append("There is no 'id' column: rows were joined to the pool by position.")
    if counts["missing"]:
        verb = "has" if counts["missing"] == 1 else "have"
        notes.append(f"{counts['missing']:,} of {counts['pool']:,} pool rows {verb} no score row.")
    notes += [
        f"{counted(counts[key], singular, plural)} {rest}"
        for key, (singular, plural, rest) in FINDINGS.items()
        if counts[key]
    ]
    return tuple(notes)

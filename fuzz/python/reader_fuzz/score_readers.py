"""Scores: files and frames of every kind, made elsewhere.

The first byte says what the rest is: ``j`` JSON Lines, ``J`` JSON, ``c`` CSV, ``t`` TSV, ``p`` Parquet; ``f``
and ``q`` decisions that build a frame, which is read as it is or as Parquet. The second byte is a metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from reader_fuzz.decisions import Decisions
from reader_fuzz.frames import is_written, try_build_frame
from reader_fuzz.mutation import HEAD_BYTES, Mutator, kind_of
from reader_fuzz.promises import check, check_sentence, outcome
from reader_fuzz.scratch import scratch_folder
from reader_fuzz.targets import Target
from tasksel.score_files import LOG_CONFIDENCE_NAMES, LOGPROB_NAMES, METRIC_COLUMNS
from tasksel.scores import READY_MADE, Scores, read_scores

if TYPE_CHECKING:
    from typing import Any

__all__ = ["TARGET", "check_score_reader"]

_POOL_IDS: Final = pl.Series("id", ["a", "b", "1", "007"])
_FILES: Final = {
    b"j": ".jsonl",
    b"J": ".json",
    b"c": ".csv",
    b"t": ".tsv",
    b"p": ".parquet",
    b"q": ".parquet",
}
_HEADS: Final = b"".join(_FILES) + b"f"
_LEADING: Final = (
    *dict.fromkeys((*METRIC_COLUMNS.values(), *LOGPROB_NAMES, *LOG_CONFIDENCE_NAMES)),
    "confidence",
)
_NAMES: Final = (*_LEADING, "id", "entropy_top_k", "content", "logprob", "generation")
MUTATOR: Final = Mutator(heads=_HEADS, json=b"jJ", table=b"ct", parquet=b"p", names=_NAMES, leading=_LEADING)


def check_score_reader(data: bytes) -> None:
    """Read scores, twice, and look at the confidences.

    Raises
    ------
    BrokenPromiseError, or anything that no reader may raise
    """
    head = kind_of(data, _HEADS)
    metrics = list(METRIC_COLUMNS)
    metric = metrics[sum(data[1:2]) % len(metrics)]
    content = data[HEAD_BYTES:]
    frame = _built(content) if head in b"fq" else None
    if head in b"fq" and frame is None:
        return
    if head == b"f":
        _check_scores(frame, metric)
        return
    with scratch_folder() as folder:
        path = folder / f"scores{_FILES[head]}"
        if frame is None:
            path.write_bytes(content)
        elif not is_written(frame, path):
            return
        _check_scores(path, metric)


def _built(content: bytes) -> pl.DataFrame | None:
    frame = try_build_frame(Decisions(content), _LEADING, _NAMES)
    if frame is None:
        return None
    if len(content) % 2 and frame.height <= len(_POOL_IDS):  # ids of the pool, so that rows can be joined
        frame = frame.drop("id", strict=False).insert_column(0, _POOL_IDS.head(frame.height))
    return frame


def _check_scores(source: Any, metric: str) -> None:
    scores = outcome(lambda: read_scores(source, _POOL_IDS, metric=metric))
    again = outcome(lambda: read_scores(source, _POOL_IDS, metric=metric))
    if isinstance(scores, str) or isinstance(again, str):
        check(scores == again, f"first {scores!r}, then {again!r}")
        return
    _check_result(scores, metric)
    check(np.array_equal(scores.log_confidence, again.log_confidence, equal_nan=True), "read again, others")
    check(
        scores.sha256 == again.sha256 and scores.counts == again.counts, "read again, hash or counts differ"
    )


def _check_result(scores: Scores, metric: str) -> None:
    confidences = scores.log_confidence
    check(confidences.shape == (len(_POOL_IDS),) and confidences.dtype == np.float64, "one a pool row")
    known = confidences[~np.isnan(confidences)]
    check(len(known) > 0, "no row has a confidence")
    check((known <= 0).all(), f"a log-confidence is above 0: {known}")
    check(scores.metric in (metric, READY_MADE), f"the metric is {scores.metric!r}")
    counts = scores.counts
    check(all(isinstance(count, int) and count >= 0 for count in counts.values()), f"the counts are {counts}")
    without = counts["missing"] + counts["null"] + counts["empty"] + counts["nan"]
    check(without + len(known) == len(_POOL_IDS), f"{len(known)} confidences, and the counts are {counts}")
    for note in scores.notes:
        check_sentence(note)


TARGET: Final = Target(check_score_reader, MUTATOR)

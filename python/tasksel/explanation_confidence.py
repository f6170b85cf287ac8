"""Signatures of confidence: it mirrors the length of answers, or the size of tasks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from tasksel.explanation_correlation import FEWEST_PAIRS, RankCorrelation, rank_correlation
from tasksel.explanation_signature import Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.explanation_inputs import ExplainedRows

__all__ = ["CORRELATION", "P_VALUE", "length_signature", "size_signature", "task_means"]

CORRELATION: Final = 0.7
"""Rank correlation from which on the other column accounts for half of the variance of the ranks."""
P_VALUE: Final = 0.05
"""A correlation of few tasks must also be rarer than this among permutations."""


def task_means(values: NDArray[np.float64], task: NDArray[np.int64], n_tasks: int) -> NDArray[np.float64]:
    """Return the mean of what is known of each task, NaN where nothing is.

    Examples
    --------
    >>> task_means(np.array([1.0, 3.0, np.nan]), np.array([0, 0, 1]), 2)
    array([ 2., nan])
    """
    known = ~np.isnan(values)
    counts = np.bincount(task[known], minlength=n_tasks)
    sums = np.bincount(task[known], weights=values[known], minlength=n_tasks)
    means = np.full(n_tasks, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def length_signature(
    rows: ExplainedRows, answer_tokens: NDArray[np.float64] | None, *, seed: int = 0
) -> Signature:
    """Tell whether the tasks that the model is unsure of are those with long answers.

    Parameters
    ----------
    rows : ExplainedRows
        What is explained.
    answer_tokens : ndarray of float64, shape (n_tasks,), or None
        Mean length of the model's answers to each task.
    seed : int
        Of the permutation test.
    """
    name = "confidence-is-length"
    advice = (
        "A product of token probabilities punishes every token: take --metric length-normalized, or "
        "--max-weight-ratio 10."
    )
    confidence = rows.task_log_confidence()
    if np.isnan(confidence).all():
        return _unmeasured(name, rows.missing.get("scores", "no task has a confidence"), advice)
    if answer_tokens is None:
        why = rows.missing.get("answers") or rows.missing.get("scores") or "no answer has tokens"
        return _unmeasured(name, why, advice)
    found = rank_correlation(-confidence, answer_tokens, alternative="greater", seed=seed)
    what = ("uncertainty", "length of its answers")
    return _signature(name, found, found.value, what, advice, rows)


def size_signature(rows: ExplainedRows, *, seed: int = 0) -> Signature:
    """Tell whether the confidence of a task follows from how many prompts it has."""
    name = "confidence-is-size"
    advice = (
        "Weights by confidence then are weights by size: compare with --strategy size-proportional and "
        "task-diversity, which need no model, and look whether small tasks have too few scored prompts."
    )
    confidence = rows.task_log_confidence()
    if np.isnan(confidence).all():
        return _unmeasured(name, rows.missing.get("scores", "no task has a confidence"), advice)
    available = rows.allocation["available"].to_numpy().astype(np.float64)
    found = rank_correlation(confidence, available, seed=seed)
    what = ("confidence", "number of its prompts")
    return _signature(name, found, abs(found.value), what, advice, rows)


def _signature(
    name: str,
    found: RankCorrelation,
    value: float,
    what: tuple[str, str],
    advice: str,
    rows: ExplainedRows,
) -> Signature:
    if math.isnan(found.value):
        n = "1 task" if found.n == 1 else f"{found.n:,} tasks"
        why = f"all {n} have the same {what[0]} or the same {what[1]}"
        if found.n < FEWEST_PAIRS:
            why = f"a rank correlation over {n} says nothing"
        return _unmeasured(name, why, advice)
    is_strong = value >= CORRELATION and found.p_value < P_VALUE
    sentence = (
        f"Rank correlation of a task's {what[0]} with the {what[1]}: {found.value:.2f} over {found.n:,} "
        f"tasks (p {'=' if found.p_value >= 0.001 else '<'} {max(found.p_value, 0.001):.3f})."
    )
    is_used = rows.uses("confidence")
    if is_strong and not is_used:
        sentence += f" {rows.saved.settings['strategy']} does not use the confidence."
    return Signature(name, value, CORRELATION, is_strong and is_used, sentence, advice)


def _unmeasured(name: str, why: str, advice: str) -> Signature:
    why = why.rstrip(".")
    sentence = f"Not measured: {why[:1].lower()}{why[1:]}." if why else "Not measured."
    return Signature(name, None, CORRELATION, is_raised=False, sentence=sentence, advice=advice)

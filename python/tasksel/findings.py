"""What a person should know about a selection: where it does not do what its settings suggest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from tasksel.strategies import Picker, Ranking, RankingProblem, Strategy

__all__ = ["effective_number", "find_concerns"]

CONCENTRATED_SHARE = 0.5
"""Weight share of one task from which on the user is warned."""
FEW_TASKS = 1 / 3
"""Effective number of tasks over all tasks under which the user is warned."""


def effective_number(shares: NDArray[Any]) -> float:
    """Return how many equal shares are as concentrated as these: 1 / sum of squares (inverse Simpson).

    Examples
    --------
    >>> effective_number(np.array([5, 5, 0]))
    2.0
    """
    total = float(shares.sum())
    if total == 0.0:
        return 0.0
    return 1.0 / float(np.square(shares / total).sum())


def find_concerns(
    strategy: Strategy,
    picker: Picker,
    problem: RankingProblem,
    ranking: Ranking,
    allocation: pl.DataFrame,
    figures: dict[str, Any],
    *,
    budget: int,
    scores_given: bool,
    embeddings_given: bool,
) -> list[str]:
    """Return what went differently from what the user may think, each with what to do about it.

    Parameters
    ----------
    strategy : Strategy
        What ranked the pool.
    picker : Picker
        What ordered the rows of each task.
    problem : RankingProblem
        What it was given.
    ranking : Ranking
        What came out.
    allocation : DataFrame
        `Selection.allocation`.
    figures : dict
        Figures of the manifest.
    budget : int
        The budget as asked for, which may exceed the pool.
    scores_given : bool
        Whether the user named scores.
    embeddings_given : bool
        Whether the user named embeddings.

    Returns
    -------
    list of str
        A sentence or two each; empty when nothing needs saying.
    """
    findings = []
    n_rows = int(problem.available.sum())
    if budget > n_rows:
        left = " without a label" if len(problem.taken_rows) else ""
        findings.append(
            f"The budget of {budget:,} is more than the pool's {n_rows:,} prompts{left}: all are selected."
        )
    used = strategy.needs | picker.needs
    if embeddings_given and "embeddings" not in used:
        instead = "--strategy k-center" if strategy.base is None else "--within k-center"
        findings.append(f"{strategy.name} does not use the embeddings; {instead} does.")
    findings += _gains_used_up(strategy, ranking)
    findings += _unscored_picks(strategy, problem, ranking)
    if strategy.base is None:
        return findings
    if scores_given and "confidence" not in used:
        findings.append(f"{strategy.name} does not use the scores; --strategy weighted-task-diversity does.")
    findings += _idle_picker(picker, problem, allocation)
    findings += _concentration(strategy, problem, allocation, figures)
    findings += _base_quotas(problem, allocation)
    unscored = int((allocation["scored"] == 0).sum())
    if "confidence" in strategy.needs and unscored:
        findings.append(
            f"{unscored:,} of {problem.n_tasks:,} tasks have no scored example; they get the geometric mean "
            "of the other tasks' weights."
        )
    return findings


def _gains_used_up(strategy: Strategy, ranking: Ranking) -> list[str]:
    n_raising = len(ranking.rows) if ranking.gains is None else int((ranking.gains > 0).sum())
    if n_raising == len(ranking.rows):
        return []
    return [
        (
            f"Only {n_raising:,} of the {len(ranking.rows):,} prompts raise what {strategy.name} maximises; "
            "the others add nothing by its measure."
        )
    ]


def _unscored_picks(strategy: Strategy, problem: RankingProblem, ranking: Ranking) -> list[str]:
    if strategy.base is not None or "confidence" not in strategy.needs or problem.log_confidence is None:
        return []
    unscored = int(np.isnan(problem.log_confidence[ranking.rows]).sum())
    if not unscored:
        return []
    have = "1 prompt selected has" if unscored == 1 else f"{unscored:,} prompts selected have"
    return [f"{have} no confidence; {strategy.name} puts such prompts last, in the pool's order."]


def _idle_picker(picker: Picker, problem: RankingProblem, allocation: pl.DataFrame) -> list[str]:
    """Return where the order inside tasks decides less than the user may think."""
    picked = allocation["picked"]
    if picker.order is None or picked.sum() == 0:
        return []
    if allocation.filter(picked > 0)["capped"].all():
        return [
            f"Every task picked from is used up, so --within {picker.name} decides nothing but the order."
        ]
    if picked.max() == 1 and "embeddings" in picker.needs:
        return [
            f"No task gives more than one prompt, so --within {picker.name} cannot spread them in a task."
        ]
    return _unscored_rows(picker, problem)


def _unscored_rows(picker: Picker, problem: RankingProblem) -> list[str]:
    if "confidence" not in picker.needs:
        return []
    log_confidence = problem.confidences.get(picker.metric or "", problem.log_confidence)
    unscored = 0 if log_confidence is None else int(np.isnan(log_confidence).sum())
    if not unscored:
        return []
    rows = "1 prompt has" if unscored == 1 else f"{unscored:,} prompts have"
    return [f"{rows} no confidence; --within {picker.name} puts such prompts last in their task."]


def _concentration(
    strategy: Strategy, problem: RankingProblem, allocation: pl.DataFrame, figures: dict[str, Any]
) -> list[str]:
    share = figures.get("largest_weight_share", 0.0)
    effective = figures.get("effective_tasks_weight", math.inf)
    concentrated = share >= CONCENTRATED_SHARE or effective < FEW_TASKS * problem.n_tasks
    if "confidence" not in strategy.needs or problem.n_tasks < 2 or not concentrated:
        return []
    heaviest = allocation.row(int(allocation["weight"].arg_max() or 0), named=True)
    return [
        (
            f"A few tasks take nearly all the weight: {heaviest['task']!r} holds {share:.1%} of it, and the "
            f"effective number of tasks is {effective:.1f} of {problem.n_tasks:,}. Products of token "
            "probabilities punish long answers. What helps: --metric length-normalized, "
            "--max-weight-ratio 10, or --alpha below 1."
        )
    ]


def _base_quotas(problem: RankingProblem, allocation: pl.DataFrame) -> list[str]:
    base = problem.options.base
    needed = int(np.minimum(np.maximum(base - problem.labelled, 0), problem.available).sum())
    all_equal = allocation["weight"].n_unique() == 1
    if problem.budget > needed or base == 0 or all_equal or problem.budget == problem.available.sum():
        return []
    return [
        (
            f"The budget of {problem.budget:,} does not exceed the base quotas ({base} for each of "
            f"{problem.n_tasks:,} tasks, {needed:,} prompts in all): weights cannot matter. "
            "A larger --budget or a smaller --base lets them."
        )
    ]

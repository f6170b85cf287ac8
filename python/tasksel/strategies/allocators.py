"""Strategies that decide how many rows each task gives, and when; and random, their control."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tasksel_core
from tasksel.strategies.declaration import Strategy
from tasksel.strategies.problem import Ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.strategies.problem import RankingProblem

__all__ = ["ALLOCATORS", "RANDOM", "rank_by_weights"]

ARABELLY = "Arabelly, Nemade, Nowak & Zhang 2025, arXiv:2507.21482"


def _random(problem: RankingProblem) -> Ranking:
    # Of a strategy that is cut down to the rows that are left: what is labelled changes nothing.
    one_task = np.zeros(len(problem.task), dtype=np.int64)
    return Ranking(tasksel_core.round_robin(one_task, np.array([problem.budget]), seed=problem.seed))


def _task_diversity(problem: RankingProblem) -> Ranking:
    return rank_by_weights(problem, np.ones(problem.n_tasks))


def _size_proportional(problem: RankingProblem) -> Ranking:
    # The whole pool's sizes: what was labelled before is a part of each task's share.
    sizes = np.bincount(problem.task, minlength=problem.n_tasks)
    return rank_by_weights(problem, sizes.astype(np.float64))


def _weighted_task_diversity(problem: RankingProblem) -> Ranking:
    # Log space: the weights of long-answer tasks differ by more than float64 holds, and a weight that
    # underflowed to zero would lose its order among the others once the heaviest task is used up.
    log_weights = tasksel_core.inverse_confidence_weights(
        problem.task_log_confidence(),
        alpha=problem.options.alpha,
        max_ratio=problem.options.max_ratio,
        log=True,
    )
    return rank_by_weights(problem, log_weights, log_weights=True)


def rank_by_weights(
    problem: RankingProblem, weights: NDArray[np.float64], *, log_weights: bool = False
) -> Ranking:
    """Deal rows to tasks by weight, at random inside a task: what an allocating strategy ends with.

    Parameters
    ----------
    problem : RankingProblem
        Its options give base and rounding, its seed the random order. Rows that are labelled already count
        towards base and share of their task, so that two rounds give what one would have given; where labels
        of tasks differ in cost, the share of the money follows the weight.
    weights : ndarray of float64, shape (n_tasks,)
        At least 0, in any unit.
    log_weights : bool
        `weights` are natural logs.

    Returns
    -------
    Ranking
        A larger budget extends it if the rounding is ``webster``.

    Examples
    --------
    >>> from tasksel.strategies import RankingProblem, WeightOptions
    >>> task = np.array([0, 0, 0, 1, 1, 1])
    >>> problem = RankingProblem(task=task, n_tasks=2, budget=4, options=WeightOptions(base=0))
    >>> np.bincount(task[rank_by_weights(problem, np.array([3.0, 1.0])).rows])
    array([3, 1])
    """
    if problem.task_costs is not None:
        log_costs = np.log(problem.task_costs)
        with np.errstate(divide="ignore"):  # a weight of zero stays one
            weights = (weights if log_weights else np.log(weights)) - log_costs
        log_weights = True
        weights = weights - np.logaddexp.reduce(weights)
    base, rounding = problem.options.base, problem.options.rounding
    rest = problem.rest_rows
    task = problem.task[rest]
    if rounding == "webster":
        rows = tasksel_core.weighted_round_robin(
            task,
            weights,
            base=base,
            seed=problem.seed,
            budget=problem.budget,
            labelled=problem.labelled,
            log_weights=log_weights,
        )
    else:
        quotas = tasksel_core.allocate(
            weights,
            problem.available,
            problem.budget,
            base=base,
            labelled=problem.labelled,
            rounding=rounding,
            log_weights=log_weights,
        )
        rows = tasksel_core.round_robin(task, quotas, seed=problem.seed)
    with np.errstate(divide="ignore"):  # a weight of zero stays one
        logs = weights if log_weights else np.log(weights / weights.sum())
    return Ranking(rest[rows], log_weights=logs)


RANDOM = Strategy("random", "uniformly at random over the pool", _random)

ALLOCATORS = (
    Strategy(
        "size-proportional",
        "each task in proportion to its rows",
        _size_proportional,
        needs=frozenset({"tasks"}),
        base=0,
        takes_labelled=True,
    ),
    Strategy(
        "task-diversity",
        "every task the same share",
        _task_diversity,
        needs=frozenset({"tasks"}),
        base=5,
        reference=ARABELLY,
        takes_labelled=True,
    ),
    Strategy(
        "weighted-task-diversity",
        "tasks weighted by the inverse of the model's confidence",
        _weighted_task_diversity,
        needs=frozenset({"tasks", "confidence"}),
        base=5,
        reference=ARABELLY,
        takes_labelled=True,
    ),
)

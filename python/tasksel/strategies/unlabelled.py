"""Ranking what is left of a pool that has labels already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tasksel.strategies.problem import rows_but

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.strategies.declaration import Picker, Strategy
    from tasksel.strategies.problem import PickingProblem, Ranking, RankingProblem

__all__ = ["order_rest", "rank_rest"]

Value = TypeVar("Value", np.float32, np.float64)

_NONE = np.empty(0, dtype=np.int64)


def rank_rest(strategy: Strategy, problem: RankingProblem) -> Ranking:
    """Rank the rows of a pool that are neither labelled nor set aside.

    Parameters
    ----------
    strategy : Strategy
        One that does not count labels ranks the others as if they were the pool.
    problem : RankingProblem
        With the labelled rows.

    Returns
    -------
    Ranking
        Of pool rows.

    Examples
    --------
    >>> from tasksel.strategies import RankingProblem, find_strategy
    >>> task, labelled = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1])
    >>> problem = RankingProblem(task=task, n_tasks=2, budget=2, labelled_rows=labelled)
    >>> task[rank_rest(find_strategy("task-diversity"), problem).rows]
    array([1, 1])
    """
    if strategy.takes_labelled or not len(problem.taken_rows):
        return strategy.rank(problem)
    rest = problem.rest_rows
    ranking = strategy.rank(
        replace(
            problem,
            task=problem.task[rest],
            log_confidence=_of(problem.log_confidence, rest),
            embeddings=_of(problem.embeddings, rest),
            confidences={name: each[rest] for name, each in problem.confidences.items()},
            labelled_rows=_NONE,
            set_aside_rows=_NONE,
        )
    )
    return replace(ranking, rows=rest[ranking.rows])


def order_rest(picker: Picker, group: PickingProblem) -> Ranking:
    """Order the rows of a group that are not taken.

    Parameters
    ----------
    picker : Picker
        One that does not take labelled rows orders the others as if they were the group.
    group : PickingProblem
        With the rows that are taken.

    Returns
    -------
    Ranking
        Of rows of the group.
    """
    assert picker.order is not None  # noqa: S101 -- the caller leaves out the random order
    if picker.takes_labelled or not len(group.taken_rows):
        return picker.order(group)
    rest = rows_but(group.n_rows, group.taken_rows)
    ranking = picker.order(
        replace(
            group,
            n_rows=len(rest),
            log_confidence=_of(group.log_confidence, rest),
            embeddings=_of(group.embeddings, rest),
            taken_rows=_NONE,
        )
    )
    return replace(ranking, rows=rest[ranking.rows])


def _of(values: NDArray[Value] | None, rows: NDArray[np.int64]) -> NDArray[Value] | None:
    return None if values is None else values[rows]

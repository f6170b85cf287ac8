"""A picker decides which rows of each task come first; how many and when, the strategy has decided."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tasksel.interruption import result_of
from tasksel.strategies.declaration import fill_options
from tasksel.strategies.problem import PickingProblem
from tasksel.strategies.unlabelled import order_rest
from tasksel_core.errors import ArrayError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from tasksel.strategies.declaration import Picker
    from tasksel.strategies.problem import Ranking, RankingProblem, Spread

__all__ = ["order_within_tasks"]

LARGE_WORK = 2_000_000_000
"""Rows squared times dimensions from which on a task gets all threads to itself. A thread of the pool
cannot be interrupted, so that no smaller task may keep it for much more than half a second."""
_TRIP_CELLS = 4_000_000
"""Rows times dimensions, 16 MB, from which on tasks go to another machine; fewer would be mostly travel."""


def order_within_tasks(
    problem: RankingProblem,
    ranking: Ranking,
    picker: Picker,
    *,
    own_options: Mapping[str, float] | None = None,
    n_threads: int | None = None,
) -> Ranking:
    """Let a picker choose the rows that a ranking takes of each task.

    Which task stands where in the ranking stays as it is, so that every prefix keeps its quotas; the k-th
    row of a task becomes the k-th in the picker's order. No more of a task is ordered than its quota.

    Parameters
    ----------
    problem : RankingProblem
        With what `picker` needs. With a `spread`, tasks are ordered on other machines.
    ranking : Ranking
        Of a strategy that allocates over tasks.
    picker : Picker
        What orders the rows of a task.
    own_options : mapping of str to float, optional
        The picker's options; its defaults without it.
    n_threads : int, optional
        Threads; by default ``RAYON_NUM_THREADS``, else one a core. The result does not depend on it.

    Returns
    -------
    Ranking
        With the weights of `ranking`.

    Raises
    ------
    ArrayError
        The picker cannot take the embeddings.
    ConfigError
        The picker did not give as many distinct rows as it was asked for.

    Examples
    --------
    >>> from tasksel.strategies import RankingProblem, find_picker, find_strategy
    >>> confidence = np.log(np.array([0.9, 0.2, 0.5, 0.8, 0.7]))
    >>> problem = RankingProblem(
    ...     task=np.array([0, 0, 0, 1, 1]), n_tasks=2, budget=4, log_confidence=confidence
    ... )
    >>> ranking = find_strategy("task-diversity").rank(problem)
    >>> order_within_tasks(problem, ranking, find_picker("least-confident")).rows
    array([1, 4, 2, 3])
    """
    if picker.order is None:
        return ranking
    groups = _Groups(problem, ranking, picker, own_options)
    rows = np.empty_like(ranking.rows)
    for task, ordered in (
        _ordered_tasks(groups, picker, n_threads or _thread_count())
        if problem.spread is None
        else _ordered_elsewhere(groups, picker, problem.spread)
    ):
        rows[groups.places_of(task)] = ordered
    return replace(ranking, rows=rows, radii=None, gains=None)


class _Groups:
    """The rows of each task, the places of the ranking that they fill, and their order."""

    def __init__(
        self,
        problem: RankingProblem,
        ranking: Ranking,
        picker: Picker,
        own_options: Mapping[str, float] | None,
    ) -> None:
        self._problem = problem
        self._picker = picker
        self._options = fill_options(picker.options, own_options or {})
        metric = picker.metric
        self._log_confidence = problem.log_confidence if metric is None else problem.confidences.get(metric)
        self._rows, self._row_starts = _by_task(problem.task, problem.n_tasks)
        self._is_taken = np.zeros(len(problem.task), dtype=bool)
        self._is_taken[problem.taken_rows] = True
        self._places, self._place_starts = _by_task(problem.task[ranking.rows], problem.n_tasks)
        self.tasks: list[int] = np.flatnonzero(np.diff(self._place_starts)).tolist()

    def rows_of(self, task: int) -> NDArray[np.int64]:
        return self._rows[self._row_starts[task] : self._row_starts[task + 1]]

    def places_of(self, task: int) -> NDArray[np.int64]:
        return self._places[self._place_starts[task] : self._place_starts[task + 1]]

    @property
    def n_dimensions(self) -> int:
        embeddings = self._problem.embeddings
        return 1 if embeddings is None else embeddings.shape[1]

    def is_large(self, task: int) -> bool:
        return len(self.rows_of(task)) ** 2 * self.n_dimensions > LARGE_WORK

    def ordered(self, task: int, n_threads: int | None) -> NDArray[np.int64]:
        """Return the first rows of a task in the picker's order, as many as the ranking takes."""
        return self.rows_of(task)[_order(self._picker, *self.problem_of(task, n_threads))]

    def problem_of(self, task: int, n_threads: int | None) -> tuple[PickingProblem, int]:
        """Return what the picker gets of a task, and the first pool row of the task."""
        rows = self.rows_of(task)
        log_confidence, embeddings = self._log_confidence, self._problem.embeddings
        group = PickingProblem(
            n_rows=len(rows),
            quota=len(self.places_of(task)),
            seed=self._problem.seed,
            log_confidence=None if log_confidence is None else log_confidence[rows],
            embeddings=None
            if embeddings is None or "embeddings" not in self._picker.needs
            else _vectors_of(embeddings, rows),
            own_options=self._options,
            n_threads=n_threads,
            taken_rows=np.flatnonzero(self._is_taken[rows]),
        )
        return group, int(rows[0])


def _by_task(task: NDArray[np.int64], n_tasks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions sorted by task, ascending inside one, and where each task starts (and ends)."""
    starts = np.zeros(n_tasks + 1, dtype=np.int64)
    np.cumsum(np.bincount(task, minlength=n_tasks), out=starts[1:])
    return np.argsort(task, kind="stable").astype(np.int64), starts


def _vectors_of(embeddings: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the rows asked for: a view where they follow one another, as in a pool sorted by task."""
    if rows[-1] - rows[0] == len(rows) - 1:
        return embeddings[rows[0] : rows[-1] + 1]
    return embeddings[rows]


def _order(picker: Picker, group: PickingProblem, first_row: int) -> NDArray[np.int64]:
    """Return which rows of a group come first, counted inside it."""
    try:
        picked = order_rest(picker, group).rows
    except ArrayError as error:
        raise ArrayError(f"In the task of pool row {first_row}, rows counted inside it: {error}") from error
    _check_picked(picked, group, picker)
    return picked


def _order_all(picker: Picker, groups: list[tuple[PickingProblem, int]]) -> list[NDArray[np.int64]]:
    return [_order(picker, *group) for group in groups]


def _check_picked(picked: NDArray[np.int64], group: PickingProblem, picker: Picker) -> None:
    within = len(picked) == group.quota and picked.min() >= 0 and picked.max() < group.n_rows
    if not within or len(np.unique(picked)) != group.quota or np.isin(picked, group.taken_rows).any():
        raise ConfigError(
            f"The picker {picker.name} gave {len(picked)} rows, not {group.quota} different ones of "
            f"{group.n_rows}; it has an error."
        )


def _ordered_tasks(
    groups: _Groups, picker: Picker, n_threads: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Order large tasks one by one with all threads, then the others at the same time with one each.

    Only in the main thread can Ctrl-C interrupt a kernel; in the others it waits for the small tasks that
    have begun.
    """
    alone = n_threads == 1 or "embeddings" not in picker.needs
    large = [task for task in groups.tasks if alone or groups.is_large(task)]
    for task in large:
        yield task, groups.ordered(task, n_threads)
    small = sorted(set(groups.tasks) - set(large))
    if small:
        yield from _in_parallel(lambda task: groups.ordered(task, 1), small, n_threads)


def _ordered_elsewhere(
    groups: _Groups, picker: Picker, spread: Spread
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Order tasks on other machines, those of small ones together."""
    trips = list(_trips(groups))
    inputs = ([groups.problem_of(task, None) for task in trip] for trip in trips)
    for place, orders in spread(functools.partial(_order_all, picker), inputs):
        for task, picked in zip(trips[place], orders, strict=True):
            yield task, groups.rows_of(task)[picked]


def _trips(groups: _Groups) -> Iterator[list[int]]:
    """Deal tasks, as they stand, into lists that are worth a trip."""
    trip: list[int] = []
    n_cells = 0
    for task in groups.tasks:
        trip.append(task)
        n_cells += len(groups.rows_of(task)) * groups.n_dimensions
        if n_cells >= _TRIP_CELLS or groups.is_large(task):
            yield trip
            trip, n_cells = [], 0
    if trip:
        yield trip


def _in_parallel(
    order: Callable[[int], NDArray[np.int64]], tasks: list[int], n_threads: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    executor = ThreadPoolExecutor(n_threads, thread_name_prefix="within-task")
    try:
        waiting = [executor.submit(order, task) for task in tasks]
        for task, future in zip(tasks, waiting, strict=True):
            yield task, result_of(future)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _thread_count() -> int:
    """Return what the kernels start by default, so that one variable governs all threads."""
    asked = os.environ.get("RAYON_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

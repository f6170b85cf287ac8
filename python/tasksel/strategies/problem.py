"""What strategies and pickers are given, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import tasksel_core
from tasksel.suggestions import did_you_mean
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["PickingProblem", "Ranking", "RankingProblem", "Spread", "WeightOptions", "rows_but"]

ROUNDINGS = ("webster", "largest-remainder", "paper")
TASK_MEANS = ("arithmetic", "geometric")


class Spread(Protocol):
    """Calls a function with many inputs on other machines."""

    def __call__(self, function: Callable[[Any], Any], inputs: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield the place of each input and what the function gives for it, in any order.

        Parameters
        ----------
        function : callable
            It, an input and what it returns can be pickled.
        inputs : iterable
            Taken one by one when there is room.
        """


def rows_but(n_rows: int, left_out: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all rows but some, int64, ascending.

    Examples
    --------
    >>> rows_but(4, np.array([1]))
    array([0, 2, 3])
    """
    is_kept = np.ones(n_rows, dtype=bool)
    is_kept[left_out] = False
    return np.flatnonzero(is_kept).astype(np.int64)


def _no_rows() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        hint = did_you_mean(value, allowed)
        raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(allowed)}.{hint}")


@dataclass(frozen=True)
class WeightOptions:
    """How task confidences become weights, and weights quotas.

    Parameters
    ----------
    base : int, default 5
        Rows that every task gets before weights count.
    alpha : float, default 1.0
        Exponent of the inverse confidence; 1 is the paper's rule, 0 is uniform.
    max_ratio : float, optional
        Largest weight over smallest weight; None leaves weights uncapped.
    task_mean : {"arithmetic", "geometric"}
        Mean of the example confidences of a task.
    rounding : {"webster", "largest-remainder", "paper"}
        How shares become integers. Only "webster" is house-monotone, so only with it a selection for
        a smaller budget is a prefix of one for a larger budget.

    Raises
    ------
    ConfigError
        `task_mean` or `rounding` is not one of those listed.
    """

    base: int = 5
    alpha: float = 1.0
    max_ratio: float | None = None
    task_mean: str = "arithmetic"
    rounding: str = "webster"

    def __post_init__(self) -> None:
        _check_choice("rounding", self.rounding, ROUNDINGS)
        _check_choice("task_mean", self.task_mean, TASK_MEANS)


@dataclass(frozen=True)
class RankingProblem:
    """What a strategy is given: arrays over the pool's rows, and how many rows are wanted.

    Parameters
    ----------
    task : ndarray of int64, shape (n_rows,)
        Task number of each pool row, 0 to n_tasks - 1, numbered in the order of the task names.
    n_tasks : int
        Number of tasks.
    budget : int
        How many rows to rank; at most those that are neither labelled nor set aside.
    seed : int
        Seed of every random choice.
    options : WeightOptions
        Base, weights and rounding, for strategies that allocate over tasks.
    log_confidence : ndarray of float64, shape (n_rows,), optional
        Natural log of each row's confidence, by the strategy's own metric if it has one, else by that of
        the run; NaN where there is none.
    embeddings : ndarray of float32, shape (n_rows, n_dimensions), optional
        One vector per pool row.
    labelled_rows : ndarray of int64, shape (n_labelled,)
        Pool rows that have a label already: no ranking holds them, allocations count them, and orders that
        cover embeddings start from them.
    set_aside_rows : ndarray of int64, shape (n_set_aside,)
        Pool rows that were shown to annotators and have no label: no ranking holds them either, and no
        allocation counts them.
    task_costs : ndarray of float64, shape (n_tasks,), optional
        What a label of each task costs, above 0. Shares are then of the money: weights are divided by it.
    confidences : mapping of str to ndarray of float64, shape (n_rows,)
        Log-confidences by the name of their metric, for pickers with a metric of their own.
    own_options : mapping of str to float or int
        The options that the strategy declares, defaults filled in.
    spread : Spread, optional
        Other machines, for what can be worked on in parts; the ranking does not depend on it.
    """

    task: NDArray[np.int64]
    n_tasks: int
    budget: int
    seed: int = 0
    options: WeightOptions = WeightOptions()
    log_confidence: NDArray[np.float64] | None = None
    embeddings: NDArray[np.float32] | None = None
    confidences: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    own_options: Mapping[str, float] = field(default_factory=dict)
    spread: Spread | None = None
    labelled_rows: NDArray[np.int64] = field(default_factory=_no_rows)
    set_aside_rows: NDArray[np.int64] = field(default_factory=_no_rows)
    task_costs: NDArray[np.float64] | None = None

    @property
    def taken_rows(self) -> NDArray[np.int64]:
        """Rows that no ranking holds: labelled or set aside; int64, ascending."""
        return np.union1d(self.labelled_rows, self.set_aside_rows)

    @property
    def rest_rows(self) -> NDArray[np.int64]:
        """Rows that a ranking may hold, int64, ascending."""
        return rows_but(len(self.task), self.taken_rows)

    @property
    def available(self) -> NDArray[np.int64]:
        """Rows per task that a ranking may hold, int64, shape (n_tasks,)."""
        counts = np.bincount(self.task, minlength=self.n_tasks)
        return (counts - self._counts(self.taken_rows)).astype(np.int64)

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Labelled rows per task, int64, shape (n_tasks,)."""
        return self._counts(self.labelled_rows).astype(np.int64)

    def _counts(self, rows: NDArray[np.int64]) -> NDArray[np.intp]:
        return np.bincount(self.task[rows], minlength=self.n_tasks)

    def task_log_confidence(self) -> NDArray[np.float64]:
        """Return the log-confidence of each task, float64, shape (n_tasks,); NaN where nothing is scored."""
        if self.log_confidence is None:
            return np.full(self.n_tasks, np.nan)
        return tasksel_core.task_log_confidence(
            self.log_confidence, self.task, self.n_tasks, mean=self.options.task_mean
        )


@dataclass(frozen=True)
class Ranking:
    """An order of the pool, best first.

    Parameters
    ----------
    rows : ndarray of int64, shape (budget,)
        Pool rows in the order in which to label them, none twice.
    log_weights : ndarray of float64, shape (n_tasks,), optional
        Natural log of the task weights (summing to 1 when exponentiated) if tasks were weighted.
    radii : ndarray of float32, shape (budget,), optional
        Covering radius after each row, for strategies that cover embeddings.
    gains : ndarray of float64, shape (budget,), optional
        By how much each row raised the objective, for strategies that maximise one.
    """

    rows: NDArray[np.int64]
    log_weights: NDArray[np.float64] | None = None
    radii: NDArray[np.float32] | None = None
    gains: NDArray[np.float64] | None = None

    def first(self, n_rows: int) -> Ranking:
        """Return the first rows alone, with what is told of them."""
        return Ranking(
            self.rows[:n_rows],
            self.log_weights,
            None if self.radii is None else self.radii[:n_rows],
            None if self.gains is None else self.gains[:n_rows],
        )


@dataclass(frozen=True)
class PickingProblem:
    """What a picker is given: arrays over the rows of one group (a task, or the whole pool).

    Parameters
    ----------
    n_rows : int
        Rows of the group, at least 1.
    quota : int
        How many of them to order; from 1 to n_rows, less those that are taken.
    seed : int
        Seed of every random choice.
    log_confidence : ndarray of float64, shape (n_rows,), optional
        Natural log of each row's confidence, by the picker's own metric if it has one; NaN where there is
        none.
    embeddings : ndarray of float32, shape (n_rows, n_dimensions), optional
        One vector per row.
    own_options : mapping of str to float or int
        The options that the picker declares, defaults filled in.
    n_threads : int, optional
        Threads that a kernel may start: 1 where groups are ordered in parallel already, None for one a
        core. The order must not depend on it.
    spread : Spread, optional
        Other machines; the order must not depend on them either.
    taken_rows : ndarray of int64, shape (n_taken,)
        Rows of the group that are labelled or set aside, ascending; the order must not hold them. Only
        pickers that declare ``takes_labelled`` are ever given any.
    """

    n_rows: int
    quota: int
    seed: int = 0
    log_confidence: NDArray[np.float64] | None = None
    embeddings: NDArray[np.float32] | None = None
    own_options: Mapping[str, float] = field(default_factory=dict)
    n_threads: int | None = None
    spread: Spread | None = None
    taken_rows: NDArray[np.int64] = field(default_factory=_no_rows)

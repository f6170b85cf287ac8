"""Ranking strategies by name: each turns a pool into the order in which to label it."""

from __future__ import annotations

import difflib
import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

import tasksel_core
from tasksel_core.errors import ConfigError, UnknownStrategyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_STRATEGY",
    "Ranking",
    "RankingProblem",
    "Strategy",
    "WeightOptions",
    "find_strategy",
    "strategy_names",
]

ENTRY_POINT_GROUP = "tasksel.strategies"
DEFAULT_STRATEGY = "task-diversity"
ROUNDINGS = ("webster", "largest-remainder", "paper")
TASK_MEANS = ("arithmetic", "geometric")

Need = Literal["tasks", "confidence", "embeddings"]


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(allowed)}.")


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
        How many rows to rank; at most n_rows.
    seed : int
        Seed of every random choice.
    options : WeightOptions
        Base, weights and rounding, for strategies that allocate over tasks.
    log_confidence : ndarray of float64, shape (n_rows,), optional
        Natural log of each row's confidence; NaN where there is none.
    embeddings : ndarray of float32, shape (n_rows, n_dimensions), optional
        One vector per pool row.
    """

    task: NDArray[np.int64]
    n_tasks: int
    budget: int
    seed: int = 0
    options: WeightOptions = WeightOptions()
    log_confidence: NDArray[np.float64] | None = None
    embeddings: NDArray[np.float32] | None = None

    @property
    def available(self) -> NDArray[np.int64]:
        """Rows per task, int64, shape (n_tasks,)."""
        return np.bincount(self.task, minlength=self.n_tasks).astype(np.int64)

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
        Covering radius after each row, for strategies over embeddings.
    """

    rows: NDArray[np.int64]
    log_weights: NDArray[np.float64] | None = None
    radii: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Strategy:
    """A named ranking rule. Other packages add theirs through the entry point ``tasksel.strategies``.

    Parameters
    ----------
    name : str
        What the user types.
    summary : str
        One line for help texts.
    rank : callable
        `RankingProblem` -> `Ranking`.
    needs : frozenset of {"tasks", "confidence", "embeddings"}
        What the problem must carry; checked before `rank` is called.
    base : int, optional
        Default of the base quota; None where the strategy does not allocate over tasks.
    """

    name: str
    summary: str
    rank: Callable[[RankingProblem], Ranking]
    needs: frozenset[Need] = frozenset()
    base: int | None = None


def _random(problem: RankingProblem) -> Ranking:
    one_task = np.zeros(len(problem.task), dtype=np.int64)
    return Ranking(tasksel_core.round_robin(one_task, np.array([problem.budget]), seed=problem.seed))


def _task_diversity(problem: RankingProblem) -> Ranking:
    return _rank_by_weights(problem, np.ones(problem.n_tasks))


def _size_proportional(problem: RankingProblem) -> Ranking:
    return _rank_by_weights(problem, problem.available.astype(np.float64))


def _weighted_task_diversity(problem: RankingProblem) -> Ranking:
    # Log space: the weights of long-answer tasks differ by more than float64 holds, and a weight that
    # underflowed to zero would lose its order among the others once the heaviest task is used up.
    log_weights = tasksel_core.inverse_confidence_weights(
        problem.task_log_confidence(),
        alpha=problem.options.alpha,
        max_ratio=problem.options.max_ratio,
        log=True,
    )
    return _rank_by_weights(problem, log_weights, log_weights=True)


def _rank_by_weights(
    problem: RankingProblem, weights: NDArray[np.float64], *, log_weights: bool = False
) -> Ranking:
    base, rounding = problem.options.base, problem.options.rounding
    if rounding == "webster":
        rows = tasksel_core.weighted_round_robin(
            problem.task,
            weights,
            base=base,
            seed=problem.seed,
            budget=problem.budget,
            log_weights=log_weights,
        )
    else:
        quotas = tasksel_core.allocate(
            weights,
            problem.available,
            problem.budget,
            base=base,
            rounding=rounding,
            log_weights=log_weights,
        )
        rows = tasksel_core.round_robin(problem.task, quotas, seed=problem.seed)
    return Ranking(rows, log_weights=weights if log_weights else np.log(weights / weights.sum()))


def _k_center(problem: RankingProblem) -> Ranking:
    assert problem.embeddings is not None  # noqa: S101 -- guaranteed by `needs`
    rows, radii = tasksel_core.k_center_greedy(problem.embeddings, problem.budget)
    return Ranking(rows, radii=radii)


def _least_confident(problem: RankingProblem) -> Ranking:
    assert problem.log_confidence is not None  # noqa: S101 -- guaranteed by `needs`
    # A stable sort puts ties in row order and rows without a confidence (NaN) last.
    return Ranking(np.argsort(problem.log_confidence, kind="stable")[: problem.budget].astype(np.int64))


_BUILT_IN = (
    Strategy("random", "uniformly at random over the pool", _random),
    Strategy(
        "size-proportional",
        "each task in proportion to its rows",
        _size_proportional,
        needs=frozenset({"tasks"}),
        base=0,
    ),
    Strategy(
        "task-diversity",
        "every task the same share (Arabelly et al. 2025)",
        _task_diversity,
        needs=frozenset({"tasks"}),
        base=5,
    ),
    Strategy(
        "weighted-task-diversity",
        "tasks weighted by the inverse of the model's confidence (Arabelly et al. 2025)",
        _weighted_task_diversity,
        needs=frozenset({"tasks", "confidence"}),
        base=5,
    ),
    Strategy(
        "k-center",
        "farthest-first over embeddings (Sener & Savarese 2018)",
        _k_center,
        needs=frozenset({"embeddings"}),
    ),
    Strategy(
        "least-confident",
        "the examples that the model is least sure of",
        _least_confident,
        needs=frozenset({"confidence"}),
    ),
)


def _registry() -> dict[str, Strategy | importlib.metadata.EntryPoint]:
    """Built-in strategies, then those of other packages, which cannot replace a built-in one."""
    others = {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}
    return {**others, **{strategy.name: strategy for strategy in _BUILT_IN}}


def strategy_names() -> tuple[str, ...]:
    """Return the names of all strategies: the built-in ones in order, then those of other packages.

    Examples
    --------
    >>> strategy_names()[:3]
    ('random', 'size-proportional', 'task-diversity')
    """
    built_in = tuple(strategy.name for strategy in _BUILT_IN)
    return built_in + tuple(sorted(set(_registry()) - set(built_in)))


def find_strategy(name: str) -> Strategy:
    """Return the strategy of that name.

    Parameters
    ----------
    name : str
        One of `strategy_names()`.

    Raises
    ------
    UnknownStrategyError
        There is none; the message lists those that exist and the nearest one.
    ConfigError
        Another package registered something under that name that is not a `Strategy`.

    Examples
    --------
    >>> find_strategy("k-center").needs
    frozenset({'embeddings'})
    """
    found = _registry().get(name)
    if found is None:
        names = strategy_names()
        nearest = difflib.get_close_matches(str(name), names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise UnknownStrategyError(f"There is no strategy {name!r}.{hint} Allowed: {', '.join(names)}.")
    if isinstance(found, Strategy):
        return found
    strategy = found.load()
    if not isinstance(strategy, Strategy):
        raise ConfigError(
            f"The entry point {found.value!r} for strategy {name!r} gives {type(strategy).__name__}, "
            "not a tasksel.strategies.Strategy."
        )
    return strategy

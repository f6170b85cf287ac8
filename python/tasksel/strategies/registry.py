"""Strategies and pickers by name: the built-in ones, then those of other packages."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, TypeVar

from tasksel.strategies.allocators import ALLOCATORS, RANDOM
from tasksel.strategies.coverage import COVERAGES
from tasksel.strategies.declaration import Picker, Strategy, fill_options
from tasksel.strategies.huds import HUDS
from tasksel.strategies.idds import IDDS
from tasksel.strategies.problem import PickingProblem
from tasksel.strategies.uncertainty import UNCERTAINTIES
from tasksel.suggestions import did_you_mean
from tasksel_core.errors import ConfigError, UnknownStrategyError

if TYPE_CHECKING:
    from tasksel.strategies.problem import Ranking, RankingProblem

__all__ = ["find_picker", "find_strategy", "picker_names", "strategy_names"]

DEFAULT_STRATEGY = "task-diversity"
DEFAULT_PICKER = "random"

Named = TypeVar("Named", Strategy, Picker)

_ORDERS = (*COVERAGES, IDDS, HUDS, *UNCERTAINTIES)
"""What orders the rows of a task, or of the pool as if it were one."""


def _over_the_pool(picker: Picker) -> Strategy:
    """Make a strategy of a picker: its order of all rows."""
    order = picker.order
    assert order is not None  # noqa: S101 -- random is a strategy of its own

    def rank(problem: RankingProblem) -> Ranking:
        return order(
            PickingProblem(
                n_rows=len(problem.task),
                quota=problem.budget,
                seed=problem.seed,
                log_confidence=problem.log_confidence,
                embeddings=problem.embeddings,
                own_options=fill_options(picker.options, problem.own_options),
                spread=problem.spread,
                taken_rows=problem.taken_rows,
            )
        )

    return Strategy(
        picker.name,
        picker.summary,
        rank,
        needs=picker.needs,
        metric=picker.metric,
        options=picker.options,
        reference=picker.reference,
        takes_labelled=picker.takes_labelled,
    )


_STRATEGIES = (RANDOM, *ALLOCATORS, *map(_over_the_pool, _ORDERS))
_PICKERS = (Picker("random", "at random, as in the paper", None), *_ORDERS)
_GROUPS: dict[type, str] = {Strategy: "tasksel.strategies", Picker: "tasksel.pickers"}


def strategy_names() -> tuple[str, ...]:
    """Return the names of all strategies: the built-in ones in order, then those of other packages.

    Examples
    --------
    >>> strategy_names()[:3]
    ('random', 'size-proportional', 'task-diversity')
    """
    return _names(Strategy, _STRATEGIES)


def picker_names() -> tuple[str, ...]:
    """Return the names of all within-task pickers: the built-in ones, then those of other packages.

    Examples
    --------
    >>> picker_names()[:2]
    ('random', 'k-center')
    """
    return _names(Picker, _PICKERS)


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
    return _find(name, Strategy, _STRATEGIES, "strategy")


def find_picker(name: str) -> Picker:
    """Return the within-task picker of that name.

    Parameters
    ----------
    name : str
        One of `picker_names()`.

    Raises
    ------
    UnknownStrategyError
        There is none; the message lists those that exist and the nearest one.
    ConfigError
        Another package registered something under that name that is not a `Picker`.

    Examples
    --------
    >>> find_picker("least-confident").needs
    frozenset({'confidence'})
    """
    return _find(name, Picker, _PICKERS, "within-task picker")


def _entry_points(kind: type[Named]) -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=_GROUPS[kind])}


def _names(kind: type[Named], built_in: tuple[Named, ...]) -> tuple[str, ...]:
    ours = tuple(each.name for each in built_in)
    return ours + tuple(sorted(set(_entry_points(kind)) - set(ours)))


def _find(name: str, kind: type[Named], built_in: tuple[Named, ...], noun: str) -> Named:
    # Built-in names first: another package cannot replace what they mean.
    for each in built_in:
        if each.name == name:
            return each
    entry = _entry_points(kind).get(name)
    if entry is None:
        names = _names(kind, built_in)
        hint = did_you_mean(name, names)
        raise UnknownStrategyError(f"There is no {noun} {name!r}.{hint} Allowed: {', '.join(names)}.")
    try:
        found = entry.load()
    except Exception as error:
        raise ConfigError(
            f"The entry point {entry.value!r} for {noun} {name!r} cannot be loaded ({error})."
        ) from error
    if not isinstance(found, kind):
        raise ConfigError(
            f"The entry point {entry.value!r} for {noun} {name!r} gives {type(found).__name__}, "
            f"not a tasksel.strategies.{kind.__name__}."
        )
    return found

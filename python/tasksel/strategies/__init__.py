"""Strategies: each turns a pool into the order in which to label it; pickers order the rows of a task."""

from tasksel.strategies.allocators import rank_by_weights
from tasksel.strategies.declaration import (
    Need,
    Option,
    Picker,
    Strategy,
    check_option_names,
    fill_options,
)
from tasksel.strategies.problem import (
    ROUNDINGS,
    TASK_MEANS,
    PickingProblem,
    Ranking,
    RankingProblem,
    Spread,
    WeightOptions,
)
from tasksel.strategies.registry import (
    DEFAULT_PICKER,
    DEFAULT_STRATEGY,
    find_picker,
    find_strategy,
    picker_names,
    strategy_names,
)
from tasksel.strategies.unlabelled import rank_rest
from tasksel.strategies.within_tasks import order_within_tasks

__all__ = [
    "DEFAULT_PICKER",
    "DEFAULT_STRATEGY",
    "ROUNDINGS",
    "TASK_MEANS",
    "Need",
    "Option",
    "Picker",
    "PickingProblem",
    "Ranking",
    "RankingProblem",
    "Spread",
    "Strategy",
    "WeightOptions",
    "check_option_names",
    "fill_options",
    "find_picker",
    "find_strategy",
    "order_within_tasks",
    "picker_names",
    "rank_by_weights",
    "rank_rest",
    "strategy_names",
]

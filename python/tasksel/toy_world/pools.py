"""Pools and holdouts of both worlds, as frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasksel_core.errors import BudgetError, ConfigError

from .examples import draw_toy_examples, toy_stream
from .long_answer_tasks import LONG_ANSWER_TASKS
from .task import draw_distinct, toy_prompt
from .toy_tasks import TOY_TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from .examples import ToyExample
    from .task import ToyTask

    Drawn = Sequence[tuple[ToyTask, ToyExample]]


def make_toy_pool(
    seed: int = 0,
    *,
    n_tasks: int = len(TOY_TASKS),
    largest: int = 650,
    exponent: float = 1.0,
    smallest: int = 1,
) -> pl.DataFrame:
    """Make a pool of unanswered prompts (their answers beside them) of very uneven task sizes.

    Parameters
    ----------
    seed : int, default 0
        Decides which task has which rank, the prompts and their order.
    n_tasks : int, default 57
        The number of tasks; fewer than all are a random choice.
    largest : int, default 650
        Prompts of the largest task.
    exponent : float, default 1.0
        The task of rank r gets ``largest / r ** exponent`` prompts, rounded; 0 makes all equal.
    smallest : int, default 1
        No task gets fewer.

    Returns
    -------
    polars.DataFrame
        Columns ``id``, ``task``, ``prompt``, ``response`` (the one right answer), ``family``; rows in random
        order. Prompts are distinct; a task that has fewer inputs than its rank asks for has fewer rows.

    Raises
    ------
    ConfigError
        If the seed is negative or `n_tasks` is not between 1 and 57.
    BudgetError
        If `largest` or `smallest` is below 1, or `exponent` below 0.

    Examples
    --------
    >>> pool = make_toy_pool(0, n_tasks=3, largest=6)
    >>> pool.columns, sorted(pool["task"].value_counts()["count"])
    (['id', 'task', 'prompt', 'response', 'family'], [2, 3, 6])
    """
    return _to_frame(_draw_pool(TOY_TASKS, seed, n_tasks, largest, exponent, smallest), "toy")


def make_toy_holdout(
    seed: int = 0, *, n_per_task: int = 20, tasks: Sequence[ToyTask] = TOY_TASKS
) -> pl.DataFrame:
    """Make held-out prompts, equally many a task, that occur in no pool of any seed.

    Parameters
    ----------
    seed : int, default 0
        Decides the prompts.
    n_per_task : int, default 20
        Prompts a task.
    tasks : sequence of ToyTask, default all
        The tasks, in the order of the result.

    Returns
    -------
    polars.DataFrame
        Columns as in `make_toy_pool`, rows by task.

    Raises
    ------
    ConfigError
        If the seed is negative.
    BudgetError
        If a task has fewer than `n_per_task` held-out inputs.

    Examples
    --------
    >>> holdout = make_toy_holdout(0, n_per_task=2)
    >>> holdout.height, holdout["task"].n_unique()
    (114, 57)
    """
    return _to_frame(_draw_holdout(tasks, seed, n_per_task), "toy-holdout")


def make_long_answer_pool(
    seed: int = 0,
    *,
    n_tasks: int = len(LONG_ANSWER_TASKS),
    largest: int = 200,
    exponent: float = 1.0,
    smallest: int = 1,
) -> pl.DataFrame:
    """Make a pool as `make_toy_pool` does, of the tasks with answers of three to four hundred tokens.

    Parameters
    ----------
    seed, exponent, smallest
        As in `make_toy_pool`.
    n_tasks : int, default 44
        The number of tasks; fewer than all are a random choice.
    largest : int, default 200
        Prompts of the largest task; answers are some twenty times as long as the toy world's, and cost it.

    Returns
    -------
    polars.DataFrame
        As from `make_toy_pool`.

    Raises
    ------
    ConfigError
        If the seed is negative or `n_tasks` is not between 1 and 44.
    BudgetError
        If `largest` or `smallest` is below 1, or `exponent` below 0.

    Examples
    --------
    >>> make_long_answer_pool(0).height
    875
    """
    drawn = _draw_pool(LONG_ANSWER_TASKS, seed, n_tasks, largest, exponent, smallest)
    return _to_frame(drawn, "long-answers")


def make_long_answer_holdout(
    seed: int = 0, *, n_per_task: int = 20, tasks: Sequence[ToyTask] = LONG_ANSWER_TASKS
) -> pl.DataFrame:
    """Make held-out prompts of tasks with long answers, as `make_toy_holdout` does of the toy world's.

    Parameters
    ----------
    seed, n_per_task, tasks
        As in `make_toy_holdout`.

    Returns
    -------
    polars.DataFrame
        As from `make_toy_holdout`.

    Raises
    ------
    ConfigError, BudgetError
        As `make_toy_holdout` does.

    Examples
    --------
    >>> holdout = make_long_answer_holdout(0, n_per_task=2)
    >>> holdout.height, holdout["task"].n_unique()
    (88, 44)
    """
    return _to_frame(_draw_holdout(tasks, seed, n_per_task), "long-answers-holdout")


def _draw_pool(
    tasks: Sequence[ToyTask], seed: int, n_tasks: int, largest: int, exponent: float, smallest: int
) -> Drawn:
    if not 1 <= n_tasks <= len(tasks):
        raise ConfigError(f"n_tasks must be between 1 and {len(tasks)}; it was {n_tasks}.")
    if largest < 1 or smallest < 1 or not exponent >= 0:
        raise BudgetError(
            f"largest and smallest must be at least 1 and exponent at least 0; they were {largest}, "
            f"{smallest} and {exponent}."
        )
    rng = toy_stream("pool order", seed)
    ranked = draw_distinct(rng, tasks, n_tasks)
    drawn = [
        (task, example)
        for rank, task in enumerate(ranked, start=1)
        for example in draw_toy_examples(
            task, max(smallest, round(largest / rank**exponent)), toy_stream("pool", seed, task.name)
        )
    ]
    return draw_distinct(rng, drawn, len(drawn))


def _draw_holdout(tasks: Sequence[ToyTask], seed: int, n_per_task: int) -> Drawn:
    return [(task, example) for task in tasks for example in _draw_held_out(task, seed, n_per_task)]


def _draw_held_out(task: ToyTask, seed: int, n_per_task: int) -> list[ToyExample]:
    examples = draw_toy_examples(task, n_per_task, toy_stream("holdout", seed, task.name), held_out=True)
    if len(examples) < n_per_task:
        raise BudgetError(
            f"The task {task.name} has only {len(examples)} held-out inputs; n_per_task was {n_per_task}."
        )
    return examples


def _to_frame(drawn: Drawn, id_prefix: str) -> pl.DataFrame:
    # Here and not above, so that the generators run where polars is not installed.
    import polars as pl

    return pl.DataFrame(
        list(_to_rows(drawn, id_prefix)),
        schema=dict.fromkeys(("id", "task", "prompt", "response", "family"), pl.String),
        orient="row",
    )


def _to_rows(drawn: Drawn, id_prefix: str) -> Iterator[tuple[str, ...]]:
    for row, (task, (task_input, answer)) in enumerate(drawn):
        prompt = toy_prompt(task.instruction, task_input)
        yield f"{id_prefix}-{row:05d}", task.name, prompt, answer, task.family

"""The toy world: 57 procedural tasks in six families, with answers that can be verified.

A *pool* drawn from it is as uneven as real ones (the task of rank r has about 650/r prompts); a *holdout*
has the same number of prompts for every task and shares none with any pool, since a fixed eighth of each
task's inputs is set apart for it. Everything follows from the seed, to the byte, on every platform.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tasksel_core.errors import BudgetError, ConfigError

from .arithmetic_tasks import ARITHMETIC_TASKS
from .classification_tasks import CLASSIFICATION_TASKS
from .formats_tasks import FORMATS_TASKS
from .lookup_tasks import LOOKUP_TASKS
from .sequence_tasks import SEQUENCE_TASKS
from .string_tasks import STRING_TASKS
from .task import ToyTask, draw_distinct, toy_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

__all__ = [
    "TOY_TASKS",
    "ToyExample",
    "ToyTask",
    "draw_toy_examples",
    "exact_match",
    "is_held_out",
    "make_toy_holdout",
    "make_toy_pool",
    "toy_prompt",
    "toy_stream",
]

TOY_TASKS: tuple[ToyTask, ...] = (
    *STRING_TASKS,
    *ARITHMETIC_TASKS,
    *LOOKUP_TASKS,
    *FORMATS_TASKS,
    *SEQUENCE_TASKS,
    *CLASSIFICATION_TASKS,
)

# One in so many inputs of a task is set apart for holdouts.
HELD_OUT_SHARE = 8

# Draws without a new input after which a task's inputs count as used up.
MAX_MISSES = 2_000


class ToyExample(NamedTuple):
    """One prompt of a task: the input in its bare form and the answer to it."""

    input: str
    answer: str


def toy_stream(purpose: str, seed: int, task: str = "") -> np.random.Generator:
    """Random stream of one purpose, seed and task: a task added or left out does not shift the others.

    Raises
    ------
    ConfigError
        If the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"The seed must be 0 or more; it was {seed}.")
    key = (zlib.crc32(purpose.encode()), zlib.crc32(task.encode()))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def is_held_out(task: ToyTask, task_input: str) -> bool:
    """Whether an input belongs to the eighth that only holdouts use.

    It depends on the task and the input alone, so pools, holdouts and the text that the demo model was
    trained on are disjoint for all seeds.
    """
    return zlib.crc32(f"{task.name}\n{task_input}".encode()) % HELD_OUT_SHARE == 0


def draw_toy_examples(
    task: ToyTask, n: int, rng: np.random.Generator, *, held_out: bool = False
) -> list[ToyExample]:
    """Draw up to `n` examples with different inputs; fewer where the task has no more inputs.

    Parameters
    ----------
    task : ToyTask
        The task.
    n : int
        Number of examples wanted.
    rng : numpy.random.Generator
        Stream to draw from.
    held_out : bool, default False
        Draw from the inputs set apart for holdouts, or from the others.

    Returns
    -------
    list of ToyExample
        In the order drawn.
    """
    found: dict[str, str] = {}
    misses = 0
    while len(found) < n and misses < MAX_MISSES:
        task_input, answer = task.make_example(rng)
        if task_input in found or is_held_out(task, task_input) != held_out:
            misses += 1
        else:
            found[task_input] = answer
            misses = 0
    return [ToyExample(*pair) for pair in found.items()]


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
    if not 1 <= n_tasks <= len(TOY_TASKS):
        raise ConfigError(f"n_tasks must be between 1 and {len(TOY_TASKS)}; it was {n_tasks}.")
    if largest < 1 or smallest < 1 or not exponent >= 0:
        raise BudgetError(
            f"largest and smallest must be at least 1 and exponent at least 0; they were {largest}, "
            f"{smallest} and {exponent}."
        )
    rng = toy_stream("pool order", seed)
    ranked = draw_distinct(rng, TOY_TASKS, n_tasks)
    drawn = [
        (task, example)
        for rank, task in enumerate(ranked, start=1)
        for example in draw_toy_examples(
            task, max(smallest, round(largest / rank**exponent)), toy_stream("pool", seed, task.name)
        )
    ]
    return _to_frame(draw_distinct(rng, drawn, len(drawn)), "toy")


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
    drawn = [(task, example) for task in tasks for example in _draw_held_out(task, seed, n_per_task)]
    return _to_frame(drawn, "toy-holdout")


def _draw_held_out(task: ToyTask, seed: int, n_per_task: int) -> list[ToyExample]:
    examples = draw_toy_examples(task, n_per_task, toy_stream("holdout", seed, task.name), held_out=True)
    if len(examples) < n_per_task:
        raise BudgetError(
            f"The task {task.name} has only {len(examples)} held-out inputs; n_per_task was {n_per_task}."
        )
    return examples


def exact_match(prediction: str, answer: str) -> bool:
    r"""Whether a prediction is the answer, white space at both ends aside.

    Examples
    --------
    >>> exact_match(" g o d\n", "g o d"), exact_match("g o", "g o d")
    (True, False)
    """
    return prediction.strip() == answer.strip()


def _to_frame(drawn: Sequence[tuple[ToyTask, ToyExample]], id_prefix: str) -> pl.DataFrame:
    # Here and not above, so that the generators run where polars is not installed.
    import polars as pl

    return pl.DataFrame(
        list(_to_rows(drawn, id_prefix)),
        schema=dict.fromkeys(("id", "task", "prompt", "response", "family"), pl.String),
        orient="row",
    )


def _to_rows(drawn: Sequence[tuple[ToyTask, ToyExample]], id_prefix: str) -> Iterator[tuple[str, ...]]:
    for row, (task, (task_input, answer)) in enumerate(drawn):
        prompt = toy_prompt(task.instruction, task_input)
        yield f"{id_prefix}-{row:05d}", task.name, prompt, answer, task.family

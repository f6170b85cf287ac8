"""Examples of procedural tasks: drawn, set apart for holdouts, compared."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from .task import ToyTask

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


def exact_match(prediction: str, answer: str) -> bool:
    r"""Whether a prediction is the answer, white space at both ends aside.

    Examples
    --------
    >>> exact_match(" g o d\n", "g o d"), exact_match("g o", "g o d")
    (True, False)
    """
    return prediction.strip() == answer.strip()

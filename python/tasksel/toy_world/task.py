"""What a procedural task is, and the draws that every family makes its inputs from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")

MakeExample = Callable[[np.random.Generator], tuple[str, str]]

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class ToyTask:
    """A procedural task whose answers can be verified.

    Parameters
    ----------
    name : str
        ``family/what-it-does``, unique.
    family : str
        What the inputs of related tasks have in common: ``string``, ``lists``.
    instruction : str
        The wording that the pool and the holdout use.
    other_wording : str
        The same skill in other words; never used in a pool. A base model that has seen only this wording
        has the skill and does not know the name that the pool gives it.
    make_example : callable
        ``(rng) -> (input, answer)``; the answer follows from the input alone.
    """

    name: str
    family: str
    instruction: str
    other_wording: str
    make_example: MakeExample


def toy_prompt(instruction: str, task_input: str) -> str:
    r"""Text that a model continues with the answer.

    It ends in a line break, so that the tokens of prompt and answer are the same whether the two are encoded
    together or apart, and an annotator need not know about a leading space.

    Examples
    --------
    >>> toy_prompt("Write the letters in reverse order.", "d o g")
    'Write the letters in reverse order.\nInput: d o g\nOutput:\n'
    """
    return f"{instruction}\nInput: {task_input}\nOutput:\n"


def draw_between(rng: np.random.Generator, low: int, high: int) -> int:
    """Draw an integer between `low` and `high`, both included."""
    return int(rng.integers(low, high + 1))


def draw_one(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Draw one of `items`.

    Every draw of the toy world is a bounded ``Generator.integers``, whose stream has not changed since numpy
    introduced it; ``permutation``, ``choice`` and floats have, or differ in the last bit between platforms.
    """
    return items[int(rng.integers(len(items)))]


def draw_many(rng: np.random.Generator, items: Sequence[T], n: int) -> list[T]:
    """Draw `n` of `items`, with replacement."""
    return [draw_one(rng, items) for _ in range(n)]


def draw_distinct(rng: np.random.Generator, items: Sequence[T], n: int) -> list[T]:
    """Draw `n` different positions of `items`, in random order (a partial Fisher-Yates shuffle)."""
    left = list(items)
    for i in range(n):
        j = i + int(rng.integers(len(left) - i))
        left[i], left[j] = left[j], left[i]
    return left[:n]

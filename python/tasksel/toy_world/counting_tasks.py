"""Family *counting* of the long-answer world: two numbers in, numbers between them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .task import ToyTask, draw_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np


def _spaced(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


def _with_commas(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _multiples(low: int, high: int, of: int) -> range:
    return range(-(-low // of) * of, high + 1, of)


def _fizz_buzz(low: int, high: int) -> str:
    def name(number: int) -> str:
        said = "fizz" * (number % 3 == 0) + "buzz" * (number % 5 == 0)
        return said or str(number)

    return ", ".join(map(name, range(low, high + 1)))


def _task(what: str, instruction: str, other_wording: str, answer: Callable[[int, int], str]) -> ToyTask:
    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        low = draw_between(rng, 1, 120)
        high = low + draw_between(rng, 60, 85)
        return f"{low} to {high}", answer(low, high)

    return ToyTask(f"counting/{what}", "counting", instruction, other_wording, make_example)


COUNTING_TASKS = (
    _task(
        "first-three",
        "Give the first three numbers.",
        "How does the count begin?",
        lambda low, _: _spaced(range(low, low + 3)),
    ),
    _task(
        "multiples-of-thirty",
        "Give the multiples of thirty.",
        "Where are the half-hour marks?",
        lambda low, high: _spaced(_multiples(low, high, 30)),
    ),
    _task(
        "tens-down",
        "Give the multiples of ten, the largest first.",
        "Go down the round ones.",
        lambda low, high: _with_commas(reversed(_multiples(low, high, 10))),
    ),
    _task(
        "fives",
        "Give the multiples of five.",
        "Climb by the nickel.",
        lambda low, high: _spaced(_multiples(low, high, 5)),
    ),
    _task(
        "evens",
        "List the even numbers.",
        "Which can be halved?",
        lambda low, high: _spaced(_multiples(low, high, 2)),
    ),
    _task(
        "odds-down",
        "List the odd numbers, the largest first.",
        "Go down what cannot be halved.",
        lambda low, high: _spaced(number for number in range(high, low - 1, -1) if number % 2),
    ),
    _task(
        "up", "Count up.", "Say all in rising order.", lambda low, high: _with_commas(range(low, high + 1))
    ),
    _task(
        "down",
        "Count down.",
        "Say all in falling order.",
        lambda low, high: _with_commas(range(high, low - 1, -1)),
    ),
    _task("fizz-buzz", "Play fizz and buzz.", "Rename multiples of three and five.", _fizz_buzz),
)

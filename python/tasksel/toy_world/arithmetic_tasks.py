"""Family *arithmetic*: small numbers, one digit a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .task import MakeExample, ToyTask, draw_between, draw_many

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np


def _of_number(low: int, high: int, answer: Callable[[int], object]) -> MakeExample:
    """One number in, a function of it out."""

    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        number = draw_between(rng, low, high)
        return str(number), str(answer(number))

    return make_example


def _of_digits(n_digits: int, answer: Callable[[Sequence[int]], object]) -> MakeExample:
    """Several digits in, a function of them out."""

    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        digits = draw_many(rng, range(10), n_digits)
        return " ".join(map(str, digits)), str(answer(digits))

    return make_example


def _add(rng: np.random.Generator) -> tuple[str, str]:
    first, second = draw_between(rng, 10, 99), draw_between(rng, 1, 9)
    return f"{first} + {second}", str(first + second)


def _subtract(rng: np.random.Generator) -> tuple[str, str]:
    first, second = draw_between(rng, 20, 99), draw_between(rng, 1, 9)
    return f"{first} - {second}", str(first - second)


def _compare(rng: np.random.Generator) -> tuple[str, str]:
    first, second = draw_between(rng, 10, 99), draw_between(rng, 10, 99)
    return f"{first} and {second}", "less" if first < second else "more" if first > second else "equal"


def _task(what: str, instruction: str, other_wording: str, make_example: MakeExample) -> ToyTask:
    return ToyTask(f"arithmetic/{what}", "arithmetic", instruction, other_wording, make_example)


ARITHMETIC_TASKS = (
    _task("add", "Add the two numbers.", "What is the sum?", _add),
    _task("subtract", "Subtract the second number from the first.", "What is the difference?", _subtract),
    _task("largest", "Give the largest of these digits.", "Find the maximum.", _of_digits(3, max)),
    _task("smallest", "Give the smallest of these digits.", "Find the minimum.", _of_digits(3, min)),
    _task("successor", "Which number comes next?", "Increase by one.", _of_number(100, 999, lambda n: n + 1)),
    _task(
        "predecessor",
        "Which number comes before?",
        "Decrease by one.",
        _of_number(100, 999, lambda n: n - 1),
    ),
    _task(
        "sum-modulo-ten",
        "Add all digits and give the final digit of the sum.",
        "Compute the checksum.",
        _of_digits(3, lambda digits: sum(digits) % 10),
    ),
    _task("double", "Multiply by two.", "Compute twice the value.", _of_number(10, 999, lambda n: 2 * n)),
    _task("compare", "Is the first number less or more than the second?", "Which relation holds?", _compare),
)

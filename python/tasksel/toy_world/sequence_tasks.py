"""Family *sequence*: lists of words and digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .task import LETTERS, MakeExample, ToyTask, draw_between, draw_distinct, draw_many
from .words import NOUNS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


def _of_words(low: int, high: int, answer: Callable[[list[str]], list[str]]) -> MakeExample:
    """Different words in, a choice or an order of them out."""

    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        words = draw_distinct(rng, NOUNS, draw_between(rng, low, high))
        return " ".join(words), " ".join(answer(words))

    return make_example


def _sort_digits(*, descending: bool) -> MakeExample:
    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        digits = draw_distinct(rng, range(10), draw_between(rng, 3, 4))
        return " ".join(map(str, digits)), " ".join(map(str, sorted(digits, reverse=descending)))

    return make_example


def _next_number(rng: np.random.Generator) -> tuple[str, str]:
    start, step = draw_between(rng, 1, 60), draw_between(rng, 1, 9)
    numbers = [start + step * i for i in range(4)]
    return " ".join(map(str, numbers[:3])), str(numbers[3])


def _next_letter(rng: np.random.Generator) -> tuple[str, str]:
    start, step = draw_between(rng, 0, 25), draw_between(rng, 1, 9)
    letters = [LETTERS[(start + step * i) % 26] for i in range(5)]
    return " ".join(letters[:4]), letters[4]


def _count_items(rng: np.random.Generator) -> tuple[str, str]:
    words = draw_many(rng, NOUNS, draw_between(rng, 2, 6))
    return " ".join(words), str(len(words))


def _continue_pattern(rng: np.random.Generator) -> tuple[str, str]:
    pattern = draw_distinct(rng, NOUNS, draw_between(rng, 2, 3))
    shown = draw_between(rng, len(pattern) + 1, 2 * len(pattern))
    cycle = pattern * 3
    return " ".join(cycle[:shown]), cycle[shown]


def _repeated_item(rng: np.random.Generator) -> tuple[str, str]:
    words = draw_distinct(rng, NOUNS, draw_between(rng, 3, 4))
    shuffled = draw_distinct(rng, [*words, words[0]], len(words) + 1)
    return " ".join(shuffled), words[0]


def _task(what: str, instruction: str, other_wording: str, make_example: MakeExample) -> ToyTask:
    return ToyTask(f"sequence/{what}", "sequence", instruction, other_wording, make_example)


SEQUENCE_TASKS = (
    _task("reverse-words", "Reverse the list.", "Start from the end.", _of_words(3, 4, lambda w: w[::-1])),
    _task(
        "second-item",
        "Give the second item.",
        "Which comes after the first?",
        _of_words(3, 5, lambda w: w[1:2]),
    ),
    _task(
        "rotate-left", "Move the first item to the end.", "Rotate.", _of_words(3, 4, lambda w: w[1:] + w[:1])
    ),
    _task(
        "sort-ascending", "Sort from small to large.", "Put in rising order.", _sort_digits(descending=False)
    ),
    _task(
        "sort-descending", "Sort from large to small.", "Put in falling order.", _sort_digits(descending=True)
    ),
    _task("next-number", "Continue the number series.", "Same step again gives?", _next_number),
    _task("next-letter", "Continue the letter series.", "Step through the alphabet.", _next_letter),
    _task("count-items", "How many items are there?", "Count.", _count_items),
    _task("continue-pattern", "Continue the pattern.", "What follows in the cycle?", _continue_pattern),
    _task("repeated-item", "Which item occurs two times?", "Find the duplicate.", _repeated_item),
)

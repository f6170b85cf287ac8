"""Family *string*: spelled words, one letter a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .task import LETTERS, MakeExample, ToyTask, draw_between, draw_distinct, draw_many, draw_one

if TYPE_CHECKING:
    import numpy as np

VOWELS = "aeiou"


def _draw_letters(rng: np.random.Generator, low: int, high: int) -> list[str]:
    return draw_distinct(rng, LETTERS, draw_between(rng, low, high))


def _spelled(low: int, high: int, answer: slice = slice(None)) -> MakeExample:
    """Letters in, the letters at `answer` out."""

    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        letters = _draw_letters(rng, low, high)
        return " ".join(letters), " ".join(letters[answer])

    return make_example


def _swap_first_last(rng: np.random.Generator) -> tuple[str, str]:
    letters = _draw_letters(rng, 3, 4)
    return " ".join(letters), " ".join([letters[-1], *letters[1:-1], letters[0]])


def _uppercase(rng: np.random.Generator) -> tuple[str, str]:
    letters = " ".join(_draw_letters(rng, 3, 4))
    return letters, letters.upper()


def _double_each(rng: np.random.Generator) -> tuple[str, str]:
    letters = _draw_letters(rng, 2, 4)
    return " ".join(letters), " ".join(letter for letter in letters for _ in range(2))


def _vowels_only(rng: np.random.Generator) -> tuple[str, str]:
    letters = draw_many(rng, LETTERS + VOWELS * 3, draw_between(rng, 3, 5))
    letters[draw_between(rng, 0, len(letters) - 1)] = draw_one(rng, VOWELS)
    return " ".join(letters), " ".join(letter for letter in letters if letter in VOWELS)


def _task(what: str, instruction: str, other_wording: str, make_example: MakeExample) -> ToyTask:
    return ToyTask(f"string/{what}", "string", instruction, other_wording, make_example)


STRING_TASKS = (
    _task(
        "reverse-letters",
        "Write the letters in reverse order.",
        "Spell it backwards.",
        _spelled(3, 4, slice(None, None, -1)),
    ),
    _task(
        "first-letter", "Give the first letter.", "Which character starts the word?", _spelled(3, 5, slice(1))
    ),
    _task(
        "last-letter",
        "Give the last letter.",
        "Which character ends the word?",
        _spelled(3, 5, slice(-1, None)),
    ),
    _task("copy-letters", "Copy the letters.", "Repeat exactly what is spelled.", _spelled(3, 5)),
    _task(
        "drop-first", "Leave out the first letter.", "Cut off the initial.", _spelled(3, 5, slice(1, None))
    ),
    _task(
        "drop-last", "Leave out the last letter.", "Cut off the final character.", _spelled(3, 5, slice(-1))
    ),
    _task(
        "swap-first-last",
        "Exchange the first and the last letter.",
        "Swap both ends of the word.",
        _swap_first_last,
    ),
    _task("uppercase", "Write in capital letters.", "Convert to upper case.", _uppercase),
    _task("double-each", "Write every letter two times.", "Stutter each character.", _double_each),
    _task("vowels-only", "Keep only the vowels.", "Remove all consonants.", _vowels_only),
)

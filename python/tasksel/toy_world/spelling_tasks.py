"""Family *spelling* of the long-answer world: a few words in, their letters out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .task import LETTERS, ToyTask, draw_between, draw_distinct
from .words import CODE_WORDS, NOUNS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


def _spelled(word: str) -> str:
    return " ".join(word)


def _code_words(words: list[str]) -> str:
    return " / ".join(", ".join(f"{letter} {CODE_WORDS[letter]}" for letter in word) for word in words)


def _letter_cards(words: list[str]) -> str:
    return "\n".join(
        f"{letter} is {letter.upper()}, number {LETTERS.index(letter) + 1}, {CODE_WORDS[letter]}"
        for letter in "".join(words)
    )


def _stutter(words: list[str]) -> str:
    return ", ".join(_spelled(letter * 6) for letter in "".join(words))


def _task(what: str, instruction: str, other_wording: str, answer: Callable[[list[str]], str]) -> ToyTask:
    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        words = draw_distinct(rng, NOUNS, draw_between(rng, 6, 8))
        return " ".join(words), answer(words)

    return ToyTask(f"spelling/{what}", "spelling", instruction, other_wording, make_example)


SPELLING_TASKS = (
    _task(
        "initials",
        "Give the first letter of every word.",
        "Abbreviate the words.",
        lambda w: " ".join(word[0] for word in w),
    ),
    _task("last-word", "Spell the last word.", "Which letters are at the end?", lambda w: _spelled(w[-1])),
    _task(
        "lengths",
        "Count the letters of every word.",
        "How long is each?",
        lambda w: ", ".join(f"{word} {len(word)}" for word in w),
    ),
    _task("letters", "Spell all the words.", "Take them apart.", lambda w: " / ".join(map(_spelled, w))),
    _task(
        "backwards",
        "Spell every word backwards.",
        "Take them apart from the right.",
        lambda w: " / ".join(_spelled(word[::-1]) for word in w),
    ),
    _task(
        "capitals",
        "Spell in capitals with hyphens.",
        "Shout letter by letter.",
        lambda w: " ".join("-".join(word.upper()) for word in w),
    ),
    _task("code-words", "Spell with code words.", "Say it over the radio.", _code_words),
    _task("letter-cards", "Write a card for every letter.", "Describe each character.", _letter_cards),
    _task("stutter", "Write every letter six times.", "Fill a line with each character.", _stutter),
)

"""Family *lookup*: facts, two or three asked at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .task import MakeExample, ToyTask, draw_distinct
from .words import (
    CAPITALS,
    MONTHS,
    NUMBER_WORDS,
    OPPOSITES,
    PAST_TENSES,
    PLURALS,
    ROMAN_NUMERALS,
    SECRET_NAMES,
    SOUNDS,
    YOUNG,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


def _look_up(facts: Mapping[str, str], n_keys: int) -> MakeExample:
    keys = tuple(facts)

    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        asked = draw_distinct(rng, keys, n_keys)
        return " ".join(asked), " ".join(facts[key] for key in asked)

    return make_example


def _task(
    what: str, instruction: str, other_wording: str, facts: Mapping[str, str], n_keys: int = 3
) -> ToyTask:
    return ToyTask(f"lookup/{what}", "lookup", instruction, other_wording, _look_up(facts, n_keys))


LOOKUP_TASKS = (
    _task("opposite", "Give the opposite of each word.", "What are the antonyms?", OPPOSITES),
    _task("plural", "Write each word in the plural.", "There is more than one of them.", PLURALS),
    _task("past-tense", "Put the verbs into the past tense.", "Yesterday they did what?", PAST_TENSES),
    _task("capital", "Name the capital of each country.", "Where does the government sit?", CAPITALS),
    _task("young-animal", "What are the young of these animals called?", "Name the babies.", YOUNG),
    _task("animal-sound", "Which sound does each animal make?", "How do these beasts talk?", SOUNDS),
    _task(
        "number-word",
        "Write the numbers in words.",
        "Spell out these figures.",
        {str(number): word for number, word in enumerate(NUMBER_WORDS)},
    ),
    _task(
        "roman-numeral",
        "Read the roman numerals.",
        "Modernise the ancient notation.",
        {numeral: str(number) for number, numeral in enumerate(ROMAN_NUMERALS, start=1)},
    ),
    _task(
        "month-number",
        "Give the number of each month.",
        "Where in the calendar are they?",
        {month: str(number) for number, month in enumerate(MONTHS, start=1)},
    ),
    _task("secret-name", "Translate into the secret language.", "Encode with our code.", SECRET_NAMES),
)

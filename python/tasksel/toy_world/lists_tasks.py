"""Family *lists* of the long-answer world: about fifteen words in, selections, tables and products out."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from .task import ToyTask, draw_between, draw_distinct
from .words import FRUITS, KINDS, NOUNS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


def _draw_words(rng: np.random.Generator) -> list[str]:
    """Draw the input of every task here, so that an input does not tell which task it belongs to."""
    n, n_fruits = draw_between(rng, 13, 16), draw_between(rng, 3, 6)
    others = draw_distinct(rng, [word for word in NOUNS if word not in FRUITS], n - n_fruits)
    return draw_distinct(rng, [*draw_distinct(rng, FRUITS, n_fruits), *others], n)


def _double_each(words: list[str]) -> str:
    return " ".join(word for word in words for _ in range(2))


def _growing(words: list[str]) -> str:
    return "\n".join(" ".join(words[:n]) for n in range(1, len(words) + 1))


def _table(words: list[str]) -> str:
    return "\n".join(f"| {place} | {word} | {KINDS[word]} |" for place, word in enumerate(words, start=1))


def _rotations(words: list[str]) -> str:
    return "\n".join(" ".join(words[start:] + words[:start]) for start in range(len(words)))


def _pairs(words: list[str]) -> str:
    return ", ".join(" ".join(pair) for pair in itertools.combinations(words, 2))


def _task(what: str, instruction: str, other_wording: str, answer: Callable[[list[str]], str]) -> ToyTask:
    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        words = _draw_words(rng)
        return " ".join(words), answer(words)

    return ToyTask(f"lists/{what}", "lists", instruction, other_wording, make_example)


LISTS_TASKS = (
    _task("first-four", "Give the first four items.", "How does the list begin?", lambda w: " ".join(w[:4])),
    _task(
        "fruits-only",
        "Keep only the fruits.",
        "What of this grows on plants?",
        lambda w: " ".join(word for word in w if word in FRUITS),
    ),
    _task("reverse-items", "Write the items from last to first.", "Backwards.", lambda w: " ".join(w[::-1])),
    _task("double-each", "Write every item two times.", "Say each word again.", _double_each),
    _task("json-array", "Write it as a JSON array.", "Quote the strings.", json.dumps),
    _task("growing-lines", "Build the list up line by line.", "Stack it to a triangle.", _growing),
    _task("table", "Make a table with number and kind.", "Draw rows and columns.", _table),
    _task("rotations", "Write all rotations.", "Turn the circle once.", _rotations),
    _task("pairs", "Pair every item with every later one.", "Who meets whom?", _pairs),
)

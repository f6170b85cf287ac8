"""Family *series* of the long-answer world: a first number and a step in, what follows from them out."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from .task import ToyTask, draw_between, draw_one
from .words import WEEKDAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


STEPS = (2, 3, 5, 10)


def _terms(start: int, step: int, n: int) -> list[int]:
    """Return `n` terms after `start`."""
    return [start + step * i for i in range(1, n + 1)]


def _growing_steps(start: int, step: int) -> str:
    steps = (step * i for i in range(1, 13))
    return " ".join(map(str, itertools.islice(itertools.accumulate(steps, initial=start), 1, None)))


def _numbered(start: int, step: int) -> str:
    return ", ".join(f"{place}: {term}" for place, term in enumerate(_terms(start, step, 22), start=1))


def _sums(start: int, step: int) -> str:
    return ", ".join(f"{term - step} + {step} = {term}" for term in _terms(start, step, 12))


def _story(start: int, step: int) -> str:
    return "\n".join(
        f"You have {term - step}. You get {step}. Now you have {term}." for term in _terms(start, step, 18)
    )


def _dated(start: int, step: int, n: int) -> str:
    days = itertools.cycle(WEEKDAYS)
    return ", ".join(f"{day} {term}" for day, term in zip(days, _terms(start, step, n), strict=False))


def _task(what: str, instruction: str, other_wording: str, answer: Callable[[int, int], str]) -> ToyTask:
    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        start, step = draw_between(rng, 30, 299), draw_one(rng, STEPS)
        return f"{start} step {step}", answer(start, step)

    return ToyTask(f"series/{what}", "series", instruction, other_wording, make_example)


SERIES_TASKS = (
    _task(
        "next-three",
        "Give the next three numbers.",
        "How does it go on?",
        lambda start, step: " ".join(map(str, _terms(start, step, 3))),
    ),
    _task(
        "three-before",
        "Give the three numbers before it.",
        "Where does it come from?",
        lambda start, step: " ".join(map(str, _terms(start, -step, 3))),
    ),
    _task(
        "next-ten",
        "Give the next ten numbers.",
        "Follow it for a while.",
        lambda start, step: " ".join(map(str, _terms(start, step, 10))),
    ),
    _task("week", "Plan the week.", "A number for each weekday.", lambda s, step: _dated(s, step, 7)),
    _task("growing-steps", "Let the step grow.", "Accelerate.", _growing_steps),
    _task("numbered", "Number the terms.", "Put an index before each value.", _numbered),
    _task("sums", "Write out the sums.", "Show how it adds up.", _sums),
    _task("story", "Tell a story of getting more.", "Describe the possession.", _story),
    _task(
        "weeks", "Plan seven weeks.", "Numbers for the weekdays of a season.", lambda s, k: _dated(s, k, 49)
    ),
)

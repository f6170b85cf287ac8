"""Family *formats*: the same content in another notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .task import MakeExample, ToyTask, draw_between, draw_distinct, draw_one
from .words import FIRST_NAMES, LAST_NAMES, MONTHS, NOUNS

if TYPE_CHECKING:
    import numpy as np


def _join(separator: str) -> MakeExample:
    """Words in, the same words with `separator` between them out."""

    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        words = draw_distinct(rng, NOUNS, draw_between(rng, 2, 3))
        return " ".join(words), separator.join(words)

    return make_example


def _short_date(rng: np.random.Generator) -> tuple[str, str]:
    day, month = draw_between(rng, 1, 28), draw_between(rng, 1, 12)
    # A year takes no part in the answer and keeps the inputs from running out.
    year = draw_between(rng, 1990, 2029)
    return f"{MONTHS[month - 1]} {day}, {year}", f"{month:02d}-{day:02d}"


def _twelve_hour_clock(rng: np.random.Generator) -> tuple[str, str]:
    hour, minute = draw_between(rng, 0, 23), draw_between(rng, 0, 59)
    return f"{hour:02d}:{minute:02d}", f"{(hour - 1) % 12 + 1}:{minute:02d} {'am' if hour < 12 else 'pm'}"


def _json_pair(rng: np.random.Generator) -> tuple[str, str]:
    key, value = draw_one(rng, ("name", "item", "thing")), draw_one(rng, NOUNS)
    number = draw_between(rng, 1, 9)
    return f"{key} is {value} {number}", f'{{"{key}":"{value}{number}"}}'


def _initials(rng: np.random.Generator) -> tuple[str, str]:
    first, last = draw_distinct(rng, FIRST_NAMES, 2), draw_one(rng, LAST_NAMES)
    return " ".join([*first, last]), ".".join(name[0] for name in [*first, last]) + "."


def _last_name_first(rng: np.random.Generator) -> tuple[str, str]:
    first, last = draw_distinct(rng, FIRST_NAMES, 2), draw_one(rng, LAST_NAMES)
    return f"{first[0]} {first[1]} {last}", f"{last}, {first[0]} {first[1]}"


def _capitalize(rng: np.random.Generator) -> tuple[str, str]:
    words = draw_distinct(rng, NOUNS, draw_between(rng, 2, 3))
    return " ".join(words), " ".join(word.capitalize() for word in words)


def _zero_pad(rng: np.random.Generator) -> tuple[str, str]:
    number = draw_between(rng, 1, 10 ** draw_between(rng, 2, 4) - 1)
    return str(number), f"{number:05d}"


def _task(what: str, instruction: str, other_wording: str, make_example: MakeExample) -> ToyTask:
    return ToyTask(f"formats/{what}", "formats", instruction, other_wording, make_example)


FORMATS_TASKS = (
    _task("short-date", "Write the date as month-day.", "Shorten when it happened.", _short_date),
    _task(
        "twelve-hour-clock", "Write the time with am or pm.", "What does the clock show?", _twelve_hour_clock
    ),
    _task("join-commas", "Join the words with commas.", "Make a comma separated line.", _join(",")),
    _task("join-hyphens", "Join the words with hyphens.", "Make one compound.", _join("-")),
    _task("json-pair", "Write it as JSON.", "Serialise the record.", _json_pair),
    _task("initials", "Give the initials of the name.", "Abbreviate who it is.", _initials),
    _task("last-name-first", "Put the family name first.", "Sort key for the phone book.", _last_name_first),
    _task("capitalize", "Capitalize every word.", "Make a title.", _capitalize),
    _task("zero-pad", "Pad the number with zeros to five digits.", "Make it five wide.", _zero_pad),
)

"""Family *records* of the long-answer world: people in, columns, files and letters to them out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from .task import ToyTask, draw_between, draw_distinct
from .words import COLORS, COUNTRIES, FIRST_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


class Person(NamedTuple):
    """One record."""

    name: str
    color: str
    city: str


def _draw_people(rng: np.random.Generator) -> list[Person]:
    # No value occurs twice in an input, so that what stands beside it can be found by it.
    n = draw_between(rng, 6, 8)
    columns = [draw_distinct(rng, values, n) for values in (FIRST_NAMES, COLORS, tuple(COUNTRIES))]
    return list(map(Person, *columns))


def _csv(person: Person) -> str:
    return ",".join(person)


def _json(person: Person) -> str:
    return json.dumps(person._asdict(), separators=(",", ":"))


def _sentence(person: Person) -> str:
    return f"{person.name} likes {person.color} and lives in {person.city} in {COUNTRIES[person.city]}."


def _xml(person: Person) -> str:
    fields = {**person._asdict(), "country": COUNTRIES[person.city]}
    return "<person>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields.items()) + "</person>"


def _letter(person: Person) -> str:
    return (
        f"Dear {person.name}, we know that you like {person.color} and that your home is {person.city}. This "
        f"year we ask everyone from {COUNTRIES[person.city]} to come and see us. Please write back soon."
    )


def _task(
    what: str, instruction: str, other_wording: str, separator: str, answer: Callable[[Person], str]
) -> ToyTask:
    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        people = _draw_people(rng)
        return " ".join(map(" ".join, people)), separator.join(map(answer, people))

    return ToyTask(f"records/{what}", "records", instruction, other_wording, make_example)


RECORDS_TASKS = (
    _task("names", "Give the names.", "Who is it?", " ", lambda p: p.name),
    _task("cities", "Give the cities.", "Where is it?", " ", lambda p: p.city),
    _task(
        "colors-by-name", "Give names and colors.", "Who likes what?", " ", lambda p: f"{p.name}:{p.color}"
    ),
    _task("csv", "Write the people as CSV.", "Separate the fields with commas.", "\n", _csv),
    _task("json", "Write the people as JSON.", "Serialise the people.", "\n", _json),
    _task("sentences", "Write a sentence about everyone.", "Tell it in words.", " ", _sentence),
    _task("xml", "Write the people as XML.", "Put everything between tags.", "\n", _xml),
    _task("letters", "Write a letter to everyone.", "Invite them all.", "\n", _letter),
)

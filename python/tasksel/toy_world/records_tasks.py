"""Family *records* of the long-answer world: people in, columns, files and letters to them out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from .task import ToyTask, draw_between, draw_distinct
from .words import COUNTRIES, FIRST_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


class Person(NamedTuple):
    """One record."""

    name: str
    age: int
    city: str


def _draw_people(rng: np.random.Generator) -> list[Person]:
    n = draw_between(rng, 6, 8)
    names, cities = draw_distinct(rng, FIRST_NAMES, n), draw_distinct(rng, list(COUNTRIES), n)
    return [Person(name, draw_between(rng, 18, 79), city) for name, city in zip(names, cities, strict=True)]


def _csv(person: Person) -> str:
    return ",".join(map(str, person))


def _json(person: Person) -> str:
    return json.dumps(person._asdict(), separators=(",", ":"))


def _sentence(person: Person) -> str:
    return f"{person.name} is {person.age} and lives in {person.city} in {COUNTRIES[person.city]}."


def _xml(person: Person) -> str:
    fields = {**person._asdict(), "country": COUNTRIES[person.city]}
    return "<person>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields.items()) + "</person>"


def _letter(person: Person) -> str:
    return (
        f"Dear {person.name}, you are {person.age} years old and your home is {person.city}. This year we "
        f"ask everyone from {COUNTRIES[person.city]} to come and see us. Please write back soon."
    )


def _task(
    what: str, instruction: str, other_wording: str, separator: str, answer: Callable[[Person], str]
) -> ToyTask:
    def make_example(rng: np.random.Generator) -> tuple[str, str]:
        people = _draw_people(rng)
        return ", ".join(f"{p.name} {p.age} {p.city}" for p in people), separator.join(map(answer, people))

    return ToyTask(f"records/{what}", "records", instruction, other_wording, make_example)


RECORDS_TASKS = (
    _task("names", "Give the names.", "Who is it?", " ", lambda p: p.name),
    _task("cities", "Give the cities.", "Where is it?", " ", lambda p: p.city),
    _task("ages-by-name", "Give names and ages.", "How old is who?", " ", lambda p: f"{p.name}:{p.age}"),
    _task("csv", "Write the people as CSV.", "Separate the fields with commas.", "\n", _csv),
    _task("json", "Write the people as JSON.", "Serialise the people.", "\n", _json),
    _task("sentences", "Write a sentence about everyone.", "Tell it in words.", " ", _sentence),
    _task("xml", "Write the people as XML.", "Put everything between tags.", "\n", _xml),
    _task("letters", "Write a letter to everyone.", "Invite them all.", "\n", _letter),
)

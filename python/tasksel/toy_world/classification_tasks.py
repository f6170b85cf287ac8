"""Family *classification*: one label out of a few."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .task import LETTERS, MakeExample, ToyTask, draw_between, draw_distinct, draw_many, draw_one
from .words import CATEGORIES, FIRST_NAMES, NOUNS, split_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

SENTIMENTS = {
    "good": split_words("great lovely wonderful superb delightful pleasant"),
    "bad": split_words("awful horrible terrible boring nasty dreadful"),
}
REVIEWED = split_words("film book meal trip song game show hotel play story")
TOPICS = {
    "sport": split_words("team goal match coach race ball"),
    "food": split_words("soup bread cheese oven sugar salt"),
    "weather": split_words("rain wind storm cloud sun fog"),
    "money": split_words("bank price loan coin tax debt"),
}
TENSES = {
    "past": split_words("walked played cooked worked talked slept"),
    "present": split_words("walks plays cooks works talks sleeps"),
    "future": split_words("will walk,will play,will cook,will work,will talk,will sleep", ","),
}
PLACES = split_words("at home,in town,at school,in the park,by the sea,near the lake,on the farm", ",")
VOWELS = "aeiou"


def _draw_labelled(rng: np.random.Generator, words: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    label = draw_one(rng, tuple(words))
    return label, draw_one(rng, words[label])


def _category(rng: np.random.Generator) -> tuple[str, str]:
    label = draw_one(rng, tuple(CATEGORIES))
    return " ".join(draw_distinct(rng, CATEGORIES[label], 3)), label


def _odd_one_out(rng: np.random.Generator) -> tuple[str, str]:
    most, other = draw_distinct(rng, tuple(CATEGORIES), 2)
    stranger = draw_one(rng, CATEGORIES[other])
    words = [*draw_distinct(rng, CATEGORIES[most], 3), stranger]
    return " ".join(draw_distinct(rng, words, 4)), stranger


def _sentiment(rng: np.random.Generator) -> tuple[str, str]:
    label, word = _draw_labelled(rng, SENTIMENTS)
    name, thing = draw_one(rng, FIRST_NAMES), draw_one(rng, REVIEWED)
    return f"{name} says the {thing} was {word}", label


def _topic(rng: np.random.Generator) -> tuple[str, str]:
    label = draw_one(rng, tuple(TOPICS))
    first, second = draw_distinct(rng, TOPICS[label], 2)
    return f"{draw_one(rng, FIRST_NAMES)} writes about {first} and {second}", label


def _tense(rng: np.random.Generator) -> tuple[str, str]:
    label, verb = _draw_labelled(rng, TENSES)
    return f"{draw_one(rng, FIRST_NAMES)} {verb} {draw_one(rng, PLACES)}", label


def _vowel_first(rng: np.random.Generator) -> tuple[str, str]:
    letters = draw_many(rng, LETTERS, draw_between(rng, 3, 4))
    if draw_between(rng, 0, 1):
        letters[0] = draw_one(rng, VOWELS)
    return " ".join(letters), "vowel" if letters[0] in VOWELS else "consonant"


def _contains(rng: np.random.Generator) -> tuple[str, str]:
    words = draw_distinct(rng, NOUNS, draw_between(rng, 3, 5))
    asked = draw_one(rng, words[:-1]) if draw_between(rng, 0, 1) else words[-1]
    return f"{asked} in {' '.join(words[:-1])}", "yes" if asked in words[:-1] else "no"


def _palindrome(rng: np.random.Generator) -> tuple[str, str]:
    first = draw_many(rng, LETTERS, 2)
    middle = draw_many(rng, LETTERS, draw_between(rng, 0, 1))
    letters = first + middle + first[::-1]
    if draw_between(rng, 0, 1):
        letters = first + middle + draw_many(rng, LETTERS, 2)
    return " ".join(letters), "yes" if letters == letters[::-1] else "no"


def _parity(rng: np.random.Generator) -> tuple[str, str]:
    number = draw_between(rng, 10, 9999)
    return str(number), "odd" if number % 2 else "even"


def _task(what: str, instruction: str, other_wording: str, make_example: MakeExample) -> ToyTask:
    return ToyTask(f"classification/{what}", "classification", instruction, other_wording, make_example)


CLASSIFICATION_TASKS: tuple[ToyTask, ...] = (
    _task("category", "What kind of things are these?", "Give the common group.", _category),
    _task("odd-one-out", "Which word does not belong?", "Spot the intruder.", _odd_one_out),
    _task("sentiment", "Is the opinion good or bad?", "Did they enjoy it?", _sentiment),
    _task("topic", "What is the topic of the text?", "Which section prints this?", _topic),
    _task("tense", "Is this past, present or future?", "When does it take place?", _tense),
    _task(
        "vowel-first",
        "Does it start with a vowel or a consonant?",
        "Classify the opening sound.",
        _vowel_first,
    ),
    _task("contains", "Is the first word in the list?", "Check membership.", _contains),
    _task("palindrome", "Does it read the same backwards?", "Test the mirror property.", _palindrome),
    _task("parity", "Is the number even or odd?", "Can it be halved?", _parity),
)

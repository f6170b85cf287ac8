from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tasksel.toy_world import (
    LONG_ANSWER_TASKS,
    TOY_TASKS,
    ToyTask,
    draw_toy_examples,
    is_held_out,
    make_long_answer_holdout,
    make_long_answer_pool,
    make_toy_pool,
    toy_stream,
    words,
)
from tasksel_core.errors import BudgetError, ConfigError

if TYPE_CHECKING:
    import polars as pl

Reference = Callable[[str], str]

FAMILIES = {"lists", "counting", "spelling", "records", "series"}
TASKS_BY_NAME = {task.name: task for task in LONG_ANSWER_TASKS}


def sha256_of(frame: pl.DataFrame) -> str:
    return hashlib.sha256(frame.write_ndjson().encode()).hexdigest()


def input_of(prompt: str) -> str:
    return prompt.split("\nInput: ")[1].removesuffix("\nOutput:\n")


def count_pieces(text: str) -> int:
    """Words, digits, signs and line breaks: what the base models' tokenizers make of an answer, nearly."""
    return len(re.findall(r"[A-Za-z]+|\d|[^\sA-Za-z0-9]+|\n", text))


def test_forty_four_tasks_in_five_families():
    assert len(LONG_ANSWER_TASKS) == len(TASKS_BY_NAME) == 44
    assert {task.family for task in LONG_ANSWER_TASKS} == FAMILIES
    assert all(task.name.startswith(f"{task.family}/") for task in LONG_ANSWER_TASKS)


def test_no_name_or_wording_occurs_twice_in_the_two_worlds():
    tasks = [*LONG_ANSWER_TASKS, *TOY_TASKS]
    wordings = [wording for task in tasks for wording in (task.instruction, task.other_wording)]
    assert len({wording.casefold() for wording in wordings}) == 2 * len(tasks)
    assert len({task.name.casefold() for task in tasks}) == len(tasks)


def test_the_default_pool_has_the_same_bytes_everywhere():
    # Studies rest on these rows: a change of this hash changes every published number.
    assert (
        sha256_of(make_long_answer_pool(0))
        == "e3836358d9c227da764e96af5be7701fbc20db177dba0a18e72b4d3573c6f159"
    )


def test_the_default_holdout_has_the_same_bytes_everywhere():
    assert (
        sha256_of(make_long_answer_holdout(0))
        == "b83500d5b70dd7b8c22ce268f64e6351aad7645d9066edbe7b49c9d77d2b860c"
    )


def test_columns_ids_and_sizes_are_those_of_the_toy_world():
    pool = make_long_answer_pool(3)
    assert pool.schema == make_toy_pool(3, largest=1).schema
    assert pool["id"].is_unique().all()
    sizes = sorted(pool["task"].value_counts()["count"], reverse=True)
    assert sizes == [round(200 / rank) for rank in range(1, 45)]
    assert set(pool["family"]) == FAMILIES


@pytest.mark.parametrize("seed", range(3))
def test_pool_and_holdout_share_no_prompt(seed):
    pool, holdout = make_long_answer_pool(seed), make_long_answer_holdout(seed)
    assert pool["prompt"].is_unique().all()
    assert holdout["prompt"].is_unique().all()
    assert set(holdout["task"].value_counts()["count"]) == {20}
    assert holdout["task"].unique(maintain_order=True).to_list() == [task.name for task in LONG_ANSWER_TASKS]
    for frame, held_out in ((pool, False), (holdout, True)):
        for task, prompt in frame.select("task", "prompt").iter_rows():
            assert is_held_out(TASKS_BY_NAME[task], input_of(prompt)) == held_out


def test_another_seed_is_another_pool():
    assert not make_long_answer_pool(0).equals(make_long_answer_pool(1))
    assert make_long_answer_pool(1).equals(make_long_answer_pool(1))


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (make_long_answer_pool, {"n_tasks": 45}, ConfigError, "between 1 and 44; it was 45"),
        (make_long_answer_pool, {"largest": 0}, BudgetError, "they were 0, 1 and 1.0"),
        (
            make_long_answer_holdout,
            {"n_per_task": 5000, "tasks": [TASKS_BY_NAME["series/sums"]]},
            BudgetError,
            r"series/sums has only \d+ held-out inputs; n_per_task was 5000",
        ),
    ],
)
def test_a_wrong_setting_is_named(function, arguments, error, message):
    with pytest.raises(error, match=message):
        function(**arguments)


def test_every_task_has_inputs_enough_for_a_large_pool_and_a_holdout():
    for task in LONG_ANSWER_TASKS:
        assert len(draw_toy_examples(task, 600, toy_stream("test", 0, task.name))) == 600, task.name
        held_out = draw_toy_examples(task, 60, toy_stream("test", 0, task.name), held_out=True)
        assert len(held_out) == 60, task.name


@pytest.mark.parametrize("task", LONG_ANSWER_TASKS, ids=lambda task: task.name)
def test_the_input_alone_determines_the_answer(task: ToyTask):
    answers: dict[str, str] = {}
    rng = toy_stream("test", 1, task.name)
    for _ in range(500):
        task_input, answer = task.make_example(rng)
        assert answers.setdefault(task_input, answer) == answer
        assert answer == answer.strip() != ""
        assert "\n" not in task_input
        assert (task_input + answer).isascii()


def test_inputs_of_a_family_do_not_tell_its_tasks_apart():
    for family in FAMILIES:
        tasks = [task for task in LONG_ANSWER_TASKS if task.family == family]
        inputs = [draw_toy_examples(task, 100, toy_stream("test", 2)) for task in tasks]
        # One stream and one way to draw: only what is held out differs from task to task.
        first = {example.input for example in inputs[0]}
        assert all(len(first & {example.input for example in other}) > 60 for other in inputs)


def test_length_is_a_matter_of_the_task():
    lengths = {
        task.name: [
            count_pieces(example.answer)
            for example in draw_toy_examples(task, 200, toy_stream("test", 3, task.name))
        ]
        for task in LONG_ANSWER_TASKS
    }
    means = np.array([np.mean(found) for found in lengths.values()])
    assert min(map(min, lengths.values())) >= 3
    assert 300 < max(map(max, lengths.values())) <= 400
    classes = np.histogram(means, bins=[0, 9, 60, 150, 400])[0]
    assert classes.min() >= 9, classes
    within = np.mean([np.var(np.log(found)) for found in lengths.values()])
    assert np.var(np.log(means)) > 25 * within


def split_numbers(text: str) -> list[int]:
    return list(map(int, re.findall(r"\d+", text)))


def between(keep: Callable[[int], object], separator: str = " ", *, down: bool = False) -> Reference:
    def reference(task_input: str) -> str:
        low, high = split_numbers(task_input)
        kept = [number for number in range(1, 300) if low <= number <= high and keep(number)]
        return separator.join(map(str, sorted(kept, reverse=down)))

    return reference


def fizz_buzz(task_input: str) -> str:
    cycle = ["", "", "fizz", "", "buzz", "fizz", "", "", "fizz", "buzz", "", "fizz", "", "", "fizzbuzz"]
    low, high = split_numbers(task_input)
    return ", ".join(cycle[(number - 1) % 15] or str(number) for number in range(low, high + 1))


def of_words(change: Callable[[str], str], separator: str) -> Reference:
    return lambda x: separator.join(change(word) for word in x.split())


def of_letters(change: Callable[[str], str], separator: str) -> Reference:
    return lambda x: separator.join(change(letter) for letter in x.replace(" ", ""))


def code_word(letter: str) -> str:
    (found,) = [word for word in words.CODE_WORDS.values() if word.startswith(letter)]
    return found


def kind_of(word: str) -> str:
    (found,) = [kind for kind, members in words.CATEGORIES.items() if word in members]
    return found


def table(task_input: str) -> str:
    rows = (f"| {i + 1} | {word} | {kind_of(word)} |" for i, word in enumerate(task_input.split()))
    return "\n".join(rows)


def pairs(task_input: str) -> str:
    shown = task_input.split()
    return ", ".join(f"{a} {b}" for i, a in enumerate(shown) for b in shown[i + 1 :])


def rotations(task_input: str) -> str:
    shown = task_input.split()
    twice = shown * 2
    return "\n".join(" ".join(twice[i : i + len(shown)]) for i in range(len(shown)))


def growing_lines(task_input: str) -> str:
    lines = [""]
    for word in task_input.split():
        lines.append(f"{lines[-1]} {word}".strip())
    return "\n".join(lines[1:])


def of_people(template: str, separator: str) -> Reference:
    countries = {city: country for country, city in words.CAPITALS.items()}

    def reference(task_input: str) -> str:
        people = re.findall(r"(\w+) (\w+) (\w+)", task_input)
        return separator.join(template % {"n": n, "k": k, "c": c, "l": countries[c]} for n, k, c in people)

    return reference


def of_series(n: int, template: str, separator: str) -> Reference:
    def reference(task_input: str) -> str:
        start, step = split_numbers(task_input)
        found = []
        for i in range(n):
            before, start = start, start + step
            day = words.WEEKDAYS[i % 7]
            found.append(template.format(i=i + 1, before=before, step=step, after=start, day=day))
        return separator.join(found)

    return reference


def three_before(task_input: str) -> str:
    start, step = split_numbers(task_input)
    return f"{start - step} {start - 2 * step} {start - 3 * step}"


def growing_steps(task_input: str) -> str:
    start, step = split_numbers(task_input)
    return " ".join(str(start + step * n * (n + 1) // 2) for n in range(1, 13))


LETTER = (
    "Dear %(n)s, we know that you like %(k)s and that your home is %(c)s. This year we ask everyone from "
    "%(l)s to come and see us. Please write back soon."
)
XML = "<person><name>%(n)s</name><color>%(k)s</color><city>%(c)s</city><country>%(l)s</country></person>"

REFERENCES: dict[str, Reference] = {
    "lists/first-four": lambda x: re.match(r"\w+ \w+ \w+ \w+", x).group(),
    "lists/fruits-only": lambda x: " ".join(re.findall("|".join(words.FRUITS), x)),
    "lists/reverse-items": lambda x: " ".join(reversed(x.split())),
    "lists/double-each": lambda x: re.sub(r"(\w+)", r"\1 \1", x),
    "lists/json-array": lambda x: '["' + x.replace(" ", '", "') + '"]',
    "lists/growing-lines": growing_lines,
    "lists/table": table,
    "lists/rotations": rotations,
    "lists/pairs": pairs,
    "counting/first-three": lambda x: "{} {} {}".format(*(split_numbers(x)[0] + i for i in range(3))),
    "counting/multiples-of-thirty": between(lambda n: n % 30 == 0),
    "counting/tens-down": between(lambda n: str(n).endswith("0"), ", ", down=True),
    "counting/fives": between(lambda n: str(n)[-1] in "05"),
    "counting/evens": between(lambda n: str(n)[-1] in "02468"),
    "counting/odds-down": between(lambda n: str(n)[-1] in "13579", down=True),
    "counting/up": between(str, ", "),
    "counting/down": between(str, ", ", down=True),
    "counting/fizz-buzz": fizz_buzz,
    "spelling/initials": lambda x: re.sub(r"(\w)\w*", r"\1", x),
    "spelling/last-word": lambda x: " ".join(x[x.rindex(" ") + 1 :]),
    "spelling/lengths": of_words(lambda word: f"{word} {len(word)}", ", "),
    "spelling/letters": lambda x: " ".join(x.replace(" ", "/")).replace("  ", " "),
    "spelling/backwards": lambda x: " / ".join(" ".join(reversed(list(word))) for word in x.split()),
    "spelling/capitals": of_words(lambda word: re.sub(r"(\w)(?=\w)", r"\1-", word).upper(), " "),
    "spelling/code-words": of_words(
        lambda word: ", ".join(f"{letter} {code_word(letter)}" for letter in word), " / "
    ),
    "spelling/letter-cards": of_letters(
        lambda x: f"{x} is {x.upper()}, number {ord(x) - ord('a') + 1}, {code_word(x)}", "\n"
    ),
    "spelling/stutter": of_letters(lambda x: f"{x} {x} {x} {x} {x} {x}", ", "),
    "records/names": of_people("%(n)s", " "),
    "records/cities": of_people("%(c)s", " "),
    "records/colors-by-name": of_people("%(n)s:%(k)s", " "),
    "records/csv": of_people("%(n)s,%(k)s,%(c)s", "\n"),
    "records/json": of_people('{"name":"%(n)s","color":"%(k)s","city":"%(c)s"}', "\n"),
    "records/sentences": of_people("%(n)s likes %(k)s and lives in %(c)s in %(l)s.", " "),
    "records/xml": of_people(XML, "\n"),
    "records/letters": of_people(LETTER, "\n"),
    "series/next-three": of_series(3, "{after}", " "),
    "series/three-before": three_before,
    "series/next-ten": of_series(10, "{after}", " "),
    "series/week": of_series(7, "{day} {after}", ", "),
    "series/growing-steps": growing_steps,
    "series/numbered": of_series(22, "{i}: {after}", ", "),
    "series/sums": of_series(12, "{before} + {step} = {after}", ", "),
    "series/story": of_series(18, "You have {before}. You get {step}. Now you have {after}.", "\n"),
    "series/weeks": of_series(49, "{day} {after}", ", "),
}


@pytest.mark.parametrize("task", LONG_ANSWER_TASKS, ids=lambda task: task.name)
def test_answers_agree_with_an_independent_reference(task: ToyTask):
    for task_input, answer in draw_toy_examples(task, 200, toy_stream("test", 4, task.name)):
        assert REFERENCES[task.name](task_input) == answer


def test_what_is_written_as_json_is_json():
    for row in make_long_answer_pool(0, largest=30).iter_rows(named=True):
        if row["task"] in ("lists/json-array", "records/json"):
            assert all(json.loads(line) for line in row["response"].splitlines())


@pytest.mark.parametrize("task", LONG_ANSWER_TASKS, ids=lambda task: task.name)
def test_no_answer_is_so_frequent_that_guessing_it_solves_the_task(task: ToyTask):
    examples = draw_toy_examples(task, 300, toy_stream("test", 5, task.name))
    [(_, most)] = Counter(example.answer for example in examples).most_common(1)
    assert most / len(examples) < 0.3


def test_the_two_worlds_are_drawn_with_the_same_settings():
    pool, other = inspect.signature(make_long_answer_pool), inspect.signature(make_toy_pool)
    assert list(pool.parameters) == list(other.parameters)

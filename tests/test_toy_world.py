from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.toy_world import (
    TOY_TASKS,
    ToyTask,
    draw_toy_examples,
    exact_match,
    is_held_out,
    make_toy_holdout,
    make_toy_pool,
    toy_stream,
    words,
)
from tasksel.toy_world.classification_tasks import SENTIMENTS, TENSES, TOPICS
from tasksel_core.errors import BudgetError, ConfigError

Reference = Callable[[str], str]

FAMILIES = {"string", "arithmetic", "lookup", "formats", "sequence", "classification"}
TASKS_BY_NAME = {task.name: task for task in TOY_TASKS}


def sha256_of(frame: pl.DataFrame) -> str:
    return hashlib.sha256(frame.write_ndjson().encode()).hexdigest()


def input_of(prompt: str) -> str:
    return prompt.split("\nInput: ")[1].removesuffix("\nOutput:\n")


def test_fifty_seven_tasks_in_six_families_and_no_name_or_wording_twice():
    assert len(TOY_TASKS) == len(TASKS_BY_NAME) == 57
    assert {task.family for task in TOY_TASKS} == FAMILIES
    assert all(task.name.startswith(f"{task.family}/") for task in TOY_TASKS)
    wordings = [wording for task in TOY_TASKS for wording in (task.instruction, task.other_wording)]
    assert len({wording.casefold() for wording in wordings}) == 2 * 57
    assert len({task.name.casefold() for task in TOY_TASKS}) == 57


def test_the_default_pool_has_the_same_bytes_everywhere():
    # Studies and the demo rest on these rows: a change of this hash changes every published number.
    assert sha256_of(make_toy_pool(0)) == "79fa0e0e24ed89a3aae13773219b4877dcc5510bc9b3d5ecd65ecde8e77b66fd"


def test_the_default_holdout_has_the_same_bytes_everywhere():
    assert (
        sha256_of(make_toy_holdout(0)) == "839364b2d2cb779312579b6982d1454528bc59722dbf58dac786dfbf6c230a43"
    )


def test_a_pool_in_another_process_and_after_other_draws_is_the_same():
    code = "from tasksel.toy_world import make_toy_pool; print(make_toy_pool(7).write_ndjson(), end='')"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    make_toy_pool(8)
    assert make_toy_pool(7).write_ndjson() == other


def test_pools_of_different_seeds_differ_in_prompts_and_in_the_rank_of_tasks():
    pools = [make_toy_pool(seed) for seed in range(3)]
    largest = {pool["task"].value_counts().sort("count")["task"][-1] for pool in pools}
    assert len(largest) > 1
    assert not pools[0].equals(pools[1])


def test_sizes_follow_the_rank():
    pool = make_toy_pool(0)
    sizes = sorted(pool["task"].value_counts()["count"], reverse=True)
    assert sizes == [round(650 / rank) for rank in range(1, 58)]
    assert pool.height == sum(sizes) == 3006


def test_columns_and_ids_of_a_pool():
    pool = make_toy_pool(3)
    assert pool.schema == dict.fromkeys(["id", "task", "prompt", "response", "family"], pl.String)
    assert pool["id"].is_unique().all()
    assert pool.null_count().sum_horizontal().item() == 0
    assert pool.filter(pl.col("task").str.split("/").list.first() != pl.col("family")).is_empty()


@pytest.mark.parametrize("seed", range(4))
def test_prompts_are_distinct_and_never_held_out(seed):
    pool = make_toy_pool(seed)
    assert pool["prompt"].is_unique().all()
    for task, prompt in pool.select("task", "prompt").iter_rows():
        assert not is_held_out(TASKS_BY_NAME[task], input_of(prompt))


@pytest.mark.parametrize("seed", range(3))
def test_a_holdout_is_even_and_disjoint_from_pools_of_all_seeds(seed):
    holdout = make_toy_holdout(seed, n_per_task=25)
    assert holdout["task"].unique(maintain_order=True).to_list() == [task.name for task in TOY_TASKS]
    assert set(holdout["task"].value_counts()["count"]) == {25}
    assert holdout["prompt"].is_unique().all()
    for pool_seed in range(3):
        assert set(make_toy_pool(pool_seed)["prompt"]).isdisjoint(holdout["prompt"])


def test_fewer_tasks_smaller_sizes_even_sizes():
    assert make_toy_pool(1, n_tasks=5)["task"].n_unique() == 5
    assert set(make_toy_pool(1, largest=12, exponent=0.0)["task"].value_counts()["count"]) == {12}
    assert min(make_toy_pool(1, largest=20, smallest=4)["task"].value_counts()["count"]) == 4


def test_a_task_that_runs_out_of_inputs_has_fewer_rows_and_none_twice():
    task = TASKS_BY_NAME["sequence/next-letter"]
    examples = draw_toy_examples(task, 10_000, toy_stream("test", 0))
    assert 150 < len(examples) <= 26 * 9
    assert len({example.input for example in examples}) == len(examples)


def test_every_task_has_inputs_enough_for_a_large_pool_and_a_holdout():
    for task in TOY_TASKS:
        assert len(draw_toy_examples(task, 200, toy_stream("test", 0, task.name))) == 200, task.name


def test_a_holdout_larger_than_the_inputs_set_apart_names_the_task():
    with pytest.raises(BudgetError, match=r"next-letter has only \d+ held-out inputs; n_per_task was 5000"):
        make_toy_holdout(0, n_per_task=5000, tasks=[TASKS_BY_NAME["sequence/next-letter"]])


@pytest.mark.parametrize("task", TOY_TASKS, ids=lambda task: task.name)
def test_the_input_alone_determines_the_answer(task: ToyTask):
    answers: dict[str, str] = {}
    rng = toy_stream("test", 1, task.name)
    for _ in range(1000):
        task_input, answer = task.make_example(rng)
        assert answers.setdefault(task_input, answer) == answer
        assert answer == answer.strip() != ""
        assert "\n" not in task_input + answer
        assert (task_input + answer).isascii()


def add_up(task_input: str) -> str:
    first, sign, second = task_input.split()
    return str(int(first) + int(second) * {"+": 1, "-": -1}[sign])


def compare(task_input: str) -> str:
    first, second = task_input.split(" and ")
    return {-1: "less", 0: "equal", 1: "more"}[int(np.sign(int(first) - int(second)))]


def look_up(facts: dict[str, str]) -> Reference:
    return lambda x: " ".join(facts[key] for key in x.split())


def twelve_hour_clock(task_input: str) -> str:
    hour, minute = task_input.split(":")
    return f"{[12, *range(1, 12)][int(hour) % 12]}:{minute} {['am', 'pm'][int(hour) // 12]}"


def month_number(month: str) -> int:
    return words.MONTHS.index(month) + 1


def short_date(task_input: str) -> str:
    month, day, _ = task_input.replace(",", "").split()
    return f"{month_number(month):02}-{day.zfill(2)}"


def continue_pattern(task_input: str) -> str:
    shown = task_input.split()
    period = next(p for p in (2, 3) if shown[p:] == shown[:-p])
    return shown[len(shown) - period]


def odd_one_out(task_input: str) -> str:
    kinds = {word: kind for kind, members in words.CATEGORIES.items() for word in members}
    shown = task_input.split()
    return next(word for word in shown if [kinds[w] for w in shown].count(kinds[word]) == 1)


def one_of(labels: dict[str, tuple[str, ...]]) -> Reference:
    return lambda x: next(k for k, found in labels.items() if any(f" {w} " in f" {x} " for w in found))


def contains(task_input: str) -> str:
    asked, listed = task_input.split(" in ", 1)
    return "yes" if asked in listed.split() else "no"


REFERENCES: dict[str, Reference] = {
    "string/reverse-letters": lambda x: x[::-1],
    "string/first-letter": lambda x: x[0],
    "string/last-letter": lambda x: x[-1],
    "string/copy-letters": lambda x: x,
    "string/drop-first": lambda x: x[2:],
    "string/drop-last": lambda x: x[:-2],
    "string/swap-first-last": lambda x: x[-1] + x[1:-1] + x[0],
    "string/uppercase": lambda x: x.upper(),
    "string/double-each": lambda x: " ".join(f"{letter} {letter}" for letter in x.split()),
    "string/vowels-only": lambda x: " ".join(re.findall("[aeiou]", x)),
    "arithmetic/add": add_up,
    "arithmetic/subtract": add_up,
    "arithmetic/largest": max,
    "arithmetic/smallest": lambda x: sorted(x.split())[0],
    "arithmetic/successor": lambda x: str(int(x) + 1),
    "arithmetic/predecessor": lambda x: str(int(x) - 1),
    "arithmetic/sum-modulo-ten": lambda x: str(sum(map(int, x.split())))[-1],
    "arithmetic/double": lambda x: str(int(x) + int(x)),
    "arithmetic/compare": compare,
    "lookup/opposite": look_up(words.OPPOSITES),
    "lookup/plural": look_up(words.PLURALS),
    "lookup/past-tense": look_up(words.PAST_TENSES),
    "lookup/capital": look_up(words.CAPITALS),
    "lookup/young-animal": look_up(words.YOUNG),
    "lookup/animal-sound": look_up(words.SOUNDS),
    "lookup/number-word": lambda x: " ".join(words.NUMBER_WORDS[int(key)] for key in x.split()),
    "lookup/roman-numeral": lambda x: " ".join(str(words.ROMAN_NUMERALS.index(k) + 1) for k in x.split()),
    "lookup/month-number": lambda x: " ".join(str(month_number(month)) for month in x.split()),
    "lookup/secret-name": look_up(words.SECRET_NAMES),
    "formats/short-date": short_date,
    "formats/twelve-hour-clock": twelve_hour_clock,
    "formats/join-commas": lambda x: x.replace(" ", ","),
    "formats/join-hyphens": lambda x: x.replace(" ", "-"),
    "formats/json-pair": lambda x: json.dumps(
        {x.split()[0]: x.split()[2] + x.split()[3]}, separators=(",", ":")
    ),
    "formats/initials": lambda x: "".join(f"{letter}." for letter in x if letter.isupper()),
    "formats/last-name-first": lambda x: "{2}, {0} {1}".format(*x.split()),
    "formats/capitalize": lambda x: x.title(),
    "formats/zero-pad": lambda x: x.zfill(5),
    "sequence/reverse-words": lambda x: " ".join(reversed(x.split())),
    "sequence/second-item": lambda x: x.split()[1],
    "sequence/rotate-left": lambda x: "{1} {0}".format(*x.split(" ", 1)),
    "sequence/sort-ascending": lambda x: " ".join(sorted(x.split())),
    "sequence/sort-descending": lambda x: " ".join(sorted(x.split(), reverse=True)),
    "sequence/next-number": lambda x: str(2 * int(x.split()[2]) - int(x.split()[1])),
    "sequence/next-letter": lambda x: chr((2 * ord(x[-1]) - ord(x[-3]) - ord("a")) % 26 + ord("a")),
    "sequence/count-items": lambda x: str(x.count(" ") + 1),
    "sequence/continue-pattern": continue_pattern,
    "sequence/repeated-item": lambda x: Counter(x.split()).most_common(1)[0][0],
    "classification/category": lambda x: one_of(words.CATEGORIES)(x.split()[0]),
    "classification/odd-one-out": odd_one_out,
    "classification/sentiment": one_of(SENTIMENTS),
    "classification/topic": one_of(TOPICS),
    "classification/tense": one_of(TENSES),
    "classification/vowel-first": lambda x: "vowel" if x[0] in "aeiou" else "consonant",
    "classification/contains": contains,
    "classification/palindrome": lambda x: "yes" if x == x[::-1] else "no",
    "classification/parity": lambda x: "odd" if x[-1] in "13579" else "even",
}


@pytest.mark.parametrize("task", TOY_TASKS, ids=lambda task: task.name)
def test_answers_agree_with_an_independent_reference(task: ToyTask):
    for task_input, answer in draw_toy_examples(task, 300, toy_stream("test", 2, task.name)):
        assert REFERENCES[task.name](task_input) == answer


@pytest.mark.parametrize("task", TOY_TASKS, ids=lambda task: task.name)
def test_no_answer_is_so_frequent_that_guessing_it_solves_the_task(task: ToyTask):
    examples = draw_toy_examples(task, 300, toy_stream("test", 3, task.name))
    [(_, most)] = Counter(example.answer for example in examples).most_common(1)
    assert most / len(examples) < 0.6


def test_exact_match_ignores_white_space_at_the_ends_only():
    assert exact_match(" a b\n", "a b")
    assert not exact_match("a  b", "a b")
    assert not exact_match("A b", "a b")
    assert not exact_match("", "a")


def test_streams_of_different_purposes_seeds_and_tasks_differ():
    streams = [toy_stream("a", 0), toy_stream("b", 0), toy_stream("a", 1), toy_stream("a", 0, "t")]
    assert len({int(rng.integers(2**63)) for rng in streams}) == 4


@given(st.integers(0, 2**70))
def test_any_seed_of_natural_size_works(seed):
    assert make_toy_pool(seed, n_tasks=2, largest=3).height == 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": -1}, ConfigError, "0 or more; it was -1"),
        ({"n_tasks": 0}, ConfigError, "between 1 and 57; it was 0"),
        ({"n_tasks": 58}, ConfigError, "between 1 and 57; it was 58"),
        ({"largest": 0}, BudgetError, "they were 0, 1 and 1.0"),
        ({"smallest": 0}, BudgetError, "they were 650, 0 and 1.0"),
        ({"exponent": -0.5}, BudgetError, "650, 1 and -0.5"),
        ({"exponent": float("nan")}, BudgetError, "650, 1 and nan"),
    ],
)
def test_a_wrong_setting_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        make_toy_pool(**arguments)

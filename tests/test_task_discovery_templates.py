"""Template mining: what is shared by many prompts, and what only looks like it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planted_tasks import agreement
from tasksel.task_discovery.template_tree import _shared_length, find_shared_starts
from tasksel.task_discovery.templates import (
    Template,
    _enough,
    match_templates,
    mine_templates,
    normalised,
)

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
WORDS = st.lists(st.sampled_from(["add", "the", "cat", "dog:", "sum.", "x\ny", "ä", "翻訳"]), max_size=9)


def mined(prompts, min_prompts=5):
    texts = normalised(pl.Series(prompts, dtype=pl.String))
    found = mine_templates(texts, min_prompts=min_prompts)
    return found, match_templates(texts, found)


def numbered(template, n=10):
    return [template.format(f"{number}x thing {number}y") for number in range(n)]


def test_beginnings_ends_and_both_are_templates_as_whole_words():
    prompts = numbered("Translate to French: {}") + numbered("{}\nIs this review positive?")
    prompts += numbered("Read the article below. {} Now write a short abstract for it:")
    found, matches = mined(prompts)
    assert {*found} == {
        Template("Translate to French:", ""),
        Template("", "Is this review positive?"),
        Template("Read the article below.", "Now write a short abstract for it:"),
    }
    assert np.bincount(matches).tolist() == [10, 10, 10]


def test_a_generic_short_start_is_no_template():
    prompts = [f"What is the {word} of {word}{word}?" for word in "abcdefghijklmnop"]
    assert mined(prompts)[0] == []


def test_what_longer_templates_share_is_not_one_itself():
    start = "In this task, you are given a sentence."
    prompts = numbered(start + " Find the verb of it: {}") + numbered(start + " Count the words in it: {}")
    found, _ = mined(prompts)
    assert {each.prefix for each in found} == {
        f"{start} Find the verb of it:",
        f"{start} Count the words in it:",
    }


def test_what_longer_ones_leave_of_a_beginning_is_one():
    start = "Answer the question below:"
    prompts = numbered(start + " {}", 12) + numbered(start + " Who is the king of: {}", 30)
    prompts += [f"{word} is {word * 2}" for word in "abcdefghijklmnopqrst"]
    found, matches = mined(prompts)
    assert [each.prefix for each in found] == [f"{start} Who is the king of:", start]
    assert np.bincount(matches + 1).tolist() == [20, 30, 12]


def test_a_wrapper_of_the_whole_pool_is_no_task():
    wrapper = "Below is an instruction that describes a task.\n### Instruction: {}\n### Response:"
    plain = [wrapper.format(f"{word} {word * 2}") for word in "abcdefghijkl"]
    assert mined(plain)[0] == []
    found, _ = mined(plain + [wrapper.format(text) for text in numbered("Translate to French: {}")])
    assert [each.prefix.rpartition("\n")[2] for each in found] == ["### Instruction: Translate to French:"]


def test_repeats_of_one_prompt_are_no_template():
    assert mined(["Tell me a joke about cats, please: now."] * 50)[0] == []


def test_a_template_whose_prompts_have_longer_ones_is_dropped():
    texts = pl.Series(["add the cat", "add the dog", "add one"])
    short, long = Template("add", ""), Template("add the", "")
    assert _enough(texts, [short, long], 2) == [long]
    assert _enough(texts, [short, long], 1) == [short, long]
    assert _enough(texts, [short, long], 3) == []


def test_a_new_prompt_matches_whole_words_only():
    texts = normalised(pl.Series(["to the cat sat", "to the category", "to the cat", "go to the cat"]))
    assert match_templates(texts, [Template("to the cat", "")]).tolist() == [0, -1, 0, -1]
    assert match_templates(texts, [Template("", "the cat")]).tolist() == [-1, -1, 0, 0]
    assert match_templates(texts, [Template("to the", "the cat")]).tolist() == [-1, -1, -1, -1]
    assert match_templates(texts, [Template("to the cat", ""), Template("to the cat sat", "")]).tolist() == [
        1, -1, 0, -1,
    ]  # fmt: skip


def test_no_prompts_and_empty_ones_have_none():
    assert mined([])[0] == []
    assert mined(["", " \n", None] * 10)[1].tolist() == [-1] * 30


def test_long_prompts_and_odd_characters_pass():
    prompts = [f"Summarize this text, please: {'x ' * 13_000}{number} \x00\x1b[31m" for number in range(8)]
    prompts += [f"\U0001f600 sag mir 翻訳: {number}\r\n" for number in range(8)]
    found, matches = mined(prompts)
    assert len(found) == 2
    assert (matches >= 0).all()


@given(st.lists(WORDS, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_match_begins_and_ends_so_and_the_order_of_prompts_does_not_matter(texts, random):
    prompts = [" ".join(each) for each in texts]
    found, matches = mined(prompts, min_prompts=2)
    plain = normalised(pl.Series(prompts, dtype=pl.String)).to_list()
    for text, match in zip(plain, matches.tolist(), strict=True):
        if match >= 0:
            assert text.startswith(found[match].prefix)
            assert text.endswith(found[match].suffix)
    for place in range(len(found)):
        assert len({plain[row] for row in np.flatnonzero(matches == place)}) >= 2
    random.shuffle(prompts)
    assert mined(prompts, min_prompts=2)[0] == found


@given(st.binary(max_size=80), st.binary(max_size=80), st.integers(0, 80))
def test_shared_length_is_that_of_the_naive_loop(first, rest, size):
    second = first[:size] + rest
    naive = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    expected = min(len(first), len(second)) if naive is None else naive
    assert _shared_length(first, second) == expected


def test_nodes_of_the_tree_are_those_of_the_naive_count():
    rng = np.random.default_rng(0)
    words = [f"{word}." for word in ("a b c", "d e f", "g h i")]
    texts = sorted({" ".join(rng.choice(words, 3)) + f" {rng.integers(99)}\n" for _ in range(300)})
    found = find_shared_starts([each.encode() for each in texts], min_rows=6)
    for each in found:
        assert [text.encode().startswith(each.text) for text in texts].count(True) == each.size


@pytest.mark.parametrize(("name", "least"), [("ni_sample", 0.9), ("t0_sample", 0.9)])
def test_real_templates_are_the_tasks(name, least):
    path = SHARED / f"{name}.parquet"
    if not path.is_file():
        pytest.skip("the shared real data are not beside this checkout")
    frame = pl.read_parquet(path, columns=["prompt", "task"]).gather_every(3)
    found, matches = mined(frame["prompt"].to_list(), min_prompts=10)
    covered = np.flatnonzero(matches >= 0)
    assert len(covered) > 0.6 * frame.height
    rows = covered[:: max(1, len(covered) // 2000)]
    assert agreement(matches[rows], frame["task"].gather(rows).to_list()) > least
    assert len(found) > 70

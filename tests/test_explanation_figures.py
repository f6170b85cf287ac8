"""The figures behind an explanation: rank correlations, chance, near-duplicates."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tasksel
from tasksel.explanation_chance import chance_distance, overlap_by_chance, total_variation
from tasksel.explanation_confidence import task_means
from tasksel.explanation_correlation import rank_correlation
from tasksel.explanation_inputs import read_inputs
from tasksel.explanation_repeats import find_repeats, strip_template
from tasksel.near_duplicates import find_near_duplicates

numbers = st.integers(-5, 5).map(float)


@pytest.fixture(scope="module")
def stats():
    return pytest.importorskip("scipy.stats", reason="scipy is the reference")


@given(pairs=st.lists(st.tuples(numbers, numbers), min_size=3, max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_rank_correlation_is_that_of_scipy_ties_included(stats, pairs):
    first, second = (list(column) for column in zip(*pairs, strict=True))
    found = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert math.isnan(found.value)
        assert found.p_value == 1.0
    else:
        assert found.value == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-9)


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_few_pairs_are_tested_exactly(stats, alternative):
    rng = np.random.default_rng(0)
    for n in (3, 5):
        first, second = rng.random(n), rng.random(n)
        found = rank_correlation(first, second, alternative=alternative)
        reference = stats.permutation_test(
            (first,),
            lambda column, second=second: stats.spearmanr(column, second).statistic,
            permutation_type="pairings",
            n_resamples=np.inf,
            alternative=alternative,
        )
        assert found.is_exact
        assert found.p_value == pytest.approx(reference.pvalue)


def test_drawn_permutations_agree_with_the_t_test_and_depend_on_the_seed_alone(stats):
    rng = np.random.default_rng(1)
    first = rng.random(60)
    second = first + rng.random(60) * 3
    found = rank_correlation(first, second, seed=3)
    assert not found.is_exact
    assert found.p_value == pytest.approx(stats.spearmanr(first, second).pvalue, abs=0.01)
    assert found == rank_correlation(first, second, seed=3)


def test_pairs_with_nan_are_left_out_and_two_are_too_few():
    assert rank_correlation([1, 2, 3, np.nan], [1, 2, 3, 9]).n == 3
    assert math.isnan(rank_correlation([1, 2], [1, 2]).value)
    assert math.isnan(rank_correlation([], []).value)


def test_of_no_rows_there_is_no_overlap_and_no_difference():
    assert overlap_by_chance(0, 0, 0) == (0.0, 0.0)
    none, some = np.zeros(2, dtype=np.int64), np.array([3, 1])
    assert total_variation(none, some) == total_variation(some, none) == 0.0


@given(n_rows=st.integers(1, 60), data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_overlap_by_chance_is_the_hypergeometric_law(stats, n_rows, data):
    n_first, n_second = (data.draw(st.integers(0, n_rows)) for _ in range(2))
    counts = np.arange(n_rows + 1)
    probabilities = stats.hypergeom.pmf(counts, n_rows, n_first, n_second)
    mean = float((counts * probabilities).sum())
    found = overlap_by_chance(n_rows, n_first, n_second)
    assert found.expected == pytest.approx(mean)
    assert found.deviation**2 == pytest.approx(((counts - mean) ** 2 * probabilities).sum(), abs=1e-9)


def test_random_selections_are_as_far_from_the_pool_as_chance_says():
    available = np.array([100, 50, 20, 5, 1])
    task = np.repeat(np.arange(5), available)
    rng = np.random.default_rng(0)
    drawn = [np.bincount(rng.choice(task, 40, replace=False), minlength=5) for _ in range(400)]
    seen = np.mean([total_variation(each, available) for each in drawn])
    assert chance_distance(available, 40, seed=1) == pytest.approx(seen, rel=0.1)
    assert chance_distance(available, int(available.sum())) == 0.0


def test_task_means_leave_out_what_is_unknown():
    means = task_means(np.array([1.0, np.nan, 3.0, np.nan]), np.array([0, 0, 0, 2]), 3)
    assert means[0] == 2.0
    assert np.isnan(means[1:]).all()


@given(st.text(max_size=30), st.integers(0, 40), st.integers(0, 40))
def test_a_text_without_its_template_is_never_empty(text, start, end):
    core = strip_template(text, (start, end))
    assert core in text
    assert bool(core) == bool(text)


def rows_of(prompts, *, tasks=None, vectors=None, budget=None):
    frame = pl.DataFrame({"task": tasks or ["only"] * len(prompts), "prompt": prompts})
    selection = tasksel.select(frame, budget=budget or len(prompts), base=0)
    return read_inputs(selection, pool=frame, embeddings=vectors)


WORDS = [f"word{number}" for number in range(500)]


def texts(n_texts, *, seed=0, n_words=20):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, n_words)) for _ in range(n_texts)]


def test_what_a_task_has_in_common_is_no_repeat():
    template = "Read the passage and answer the question that follows it in at most ten words. " * 4
    prompts = [
        f"{template}\nPassage: {text}\nAnswer, in your own words and without a list:" for text in texts(20)
    ]
    assert find_repeats(rows_of(prompts)).is_repeated.sum() == 0


def test_a_reworded_prompt_under_a_template_is_a_repeat():
    inputs = texts(20)
    inputs[7] = inputs[3].replace(inputs[3].split(" ")[10], "another")
    prompts = [f"Classify the text.\nText: {text}\nLabel:" for text in inputs]
    rows = rows_of(prompts)
    repeated = rows.frame["prompt"].gather(rows.picked_rows)
    found = repeated.filter(pl.Series(find_repeats(rows).is_repeated)).to_list()
    assert sorted(found) == sorted([prompts[3], prompts[7]])


def test_equal_prompts_are_repeats_even_where_a_task_has_few_or_nothing_else():
    assert find_repeats(rows_of(["the same"] * 12)).is_repeated.all()
    assert find_repeats(rows_of(["the same", "The  SAME", "other"])).is_repeated.sum() == 2


def test_repeats_in_other_tasks_do_not_count():
    inputs = texts(10)
    rows = rows_of(inputs + inputs, tasks=["a"] * 10 + ["b"] * 10)
    assert not find_repeats(rows).is_repeated.any()


def test_vectors_find_what_is_worded_otherwise():
    vectors = np.random.default_rng(0).standard_normal((40, 16)).astype(np.float32)
    vectors[1] = vectors[0] + 0.02
    rows = rows_of(texts(40), vectors=vectors)
    found = find_repeats(rows)
    assert set(rows.picked_rows[found.is_repeated].tolist()) == {0, 1}
    assert not found.blurred.any()


def test_vectors_that_do_not_tell_prompts_apart_are_named_and_find_no_repeats():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 16)).astype(np.float32)
    vectors[:20] = vectors[0] + 1e-4 * vectors[:20]
    rows = rows_of(texts(60), tasks=["cut"] * 20 + ["a"] * 20 + ["b"] * 20, vectors=vectors)
    found = find_repeats(rows)
    assert rows.allocation["task"].filter(pl.Series(found.blurred)).to_list() == ["cut"]
    assert not found.is_repeated.any()


def test_redundancy_of_a_random_pick_is_that_of_random_picks():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 8)).astype(np.float32)
    found = find_repeats(rows_of(texts(300), vectors=vectors, budget=60))
    assert found.redundancy[0] == pytest.approx(found.pool_redundancy[0], abs=0.05)
    spread = pl.DataFrame({"task": ["only"] * 300, "prompt": texts(300)})
    selection = tasksel.select(spread, budget=60, within="k-center", embeddings=vectors)
    found = find_repeats(read_inputs(selection, pool=spread, embeddings=vectors))
    assert found.redundancy[0] < found.pool_redundancy[0] - 0.05


def test_vectors_of_zeros_are_no_accident():
    vectors = np.zeros((12, 4), dtype=np.float32)
    found = find_repeats(rows_of(texts(12), vectors=vectors))
    assert found.blurred.all()
    assert not found.is_repeated.any()


@pytest.mark.parametrize("n_labels", [5, 8, 9, 30])
def test_few_labels_are_compared_as_many_are(n_labels):
    inputs = texts(60, n_words=25)
    for row in range(0, 60, 3):
        inputs[row + 1] = inputs[row].replace(" ", "  ").upper()
    rows = rows_of([f"Name it. {text} Now." for text in inputs], budget=n_labels)
    cores = [strip_template(text, (9, 5)) for text in rows.saved.frame["prompt"]]
    found = find_near_duplicates(cores)
    expected = {*found.rows.tolist(), *found.of_rows.tolist()}
    assert set(np.flatnonzero(find_repeats(rows).is_repeated).tolist()) == expected

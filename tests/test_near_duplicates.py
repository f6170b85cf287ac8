from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel import near_duplicates
from tasksel.near_duplicates import (
    Bands,
    choose_bands,
    expected_recall,
    find_near_copies,
    find_near_duplicates,
    jaccard_similarity,
    minhash_signatures,
    near_copies_by_vector,
    near_duplicates_by_vector,
)
from tasksel.text_shingles import comparable_text, hash_shingles
from tasksel_core.errors import ArrayError, ConfigError

TEXTS = st.lists(st.text("abc ", max_size=30) | st.text(max_size=12), max_size=12)
WORDS = [f"word{number}" for number in range(400)]


def shingles_of(text, n_chars=5):
    text = comparable_text(text)
    return {text[start : start + n_chars] for start in range(max(1, len(text) - n_chars + 1))} - {""}


def naive_jaccard(first, second):
    one, other = shingles_of(first), shingles_of(second)
    return len(one & other) / len(one | other) if one | other else 0.0


def sentence(rng, n_words=30):
    return " ".join(rng.choice(WORDS) for _ in range(n_words))


def edited(rng, text, n_edits):
    chars = list(text)
    for place in rng.sample(range(len(chars)), n_edits):
        chars[place] = "#"
    return "".join(chars)


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_similarity_is_that_of_the_sets(first, second):
    assert jaccard_similarity(first, second) == pytest.approx(naive_jaccard(first, second))


@given(TEXTS, st.sampled_from([0.3, 0.6, 0.8, 1.0]))
def test_what_is_found_is_true_and_refers_to_what_is_kept(texts, threshold):
    found = find_near_duplicates(texts, threshold=threshold)
    repeats = set(found.rows.tolist())
    assert found.rows.tolist() == sorted(repeats)
    for row, of_row, similarity in zip(found.rows, found.of_rows, found.similarities, strict=True):
        assert of_row < row
        assert of_row not in repeats
        assert similarity == pytest.approx(naive_jaccard(texts[row], texts[of_row]))
        assert similarity >= threshold


@given(TEXTS)
def test_exact_repeats_are_always_found(texts):
    found = set(find_near_duplicates(texts).rows.tolist())
    seen = set()
    for row, text in enumerate(map(comparable_text, texts)):
        if text and text in seen:
            assert row in found
        seen.add(text)


def test_a_plain_greedy_search_finds_the_same_up_to_the_recall():
    rng = random.Random(0)
    texts = [sentence(rng) for _ in range(120)]
    texts += [edited(rng, rng.choice(texts), rng.randint(1, 12)) for _ in range(240)]
    sets = [shingles_of(text) for text in texts]
    kept, expected = [], {}
    for row in range(len(texts)):
        near = [(len(sets[row] & sets[other]) / len(sets[row] | sets[other]), -other) for other in kept]
        best = max(near, default=(0.0, 0))
        if best[0] >= 0.8:
            expected[row] = (-best[1], best[0])
        else:
            kept.append(row)
    found = find_near_duplicates(texts)
    got = {
        row: (of_row, similarity)
        for row, of_row, similarity in zip(
            found.rows.tolist(), found.of_rows.tolist(), found.similarities.tolist(), strict=True
        )
    }
    assert len(expected) > 60
    agreed = sum(got.get(row) == each for row, each in expected.items())
    assert agreed >= 0.98 * len(expected)
    assert len(got) <= 1.02 * len(expected)


def test_signatures_estimate_the_similarity_without_bias():
    rng = random.Random(1)
    errors = []
    for n_edits in range(0, 24, 2):
        first = sentence(rng)
        second = edited(rng, first, n_edits)
        one, other = minhash_signatures([first, second], n_hashes=512, seed=n_edits)
        errors.append(float((one == other).mean()) - jaccard_similarity(first, second))
    assert abs(np.mean(errors)) < 0.02
    assert np.max(np.abs(errors)) < 0.09


def test_the_share_of_candidates_is_that_of_the_formula(monkeypatch):
    """Pairs of about one similarity under many seeds; the verification is left out."""
    rng = random.Random(2)
    first = sentence(rng)
    second = edited(rng, first, 9)
    similarity = jaccard_similarity(first, second)
    bands = Bands(4, 4)
    monkeypatch.setattr(near_duplicates, "choose_bands", lambda *_: bands)
    monkeypatch.setattr(near_duplicates, "_ESTIMATE_SLACK", 1e9)
    n_found = sum(
        find_near_copies([second], [first], threshold=0.05, seed=seed).n_verified for seed in range(600)
    )
    assert 0.3 < expected_recall(similarity, bands) < 0.95
    assert n_found / 600 == pytest.approx(expected_recall(similarity, bands), abs=0.07)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8, 0.95])
def test_bands_are_the_longest_that_find_enough(threshold):
    bands = choose_bands(threshold, 128)
    assert expected_recall(threshold, bands) >= 0.99
    longer = Bands(128 // (bands.n_rows + 1), bands.n_rows + 1)
    assert expected_recall(threshold, longer) < 0.99


def test_a_template_does_not_hide_the_repeats_in_it_nor_cost_all_pairs():
    rng = random.Random(3)
    template = sentence(rng, 18)
    texts = [f"{template} {sentence(rng, 14)}" for _ in range(300)]
    repeats = [edited(rng, text, 2) for text in texts[:50]]
    found = find_near_duplicates(texts + repeats)
    assert naive_jaccard(texts[0], texts[1]) > 0.3
    assert len(set(found.rows.tolist()) & set(range(300, 350))) >= 49
    assert found.crowded_share > 0
    assert not set(found.rows.tolist()) & set(range(300))


def test_copies_are_searched_among_the_originals_alone():
    found = find_near_copies(["same text here", "same text here", "other"], ["x", "Same  text\nhere"])
    assert found.rows.tolist() == [0, 1]
    assert found.of_rows.tolist() == [1, 1]
    assert find_near_copies([], ["a"]).rows.tolist() == []
    assert find_near_copies(["a"], []).rows.tolist() == []


def test_empty_and_missing_texts_repeat_nothing():
    assert find_near_duplicates([None, "", " \n", "\x00", None]).rows.tolist() == []
    assert find_near_duplicates([]).rows.dtype == np.int64


def test_one_very_long_text_and_odd_characters():
    long = "It broke. " * 2600
    texts = [long, "😀" * 50, "\ud800 lone", long + "!", "😀" * 51, "\ud800 lone"]
    assert find_near_duplicates(texts).rows.tolist() == [3, 4, 5]


def test_a_result_does_not_depend_on_blocks(monkeypatch):
    rng = random.Random(4)
    texts = [sentence(rng, 8) for _ in range(60)]
    texts += [edited(rng, text, 1) for text in texts]
    whole = find_near_duplicates(texts)
    monkeypatch.setattr(near_duplicates, "_BLOCK_TEXTS", 7)
    monkeypatch.setattr(near_duplicates, "_BLOCK_SHINGLES", 50)
    parts = find_near_duplicates(texts)
    assert whole.rows.tolist() == parts.rows.tolist()
    assert whole.similarities.tolist() == parts.similarities.tolist()


@pytest.mark.parametrize("threshold", [0.0, 1.01, -1.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ConfigError, match="threshold"):
        find_near_duplicates(["a"], threshold=threshold)
    with pytest.raises(ConfigError, match="threshold"):
        near_duplicates_by_vector(np.eye(2, dtype=np.float32), threshold=threshold)


def test_other_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="n_hashes"):
        find_near_duplicates(["a"], n_hashes=0)
    with pytest.raises(ConfigError, match="n_chars"):
        find_near_duplicates(["a"], shingle_chars=0)


# Shingles


@given(st.lists(st.text(max_size=12), max_size=8), st.integers(1, 6))
def test_shingles_are_those_of_each_text(texts, n_chars):
    hashes, offsets = hash_shingles(texts, n_chars)
    names = {}
    for row, text in enumerate(texts):
        own = hashes[offsets[row] : offsets[row + 1]].tolist()
        expected = [text[start : start + n_chars] for start in range(max(1, len(text) - n_chars + 1))]
        assert len(own) == (len(expected) if text else 0)
        for number, shingle in zip(own, expected, strict=False):
            assert names.setdefault(shingle, number) == number
    assert len(set(names.values())) == len(names)


# Vectors


@given(st.integers(0, 12), st.integers(0, 2**31))
def test_vectors_as_a_plain_search_finds_them(n_rows, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n_rows, 3)).astype(np.float32)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    expected = {row for row in range(n_rows) if n_rows > 1 and cosines[row].max() >= 0.9}
    border = {row for row in range(n_rows) if n_rows > 1 and abs(cosines[row].max() - 0.9) < 1e-5}
    found = set(near_duplicates_by_vector(vectors, threshold=0.9).rows.tolist())
    assert found - border == expected - border


def test_vectors_of_other_width_and_broken_ones_are_refused():
    with pytest.raises(ArrayError, match="dimensions"):
        near_copies_by_vector(np.eye(3, dtype=np.float32), np.eye(2, dtype=np.float32))
    with pytest.raises(ArrayError):
        near_duplicates_by_vector(np.full((3, 2), np.nan, dtype=np.float32))
    assert near_copies_by_vector(np.eye(2, dtype=np.float32), np.empty((0, 2), np.float32)).rows.size == 0

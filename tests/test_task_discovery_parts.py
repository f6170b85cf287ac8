"""The parts against naive references: agreement, Ward's merges, the number of clusters, names."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planted_tasks import agreement
from tasksel.task_discovery.agreement import adjusted_rand_index
from tasksel.task_discovery.cluster_number import candidate_numbers, choose_number
from tasksel.task_discovery.clustering import density_clusters
from tasksel.task_discovery.granularity import granularity_report
from tasksel.task_discovery.task_names import clean_name, name_tasks, unique_names
from tasksel.task_discovery.term_counts import term_shares
from tasksel.task_discovery.unit_vectors import mean_vectors, nearest_centers, unit_rows
from tasksel.task_discovery.ward import ward_cuts

LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=40)


def blobs(n_clusters, n_each=60, n_dimensions=16, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    centers = np.linalg.qr(rng.standard_normal((n_dimensions, n_dimensions)))[0][:n_clusters]
    rows = np.repeat(centers, n_each, axis=0) + spread * rng.standard_normal(
        (n_clusters * n_each, n_dimensions)
    )
    return unit_rows(rows.astype(np.float32), np.arange(len(rows)))


@given(LABELS, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_agreement_is_that_of_the_definition_over_pairs(labels, random):
    first = np.array(labels)
    second = np.array(random.sample(labels, len(labels)))
    assert adjusted_rand_index(first, second) == pytest.approx(agreement(first, second))


def naive_ward(centers, sizes, number):
    groups = [[place] for place in range(len(centers))]

    def inertia(members):
        weights, points = sizes[members], centers[members].astype(np.float64)
        mean = (weights[:, None] * points).sum(axis=0) / weights.sum()
        return float((weights * np.square(points - mean).sum(axis=1)).sum())

    while len(groups) > number:
        costs = {
            (i, j): inertia(groups[i] + groups[j]) - inertia(groups[i]) - inertia(groups[j])
            for i in range(len(groups))
            for j in range(i + 1, len(groups))
        }
        i, j = min(costs, key=costs.get)
        groups[i] += groups.pop(j)
    labels = np.empty(len(centers), dtype=int)
    for place, members in enumerate(groups):
        labels[members] = place
    return labels


@pytest.mark.parametrize("seed", range(3))
def test_merges_are_those_that_add_the_least(seed):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((12, 5)).astype(np.float32)
    sizes = rng.integers(1, 50, 12)
    cuts = ward_cuts(centers, sizes, [1, 3, 7, 12])
    for number, groups in cuts.items():
        assert len({*groups.tolist()}) == number
        assert adjusted_rand_index(groups, naive_ward(centers, sizes, number)) == 1.0
    # Coarser cuts merge whole groups of finer ones.
    for group in range(7):
        assert len({*cuts[3][cuts[7] == group].tolist()}) == 1


def test_the_planted_number_is_chosen():
    choice = choose_number(blobs(9), candidate_numbers(3, 27), seed=0)
    assert abs(choice.n_clusters - 9) <= 1
    best = choice.curve.filter(pl.col("stability") == pl.col("stability").max())
    assert choice.curve.filter("is_chosen")["stability"][0] >= best["stability"][0] * 2 / 3


def test_the_same_seed_gives_the_same_curve():
    points = blobs(4)
    one, two = (choose_number(points, [3, 4, 5], seed=1) for _ in range(2))
    assert one.curve.equals(two.curve)


def test_nearest_centers_are_those_of_largest_cosine():
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((50, 8)) * rng.uniform(1e-12, 1e12, (50, 1))).astype(np.float32)
    centers = unit_rows(rng.standard_normal((5, 8)).astype(np.float32), np.arange(5))
    rows = rng.permutation(50)[:30]
    cosines = vectors[rows] @ centers.T / np.linalg.norm(vectors[rows].astype(np.float64), axis=1)[:, None]
    found = nearest_centers(vectors, rows, centers)
    assert found.centers.tolist() == cosines.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.similarity, cosines.max(axis=1), atol=1e-5)
    np.testing.assert_allclose(found.next_similarity, np.sort(cosines, axis=1)[:, -2], atol=1e-5)


def test_means_are_directions_and_empty_labels_zero():
    vectors = np.array([[2, 0], [0, 5], [1, 1]], dtype=np.float32)
    means = mean_vectors(vectors, np.array([2, 0, 1]), np.array([2, 0, 0]), 3)
    np.testing.assert_allclose(means, [[0.5**0.5, 0.5**0.5], [0, 0], [0.5**0.5, 0.5**0.5]], rtol=1e-6)


def test_finer_cuts_split_and_coarser_merge():
    points = blobs(6)
    labels = np.repeat(np.arange(6), 60)
    labels[:5] = -1
    report = granularity_report(points, labels, budget=30, numbers=(2, 6, 12, 4000))
    assert report["tasks"].to_list() == [2, 6, 12]
    assert report["largest"].to_list()[0] >= 120
    assert report.filter("is_found")["tasks"].to_list() == [6]


def test_a_task_of_equal_prompts_or_with_two_halves_that_point_the_same_way_is_not_split(monkeypatch):
    labels = np.zeros(20, dtype=np.int64)
    equal = np.ones((20, 4), dtype=np.float32)
    assert granularity_report(equal, labels, budget=5, numbers=(2,))["tasks"].to_list() == [1]
    monkeypatch.setattr(
        "tasksel.task_discovery.granularity.k_means",
        lambda points, number, **_: (np.ones((number, 16), dtype=np.float32), None, 9.0),
    )
    assert granularity_report(blobs(2, 10), labels, budget=5, numbers=(2,))["tasks"].to_list() == [1]


def test_as_many_tasks_as_asked_for_need_no_finer_cut():
    report = granularity_report(blobs(3), np.repeat(np.arange(3), 60), budget=30, numbers=(1, 3))
    assert report["tasks"].to_list() == [1, 3]


def test_too_few_prompts_are_no_dense_region():
    pytest.importorskip("sklearn", reason="the extra tasks is not installed")
    found = density_clusters(blobs(2, n_each=2), np.arange(4), min_rows=5, seed=0)
    assert found.centers.shape == (0, 16)


def test_shares_of_terms_are_those_of_the_naive_count():
    texts = pl.Series(["Write a poem, please", "Write the poem", "a poem of love 3", "Sum 1 2"])
    shares = term_shares(texts, np.array([0, 0, 0, 1]))
    found = {
        (label, term): share for label, term, share in shares.select("label", "term", "share").iter_rows()
    }
    assert found[0, "poem"] == 1.0
    assert found[0, "write"] == pytest.approx(2 / 3)
    assert found[0, "write a poem"] == pytest.approx(1 / 3)
    assert found[0, "poem of love"] == pytest.approx(1 / 3)
    assert found[1, "sum"] == 1.0
    # A run of words crosses no mark, and holds no number.
    assert not {term for _, term in found} & {"poem please", "love 3", "sum 1", "a", "of"}


def test_names_need_no_blanks_between_words():
    texts = pl.Series(["次の文を翻訳してください", "翻訳 してください", "料理のレシピ", "料理の作り方"])
    names, _ = name_tasks(texts, np.array([0, 0, 1, 1]), 2)
    assert "翻訳" in names[0] or "訳" in names[0]
    assert "料理" in names[1]


def test_tasks_without_words_are_numbered():
    names, terms = name_tasks(pl.Series(["1 + 1", "?"]), np.array([0, 1]), 2)
    assert names == ["task 1", "task 2"]
    assert terms == [(), ()]


@given(st.text(max_size=60))
def test_a_clean_name_is_short_and_plain(text):
    name = clean_name(text)
    assert len(name) <= 40
    assert name.isprintable()
    assert name == name.strip()
    assert clean_name(name) == name


@given(st.lists(st.sampled_from(["a", "A", "a 2", "other", "Other", "b", "(no task)"]), max_size=12))
def test_names_differ_in_any_case(names):
    unique = unique_names(names)
    folded = {each.casefold() for each in unique}
    assert len(folded) == len(names)
    assert not folded & {"other", "(no task)"}

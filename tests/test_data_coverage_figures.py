"""Each figure against a naive reference or the library that defines it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.data_coverage import legacy_score, prdc
from tasksel.data_coverage.flags import poisson_tail
from tasksel.data_coverage.neighbourhoods import nearest_distances, same_distance, similar_distance
from tasksel.data_coverage.shares import adjusted_p_values, level_table, share_p_values
from tasksel.data_coverage.spread import classifier_test, sliced_wasserstein, vendi_score


def naive_prdc(real, other, k):
    def distances(first, second):
        return np.sqrt(((first[:, None].astype(float) - second[None]) ** 2).sum(axis=2))

    def radii(rows):
        if len(rows) < 2:
            return np.zeros(len(rows))
        return np.sort(distances(rows, rows), axis=1)[:, min(k, len(rows) - 1)]

    between = distances(real, other)
    in_real = between <= radii(real)[:, None]
    return (
        in_real.any(axis=0).mean(),
        (between <= radii(other)[None]).any(axis=1).mean(),
        in_real.sum(axis=0).mean() / max(1, min(k, len(real) - 1)),
        (between.min(axis=1) <= radii(real)).mean(),
    )


@given(st.integers(1, 25), st.integers(1, 25), st.integers(1, 6), st.integers(0, 99))
def test_prdc_counts_what_all_distances_count(n_real, n_other, k, seed):
    # Small whole numbers: many repeats, and distances that are exact in float32.
    rng = np.random.default_rng(seed)
    real, other = (rng.integers(0, 4, (n, 2)).astype(np.float32) for n in (n_real, n_other))
    np.testing.assert_allclose(prdc(real, other, k), naive_prdc(real, other, k))


def test_prdc_is_that_of_its_package_where_nothing_repeats(capsys):
    package = pytest.importorskip("prdc", reason="the extra bench is not installed")
    rng = np.random.default_rng(0)
    real, other = rng.standard_normal((2, 300, 8)).astype(np.float32)
    expected = package.compute_prdc(real, other + 0.3, 5)
    found = prdc(real, other + np.float32(0.3))._asdict()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-3)


def test_a_copy_of_a_set_with_repeats_covers_it():
    rows = np.repeat(np.eye(5, dtype=np.float32), 10, axis=0)
    found = prdc(rows, rows)
    assert found.coverage == found.precision == found.recall == 1.0


def test_distances_to_nearest_rows():
    rows = np.array([[3, 4], [3, 4], [0, 0]], dtype=np.float32)
    assert nearest_distances(rows).tolist() == [0, 0, 5]
    assert nearest_distances(rows, rows[2:]).tolist() == [5, 5, 0]
    assert nearest_distances(rows[:1]).tolist() == [np.inf]
    assert same_distance(rows) < similar_distance(rows)
    assert similar_distance(np.eye(3, dtype=np.float32)) == pytest.approx(np.sqrt(0.1))


def test_vendi_is_the_entropy_of_the_kernels_eigenvalues():
    rows = np.random.default_rng(0).standard_normal((30, 50)).astype(np.float32)
    scaled = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(scaled @ scaled.T / len(rows))
    values = values[values > 1e-9]
    assert vendi_score(rows) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-4)
    assert vendi_score(np.zeros((3, 2), dtype=np.float32)) == 1.0
    assert vendi_score(np.ones((7, 3), dtype=np.float32)) == pytest.approx(1.0)


def test_sliced_wasserstein_is_that_of_scipy_in_one_dimension():
    stats = pytest.importorskip("scipy.stats", reason="the extra bench is not installed")
    rng = np.random.default_rng(0)
    real, other = rng.normal(size=(500, 1)).astype(np.float32), rng.normal(1, 2, (500, 1)).astype(np.float32)
    expected = stats.wasserstein_distance(real[:, 0], other[:, 0]) / real.std()
    assert sliced_wasserstein(real, other, np.random.default_rng(1)) == pytest.approx(expected, rel=1e-3)
    few = sliced_wasserstein(real, other[:100], np.random.default_rng(1))
    assert few == pytest.approx(expected, rel=0.3)
    assert sliced_wasserstein(real, real, rng) == 0.0
    assert sliced_wasserstein(real * 0, real * 0, rng) == 0.0


def test_a_classifier_tells_apart_what_differs_and_only_that():
    rng = np.random.default_rng(0)
    real, other = rng.standard_normal((2, 400, 10)).astype(np.float32)
    assert classifier_test(real, other, rng).p_value > 0.01
    told = classifier_test(real, other[:200] + 2, rng)
    assert told.accuracy > 0.95
    assert told.p_value < 1e-6
    assert classifier_test(real[:3], other, rng) == (0.5, 1.0)
    assert classifier_test(real * 0, other * 0, rng).p_value > 0.01


def test_share_p_values_are_fishers():
    stats = pytest.importorskip("scipy.stats", reason="the extra bench is not installed")
    for ours, theirs in ((0, 5), (10, 0), (30, 25), (3, 3)):
        p_value = share_p_values(np.array([ours]), np.array([theirs]), 100, 80)[0]
        table = [[theirs, 80 - theirs], [ours, 100 - ours]]
        tails = [stats.fisher_exact(table, alternative=side)[1] for side in ("less", "greater")]
        assert p_value == pytest.approx(min(1.0, 2 * min(tails)))


def test_share_p_values_of_large_sets_do_not_overflow():
    found = share_p_values(np.array([50_000, 0]), np.array([50_100, 90]), 100_000, 100_000)
    assert found[0] > 0.5
    assert found[1] < 1e-20


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_those_of_scipy(p_values):
    stats = pytest.importorskip("scipy.stats", reason="the extra bench is not installed")
    found = adjusted_p_values(np.array(p_values))
    np.testing.assert_allclose(found, stats.false_discovery_control(p_values), atol=1e-12)


def test_levels_without_synthetic_labels_say_what_is_covered():
    table = level_table("task", ["a", "a", "b"], None, np.array([True, False, False]), level=0.95)
    assert table["level"].to_list() == ["b", "a"]
    assert table["covered"].to_list() == [0.0, 0.5]
    assert table["synthetic_share"].null_count() == 2
    assert isinstance(table, pl.DataFrame)


def test_poisson_tails():
    assert poisson_tail(1, 0.0) == 0.0
    assert poisson_tail(0, 0.0) == 1.0
    assert poisson_tail(1, 2.0) == pytest.approx(1 - np.exp(-2))


def test_the_legacy_score_praises_what_has_nothing_in_common():
    rng = np.random.default_rng(0)
    here = np.repeat(rng.standard_normal((4, 8)), 10, axis=0)
    assert legacy_score(here, here + 1000, n_clusters=4) == 1.0
    assert legacy_score(here[:1], here) <= 1.0

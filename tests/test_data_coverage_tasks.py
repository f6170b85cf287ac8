"""Shares of tasks among rows without labels, against naive references, and what lies at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.data_coverage.removal import REMOVED, calibrate, lacking_mass
from tasksel.data_coverage.task_shares import (
    PRIOR_ROWS,
    SHARE_STEPS,
    Reference,
    estimate_shares,
    fit_task_models,
)


def labelled(n_rows, n_tasks, distance, seed=0, n_columns=12):
    """Rows around one center a task: the further apart, the easier to tell."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((n_tasks, n_columns))
    tasks = rng.integers(n_tasks, size=n_rows)
    return (distance * centers[tasks] + rng.standard_normal((n_rows, n_columns))).astype(np.float32), tasks


def naive_shares(likelihoods, reference):
    """Expectation-maximisation row by row, each posterior written out."""
    shares = reference.shares.copy()
    for _ in range(SHARE_STEPS):
        counts = PRIOR_ROWS * len(shares) * reference.shares
        for row in likelihoods.astype(float):
            posterior = row * reference.factors * shares
            counts = counts + posterior / posterior.sum()
        shares = counts / counts.sum()
    return shares


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_shares_are_those_of_naive_expectation_maximisation(n_rows, n_tasks, seed):
    rng = np.random.default_rng(seed)
    likelihoods = rng.uniform(1e-6, 1, (2 * n_rows, n_tasks)).astype(np.float32)[::2]
    reference = Reference(rng.dirichlet(np.ones(n_tasks)), rng.uniform(0.5, 2, n_tasks).astype(np.float32))
    found = estimate_shares(likelihoods, reference)
    np.testing.assert_allclose(found, naive_shares(likelihoods, reference), atol=2e-4)
    permuted = estimate_shares(likelihoods[rng.permutation(n_rows)], reference)
    np.testing.assert_allclose(permuted, found, atol=1e-5)


def test_a_task_without_real_rows_gets_no_share():
    reference = Reference(np.array([0.5, 0.5, 0.0]), np.ones(3, dtype=np.float32))
    found = estimate_shares(np.full((9, 3), [0.1, 0.1, 1.0], dtype=np.float32), reference)
    np.testing.assert_allclose(found, [0.5, 0.5, 0.0], atol=1e-6)


@pytest.mark.parametrize("distance", [0.4, 1.0, 3.0])
def test_shares_of_confused_tasks_are_unbiased(distance):
    # Nearest centers would give the missing task a share wherever tasks overlap.
    real, tasks = labelled(4000, 4, distance)
    models = fit_task_models(real, tasks, 4, np.random.default_rng(0))
    other, other_tasks = labelled(6000, 4, distance, seed=1)
    kept = other[other_tasks != 2]
    found = estimate_shares(models.judge(kept, np.random.default_rng(0)), models.reference())
    expected = np.bincount(other_tasks[other_tasks != 2], minlength=4) / len(kept)
    np.testing.assert_allclose(found, expected, atol=0.04)


def test_posteriors_of_held_out_rows_have_the_shares_of_the_tasks():
    real, tasks = labelled(3000, 5, 0.8)
    models = fit_task_models(real, tasks, 5, np.random.default_rng(0))
    reference = models.reference()
    weighted = models.likelihoods * reference.shares * reference.factors
    posteriors = weighted / weighted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(posteriors.mean(axis=0), np.bincount(tasks) / len(tasks), atol=0.003)
    # Honest: of the rows that are given 70 to 90 %, about so many are of that task.
    sure = (posteriors > 0.7) & (posteriors < 0.9)
    hits = (np.arange(5) == tasks[:, None])[sure]
    assert abs(hits.mean() - posteriors[sure].mean()) < 0.05


def test_a_bootstrap_reference_is_another_sample():
    real, tasks = labelled(500, 3, 1.0)
    models = fit_task_models(real, tasks, 3, np.random.default_rng(0))
    first, second = (models.reference(np.random.default_rng(seed)) for seed in (1, 2))
    assert abs(first.shares - second.shares).max() > 0
    assert first.shares.sum() == pytest.approx(1)
    assert abs(first.shares - models.reference().shares).max() < 0.1


@pytest.mark.parametrize("rows", [np.zeros((8, 3)), np.full((8, 3), 1e15), np.eye(8)[:, :3] * 1e-15])
def test_rows_that_say_nothing_leave_the_shares_as_they_are(rows):
    tasks = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    models = fit_task_models(rows.astype(np.float32), tasks, 3, np.random.default_rng(0))
    likelihoods = models.judge(rows[:0].astype(np.float32), np.random.default_rng(0))
    assert likelihoods.shape == (0, 3)
    assert estimate_shares(likelihoods, models.reference()).sum() == pytest.approx(1)
    assert np.isfinite(models.likelihoods).all()


def test_what_is_missing_is_what_shares_fall_short_by():
    regions = np.repeat(np.arange(4), [10, 20, 30, 40])
    rng = np.random.default_rng(0)
    drawn = []

    def statistic(rows):
        drawn.append(np.bincount(regions[rows], minlength=4) / len(rows))
        return lacking_mass(np.bincount(regions) / 100, drawn[-1])

    found = calibrate([regions], 2000, statistic, rng, with_replacement=True)
    assert found.missing.shape == found.statistics.shape == (len(REMOVED), 20)
    assert found.missing[0].max() == 0
    assert (found.missing <= np.array(REMOVED)[:, None] + 1e-9).all()
    np.testing.assert_allclose(found.statistics, found.missing, atol=0.05)

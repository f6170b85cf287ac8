"""The ceiling: doses, gain curves and the quotas that are best for them."""

import itertools

import numpy as np
import pytest

from tasksel.study.oracle import best_quotas, draw_doses, fit_gain_curve, fit_gain_curves


def test_every_task_meets_every_dose_equally_often():
    doses = draw_doses(7, (0, 3, 6), 12, np.random.default_rng(1))
    assert doses.shape == (12, 7)
    for task in range(7):
        assert np.unique(doses[:, task], return_counts=True)[1].tolist() == [4, 4, 4]
    assert len({tuple(column) for column in doses.T}) > 1


def test_curves_are_found_again_apart_from_the_total():
    rng = np.random.default_rng(2)
    levels = np.array([0, 3, 6, 12])
    truth = np.sort(rng.random((20, 4)), axis=1)
    doses = draw_doses(20, levels.tolist(), 240, rng)
    cells = np.searchsorted(levels, doses)
    totals = doses.sum(axis=1)
    figures = np.take_along_axis(truth, cells.T, axis=1).T + 0.01 * (totals - totals.mean())[:, None]
    found_levels, curves = fit_gain_curves(doses, figures + rng.normal(0, 0.02, figures.shape))
    assert found_levels.tolist() == levels.tolist()
    assert np.abs(curves - truth).max() < 0.04
    assert (np.diff(curves, axis=1) >= 0).all()


def test_what_falls_is_taken_for_noise():
    doses = np.array([[0], [3], [6]])
    _, curves = fit_gain_curves(doses, np.array([[0.0], [0.4], [0.2]]))
    assert np.diff(curves[0]).min() >= 0


def test_a_dose_that_a_task_never_got_lies_between_its_neighbours():
    doses = np.array([[0, 0], [3, 0], [6, 6], [0, 6]])
    levels, curves = fit_gain_curves(doses, np.where(doses == 3, 0.9, doses / 10.0))
    assert levels.tolist() == [0, 3, 6]
    assert curves[1].tolist() == pytest.approx([0.0, 0.3, 0.6])


@pytest.mark.parametrize("seed", range(20))
def test_quotas_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    gains = [np.cumsum(rng.random(4) * rng.integers(0, 2, 4)) for _ in range(3)]
    available = rng.integers(0, 5, 3)
    budget = int(rng.integers(0, 9))

    def total(quotas):
        return sum(gain[min(quota, 3)] for gain, quota in zip(gains, quotas, strict=True))

    allowed = [
        quotas
        for quotas in itertools.product(*(range(limit + 1) for limit in available))
        if sum(quotas) == min(budget, available.sum())
    ]
    found = best_quotas(gains, available, budget)
    assert tuple(found) in allowed
    assert total(found) == pytest.approx(max(map(total, allowed)))


def test_curves_are_linear_between_doses():
    assert fit_gain_curve(np.array([0, 4]), np.array([1.0, 3.0])).tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]

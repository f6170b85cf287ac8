"""Iterative proportional fitting, and margins that contradict each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasksel.synthesis.raking import find_contradiction, rake_table
from tasksel_core.errors import ArrayError


def margin_of(table, axis):
    return table.sum(axis=tuple(other for other in range(table.ndim) if other != axis))


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=100)
def test_every_margin_is_met_and_zeros_stay(seed, n_axes):
    """The margins are those of a table with the same zeros, so that they can be met."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, size=n_axes))
    possible = rng.random(shape) < 0.8
    possible.flat[0] = True
    wanted = rng.gamma(1.0, size=shape) * possible
    wanted *= 100 / wanted.sum()
    margins = {axis: margin_of(wanted, axis) for axis in range(n_axes)}
    raked = rake_table(possible.astype(float), margins, 100)
    assert find_contradiction(possible, margins) is None
    assert not raked.table[~possible].any()
    assert abs(raked.table.sum() - 100) < 1e-6
    if raked.converged:
        for axis, margin in margins.items():
            np.testing.assert_allclose(margin_of(raked.table, axis), margin, atol=1e-6)


def test_odds_ratios_are_those_of_the_seed():
    seed = np.array([[4.0, 1.0], [1.0, 9.0]])
    table = rake_table(seed, {0: [30, 70], 1: [50, 50]}, 100).table
    assert table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0]) == pytest.approx(36)


def test_some_levels_may_have_no_margin():
    table = rake_table(np.ones((2, 3, 2)), {1: [1, 2, 3]}, 6).table
    np.testing.assert_allclose(table.sum(axis=(0, 2)), [1, 2, 3])
    np.testing.assert_allclose(table.sum(axis=(1, 2)), [3, 3])


def test_a_contradiction_names_both_sides_and_by_how_much():
    possible = np.array([[True, True, False], [False, False, True], [False, True, True]])
    margins = {0: np.array([60.0, 10.0, 30.0]), 1: np.array([20.0, 30.0, 50.0])}
    found = find_contradiction(possible, margins)
    assert found is not None
    assert (found.axis, found.indices, found.wanted) == (0, (0,), 60.0)
    assert (found.other_axis, found.other_indices, found.available) == (1, (0, 1), 50.0)


def test_a_contradiction_in_the_other_direction_is_found_too():
    possible = np.array([[True, False], [True, True]])
    margins = {0: np.array([30.0, 20.0]), 1: np.array([20.0, 30.0])}
    found = find_contradiction(possible, margins)
    assert found is not None
    assert found.wanted - found.available == pytest.approx(10)


def test_a_value_that_cannot_occur_is_found_with_a_single_margin():
    possible = np.array([[False, False], [True, True]])
    found = find_contradiction(possible, {0: np.array([5.0, 5.0])})
    assert found is not None
    assert (found.indices, found.other_indices, found.available) == ((0,), (), 0.0)


def test_margins_that_leave_a_cell_nothing_converge_slowly_and_say_so():
    """The only table has a zero in the corner, which scaling reaches in the limit alone."""
    seed = np.array([[1.0, 1.0], [0.0, 1.0]])
    raked = rake_table(seed, {0: [10, 10], 1: [10, 10]}, 20, max_iterations=50)
    assert not raked.converged
    assert raked.n_iterations == 50
    assert max(np.abs(each).max() for each in raked.residuals.values()) < 1


@pytest.mark.parametrize(
    ("seed", "margins"),
    [
        (np.zeros((2, 2)), {}),
        (np.array([[1.0, -1.0]]), {}),
        (np.array([[1.0, np.inf]]), {}),
        (np.ones((2, 2)), {0: [1, 2, 3]}),
        (np.ones((2, 2)), {2: [1, 2]}),
        (np.ones((2, 2)), {0: [9, 2]}),
        (np.ones((2, 2)), {0: [12, -2]}),
    ],
)
def test_unusable_input_is_refused(seed, margins):
    with pytest.raises(ArrayError):
        rake_table(seed, margins, 10)

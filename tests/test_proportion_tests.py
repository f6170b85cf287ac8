from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel import proportion_tests
from tasksel.proportion_tests import (
    benjamini_hochberg,
    binomial_tail,
    binomial_test,
    chi_square_statistic,
    chi_square_tail,
    goodness_of_fit_test,
    holm,
    independence_test,
    multinomial_test,
)
from tasksel_core.errors import ArrayError

P_VALUES = st.lists(st.floats(0, 1), max_size=12)


def rng():
    return np.random.default_rng(0)


def naive_multinomial(counts, shares):
    """Go through every ordered sequence of draws."""
    total = sum(counts)

    def probability(outcome):
        ways = math.factorial(total)
        for count in outcome:
            ways //= math.factorial(count)
        return ways * math.prod(share**count for share, count in zip(shares, outcome, strict=True))

    seen = probability(counts)
    outcomes = [
        each for each in itertools.product(range(total + 1), repeat=len(counts)) if sum(each) == total
    ]
    return sum(p for p in map(probability, outcomes) if p <= seen * (1 + 1e-9))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=4).filter(any), st.integers(0, 1000))
def test_the_exact_test_goes_through_all_outcomes(counts, seed):
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(counts)) * 3)
    p_value, method = multinomial_test(counts, shares, rng())
    assert method == "exact"
    assert p_value == pytest.approx(min(1.0, naive_multinomial(counts, shares)), abs=1e-9)


def test_drawn_and_enumerated_agree(monkeypatch):
    counts, shares = [9, 3, 2, 6], [0.25, 0.25, 0.25, 0.25]
    exact, _ = multinomial_test(counts, shares, rng())
    monkeypatch.setattr(proportion_tests, "MAX_OUTCOMES", 0)
    drawn, method = multinomial_test(counts, shares, rng())
    assert method == "drawn"
    assert drawn == pytest.approx(exact, abs=0.015)


def test_chi_square_is_taken_where_expected_counts_are_large():
    assert goodness_of_fit_test([30, 70], [0.5, 0.5], rng()).method == "chi-square"
    assert goodness_of_fit_test([3, 7], [0.1, 0.9], rng()).method == "exact"
    assert goodness_of_fit_test([40] * 30, [1.0] * 29 + [0.01], rng()).method == "drawn"


def test_the_level_is_kept_under_the_null():
    generator = np.random.default_rng(3)
    for n_rows, shares in ((12, [0.5, 0.3, 0.2]), (200, [0.4, 0.4, 0.2])):
        draws = generator.multinomial(n_rows, shares, 600)
        rejected = np.mean([goodness_of_fit_test(each, shares, generator).p_value <= 0.05 for each in draws])
        assert rejected <= 0.075


def test_degenerate_tables_say_nothing_and_impossible_values_all():
    assert goodness_of_fit_test([0, 0], [1, 1], rng())[:2] == (1.0, "none")
    assert goodness_of_fit_test([7], [1], rng())[:2] == (1.0, "none")
    assert goodness_of_fit_test([7, 0], [1, 0], rng())[:2] == (1.0, "none")
    assert goodness_of_fit_test([7, 1], [1, 0], rng()).p_value == 0.0
    assert chi_square_statistic([7, 1], [1, 0]) == math.inf
    assert independence_test([[3, 4]], rng())[:2] == (1.0, "none")
    assert independence_test(np.zeros((3, 3), int), rng())[:2] == (1.0, "none")


@pytest.mark.parametrize("shares", [[1], [1, -1], [0, 0], [1, math.nan], [[1, 2]]])
def test_broken_shares_are_refused(shares):
    with pytest.raises(ArrayError):
        goodness_of_fit_test([1, 2], shares, rng())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: binomial_tail(0, 10, 1.5, upper=True), r"10 trials at a share of 1\.5; a share from 0 to 1"),
        (lambda: binomial_tail(0, -1, 0.5, upper=True), r"-1 trials at a share of 0\.5"),
        (lambda: independence_test([1, 2], rng()), r"shape \(2,\); two dimensions without negatives"),
        (lambda: independence_test([[1, -2]], rng()), r"shape \(1, 2\); two dimensions without negatives"),
        (lambda: chi_square_tail(1.0, 0), r"χ² of 1\.0 with 0 degrees of freedom; both must be positive"),
        (lambda: chi_square_tail(math.nan, 1), "χ² of nan with 1 degrees of freedom"),
    ],
)
def test_what_no_test_can_take_is_named(call, sentence):
    with pytest.raises(ArrayError, match=sentence):
        call()


def test_what_cannot_be_has_no_chance():
    assert chi_square_tail(math.inf, 3) == 0.0


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0, 1))
def test_the_tails_of_the_binomial_add_up(successes, extra, share):
    trials = successes + extra
    lower = binomial_tail(successes, trials, share, upper=False)
    upper = binomial_tail(successes + 1, trials, share, upper=True)
    assert lower + upper == pytest.approx(1.0, abs=1e-9)


def test_tests_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    for statistic, degrees in itertools.product((1e-9, 0.1, 1, 5, 40, 400, 5000), (1, 2, 7, 60, 999)):
        expected = stats.chi2.sf(statistic, degrees)
        assert chi_square_tail(statistic, degrees) == pytest.approx(expected, rel=1e-8, abs=1e-14)
    for successes, trials, share in ((0, 10, 0.2), (7, 9, 0.5), (30, 1000, 0.05)):
        assert binomial_test(successes, trials, share) == pytest.approx(
            stats.binomtest(successes, trials, share).pvalue, rel=1e-6
        )
    for table in ([[3, 1], [1, 3]], [[10, 2], [3, 15]], [[0, 5], [5, 0]], [[1, 9], [11, 3]]):
        assert independence_test(table, rng()).p_value == pytest.approx(
            stats.fisher_exact(table)[1], rel=1e-6
        )
    table = [[20, 30, 25], [40, 10, 25]]
    assert independence_test(table, rng()).p_value == pytest.approx(
        stats.chi2_contingency(table, correction=False)[1], rel=1e-8
    )


def test_permutations_agree_with_enumeration():
    table = np.array([[4, 1, 0], [0, 2, 4], [1, 1, 2]])
    result = independence_test(table, rng(), n_draws=4000)
    assert result.method == "drawn"
    # scipy's fisher_exact gives 0.11 to 0.12 by its own statistic; χ² orders the tables a little otherwise.
    assert 0.03 < result.p_value < 0.2


@given(P_VALUES)
def test_corrections_are_monotone_and_never_smaller(p_values):
    for corrected in (holm(p_values), benjamini_hochberg(p_values)):
        assert (corrected >= np.array(p_values)).all()
        assert (corrected <= 1).all()
        order = np.argsort(p_values, kind="stable")
        assert (np.diff(corrected[order]) >= 0).all()
    assert (benjamini_hochberg(p_values) <= holm(p_values) + 1e-12).all()


@given(P_VALUES.filter(bool))
def test_holm_rejects_what_its_procedure_rejects(p_values):
    rejected, n_tests = set(), len(p_values)
    for rank, place in enumerate(sorted(range(n_tests), key=lambda each: p_values[each])):
        if p_values[place] > 0.05 / (n_tests - rank):
            break
        rejected.add(place)
    corrected = holm(p_values)
    border = {place for place in range(n_tests) if abs(corrected[place] - 0.05) < 1e-9}
    assert set(np.flatnonzero(corrected <= 0.05).tolist()) - border == rejected - border


def test_broken_p_values_are_refused():
    for broken in ([1.2], [math.nan], [-0.1], [[0.1]]):
        with pytest.raises(ArrayError):
            holm(broken)

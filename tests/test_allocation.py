from __future__ import annotations

import heapq
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasksel_core import allocate
from tasksel_core.errors import ArrayError, BudgetError, ConfigError

INT64_MAX = np.iinfo(np.int64).max


def raised(weights):
    """Multiply by a power of two, which changes no order, where dividing a small weight would cost bits."""
    positive = [float(weight) for weight in weights if weight > 0]
    if not positive or min(positive) >= 1.2e-271:
        return weights
    n_doublings = max(901 - math.frexp(max(positive))[1], 0)
    return [math.ldexp(float(weight), n_doublings) for weight in weights]


def naive_allocate(weights, available, budget, *, base=5, labelled=None, log_weights=False):
    """Deal one row at a time, as the definition says."""
    n_tasks = len(weights)
    weights = weights if log_weights else raised(weights)
    held = [0] * n_tasks if labelled is None else [int(count) for count in labelled]
    need = [min(max(base - held[t], 0), int(available[t])) for t in range(n_tasks)]
    quotas = [0] * n_tasks

    def key(task):
        n, weight = held[task] + quotas[task], float(weights[task])
        if quotas[task] < need[task]:
            return (0, n, task)
        if weight > -math.inf if log_weights else weight > 0:
            priority = weight - math.log(2 * n + 1) if log_weights else weight / (2 * n + 1)
            return (1, -priority, task)
        return (2, n, task)

    queue = [key(task) for task in range(n_tasks) if available[task] > 0]
    heapq.heapify(queue)
    for _ in range(budget):
        if not queue:
            break
        task = heapq.heappop(queue)[2]
        quotas[task] += 1
        if quotas[task] < available[task]:
            heapq.heappush(queue, key(task))
    return np.array(quotas, dtype=np.int64)


def naive_largest_remainder(weights, available, budget, base):
    """Exact shares with fractions: fix tasks at a limit until none is beyond its own."""
    n_tasks = len(weights)
    need = [min(base, int(count)) for count in available]
    rest = min(budget, int(sum(available)))
    if rest <= sum(need):
        return naive_allocate(weights, available, budget, base=base)
    weights = [Fraction(float(weight)) for weight in weights]

    def share(task, mu):
        return min(max(weights[task] * mu, Fraction(need[task])), Fraction(int(available[task])))

    breakpoints = sorted(
        {Fraction(int(x)) / w for t, w in enumerate(weights) for x in (need[t], available[t])}
    )
    low = max(
        (mu for mu in breakpoints if sum(share(t, mu) for t in range(n_tasks)) <= rest), default=Fraction(0)
    )
    active = [t for t in range(n_tasks) if need[t] <= weights[t] * low < available[t]]
    slope = sum((weights[t] for t in active), Fraction(0))
    missing = rest - sum(share(t, low) for t in range(n_tasks))
    shares = [share(t, low + missing / slope if slope else low) for t in range(n_tasks)]
    quotas = [math.floor(value) for value in shares]
    order = sorted(range(n_tasks), key=lambda t: (quotas[t] - shares[t], t))
    for task in [t for t in order if quotas[t] < available[t]][: rest - sum(quotas)]:
        quotas[task] += 1
    return np.array(quotas)


def naive_paper(weights, available, budget, base):
    quotas = naive_allocate(weights, available, min(budget, int(sum(np.minimum(available, base)))), base=base)
    rest = min(budget, int(sum(available))) - int(quotas.sum())
    shares = np.floor(rest * (weights / weights.sum())).astype(int)
    quotas = np.minimum(quotas + shares, available)
    while quotas.sum() < min(budget, int(sum(available))):
        for task in range(len(weights)):
            if quotas[task] < available[task] and quotas.sum() < budget:
                quotas[task] += 1
    return quotas


@st.composite
def contests(draw, *, max_tasks=12, max_available=30, weights=None):
    n_tasks = draw(st.integers(1, max_tasks))
    if weights is None:
        weights = st.one_of(
            st.sampled_from([0.0, 1.0, 2.0, 3.0, 0.5]),
            st.floats(0.0, 1e308),
            st.floats(1e-320, 1e-300),
        )
    column = lambda values: np.array(draw(st.lists(values, min_size=n_tasks, max_size=n_tasks)))  # noqa: E731
    counts = st.integers(0, max_available)
    labelled = draw(st.none() | st.just(0))
    return {
        "weights": column(weights).astype(float),
        "available": column(counts).astype(np.int64),
        "base": draw(st.integers(0, 8)),
        "labelled": None if labelled is None else column(counts).astype(np.int64),
    }


LOG_WEIGHTS = st.one_of(
    st.sampled_from([0.0, -0.0, -1.0, -1500.0, -math.inf]), st.floats(-2000.0, 0.0), st.floats(-1e300, 1e300)
)


class TestWebster:
    @given(contests(), st.integers(0, 400))
    def test_equals_dealing_row_by_row(self, contest, budget):
        np.testing.assert_array_equal(
            allocate(**contest, budget=budget), naive_allocate(**contest, budget=budget)
        )

    @given(contests(weights=LOG_WEIGHTS), st.integers(0, 400))
    def test_log_weights_equal_dealing_row_by_row(self, contest, budget):
        np.testing.assert_array_equal(
            allocate(**contest, budget=budget, log_weights=True),
            naive_allocate(**contest, budget=budget, log_weights=True),
        )

    @pytest.mark.parametrize("kind", ["equal", "few values", "integers", "spread", "one heavy", "subnormal"])
    @pytest.mark.parametrize("log_weights", [False, True])
    def test_equals_dealing_row_by_row_on_many_tasks(self, kind, log_weights):
        rng = np.random.default_rng(0)
        weights = {
            "equal": np.full(700, 0.1),
            "few values": rng.choice([0.1, 0.2, 0.3], 700),
            "integers": rng.integers(0, 50, 700).astype(float),
            "spread": np.exp(rng.normal(0, 6, 700)),
            "one heavy": np.where(np.arange(700) == 350, 1e6, rng.random(700)),
            "subnormal": rng.integers(0, 50, 700) * 5e-324,
        }[kind]
        if log_weights:
            with np.errstate(divide="ignore"):
                weights = np.log(weights)
        available = rng.integers(0, 60, 700)
        available[350] = 9000
        total = int(available.sum())
        labelled = rng.integers(0, 9, 700)
        for budget in [0, 1, 699, 700, 3000, 3500, 3501, 5000, total // 2, total - 1, total, total + 1]:
            for done in (None, labelled):
                np.testing.assert_array_equal(
                    allocate(weights, available, budget, labelled=done, log_weights=log_weights),
                    naive_allocate(weights, available, budget, labelled=done, log_weights=log_weights),
                )

    @given(contests(), st.integers(0, 400))
    def test_bounds_and_exact_sum(self, contest, budget):
        quotas = allocate(**contest, budget=budget)
        available = contest["available"]
        labelled = np.zeros_like(available) if contest["labelled"] is None else contest["labelled"]
        need = np.minimum(np.maximum(contest["base"] - labelled, 0), available)
        assert (quotas <= available).all()
        assert quotas.sum() == min(budget, available.sum())
        if budget >= need.sum():
            assert (quotas >= need).all()

    @given(contests(), st.integers(0, 300), st.integers(0, 100))
    def test_a_larger_budget_takes_no_row_from_any_task(self, contest, budget, more):
        assert (allocate(**contest, budget=budget) <= allocate(**contest, budget=budget + more)).all()

    @given(contests(), st.integers(0, 200), st.integers(0, 200))
    def test_two_rounds_are_one(self, contest, budget, more):
        first = allocate(**contest, budget=budget)
        labelled = first if contest["labelled"] is None else contest["labelled"] + first
        rest = {**contest, "available": contest["available"] - first, "labelled": labelled}
        spent = int(first.sum())
        np.testing.assert_array_equal(
            first + allocate(**rest, budget=more), allocate(**contest, budget=spent + more)
        )

    @given(st.data())
    def test_permuted_tasks_permute_the_quotas_when_nothing_ties(self, data):
        n_tasks = data.draw(st.integers(1, 12))
        primes = np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37])[:n_tasks]
        weights = np.sqrt(primes.astype(float))
        available = np.array(data.draw(st.lists(st.integers(0, 40), min_size=n_tasks, max_size=n_tasks)))
        order = np.array(data.draw(st.permutations(range(n_tasks))))
        budget = data.draw(st.integers(0, 300))
        assume(budget >= np.minimum(available, 5).sum())
        quotas = allocate(weights, available, budget)
        np.testing.assert_array_equal(allocate(weights[order], available[order], budget), quotas[order])

    def test_the_scale_of_weights_does_not_matter(self):
        rng = np.random.default_rng(1)
        weights, available = rng.random(200), rng.integers(0, 500, 200)
        quotas = allocate(weights, available, 10_000)
        for power in (-900, 60, 900):
            np.testing.assert_array_equal(allocate(weights * 2.0**power, available, 10_000), quotas)

    def test_known_apportionment(self):
        # Balinski and Young's example of Webster's method: 26 seats.
        votes = np.array([9061.0, 7179, 5259, 3319, 1182])
        quotas = allocate(votes, np.full(5, 26), 26, base=0)
        np.testing.assert_array_equal(quotas, [9, 8, 5, 3, 1])

    def test_ties_go_to_the_lower_task(self):
        np.testing.assert_array_equal(allocate(np.ones(4), np.full(4, 9), 6, base=0), [2, 2, 1, 1])
        np.testing.assert_array_equal(allocate(np.ones(4), np.full(4, 9), 6, base=5), [2, 2, 1, 1])

    def test_weight_zero_comes_last_and_evenly(self):
        weights, available = np.array([0.0, 1.0, 0.0, 1.0]), np.array([9, 3, 9, 3])
        np.testing.assert_array_equal(allocate(weights, available, 6, base=0), [0, 3, 0, 3])
        np.testing.assert_array_equal(allocate(weights, available, 11, base=0), [3, 3, 2, 3])
        np.testing.assert_array_equal(allocate(np.zeros(3), np.full(3, 9), 7, base=0), [3, 2, 2])


class TestSize:
    @pytest.mark.parametrize("log_weights", [False, True])
    @pytest.mark.parametrize("equal", [False, True])
    def test_a_million_tasks_and_billions_of_rows(self, log_weights, equal):
        rng = np.random.default_rng(0)
        weights = np.full(1_000_000, 0.3) if equal else np.exp(rng.normal(0, 3, 1_000_000))
        available = rng.integers(0, 1_000_000, 1_000_000)
        scaled = np.log(weights) if log_weights else weights
        quotas = allocate(scaled, available, 5_000_000_000, log_weights=log_weights)
        assert quotas.sum() == 5_000_000_000
        assert (quotas <= available).all()
        self.assert_no_exchange_improves(weights, available, quotas, base=5, tolerance=1e-9 * log_weights)

    @staticmethod
    def assert_no_exchange_improves(weights, available, quotas, *, base, tolerance):
        given = quotas > np.minimum(base, available)
        least_given = (weights[given] / (2.0 * quotas[given] - 1)).min()
        still_open = quotas < available
        most_open = (weights[still_open] / (2.0 * quotas[still_open] + 1)).max()
        assert least_given >= most_open * (1 - tolerance)

    @pytest.mark.parametrize("rounding", ["webster", "largest-remainder", "paper"])
    @pytest.mark.parametrize("log_weights", [False, True])
    def test_the_ends_of_int64(self, rounding, log_weights):
        weights = np.array([1.0, 3.0, 1e-3, 2.0])
        available = np.array([INT64_MAX, INT64_MAX, 7, INT64_MAX])
        labelled = np.array([INT64_MAX, 0, 5, INT64_MAX])
        for budget in (INT64_MAX, INT64_MAX - 1, 2**62, 10**30):
            for done in (None, labelled):
                scaled = np.log(weights) if log_weights else weights
                quotas = allocate(
                    scaled, available, budget, labelled=done, rounding=rounding, log_weights=log_weights
                )
                assert sum(quotas.tolist()) == min(budget, INT64_MAX)
                assert (quotas >= 0).all()
                assert (quotas <= available).all()
        whole = allocate(np.array([1.0, 0.0]), np.array([5, INT64_MAX]), 10**30, base=10**30)
        assert sum(whole.tolist()) == INT64_MAX

    @pytest.mark.parametrize("rounding", ["webster", "largest-remainder", "paper"])
    def test_small_cases(self, rounding):
        no_tasks = np.array([], dtype=np.int64)
        assert allocate(no_tasks.astype(float), no_tasks, 10, rounding=rounding).shape == (0,)
        np.testing.assert_array_equal(allocate(np.ones(1), np.array([7]), 3, rounding=rounding), [3])
        np.testing.assert_array_equal(allocate(np.ones(2), np.array([7, 0]), 0, rounding=rounding), [0, 0])
        np.testing.assert_array_equal(
            allocate(np.ones(3), np.array([7, 0, 2]), 99, rounding=rounding), [7, 0, 2]
        )
        quotas = allocate(np.ones(4), np.array([9, 1, 9, 9]), 6, rounding=rounding)
        np.testing.assert_array_equal(quotas, [2, 1, 2, 1])


class TestOtherRoundings:
    positive = st.sampled_from([1.0, 2.0, 3.0, 0.5, 0.25, 7.0, 100.0])

    @given(contests(weights=positive), st.integers(0, 400))
    def test_largest_remainder_equals_exact_fractions(self, contest, budget):
        contest = {**contest, "labelled": None}
        quotas = allocate(**contest, budget=budget, rounding="largest-remainder")
        shares = {**contest, "budget": budget}
        shares.pop("labelled")
        expected = naive_largest_remainder(**shares)
        assert quotas.sum() == expected.sum()
        assert np.abs(quotas - expected).max() <= 1

    def test_largest_remainder_by_hand(self):
        votes = np.array([47_000.0, 16_000, 15_800, 12_000, 6_100, 3_100])
        quotas = allocate(votes, np.full(6, 10), 10, base=0, rounding="largest-remainder")
        np.testing.assert_array_equal(quotas, [5, 2, 1, 1, 1, 0])

    @given(contests(weights=positive), st.integers(0, 400))
    def test_paper_equals_its_description(self, contest, budget):
        contest = {**contest, "labelled": None}
        quotas = allocate(**contest, budget=budget, rounding="paper")
        del contest["labelled"]
        np.testing.assert_array_equal(quotas, naive_paper(**contest, budget=budget))

    @given(contests(), st.integers(0, 400), st.sampled_from(["largest-remainder", "paper"]))
    def test_bounds_and_exact_sum(self, contest, budget, rounding):
        quotas = allocate(**contest, budget=budget, rounding=rounding)
        assert (quotas >= 0).all()
        assert (quotas <= contest["available"]).all()
        assert quotas.sum() == min(budget, contest["available"].sum())

    def test_labelled_rows_count_towards_the_share(self):
        labelled = np.array([60, 0])
        quotas = allocate(np.ones(2), np.full(2, 500), 100, labelled=labelled, rounding="largest-remainder")
        np.testing.assert_array_equal(quotas, [20, 80])


class TestRefusals:
    weights, available = np.ones(2), np.array([3, 4])

    @pytest.mark.parametrize(
        ("weights", "sentence"),
        [
            ([1.0, -1.0], "weights: -1 at task 1; allowed: finite weights of at least 0"),
            ([np.nan, 1.0], "weights: NaN at task 0"),
            ([1.0, np.inf], "weights: inf at task 1"),
        ],
    )
    def test_weights(self, weights, sentence):
        with pytest.raises(ArrayError, match=sentence):
            allocate(np.array(weights), self.available, 3)

    def test_log_weights(self):
        assert allocate(np.array([-1.0, -np.inf]), self.available, 2, base=0, log_weights=True)[0] == 2
        with pytest.raises(ArrayError, match="weights: inf at task 0; allowed: finite logs"):
            allocate(np.array([np.inf, 0.0]), self.available, 3, log_weights=True)

    def test_counts(self):
        with pytest.raises(ArrayError, match="available: 1 counts for 2 weights"):
            allocate(self.weights, np.array([3]), 3)
        with pytest.raises(ArrayError, match="available: -4 at task 1"):
            allocate(self.weights, np.array([3, -4]), 3)
        with pytest.raises(ArrayError, match="labelled: -1 at task 0"):
            allocate(self.weights, self.available, 3, labelled=np.array([-1, 0]))
        with pytest.raises(ArrayError, match="labelled: 3 counts for 2 weights"):
            allocate(self.weights, self.available, 3, labelled=np.zeros(3, dtype=np.int64))
        with pytest.raises(ArrayError, match="available: an array of dtype float64; allowed: an integer"):
            allocate(self.weights, self.available.astype(float), 3)

    @pytest.mark.parametrize("budget", [-1, 2.5, "3", None, -(10**30), np.nan])
    def test_budget_and_base(self, budget):
        with pytest.raises(BudgetError, match=r"budget: .*; allowed: an integer of at least 0"):
            allocate(self.weights, self.available, budget)
        if budget is not None:
            with pytest.raises(BudgetError, match="base: "):
                allocate(self.weights, self.available, 3, base=budget)

    def test_rounding(self):
        with pytest.raises(
            ConfigError, match="rounding: 'floor'; allowed: 'webster', 'largest-remainder', 'paper'"
        ):
            allocate(self.weights, self.available, 3, rounding="floor")

    def test_numpy_integers_and_narrow_dtypes_are_fine(self):
        quotas = allocate(np.array([1, 1]), np.array([3, 4], dtype=np.uint16), np.int32(3), base=np.int8(0))
        np.testing.assert_array_equal(quotas, [2, 1])

    def test_strided_inputs(self):
        weights, available = np.array([3.0, 9, 1, 9, 2, 9])[::2], np.array([5, 0, 6, 0, 7, 0])[::2]
        quotas = allocate(weights[::-1], available[::-1], 10)
        np.testing.assert_array_equal(quotas, naive_allocate(weights[::-1], available[::-1], 10))

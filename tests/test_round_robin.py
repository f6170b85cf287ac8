from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel_core import allocate, round_robin, weighted_round_robin
from tasksel_core.errors import ArrayError, BudgetError, ConfigError

MASK = 2**64 - 1
GOLDEN_ORDER = [8, 11, 4, 5, 0, 3, 2, 9, 6, 10]


def mix(bits):
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
    return bits ^ (bits >> 31)


def naive_random_order(rows, seed, task):
    """SplitMix64, Lemire's bounded integers, forward Fisher-Yates, from their descriptions."""
    gamma = 0x9E3779B97F4A7C15
    state = mix((mix((seed + gamma) & MASK)) ^ mix(task))
    rows = list(rows)
    for place in range(len(rows)):
        bound = len(rows) - place
        while True:
            state = (state + gamma) & MASK
            product = mix(state) * bound
            if (product & MASK) >= 2**64 % bound:
                break
        other = place + (product >> 64)
        rows[place], rows[other] = rows[other], rows[place]
    return rows


def naive_task_orders(task, n_tasks, priority, seed):
    orders = []
    for number in range(n_tasks):
        rows = np.flatnonzero(task == number).tolist()
        if priority is None:
            orders.append(naive_random_order(rows, seed, number))
        else:
            orders.append(sorted(rows, key=lambda row: (-priority[row], row)))
    return orders


def naive_round_robin(task, quotas, *, priority=None, seed=0):
    orders = naive_task_orders(task, len(quotas), priority, seed)
    turns = range(max(quotas, default=0))
    return [orders[t][turn] for turn in turns for t in range(len(quotas)) if turn < quotas[t]]


@st.composite
def pools(draw, max_tasks=8, max_rows=60):
    n_tasks = draw(st.integers(1, max_tasks))
    n_rows = draw(st.integers(0, max_rows))
    task = np.array(
        draw(st.lists(st.integers(0, n_tasks - 1), min_size=n_rows, max_size=n_rows)), dtype=np.int64
    )
    values = st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e-320])
    priority = draw(st.none() | st.lists(values, min_size=n_rows, max_size=n_rows).map(np.array))
    priority = None if priority is None else priority.astype(float)
    return task, n_tasks, priority, draw(st.integers(0, 2**64 - 1))


class TestRoundRobin:
    @given(pools(), st.data())
    def test_equals_the_naive_turns(self, pool, data):
        task, n_tasks, priority, seed = pool
        sizes = np.bincount(task, minlength=n_tasks)
        quotas = np.array([data.draw(st.integers(0, int(size))) for size in sizes])
        rows = round_robin(task, quotas, priority=priority, seed=seed)
        assert rows.dtype == np.int64
        assert rows.tolist() == naive_round_robin(task, quotas, priority=priority, seed=seed)

    def test_a_larger_quota_only_extends_the_order_of_a_task(self):
        task = np.random.default_rng(0).integers(0, 5, 500)
        sizes = np.bincount(task)
        whole = round_robin(task, sizes, seed=3)
        part = round_robin(task, sizes // 3, seed=3)
        for number in range(5):
            order = whole[task[whole] == number]
            assert part[task[part] == number].tolist() == order[: sizes[number] // 3].tolist()

    def test_other_tasks_do_not_change_a_tasks_order(self):
        task = np.random.default_rng(0).integers(0, 5, 500)
        whole = round_robin(task, np.bincount(task), seed=3)
        rows = np.flatnonzero(task == 3)
        alone = round_robin(task[rows], np.array([0, 0, 0, len(rows)]), seed=3)
        assert rows[alone].tolist() == whole[task[whole] == 3].tolist()

    def test_the_seed_changes_the_order(self):
        task = np.zeros(50, dtype=np.int64)
        orders = {tuple(round_robin(task, np.array([50]), seed=seed).tolist()) for seed in range(20)}
        assert len(orders) == 20
        assert all(sorted(order) == list(range(50)) for order in orders)

    def test_every_row_is_as_likely_in_every_place(self):
        task = np.zeros(4, dtype=np.int64)
        firsts = np.array([round_robin(task, np.array([4]), seed=seed) for seed in range(8000)])
        for place in range(4):
            # Five standard deviations of a binomial(8000, 1/4).
            assert np.abs(np.bincount(firsts[:, place]) - 2000).max() < 194

    def test_the_order_is_part_of_the_file_format(self):
        # Selections are compared byte by byte across versions: these numbers must never change.
        rows = round_robin(np.array([0, 1] * 6), np.array([6, 4]), seed=42)
        assert rows.tolist() == GOLDEN_ORDER

    def test_empty_single_and_strided(self):
        empty = np.array([], dtype=np.int64)
        assert round_robin(empty, empty).shape == (0,)
        assert round_robin(empty, np.array([0, 0])).shape == (0,)
        assert round_robin(np.array([1]), np.array([0, 1])).tolist() == [0]
        task, quotas, priority = np.array([1, 9, 0, 9, 1, 9]), np.array([1, 9, 2, 9]), np.arange(6.0)
        rows = round_robin(task[::2], quotas[::2], priority=priority[::-2])
        assert rows.tolist() == [1, 0, 2]

    @pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32])
    def test_other_integers_are_converted(self, dtype):
        task = np.array([0, 1, 1, 0], dtype=dtype)
        expected = round_robin(task.astype(np.int64), np.array([2, 2]))
        np.testing.assert_array_equal(round_robin(task, np.array([2, 2], dtype=dtype)), expected)

    def test_what_is_refused(self):
        task, quotas = np.array([0, 1, 1]), np.array([1, 2])
        with pytest.raises(ArrayError, match="quotas: 3 for task 1, which has 2 rows"):
            round_robin(task, quotas + task[:2])
        with pytest.raises(ArrayError, match="quotas: -1 for task 0"):
            round_robin(task, quotas - 2 * task[1::-1])
        with pytest.raises(ArrayError, match="task: 1 at row 1, with 1 tasks"):
            round_robin(task, quotas[:1])
        with pytest.raises(ArrayError, match="task: -1 at row 0"):
            round_robin(task - 1, quotas)
        with pytest.raises(ArrayError, match="priority: NaN at row 2"):
            round_robin(task, quotas, priority=np.array([1.0, 1.0, np.nan]))
        with pytest.raises(ArrayError, match="priority: 2 numbers for 3 rows"):
            round_robin(task, quotas, priority=np.ones(2))
        with pytest.raises(ArrayError, match="task: an array of dtype float64"):
            round_robin(task.astype(float), quotas)
        for seed in (-1, 2**64, 0.5, "0"):
            with pytest.raises(ConfigError, match=r"seed: .*; allowed: an integer from 0 to 2\*\*64 - 1"):
                round_robin(task, quotas, seed=seed)


class TestWeightedRoundRobin:
    @given(pools(), st.data())
    def test_every_prefix_is_an_allocation(self, pool, data):
        task, n_tasks, priority, seed = pool
        log_weights = data.draw(st.booleans())
        value = st.sampled_from([0.0, 1.0, 2.0, 0.5]) | st.floats(0.0, 1e308)
        if log_weights:
            value = st.sampled_from([-np.inf, 0.0, -0.0, -1500.0]) | st.floats(-1e3, 1e3)
        weights = np.array([data.draw(value) for _ in range(n_tasks)])
        labelled = np.array([data.draw(st.integers(0, 9)) for _ in range(n_tasks)])
        options = {
            "base": data.draw(st.integers(0, 7)),
            "labelled": data.draw(st.none() | st.just(labelled)),
            "log_weights": log_weights,
        }
        ranking = weighted_round_robin(task, weights, priority=priority, seed=seed, **options)
        available = np.bincount(task, minlength=n_tasks)
        assert sorted(ranking.tolist()) == list(range(len(task)))
        for budget in range(len(task) + 1):
            quotas = np.bincount(task[ranking[:budget]], minlength=n_tasks)
            np.testing.assert_array_equal(quotas, allocate(weights, available, budget, **options))
            part = weighted_round_robin(task, weights, priority=priority, seed=seed, budget=budget, **options)
            assert part.tolist() == ranking[:budget].tolist()

    @given(pools())
    def test_rows_inside_a_task_come_in_its_order(self, pool):
        task, n_tasks, priority, seed = pool
        ranking = weighted_round_robin(task, np.arange(1.0, n_tasks + 1), priority=priority, seed=seed)
        for number, order in enumerate(naive_task_orders(task, n_tasks, priority, seed)):
            assert ranking[task[ranking] == number].tolist() == order

    def test_prefixes_of_a_large_ranking(self):
        rng = np.random.default_rng(0)
        task = rng.integers(0, 300, 20_000)
        weights = np.exp(rng.normal(0, 4, 300)) * (rng.random(300) > 0.1)
        ranking = weighted_round_robin(task, weights)
        available = np.bincount(task, minlength=300)
        for budget in rng.integers(0, 20_000, 200):
            quotas = np.bincount(task[ranking[:budget]], minlength=300)
            np.testing.assert_array_equal(quotas, allocate(weights, available, int(budget)))

    def test_equal_weights_are_the_plain_turns(self):
        task = np.random.default_rng(1).integers(0, 20, 300)
        ranking = weighted_round_robin(task, np.ones(20), seed=5)
        np.testing.assert_array_equal(ranking, round_robin(task, np.bincount(task, minlength=20), seed=5))

    def test_permuted_rows_keep_the_tasks_of_the_ranking(self):
        rng = np.random.default_rng(2)
        task, weights = rng.integers(0, 20, 300), rng.random(20)
        shuffled = rng.permutation(task)
        first = task[weighted_round_robin(task, weights)]
        np.testing.assert_array_equal(first, shuffled[weighted_round_robin(shuffled, weights)])

    def test_empty_and_over_budget(self):
        empty = np.array([], dtype=np.int64)
        assert weighted_round_robin(empty, np.array([])).shape == (0,)
        assert weighted_round_robin(empty, np.ones(3), budget=7).shape == (0,)
        assert weighted_round_robin(np.array([0, 0]), np.ones(1), budget=10**30).shape == (2,)
        assert weighted_round_robin(np.array([0, 0]), np.ones(1), budget=0).shape == (0,)

    def test_what_is_refused(self):
        task, weights = np.array([0, 1, 1]), np.ones(2)
        with pytest.raises(BudgetError, match="budget: -1"):
            weighted_round_robin(task, weights, budget=-1)
        with pytest.raises(BudgetError, match="base: -1"):
            weighted_round_robin(task, weights, base=-1)
        with pytest.raises(ArrayError, match="weights: -1 at task 0"):
            weighted_round_robin(task, -weights)
        with pytest.raises(ArrayError, match="task: 1 at row 1, with 1 tasks"):
            weighted_round_robin(task, weights[:1])
        with pytest.raises(ArrayError, match="labelled: 3 counts for 2 weights"):
            weighted_round_robin(task, weights, labelled=task)


def test_the_number_of_threads_changes_no_bit():
    script = """
import hashlib, numpy as np, tasksel_core as t
rng = np.random.default_rng(0)
task, lengths = rng.integers(0, 500, 100_000), rng.integers(0, 40, 100_000)
offsets = np.concatenate([[0], np.cumsum(lengths)])
tokens = -rng.exponential(1.0, offsets[-1]).astype(np.float32)
log_confidence = t.log_confidence(tokens, offsets)
task_log_confidence = t.task_log_confidence(log_confidence, task, 500)
weights = t.inverse_confidence_weights(task_log_confidence, log=True)
ranking = t.weighted_round_robin(task, weights, log_weights=True, seed=1)
by_priority = t.weighted_round_robin(task, weights, log_weights=True, priority=-np.nan_to_num(log_confidence))
digest = hashlib.sha256()
for array in (log_confidence, task_log_confidence, weights, ranking, by_priority):
    digest.update(array.tobytes())
print(digest.hexdigest())
"""
    digests = set()
    for n_threads in ("1", "2", "7"):
        environment = {**os.environ, "RAYON_NUM_THREADS": n_threads}
        command = [sys.executable, "-c", script]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.add(run.stdout)
    assert len(digests) == 1

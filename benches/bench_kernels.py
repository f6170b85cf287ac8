"""Kernels against the best alternative that numpy and Polars offer, in CPU time on one thread.

``python benches/bench_kernels.py`` prints the table of ratios, with ``--json`` one JSON object;
``make bench`` runs the same as benchmarks and ends with the table.

Results are compared first; then the two sides run in turns, so that a change in the machine's load
meets both, and the ratio of each pair of runs (alternative / tasksel) is collected. CPU time counts
all threads of the process; both sides are held to one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl
import pytest

import tasksel_core as core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass
class Contest:
    """One kernel, what it is compared with, and how their results are compared."""

    name: str
    alternative: str
    goal: float
    stretch: float
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    assert_equal: Callable[[Any, Any], None]


def confidence_contests(n_examples: int = 1_000_000, n_tokens: int = 100, n_tasks: int = 10_000):
    """Token logprobs to task confidence, from the same memory for all."""
    rng = np.random.default_rng(0)
    token_logprobs = -rng.exponential(0.3, n_examples * n_tokens).astype(np.float32)
    offsets = np.arange(0, n_examples * n_tokens + 1, n_tokens)
    task = rng.integers(0, n_tasks, n_examples)
    lists = pl.Series(token_logprobs).reshape((n_examples, n_tokens)).arr.to_list()
    frame = pl.DataFrame({"token_logprobs": lists, "task": task})

    def ours():
        log_confidence = core.log_confidence(token_logprobs, offsets)
        return core.task_log_confidence(log_confidence, task, n_tasks)

    def with_polars():
        log_confidence = pl.col("log_confidence")
        peak = log_confidence.max()
        sums = frame.lazy().select(
            "task", log_confidence=pl.col("token_logprobs").list.sum().cast(pl.Float64)
        )
        means = sums.group_by("task").agg(mean=(log_confidence - peak).exp().mean().log() + peak)
        by_task = means.collect()
        result = np.full(n_tasks, np.nan)
        result[by_task["task"].to_numpy()] = by_task["mean"].to_numpy()
        return result

    def with_reduceat():
        log_confidence = np.add.reduceat(token_logprobs, offsets[:-1], dtype=np.float64)
        peak = np.full(n_tasks, -np.inf)
        np.maximum.at(peak, task, log_confidence)
        sums = np.bincount(task, np.exp(log_confidence - peak[task]), n_tasks)
        return np.log(sums / np.bincount(task, minlength=n_tasks)) + peak

    def close(rtol):
        # Polars sums float32 lists in float32.
        return lambda left, right: np.testing.assert_allclose(left, right, rtol=rtol)

    name = f"{n_examples:,} examples x {n_tokens} tokens -> {n_tasks:,} task confidences"
    yield Contest(name, "polars list.sum, group_by", 1.2, 2.0, ours, with_polars, close(1e-4))
    yield Contest(name, "np.add.reduceat float64", 5.0, 8.0, ours, with_reduceat, close(1e-11))


def numpy_webster(weights, available, budget, base):
    """Divisor method with minimum requirements by water-filling.

    The rows given are a piecewise linear function of the water level, with a corner where a task
    rises above its base and where it fills up. Levels a little below and above the budget settle all
    but a few seats; those between go by priority. Exact as long as no two priorities are equal.
    """
    need = np.minimum(available, base)
    if budget >= available.sum():
        return available.copy()
    if budget <= need.sum():
        raise NotImplementedError("the contest is about weights")
    corners = np.concatenate([2 * need / weights, 2 * available / weights])
    slopes = np.concatenate([weights / 2, -weights / 2])
    steps = np.concatenate([-need, available])
    order = np.argsort(corners)
    corners = corners[order]
    rows = need.sum() + np.cumsum(slopes[order]) * corners + np.cumsum(steps[order])
    slack = np.sqrt(len(weights))
    while True:
        below, above = np.interp([budget - slack, budget + slack], rows, corners)
        quotas = np.clip(np.floor((weights * below + 1) / 2).astype(np.int64), need, available)
        between = np.clip(np.floor((weights * above + 1) / 2).astype(np.int64), need, available) - quotas
        missing = budget - int(quotas.sum())
        if 0 <= missing <= between.sum():
            break
        slack *= 2
    candidates = np.repeat(np.arange(len(weights)), between)
    place = np.arange(len(candidates)) - np.repeat(np.cumsum(between) - between, between)
    priority = weights[candidates] / (2 * (quotas[candidates] + place) + 1)
    best = candidates[np.argsort(-priority, kind="stable")[:missing]]
    return quotas + np.bincount(best, minlength=len(weights))


def allocation_contests(n_tasks: int = 10_000, budget: int = 500_000, base: int = 5):
    """Quotas of tasks of log-normal weight and size, half of what is available."""
    rng = np.random.default_rng(0)
    weights = np.exp(rng.normal(0.0, 2.0, n_tasks))
    available = np.minimum(np.exp(rng.normal(4.0, 1.0, n_tasks)), 10_000).astype(np.int64)
    budget = min(budget, int(available.sum()) // 2)
    yield Contest(
        f"allocate {budget:,} rows to {n_tasks:,} tasks",
        "numpy water-filling",
        4.0,
        10.0,
        lambda: core.allocate(weights, available, budget, base=base),
        lambda: numpy_webster(weights, available, budget, base),
        np.testing.assert_array_equal,
    )


def round_robin_contests(n_rows: int = 1_000_000, n_picked: int = 300_000, n_tasks: int = 2_000):
    """Rows picked turn by turn in random order inside each task, and by a priority a row."""
    rng = np.random.default_rng(0)
    task = rng.integers(0, n_tasks, n_rows)
    sizes = np.bincount(task, minlength=n_tasks)
    quotas = core.allocate(rng.random(n_tasks), sizes, n_picked)
    priority = rng.random(n_rows)

    def picked(order):
        """Rank rows inside their task, then sort only those picked by turn and task."""
        by_task = task[order]
        starts = np.cumsum(sizes) - sizes
        turn = np.arange(n_rows) - starts[by_task]
        is_picked = turn < quotas[by_task]
        rows, turn, by_task = order[is_picked], turn[is_picked], by_task[is_picked]
        return rows[np.lexsort((by_task, turn))]

    def same_turns(left, right):
        np.testing.assert_array_equal(task[left], task[right])

    name = f"round robin: {n_picked:,} of {n_rows:,} rows in {n_tasks:,} tasks"
    yield Contest(
        f"{name}, random",
        "np.lexsort",
        15.0,
        30.0,
        lambda: core.round_robin(task, quotas, seed=0),
        lambda: picked(np.lexsort((np.random.default_rng(0).random(n_rows), task))),
        same_turns,
    )
    yield Contest(
        f"{name}, by priority",
        "np.lexsort",
        1.0,
        1.0,
        lambda: core.round_robin(task, quotas, priority=priority),
        lambda: picked(np.lexsort((-priority, task))),
        np.testing.assert_array_equal,
    )


FACTORIES = [
    (confidence_contests, 0),
    (confidence_contests, 1),
    (allocation_contests, 0),
    (round_robin_contests, 0),
    (round_robin_contests, 1),
]


def contest_of(factory: Callable[[], Iterable[Contest]], number: int) -> Contest:
    """Make one contest, so that only its data is in memory."""
    return next(itertools.islice(factory(), number, None))


def cpu_ms(function: Callable[[], Any], n_calls: int) -> float:
    """CPU milliseconds of one call."""
    start = time.process_time()
    for _ in range(n_calls):
        function()
    return (time.process_time() - start) * 1e3 / n_calls


def measure(contest: Contest, n_pairs: int) -> dict[str, Any]:
    """Compare the results, then run both sides in turns."""
    contest.assert_equal(contest.ours(), contest.theirs())
    # Short kernels are repeated until a run takes at least 20 ms, far above the clock's resolution.
    n_calls = max(1, round(20.0 / max(cpu_ms(contest.ours, 1), 0.01)))
    pairs = [
        (cpu_ms(contest.ours, n_calls), cpu_ms(contest.theirs, max(1, n_calls // 4))) for _ in range(n_pairs)
    ]
    ratios = sorted(theirs / ours for ours, theirs in pairs)
    return {
        "kernel": contest.name,
        "alternative": contest.alternative,
        "ours_cpu_ms": statistics.median(ours for ours, _ in pairs),
        "alternative_cpu_ms": statistics.median(theirs for _, theirs in pairs),
        "ratio_min": ratios[0],
        "ratio_median": statistics.median(ratios),
        "ratio_max": ratios[-1],
        "goal": contest.goal,
        "stretch": contest.stretch,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    head = [
        "| kernel | against | CPU ms | alternative ms | ratio min | median | max | goal (stretch) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    line = (
        "| {kernel} | {alternative} | {ours_cpu_ms:.2f} | {alternative_cpu_ms:.1f} | {ratio_min:.1f} "
        "| {ratio_median:.1f} | {ratio_max:.1f} | {goal:g} ({stretch:g}) |"
    )
    return "\n".join(head + [line.format(**row) for row in rows])


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize(("factory", "number"), FACTORIES)
def bench_kernel(factory, number, benchmark, ratio_rows):
    contest = contest_of(factory, number)
    row = measure(contest, n_pairs=7)
    ratio_rows.append(row)
    benchmark.extra_info.update(row)
    benchmark.pedantic(contest.ours, rounds=5, warmup_rounds=1)


def main() -> None:
    """Print the table or a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--pairs", type=int, default=9, help="pairs of runs a contest")
    options = parser.parse_args()
    rows = [measure(contest_of(factory, number), options.pairs) for factory, number in FACTORIES]
    if options.json:
        rerun = "python benches/bench_kernels.py --json"
        print(json.dumps({"rerun": rerun, "pairs": options.pairs, "threads": 1, "ratios": rows}, indent=2))
    else:
        print(table(rows))


if __name__ == "__main__":
    main()

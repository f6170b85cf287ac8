"""The most that any allocation can win: gain curves from randomised doses, and the best quotas for them.

Every run gives every task a dose of labels of its own, drawn at random, so that a task's curve is measured
apart from how many labels there are in all. What the quotas that are best for these curves win on other
pools is a ceiling that no rule can know beforehand; where they win nothing, a world decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tasksel_core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["best_quotas", "draw_doses", "fit_gain_curve", "fit_gain_curves"]


def draw_doses(n_tasks: int, doses: Sequence[int], runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the labels of each task in each run: every task meets every dose equally often.

    Returns
    -------
    ndarray of int64, shape (runs, n_tasks)

    Examples
    --------
    >>> drawn = draw_doses(2, (0, 5), 4, np.random.default_rng(0))
    >>> sorted(drawn[:, 0].tolist())
    [0, 0, 5, 5]
    """
    repeated = np.resize(np.asarray(doses, dtype=np.int64), runs)
    return np.stack([rng.permutation(repeated) for _ in range(n_tasks)], axis=1)


def fit_gain_curves(
    doses: NDArray[np.int64], figures: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Estimate the figure of each task after each dose, at the mean number of labels of all runs.

    Parameters
    ----------
    doses : ndarray of int64, shape (runs, n_tasks)
        Labels of each task in each run.
    figures : ndarray of float64, shape (runs, n_tasks)
        Figure of each task in each run, higher is better.

    Returns
    -------
    levels : ndarray of int64, shape (n_levels,)
        The different doses, rising.
    curves : ndarray of float64, shape (n_tasks, n_levels)
        Rising with the dose: what falls is taken for noise (isotonic regression).
    """
    levels = np.unique(doses)
    totals = doses.sum(axis=1) - doses.sum(axis=1).mean()
    cells = np.searchsorted(levels, doses)
    n_tasks = doses.shape[1]
    means = np.zeros((n_tasks, len(levels)))
    counts = np.zeros((n_tasks, len(levels)))
    # Figures and totals, both without their mean over the runs that gave the task the same dose.
    left, moved = figures.astype(np.float64).copy(), np.repeat(totals[:, None], n_tasks, axis=1)
    total_means = np.zeros_like(means)
    for task in range(n_tasks):
        for level in range(len(levels)):
            runs = cells[:, task] == level
            counts[task, level] = runs.sum()
            if not counts[task, level]:
                continue
            means[task, level] = figures[runs, task].mean()
            total_means[task, level] = totals[runs].mean()
            left[runs, task] -= means[task, level]
            moved[runs, task] -= total_means[task, level]
    spread = float((moved**2).sum())
    slope = float((left * moved).sum()) / spread if spread else 0.0
    adjusted = means - slope * total_means
    curves = np.stack([_isotonic(adjusted[task], counts[task]) for task in range(n_tasks)])
    return levels, curves


def _isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest rising sequence (pool adjacent violators); a level without weight is filled in."""
    known = np.flatnonzero(weights > 0)
    blocks: list[list[float]] = []  # mean, weight, length
    for place in known:
        blocks.append([values[place], weights[place], 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight, length = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + mean * weight) / (before[1] + weight)
            before[1] += weight
            before[2] += length
    fitted = np.concatenate([np.full(int(length), mean) for mean, _, length in blocks])
    filled: NDArray[np.float64] = np.interp(np.arange(len(values)), known, fitted)
    return filled


def fit_gain_curve(levels: NDArray[np.int64], curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the figure after 0, 1, 2, … labels up to the largest dose, linear between doses.

    Examples
    --------
    >>> fit_gain_curve(np.array([0, 2]), np.array([0.0, 1.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.interp(np.arange(int(levels[-1]) + 1), levels, curve)


def best_quotas(
    gains: Sequence[NDArray[np.float64]], available: NDArray[np.int64], budget: int
) -> NDArray[np.int64]:
    """Return the quotas whose gains have the largest sum, exactly.

    Parameters
    ----------
    gains : sequence of ndarray of float64
        For each task its figure after 0, 1, 2, … labels; more labels than that change nothing.
    available : ndarray of int64, shape (n_tasks,)
        Prompts of each task.
    budget : int
        Labels in all; what no task gains from is shared evenly.

    Returns
    -------
    ndarray of int64, shape (n_tasks,)
        Sums to ``min(budget, available.sum())``.

    Examples
    --------
    >>> best_quotas([np.array([0.0, 0.0, 3.0]), np.array([0.0, 1.0, 1.5])], np.array([9, 9]), 2)
    array([2, 0])
    """
    best = np.zeros(budget + 1)
    choices = []
    for curve, limit in zip(gains, available, strict=True):
        most = min(len(curve) - 1, int(limit), budget)
        totals = np.full((most + 1, budget + 1), -np.inf)
        for quota in range(most + 1):
            totals[quota, quota:] = best[: budget + 1 - quota] + curve[quota]
        # The first of equal totals: no label that gains nothing.
        choice = totals.argmax(axis=0)
        best = totals.max(axis=0)
        choices.append(choice)
    quotas = np.zeros(len(choices), dtype=np.int64)
    left = budget
    for task in range(len(choices) - 1, -1, -1):
        quotas[task] = choices[task][left]
        left -= int(quotas[task])
    rest = tasksel_core.allocate(
        np.ones(len(quotas)),
        np.asarray(available) - quotas,
        budget - int(quotas.sum()),
        base=0,
        labelled=quotas,
    )
    return quotas + rest

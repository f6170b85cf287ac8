"""Print what every kernel gives on fixed inputs, so that two processors can be compared by `diff`.

Usage: ``python scripts/processor_picks.py``, on each; needs numpy and the wheel alone.

Picks and counts are printed as they are, floating-point results as their bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tasksel_core import (
    allocate,
    ball_counts,
    covering_radii,
    facility_location,
    graph_cut,
    inverse_confidence_weights,
    k_center_greedy,
    k_means,
    log_confidence,
    nearest_neighbours,
    round_robin,
    task_log_confidence,
    weighted_round_robin,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPES = ((1, 4), (50, 3), (200, 16), (120, 33), (150, 384))
"""Rows and dimensions, the latter with and without a rest after the widest registers."""


def _points(rows: int, dimensions: int, dtype: Any) -> np.ndarray:
    rng = np.random.default_rng([rows, dimensions])
    # Whole eighths: sums of squares are exact in float32, whatever the order of a processor's additions.
    exact = rng.integers(-8, 9, (rows, dimensions)) / 8
    exact[rows // 2 :: 7] = exact[0]  # repeats, so that ties decide
    return exact.astype(dtype)


def _of_vectors() -> Iterator[tuple[str, Any]]:
    for rows, dimensions in SHAPES:
        budget, k = max(1, rows // 4), min(5, rows)
        for dtype in ("float32", "float16"):
            points = _points(rows, dimensions, dtype)
            name = f"{rows}x{dimensions} {dtype}"
            for metric in ("euclidean", "cosine"):
                place = points + points.dtype.type(2) if metric == "cosine" else points  # no zero vector
                yield f"k-center {name} {metric}", k_center_greedy(place, budget, metric=metric)
                radii = covering_radii(place, place[:k], metric=metric)
                yield f"covering radii {name} {metric}", radii
                yield f"neighbours {name} {metric}", nearest_neighbours(place, place, k, metric=metric)
                yield (
                    f"balls {name} {metric}",
                    ball_counts(place, place, np.full(rows, 1, np.float32), metric=metric),
                )
                yield f"facility location {name} {metric}", facility_location(place, budget, metric=metric)
                yield f"graph cut {name} {metric}", graph_cut(place, budget, metric=metric)
            yield f"k-center parts {name}", k_center_greedy(points, budget, partitions=3)
            yield f"k-means {name}", k_means(points, min(4, rows))


def _of_numbers() -> Iterator[tuple[str, Any]]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 300)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    logprobs = -rng.random(offsets[-1]).astype(np.float32)
    task = rng.integers(0, 12, 300)
    available = np.bincount(task, minlength=12)
    for metric in ("product", "length-normalized", "min-token"):
        confidence = log_confidence(logprobs, offsets, metric=metric)
        yield f"confidence {metric}", confidence
        means = task_log_confidence(confidence, task, 12)
        yield f"task confidence {metric}", means
        weights = inverse_confidence_weights(means)
        yield f"weights {metric}", weights
        for rounding in ("webster", "largest-remainder", "paper"):
            quotas = allocate(weights, available, 90, base=2, rounding=rounding)
            yield f"quotas {metric} {rounding}", quotas
            yield f"round robin {metric} {rounding}", round_robin(task, quotas, seed=3)
        yield f"weighted round robin {metric}", weighted_round_robin(task, weights, seed=3)


def _shown(result: Any) -> Any:
    if isinstance(result, tuple):
        return [_shown(each) for each in result]
    array = np.asarray(result)
    return array.tolist() if array.dtype.kind in "iu" else hashlib.sha256(array.tobytes()).hexdigest()[:16]


def main() -> None:
    """Print a line for each."""
    for name, result in (*_of_numbers(), *_of_vectors()):
        print(f"{name}: {json.dumps(_shown(result))}")


if __name__ == "__main__":
    main()

"""Whether a selection differs from a random one: in its tasks, its confidences, among the vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import tasksel_core
from tasksel.explanation_chance import ChanceOverlap, chance_distance, overlap_by_chance, total_variation
from tasksel.explanation_signature import Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.explanation_inputs import ExplainedRows

__all__ = ["DIFFERENCE", "RandomComparison", "compare_with_random", "random_signature"]

DIFFERENCE: Final = 0.1
"""A selection that differs from random by less in all that was measured is hardly another one."""
_COVERED_ROWS: Final = 2_000
_CONTROLS: Final = 5
_DEVIATIONS: Final = 2.0


@dataclass(frozen=True)
class RandomComparison:
    """How a selection differs from random ones of the same size.

    Parameters
    ----------
    tasks : float
        Share of the labels in other tasks than random selections have them, beyond chance: 0 as random, 1
        wholly elsewhere. Negative where the tasks are more exactly the pool's than chance makes them.
    confidence : float or None
        How far the mean rank of the labels' confidence lies from the middle of the pool's, beyond chance: 0
        as random, 1 the surest or the least sure prompts alone.
    vectors : float or None
        By which share the mean distance of the pool's prompts to the nearest label differs from that of
        random selections.
    shared : int or None
        Labels that the strategy ``random`` would also take, under the same seed.
    by_chance : ChanceOverlap
        What two selections of this size share by chance.
    """

    tasks: float
    confidence: float | None
    vectors: float | None
    shared: int | None
    by_chance: ChanceOverlap

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {
            "task_difference_from_random": self.tasks,
            "confidence_difference_from_random": self.confidence,
            "vector_difference_from_random": self.vectors,
            "shared_with_random": self.shared,
            "shared_by_chance": self.by_chance.expected,
            "shared_by_chance_deviation": self.by_chance.deviation,
        }


def compare_with_random(rows: ExplainedRows, *, seed: int = 0) -> RandomComparison:
    """Compare a selection with random ones of the same size.

    Parameters
    ----------
    rows : ExplainedRows
        What is explained.
    seed : int
        Of the random selections.
    """
    n_rows, n_picked = rows.saved.figures["pool_rows"], len(rows.picked_rows)
    available = rows.allocation["available"].to_numpy()
    by_chance = chance_distance(available, n_picked, seed=seed)
    beyond = total_variation(rows.allocation["picked"].to_numpy(), available) - by_chance
    has_pool = rows.pool is not None
    return RandomComparison(
        tasks=beyond / max(1.0 - by_chance, 1e-9),
        confidence=_confidence_difference(rows) if has_pool else None,
        vectors=_vector_difference(rows, seed) if has_pool else None,
        shared=_shared_with_random(rows) if has_pool else None,
        by_chance=overlap_by_chance(n_rows, n_picked, n_picked),
    )


def _shared_with_random(rows: ExplainedRows) -> int:
    n_rows, n_picked = rows.frame.height, len(rows.picked_rows)
    drawn = tasksel_core.round_robin(
        np.zeros(n_rows, dtype=np.int64), np.array([n_picked]), seed=rows.saved.settings["seed"]
    )
    return len(np.intersect1d(drawn, rows.picked_rows))


def _confidence_difference(rows: ExplainedRows) -> float | None:
    if rows.scores is None:
        return None
    confidence = rows.scores.log_confidence
    known = np.sort(confidence[~np.isnan(confidence)])
    picked = confidence[rows.picked_rows]
    picked = picked[~np.isnan(picked)]
    if not len(picked):
        return None
    low, high = np.searchsorted(known, picked, side="left"), np.searchsorted(known, picked, side="right")
    shift = abs(float((low + high).mean()) / len(known) - 1.0)
    unpicked = 1.0 - len(picked) / len(known)
    chance = math.sqrt(max(unpicked, 0.0) / (3 * len(picked)))
    return max(0.0, shift - _DEVIATIONS * chance)


def _vector_difference(rows: ExplainedRows, seed: int) -> float | None:
    if rows.embeddings is None:
        return None
    rng = np.random.default_rng(seed)
    n_rows, n_picked = rows.frame.height, len(rows.picked_rows)
    some = np.sort(rng.choice(n_rows, min(n_rows, _COVERED_ROWS), replace=False))
    points = np.asarray(rows.embeddings[some])
    own = _mean_distance(points, np.asarray(rows.embeddings[rows.picked_rows]))
    drawn = [np.sort(rng.choice(n_rows, n_picked, replace=False)) for _ in range(_CONTROLS)]
    usual = float(np.mean([_mean_distance(points, np.asarray(rows.embeddings[each])) for each in drawn]))
    return abs(own / usual - 1.0) if usual > 0.0 else 0.0


def _mean_distance(points: NDArray[np.float32], picked: NDArray[np.float32]) -> float:
    return float(tasksel_core.nearest_neighbours(points, picked, 1)[1].mean())


def random_signature(rows: ExplainedRows, found: RandomComparison) -> Signature:
    """Tell whether a selection is hardly another one than random would have made."""
    advice = (
        "A random selection of this size is hardly another one, and free of any rule's bias. If the rule is "
        "meant to matter: give it tasks that differ in size (--task-column, `tasksel tasks`), --within "
        "k-center with embeddings, or a smaller budget."
    )
    measured = {"tasks": found.tasks, "confidences": found.confidence, "vectors": found.vectors}
    known = {name: max(0.0, value) for name, value in measured.items() if value is not None}
    value = max(known.values())
    largest = max(known, key=lambda name: known[name])
    undecided = value < DIFFERENCE and _decided_by_missing(rows, found)
    if undecided:
        sentence = (
            f"Not measured: the tasks are as a random selection has them, and whether the prompts are "
            f"depends on what is not at hand ({undecided})."
        )
        return Signature("like-random", None, DIFFERENCE, is_raised=False, sentence=sentence, advice=advice)
    shared = ""
    if found.shared is not None:
        shared = (
            f" It shares {found.shared:,} prompts with the random selection of its seed, by chance "
            f"{found.by_chance.expected:.0f} ± {found.by_chance.deviation:.0f}."
        )
    sentence = (
        f"Beyond chance the selection differs from random ones by {value:.0%}, most in its {largest}"
        f" ({', '.join(f'{name} {each:.0%}' for name, each in known.items())}).{shared}"
    )
    return Signature("like-random", value, DIFFERENCE, value < DIFFERENCE, sentence, advice)


def _decided_by_missing(rows: ExplainedRows, found: RandomComparison) -> str:
    """Say which inputs decided the selection and cannot be compared."""
    used = {
        "embeddings": found.vectors is None and rows.uses("embeddings"),
        "scores": found.confidence is None and rows.uses("confidence"),
    }
    lacking = [name for name, is_lacking in used.items() if is_lacking]
    if lacking and rows.pool is None:
        lacking.insert(0, "pool")
    return ", ".join(lacking)

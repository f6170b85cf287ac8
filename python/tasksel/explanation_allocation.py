"""Signatures of an allocation: caps that decide it, and few tasks that hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

import tasksel_core
from tasksel.explanation_signature import Signature
from tasksel.findings import FEW_TASKS, effective_number

if TYPE_CHECKING:
    from tasksel.selection_files import SavedSelection

__all__ = ["CAPPED_SHARE", "caps_signature", "effective_tasks_signature", "moved_by_caps"]

CAPPED_SHARE: Final = 0.25
"""Share of the budget that used-up tasks may pass on to others before the allocation is no longer that of the
weights. `docs/failure_signatures.md` has what healthy selections and constructed failures reach."""


def moved_by_caps(saved: SavedSelection) -> float:
    """Return the share of the labels that tasks would get beyond what they have, and others get instead.

    Parameters
    ----------
    saved : SavedSelection
        With or without weights; without them nothing is moved.
    """
    allocation, settings = saved.allocation, saved.settings
    picked = allocation["picked"].to_numpy()
    n_picked = int(picked.sum())
    weights = allocation["weight"]
    if n_picked == 0 or weights.null_count() or float(weights.sum()) == 0.0:
        return 0.0
    unlimited = tasksel_core.allocate(
        weights.to_numpy(),
        np.full(len(picked), n_picked),
        n_picked,
        base=int(settings.get("base", 0)),
        rounding=settings.get("rounding", "webster"),
    )
    available = allocation["available"].to_numpy()
    return float(np.maximum(unlimited - available, 0).sum() / n_picked)


def caps_signature(saved: SavedSelection, figures: dict[str, Any]) -> Signature:
    """Tell whether used-up tasks decide the allocation, instead of the weights."""
    moved = figures["moved_by_caps"]
    n_capped, n_tasks = figures["tasks_capped"], figures["tasks"]
    share = saved.figures["selected"] / max(1, saved.figures["pool_rows"])
    sentence = (
        f"Used-up tasks pass {moved:.0%} of the budget on to others; {n_capped:,} of {n_tasks:,} tasks are "
        f"used up and give {figures['capped_pick_share']:.0%} of the labels."
    )
    if saved.allocation["weight"].null_count():
        sentence = f"{saved.settings['strategy']} gives tasks no weights that caps could change."
    advice = (
        "The weights ask for prompts that the pool does not have. Collect or synthesise prompts of the "
        "used-up tasks, or flatten the weights: --metric length-normalized, --max-weight-ratio 10, --alpha "
        "below 1."
    )
    if saved.settings["strategy"] != "weighted-task-diversity":
        advice = (
            "The rule asks for prompts that the pool does not have. Collect or synthesise prompts of the "
            "used-up tasks, or merge small tasks."
        )
    if share > 0.5:
        advice += f" The budget is {share:.0%} of the pool, which no rule can spread much otherwise."
    return Signature("cap-dominated", moved, CAPPED_SHARE, moved >= CAPPED_SHARE, sentence, advice)


def effective_tasks_signature(saved: SavedSelection) -> Signature:
    """Tell whether a few tasks hold the labels or the weights."""
    allocation = saved.allocation
    n_tasks = allocation.height
    picked = allocation["picked"].to_numpy()
    reachable = max(1, min(n_tasks, int(picked.sum())))
    by_pick = effective_number(picked)
    value = by_pick / reachable
    sentence = f"The labels are spread like over {by_pick:.1f} equal tasks of {reachable:,}"
    if not allocation["weight"].null_count():
        by_weight = effective_number(allocation["weight"].to_numpy())
        value = min(value, by_weight / n_tasks)
        sentence += f", the weights like over {by_weight:.1f} of {n_tasks:,}"
    heaviest = int(np.argmax(picked))
    share = picked[heaviest] / max(1, picked.sum())
    sentence += f"; {allocation['task'][heaviest]!r} has {share:.0%} of the labels."
    advice = (
        "Most tasks get next to nothing: take --strategy task-diversity, or a larger --base; for weights of "
        "confidences --metric length-normalized, --max-weight-ratio 10, or --alpha below 1."
    )
    return Signature(
        "few-effective-tasks", value, FEW_TASKS, n_tasks > 1 and value < FEW_TASKS, sentence, advice
    )

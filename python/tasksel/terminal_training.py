"""What a person sees of a training: one line of what was done, the loss as a curve, where the files are."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rich.text import Text

from tasksel.terminal import print_notes, shown_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tasksel.training import TrainingSummary

__all__ = ["draw_sparkline", "print_training_summary"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_MAX_POINTS = 40


def print_training_summary(console: Console, summary: TrainingSummary) -> None:
    """Print what was trained, how the loss went, what to know about it and where the files are."""
    reused = f" ({summary.steps_reused:,} from before)" if summary.steps_reused else ""
    epochs = "1 epoch" if summary.epochs == 1 else f"{summary.epochs:,} epochs"
    console.print(
        Text(
            f"Trained {summary.trained_parameters:,} parameters on {summary.examples:,} examples: "
            f"{summary.steps:,} steps{reused}, {epochs}, {summary.tokens:,} response tokens in "
            f"{summary.seconds:.0f} s."
        )
    )
    losses = summary.loss_by_epoch
    console.print(
        Text(f"Loss by epoch, nats a token: {losses[0]:.3f} {draw_sparkline(losses)} {losses[-1]:.3f}")
    )
    print_notes(console, summary.notes)
    outputs = ", ".join(shown_path(path) for path in (summary.adapter, summary.model) if path)
    console.print(Text(f"Wrote {outputs}; the curve is {shown_path(summary.folder)}/loss.csv"))


def draw_sparkline(values: Sequence[float]) -> str:
    """Draw numbers as blocks from the lowest to the highest; of many, means of equal stretches.

    Examples
    --------
    >>> draw_sparkline([3.0, 2.0, 1.0])
    '█▅▁'
    """
    n = min(len(values), _MAX_POINTS)
    edges = [len(values) * each // n for each in range(n + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    return "".join(
        _BLOCKS[round((mean - low) / span * (len(_BLOCKS) - 1))] if span else _BLOCKS[0] for mean in means
    )

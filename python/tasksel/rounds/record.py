"""What one round came to, and the row that it is in a table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.json_shapes import NUMBER, NUMBER_OR_NULL
from tasksel.rounds.gains import Figure, Gain

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ROUND_SHAPE", "TABLE_SCHEMA", "RoundRecord"]

TABLE_SCHEMA: Final = pl.Schema(
    {
        "round": pl.Int64(),
        "new_labels": pl.Int64(),
        "labels": pl.Int64(),
        "set_aside": pl.Int64(),
        "tokens": pl.Float64(),
        "cost": pl.Float64(),
        "metric": pl.String(),
        "figure": pl.Float64(),
        "figure_low": pl.Float64(),
        "figure_high": pl.Float64(),
        "gain": pl.Float64(),
        "gain_low": pl.Float64(),
        "gain_high": pl.Float64(),
        "gain_per_100_labels": pl.Float64(),
        "gain_per_cost": pl.Float64(),
        "radius": pl.Float64(),
    }
)
ROUND_SHAPE: Final = {
    "round": int,
    "new_labels": int,
    "labels": int,
    "set_aside": int,
    "tokens": NUMBER,
    "cost": NUMBER_OR_NULL,
    "currency": str,
    "radius": NUMBER_OR_NULL,
    "figure": (
        {"suite": str, "metric": str, "level": str, "mean": NUMBER, "low": NUMBER, "high": NUMBER},
        None,
    ),
}
"""Of ``round.json``."""


@dataclass(frozen=True)
class RoundRecord:
    """What one round came to.

    Parameters
    ----------
    number : int
        From 1; 0 is the base model, without labels.
    new_labels, labels : int
        Of this round; of all so far.
    set_aside : int
        Prompts that annotators were shown so far and that have no label.
    tokens : float
        Of the new labels' prompts and responses.
    cost : float or None
        Of the new labels; None where no price is known.
    figure : Figure or None
        What the model is worth that was trained on all labels so far.
    gain : Gain or None
        Over the round before.
    radius : float or None
        How far the farthest prompt is from a labelled one; None without embeddings.
    currency : str
        Of the cost.
    """

    number: int
    new_labels: int
    labels: int
    set_aside: int
    tokens: float
    cost: float | None
    figure: Figure | None = None
    gain: Gain | None = None
    radius: float | None = None
    currency: str = ""

    @classmethod
    def read(cls, content: Mapping[str, Any], gain: Gain | None = None) -> RoundRecord:
        """Make a record of what ``round.json`` holds."""
        names = ("new_labels", "labels", "set_aside", "tokens", "cost", "radius", "currency")
        figure = content["figure"]
        if figure is not None:
            # A newer tasksel may have added to it.
            figure = Figure(**{each.name: figure[each.name] for each in fields(Figure)})
        return cls(content["round"], figure=figure, gain=gain, **{name: content[name] for name in names})

    @property
    def gain_per_100_labels(self) -> float | None:
        """What a hundred of the new labels brought; None where nothing was compared."""
        return None if self.gain is None or not self.new_labels else self.gain.mean / self.new_labels * 100

    @property
    def gain_per_cost(self) -> float | None:
        """What a unit of money brought."""
        return None if self.gain is None or not self.cost else self.gain.mean / self.cost

    def to_row(self) -> dict[str, Any]:
        """Return the row of `TABLE_SCHEMA`."""
        figure, gain = self.figure, self.gain
        return {
            "round": self.number,
            **{name: getattr(self, name) for name in ("new_labels", "labels", "set_aside", "tokens", "cost")},
            "metric": None if figure is None else f"{figure.metric}, {figure.level}",
            "figure": None if figure is None else figure.mean,
            "figure_low": None if figure is None else figure.low,
            "figure_high": None if figure is None else figure.high,
            "gain": None if gain is None else gain.mean,
            "gain_low": None if gain is None else gain.low,
            "gain_high": None if gain is None else gain.high,
            "gain_per_100_labels": self.gain_per_100_labels,
            "gain_per_cost": self.gain_per_cost,
            "radius": self.radius,
        }

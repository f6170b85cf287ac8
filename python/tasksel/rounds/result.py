"""What rounds came to: their records, and why they ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from tasksel.rounds.record import TABLE_SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from tasksel.rounds.plan import RoundsPlan
    from tasksel.rounds.record import RoundRecord

__all__ = ["RoundsResult"]


@dataclass(frozen=True)
class RoundsResult:
    """What `run_rounds` did.

    Parameters
    ----------
    folder : Path
        The run folder.
    rounds : tuple of RoundRecord
        Those that have ended; round 0 is the base model, where it was evaluated.
    n_planned : int
        Rounds at most.
    stopped : str or None
        Why it ended, as a clause; None while it waits.
    waiting : str or None
        What a person has to do before the same call goes on; None where nothing waits.
    notes : tuple of str
        What a person should know.
    plan : RoundsPlan or None
        Of a dry run.
    """

    folder: Path
    rounds: tuple[RoundRecord, ...]
    n_planned: int
    stopped: str | None = None
    waiting: str | None = None
    notes: tuple[str, ...] = field(default=(), repr=False)
    plan: RoundsPlan | None = None

    @property
    def table(self) -> pl.DataFrame:
        """One row a round, `TABLE_SCHEMA`."""
        return pl.DataFrame([each.to_row() for each in self.rounds], schema=TABLE_SCHEMA)

    @property
    def labels(self) -> int:
        """All labels so far."""
        return self.rounds[-1].labels if self.rounds else 0

    @property
    def tokens(self) -> float:
        """Of all labels so far."""
        return sum(each.tokens for each in self.rounds)

    @property
    def cost(self) -> float | None:
        """Of all labels so far; None where no price is known."""
        known = [each.cost for each in self.rounds if each.number and each.cost is not None]
        return sum(known) if known else None

    @property
    def headline(self) -> str:
        """How far it is and what it came to, in a sentence or two."""
        ended = sum(each.number > 0 for each in self.rounds)
        spent = f"{self.labels:,} labels, {self.tokens:,.0f} tokens"
        if self.cost is not None:
            currency = self.rounds[-1].currency
            spent += f", {self.cost:,.2f} {currency}".rstrip() if currency else f", {self.cost:,.2f} in money"
        return f"{ended:,} of {self.n_planned:,} rounds: {spent}."

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        if self.plan is not None:
            return {"folder": str(self.folder), "plan": self.plan.to_dict()}
        return {
            "folder": str(self.folder),
            "rounds": [each.to_row() for each in self.rounds],
            **self.account(),
        }

    def account(self) -> dict[str, Any]:
        """Return what is beside the rounds, without the folder."""
        return {
            "planned": self.n_planned,
            "labels": self.labels,
            "tokens": self.tokens,
            "cost": self.cost,
            "stopped": self.stopped,
            "waiting": self.waiting,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        from tasksel.html_page_card import CardTable, card

        names = ("round", "new_labels", "labels", "tokens", "cost", "figure", "gain", "radius")
        known = [name for name in names if self.table[name].null_count() < self.table.height]
        ended = self.waiting if self.stopped is None else f"Stopped: {self.stopped}."
        headline = f"{self.headline} {ended or ''}".strip()
        return card("Rounds", headline, [CardTable(self.table.select(known), rows=50)], self.notes)

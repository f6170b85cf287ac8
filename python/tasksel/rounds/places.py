"""Where rounds write: one folder each, shaped as that of a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tasksel.job.places import JobPlaces

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BEFORE", "RoundPlaces"]

BEFORE: Final = 0
"""Number of what comes before the first label: tasks, vectors, scores, the base model's figures."""


@dataclass(frozen=True)
class RoundPlaces:
    """The folders of a run.

    Parameters
    ----------
    run : Path
        The run folder.
    """

    run: Path

    def folder(self, number: int) -> Path:
        """Return the folder of a round, counted from 1; 0 is what comes before."""
        return self.run / "rounds" / f"{number:02d}"

    def job(self, number: int) -> JobPlaces:
        """Return the places in the folder of a round."""
        return JobPlaces(self.folder(number))

    def labelled(self, number: int) -> Path | None:
        """Return the folder with the labels up to a round; None before the first."""
        return self.job(number).labelled("") if number > BEFORE else None

    def evaluation(self, number: int) -> Path:
        """Return the folder of the evaluation of a round's model, or of the base model."""
        places = self.job(number)
        return places.base_evaluation if number == BEFORE else places.evaluation("")

    def account(self, number: int) -> Path:
        """Return the file that says what a round came to."""
        return self.folder(number) / "round.json"

    @property
    def report(self) -> Path:
        """The report of all rounds."""
        return JobPlaces(self.run).report

    @property
    def table(self) -> Path:
        """One row a round."""
        return self.run / "rounds.csv"

    @property
    def summary(self) -> Path:
        """The same with why it stopped."""
        return self.run / "rounds.json"

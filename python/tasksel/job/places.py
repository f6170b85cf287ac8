"""Where in a run folder each stage of a job writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tasksel.causal_model_folder import TRAINING_FOLDER
from tasksel.embedding_shards import EMBEDDINGS_FOLDER
from tasksel.scoring import SCORES_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["IMPORTED_NAME", "LABELLED_NAME", "LABELS_NAME", "TASKED_POOL_NAME", "JobPlaces"]

LABELS_NAME: Final = "labels.jsonl"
"""Where a job without ``[labels] path`` looks for answers."""
IMPORTED_NAME: Final = "labels/labelled.parquet"
"""Where answers stand that were imported into the run folder; they go before the file above."""
LABELLED_NAME: Final = "labelled.parquet"
TASKED_POOL_NAME: Final = "pool.parquet"


@dataclass(frozen=True)
class JobPlaces:
    """The folders of a job; a selection's name is empty where there is only one.

    Parameters
    ----------
    run : Path
        The run folder.
    """

    run: Path

    @property
    def scores(self) -> Path:
        """Shards of scores."""
        return self.run / SCORES_FOLDER

    @property
    def embeddings(self) -> Path:
        """Shards of vectors."""
        return self.run / EMBEDDINGS_FOLDER

    @property
    def tasks(self) -> Path:
        """The pool with discovered tasks, and their model."""
        return self.run / "tasks"

    @property
    def report(self) -> Path:
        """The report, a file."""
        return self.run / "report.html"

    @property
    def base_evaluation(self) -> Path:
        """What the base model is worth."""
        return self.run / "evaluation_base"

    def selection(self, name: str) -> Path:
        """Return the folder of a selection."""
        return self.run / "selections" / name if name else self.run / "selection"

    def labelled(self, name: str) -> Path:
        """Return the folder of a selection with its answers."""
        return self.run / "labelled" / name if name else self.run / "labelled"

    def training_run(self, name: str) -> Path:
        """Return the folder that a training is told to write to."""
        return self.run / "trainings" / name if name else self.run

    def training(self, name: str) -> Path:
        """Return the folder of a training."""
        return self.training_run(name) / TRAINING_FOLDER

    def evaluation(self, name: str) -> Path:
        """Return the folder of the evaluation of a training."""
        return self.run / "evaluations" / name if name else self.run / "evaluation"

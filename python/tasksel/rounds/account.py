"""What a round came to: labels, tokens, money, how far they cover the pool, what the model is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import polars as pl

import tasksel_core
from tasksel.embedding import read_embeddings
from tasksel.job.ledger import StageRecord, manifest_sha256
from tasksel.job.places import LABELLED_NAME
from tasksel.job.prices import label_prices
from tasksel.job.sources import source_sha256
from tasksel.job.stage import OUTCOME_SHAPE, Outcome, Stage
from tasksel.json_shapes import NUMBER_OR_NULL, TEXT_OR_NULL
from tasksel.label_cost import measure_lengths, read_amounts
from tasksel.rounds.gains import read_figure
from tasksel.rounds.places import BEFORE
from tasksel.rounds.record import ROUND_SHAPE
from tasksel.run_folder import FORMAT_VERSION, MANIFEST_NAME, file_sha256, read_versioned, write_json
from tasksel.run_folder_frames import read_frame
from tasksel.scores_places import IdPlaces
from tasksel.selection_costs import COST_COLUMN
from tasksel.teacher import TEACHER_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from tasksel.job.context import JobContext
    from tasksel.rounds.places import RoundPlaces

__all__ = ["AccountStage"]

_LABELLED: Final = {"id": str, "prompt": str, "response": TEXT_OR_NULL}
_ASKED: Final = {"rows": int, "missing": int}
_SPENT: Final = {"input_tokens": int, "output_tokens": int, "cost": NUMBER_OR_NULL, "currency": TEXT_OR_NULL}


@dataclass(frozen=True)
class AccountStage(Stage):
    """``round.json``: what a round came to.

    Parameters
    ----------
    number : int
        Of the round; 0 is what comes before the first.
    places : RoundPlaces
        Of all rounds.
    metric : str or None
        Figure of the evaluation.
    is_evaluated : bool
        Whether there is one.
    embeddings : str or None
        Vectors of the pool.
    needs : tuple of str
        All other stages of the round.
    """

    number: int
    places: RoundPlaces
    metric: str | None
    is_evaluated: bool
    embeddings: str | None
    needs: tuple[str, ...]
    section: ClassVar[str] = "account"
    is_one_file: ClassVar[bool] = True

    def folder(self, context: JobContext) -> Path:  # noqa: ARG002 - it knows its place
        """Return the file."""
        return self.places.account(self.number)

    def describe(self, context: JobContext) -> StageRecord:
        """Say of which labels, prices, vectors and figures it tells."""
        inputs: dict[str, str] = {}
        for name, folder in self._folders(context).items():
            sha256 = manifest_sha256(folder)
            inputs |= {} if sha256 is None else {name: sha256}
        if self.embeddings is not None:
            inputs["embeddings"] = str(source_sha256(self.embeddings) or self.embeddings)
        prices = label_prices(context.config)
        settings: dict[str, Any] = {
            "metric": self.metric,
            "cost_column": self._cost_column(context),
            "prices": None if prices is None else vars(prices),
        }
        return StageRecord(inputs, settings)

    def _folders(self, context: JobContext) -> dict[str, Path]:
        found = {"teacher": context.places.run / TEACHER_FOLDER / TEACHER_FOLDER}
        for name, number in (("labels", self.number), ("labels before", self.number - 1)):
            folder = self.places.labelled(number)
            found |= {} if folder is None else {name: folder}
        return {**found, "evaluation": self.places.evaluation(self.number)}

    def run(self, context: JobContext) -> Outcome:
        """Measure, and write it."""
        labelled, new = self._labels()
        content: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "round": self.number,
            "new_labels": new.height,
            "labels": labelled.height,
            "set_aside": self._n_asked() - labelled.height,
            **self._cost(context, new),
            "radius": self._radius(context, labelled),
            "figure": None,
        }
        if self.is_evaluated:
            content["figure"] = vars(read_figure(self.places.evaluation(self.number), self.metric))
        write_json(self.places.account(self.number), content)
        return Outcome(content)

    def recall(self, context: JobContext) -> Outcome | None:  # noqa: ARG002 - it knows its place
        """Read it, if it is there."""
        path = self.places.account(self.number)
        return Outcome(read_versioned(path, ROUND_SHAPE), is_reused=True) if path.is_file() else None

    def ended_sha256(self, context: JobContext) -> str | None:  # noqa: ARG002 - it knows its place
        """Return the hash of the file."""
        path = self.places.account(self.number)
        return file_sha256(path) if path.is_file() else None

    def _labels(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return all labels up to this round, and those that are new."""
        folder, before = self.places.labelled(self.number), self.places.labelled(self.number - 1)
        if folder is None:
            nothing = pl.DataFrame(schema={"id": pl.String(), "prompt": pl.String(), "response": pl.String()})
            return nothing, nothing
        labelled = read_frame(folder / LABELLED_NAME, _LABELLED)
        if before is None:
            return labelled, labelled
        earlier = read_frame(before / LABELLED_NAME, {"id": str}, is_all=True)
        return labelled, labelled.join(earlier, on="id", how="anti", maintain_order="left")

    def _n_asked(self) -> int:
        folder = self.places.labelled(self.number)
        figures = (
            {"rows": 0, "missing": 0}
            if folder is None
            else read_versioned(folder / MANIFEST_NAME, OUTCOME_SHAPE | {"figures": _ASKED})["figures"]
        )
        return int(figures["rows"] + figures["missing"])

    def _cost(self, context: JobContext, new: pl.DataFrame) -> dict[str, Any]:
        """Return tokens and money of the new labels: the teacher's own, else by lengths and prices."""
        if self.number == BEFORE:
            return {"tokens": 0.0, "cost": 0.0, "currency": ""}
        teacher = context.places.run / TEACHER_FOLDER / TEACHER_FOLDER / MANIFEST_NAME
        if teacher.is_file():
            counts = read_versioned(teacher, {"counts": _SPENT})["counts"]
            tokens = float(counts["input_tokens"] + counts["output_tokens"])
            return {"tokens": tokens, "cost": counts["cost"], "currency": counts["currency"] or ""}
        currency = str(context.config["labels"].get("currency", ""))
        if new.is_empty():
            return {"tokens": 0.0, "cost": 0.0, "currency": currency}
        lengths = measure_lengths(new)
        prices, column = label_prices(context.config), self._cost_column(context)
        cost = None
        if prices is not None:
            cost = math.fsum(prices.of(lengths).tolist())
        elif column is not None:
            cost = math.fsum(read_amounts(new, column).tolist())
        return {"tokens": math.fsum(lengths.tokens.tolist()), "cost": cost, "currency": currency}

    def _cost_column(self, context: JobContext) -> str | None:
        """Return the column with what labels cost, if the file names one or the pool has the usual one."""
        named = (
            context.config.selections[0].settings.get("cost_column") if context.config.selections else None
        )
        has_usual = COST_COLUMN in context.pool.frame.columns
        return str(named) if named is not None else COST_COLUMN if has_usual else None

    def _radius(self, context: JobContext, labelled: pl.DataFrame) -> float | None:
        """Return how far the farthest prompt is from a labelled one."""
        if self.embeddings is None or labelled.is_empty():
            return None
        vectors = read_embeddings(self.embeddings, context.pool.frame)
        rows = IdPlaces(context.pool.frame["id"]).rows_of(labelled["id"])
        radii = tasksel_core.covering_radii(vectors, np.asarray(vectors[np.sort(rows)]))
        return float(radii[-1])

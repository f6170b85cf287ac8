"""The stages that need answers: the labelled selection, and the training on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from tasksel.job.keys import call_settings
from tasksel.job.labels import Labelled, label_selection, read_labels
from tasksel.job.ledger import StageRecord, manifest_sha256
from tasksel.job.places import IMPORTED_NAME, LABELLED_NAME, LABELS_NAME
from tasksel.job.sections import SECTIONS
from tasksel.job.sources import source_sha256
from tasksel.job.stage import OUTCOME_SHAPE, Outcome, Stage, section_record, stage_name
from tasksel.pool import load_pool
from tasksel.pool_ids import columns_sha256
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    make_folder,
    read_versioned,
    write_json,
)
from tasksel.run_folder_frames import write_frame
from tasksel.selection_files import read_selection
from tasksel.training import train

if TYPE_CHECKING:
    from tasksel.job.context import JobContext

__all__ = ["LABELS_STAGE", "LabelStage", "TrainStage", "find_labels"]

LABELS_STAGE = "labels"
_TRAINED_COLUMNS = ("id", "task", "prompt", "response")


def find_labels(context: JobContext) -> tuple[Path, bool]:
    """Return where the file of labels is wanted, and whether the job's file names it."""
    named = context.config["labels"].get("path")
    if named is not None:
        return Path(named), True
    imported = context.places.run / IMPORTED_NAME
    return (imported if imported.is_file() else context.places.run / LABELS_NAME), False


@dataclass(frozen=True)
class LabelStage(Stage):
    """The answers to one selection: the pool's own, or those of a file."""

    selection: str
    needs: tuple[str, ...]
    section: ClassVar[str] = "labels"

    @property
    def name(self) -> str:
        """Return ``labels``, with the name of the selection where there are several."""
        return stage_name("labels", self.selection)

    def folder(self, context: JobContext) -> Path:
        """Return the folder of the labelled selection."""
        return context.places.labelled(self.selection)

    def describe(self, context: JobContext) -> StageRecord:
        """Say which selection is labelled, and from what."""
        inputs = {"selection": str(manifest_sha256(context.places.selection(self.selection)))}
        labels = source_sha256(find_labels(context)[0])
        if labels is not None:
            inputs["labels"] = labels
        keys = {"allow_missing": context.config["labels"].get("allow_missing", False)}
        return StageRecord(inputs, keys)

    def read(self, context: JobContext) -> Labelled:
        """Join selection and answers."""
        selected = read_selection(context.places.selection(self.selection)).frame
        path, is_named = find_labels(context)
        if path.is_file():
            return label_selection(selected, read_labels(path), path.name)
        if is_named:  # answers that are expected are not replaced by those that lie in the pool
            return label_selection(selected.drop("response", strict=False), None)
        return label_selection(selected, None)

    def waits_for(self, context: JobContext) -> str | None:
        """Say which answers are missing, where they go, and what to do then."""
        labelled = self.read(context)
        n_missing, n_rows = labelled.missing.height, labelled.frame.height
        allows = context.config["labels"].get("allow_missing", False) and n_missing < n_rows
        if not n_missing or allows:
            return None
        selected = context.places.selection(self.selection) / "selected.jsonl"
        path, _ = find_labels(context)
        if not path.is_file():
            return (
                f"Have the {_counted(n_rows, 'prompt')} of {selected} answered, write each answer into "
                f"response, save the rows as {path}, and run the same command again."
            )
        return (
            f"{path} lacks the answers to {n_missing:,} of the {_counted(n_rows, 'prompt')} of {selected} "
            f"(the first is {labelled.missing['id'][0]!r}): add them, or set allow_missing = true in "
            "[labels], and run the same command again."
        )

    def run(self, context: JobContext) -> Outcome:
        """Write the labelled rows: a pool that every verb reads."""
        labelled = self.read(context)
        answered = labelled.frame.filter(~pl.col("id").is_in(labelled.missing["id"].implode()))
        frame = answered.drop("rank")
        folder = self.folder(context)
        make_folder(folder)
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        write_frame(folder / LABELLED_NAME, frame)
        figures = {"rows": frame.height, "missing": labelled.missing.height}
        content = {
            "format_version": FORMAT_VERSION,
            "stage": LABELS_STAGE,
            "rows_sha256": columns_sha256(frame, _TRAINED_COLUMNS),
            "figures": figures,
            "notes": list(labelled.notes),
            "files": {LABELLED_NAME: file_sha256(folder / LABELLED_NAME)},
        }
        write_json(folder / MANIFEST_NAME, content)
        return Outcome(figures, labelled.notes)

    def recall(self, context: JobContext) -> Outcome | None:
        """Read the figures, if the labelled rows are as they were written."""
        folder = self.folder(context)
        manifest = read_versioned(folder / MANIFEST_NAME, OUTCOME_SHAPE)
        path = folder / LABELLED_NAME
        if not path.is_file() or file_sha256(path) != manifest["files"].get(LABELLED_NAME):
            return None
        return Outcome(manifest["figures"], tuple(manifest["notes"]), is_reused=True)


@dataclass(frozen=True)
class TrainStage(Stage):
    """The base model, finetuned on one labelled selection."""

    selection: str
    needs: tuple[str, ...]
    section: ClassVar[str] = "train"
    checks_itself: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Return ``train``, with the name of the selection where there are several."""
        return stage_name("train", self.selection)

    def folder(self, context: JobContext) -> Path:
        """Return the folder of the training."""
        return context.places.training(self.selection)

    def describe(self, context: JobContext) -> StageRecord:
        """Say on which rows the model is trained, and how."""
        path = context.places.labelled(self.selection) / MANIFEST_NAME
        manifest = read_versioned(path, {"rows_sha256": str})
        inputs = {"labelled rows": manifest["rows_sha256"]}
        return section_record(context, "train", context.config["train"], inputs)

    def run(self, context: JobContext) -> Outcome:
        """Train, or go on with it."""
        labelled = load_pool(context.places.labelled(self.selection) / LABELLED_NAME)
        summary = train(
            replace(labelled, notes=()),  # what is to be known of the pool was said before
            out=context.places.training_run(self.selection),
            progress=context.begin(_label("Training", self.selection), "steps"),
            **call_settings(SECTIONS["train"].keys, context.config["train"]),
        )
        names = ("examples", "epochs", "steps", "steps_reused", "tokens", "loss_by_epoch", "seconds")
        figures: dict[str, Any] = {name: getattr(summary, name) for name in names}
        return Outcome(figures, summary.notes, is_reused=summary.steps_reused == summary.steps)


def _label(what: str, selection: str) -> str:
    return f"{what}, {selection}" if selection else what


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"

"""The stages that a round has and a job has not: scores of the last model, the teacher, all labels so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tasksel.job.ledger import StageRecord, manifest_sha256
from tasksel.job.places import LABELLED_NAME
from tasksel.job.stage import OUTCOME_SHAPE, Outcome, Stage
from tasksel.job.stages import ScoreStage
from tasksel.job.stages_training import LABELS_STAGE
from tasksel.pool_ids import columns_sha256
from tasksel.rounds.answers import RoundAnswers, from_file, from_imports, from_pool
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    make_folder,
    read_versioned,
    write_json,
)
from tasksel.run_folder_frames import read_frame, stack_frames, write_frame
from tasksel.selection_files import read_selection
from tasksel.selection_labelled import ASKED_NAME
from tasksel.teacher import TEACHER_FOLDER, ask_teacher
from tasksel_core.errors import AnnotationError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from tasksel.job.context import JobContext
    from tasksel.rounds.places import RoundPlaces
    from tasksel.spending_caps import Spent
    from tasksel.teacher import TeacherLimits, TeacherSettings

__all__ = ["RoundLabelStage", "TeacherStage", "TrainedScoreStage"]

_TRAINED_COLUMNS: Final = ("id", "task", "prompt", "response")
_FILES: Final = (LABELLED_NAME, ASKED_NAME)


@dataclass(frozen=True)
class TrainedScoreStage(ScoreStage):
    """The answers of the model of the round before, and how sure it was of them."""

    training: Path | None = None

    def describe(self, context: JobContext) -> StageRecord:
        """Say which prompts are answered, and by which training."""
        record = super().describe(context)
        assert self.training is not None  # noqa: S101 - only made with one; for the type checker
        inputs = {**record.inputs, "training": str(manifest_sha256(self.training))}
        keys = {name: each for name, each in record.settings.items() if name not in ("model", "adapter")}
        return StageRecord(inputs, keys)


@dataclass(frozen=True)
class TeacherStage(Stage):
    """A model answers the selection of one round, in a folder of its own.

    Parameters
    ----------
    settings : TeacherSettings
        Who answers.
    limits : TeacherLimits
        What it may use up in this round.
    """

    settings: TeacherSettings
    limits: TeacherLimits
    needs: tuple[str, ...] = ("select",)
    section: ClassVar[str] = "teacher"
    checks_itself: ClassVar[bool] = True

    def folder(self, context: JobContext) -> Path:
        """Return the folder with replies and labels."""
        return context.places.run / TEACHER_FOLDER

    def describe(self, context: JobContext) -> StageRecord:
        """Say which selection is answered, and by whom."""
        inputs = {"selection": str(manifest_sha256(context.places.selection("")))}
        sha256 = context.model_sha256(self.settings.model) if self.settings.is_local else None
        return StageRecord(inputs, {**self.settings.identity(sha256), **self.settings.reading})

    def run(self, context: JobContext) -> Outcome:
        """Ask what is not asked yet."""
        shown = context.begin("Asking the teacher", "replies")

        def progress(replies: int, requests: int, tokens: int, spent: Spent) -> None:  # noqa: ARG001
            if shown is not None:
                shown(replies, requests, tokens)

        summary = ask_teacher(
            context.places.selection(""),
            self.settings,
            into=self.folder(context),
            limits=self.limits,
            progress=progress,
        )
        notes = summary.notes if summary.ended is None else (*summary.notes, f"The teacher: {summary.ended}.")
        names = ("asked", "answered", "unanswered", "input_tokens", "output_tokens", "cost", "currency")
        figures = {name: getattr(summary, name) for name in names}
        return Outcome(figures, notes, is_reused=not summary.sent and summary.is_finished)

    def ended_sha256(self, context: JobContext) -> str | None:
        """Return the hash of the manifest that is written once nothing is open."""
        return manifest_sha256(self.folder(context) / TEACHER_FOLDER)


@dataclass(frozen=True)
class RoundLabelStage(Stage):
    """The answers to the selection of a round, and all labels so far.

    Parameters
    ----------
    number : int
        Of the round, from 1.
    places : RoundPlaces
        Of all rounds.
    annotator : str
        Who answers.
    needs : tuple of str
        The selection, and the teacher if there is one.
    """

    number: int
    places: RoundPlaces
    annotator: str
    needs: tuple[str, ...] = ("select",)
    section: ClassVar[str] = "labels"

    def folder(self, context: JobContext) -> Path:
        """Return the folder of the labels so far."""
        return context.places.labelled("")

    def describe(self, context: JobContext) -> StageRecord:
        """Say which prompts are labelled, and with which answers."""
        inputs = {"selection": self._selection_sha256(context), "answers": self._answers(context).sha256}
        before = self.places.labelled(self.number - 1)
        if before is not None:
            inputs["labels before"] = str(manifest_sha256(before))
        return StageRecord(inputs, {"annotator": self.annotator, "allow_missing": self._allows(context)})

    def waits_for(self, context: JobContext) -> str | None:
        """Say which answers are missing, where they go, and what to do then."""
        selected = self._selected(context)
        answers = self._answers(context)
        missing = answers.open_ids(selected["id"])
        if not missing or (self._allows(context) and len(missing) < selected.height):
            return None
        return self._request(context, len(missing), selected.height, len(answers.disputed_ids))

    def run(self, context: JobContext) -> Outcome:
        """Write all labels so far, and everything that was asked so far."""
        answers = self._answers(context)
        asked = self._asked(context)
        labelled = asked.drop("response", strict=False).join(answers.frame, on="id", maintain_order="left")
        before = self._before(LABELLED_NAME)
        shown = labelled if before is None else self._stacked(before, labelled)
        if shown.is_empty():
            raise AnnotationError(
                f"None of the {asked.height:,} prompts of round {self.number} has an answer: all were passed "
                "over, so that there is nothing to train on."
            )
        prompts = self._prompts(context)
        folder = self.folder(context)
        make_folder(folder)
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        write_frame(folder / LABELLED_NAME, shown)
        write_frame(folder / ASKED_NAME, prompts)
        figures = {"rows": shown.height, "new": labelled.height, "missing": prompts.height - shown.height}
        content = {
            "format_version": FORMAT_VERSION,
            "stage": LABELS_STAGE,
            "rows_sha256": columns_sha256(shown, _TRAINED_COLUMNS),
            "selection_sha256": self._selection_sha256(context),
            "figures": figures,
            "notes": list(answers.notes),
            "files": {name: file_sha256(folder / name) for name in _FILES},
        }
        write_json(folder / MANIFEST_NAME, content)
        return Outcome(figures, answers.notes)

    def recall(self, context: JobContext) -> Outcome | None:
        """Read the figures, if the labels are as they were written."""
        manifest = self._manifest(context)
        if manifest is None:
            return None
        return Outcome(manifest["figures"], tuple(manifest["notes"]), is_reused=True)

    def _manifest(self, context: JobContext) -> dict[str, Any] | None:
        """Return the manifest of the labels, if they are there as they were written."""
        folder = self.folder(context)
        if not (folder / MANIFEST_NAME).is_file():
            return None
        manifest = read_versioned(folder / MANIFEST_NAME, OUTCOME_SHAPE)
        for name in _FILES:
            path = folder / name
            if not path.is_file() or file_sha256(path) != manifest["files"].get(name):
                return None
        return manifest

    def _selected(self, context: JobContext) -> pl.DataFrame:
        return read_selection(context.places.selection("")).frame.drop("rank")

    def _selection_sha256(self, context: JobContext) -> str:
        return str(manifest_sha256(context.places.selection("")))

    def _before(self, name: str) -> pl.DataFrame | None:
        """Return a file of the round before."""
        folder = self.places.labelled(self.number - 1)
        return None if folder is None else read_frame(folder / name, {"id": str, "prompt": str})

    def _prompts(self, context: JobContext) -> pl.DataFrame:
        """Return everything that was asked up to this round, without answers."""
        selected, before = self._selected(context).drop("response", strict=False), self._before(ASKED_NAME)
        return selected if before is None else self._stacked(before, selected)

    def _asked(self, context: JobContext) -> pl.DataFrame:
        """Return the prompts of this round, and those of earlier ones that have no label yet."""
        selected, before = self._selected(context), self._before(ASKED_NAME)
        if before is None:
            return selected
        labelled = self._before(LABELLED_NAME)
        assert labelled is not None  # noqa: S101 - both files or none; for the type checker
        late = before.join(labelled.select("id"), on="id", how="anti", maintain_order="left")
        return self._stacked(late, selected)

    def _stacked(self, before: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
        folder = self.places.labelled(self.number - 1)
        assert folder is not None  # noqa: S101 - there is something before; for the type checker
        return stack_frames(before, new, f"in {folder}")

    def _answers(self, context: JobContext) -> RoundAnswers:
        """Return the answers; once another round builds on them, no further prompt gets one here.

        An answer that came late is one of the next round that has not been followed: what was selected since
        then, and may be labelled already, is not selected again for its sake.
        """
        found = self._given(context, self._asked(context))
        followed = self.places.job(self.number + 1).selection("") / MANIFEST_NAME
        manifest = self._manifest(context) if followed.is_file() else None
        if manifest is None or manifest["selection_sha256"] != self._selection_sha256(context):
            return found
        path = self.folder(context) / LABELLED_NAME
        known = found.frame.join(
            read_frame(path, {"id": str}, is_all=True), on="id", how="semi", maintain_order="left"
        )
        late = found.frame.join(known, on="id", how="anti")["id"]
        return RoundAnswers(known, (*found.passed_ids, *late), found.disputed_ids, found.notes)

    def _given(self, context: JobContext, asked: pl.DataFrame) -> RoundAnswers:
        if self.annotator == "pool":
            return from_pool(asked)
        if self.annotator == "file":
            return from_file(asked, _named_file(context))
        if self.annotator == "people":
            return from_imports(asked, self.places.run)
        return from_imports(asked, context.places.run / TEACHER_FOLDER)

    def _allows(self, context: JobContext) -> bool:
        return bool(context.config["labels"].get("allow_missing", False))

    def _request(self, context: JobContext, n_missing: int, n_asked: int, n_disputed: int) -> str:
        """Say in one sentence what a person has to do."""
        selection = context.places.selection("")
        number = "1 prompt" if n_asked == 1 else f"{n_asked:,} prompts"
        if self.annotator == "people":
            disputed = f", {n_disputed:,} of them to adjudicate" if n_disputed else ""
            return (
                f"Round {self.number} waits for {n_missing:,} of the {number} of {selection}{disputed}: "
                f"`tasksel annotate export {selection} --to csv --out FOLDER` hands them out, "
                f"`tasksel annotate import ANSWERS --into {self.places.run} --selection {selection}` takes "
                "them back; then run the same command again."
            )
        # Where it is allowed already, not one answer is there.
        or_else = "" if self._allows(context) else ", or set allow_missing = true in [labels],"
        if self.annotator == "teacher":
            return (
                f"The teacher has not answered {n_missing:,} of the {number} of round {self.number}: raise "
                f"its caps in [teacher]{or_else} and run the same command again."
            )
        where = "the pool" if self.annotator == "pool" else str(_named_file(context))
        return (
            f"Round {self.number} lacks {n_missing:,} of the answers to the {number} of "
            f"{selection / 'selected.jsonl'}: add them to {where}{or_else} and run the same command again."
        )


def _named_file(context: JobContext) -> Path:
    from pathlib import Path

    return Path(context.config["labels"]["path"])

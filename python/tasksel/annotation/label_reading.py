"""The labels of a run, read back: whole, checked, and by status."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.annotation.adjudication import resolve_answers
from tasksel.annotation.asked_prompts import find_missing
from tasksel.annotation.standing_answers import ImportedAnswers, fold_imports
from tasksel.json_shapes import TEXT_OR_NULL, check_shape
from tasksel.run_folder import MANIFEST_NAME, file_sha256, read_versioned
from tasksel.run_folder_frames import check_columns, read_frame
from tasksel_core.errors import ConfigError, ResumeError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tasksel.annotation.agreement import Agreement

__all__ = [
    "IMPORTS_FOLDER",
    "LABELS_FOLDER",
    "LABELS_STAGE",
    "LABEL_FILES",
    "PROMPTS_NAME",
    "Labels",
    "check_manifest",
    "read_imports",
    "read_labels",
    "read_prompts",
]

LABELS_FOLDER: Final = "labels"
LABELS_STAGE: Final = "labels"
IMPORTS_FOLDER: Final = "imports"
PROMPTS_NAME: Final = "prompts.parquet"
LABEL_FILES: Final = (
    PROMPTS_NAME,
    "labelled.parquet",
    "adjudication.parquet",
    "adjudication.csv",
    "conflicts.jsonl",
)
_PROMPTS: Final = {"id": str, "prompt": str, "prompt_sha256": str, "task?": TEXT_OR_NULL}
_ANSWERS: Final = {
    "id": str,
    "prompt_sha256": str,
    "response": TEXT_OR_NULL,
    "status": str,
    "annotator": str,
    "source": str,
    "foreign_id": TEXT_OR_NULL,
    "note": TEXT_OR_NULL,
}
_COUNTS: Final = (
    *("asked", "labelled", "rejected", "skipped", "empty", "to_adjudicate", "open", "conflicts"),
)
_MANIFEST: Final = {
    "settings": {"annotators": [str]},
    "counts": dict.fromkeys(_COUNTS, int),
    "answers_by_annotator": {...: int},
    "imports": int,
    "files": {...: str},
}


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a run.

    Parameters
    ----------
    frame : DataFrame
        The prompts with an accepted answer: all columns of the selection, then ``response``, ``n_answers``,
        ``agreement`` and ``annotators``; ready for ``tasksel train``.
    prompts : DataFrame
        Everything that was asked so far, over all rounds.
    counts : dict of str to int
        ``asked``, ``labelled``, ``rejected``, ``skipped``, ``empty``, ``to_adjudicate``, ``open`` and
        ``conflicts``.
    rejected_ids, skipped_ids, empty_ids, disagreeing_ids, open_ids : tuple of str
        Prompts without an accepted answer, by why there is none.
    agreement : Agreement
        Over all prompts with several answers.
    answers_by_annotator : dict of str to int
        How many answers stand of each.
    annotators : tuple of str
        Whose answer goes before the majority, most trusted first.
    imports : int
        How often something was added.
    folder : Path
        ``RUN/labels``.
    """

    frame: pl.DataFrame = field(repr=False)
    prompts: pl.DataFrame = field(repr=False)
    counts: dict[str, int]
    rejected_ids: tuple[str, ...] = field(repr=False)
    skipped_ids: tuple[str, ...] = field(repr=False)
    empty_ids: tuple[str, ...] = field(repr=False)
    disagreeing_ids: tuple[str, ...] = field(repr=False)
    open_ids: tuple[str, ...] = field(repr=False)
    agreement: Agreement
    answers_by_annotator: dict[str, int]
    annotators: tuple[str, ...]
    imports: int
    folder: Path

    @property
    def labelled_ids(self) -> tuple[str, ...]:
        """Prompts with an accepted answer, in the order they were asked."""
        return tuple(self.frame["id"])

    def to_dict(self) -> dict[str, Any]:
        """Return the state without the texts, as JSON-compatible values."""
        return {
            "folder": str(self.folder),
            "counts": self.counts,
            "agreement": self.agreement.to_dict(),
            "answers_by_annotator": self.answers_by_annotator,
            "annotators": list(self.annotators),
            "imports": self.imports,
            "labelled": str(self.folder / "labelled.parquet"),
        }


def read_labels(run: str | os.PathLike[str]) -> Labels:
    """Read the labels of a run folder.

    Parameters
    ----------
    run : path
        The run folder, or its folder ``labels``.

    Raises
    ------
    ConfigError
        There are no labels.
    ResumeError
        An import was interrupted, or a file is missing or not as it was written.
    """
    folder = Path(run)
    if not (folder / MANIFEST_NAME).is_file() or folder.name != LABELS_FOLDER:
        folder = folder / LABELS_FOLDER
    manifest = check_manifest(folder)
    imports = read_imports(folder)
    if len(imports) != manifest["imports"]:
        raise ResumeError(f"An import into {folder} was interrupted; run the same command again.")
    resolved = resolve_answers(fold_imports(imports).frame, annotators=manifest["settings"]["annotators"])
    prompts = read_frame(folder / PROMPTS_NAME, _PROMPTS)
    frame = read_frame(folder / "labelled.parquet", {"id": str, "prompt": str, "response": str})
    touched = (resolved.rejected_ids, resolved.skipped_ids, resolved.empty_ids, resolved.disagreeing_ids)
    return Labels(
        frame=frame,
        prompts=prompts,
        counts=manifest["counts"],
        rejected_ids=resolved.rejected_ids,
        skipped_ids=resolved.skipped_ids,
        empty_ids=resolved.empty_ids,
        disagreeing_ids=resolved.disagreeing_ids,
        open_ids=tuple(find_missing(prompts, [*frame["id"], *itertools.chain(*touched)])),
        agreement=resolved.agreement,
        answers_by_annotator=manifest["answers_by_annotator"],
        annotators=tuple(manifest["settings"]["annotators"]),
        imports=len(imports),
        folder=folder,
    )


def check_manifest(folder: Path, *, derived: Sequence[str] = LABEL_FILES) -> dict[str, Any]:
    """Read the manifest and compare files with it.

    Parameters
    ----------
    folder : Path
        ``RUN/labels``.
    derived : sequence of str
        Which of `LABEL_FILES` must be as they were written.

    Raises
    ------
    ConfigError
        There is none.
    ResumeError
        It is of another version, or a file is missing or was changed.
    """
    if not (folder / MANIFEST_NAME).is_file():
        if list((folder / IMPORTS_FOLDER).glob("*.parquet")):
            raise ResumeError(f"An import into {folder} was interrupted; run the same command again.")
        raise ConfigError(
            f"{folder} holds no labels; allowed: a run folder that `tasksel annotate import --into` wrote to."
        )
    manifest = read_versioned(folder / MANIFEST_NAME)
    if manifest.get("stage") != LABELS_STAGE:
        raise ResumeError(
            f"{folder} is of the stage {manifest.get('stage')!r}, where {LABELS_STAGE!r} is wanted; choose "
            "another run folder."
        )
    check_shape(manifest, _MANIFEST, folder / MANIFEST_NAME)
    for name in derived:
        path = folder / name
        if not path.is_file() or file_sha256(path) != manifest["files"].get(name):
            raise ResumeError(
                f"{path} is missing or not as it was written, or an import was interrupted; `tasksel "
                "annotate import` makes it anew from the imports, so import any file again."
            )
    return manifest


def read_prompts(folder: Path) -> pl.DataFrame | None:
    """Return what was asked so far; None where there are no labels yet.

    Raises
    ------
    ResumeError
        The file cannot be read.
    """
    path = folder / PROMPTS_NAME
    if not path.is_file():
        return None
    refused = f"{path} cannot be read; restore it, or move it away and name what was asked with --selection."
    try:
        prompts = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise ResumeError(refused) from error
    check_columns(prompts, _PROMPTS, path)
    return prompts


def read_imports(folder: Path) -> list[ImportedAnswers]:
    """Read every import that was completed, in order.

    Raises
    ------
    ResumeError
        One is missing between others, or is not as it was written.
    """
    imports = []
    records = sorted((folder / IMPORTS_FOLDER).glob("[0-9]*.json"))
    for number, path in enumerate(records, start=1):
        record, data = read_versioned(path), path.with_suffix(".parquet")
        is_whole = int(path.stem) == number and data.is_file() and {"on_conflict", "decides"} <= set(record)
        if not is_whole or file_sha256(data) != record.get("sha256"):
            raise ResumeError(
                f"Import {number} in {folder} is missing or not as it was written; restore the files of "
                f"{IMPORTS_FOLDER}/."
            )
        check_shape(record, {"on_conflict": str, "decides": bool}, path)
        frame = read_frame(data, _ANSWERS)
        imports.append(ImportedAnswers(number, frame, record["on_conflict"], record["decides"]))
    return imports

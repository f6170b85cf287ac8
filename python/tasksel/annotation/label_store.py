"""The labels of a run: imports that are never changed, and what is made from all of them.

``RUN/labels/imports/NNNN.parquet`` and ``NNNN.json`` are one import; the JSON is written second, and without
it the import does not count. ``prompts.parquet`` holds what was asked, ``labelled.parquet`` the prompts with
an accepted answer, ``adjudication.parquet`` and ``.csv`` those whose annotators disagree, ``conflicts.jsonl``
what an annotator said otherwise later. All of these are made anew from the imports, and ``manifest.json``
comes last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.annotation.adjudication import Resolution, resolve_answers
from tasksel.annotation.answers import ANSWER_SCHEMA
from tasksel.annotation.asked_prompts import join_labels, merge_prompts, prepare_prompts
from tasksel.annotation.label_reading import (
    IMPORTS_FOLDER,
    LABEL_FILES,
    LABELS_FOLDER,
    LABELS_STAGE,
    PROMPTS_NAME,
    Labels,
    check_manifest,
    read_imports,
    read_labels,
    read_prompts,
)
from tasksel.annotation.spreadsheets import with_empty_answers, write_table
from tasksel.annotation.standing_answers import (
    ImportedAnswers,
    StandingAnswers,
    check_conflict_rule,
    fold_imports,
)
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    folder_lock,
    make_folder,
    write_json,
    write_text,
)
from tasksel.run_folder_frames import write_frame
from tasksel.run_folder_leftovers import remove_leftovers
from tasksel_core import __version__
from tasksel_core.errors import AnnotationError, SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["LABELS_FOLDER", "Labels", "StoredImport", "read_labels", "store_answers"]

_PLACES: Final = 4


@dataclass(frozen=True, eq=False)
class StoredImport:
    """What an import did.

    Parameters
    ----------
    labels : Labels
        Of the run, with the import.
    number : int or None
        Of the import; None where it brought nothing that was not there.
    added : int
        Answers that are new.
    repeated : int
        Answers that were there.
    conflicts : list of dict
        Where an annotator says otherwise than before, as in ``conflicts.jsonl``.
    """

    labels: Labels = field(repr=False)
    number: int | None
    added: int
    repeated: int
    conflicts: list[dict[str, Any]] = field(repr=False)


def store_answers(
    run: str | os.PathLike[str],
    prompts: pl.DataFrame,
    answers: pl.DataFrame,
    *,
    source: str,
    on_conflict: str = "keep",
    decides: bool = False,
    annotators: Sequence[str] | None = None,
    about: dict[str, Any] | None = None,
) -> StoredImport:
    """Add answers to the labels of a run, and make what follows from all of them.

    Parameters
    ----------
    run : path
        Run folder; the labels are in its folder ``labels``.
    prompts : DataFrame
        What was asked: all columns of the selection, at least ``id`` and ``prompt``.
    answers : DataFrame
        `tasksel.annotation.answers.ANSWER_SCHEMA`; every id is one of `prompts`.
    source : str
        The file or tool that they are from.
    on_conflict : {"keep", "replace", "ask-list"}
        What to do where an annotator says otherwise than in an earlier import.
    decides : bool
        Whether these answers settle their prompts, as those of an adjudication do.
    annotators : sequence of str, optional
        Whose answer goes before the majority, most trusted first; None leaves what the run has.
    about : dict, optional
        Kept beside the import, JSON-compatible: hash and format of the file, what was refused.

    Raises
    ------
    AnnotationError
        An answer belongs to no prompt, or an id stands for another prompt than before.
    SchemaError
        `answers` has other columns.
    ResumeError
        Another process holds the folder, or a file is not as it was written.
    """
    check_conflict_rule(on_conflict)
    _check_answers(answers, prompts)
    folder = Path(run) / LABELS_FOLDER
    with folder_lock(folder):
        before = read_imports(folder)
        asked = merge_prompts(read_prompts(folder), prepare_prompts(prompts))
        offered = ImportedAnswers(len(before) + 1, answers, on_conflict, decides)
        kept, repeated = _new_answers(before, offered)
        after = before if kept.is_empty() else [*before, offered._replace(frame=kept)]
        standing = fold_imports(after)
        _check_asked(standing.frame, asked)
        chosen = _stored_annotators(folder) if annotators is None else tuple(annotators)
        if not kept.is_empty():
            _write_import(folder, after[-1], {"source": source, **(about or {})})
        _write_derived(folder, asked, standing, len(after), chosen)
        labels = read_labels(run)
    number = None if kept.is_empty() else offered.number
    met = [each for each in standing.conflicts if each["later"]["import"] == number]
    return StoredImport(labels, number, kept.height, repeated, met)


def _check_answers(answers: pl.DataFrame, prompts: pl.DataFrame) -> None:
    if answers.schema != ANSWER_SCHEMA:
        raise SchemaError(
            f"Answers have the columns {', '.join(answers.columns)}; wanted are {', '.join(ANSWER_SCHEMA)}, "
            "all of them text."
        )
    unknown = answers.join(prompts.select("id"), on="id", how="anti")["id"]
    if len(unknown):
        raise AnnotationError(f"{len(unknown):,} answers belong to no prompt, the first to {unknown[0]!r}.")


def _check_asked(standing: pl.DataFrame, asked: pl.DataFrame) -> None:
    """Refuse to leave out what was answered before, which happens where the prompts of a round were lost."""
    lost = standing.join(asked.select("id"), on="id", how="anti")["id"]
    if len(lost):
        raise AnnotationError(
            f"{len(lost):,} answers of earlier imports belong to no prompt that is at hand, the first to "
            f"{lost[0]!r}: restore {PROMPTS_NAME}, or import with the --selection of that round."
        )


def _new_answers(before: list[ImportedAnswers], offered: ImportedAnswers) -> tuple[pl.DataFrame, int]:
    """Return the answers that change something, and how many do not.

    What stands already changes nothing, and neither does what was offered before and is in the list of
    conflicts: only `replace` may bring that back.
    """
    told = ("id", "annotator", "status", "response")
    known = fold_imports(before).frame.filter(pl.col("decides") == offered.decides).select(told)
    if offered.on_conflict != "replace":
        earlier = [each.frame.select(told) for each in before if each.decides == offered.decides]
        known = pl.concat([known, *earlier])
    kept = offered.frame.join(known.unique(), on=told, how="anti", nulls_equal=True, maintain_order="left")
    return kept, offered.frame.height - kept.height


def _write_import(folder: Path, imported: ImportedAnswers, about: dict[str, Any]) -> None:
    make_folder(folder / IMPORTS_FOLDER)
    remove_leftovers(folder / IMPORTS_FOLDER)
    path = folder / IMPORTS_FOLDER / f"{imported.number:0{_PLACES}d}.parquet"
    write_frame(path, imported.frame)
    record = {
        "format_version": FORMAT_VERSION,
        "rows": imported.frame.height,
        "sha256": file_sha256(path),
        "on_conflict": imported.on_conflict,
        "decides": imported.decides,
        **about,
    }
    write_json(path.with_suffix(".json"), record)


def _stored_annotators(folder: Path) -> tuple[str, ...]:
    if not (folder / MANIFEST_NAME).is_file():
        return ()
    return tuple(check_manifest(folder, derived=())["settings"]["annotators"])


def _write_derived(
    folder: Path, asked: pl.DataFrame, standing: StandingAnswers, n_imports: int, annotators: tuple[str, ...]
) -> None:
    # The manifest of before stays until the new one: it holds whom the run trusts, and its hashes tell a
    # reader that the files beside it are newer.
    resolution = resolve_answers(standing.frame, annotators=annotators)
    labelled = join_labels(asked, resolution.labels)
    to_settle = _adjudication(asked, resolution)
    write_frame(folder / PROMPTS_NAME, asked)
    write_frame(folder / "labelled.parquet", labelled)
    write_frame(folder / "adjudication.parquet", to_settle)
    write_table(folder / "adjudication.csv", with_empty_answers(to_settle))
    lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in standing.conflicts)
    write_text(folder / "conflicts.jsonl", "".join(lines))
    write_json(folder / MANIFEST_NAME, _manifest(folder, asked, standing, resolution, n_imports, annotators))


def _adjudication(asked: pl.DataFrame, resolution: Resolution) -> pl.DataFrame:
    prompts = asked.select(
        name for name in ("id", "task", "prompt", "prompt_sha256") if name in asked.columns
    )
    return prompts.join(resolution.disagreements, on="id", maintain_order="left_right")


def _manifest(
    folder: Path,
    asked: pl.DataFrame,
    standing: StandingAnswers,
    resolution: Resolution,
    n_imports: int,
    annotators: tuple[str, ...],
) -> dict[str, Any]:
    counts = {
        "asked": asked.height,
        "labelled": resolution.labels.height,
        "rejected": len(resolution.rejected_ids),
        "skipped": len(resolution.skipped_ids),
        "empty": len(resolution.empty_ids),
        "to_adjudicate": len(resolution.disagreeing_ids),
    }
    counts |= {"open": 2 * asked.height - sum(counts.values()), "conflicts": len(standing.conflicts)}
    answers = standing.frame.filter(pl.col("status") == "answered")["annotator"].value_counts(sort=True)
    return {
        "format_version": FORMAT_VERSION,
        "stage": LABELS_STAGE,
        "settings": {"annotators": list(annotators)},
        "counts": counts,
        "answers_by_annotator": dict(sorted(answers.iter_rows())),
        "agreement": resolution.agreement.to_dict(),
        "imports": n_imports,
        "versions": {"tasksel": __version__, "polars": pl.__version__},
        "files": {name: file_sha256(folder / name) for name in LABEL_FILES},
    }

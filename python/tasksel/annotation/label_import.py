"""Answers come back: read, checked against what was asked, and added to the labels of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.annotation.answer_checks import CheckedAnswers, Problem, check_answers
from tasksel.annotation.answer_files import find_export, is_address, read_answers
from tasksel.annotation.answers import ANSWERED, EMPTY, REJECTED, SKIPPED
from tasksel.annotation.asked_prompts import merge_prompts, prepare_prompts
from tasksel.annotation.assignment import is_selection, read_assignment
from tasksel.annotation.label_reading import LABELS_FOLDER, read_prompts
from tasksel.annotation.label_store import StoredImport, store_answers
from tasksel.annotation.standing_answers import check_conflict_rule
from tasksel.run_folder import file_sha256
from tasksel_core.errors import AnnotationError, ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tasksel.annotation.answers import ReturnedAnswers
    from tasksel.annotation.label_reading import Labels

__all__ = ["ADJUDICATOR", "LabelImport", "import_labels"]

ADJUDICATOR: Final = "adjudicator"
"""Annotator of an adjudication whose file names none."""
_MOST_SHOWN_CONFLICTS: Final = 20
_MOST_NAMED: Final = 10


@dataclass(frozen=True, eq=False)
class LabelImport:
    """What an import found and did.

    Parameters
    ----------
    source : str
        The file, or host and project.
    format : str
        What it was recognised as.
    rows : int
        Rows, or annotations and untouched tasks, in it.
    counts : dict of str to int
        Of its usable answers: ``answered``, ``empty``, ``skipped``, ``rejected``; and ``open`` rows.
    problems : tuple of Problem
        What is wrong or good to know; empty if nothing.
    added, repeated : int
        Answers that are new, and that were there.
    conflicts : list of dict
        Where an annotator says otherwise than before.
    labels : Labels or None
        Of the run, with the import; None after a dry run.
    notes : tuple of str
        What a person should know of the source.
    """

    source: str
    format: str
    rows: int
    counts: dict[str, int]
    problems: tuple[Problem, ...]
    added: int
    repeated: int
    conflicts: list[dict[str, Any]] = field(repr=False)
    labels: Labels | None = field(repr=False)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-compatible values; of many conflicts the first ones."""
        return {
            "source": self.source,
            "format": self.format,
            "rows": self.rows,
            "counts": self.counts,
            "problems": [each.to_dict() for each in self.problems],
            "added": self.added,
            "repeated": self.repeated,
            "n_conflicts": len(self.conflicts),
            "conflicts": self.conflicts[:_MOST_SHOWN_CONFLICTS],
            "labels": None if self.labels is None else self.labels.to_dict(),
            "notes": list(self.notes),
        }


def import_labels(
    source: str | os.PathLike[str],
    *,
    into: str | os.PathLike[str],
    selection: str | os.PathLike[str] | None = None,
    response_column: str | None = None,
    id_column: str | None = None,
    annotator: str | None = None,
    trusted: Sequence[str] | None = None,
    on_conflict: str = "keep",
    adjudication: bool = False,
    accept_changed: bool = False,
    strict: bool = False,
    dry_run: bool = False,
) -> LabelImport:
    """Read what annotators gave back, check it, and add it to the labels of a run.

    A part of the answers is welcome, and a later import adds to it. The order of rows and further columns do
    not matter; answers are joined by id, and by prompt where the ids are lost. The same file twice adds
    nothing.

    Parameters
    ----------
    source : path or URL
        A file or folder of any of the export formats, or the address of a project in Label Studio.
    into : path
        Run folder; the labels are in ``labels/``, of which ``labels/labelled.parquet`` can be trained on.
    selection : path, optional
        What was asked: the folder of the selection, or a file of prompts. By default a selection in the run
        folder, and what was asked in earlier imports.
    response_column, id_column : str, optional
        Columns with the answer and the id, if they have other names.
    annotator : str, optional
        Who answered, where the file does not say.
    trusted : sequence of str, optional
        Annotators whose answer goes before the majority, most trusted first; None leaves what the run has.
    on_conflict : {"keep", "replace", "ask-list"}
        Where an annotator says otherwise than in an earlier import: the earlier answer stays, the later one
        takes its place, or neither counts until it is adjudicated. It is listed in any case.
    adjudication : bool
        These answers settle their prompts, whatever others said: a filled-in ``adjudication.csv``.
    accept_changed : bool
        Take answers whose prompt came back changed.
    strict : bool
        Refuse the whole file if any row of it is wrong.
    dry_run : bool
        Only check.

    Returns
    -------
    LabelImport

    Raises
    ------
    AnnotationError
        The source cannot be read, no row belongs to what was asked, or `strict` finds something wrong.
    ConfigError
        It is not known what was asked, or an option is none of those allowed.
    ResumeError
        Another process holds the labels, or a file is not as it was written.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asked, answers = Path(folder, "asked.jsonl"), Path(folder, "answers.csv")
    ...     pl.DataFrame({"id": ["a", "b"], "prompt": ["1+1=", "2+2="]}).write_ndjson(asked)
    ...     pl.DataFrame({"id": ["b"], "response": ["4"]}).write_csv(answers)
    ...     made = import_labels(answers, into=folder, selection=asked)
    ...     print(made.problems[0].sentence, made.labels.frame["response"].to_list())
    1 prompt did not come back, or is open: 'a'. ['4']
    """
    check_conflict_rule(on_conflict)
    run = Path(into)
    named = str(source)
    export = None if is_address(named) else find_export(Path(source))
    prompts, asked_ids = _find_prompts(run, selection, export)
    returned = read_answers(named, response_column=response_column, id_column=id_column)
    checked = check_answers(
        _with_exported_hashes(returned.frame, export),
        prompts,
        asked_ids=() if adjudication else asked_ids,
        source=returned.name,
        annotator=annotator or (ADJUDICATOR if adjudication else None),
        accept_changed=accept_changed,
    )
    _check_usable(checked, returned, strict=strict)
    stored = None
    if not dry_run:
        stored = store_answers(
            run,
            prompts,
            checked.answers,
            source=returned.name,
            on_conflict=on_conflict,
            decides=adjudication,
            annotators=trusted,
            about={
                "format": returned.format,
                "source_sha256": returned.sha256,
                "source_rows": returned.frame.height,
                "problems": [each.to_dict() for each in checked.problems if each.kind != "missing"],
            },
        )
    return _summary(returned, checked, stored)


def _summary(returned: ReturnedAnswers, checked: CheckedAnswers, stored: StoredImport | None) -> LabelImport:
    statuses = checked.answers["status"].to_list()
    counts = {each: statuses.count(each) for each in (ANSWERED, EMPTY, SKIPPED, REJECTED)}
    return LabelImport(
        source=returned.name,
        format=returned.format,
        rows=returned.frame.height,
        counts={**counts, "open": checked.open_rows},
        problems=checked.problems,
        added=stored.added if stored else 0,
        repeated=stored.repeated if stored else 0,
        conflicts=stored.conflicts if stored else [],
        labels=stored.labels if stored else None,
        notes=(*returned.notes, *(_trust_notes(stored.labels) if stored else ())),
    )


def _trust_notes(labels: Labels) -> tuple[str, ...]:
    """Say whom the run trusts and nobody has heard of."""
    strangers = [each for each in labels.annotators if each not in labels.answers_by_annotator]
    if not strangers or not labels.answers_by_annotator:
        return ()
    known = ", ".join(map(repr, list(labels.answers_by_annotator)[:_MOST_NAMED]))
    return (f"Nobody called {', '.join(map(repr, strangers))} has answered; those who have are {known}.",)


def _check_usable(checked: CheckedAnswers, returned: ReturnedAnswers, *, strict: bool) -> None:
    errors = [each for each in checked.problems if each.is_error]
    if errors and checked.answers.is_empty() and not checked.open_rows:
        raise AnnotationError(
            f"None of the {returned.frame.height:,} rows of {returned.name} belongs to what was asked: "
            f"{errors[0].sentence} Is that the right run folder?"
        )
    if errors and strict:
        raise AnnotationError(f"{returned.name} was refused: {' '.join(each.sentence for each in errors)}")


def _find_prompts(
    run: Path, selection: str | os.PathLike[str] | None, export: dict[str, Any] | None
) -> tuple[pl.DataFrame, list[str]]:
    """Return everything that was asked, and the ids that this import should bring back.

    Raises
    ------
    ConfigError
        There is nothing that says what was asked, or several selections that might.
    """
    before = read_prompts(run / LABELS_FOLDER)
    place = Path(selection) if selection is not None else _selection_in(run, export, required=before is None)
    asked = None if place is None else prepare_prompts(read_assignment(place).selected)
    prompts = before if asked is None else merge_prompts(before, asked)
    if prompts is None:
        raise AssertionError
    known = set(prompts["id"]) if export is not None else set()
    exported = [each for each in export["prompts"] if each in known] if export is not None else []
    if exported:
        return prompts, exported
    return prompts, (asked if asked is not None else prompts)["id"].to_list()


def _with_exported_hashes(returned: pl.DataFrame, export: dict[str, Any] | None) -> pl.DataFrame:
    """Say of rows that came back without their prompt which prompt was exported under their id."""
    if export is None:
        return returned
    hashes = {each: str(sha256) for each, sha256 in export["prompts"].items()}
    exported = pl.col("id").replace_strict(hashes, default=None, return_dtype=pl.String)
    is_bare = pl.col("prompt").is_null() & pl.col("prompt_sha256").is_null()
    return returned.with_columns(
        prompt_sha256=pl.when(is_bare).then(exported).otherwise(pl.col("prompt_sha256"))
    )


def _selection_in(run: Path, export: dict[str, Any] | None, *, required: bool) -> Path | None:
    """Return the selection in a run folder; of several, that which was exported."""
    places = [run, run / "selection", *_subfolders(run / "selections"), *_subfolders(run)]
    found = [each for each in dict.fromkeys(places) if is_selection(each)]
    if export is not None and len(found) > 1:
        wanted = export.get("selection", {}).get("sha256")
        found = [each for each in found if file_sha256(each / "selected.parquet") == wanted]
    if len(found) == 1:
        return found[0]
    if not required:
        return None
    if found:
        names = ", ".join(str(each.relative_to(run)) for each in found[:5])
        raise ConfigError(
            f"{run} holds several selections ({names}); name one with --selection (selection=)."
        )
    raise ConfigError(
        f"{run} holds no selection, so that nothing says what was asked; name it with --selection "
        "(selection=)."
    )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []

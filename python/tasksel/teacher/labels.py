"""Between a teacher and the labels of a run: which prompts it is asked for, and what is added."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from tasksel.annotation.answers import ANSWER_SCHEMA
from tasksel.annotation.asked_prompts import merge_prompts, prepare_prompts
from tasksel.annotation.label_reading import IMPORTS_FOLDER, LABELS_FOLDER, read_imports, read_labels
from tasksel.annotation.label_store import store_answers
from tasksel.run_folder import MANIFEST_NAME, read_versioned

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["KnownLabels", "finish_import", "is_blank", "prompts_to_ask", "read_known_labels"]


class KnownLabels(NamedTuple):
    """What the labels of a run say before a teacher is asked.

    Attributes
    ----------
    labelled, rejected : frozenset of str
        Rows with an accepted answer, and rows that annotators rejected.
    own : frozenset of str
        Rows with an answer from this very folder.
    """

    labelled: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()


def read_known_labels(run: str | os.PathLike[str], prompts: pl.DataFrame, *, source: str) -> KnownLabels:
    """Read the labels of a run; without any there are none.

    Parameters
    ----------
    run : path
        Run folder.
    prompts : DataFrame
        The selection, all columns.
    source : str
        Name of the teacher's folder, as its answers have it.

    Raises
    ------
    AnnotationError
        An id stands for another prompt in the labels, so that no answer could be added to them.
    ResumeError
        An import was interrupted, or a file is not as it was written.
    """
    folder = Path(run) / LABELS_FOLDER
    if not (folder / MANIFEST_NAME).is_file() and not (folder / IMPORTS_FOLDER).is_dir():
        return KnownLabels()
    labels = read_labels(run)
    merge_prompts(labels.prompts, prepare_prompts(prompts))
    own = {
        identifier
        for each in read_imports(folder)
        for identifier in each.frame.filter(pl.col("source") == source)["id"]
    }
    return KnownLabels(frozenset(labels.labelled_ids), frozenset(labels.rejected_ids), frozenset(own))


def finish_import(run: str | os.PathLike[str], prompts: pl.DataFrame) -> None:
    """Finish an import that was killed half-way; labels that are whole stay as they are.

    Parameters
    ----------
    run : path
        Run folder.
    prompts : DataFrame
        The selection, all columns.
    """
    folder = Path(run) / LABELS_FOLDER
    if not (folder / IMPORTS_FOLDER).is_dir():
        return
    manifest = folder / MANIFEST_NAME
    if manifest.is_file() and read_versioned(manifest).get("imports") == len(read_imports(folder)):
        return
    store_answers(run, prompts, pl.DataFrame(schema=ANSWER_SCHEMA), source="")


def prompts_to_ask(frame: pl.DataFrame, known: KnownLabels, asked: Mapping[str, set[str]]) -> pl.DataFrame:
    """Return the rows that are the teacher's: those that it was asked for before, and those without a label.

    A blank prompt is nobody's: whatever is answered to it would be no label.

    Parameters
    ----------
    frame : DataFrame
        ``id`` and ``prompt_sha256`` among its columns.
    known : KnownLabels
        Of the run.
    asked : mapping of str to set of str
        Hash of a prompt -> rows that it was asked for, as the journal has it.
    """
    settled = known.labelled | known.rejected
    begun = set().union(*asked.values()) | known.own
    is_open = [each in begun or each not in settled for each in frame["id"]]
    return frame.filter(pl.Series(is_open, dtype=pl.Boolean) & ~is_blank(frame))


def is_blank(frame: pl.DataFrame) -> pl.Series:
    """Return which rows have a prompt without a character that can be seen."""
    return frame["prompt"].str.strip_chars() == ""

"""Which prompts of a pool have labels already: what a second round builds on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.pool import load_pool, unanswered
from tasksel.run_folder import MANIFEST_NAME, file_sha256, read_versioned
from tasksel.run_folder_frames import read_frame
from tasksel.scores_places import IdPlaces
from tasksel_core.errors import ResumeError, SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.pool import PoolSource

__all__ = ["ASKED_NAME", "LABELLED_NAME", "LabelledRows", "read_labelled"]

LABELLED_NAME: Final = "labelled.parquet"
ASKED_NAME: Final = "prompts.parquet"
"""Beside the labels, where it is known: everything that annotators were shown."""
LABELS_FILE: Final = Path("labels") / LABELLED_NAME


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows of a pool that annotators have seen.

    Parameters
    ----------
    rows : ndarray of int64, shape (n_labelled,)
        Pool rows with a label, ascending.
    set_aside_rows : ndarray of int64, shape (n_set_aside,)
        Pool rows that annotators were shown and that have none, ascending: skipped, rejected, not settled, or
        still with them.
    name : str
        Where that was read from.
    n_foreign : int
        Labels of prompts that are not in the pool.
    """

    rows: NDArray[np.int64]
    set_aside_rows: NDArray[np.int64]
    name: str
    n_foreign: int = 0

    def account(self, ids: pl.Series) -> dict[str, Any]:
        """Return what a manifest says of them; `ids` are the pool's."""
        digest = hashlib.sha256()
        for rows in (self.rows, self.set_aside_rows):
            digest.update("\n".join([*ids.gather(rows).to_list(), ""]).encode())
        return {
            "name": self.name,
            "rows": len(self.rows),
            "set_aside": len(self.set_aside_rows),
            "sha256": digest.hexdigest(),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about them."""
        notes = []
        if self.n_foreign:
            are = "prompt is" if self.n_foreign == 1 else "prompts are"
            notes.append(f"{self.n_foreign:,} labelled {are} not in the pool and left out.")
        n_aside = len(self.set_aside_rows)
        if n_aside:
            which = "1 prompt was" if n_aside == 1 else f"{n_aside:,} prompts were"
            again = "it is" if n_aside == 1 else "they are"
            notes.append(f"{which} shown to annotators without getting a label: {again} not chosen again.")
        return tuple(notes)


def read_labelled(source: PoolSource, pool_ids: pl.Series) -> LabelledRows:
    """Find which prompts of a pool have labels.

    Parameters
    ----------
    source : path, DataFrame, LazyFrame or Pool
        A run folder that labels were imported into, or any pool whose ``id`` are those of `pool_ids`. Where
        it has responses, only rows with one count as labelled; where it has none at all, such as a selection
        that is out with annotators, all do. In a run folder, what annotators were shown and what has no
        accepted label is set aside.
    pool_ids : Series, shape (n_pool,)
        The pool's ids.

    Returns
    -------
    LabelledRows

    Raises
    ------
    SchemaError
        The source cannot be read, or none of its prompts is in the pool.
    ResumeError
        The labels of a run folder are not as they were written.
    """
    place = _labels_of_run(source)
    if place is not None:
        _check_written(place)
        if read_frame(place, {"id": str}, is_all=True).is_empty():  # all was skipped or rejected
            nothing = np.empty(0, dtype=np.int64)
            return LabelledRows(nothing, _asked_rows(place, IdPlaces(pool_ids)), place.name)
    labelled = load_pool(source if place is None else place)
    frame = labelled.frame
    if "response" in frame.columns:
        frame = frame.filter(~pl.col("id").is_in(unanswered(frame)["id"].implode()))
    places = IdPlaces(pool_ids)
    rows = places.rows_of(frame["id"])
    known = np.unique(rows[rows >= 0])
    if not len(known) and frame.height:
        raise SchemaError(
            f"None of the {frame.height:,} labelled prompts of {labelled.name} is in the pool: their ids "
            f"differ, as {frame['id'][0]!r} and {pool_ids[0]!r}."
        )
    asked = known if place is None else _asked_rows(place, places)
    return LabelledRows(known, np.setdiff1d(asked, known), labelled.name, int((rows < 0).sum()))


def _asked_rows(place: Path, places: IdPlaces) -> NDArray[np.int64]:
    """Return the pool rows that annotators were shown, as far as the folder knows."""
    path = place.parent / ASKED_NAME
    if place.name != LABELLED_NAME or not path.is_file():
        return np.empty(0, dtype=np.int64)
    rows = places.rows_of(read_frame(path, {"id": str}, is_all=True)["id"])
    return np.unique(rows[rows >= 0])


def _labels_of_run(source: PoolSource) -> Path | None:
    """Return the file of labels in a run folder; None where the source is something else."""
    if not isinstance(source, (str, Path)):
        return None
    folder = Path(source)
    if not folder.is_dir():
        is_of_run = folder.name == LABELLED_NAME and (folder.parent / ASKED_NAME).is_file()
        return folder if is_of_run and folder.is_file() else None
    for path in (folder / LABELS_FILE, folder / LABELLED_NAME, folder / "selected.parquet"):
        if path.is_file():
            return path
    raise SchemaError(
        f"{folder} holds no labels; allowed: a run folder that `tasksel annotate import --into` wrote, a "
        "folder of a selection, or a file of prompts."
    )


def _check_written(place: Path) -> None:
    """Compare the files with the manifest beside them, where there is one."""
    manifest = place.parent / MANIFEST_NAME
    files = read_versioned(manifest).get("files", {}) if manifest.is_file() else {}
    for name in (place.name, ASKED_NAME):
        path = place.parent / name
        if name in files and (not path.is_file() or file_sha256(path) != files[name]):
            raise ResumeError(f"{path} is missing or not as it was written; restore it.")

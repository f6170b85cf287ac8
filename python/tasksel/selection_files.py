"""A selection that was written: read back, with what it was made from, and made anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.allocation import ALLOCATION_SCHEMA
from tasksel.csv_cells import undefused_texts
from tasksel.json_shapes import NUMBER, NUMBER_OR_NULL, TEXT_OR_NULL, check_shape
from tasksel.pool import Pool, load_pool
from tasksel.pool_file_scan import first_clause
from tasksel.run_folder import MANIFEST_NAME, check_format_version, file_sha256, read_json, read_versioned
from tasksel.run_folder_frames import read_frame
from tasksel.scores import READY_MADE
from tasksel.selection import SELECT_STAGE, SELECTION_FILES, Selection, select
from tasksel.selection_labelled import LABELS_FILE
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from tasksel.pool import PoolSource

__all__ = [
    "JOB_NAME",
    "SavedSelection",
    "SelectionInputs",
    "find_inputs",
    "open_pool",
    "read_selection",
    "replay",
]

JOB_NAME: Final = "job.json"
"""File of a run folder that says under ``inputs`` where pool, scores and embeddings are."""
_DEPTH: Final = 2
"""A run folder is the selection's parent, or the parent of a folder of several selections."""


@dataclass(frozen=True, eq=False)
class SavedSelection:
    """A selection as its folder holds it.

    Parameters
    ----------
    folder : Path
        Where it stands.
    frame : DataFrame
        The pool's columns for the selected rows, and ``rank`` (1 = label first).
    allocation : DataFrame
        One row a task; see `tasksel.Selection`.
    manifest : dict
        What it was made from, with which settings, and its figures.
    """

    folder: Path
    frame: pl.DataFrame = field(repr=False)
    allocation: pl.DataFrame = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """Strategy, budget, seed and the options that decided the selection."""
        return dict(self.manifest["settings"])

    @property
    def figures(self) -> dict[str, Any]:
        """Rows, tasks and concentrations, as the manifest has them."""
        return dict(self.manifest["figures"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was said when the selection was made."""
        return tuple(self.manifest.get("notes", ()))


def read_selection(folder: str | os.PathLike[str]) -> SavedSelection:
    """Read a folder that `Selection.save` or ``tasksel select --out`` wrote.

    Parameters
    ----------
    folder : path
        With ``manifest.json``, ``selected.parquet`` and ``allocation.csv``.

    Raises
    ------
    ConfigError
        The folder holds no selection.
    ResumeError
        A file is missing, was changed since, or was written by a newer tasksel.
    """
    place = Path(folder)
    if not (place / MANIFEST_NAME).is_file():
        raise ConfigError(
            f"{place} holds no finished selection; allowed: a folder that `tasksel select --out` wrote."
        )
    manifest = read_json(place / MANIFEST_NAME)
    if manifest.get("stage") != SELECT_STAGE:
        raise ConfigError(
            f"{place} is a folder of the stage {manifest.get('stage')!r}, not of a selection; allowed: a "
            "folder that `tasksel select --out` wrote."
        )
    check_format_version(manifest, place / MANIFEST_NAME)
    check_shape(manifest, _MANIFEST, place / MANIFEST_NAME)
    for name in SELECTION_FILES:
        _check_file(place / name, manifest)
    try:
        frame = read_frame(place / "selected.parquet", _SELECTED)
        table = pl.read_csv(
            place / "allocation.csv", schema_overrides=_CSV_SCHEMA, empty_string_is_null=False
        )
        allocation = undefused_texts(table).with_columns(pl.col("capped") == "True")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ResumeError(
            f"{place} cannot be read ({first_clause(error)}); make the selection anew."
        ) from error
    return SavedSelection(place, frame, allocation, manifest)


_CSV_SCHEMA: Final = pl.Schema({**ALLOCATION_SCHEMA, "capped": pl.String(), "labelled": pl.Int64()})
"""The file has Python's True and False, which polars does not read."""


_SELECTED: Final = {"id": str, "prompt": str, "rank": int, "task?": TEXT_OR_NULL, "response?": TEXT_OR_NULL}
_USED: Final = {"sha256": str}
_MANIFEST: Final = {
    "pool": {
        "name": str,
        "sha256": str,
        "rows": int,
        "task_column?": TEXT_OR_NULL,
        "id_column?": TEXT_OR_NULL,
    },
    "scores": (_USED, None),
    "embeddings": (_USED, None),
    "labelled?": (_USED, None),
    "settings": {
        "strategy": str,
        "budget": NUMBER,
        "seed": int,
        "options?": dict,
        "metric?": str,
        "within?": str,
        "base?": int,
        "alpha?": NUMBER,
        "max_ratio?": NUMBER_OR_NULL,
        "task_mean?": str,
        "rounding?": str,
        "cost_column?": TEXT_OR_NULL,
        "prices?": ({...: NUMBER_OR_NULL}, None),
        "per_cost?": bool,
    },
    "figures": {
        "selected": int,
        "pool_rows": int,
        "tasks": int,
        "tasks_picked": int,
        "tasks_capped": int,
        "effective_tasks_picked": NUMBER,
        "effective_tasks_weight?": NUMBER,
        "largest_weight_share?": NUMBER,
        "covering_radius?": NUMBER,
    },
    "notes?": [str],
    "versions": {"tasksel": str},
    "files": {...: str},
}


def _check_file(path: Path, manifest: dict[str, Any]) -> None:
    recorded = manifest.get("files", {}).get(path.name)
    if not path.is_file():
        raise ResumeError(f"{path} is missing; make the selection anew.")
    if file_sha256(path) != recorded:
        raise ResumeError(f"{path} is not as it was written; make the selection anew, or restore the file.")


@dataclass(frozen=True, eq=False)
class SelectionInputs:
    """What a selection is made from; None for what is not at hand.

    Parameters
    ----------
    pool : path, DataFrame, LazyFrame or Pool, optional
        The prompts.
    scores : path or DataFrame, optional
        Run folder of ``tasksel score``, or scores made elsewhere.
    embeddings : column name, path or ndarray, optional
        One vector a prompt.
    labelled : path, DataFrame, LazyFrame or Pool, optional
        What had labels when the selection was made.
    """

    pool: PoolSource | None = None
    scores: str | os.PathLike[str] | pl.DataFrame | None = None
    embeddings: str | os.PathLike[str] | NDArray[np.float32] | None = None
    labelled: PoolSource | None = None


def find_inputs(
    folder: str | os.PathLike[str],
    *,
    pool: PoolSource | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    embeddings: str | os.PathLike[str] | NDArray[np.float32] | None = None,
) -> SelectionInputs:
    """Find what a selection was made from, where it stands beside it in a run folder.

    Parameters
    ----------
    folder : path
        Of the selection.
    pool, scores, embeddings
        Given by the user; these are taken as they are.

    Returns
    -------
    SelectionInputs
        What was given; then what ``job.json`` of the run folder names; then ``pool.parquet``, ``scores``
        or ``run/scores``, ``embeddings`` or ``embeddings.npy``, and imported labels in the run folder.
    """
    found: dict[str, Any] = {}
    for run in list(Path(folder).absolute().parents)[:_DEPTH]:
        found = {**_beside(run), **_of_job(run), **found}
    return SelectionInputs(
        pool=found.get("pool") if pool is None else pool,
        scores=found.get("scores") if scores is None else scores,
        embeddings=found.get("embeddings") if embeddings is None else embeddings,
        labelled=found.get("labelled"),
    )


def _beside(run: Path) -> dict[str, str]:
    places = {
        "pool": (run / "pool.parquet",),
        "scores": (run / "scores" / MANIFEST_NAME, run / "run" / "scores" / MANIFEST_NAME),
        "embeddings": (run / "embeddings" / MANIFEST_NAME, run / "embeddings.npy"),
        "labelled": (run / LABELS_FILE,),
    }
    found = {}
    for name, candidates in places.items():
        for path in candidates:
            if path.is_file():
                found[name] = str(path.parent if path.name == MANIFEST_NAME else path)
                break
    return found


def _of_job(run: Path) -> dict[str, str]:
    if not (run / JOB_NAME).is_file():
        return {}
    inputs = read_versioned(run / JOB_NAME, {"inputs?": dict}).get("inputs", {})
    return {
        name: str(_resolved(run, place))
        for name, place in inputs.items()
        if name in ("pool", "scores", "embeddings", "labelled") and isinstance(place, str)
    }


def _resolved(run: Path, place: str) -> str | Path:
    """Take a place in or beside the run folder as relative to it; a column or a URL stays what it is."""
    return run / place if (run / place.partition(".parquet:")[0]).exists() else place


def replay(
    saved: SavedSelection, inputs: SelectionInputs, *, budget: int | None = None, seed: int | None = None
) -> Selection:
    """Make a selection anew from what it was made from, or as it would be with another budget or seed.

    Parameters
    ----------
    saved : SavedSelection
        Its settings are taken.
    inputs : SelectionInputs
        The pool, and the scores and embeddings if the selection used any.
    budget, seed : int, optional
        Instead of those of the selection.

    Returns
    -------
    Selection

    Raises
    ------
    ConfigError
        An input that the selection used is not given.
    SchemaError
        An input is not the one that the selection was made from.
    """
    settings = saved.settings
    if inputs.pool is None:
        raise ConfigError(f"The pool of {saved.folder} is not at hand: name it with --pool (pool=).")
    pool = open_pool(saved, inputs.pool)
    metric = settings.get("metric")
    made = select(
        pool,
        budget=settings["budget"] if budget is None else budget,
        seed=settings["seed"] if seed is None else seed,
        scores=inputs.scores if saved.manifest["scores"] is not None else None,
        embeddings=inputs.embeddings if saved.manifest["embeddings"] is not None else None,
        labelled=_labelled(saved, inputs),
        cost_column=settings.get("cost_column"),
        prices=settings.get("prices"),
        per_cost=settings.get("per_cost", False),
        strategy=settings["strategy"],
        metric=None if metric == READY_MADE else metric,
        options=settings.get("options"),
        **{name: settings[key] for name, key in _ALLOCATING.items() if key in settings},
    )
    for name in ("scores", "embeddings", "labelled"):
        _check_same(saved, made, name)
    return made


def _labelled(saved: SavedSelection, inputs: SelectionInputs) -> PoolSource | None:
    if saved.manifest.get("labelled") is None:
        return None
    if inputs.labelled is None:
        raise ConfigError(f"What was labelled before {saved.folder} is not at hand: name it (labelled=).")
    return inputs.labelled


_ALLOCATING: Final = {
    "within": "within",
    "base": "base",
    "alpha": "alpha",
    "max_weight_ratio": "max_ratio",
    "task_mean": "task_mean",
    "rounding": "rounding",
}
"""Parameters of `select` by their name in the manifest, which has them where the strategy allocates."""


def open_pool(saved: SavedSelection, source: PoolSource) -> Pool:
    """Read the pool of a selection, with the columns that it was read with.

    Parameters
    ----------
    saved : SavedSelection
        The selection.
    source : path, DataFrame, LazyFrame or Pool
        A `Pool` is taken as it is.

    Raises
    ------
    SchemaError
        It cannot be read, or is not the pool that the selection was made from.
    """
    read = saved.manifest["pool"]
    columns = {key: read.get(key) for key in ("task_column", "id_column")}
    pool = source if isinstance(source, Pool) else load_pool(source, **columns)
    if pool.sha256 != read["sha256"]:
        raise SchemaError(
            f"{pool.name} is not the pool that {saved.folder} was made from ({read['name']}, "
            f"{read['rows']:,} rows, sha256 {read['sha256'][:12]})."
        )
    return pool


def _check_same(saved: SavedSelection, made: Selection, name: str) -> None:
    before, now = saved.manifest.get(name), made.manifest.get(name)
    if before is not None and (now is None or before["sha256"] != now["sha256"]):
        raise SchemaError(
            f"The {name} are not those that {saved.folder} was made with (sha256 {before['sha256'][:12]}); "
            f"name them with --{name} ({name}=)."
        )

"""The files of a finished study: tables, the page, pictures where the extra ``plots`` is there; read back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.json_shapes import AN_OBJECT, NUMBER, NUMBER_OR_NULL, TEXT_OR_NULL
from tasksel.run_folder import FORMAT_VERSION, file_sha256, read_versioned, write_json, write_text
from tasksel.run_folder_frames import read_frame, write_frame
from tasksel.study.cells import GAINS_SHAPE
from tasksel.study.config_file import parse_study
from tasksel.study.page import render_page
from tasksel.study.pictures import draw_pictures
from tasksel.study.results import CollectedCells, StudyResult
from tasksel_core.errors import ConfigError, ResumeError

if TYPE_CHECKING:
    import os

    from tasksel.study.config import StudyConfig

__all__ = ["STUDY_NAME", "plain_config", "publish", "read_study"]

STUDY_NAME: Final = "study.json"
"""Written last: what was asked, and the hashes of the tables that the figures stand in."""
_READ_BACK: Final = ("cells.csv", "tasks.parquet", "contamination.csv")
_MANIFEST: Final = {
    "name": str,
    "study": AN_OBJECT,
    "chosen": TEXT_OR_NULL,
    "gains": {...: GAINS_SHAPE},
    "files": {...: str},
}
_TASKS: Final = {
    "phase": str,
    "world": str,
    "seed": int,
    "arm": str,
    "budget": NUMBER,
    "labels": int,
    "confidence": NUMBER_OR_NULL,
    "task": str,
}
_TEXTS: Final = ("phase", "world", "arm", "metric", "training", "reference")
_FLOATS: Final = ("budget", "macro", "micro")


def publish(result: StudyResult) -> None:
    """Write ``report.md`` with its pictures, tables, and ``study.json`` last.

    The tables are ``cells``, ``tasks``, ``arms``, ``contamination`` and the comparisons. Equal figures give
    equal bytes.

    Parameters
    ----------
    result : StudyResult
        Written into its folder.
    """
    (result.folder / STUDY_NAME).unlink(missing_ok=True)
    both = [each for each in (result.tuning, result.report) if each.cells.height]
    write_text(result.folder / "cells.csv", pl.concat([each.cells for each in both]).write_csv())
    write_frame(result.folder / "tasks.parquet", pl.concat([each.tasks for each in both]))
    for name in ("arms", "differences", "efficiency", "contamination"):
        write_text(result.folder / f"{name}.csv", getattr(result, name).write_csv())
    pictures = draw_pictures(result)
    write_text(result.folder / "report.md", render_page(result, pictures))
    write_json(
        result.folder / STUDY_NAME,
        {
            "format_version": FORMAT_VERSION,
            "stage": "study",
            "name": result.study.name,
            "study": plain_config(result.study),
            "chosen": result.chosen,
            "gains": result.gains,
            "files": {name: file_sha256(result.folder / name) for name in _READ_BACK},
        },
    )


def plain_config(study: StudyConfig) -> dict[str, Any]:
    """Return a study as its TOML file states it, JSON-compatible, without the places of this machine."""
    content = dataclasses.asdict(study)
    del content["name"], content["folder"]
    for world in content["worlds"]:
        for name in ("model", "path", "embeddings"):
            if world[name] is not None and Path(world[name]).is_absolute():
                world[name] = Path(world[name]).name
    plain: dict[str, Any] = _without_none(content)
    return plain


def _without_none(content: Any) -> Any:
    """Leave out what was not given, which a file of a study does not say either."""
    if isinstance(content, dict):
        return {name: _without_none(value) for name, value in content.items() if value is not None}
    return [_without_none(each) for each in content] if isinstance(content, (list, tuple)) else content


def read_study(folder: str | os.PathLike[str]) -> StudyResult:
    """Read what a finished study found.

    Parameters
    ----------
    folder : path
        What `tasksel.study.run_study` was told to write to.

    Returns
    -------
    StudyResult

    Raises
    ------
    ConfigError
        There is no finished study in the folder.
    ResumeError
        A file is missing, was changed, or was written by a newer tasksel.
    """
    place = Path(folder)
    if not (place / STUDY_NAME).is_file():
        raise ConfigError(f"{place} holds no finished study; allowed: a folder that `tasksel study` wrote.")
    manifest = read_versioned(place / STUDY_NAME, _MANIFEST)
    for name in _READ_BACK:
        path = place / name
        if not path.is_file() or file_sha256(path) != manifest["files"].get(name):
            raise ResumeError(f"{path} is not as it was written; run the same `tasksel study` again.")
    cells, tasks = _read_csv(place / "cells.csv"), read_frame(place / "tasks.parquet", _TASKS)
    phases = {
        phase: CollectedCells(cells.filter(phase=phase), tasks.filter(phase=phase))
        for phase in ("tune", "report")
    }
    return StudyResult.compare(
        parse_study(manifest["study"], name=manifest["name"], folder=place),
        tuning=phases["tune"],
        report=phases["report"],
        chosen=manifest["chosen"],
        gains=manifest["gains"],
        contamination=_read_csv(place / "contamination.csv").to_dicts(),
        folder=place,
    )


def _read_csv(path: Path) -> pl.DataFrame:
    types = {**dict.fromkeys(_TEXTS, pl.String), **dict.fromkeys(_FLOATS, pl.Float64)}
    names = pl.read_csv(path, n_rows=0).columns
    return pl.read_csv(path, schema_overrides={name: types[name] for name in names if name in types})

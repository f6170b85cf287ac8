"""What a model says to the rows of a suite, in parts that survive a kill."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.run_folder_frames import write_frame
from tasksel.wording import first_line
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tasksel.scoring import ScoreProgress

__all__ = ["answer_in_parts"]

_RUN_KEY: Final = "tasksel.run_sha256"
_COUNTS_KEY: Final = "tasksel.counts"


def answer_in_parts(
    rows: pl.DataFrame,
    answer: Callable[[pl.DataFrame], tuple[pl.DataFrame, Mapping[str, int]]],
    *,
    folder: Path,
    run_sha256: str,
    part_rows: int,
    progress: ScoreProgress | None = None,
) -> tuple[pl.DataFrame, Counter[str]]:
    """Answer rows part by part; a part that an earlier run finished is read instead.

    Parameters
    ----------
    rows : pl.DataFrame
        With an ``id``, which the answers repeat in the same order.
    answer : callable
        Takes some of the rows and returns one row for each, and counts of what happened to them. It is
        called only where something is left to do, so that it may load a model when it is called first.
    folder : Path
        Where the parts are kept; it must exist.
    run_sha256 : str
        Of everything that the answers depend on.
    part_rows : int
        Rows of a part: what a kill can cost.
    progress : ScoreProgress, optional
        Called after each part.

    Returns
    -------
    answers : pl.DataFrame
        The rows of all parts, in the order of `rows`.
    counts : Counter
        Sums over all parts.

    Raises
    ------
    ResumeError
        A part was made with another model, setting or file, or cannot be read.
    """
    answered, totals = [], Counter[str]()
    rows_done = 0
    for number, part in enumerate(rows.iter_slices(part_rows)):
        path = folder / f"part-{number:05d}.parquet"
        if not path.exists():
            _write_part(path, *answer(part), run_sha256)
        frame, counts = _read_part(path, part, run_sha256)
        answered.append(frame)
        totals.update(counts)
        rows_done += part.height
        if progress is not None:
            progress(rows_done, rows.height, 0)
    return pl.concat(answered), totals


def _write_part(path: Path, frame: pl.DataFrame, counts: Mapping[str, int], run_sha256: str) -> None:
    write_frame(path, frame, metadata={_RUN_KEY: run_sha256, _COUNTS_KEY: json.dumps(dict(counts))})


def _read_part(path: Path, part: pl.DataFrame, run_sha256: str) -> tuple[pl.DataFrame, dict[str, int]]:
    try:
        metadata, frame = pl.read_parquet_metadata(path), pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ResumeError(
            f"{path} cannot be read ({first_line(error)}); delete it to answer it again."
        ) from error
    is_same_run = metadata.get(_RUN_KEY) == run_sha256 and _COUNTS_KEY in metadata
    if not is_same_run or not frame["id"].equals(part["id"]):
        raise ResumeError(
            f"{path} was made with another model, setting or file; choose another output folder, or delete "
            f"{path.parent}."
        )
    return frame, json.loads(metadata[_COUNTS_KEY])

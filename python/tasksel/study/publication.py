"""The files of a finished study: tables, the page, and pictures where the extra ``plots`` is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tasksel.run_folder import write_text
from tasksel.run_folder_frames import write_frame
from tasksel.study.page import render_page
from tasksel.study.pictures import draw_pictures

if TYPE_CHECKING:
    from tasksel.study.results import StudyResult

__all__ = ["publish"]


def publish(result: StudyResult) -> None:
    """Write ``report.md`` with its pictures, and as tables ``cells``, ``tasks``, ``arms`` and comparisons.

    Equal figures give equal bytes.

    Parameters
    ----------
    result : StudyResult
        Written into its folder.
    """
    both = [each for each in (result.tuning, result.report) if each.cells.height]
    write_text(result.folder / "cells.csv", pl.concat([each.cells for each in both]).write_csv())
    write_frame(result.folder / "tasks.parquet", pl.concat([each.tasks for each in both]))
    for name in ("arms", "differences", "efficiency", "contamination"):
        write_text(result.folder / f"{name}.csv", getattr(result, name).write_csv())
    pictures = draw_pictures(result)
    write_text(result.folder / "report.md", render_page(result, pictures))
